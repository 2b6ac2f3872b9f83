//! `.help`: what a directory has, each with one line and an example. What controls and views have to
//! say stands in their own rows; here is the rest.

use crate::codec::NameMatch;
use crate::fs::base::facts::{Facts, HelpLine, line, line_if};
use crate::fs::control::CONTROLS;
use crate::fs::control::stream::EVENTS_HELP;
use crate::fs::element::member;
use crate::fs::element::view::{self, VIEWS};
use crate::map::{Content, KeyHandle, Keys, Listing, Map};
use crate::node::{Machine, MapList, MapRef, Node, Place, View};

/// What decides which lines a map's help has, and what stands in its examples.
#[derive(Debug, Clone)]
pub struct MapHelp {
    facts: Facts,
    /// An address that is looked up by the longest prefix, if keys are such.
    address: Option<&'static str>,
    /// The first member of the values, as a path; `None` if they have none.
    member: Option<String>,
}

impl MapHelp {
    /// That of an open map.
    pub fn of(at: &MapRef, map: &Map) -> Self {
        let is_longest = |name: &&str| {
            let matched = map.codec.parse_name(name.as_bytes(), &mut Vec::new());
            matched.is_ok_and(|matched| matched == NameMatch::Longest)
        };
        let is_trie = map.kind.listing == Listing::Trie;
        Self {
            facts: Facts::of(at, map),
            address: ADDRESSES.iter().copied().find(|name| is_trie && is_longest(name)),
            member: member::first(map),
        }
    }
}

/// Stand in examples for an address and a member of the map's own.
const ADDRESSES: &[&str] = &["10.1.2.3", "fd00::1"];
const MEMBER: &str = "packets";

const DIR: &[HelpLine] = &[
    line("MAP/", "a pinned map: a directory with one file per key", "ls MAP"),
    line("MAP/KEY", "an element: reads look up, writes update, rm deletes", "echo 7 > MAP/1"),
    line("MAP/", "mv renames the pin; chmod and chown change it", "chmod g+r MAP"),
    line("MAP/.unpin", "1 removes the pin; who uses the map goes on", "echo 1 > MAP/.unpin"),
    line("MAP/", "rm -r deletes all elements first, then the pin", "rm -r MAP"),
    line("NEW/", "mkdir makes a map by the default spec", "mkdir NEW"),
    line(
        "NEW",
        "a map by a SPEC: bpftool's words, or a C definition",
        "echo hash key u32 value u64 entries 8 > NEW",
    ),
    line("PROG, LINK", "a pinned program or link: JSON; rm removes the pin", "cat PROG"),
    line(".help", "this text; every directory has one", "cat MAP/.help"),
];

/// What most come for stands first: which map is theirs.
const MACHINE: &[HelpLine] = &[
    line(".maps", "all maps of the machine: how full, who uses them", "cat .maps"),
    line(".maps.json", "the same, one JSON object a line", "jq -r .name .maps.json"),
    line(".pid/N/", "the maps that a process holds", "ls .pid"),
    line(".prog/N/", "the maps of a program, by its id or name", "ls .prog"),
    line(".name/NAME/", "the newest map of that name, pinned or not", "ls .name"),
    line(".id/N/", "the map whose id is N, pinned or not", "ls .id"),
];

const ROOT: &[HelpLine] = &[
    line(".metrics", "how full maps are, as Prometheus reads it", "grep ^bpf .metrics"),
    line(".errors", "why operations were refused: all programs' last 64", "tail -n 3 .errors"),
    line(".errors", "the same, of this shell alone", "grep \"pid=$$ \" .errors"),
];

/// A map's elements.
const KEYS: &[HelpLine] = &[
    line_if(is_read, "KEY", "the value: JSON and a newline (per CPU: a line for each)", "cat KEY"),
    line_if(
        is_data,
        "KEY",
        "set it, whether the key is there or not (BPF_ANY)",
        "echo VALUE > KEY",
    ),
    line_if(is_data, "KEY", "the same: a write anywhere is the whole value", "echo VALUE >> KEY"),
    line_if(is_made, "KEY", "only if it is not there (BPF_NOEXIST)", "(set -C; echo VALUE > KEY)"),
    line_if(is_data, "KEY", "only if it is there (BPF_EXIST)", "echo V | dd conv=nocreat of=KEY"),
    line_if(|map| has(map, Content::Map), "KEY", "a symlink to the inner map", "ls KEY/"),
    line_if(
        |map| has(map, Content::Map),
        "KEY",
        "set it: a map here, a pin's path or .id/N",
        "ln -s ../MAP KEY",
    ),
    line_if(|map| has(map, Content::Map), "KEY", "replace it at one stroke", "ln -sfn ../MAP KEY"),
    line_if(
        |map| has(map, Content::Prog),
        "KEY",
        "set it: a program's id or path",
        "echo /sys/fs/bpf/PROG > KEY",
    ),
    line_if(
        |map| has(map, Content::Device),
        "KEY",
        "set it: an interface's name or index",
        "echo eth0 > KEY",
    ),
    line_if(
        |map| matches!(map.kind.content, Content::Socket | Content::Xsk | Content::PerfEvent),
        "KEY",
        "set it to a process's descriptor, PID:FD",
        "echo 4711:3 > KEY",
    ),
    line_if(
        |map| has(map, Content::Cgroup),
        "KEY",
        "set it: a cgroup's path or id; it cannot be read",
        "echo /PATH > 0",
    ),
    line_if(
        |map| named_by(map, KeyHandle::Socket),
        "KEY",
        "KEY is a process's socket, PID:FD",
        "cat KEY",
    ),
    line_if(
        |map| named_by(map, KeyHandle::Inode),
        "KEY",
        "KEY is a file's path, with %2F for each slash",
        "cat KEY",
    ),
    line_if(|map| named_by(map, KeyHandle::Task), "KEY", "KEY is a thread's id", "cat KEY"),
    line_if(
        |map| named_by(map, KeyHandle::Cgroup),
        "KEY",
        "KEY is a cgroup's id, or its path with %2F for each /",
        "cat KEY",
    ),
    line_if(|map| map.kind.deletable, "KEY", "delete it", "rm KEY"),
    line_if(Facts::is_queue, "head", "the next element, which stays; absent if empty", "cat head"),
    line_if(
        |map| map.kind.keys == Keys::Member,
        "VALUE",
        "there if VALUE may have been added",
        "test -e VALUE",
    ),
];

fn is_read(map: &Facts) -> bool {
    map.kind.keys == Keys::Bytes && map.is_readable && map.kind.content != Content::Map
}

fn is_data(map: &Facts) -> bool {
    map.kind.is_settable() && !map.kind.is_reference()
}

/// An array has all its elements at all times, so none is ever new.
fn is_made(map: &Facts) -> bool {
    is_data(map) && map.kind.deletable
}

fn has(map: &Facts, content: Content) -> bool {
    map.kind.content == content
}

fn named_by(map: &Facts, handle: KeyHandle) -> bool {
    map.kind.keys == Keys::Handle(handle)
}

/// The elements of a trie by address.
const PREFIXES: &[HelpLine] = &[
    line("ADDRESS", "what the longest prefix that covers it has", "cat 10.1.2.3"),
    line("ADDRESS", "set or delete the full-length entry", "echo VALUE > 10.1.2.3"),
];

const SELF: &[HelpLine] = &[line(".help", "this text", "cat .help")];

const CPUS: &[HelpLine] = &[line("N/", "the values of CPU number N", "cat 0/KEY")];

const FIELDS: &[HelpLine] = &[
    line("KEY/a/b", "one member of the value; one with members is a directory", "cat KEY/packets"),
    line("KEY/a/b", "change that member alone", "echo 0 > KEY/packets"),
    line("KEY/.value", "all members of a directory as one text", "cat KEY/.value"),
];

const NO_FIELDS: &[HelpLine] = &[line("KEY", "the value, which has no members", "cat KEY")];

/// A directory of symlinks to maps.
const LIST: &[HelpLine] = &[
    line("NAME/", "a map of that name; if several share it, the newest", "ls"),
    line("NAME:N/", "the one of them whose id is N", "ls"),
];

const PROGRAM: &[HelpLine] = &[
    line("NAME/", "a map that the program uses", "ls"),
    line(".info", "about the program: JSON", "cat .info"),
];

const PROGRAMS: &[HelpLine] =
    &[line("N/", "the maps of the program whose id is N, or name, if it has it alone", "ls")];

const PROCESSES: &[HelpLine] =
    &[line("N/", "the maps that process N holds, by itself or through a program", "ls")];

const IDS: &[HelpLine] = &[line("N/", "the map whose id is N, pinned or not", "ls")];

/// The help of a directory; `map` is its map.
pub fn render(dir: &Node, is_root: bool, map: Option<&MapHelp>) -> Vec<u8> {
    let mut lines: Vec<&HelpLine> = Vec::new();
    match dir {
        Node::Dir(_) if is_root => lines.extend(MACHINE.iter().chain(DIR).chain(ROOT)),
        Node::Dir(_)
        | Node::Symlink(_)
        | Node::Object(..)
        | Node::New(..)
        | Node::Errors
        | Node::Help(_) => lines.extend(DIR),
        Node::Ids => lines.extend(IDS),
        Node::Machine(machine) => lines.extend(match machine {
            Machine::List(MapList::Program(_)) => PROGRAM,
            Machine::List(MapList::All | MapList::Process(_)) | Machine::Link(..) => LIST,
            Machine::Programs => PROGRAMS,
            Machine::Processes => PROCESSES,
            Machine::Metrics
            | Machine::Table
            | Machine::Json
            | Machine::ProgramInfo(_)
            | Machine::MoreProcesses => SELF,
        }),
        Node::In(_, place) => lines.extend(of_place(place, map)),
    }
    let facts = map.map(|map| map.facts);
    lines.retain(|line| facts.is_none_or(|facts| (line.has)(&facts)));
    let text = lines.into_iter().map(|line| {
        let example = own(line.example, map);
        format!("{:<11} {:<58} {example}\n", line.name, line.what)
    });
    text.collect::<String>().into_bytes()
}

fn of_place(place: &Place, map: Option<&MapHelp>) -> Vec<&'static HelpLine> {
    let fields = || if map.is_none_or(|map| map.member.is_some()) { FIELDS } else { NO_FIELDS };
    let lines = match place {
        Place::Root => return of_map(map),
        Place::View(View::Field(_)) | Place::Element(..) => fields(),
        Place::View(view) => view::page(view).unwrap_or(KEYS),
        Place::Cpus => CPUS,
        Place::EventTypes => EVENTS_HELP,
        Place::Control(_) | Place::Events(_) | Place::Whole(_) | Place::Link(_) => SELF,
    };
    lines.iter().collect()
}

/// A map's own directory: what is there by the same rows that names are looked up by.
fn of_map(map: Option<&MapHelp>) -> Vec<&'static HelpLine> {
    let has = |lacks: fn(&Facts) -> Option<crate::fs::base::error::Error>| {
        map.is_none_or(|map| lacks(&map.facts).is_none())
    };
    let controls = CONTROLS.iter().filter(|row| has(row.lacks)).flat_map(|row| row.help);
    let views = VIEWS.iter().filter(|row| has(row.lacks)).flat_map(|row| row.help);
    let prefixes = if map.is_some_and(|map| map.address.is_some()) { PREFIXES } else { &[] };
    KEYS.iter().chain(prefixes).chain(controls).chain(views).chain(SELF).collect()
}

/// The example with the map's own address and member.
fn own(example: &str, map: Option<&MapHelp>) -> String {
    let address = map.and_then(|map| map.address).unwrap_or(ADDRESSES[0]);
    let example = example.replace(ADDRESSES[0], address);
    match map.map(|map| map.member.as_deref()) {
        Some(Some(member)) => example.replace(MEMBER, member),
        Some(None) => example.replace(&format!("/{MEMBER}"), ""),
        None => example,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::MapKind;

    #[test]
    fn only_what_the_kind_has() {
        let help = |kind| {
            let map = Node::In(MapRef::Id(1), Place::Root);
            let kind = MapKind::of(kind);
            let facts = Facts {
                kind,
                is_readable: true,
                is_pinned: true,
                has_series: true,
                has_buckets: true,
            };
            let map_help = MapHelp { facts, address: None, member: None };
            String::from_utf8(render(&map, false, Some(&map_help))).unwrap()
        };
        use crate::sys::map::kind::{HASH, PERCPU_HASH};
        assert!(!help(HASH).contains(".sum/"));
        assert!(help(PERCPU_HASH).contains(".sum/"));
        // A type of a later kernel has what every map has.
        let unknown = help(u32::MAX);
        assert!(unknown.contains(".info") && unknown.contains(".freeze"));
        for name in ["KEY", ".entries", ".count", ".watch", ".clear", ".push", ".pop", ".stream"] {
            assert!(!unknown.contains(name), "{name}:\n{unknown}");
        }
    }
}

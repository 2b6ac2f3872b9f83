//! `.help`: what a directory has, each with one line and an example.

use super::entries::is_loadable;
use super::refs;
use super::stream::is_stream;
use super::view;
use crate::codec::NameMatch;
use crate::map::{Content, Handle, Keys, Listing, Map, MapKind};
use crate::node::{Node, View};
use crate::sys::map::kind::USER_RINGBUF;

/// What decides which lines a map's help has.
#[derive(Debug, Clone)]
pub struct Facts {
    kind: MapKind,
    /// Whether the kernel tells what the elements are.
    is_readable: bool,
    /// An address that is looked up by the longest prefix, if keys are such.
    address: Option<&'static str>,
    /// The first member of the values, as a path; `None` if they have none.
    member: Option<String>,
}

impl Facts {
    /// Those of an open map.
    pub fn of(map: &Map) -> Self {
        let is_longest = |name: &&str| {
            let matched = map.codec.parse_name(name.as_bytes(), &mut Vec::new());
            matched.is_ok_and(|matched| matched == NameMatch::Longest)
        };
        let is_trie = map.kind.listing == Listing::Trie;
        Self {
            kind: map.kind,
            is_readable: map.is_readable(),
            address: ADDRESSES.iter().copied().find(|name| is_trie && is_longest(name)),
            member: view::first_member(map),
        }
    }
}

/// Stand in examples for an address and a member of the map's own.
const ADDRESSES: &[&str] = &["10.1.2.3", "fd00::1"];
const MEMBER: &str = "packets";

/// A line: a name, what it is, and an example that works in the directory.
struct Row {
    name: &'static str,
    what: &'static str,
    example: &'static str,
    /// Which maps have it.
    has: fn(&Facts) -> bool,
}

const fn row(name: &'static str, what: &'static str, example: &'static str) -> Row {
    Row { name, what, example, has: |_| true }
}

const fn row_if(
    has: fn(&Facts) -> bool,
    name: &'static str,
    what: &'static str,
    example: &'static str,
) -> Row {
    Row { name, what, example, has }
}

fn listed(map: &Facts) -> bool {
    map.is_readable && !matches!(map.kind.listing, Listing::Nothing | Listing::Head)
}

fn counted(map: &Facts) -> bool {
    listed(map) || map.kind.listing == Listing::NextKey
}

const DIR: &[Row] = &[
    row("MAP/", "a pinned map: a directory with one file per key", "ls MAP"),
    row("MAP/KEY", "an element: reads look up, writes update, rm deletes", "echo 7 > MAP/1"),
    row("MAP/", "mv renames the pin; chmod and chown change it", "chmod g+r MAP"),
    row("MAP/", "rm -r deletes all elements, then the pin; rmdir the pin", "rm -r MAP"),
    row("NEW/", "mkdir makes a map by the default spec", "mkdir NEW"),
    row(
        "NEW",
        "a map by a SPEC: bpftool's words, or a C definition",
        "echo hash key u32 value u64 entries 8 > NEW",
    ),
    row("PROG, LINK", "a pinned program or link: JSON; rm removes the pin", "cat PROG"),
    row(".help", "this text; every directory has one", "cat MAP/.help"),
];

const ROOT: &[Row] = &[
    row(".errors", "why operations were refused: all programs' last 64", "tail -n 3 .errors"),
    row(".errors", "the same, of this shell alone", "grep \"pid=$$ \" .errors"),
    row(".id/N/", "the map whose id is N, pinned or not", "ls .id"),
];

const MAP: &[Row] = &[
    row_if(is_read, "KEY", "the value: JSON and a newline (per CPU: a line for each)", "cat KEY"),
    row_if(is_prefix, "ADDRESS", "what the longest prefix that covers it has", "cat 10.1.2.3"),
    row_if(is_prefix, "ADDRESS", "set or delete the full-length entry", "echo VALUE > 10.1.2.3"),
    row_if(is_data, "KEY", "set it, whether the key is there or not (BPF_ANY)", "echo VALUE > KEY"),
    row_if(is_made, "KEY", "only if it is not there (BPF_NOEXIST)", "(set -C; echo VALUE > KEY)"),
    row_if(is_data, "KEY", "only if it is there (BPF_EXIST)", "echo V | dd conv=nocreat of=KEY"),
    row_if(is_map, "KEY", "a symlink to the inner map", "ls KEY/"),
    row_if(is_map, "KEY", "set it: a map here, a pin's path or .id/N", "ln -s ../MAP KEY"),
    row_if(is_map, "KEY", "replace it at one stroke", "ln -sfn ../MAP KEY"),
    row_if(is_prog, "KEY", "set it: a program's id or path", "echo /sys/fs/bpf/PROG > KEY"),
    row_if(is_device, "KEY", "set it: an interface's name or index", "echo eth0 > KEY"),
    row_if(is_descriptor, "KEY", "set it to a process's descriptor, PID:FD", "echo 4711:3 > KEY"),
    row_if(is_cgroup, "KEY", "set it: a cgroup's path or id; it cannot be read", "echo /PATH > 0"),
    row_if(is_of_socket, "KEY", "KEY is a process's socket, PID:FD", "cat KEY"),
    row_if(is_of_inode, "KEY", "KEY is a file's path, with %2F for each slash", "cat KEY"),
    row_if(is_of_task, "KEY", "KEY is a thread's id", "cat KEY"),
    row_if(is_of_cgroup, "KEY", "KEY is a cgroup's id, or its path with %2F for each /", "cat KEY"),
    row_if(is_kept, "KEY", "delete it", "rm KEY"),
    row_if(is_queue, "head", "the next element, which stays; absent if empty", "cat head"),
    row_if(is_queue, ".pop", "take the next element", "cat .pop"),
    row_if(is_pushed, ".push", "add an element", "echo VALUE > .push"),
    row_if(is_bloom, "VALUE", "there if VALUE may have been added", "test -e VALUE"),
    row_if(|map| map.kind.take, ".pop/KEY", "take an element out as it is read", "cat .pop/KEY"),
    row_if(is_read_ring, ".stream", "events as they come, a line each", "head -n 3 .stream"),
    row_if(is_read_ring, ".stream/T", "the same, typed by the struct T", "cat .stream/event"),
    row_if(
        is_ring,
        ".stream/T",
        "(in the path itself: not by a symlink or io_uring)",
        "ls .stream/event",
    ),
    row_if(is_written_ring, ".stream", "a line, in hex, is an event", "echo 0x0a0b > .stream"),
    row_if(is_perf, ".stream", "(takes the place of another program's reader)", "cat .stream"),
    row(".info", "id, type, sizes, flags, types, pins", "jq .max_entries .info"),
    row(".schema", "the C definition that makes such a map", "cat .schema > ../NEW"),
    row_if(listed, ".entries", "every element, a line of JSON each", "cat .entries > FILE"),
    row_if(
        |map| is_loadable(&map.kind),
        ".entries",
        "set elements from such lines",
        "cat FILE > .entries",
    ),
    row_if(counted, ".count", "how many elements there are", "cat .count"),
    row_if(is_clearable, ".clear", "1 deletes every element", "echo 1 > .clear"),
    row(".freeze", "0 or 1; 1 keeps user space from writing, for good", "cat .freeze"),
    row_if(listed, ".watch", "the elements, then each change as it comes", "cat .watch"),
    row_if(
        is_plain,
        ".raw/",
        "the values' bytes, under the keys' bytes in hex",
        "xxd .raw/01000000",
    ),
    row_if(has_fields, ".field/", "members of the values as files", "cat .field/KEY/packets"),
    row_if(|map| map.kind.per_cpu, ".cpu/", "the values of one CPU", "cat .cpu/0/KEY"),
    row_if(|map| map.kind.per_cpu, ".sum/", "the sums over all CPUs", "cat .sum/KEY"),
    row(".help", "this text", "cat .help"),
];

fn is_plain(map: &Facts) -> bool {
    map.kind.keys == Keys::Bytes && map.kind.content == Content::Data
}

fn has_members(map: &Facts) -> bool {
    map.member.is_some()
}

fn has_fields(map: &Facts) -> bool {
    is_plain(map) && has_members(map)
}

fn is_read(map: &Facts) -> bool {
    map.kind.keys == Keys::Bytes && map.is_readable && map.kind.content != Content::Map
}

fn is_data(map: &Facts) -> bool {
    refs::is_settable(&map.kind) && !map.kind.is_reference()
}

/// An array has all its elements at all times, so none is ever new.
fn is_made(map: &Facts) -> bool {
    is_data(map) && map.kind.deletable
}

fn is_prefix(map: &Facts) -> bool {
    map.address.is_some()
}

fn is_map(map: &Facts) -> bool {
    refs::is_map(&map.kind)
}

fn is_prog(map: &Facts) -> bool {
    map.kind.content == Content::Prog
}

fn is_device(map: &Facts) -> bool {
    map.kind.content == Content::Device
}

fn is_descriptor(map: &Facts) -> bool {
    matches!(map.kind.content, Content::Socket | Content::Xsk | Content::PerfEvent)
}

fn is_cgroup(map: &Facts) -> bool {
    map.kind.content == Content::Cgroup
}

fn is_of_socket(map: &Facts) -> bool {
    map.kind.keys == Keys::Handle(Handle::Socket)
}

fn is_of_inode(map: &Facts) -> bool {
    map.kind.keys == Keys::Handle(Handle::Inode)
}

fn is_of_task(map: &Facts) -> bool {
    map.kind.keys == Keys::Handle(Handle::Task)
}

fn is_of_cgroup(map: &Facts) -> bool {
    map.kind.keys == Keys::Handle(Handle::Cgroup)
}

fn is_kept(map: &Facts) -> bool {
    map.kind.deletable
}

/// Also where elements cannot be listed, but their indices are known.
fn is_clearable(map: &Facts) -> bool {
    let is_handle = matches!(map.kind.keys, Keys::Handle(_));
    is_queue(map) || (map.kind.deletable && !is_handle)
}

fn is_queue(map: &Facts) -> bool {
    map.kind.keys == Keys::Head
}

fn is_bloom(map: &Facts) -> bool {
    map.kind.keys == Keys::Member
}

fn is_pushed(map: &Facts) -> bool {
    is_queue(map) || is_bloom(map)
}

fn is_perf(map: &Facts) -> bool {
    map.kind.content == Content::PerfEvent
}

fn is_ring(map: &Facts) -> bool {
    is_stream(&map.kind)
}

fn is_written_ring(map: &Facts) -> bool {
    map.kind.number == USER_RINGBUF
}

fn is_read_ring(map: &Facts) -> bool {
    is_ring(map) && !is_written_ring(map)
}

const RAW: &[Row] = &[
    row("KEY", "the value's bytes (per CPU: each padded to 8)", "xxd 01000000"),
    row("KEY", "set exactly these bytes", "cp FILE 01000000"),
];

const CPUS: &[Row] = &[row("N/", "the values of CPU number N", "cat 0/KEY")];

const CPU: &[Row] = &[
    row("KEY", "this CPU's value", "cat KEY"),
    row("KEY", "set this CPU's value alone", "echo VALUE > KEY"),
];

const SUM: &[Row] = &[row("KEY", "the numbers added up over all CPUs", "cat KEY")];

const FIELD: &[Row] = &[
    row_if(
        has_members,
        "KEY/a/b",
        "one member of the value; one with members is a directory",
        "cat KEY/packets",
    ),
    row_if(has_members, "KEY/a/b", "change that member alone", "echo 0 > KEY/packets"),
    row_if(|map| !has_members(map), "KEY", "the value, which has no members", "cat KEY"),
];

const POP: &[Row] = &[row("KEY", "the value, deleted as it is read", "cat KEY")];

const STREAM: &[Row] = &[row("T", "the events, typed by the struct T", "cat event")];

const IDS: &[Row] = &[row("N/", "the map whose id is N, pinned or not", "ls")];

/// The help of a directory; `map` is its map.
pub fn render(dir: &Node, is_root: bool, map: Option<&Facts>) -> Vec<u8> {
    let rows = match dir {
        Node::Map(_, View::Text) => MAP,
        Node::Map(_, View::Raw) => RAW,
        Node::Map(_, View::Cpus) => CPUS,
        Node::Map(_, View::Cpu(_)) => CPU,
        Node::Map(_, View::Sum) => SUM,
        Node::Map(_, View::Pop) => POP,
        Node::Map(_, View::Stream) => STREAM,
        Node::Ids => IDS,
        Node::Map(_, View::Field(_)) | Node::Element(..) => FIELD,
        _ => DIR,
    };
    let more = if is_root { ROOT } else { &[] };
    let rows = rows.iter().chain(more).filter(|row| map.is_none_or(|map| (row.has)(map)));
    let lines = rows.map(|row| {
        let example = own(row.example, map);
        format!("{:<11} {:<58} {example}\n", row.name, row.what)
    });
    lines.collect::<String>().into_bytes()
}

/// The example with the map's own address and member.
fn own(example: &str, map: Option<&Facts>) -> String {
    let address = map.and_then(|map| map.address).unwrap_or(ADDRESSES[0]);
    let member = map.and_then(|map| map.member.as_deref()).unwrap_or(MEMBER);
    example.replace(ADDRESSES[0], address).replace(MEMBER, member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::MapRef;

    #[test]
    fn only_what_the_kind_has() {
        let help = |kind| {
            let map = Node::Map(MapRef::Id(1), View::Text);
            let kind = MapKind::of(kind);
            let facts = Facts { kind, is_readable: true, address: None, member: None };
            String::from_utf8(render(&map, false, Some(&facts))).unwrap()
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

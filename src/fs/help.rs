//! `.help`: what a directory has, each with one line and an example.

use super::entries::is_loadable;
use super::refs;
use super::stream::is_stream;
use crate::map::{Content, Keys, Kind, Listing};
use crate::node::{Node, View};
use crate::sys::map::kind::USER_RINGBUF;

/// A line: a name, what it is, and an example that works in the directory.
struct Row {
    name: &'static str,
    what: &'static str,
    example: &'static str,
    /// Which kinds of map have it.
    has: fn(&Kind) -> bool,
}

const fn row(name: &'static str, what: &'static str, example: &'static str) -> Row {
    Row { name, what, example, has: |_| true }
}

const fn row_if(
    has: fn(&Kind) -> bool,
    name: &'static str,
    what: &'static str,
    example: &'static str,
) -> Row {
    Row { name, what, example, has }
}

fn listed(kind: &Kind) -> bool {
    !matches!(kind.listing, Listing::Nothing | Listing::Head)
}

const DIR: &[Row] = &[
    row("MAP/", "a pinned map: a directory with one file per key", "ls MAP"),
    row("MAP/KEY", "an element: reads look up, writes update, rm deletes", "echo 7 > MAP/1"),
    row("NEW/", "mkdir makes a map by the default spec", "mkdir NEW"),
    row("PROG, LINK", "a pinned program or link: JSON, read only", "cat PROG"),
    row(".help", "this text; every directory has one", "cat MAP/.help"),
];

const ROOT: &[Row] = &[
    row(".errors", "why the last operations were refused", "tail -n 3 .errors"),
    row(".id/N/", "the map whose id is N, pinned or not", "ls .id"),
];

const MAP: &[Row] = &[
    row_if(is_read, "KEY", "the value: JSON and a newline (per CPU: a line for each)", "cat KEY"),
    row_if(is_prefix, "A.B.C.D", "what the longest prefix that covers it has", "cat 10.1.2.3"),
    row_if(is_prefix, "A.B.C.D", "set or delete the full-length entry", "echo VALUE > 10.1.2.3"),
    row_if(is_data, "KEY", "set it, whether the key is there or not (BPF_ANY)", "echo VALUE > KEY"),
    row_if(is_made, "KEY", "only if it is not there (BPF_NOEXIST)", "(set -C; echo VALUE > KEY)"),
    row_if(is_data, "KEY", "only if it is there (BPF_EXIST)", "echo V | dd conv=nocreat of=KEY"),
    row_if(refs::is_map, "KEY", "a symlink to the inner map", "ls KEY/"),
    row_if(refs::is_map, "KEY", "set it: a map here, a pin's path or .id/N", "ln -s ../MAP KEY"),
    row_if(refs::is_map, "KEY", "replace it at one stroke", "ln -sfn ../MAP KEY"),
    row_if(is_prog, "KEY", "set it: a program's id or path", "echo /sys/fs/bpf/PROG > KEY"),
    row_if(is_device, "KEY", "set it: an interface's name or index", "echo eth0 > KEY"),
    row_if(is_descriptor, "KEY", "set it to a process's descriptor, PID:FD", "echo 4711:3 > KEY"),
    row_if(is_cgroup, "KEY", "set it: a cgroup's path or id; it cannot be read", "echo /PATH > 0"),
    row_if(is_handle, "KEY", "a thread's id, PID:FD, or a path with %2F for /", "cat KEY"),
    row_if(is_kept, "KEY", "delete it", "rm KEY"),
    row_if(is_queue, "head", "the next element, which stays; absent if empty", "cat head"),
    row_if(is_queue, ".pop", "take the next element", "cat .pop"),
    row_if(is_pushed, ".push", "add an element", "echo VALUE > .push"),
    row_if(is_bloom, "VALUE", "there if VALUE may have been added", "test -e VALUE"),
    row_if(|kind| kind.take, ".pop/KEY", "take an element out as it is read", "cat .pop/KEY"),
    row_if(is_read_ring, ".stream", "events as they come, a line each", "head -n 3 .stream"),
    row_if(is_read_ring, ".stream/T", "the same, typed by the struct T", "cat .stream/event"),
    row_if(
        is_stream,
        ".stream/T",
        "(in the path itself: not by a symlink or io_uring)",
        "ls .stream/event",
    ),
    row_if(is_written_ring, ".stream", "a line, in hex, is an event", "echo 0x0a0b > .stream"),
    row_if(is_perf, ".stream", "(takes the place of another program's reader)", "cat .stream"),
    row(".info", "id, type, sizes, flags, types, pins", "jq .max_entries .info"),
    row(".schema", "the C definition that makes such a map", "cat .schema > ../NEW"),
    row_if(listed, ".entries", "every element, a line of JSON each", "cat .entries > FILE"),
    row_if(is_loadable, ".entries", "set elements from such lines", "cat FILE > .entries"),
    row_if(listed, ".count", "how many elements there are", "cat .count"),
    row_if(is_clearable, ".clear", "1 deletes every element", "echo 1 > .clear"),
    row(".freeze", "0 or 1; 1 keeps user space from writing, for good", "cat .freeze"),
    row_if(listed, ".watch", "the elements, then each change as it comes", "cat .watch"),
    row_if(
        is_plain,
        ".raw/",
        "the values' bytes, under the keys' bytes in hex",
        "xxd .raw/01000000",
    ),
    row_if(is_plain, ".field/", "members of the values as files", "echo 0 > .field/KEY/packets"),
    row_if(|kind| kind.per_cpu, ".cpu/", "the values of one CPU", "cat .cpu/0/KEY"),
    row_if(|kind| kind.per_cpu, ".sum/", "the sums over all CPUs", "cat .sum/KEY"),
    row(".help", "this text", "cat .help"),
];

fn is_plain(kind: &Kind) -> bool {
    kind.keys == Keys::Bytes && kind.content == Content::Data
}

fn is_read(kind: &Kind) -> bool {
    kind.keys == Keys::Bytes
        && !matches!(
            kind.content,
            Content::Map | Content::Cgroup | Content::PerfEvent | Content::Xsk
        )
}

fn is_data(kind: &Kind) -> bool {
    refs::is_settable(kind) && !kind.is_reference()
}

/// An array has all its elements at all times, so none is ever new.
fn is_made(kind: &Kind) -> bool {
    is_data(kind) && kind.deletable
}

fn is_prefix(kind: &Kind) -> bool {
    kind.listing == Listing::Trie
}

fn is_prog(kind: &Kind) -> bool {
    kind.content == Content::Prog
}

fn is_device(kind: &Kind) -> bool {
    kind.content == Content::Device
}

fn is_descriptor(kind: &Kind) -> bool {
    matches!(kind.content, Content::Socket | Content::Xsk | Content::PerfEvent)
}

fn is_cgroup(kind: &Kind) -> bool {
    kind.content == Content::Cgroup
}

fn is_handle(kind: &Kind) -> bool {
    matches!(kind.keys, Keys::Handle(_))
}

fn is_kept(kind: &Kind) -> bool {
    kind.deletable
}

/// Also where elements cannot be listed, but their indices are known.
fn is_clearable(kind: &Kind) -> bool {
    is_queue(kind) || (kind.deletable && !is_handle(kind))
}

fn is_queue(kind: &Kind) -> bool {
    kind.keys == Keys::Head
}

fn is_bloom(kind: &Kind) -> bool {
    kind.keys == Keys::Member
}

fn is_pushed(kind: &Kind) -> bool {
    is_queue(kind) || is_bloom(kind)
}

fn is_perf(kind: &Kind) -> bool {
    kind.content == Content::PerfEvent
}

fn is_written_ring(kind: &Kind) -> bool {
    kind.number == USER_RINGBUF
}

fn is_read_ring(kind: &Kind) -> bool {
    is_stream(kind) && !is_written_ring(kind)
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
    row("KEY/a/b", "one member of the value; one with members is a directory", "cat KEY/packets"),
    row("KEY/a/b", "change that member alone", "echo 0 > KEY/packets"),
];

const POP: &[Row] = &[row("KEY", "the value, deleted as it is read", "cat KEY")];

const STREAM: &[Row] = &[row("T", "the events, typed by the struct T", "cat event")];

const IDS: &[Row] = &[row("N/", "the map whose id is N, pinned or not", "ls")];

/// The help of a directory; `kind` is its map's.
pub fn render(dir: &Node, is_root: bool, kind: Option<&Kind>) -> Vec<u8> {
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
    let rows = rows.iter().chain(more).filter(|row| kind.is_none_or(|kind| (row.has)(kind)));
    let lines = rows.map(|row| format!("{:<11} {:<58} {}\n", row.name, row.what, row.example));
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::MapRef;

    #[test]
    fn only_what_the_kind_has() {
        let help = |kind| {
            let map = Node::Map(MapRef::Id(1), View::Text);
            String::from_utf8(render(&map, false, Some(&Kind::of(kind)))).unwrap()
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

//! `.help`: what a directory has, each with one line and an example.

use crate::map::{Kind, Listing};
use crate::node::{Node, View};

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
    kind.listing != Listing::Nothing
}

const DIR: &[Row] = &[
    row("MAP/", "a pinned map: a directory with one file per key", "ls MAP"),
    row("MAP/KEY", "an element: reads look up, writes update, rm deletes", "echo 7 > MAP/1"),
    row("NEW/", "mkdir makes a map by the default spec", "mkdir NEW"),
    row("PROG, LINK", "a pinned program or link: JSON, read only", "cat PROG"),
    row(".help", "this text; every directory has one", "cat MAP/.help"),
];

const ROOT: &[Row] = &[row(".errors", "why the last operations were refused", "tail -n 3 .errors")];

const MAP: &[Row] = &[
    row("KEY", "the value: JSON and a newline (per CPU: a line for each)", "cat KEY"),
    row("KEY", "set it, whether the key is there or not (BPF_ANY)", "echo VALUE > KEY"),
    row("KEY", "only if it is not there (BPF_NOEXIST)", "(set -C; echo VALUE > KEY)"),
    row("KEY", "only if it is there (BPF_EXIST)", "echo VALUE | dd conv=nocreat of=KEY"),
    row("KEY", "delete it", "rm KEY"),
    row(".info", "id, type, sizes, flags, types, pins", "jq .max_entries .info"),
    row(".schema", "the C definition that makes such a map", "cat .schema > ../NEW"),
    row_if(listed, ".entries", "every element, a line of JSON each", "cat .entries > FILE"),
    row_if(listed, ".entries", "set elements from such lines", "cat FILE > .entries"),
    row_if(listed, ".count", "how many elements there are", "cat .count"),
    row(".clear", "1 deletes every element", "echo 1 > .clear"),
    row(".freeze", "0 or 1; 1 keeps user space from writing, for good", "cat .freeze"),
    row_if(listed, ".watch", "the elements, then each change as it comes", "cat .watch"),
    row(".raw/", "the values' bytes, under the keys' bytes in hex", "xxd .raw/01000000"),
    row(".field/", "members of the values as files", "echo 0 > .field/KEY/packets"),
    row_if(|kind| kind.per_cpu, ".cpu/", "the values of one CPU", "cat .cpu/0/KEY"),
    row_if(|kind| kind.per_cpu, ".sum/", "the sums over all CPUs", "cat .sum/KEY"),
    row(".help", "this text", "cat .help"),
];

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

/// The help of a directory; `kind` is its map's.
pub fn render(dir: &Node, is_root: bool, kind: Option<&Kind>) -> Vec<u8> {
    let rows = match dir {
        Node::Map(_, View::Text) => MAP,
        Node::Map(_, View::Raw) => RAW,
        Node::Map(_, View::Cpus) => CPUS,
        Node::Map(_, View::Cpu(_)) => CPU,
        Node::Map(_, View::Sum) => SUM,
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
    }
}

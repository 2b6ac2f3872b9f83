//! `.help`: lists what DIR has, each with one line and an example. Each example of each
//! kind of directory is run in it, with a real key, value, program or file for its capitals.
//!
//! Not here, because a program must make their elements: stack traces, XSK maps, cgroup storages and
//! struct_ops.

use crate::common::kernel::lacks_map;
use crate::common::require::require;
use crate::common::{Bed, Ran, object, patience};
use crate::kinds_common::Programs;
use bpffuse::sys::map::{NewMap, create, kind};
use std::fmt::Write;
use std::thread;
use std::time::Duration;

/// What stands for what in examples.
type Words<'a> = [(&'a str, &'a str)];

const STRUCT: &str = "value 'struct { __u64 packets; __u64 bytes; }' entries 8";
const VALUE: (&str, &str) = ("VALUE", "'{\"packets\":5}'");

/// The examples of a directory; the columns are in line.
fn examples(bed: &Bed, dir: &str) -> Vec<String> {
    let help = bed.ok(&format!("cat {dir}/.help"));
    let lines: Vec<&str> = help.lines().collect();
    assert!(!lines.is_empty() && help.ends_with('\n'), "{dir}/.help: {help:?}");
    let column = |line: &&str| {
        let before = line.len() - line.get(70..)?.trim_start().len();
        line[..before].ends_with(' ').then(|| line[before..].to_owned())
    };
    let parsed = lines.iter().map(|line| {
        column(line).unwrap_or_else(|| panic!("{dir}/.help: no example where it should be: {line}"))
    });
    // Nothing would be left to try: tests/it/unpin.rs runs that one.
    parsed.filter(|example| example != "echo 1 > .unpin").collect()
}

/// The example with real names in it.
fn filled(example: &str, words: &Words<'_>) -> String {
    let value = words.iter().find(|(word, _)| *word == "VALUE").map_or("", |(_, value)| value);
    let short = example.replace("echo V |", &format!("echo {value} |"));
    words.iter().fold(short, |text, (word, real)| text.replace(word, real))
}

/// The script that runs an example in `dir` with what it needs: the element that `fill` (run in `map`)
/// makes, or none where the example is to make it.
fn script(map: &str, dir: &str, fill: &str, example: &str, words: &Words<'_>) -> String {
    let makes = ["set -C", "ln -s", "4711:3"];
    let absent = makes.iter().any(|what| example.contains(what));
    let prepare = if absent { "rm -f KEY" } else { fill };
    let command = filled(example, words);
    let mut text =
        format!("(cd {map}; {}) > /dev/null 2>&1\ncd {dir} || exit\n", filled(prepare, words));
    // What follows changes or events ends only when it is told to.
    if example.contains(".errors") {
        text.push_str("{ echo > .errors; } 2> /dev/null\n");
    }
    let is_endless = example.starts_with("cat .watch")
        || example.starts_with("cat .stream")
        || example.starts_with("cat .events")
        || example == "cat event";
    if is_endless {
        let seconds = patience().min(5);
        write!(text, "timeout {seconds} {command}; [ $? = 124 ]").unwrap();
    } else {
        text.push_str(&command);
    }
    text
}

/// Fails unless the example did what it says, and showed something if that is what it is for.
#[track_caller]
fn worked(dir: &str, example: &str, ran: Ran) {
    let shows = ["cat ", "head ", "jq ", "ls ", "tail ", "xxd "];
    let is_shown = shows.iter().any(|word| example.starts_with(word)) && !example.contains('>');
    assert!(ran.status.success(), "{dir}/.help has `{example}`, which fails:\n{ran}");
    assert!(!is_shown || !ran.stdout.is_empty(), "{dir}/.help: `{example}` shows nothing:\n{ran}");
    // dd counts.
    let stderr = if example.contains("dd ") { "" } else { &*ran.stderr };
    assert_eq!(stderr, "", "{dir}/.help: `{example}` complains:\n{ran}");
}

/// Runs all examples of `map`/`view`.
fn try_all(bed: &Bed, map: &str, view: &str, fill: &str, words: &Words<'_>) {
    let dir = format!("{map}/{view}");
    for (number, example) in examples(bed, &dir).iter().enumerate() {
        let new =
            format!("new-{}-{number}", map.rsplit('/').next().unwrap_or(map).replace('.', ""));
        let words: Vec<_> = words.iter().copied().chain([("NEW", new.as_str())]).collect();
        worked(&dir, example, bed.run(&script(map, &dir, fill, example, &words)));
    }
}

fn bed(setup: &str) -> Bed {
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps");
    bed.ok(&format!("bpffuse /mnt/maps; cd /mnt/maps; mkdir plain; echo 1 > plain/1; {setup}"));
    bed
}

/// A command that makes a map of each of `kinds`, called as the kind is.
fn maps(kinds: &[&str], rest: &str) -> String {
    let each = |kind: &&str| {
        // A small LRU map may evict an element as soon as another CPU adds one.
        let many = kind.starts_with("lru").then(|| rest.replace("entries 8", "entries 4096"));
        format!("echo \"{kind} {}\" > {kind} || exit\n", many.as_deref().unwrap_or(rest))
    };
    kinds.iter().map(each).collect()
}

#[test]
fn of_tables_and_their_views() {
    require!("root", "bpf", "fuse", "jq", "xxd");
    let plain = ["hash", "lru_hash", "array"];
    let percpu = ["percpu_hash", "lru_percpu_hash", "percpu_array"];
    let bed = bed(&[
        maps(&plain, &format!("key u32 {STRUCT}")),
        maps(&percpu, &format!("key u32 {STRUCT}")),
    ]
    .concat());
    let words = [VALUE, ("KEY", "1"), ("FILE", "/run/elements")];
    let fill = "echo VALUE > KEY; cat .entries > /run/elements";
    for map in plain.iter().chain(&percpu) {
        let map = format!("/mnt/maps/{map}");
        try_all(&bed, &map, "", fill, &words);
        try_all(&bed, &map, ".field", fill, &words);
        if !map.ends_with("array") {
            try_all(&bed, &map, ".pop", fill, &words);
        }
        let bytes = [VALUE, ("KEY", "1"), ("FILE", "/run/bytes")];
        try_all(&bed, &map, ".raw", "echo VALUE > KEY; cat .raw/01000000 > /run/bytes", &bytes);
    }
    for map in percpu {
        for view in [".cpu", ".cpu/0", ".sum"] {
            try_all(&bed, &format!("/mnt/maps/{map}"), view, fill, &words);
        }
    }
}

#[test]
fn of_tries_queues_and_filters() {
    require!("root", "bpf", "fuse", "jq", "xxd");
    let values = ["queue", "stack", "bloom_filter"];
    let trie = format!("key 'struct {{ __u32 prefixlen; struct in_addr to; }}' {STRUCT}");
    let bed = bed(&[maps(&values, "value u32 entries 8"), maps(&["lpm_trie"], &trie)].concat());
    for map in values {
        let map = format!("/mnt/maps/{map}");
        try_all(&bed, &map, "", "echo 1 > .clear; echo VALUE > .push", &[("VALUE", "7")]);
    }
    // The address of the example is a prefix's part; .raw's key is of a map whose keys are 4 bytes.
    let words =
        [VALUE, ("KEY", "10.0.0.0_8"), ("FILE", "/run/elements"), ("01000000", "080000000a000000")];
    let fill = "echo VALUE > KEY; cat .entries > /run/elements";
    try_all(&bed, "/mnt/maps/lpm_trie", "", fill, &words);
}

/// Maps of the same kind that have not the same: what has no members, no addresses or nothing that
/// can be read has no line about it, and each example is one of the map itself.
#[test]
fn of_maps_unlike_others_of_their_kind() {
    require!("root", "bpf", "fuse", "jq", "xxd", "python3");
    let bed = bed("
        echo 'hash key u32 value u32 entries 8' > numbers
        echo 'hash key 4 value 24 entries 8' > untyped
        echo 'hash key u32 value 24 entries 8' > bytes
        echo 'sk_storage key int value u64 entries 0' > sk_storage
        echo \"hash key u32 value 'struct { struct { u32 deep; } in; }' entries 8\" > nested
        echo 'percpu_array key u32 value u64 entries 8' > percpu
        echo 'lpm_trie key 20 value 4 entries 8' > six
        echo \"lpm_trie key 'struct { __u32 prefixlen; char name[12]; }' value u32 entries 8\" > words
        echo 'sockmap key u32 value 4 entries 8' > sockmap
        echo 'sockhash key u32 value 4 entries 8' > sockhash");
    let mut socket = bed.spawn(
        "exec python3 -c 'import os, socket, time
listens = socket.create_server((\"127.0.0.1\", 0))
open(\"name.new\", \"w\").write(f\"{os.getpid()}:{listens.fileno()}\")
os.rename(\"name.new\", \"name\")
time.sleep(600)'",
    );
    let name = bed.ok("until [ -e name ]; do sleep 0.01; done; cat name");
    let bytes = "0x010203040506070801020304050607080102030405060708";
    let six = "40000000fd000000000000000000000000000000";
    let word = "08000000610000000000000000000000";
    let unread = ["!cat KEY", "!.entries", "!.watch", "!.field/", "!.raw/", "!.count"];
    for (map, key, raw, value, lines) in [
        ("numbers", "1", "01000000", "5", &["cat .field/KEY\n", "!ADDRESS"][..]),
        ("untyped", "1", "01000000", bytes, &["cat .field/KEY\n"]),
        ("bytes", "1", "01000000", bytes, &["cat .field/KEY/0\n"]),
        ("nested", "1", "01000000", "'{\"in\":{\"deep\":5}}'", &["cat .field/KEY/in/deep\n"]),
        ("percpu", "1", "01000000", "5", &["cat .field/KEY\n", "cat .sum/KEY\n"]),
        ("six", "fd00::_64", six, "5", &["cat fd00::1\n"]),
        ("words", "prefixlen=8,name=a", word, "5", &["!ADDRESS"]),
        ("sk_storage", &name, "", "5", &["socket, PID:FD", "!thread", "!path", "!cgroup"]),
        ("sockmap", "1", "", "4711:3", &unread),
        ("sockhash", "1", "", "4711:3", &unread[..5]),
    ] {
        let map = format!("/mnt/maps/{map}");
        let help = bed.ok(&format!("cat {map}/.help"));
        for line in lines {
            let unlike = line.strip_prefix('!');
            let is_right = help.contains(unlike.unwrap_or(line)) == unlike.is_none();
            assert!(is_right, "{map}: {line}:\n{help}");
        }
        let words = [
            ("VALUE", value),
            ("4711:3", &*name),
            ("KEY", key),
            ("FILE", "/run/elements"),
            ("01000000", raw),
        ];
        let fill = "echo VALUE > KEY; cat .entries > /run/elements";
        try_all(&bed, &map, "", fill, &words);
        if help.contains("set elements from such lines") {
            try_all(&bed, &map, ".field", fill, &words);
        }
    }
    socket.kill().unwrap();
    socket.wait().unwrap();
}

#[test]
fn of_references() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "ip", "jq", "python3");
    let maps = [
        maps(&["array_of_maps", "hash_of_maps"], "key u32 entries 4 inner_map plain"),
        maps(&["prog_array", "devmap", "cgroup_array"], "entries 4"),
        maps(&["devmap_hash"], "key u32 entries 4"),
        maps(&["cpumap"], "value u32 entries 1"),
        maps(&["sockmap", "sockhash", "reuseport_sockarray"], "key u32 value 8 entries 4"),
    ];
    let bed = bed(&maps.concat());
    let links = object::compile("links");
    bed.ok(&format!("bpftool prog loadall {} /sys/fs/bpf/progs", links.display()));
    bed.ok("mkdir /run/cg; mount -t cgroup2 none /run/cg");
    // Sockets that can be in these maps: one that listens, and one of a group that shares its port.
    let mut sockets = bed.spawn(
        "exec python3 -c 'import os, socket, time
listens = socket.create_server((\"127.0.0.1\", 0))
shares = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
shares.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
shares.bind((\"127.0.0.1\", 0))
open(\"names.new\", \"w\").write(f\"{os.getpid()}:{listens.fileno()} {os.getpid()}:{shares.fileno()}\")
os.rename(\"names.new\", \"names\")
time.sleep(600)'",
    );
    let names = bed.ok("until [ -e names ]; do sleep 0.01; done; cat names");
    let (listens, shares) = names.split_once(' ').expect("two names");
    for (map, fill, words) in [
        ("array_of_maps", "ln -s ../plain KEY", [("MAP", "plain"), ("KEY", "1")]),
        ("hash_of_maps", "ln -s ../plain KEY", [("MAP", "plain"), ("KEY", "1")]),
        (
            "prog_array",
            "echo /sys/fs/bpf/PROG > KEY",
            [("PROG", "progs/count_switches"), ("KEY", "1")],
        ),
        ("devmap", "echo eth0 > KEY", [("eth0", "lo"), ("KEY", "1")]),
        ("devmap_hash", "echo eth0 > KEY", [("eth0", "lo"), ("KEY", "1")]),
        ("cpumap", "echo VALUE > KEY", [("VALUE", "192"), ("KEY", "0")]),
        ("sockmap", "echo 4711:3 > KEY", [("4711:3", listens), ("KEY", "1")]),
        ("sockhash", "echo 4711:3 > KEY", [("4711:3", listens), ("KEY", "1")]),
        ("reuseport_sockarray", "echo 4711:3 > KEY", [("4711:3", shares), ("KEY", "1")]),
        ("cgroup_array", "echo /PATH > 0", [("PATH", "run/cg"), ("KEY", "0")]),
    ] {
        let raw = if map == "cpumap" { "00000000" } else { "01000000" };
        let more = [("FILE", "/run/elements"), ("01000000", raw)];
        let words: Vec<_> = words.into_iter().chain(more).collect();
        try_all(&bed, &format!("/mnt/maps/{map}"), "", fill, &words);
    }
    sockets.kill().unwrap();
    sockets.wait().unwrap();
}

#[test]
fn of_storages() {
    require!("root", "bpf", "fuse", "jq");
    let mut kinds =
        vec![("task_storage", "1"), ("inode_storage", "%2Frun"), ("cgrp_storage", "%2Frun%2Fcg")];
    if lacks_map(kind::CGRP_STORAGE) {
        kinds.pop();
    }
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let bed = bed(&maps(&names, "key int value u64 entries 0"));
    bed.ok("mkdir /run/cg; mount -t cgroup2 none /run/cg");
    for (map, key) in kinds {
        let help = bed.ok(&format!("cat /mnt/maps/{map}/.help"));
        for other in ["thread's id", "file's path", "cgroup's id", "PID:FD"] {
            let is_own = other.starts_with(match map {
                "task_storage" => "thread",
                "inode_storage" => "file",
                _ => "cgroup",
            });
            assert_eq!(help.contains(other), is_own, "{map}: {other}:\n{help}");
        }
        let words = [("VALUE", "5"), ("KEY", key)];
        try_all(&bed, &format!("/mnt/maps/{map}"), "", "echo VALUE > KEY", &words);
    }
}

/// Of directories of the bpffs, the mount's root among them, and of a map by its id.
#[test]
fn of_directories() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "jq", "xxd");
    let bed = bed("mkdir /sys/fs/bpf/d; cat nothing 2> /dev/null; ln -s d /sys/fs/bpf/link");
    // A process that holds a map, for `.pid`: in a virtual machine there may be no other.
    let map = NewMap {
        map_type: kind::ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..NewMap::default()
    };
    let _held = create(&map).unwrap();
    let links = object::compile("links");
    // For `ls .pid`.
    let _held = create(&NewMap {
        map_type: kind::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..NewMap::default()
    });
    for dir in ["", "d"] {
        bed.ok(&format!("bpftool prog loadall {} /sys/fs/bpf/{dir}/progs", links.display()));
        let fill = "[ -d plain ] || mkdir plain; echo 1 > plain/1";
        let words = [("PROG", "progs/count_switches"), ("MAP", "plain")];
        try_all(&bed, &format!("/mnt/maps/{dir}"), "", fill, &words);
        assert_eq!(bed.ok(&format!("cd /mnt/maps/{dir}; grep -l . new-*/.info | wc -l")), "2\n");
    }
    try_all(&bed, "/mnt/maps", ".id", "true", &[]);
    bed.ok("[ -d /mnt/maps/plain ] || mkdir /mnt/maps/plain");
    let id = bed.ok("jq .id /mnt/maps/plain/.info").trim().to_owned();
    assert_eq!(
        bed.ok(&format!("cat /mnt/maps/.id/{id}/.help")),
        bed.ok("grep -v unpin /mnt/maps/plain/.help")
    );
}

#[test]
fn of_rings() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "callbacks", "clang", "jq");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    for (map, view, program) in [
        ("events", "", "to_ring"),
        ("events", "/.events", "to_ring"),
        ("perf", "", "to_perf"),
        ("perf", "/.events", "to_perf"),
        ("commands", "", "drain"),
    ] {
        let dir = bed.shown(&format!("mnt/{map}{view}"));
        for (number, example) in examples(&bed, &dir).iter().enumerate() {
            // Of a perf event array the elements are the events' consumers; here there are none.
            if example.contains("KEY") {
                continue;
            }
            let new = format!("new-{map}-{number}");
            let text = script(&dir, &dir, "true", example, &[("NEW", &new)]);
            thread::scope(|scope| {
                let runs = scope.spawn(|| bed.run(&text));
                while !runs.is_finished() {
                    programs.run_raw(program, [0, 10], None);
                    thread::sleep(Duration::from_millis(20));
                }
                worked(&dir, example, runs.join().unwrap());
            });
        }
    }
}

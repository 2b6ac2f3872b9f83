//! The machine's maps, pinned or not: `/.maps`, `/.name`, `/.prog`, `/.pid`, and `.info`'s members.

use crate::common::require::require;
use crate::common::{Bed, RawMap, eventually, key32, object, patience};
use bpffuse::sys::map::NewMap;
use bpffuse::sys::map::kind::{ARRAY, HASH};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A map that this process holds, pinned nowhere.
fn map(name: &str, kind: u32, entries: u32) -> RawMap {
    RawMap::unpinned(&NewMap {
        map_type: kind,
        name: name.to_owned(),
        key_size: 4,
        value_size: 8,
        max_entries: entries,
        ..NewMap::default()
    })
}

/// A name of the kernel's, which tests that run beside this one do not have.
fn unique(suffix: &str) -> String {
    format!("u{}{suffix}", std::process::id() % 100_000)
}

/// Every map has a name: its own, with its id where several share it; NAME alone is then the newest.
#[test]
fn maps_by_name() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    let (one, twice) = (unique("one"), unique("tw"));
    let only = map(&one, HASH, 10);
    only.set(&key32(1), &7_u64.to_ne_bytes());
    let (older, newer) = (map(&twice, HASH, 10), map(&twice, HASH, 10));
    let dotted = map(&format!(".r{one}"), ARRAY, 1);
    assert_eq!(
        bed.ok(&format!("cat mnt/.name/{one}/1; readlink mnt/.name/{one}")),
        format!("7\n../.id/{}\n", only.info.id)
    );
    let listed = bed.ok(&format!("ls mnt/.name | grep -e '{one}' -e '{twice}'"));
    let mut expected = [
        one.clone(),
        format!("{twice}:{}", older.info.id),
        format!("{twice}:{}", newer.info.id),
        format!("%2Er{one}"),
    ];
    expected.sort();
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!(bed.ok(&format!("jq .id mnt/.name/{twice}/.info")), format!("{}\n", newer.info.id));
    assert_eq!(bed.ok(&format!("jq .id mnt/.name/.r{one}/.info")), format!("{}\n", dotted.info.id));
    let nameless = map("", HASH, 10);
    bed.ok(&format!("cat mnt/.name/:{}/.info", nameless.info.id));
    // What ends is gone at once; a name that was shared no longer is.
    drop(newer);
    bed.fails_with(
        &format!("ls mnt/.name/{twice}:{}/", expected.len() * 1_000_000),
        "No such file",
    );
    // The name that it was listed with goes on to mean it.
    bed.ok(&format!("cat mnt/.name/{twice}:{}/.info", older.info.id));
    // The daemon itself keeps a map for up to a second.
    let id = older.info.id;
    eventually("the older map has the name", || {
        bed.ok(&format!("jq .id mnt/.name/{twice}/.info || true")) == format!("{id}\n")
    });
    bed.fails_with("ls mnt/.name/nosuch", "No such file");
    bed.fails_with(&format!("rm mnt/.name/{one}"), "Operation not permitted");
    bed.ok("cat mnt/.name/.help");
}

/// A thousand maps of one name, as bpftrace and bcc make them.
#[test]
fn a_thousand_of_one_name() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let name = unique("th");
    let maps: Vec<RawMap> = (0..1000).map(|_| map(&name, ARRAY, 1)).collect();
    let last = maps.last().unwrap().info.id;
    assert_eq!(
        bed.ok(&format!("ls mnt/.name | grep -c '^{name}:'; readlink mnt/.name/{name}")),
        format!("1000\n../.id/{last}\n")
    );
    assert_eq!(
        bed.ok(&format!(
            "grep -c ' {name} ' mnt/.maps; grep -c '\"name\":\"{name}\"' mnt/.maps.json"
        )),
        "1000\n1000\n"
    );
    // With attributes, every name is asked for: that takes no look at all maps each.
    let start = Instant::now();
    assert_eq!(
        bed.ok(&format!("ls -l mnt/.name | grep -c -- ' {name}:[0-9]* -> ../.id/'")),
        "1000\n"
    );
    let spent = start.elapsed();
    eprintln!("ls -l of 1,000 names: {spent:?}");
    assert!(spent < Duration::from_secs(4) * patience(), "ls -l took {spent:?}");
}

/// How full, where pinned, used by which programs, held by whom: as a table and as JSON.
#[test]
fn tables() {
    require!("root", "bpf", "fuse", "jq", "bpftool", "clang");
    let bed = Bed::new();
    let name = unique("t");
    let counted = map(&name, HASH, 10);
    for n in 0..5 {
        counted.set(&key32(n), &[0; 8]);
    }
    bed.ok(&format!("bpftool map pin id {} bpf/pinned", counted.info.id));
    let line = bed.ok(&format!("grep ' {name} ' mnt/.maps"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let id = counted.info.id.to_string();
    assert_eq!(words[..8], [&*id, "hash", &name, "4", "8", "5", "10", "50"], "{line}");
    assert!(words[8].parse::<u64>().is_ok_and(|bytes| bytes > 100), "{line}");
    assert_eq!(words[9], bed.shown("bpf/pinned"), "{line}");
    assert!(words.last().unwrap().contains(&format!("{}:", std::process::id())), "{line}");
    let head = bed.ok("head -n 1 mnt/.maps");
    let columns: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(
        columns,
        [
            "ID",
            "TYPE",
            "NAME",
            "KEY",
            "VALUE",
            "COUNT",
            "MAX",
            "USE%",
            "MEMORY",
            "PINS",
            "PROGRAMS",
            "PROCESSES"
        ]
    );
    let json = format!(
        "jq -c 'select(.id == {id}) | [.name, .count, .max_entries, .pins, .programs]' mnt/.maps.json"
    );
    assert_eq!(bed.ok(&json), format!("[\"{name}\",5,10,[\"{}\"],[]]\n", bed.shown("bpf/pinned")));
    // An array is always full, and so says nothing of how much of it is used.
    let array = map(&unique("a"), ARRAY, 3);
    let line = bed.ok(&format!("grep '^ *{} ' mnt/.maps", array.info.id));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[5..8], ["3", "3", "-"], "{line}");
    // Of one that refers to other things, how many of its places are set.
    let devices = unique("dev");
    bed.ok(&format!("echo devmap entries 4 name {devices} > mnt/d && echo lo > mnt/d/1"));
    let line = bed.ok(&format!("grep ' {devices} ' mnt/.maps"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[5..8], ["1", "4", "25"], "{line}");
    assert_eq!(bed.ok("cat mnt/pinned/.count; jq .count mnt/pinned/.info"), "5\n5\n");
}

/// The maps of a program, by its id or by a name that it has alone; and what it is.
#[test]
fn maps_by_program() {
    require!("root", "bpf", "fuse", "jq", "bpftool", "clang");
    let bed = Bed::new();
    let object = object::compile("streams");
    bed.ok(&format!(
        "mkdir bpf/maps; bpftool prog loadall {} bpf/progs pinmaps bpf/maps",
        object.display()
    ));
    let id = bed.ok("jq .id mnt/progs/to_ring").trim().to_owned();
    let uses = bed.ok(&format!("ls mnt/.prog/{id}"));
    assert!(uses.lines().any(|name| name == "events" || name.starts_with("events:")), "{uses}");
    assert_eq!(
        bed.ok(&format!(
            "diff mnt/.prog/{id}/.info mnt/progs/to_ring && jq -r .name mnt/.prog/{id}/.info"
        )),
        "to_ring\n"
    );
    assert!(bed.ok("ls mnt/.prog").lines().any(|line| line == id));
    let of_map = bed.ok("jq -r '.programs[].name' mnt/maps/events/.info");
    assert!(of_map.lines().any(|name| name == "to_ring"), "{of_map}");
    let ids = bed.ok(&format!("for m in mnt/.prog/{id}/*; do jq .id $m/.info; done | sort"));
    let told = bed.ok("jq '.map_ids[]' mnt/progs/to_ring | sort");
    assert_eq!(ids, told);
    bed.fails_with("ls mnt/.prog/4294967295", "No such file");
}

/// `/.prog/NAME` is accepted where one program has that name.
#[test]
fn a_program_by_its_name() {
    require!("root", "bpf", "fuse", "jq", "bpftool", "clang");
    let bed = Bed::new();
    let (name, seen) = (unique("prog"), unique("seen"));
    let source = format!(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n\
         struct {{ __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64);\
         __uint(max_entries, 2); }} {seen} SEC(\".maps\");\n\
         SEC(\"socket\") int {name}(void *context) {{ __u32 key = 0;\n\
         return bpf_map_lookup_elem(&{seen}, &key) != 0; }}\n"
    );
    std::fs::write(bed.dir.join("named.bpf.c"), source).expect("a source");
    bed.ok(
        "clang -target bpf -g -O2 -I/usr/include/$(uname -m)-linux-gnu -c named.bpf.c -o named.o
            bpftool prog load named.o bpf/named",
    );
    assert_eq!(bed.list(&format!(".prog/{name}")), [&*seen]);
    let named = bed.ok(&format!("cat mnt/.prog/{name}/.info"));
    assert_eq!(named, bed.read("named"));
    assert_eq!(bed.ok(&format!("cat mnt/.prog/{name}/{seen}/0")), "0\n");
    // Names of others' maps are none of its.
    let other = map(&unique("other"), HASH, 10);
    bed.fails_with(&format!("ls mnt/.prog/{name}/{}", other.info.name), "No such file");
    bed.fails_with(
        &format!("ls mnt/.prog/{name}/{}:{}", other.info.name, other.info.id),
        "No such file",
    );
    // Which of two is meant, only an id says.
    bed.ok("bpftool prog load named.o bpf/again");
    bed.fails_with(&format!("ls mnt/.prog/{name}"), "No such file");
    bed.ok("ls mnt/.prog/$(jq .id mnt/again)");
}

/// The maps that a process holds, by itself or through a program that it holds.
#[test]
fn maps_by_process() {
    require!("root", "bpf", "fuse", "jq", "bpftool", "clang");
    let bed = Bed::new();
    let name = unique("p");
    let held = map(&name, HASH, 10);
    let own = std::process::id();
    assert!(bed.ok(&format!("ls mnt/.pid/{own}")).lines().any(|line| line.starts_with(&name)));
    assert!(bed.ok("ls mnt/.pid").lines().any(|line| line == own.to_string()));
    let object = object::compile("streams");
    bed.ok(&format!("bpftool prog loadall {} bpf/progs", object.display()));
    let program = bpffuse::sys::object::obj_get(&bed.dir.join("bpf/progs/to_ring")).unwrap();
    assert!(bpffuse::sys::info::prog_info(program.as_fd()).is_ok());
    let through = bed.ok(&format!("ls mnt/.pid/{own}"));
    assert!(
        through.lines().any(|line| line == "events" || line.starts_with("events:")),
        "{through}"
    );
    drop((held, program));
    let after = bed.run(&format!("ls mnt/.pid/{own}"));
    assert!(!after.stdout.lines().any(|line| line.starts_with(&name)), "{after}");
    bed.fails_with("ls mnt/.pid/1234567", "No such file");
}

/// All of it is the owner's alone; a reader of a map learns its programs, not its processes.
#[test]
fn for_the_owner_alone() {
    require!("root", "bpf", "fuse", "setpriv", "jq");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.hash("h");
    bed.ok("chmod o+r bpf/h; chmod 755 .");
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    for command in [
        "cat mnt/.maps",
        "cat mnt/.maps.json",
        "ls mnt/.name/",
        "ls mnt/.prog/",
        "ls mnt/.pid/",
        "ls mnt/.pid/1/",
        "ls mnt/.id/",
        "readlink mnt/.name/test",
        "cat mnt/.prog/1/.info",
    ] {
        let ran = bed.run(&format!("{nobody} {command}"));
        assert!(!ran.status.success() && ran.stdout.is_empty(), "{ran}");
    }
    assert_eq!(
        bed.ok(&format!("{nobody} jq -c '[has(\"programs\"), has(\"processes\")]' mnt/h/.info")),
        "[true,false]\n"
    );
    assert_eq!(bed.ok("jq -c 'has(\"processes\")' mnt/h/.info"), "true\n");
}

/// `.count` agrees with a walk, whatever the kind, also while programs write.
#[test]
fn counts_agree_with_walks() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    for (name, spec) in [
        ("hash", "hash key 4 value 8 entries 5000"),
        ("later", "hash key 4 value 8 entries 5000 flags no_prealloc"),
        ("percpu", "percpu_hash key 4 value 8 entries 5000"),
        ("lru", "lru_hash key 4 value 8 entries 50000"),
        ("lru_own", "lru_hash key 4 value 8 entries 50000 flags no_common_lru"),
        ("lru_percpu", "lru_percpu_hash key 4 value 8 entries 50000"),
        ("lpm", "lpm_trie key 8 value 8 entries 5000 flags no_prealloc"),
    ] {
        bed.ok(&format!("echo {spec} > mnt/{name}"));
        for count in [0, 1, 300] {
            let lines = match name {
                "lpm" => format!(
                    "for i in $(seq {count}); do echo \"{{\\\"key\\\":\\\"0.0.$((i / 256)).$((i % 256))_32\\\",\\\"value\\\":1}}\"; done > mnt/{name}/.entries"
                ),
                _ => format!(
                    "for i in $(seq {count}); do echo \"{{\\\"key\\\":$i,\\\"value\\\":1}}\"; done > mnt/{name}/.entries"
                ),
            };
            bed.ok(&lines);
            let told = bed.ok(&format!(
                "cat mnt/{name}/.count; ls mnt/{name} | wc -l; wc -l < mnt/{name}/.entries"
            ));
            let numbers: Vec<&str> = told.lines().collect();
            assert_eq!(numbers, [&*count.to_string(); 3], "{name}");
        }
        bed.ok(&format!("echo 1 > mnt/{name}/.clear"));
        assert_eq!(bed.read(&format!("{name}/.count")), "0\n", "{name}");
    }
}

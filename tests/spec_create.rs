//! Every kind of map that user space can create, from words and from C, as the kernel then has it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "common/mod.rs"]
mod common;
mod spec_support;

use bpffuse::spec::{CreateError, Created, Inner, Part, Spec};
use bpffuse::sys::map::kind::{self, BtfUse, MapKind};
use bpffuse::sys::map::{ANY, MapFd, MapInfo, map_info};
use bpffuse::sys::object;
use bpffuse::sys::os::page_size;
use common::host_order;
use common::kernel::lacks_map;
use common::require::require;
use spec_support::BpfFs;
use spec_support::cases::{CASES, CPUS, texts};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

fn no_inner(inner: &Inner) -> Result<OwnedFd, CreateError> {
    Err(CreateError { errno: libc::ENOENT, reason: format!("{inner:?}") })
}

fn create(text: &str) -> (MapInfo, Created) {
    let spec = Spec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let created = spec.create("test", &no_inner).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let info = map_info(created.fd.as_fd()).expect("the map's info");
    (info, created)
}

fn possible_cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").expect("the CPUs");
    text.trim().rsplit('-').next().and_then(|n| n.parse::<u32>().ok()).expect("a number") + 1
}

#[test]
fn every_kind_from_words_and_from_c() {
    require!("root", "bpf");
    for (i, case) in CASES.into_iter().enumerate() {
        let (kind, _, _, [key, value, entries], flags, takes_btf) = case;
        if lacks_map(i as u32 + 1) {
            for text in texts(case) {
                let spec = Spec::parse(text.as_bytes()).expect("every kernel's definition");
                let refused = spec.create("test", &no_inner).expect_err("there is no such kind");
                let (errno, reason) = match kind {
                    // Of these it is the struct that a kernel has or has not.
                    "struct_ops" => (libc::EINVAL, "has no `struct".to_owned()),
                    _ => (libc::EOPNOTSUPP, format!("has no {kind} maps")),
                };
                assert_eq!(refused.errno, errno, "{text}: {refused}");
                assert!(refused.reason.contains(&reason), "{refused}");
            }
            continue;
        }
        for text in texts(case) {
            let (info, created) = create(&text);
            assert_eq!(info.map_type, i as u32 + 1, "{text}");
            let (info_value, value) = if kind == "struct_ops" {
                assert_ne!(info.btf_vmlinux_value_type_id, 0, "{text}");
                (value, value)
            } else {
                (info.value_size, value)
            };
            let entries = if entries == CPUS && kind.ends_with("array") || kind == "cpumap" {
                possible_cpus()
            } else if kind.ends_with("ringbuf") {
                entries.max(page_size() as u32)
            } else {
                entries
            };
            assert_eq!(
                (info.key_size, info_value, info.max_entries),
                (key, value, entries),
                "{text}"
            );
            assert_eq!(info.flags, flags, "{text}");
            assert_eq!(info.name, "test", "{text}");
            let spec = Spec::parse(text.as_bytes()).expect("parsed before");
            let typed = [spec.key, spec.value].iter().any(|part| matches!(part, Part::Type(_)));
            let needed =
                kind.ends_with("k_storage") || matches!(kind, "inode_storage" | "cgrp_storage");
            assert_eq!(
                info.btf_id != 0,
                needed || typed && takes_btf,
                "{text}: {:?}",
                created.note
            );
            // Who asked for types and got none is told so.
            let told = created.note.as_ref().is_some_and(|note| note.contains("without BTF"));
            assert_eq!(told, typed && !takes_btf, "{text}: {:?}", created.note);
        }
        assert_eq!(MapKind::of(i as u32 + 1).btf == BtfUse::Refused, !takes_btf, "{kind}");
    }
    assert_eq!(kind::name(35), Some("rhash"));
}

/// What bpftool prints, as JSON.
fn bpftool(args: &[&str]) -> Option<serde_json::Value> {
    let output = Command::new("bpftool").arg("-j").args(args).output().ok()?;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn bpftool_prints_the_map_typed() {
    require!("root", "bpf", "bpftool");
    let fs = BpfFs::new();
    let words = "hash key struct { __be32 addr; u16 port; enum proto { TCP = 6, UDP = 17 } proto; } \
                 value struct { u64 packets; char name[8]; u32 low : 3; u32 high : 29; } entries 4";
    let pin = fs.path().join("flows");
    let (info, created) = create(words);
    assert_eq!((info.key_size, info.value_size), (12, 24));
    object::obj_pin(created.fd.as_fd(), &pin).expect("pin the map");
    let (map, _) = MapFd::new(created.fd).expect("the map");
    // Bit-fields begin at the end of their number where its first byte is.
    let (low, high) = host_order((0, 3), (29, 0));
    let bits = 0b101_u32 << low | 1 << high;
    let value = [&7_u64.to_ne_bytes()[..], b"eth\0\0\0\0\0", &bits.to_ne_bytes(), &[0; 4]].concat();
    let key = [&[10, 0, 0, 1][..], &80_u16.to_ne_bytes(), &[0; 2], &17_u32.to_ne_bytes()].concat();
    map.update(&key, &value, ANY).expect("an element");
    let pin = pin.to_str().expect("a path");
    let dump = bpftool(&["map", "dump", "pinned", pin]).expect("a dump");
    let formatted = &dump[0]["formatted"];
    assert_eq!(formatted["key"]["port"], 80, "{dump}");
    assert_eq!(formatted["key"]["proto"], "UDP", "{dump}");
    assert_eq!(formatted["value"]["packets"], 7, "{dump}");
    let bits = (&formatted["value"]["low"], &formatted["value"]["high"]);
    assert_eq!(bits, (&"0x5".into(), &"0x1".into()));
    let show = bpftool(&["map", "show", "pinned", pin]).expect("the map");
    assert_eq!((&show["type"], &show["name"]), (&"hash".into(), &"test".into()), "{show}");
}

#[test]
fn names_come_from_the_text_or_the_pin() {
    require!("root", "bpf");
    let named = |text: &str, pin: &str| {
        let spec = Spec::parse(text.as_bytes()).expect("a map");
        let created = spec.create(pin, &no_inner).expect("a map");
        map_info(created.fd.as_fd()).expect("the map's info").name
    };
    assert_eq!(named("array value 4 entries 1", "a-long name, with more"), "a_long_name__wi");
    assert_eq!(named("array value 4 entries 1 name own.name", "pin"), "own.name");
    assert_eq!(
        named(
            "struct { __uint(type, 2); __uint(key_size, 4); __uint(value_size, 4);
             __uint(max_entries, 1); } var SEC(\".maps\");",
            "pin"
        ),
        "pin"
    );
}

#[test]
fn ring_buffers_are_rounded_up() {
    require!("root", "bpf");
    let page = page_size() as u32;
    for (bytes, pages) in [(1, 1), (page, 1), (page + 1, 2), (25 * page, 32)] {
        let (info, _) = create(&format!("ringbuf entries {bytes}"));
        assert_eq!(info.max_entries, pages * page);
    }
    let spec = Spec::parse(b"ringbuf entries 4294967295").expect("a map");
    let error = spec.create("m", &no_inner).expect_err("4 GiB");
    assert!(error.reason.contains("too many for a ring buffer"), "{error}");
}

#[test]
fn the_kernels_refusals_say_what_was_asked() {
    require!("root", "bpf");
    let lock = "struct { struct bpf_spin_lock lock; int n; }";
    for (text, errno, reason) in [
        ("lru_hash key 4 value 4 entries 8 flags no_prealloc".to_owned(), libc::EOPNOTSUPP, "flags no_prealloc"),
        ("array value 4 entries 8 flags no_prealloc".to_owned(), libc::EINVAL, "does not create an array"),
        ("hash key 4 value 1073741824 entries 8".to_owned(), libc::E2BIG, "more than the kernel allows"),
        ("hash key 4 value 4 entries 1 flags 0x80000000".to_owned(), libc::EINVAL, "0x80000000"),
        ("type 77 key 4 value 4 entries 1".to_owned(), libc::EINVAL, "map of kind 77"),
        // As plain bytes, the lock would be none.
        (format!("queue value '{lock}' entries 4"), libc::EINVAL, "does not create a queue with"),
        ("struct_ops value 'struct bpf_struct_ops_none'".to_owned(), libc::EINVAL, "has no `struct bpf_struct_ops_none`"),
        ("array_of_maps entries 1 inner_map id 1".to_owned(), libc::ENOENT, "Id(1)"),
        ("hash_of_maps key 4 entries 1 inner_map { prog_array entries 1 }".to_owned(), libc::EOPNOTSUPP, "hash_of_maps"),
        (
            "struct head { struct bpf_spin_lock l; struct bpf_list_head h __contains(node, link); };
             struct { __uint(type, 2); __type(key, int); __type(value, struct head);
             __uint(max_entries, 1); } m SEC(\".maps\");".to_owned(),
            libc::EINVAL,
            "`struct node` of `contains:node:link` is not defined",
        ),
    ] {
        let spec = Spec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let error = spec.create("m", &no_inner).expect_err(&text);
        assert_eq!((error.errno, error.reason.contains(reason)), (errno, true), "{text}\n{error}");
    }
}

/// The attribute that the kernel's errno does not name, and what to do about it.
#[test]
fn refusals_name_the_attribute_and_the_remedy() {
    require!("root", "bpf");
    let holds_maps = |_: &Inner| {
        let text = "array_of_maps entries 1 inner_map { array value 4 entries 1 }";
        let spec = Spec::parse(text.as_bytes()).expect("a map of maps");
        spec.create("inner", &no_inner).map(|created| created.fd)
    };
    let mut cases = vec![
        (
            "hash key 4 value 4 entries 8 ifindex 2147483647",
            "no network interface with ifindex 2147483647: leave it out",
        ),
        ("hash key u32 value u32 entries 8 ifindex 1", "ifindex 1 is lo, which may hold no maps"),
        ("hash key 4 value 4 entries 8 numa_node 4095", "no NUMA node 4095 here, only"),
        ("hash key 4 value 4 entries 8 flags numa_node=4095", "numa_node 4095"),
        ("hash key u32 value u32 entries 8 map_extra 7", "a hash has no map_extra: leave it out"),
        ("lpm_trie key 8 value 4 entries 8 map_extra 7", "an lpm_trie has no map_extra"),
        ("bloom_filter value 4 entries 8 map_extra 16", "number of hash functions, 1 to 15"),
        ("arena entries 1 map_extra 7", "where programs have an arena: a multiple of"),
        ("type 77 key 4 value 4 entries 1 map_extra 3", "flags none, map_extra 3 ("),
        (
            "hash_of_maps key 4 entries 1 inner_map id 5",
            "inner_map is an array_of_maps, but the maps in a map cannot hold maps",
        ),
        (
            "array_of_maps entries 1 inner_map { prog_array entries 1 }",
            "inner_map is a prog_array, which the kernel puts in no map",
        ),
        (
            "array_of_maps entries 1 inner_map { hash key 4 value 4 entries 1 map_extra 3 }",
            "in the inner map: the kernel does not create a hash",
        ),
    ];
    let kinds = ["percpu_hash", "lru_percpu_hash", "task_storage", "inode_storage", "cgrp_storage"];
    let texts = kinds.map(|kind| match kind.contains("hash") {
        true => format!("{kind} key 4 value 4 entries 1 numa_node 0"),
        false => format!("{kind} value u32 numa_node 0"),
    });
    cases.extend(
        texts.iter().map(|text| (text.as_str(), "takes no NUMA node: leave numa_node out")),
    );
    cases.extend([
        ("percpu_array value 4 entries 8 numa_node 0", "a percpu_array takes no NUMA node"),
        ("sk_storage value u32 numa_node 0", "takes no NUMA node"),
        ("arena entries 1 numa_node 0", "an arena takes no NUMA node"),
    ]);
    for (text, reason) in cases {
        let spec = Spec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}\n{error}"));
        if lacks_map(spec.kind) {
            continue;
        }
        let error = spec.create("m", &holds_maps).expect_err(text);
        assert!(error.reason.contains(reason), "{text}\n{error}");
    }
    // All other kinds take a node.
    for text in ["queue value 4 entries 1", "lru_hash key 4 value 4 entries 1", "ringbuf entries 1"]
    {
        create(&format!("{text} numa_node 0"));
    }
}

#[test]
fn types_that_the_kernel_does_not_load_leave_the_map_without_btf() {
    require!("root", "bpf");
    // No float may lie off its alignment.
    let text = "array value 'struct { char c; float f; } __attribute__((packed))' entries 1";
    let (info, created) = create(text);
    assert_eq!((info.value_size, info.btf_id), (5, 0));
    let note = created.note.expect("a note");
    assert!(note.contains("does not load these types"), "{note}");
    // An array's key must be an integer, not an enum.
    let (info, created) = create("array key 'enum { A, B }' value u32 entries 1");
    assert_eq!(info.btf_id, 0);
    let note = created.note.expect("a note");
    assert!(note.contains("does not take these types for an array"), "{note}");
}

/// A prefix of any number of bytes has a type of just that size.
#[test]
fn prefixes_of_any_size_beside_a_typed_value() {
    require!("root", "bpf");
    for key in [5, 6, 7, 8, 20, 259, 260] {
        let text = format!("lpm_trie key {key} value u32 entries 1 flags no_prealloc");
        let (info, created) = create(&text);
        assert_eq!((info.key_size, created.note), (key, None), "{text}");
        assert_ne!(info.btf_key_type_id, 0, "{text}");
    }
}

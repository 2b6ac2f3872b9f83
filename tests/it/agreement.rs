//! Both ways of looking at a map agree: after every kind of operation made through the mount, what
//! the mount shows is what `bpftool map dump` and `bpftool map lookup` show, and the other way round.

use crate::common::map::{Dump, parse_dump, parse_element};
use crate::common::require::require;
use crate::common::{Bed, Kind, key32};
use std::collections::BTreeMap;
use std::fs;

/// The map as the mount shows it: `.raw`'s bytes for each key listed, cut at the value's size.
fn through_the_mount(bed: &Bed, map: &str) -> Dump {
    let info = bed.open(map).info;
    let slot = info.value_size as usize;
    bed.list(map)
        .into_iter()
        .map(|name| {
            let key: u32 = name.parse().unwrap();
            let hex: String = key32(key).iter().map(|b| format!("{b:02x}")).collect();
            let bytes = fs::read(bed.at(&format!("{map}/.raw/{hex}"))).unwrap();
            let stride = if bytes.len() == slot { slot } else { slot.next_multiple_of(8) };
            let values = bytes.chunks(stride).map(|chunk| chunk[..slot].to_vec()).collect();
            (key32(key).to_vec(), values)
        })
        .collect()
}

/// Fails unless the mount, `bpftool map dump` and `bpftool map lookup` of `key` agree, and the text of
/// `key` says `expected` (None: the element is absent).
#[track_caller]
fn agree(bed: &Bed, map: &str, key: u32, expected: Option<&str>, after: &str) {
    let theirs = parse_dump(&bed.ok(&format!("bpftool -j map dump pinned bpf/{map}")));
    let ours = through_the_mount(bed, map);
    assert_eq!(ours, theirs, "{map} after {after} (left: the mount, right: bpftool map dump)");
    let bytes = key32(key).map(|b| b.to_string()).join(" ");
    let lookup = bed.run(&format!("bpftool -j map lookup pinned bpf/{map} key {bytes}"));
    let text = fs::read_to_string(bed.at(&format!("{map}/{key}"))).ok();
    assert_eq!(text.as_deref(), expected, "{map}/{key} after {after}");
    let Some(_) = expected else {
        assert!(!ours.contains_key(key32(key).as_slice()), "{map}/{key} is listed after {after}");
        assert!(!lookup.status.success() || lookup.stdout.trim() == "null", "{lookup}");
        return;
    };
    let element = parse_element(&serde_json::from_str(&lookup.ok()).unwrap());
    assert_eq!(
        BTreeMap::from([element.clone()]).get(key32(key).as_slice()),
        ours.get(&element.0),
        "{map}/{key} after {after} (left: bpftool map lookup, right: the mount)"
    );
}

/// Goes through the operations on keys on one map whose value is a number (`u64`) or
/// `struct stats`.
fn all_operations(bed: &Bed, map: &str, kind: Kind, is_struct: bool) {
    let cpus = bpffuse::sys::map::possible_cpus().unwrap();
    let one = |n: u64| match is_struct {
        true => format!("{{\"packets\":{n},\"bytes\":{}}}\n", n * 10),
        false => format!("{n}\n"),
    };
    let lines = if kind.is_percpu() { cpus } else { 1 };
    let all = |n: u64| one(n).repeat(lines);
    let path = |key: u32| format!("{map}/{key}");
    let put = |key: u32, text: &str, how: &str| {
        bed.ok(&format!("printf '{text}' | dd of=mnt/{map}/{key} status=none {how}"));
    };
    let zero = all(0);

    agree(bed, map, 1, kind.is_array().then_some(zero.as_str()), "nothing");
    put(1, &one(5), "");
    agree(bed, map, 1, Some(&all(5)), "a new element (BPF_ANY)");
    put(1, &one(6), "");
    agree(bed, map, 1, Some(&all(6)), "an overwritten element (BPF_ANY)");
    put(1, &one(7), "conv=nocreat");
    agree(bed, map, 1, Some(&all(7)), "BPF_EXIST");
    if !kind.is_array() {
        put(2, &one(8), "conv=excl");
        agree(bed, map, 2, Some(&all(8)), "BPF_NOEXIST");
        bed.ok(&format!("touch mnt/{}", path(3)));
        agree(bed, map, 3, Some(&zero), "touch");
    }
    // Refused operations change nothing.
    bed.fails(&format!("echo nonsense > mnt/{}", path(1)));
    bed.fails(&format!("printf '{}' | dd of=mnt/{} conv=excl status=none", one(9), path(1)));
    agree(bed, map, 1, Some(&all(7)), "refused writes");
    if kind.is_percpu() {
        let each: String = (0..cpus as u64).map(|cpu| one(cpu + 20)).collect();
        put(1, &each, "");
        agree(bed, map, 1, Some(&each), "a line for each CPU");
    }
    if is_struct {
        bed.ok(&format!("echo '{{\"bytes\":1}}' > mnt/{}", path(0)));
        let text = "{\"packets\":0,\"bytes\":1}\n".repeat(lines);
        agree(bed, map, 0, Some(&text), "a partial write");
    }
    bed.ok(&format!("cp mnt/{} mnt/{}", path(1), path(0)));
    let copied = bed.read(&path(1));
    agree(bed, map, 0, Some(&copied), "cp");
    if kind.is_array() {
        bed.fails(&format!("rm mnt/{}", path(1)));
        agree(bed, map, 1, Some(&copied), "rm of an array's element");
    } else {
        bed.ok(&format!("rm mnt/{}", path(1)));
        agree(bed, map, 1, None, "rm");
        bed.ok(&format!("mv mnt/{} mnt/{}", path(2), path(1)));
        agree(bed, map, 2, None, "mv");
        agree(bed, map, 1, Some(&all(8)), "mv");
    }

    // And the other way round: bpftool changes, the mount shows.
    let size = bed.open(map).info.value_size as usize;
    let mut bytes = vec![0u8; size];
    bytes[0] = 9;
    if is_struct {
        bytes[8] = 90;
    }
    let bytes = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    bed.ok(&format!("bpftool map update pinned bpf/{map} key 2 0 0 0 value {bytes}"));
    agree(bed, map, 2, Some(&all(9)), "bpftool map update");
    if !kind.is_array() {
        bed.ok(&format!("bpftool map delete pinned bpf/{map} key 2 0 0 0"));
        agree(bed, map, 2, None, "bpftool map delete");
    }
}

/// Maps that `bpftool map create` made: no BTF.
#[test]
fn maps_without_btf() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    for kind in Kind::ALL {
        let name = kind.name();
        // In a small LRU map, each CPU's share of free elements leaves too few for another's.
        let entries = if name.starts_with("lru") { 4096 } else { 64 };
        bed.ok(&format!(
            "bpftool map create bpf/{name} type {name} key 4 value 8 entries {entries} name x"
        ));
        all_operations(&bed, name, kind, false);
    }
}

/// Maps of a BPF C program, with BTF: a number as the value.
#[test]
fn maps_with_btf_numbers() {
    require!("root", "bpf", "fuse", "bpftool", "clang");
    let bed = Bed::new();
    bed.load("maps");
    let names = ["hash_u64", "array_u64", "lru_u64", "phash_u64", "parray_u64", "plru_u64"];
    for (name, kind) in names.into_iter().zip(Kind::ALL) {
        all_operations(&bed, name, kind, false);
    }
}

/// The same with a struct as the value.
#[test]
fn maps_with_btf_structs() {
    require!("root", "bpf", "fuse", "bpftool", "clang");
    let bed = Bed::new();
    bed.load("maps");
    let names =
        ["hash_stats", "array_stats", "lru_stats", "phash_stats", "parray_stats", "plru_stats"];
    for (name, kind) in names.into_iter().zip(Kind::ALL) {
        all_operations(&bed, name, kind, true);
    }
}

/// A thousand elements written through the mount, in every kind that takes new keys: all of them are
/// there for bpftool, with the right values.
#[test]
fn a_thousand_elements() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    for kind in Kind::ALL {
        let name = kind.name();
        bed.map(name, kind, 4, 8, if kind.is_array() { 1000 } else { 4000 });
        for n in 0..1000u32 {
            bed.write(&format!("{name}/{n}"), &format!("{}\n", n * 3));
        }
        let theirs = parse_dump(&bed.ok(&format!("bpftool -j map dump pinned bpf/{name}")));
        assert_eq!(theirs.len(), 1000, "{name}");
        for (key, values) in &theirs {
            let key = u32::from_ne_bytes(key[..].try_into().unwrap());
            let expected = u64::from(key * 3).to_ne_bytes();
            assert!(values.iter().all(|value| value[..] == expected), "{name}/{key}: {values:?}");
        }
        assert_eq!(bed.list(name).len(), 1000);
    }
}

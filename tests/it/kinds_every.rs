//! Every kind of map that this kernel creates: which controls each has, and that none is kept alive.

use crate::common::kernel::lacks_map;
use crate::common::require::require;
use crate::common::{Bed, errno, refused, write_with};
use crate::kinds_common::{freed, make};
use bpffuse::sys::map::kind as k;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

/// All types of Linux 7.2 that this kernel has.
fn all() -> impl Iterator<Item = u32> {
    (1..=k::RHASH).filter(|kind| !lacks_map(*kind))
}

const PER_CPU: &[u32] =
    &[k::PERCPU_HASH, k::PERCPU_ARRAY, k::LRU_PERCPU_HASH, k::PERCPU_CGROUP_STORAGE];
/// Kinds of which the kernel gives no keys, or none that could be read.
const UNLISTED: &[u32] = &[
    k::PERF_EVENT_ARRAY,
    k::CGROUP_ARRAY,
    k::XSKMAP,
    k::QUEUE,
    k::STACK,
    k::SK_STORAGE,
    k::RINGBUF,
    k::INODE_STORAGE,
    k::TASK_STORAGE,
    k::BLOOM_FILTER,
    k::USER_RINGBUF,
    k::CGRP_STORAGE,
    k::ARENA,
];
/// Kinds whose values are data.
const DATA: &[u32] = &[
    k::HASH,
    k::ARRAY,
    k::PERCPU_HASH,
    k::PERCPU_ARRAY,
    k::LRU_HASH,
    k::LRU_PERCPU_HASH,
    k::LPM_TRIE,
    k::CGROUP_STORAGE,
    k::PERCPU_CGROUP_STORAGE,
    k::INSN_ARRAY,
    k::RHASH,
];
/// Kinds whose elements stand for what is named as it is read.
const NAMED: &[u32] =
    &[k::PROG_ARRAY, k::ARRAY_OF_MAPS, k::HASH_OF_MAPS, k::DEVMAP, k::DEVMAP_HASH, k::CPUMAP];
const TAKEN: &[u32] =
    &[k::HASH, k::PERCPU_HASH, k::LRU_HASH, k::LRU_PERCPU_HASH, k::STACK_TRACE, k::RHASH];
/// Kinds whose keys are no bytes.
const KEYLESS: &[u32] = &[
    k::SK_STORAGE,
    k::INODE_STORAGE,
    k::TASK_STORAGE,
    k::CGRP_STORAGE,
    k::BLOOM_FILTER,
    k::RINGBUF,
    k::USER_RINGBUF,
    k::ARENA,
];
/// Kinds without an element that user space could delete, but for arrays.
const KEPT: &[u32] = &[
    k::CGROUP_STORAGE,
    k::PERCPU_CGROUP_STORAGE,
    k::SK_STORAGE,
    k::RINGBUF,
    k::INODE_STORAGE,
    k::TASK_STORAGE,
    k::BLOOM_FILTER,
    k::USER_RINGBUF,
    k::CGRP_STORAGE,
    k::ARENA,
];

/// What comes back from opening `name` and reading once: an errno's name, or "ok".
fn read(bed: &Bed, name: &str) -> String {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(bed.at(name));
    said(file.and_then(|mut file| file.read(&mut [0; 4096])))
}

fn write(bed: &Bed, name: &str, text: &[u8]) -> String {
    let file = OpenOptions::new().write(true).open(bed.at(name));
    said(file.and_then(|mut file| file.write(text)))
}

fn list(bed: &Bed, name: &str) -> String {
    said(fs::read_dir(bed.at(name)))
}

fn said<T>(outcome: io::Result<T>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(error) => errno::name(error.raw_os_error().unwrap()),
    }
}

/// `then` if the kind is among `kinds`, else `otherwise`.
fn among<'a>(kind: u32, kinds: &[u32], then: &'a str, otherwise: &'a str) -> &'a str {
    if kinds.contains(&kind) { then } else { otherwise }
}

/// Every kind is a directory with `.info`, and each control does what the kind
/// has or says EOPNOTSUPP.
#[test]
fn controls_of_each() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in all() {
        let name = k::name(kind).unwrap();
        let raw = make(&bed, name, kind);
        let at = |control: &str| format!("{name}/{control}");
        let info: serde_json::Value = serde_json::from_str(&bed.read(&at(".info"))).unwrap();
        assert_eq!(info["type"], name);
        assert_eq!(info["id"], raw.info.id);
        assert_eq!(info["value_size"], raw.info.value_size);
        let count = match kind {
            k::ARRAY | k::PERCPU_ARRAY | k::INSN_ARRAY => 4,
            k::STRUCT_OPS => 1,
            _ => 0,
        };
        assert_eq!(bed.list(name).len(), count, "{name}");
        assert!(bed.read(&at(".schema")).contains("__uint(type, BPF_MAP_TYPE_"), "{name}");
        let listed = among(kind, UNLISTED, "EOPNOTSUPP", "ok");
        assert_eq!(read(&bed, &at(".entries")), listed, "{name}");
        assert_eq!(read(&bed, &at(".count")), listed, "{name}");
        if listed == "ok" {
            assert_eq!(bed.read(&at(".count")), format!("{count}\n"), "{name}");
        }
        // The elements at once, or nothing yet.
        let watched = read(&bed, &at(".watch"));
        assert!(watched == listed || (listed == "ok" && watched == "EAGAIN"), "{name}: {watched}");
        let loaded = among(kind, DATA, "ok", among(kind, NAMED, "ok", "EOPNOTSUPP"));
        assert_eq!(write(&bed, &at(".entries"), b"\n"), loaded, "{name}");
        let queue = [k::QUEUE, k::STACK];
        let taken = among(kind, TAKEN, "ok", among(kind, &queue, "ENOTDIR", "EOPNOTSUPP"));
        assert_eq!(list(&bed, &at(".pop")), taken, "{name}");
        let popped = among(kind, TAKEN, "EISDIR", among(kind, &queue, "ENOENT", "EOPNOTSUPP"));
        assert_eq!(read(&bed, &at(".pop")), popped, "{name}");
        let pushed = among(kind, &[k::QUEUE, k::STACK, k::BLOOM_FILTER], "ok", "EOPNOTSUPP");
        assert_eq!(write(&bed, &at(".push"), b"1\n"), pushed, "{name}");
        let streams = [k::RINGBUF, k::PERF_EVENT_ARRAY];
        let streamed = among(kind, &streams, "EAGAIN", "EOPNOTSUPP");
        assert_eq!(read(&bed, &at(".stream")), streamed, "{name}");
        let sent = among(kind, &[k::USER_RINGBUF], "ok", "EOPNOTSUPP");
        assert_eq!(write(&bed, &at(".stream"), b"0x00\n"), sent, "{name}");
        let per_cpu = among(kind, PER_CPU, "ok", "ENOENT");
        assert_eq!(list(&bed, &at(".cpu")), per_cpu, "{name}");
        assert_eq!(list(&bed, &at(".sum")), per_cpu, "{name}");
        let keyed = among(kind, KEYLESS, "EOPNOTSUPP", "ok");
        assert_eq!(list(&bed, &at(".raw")), keyed, "{name}");
        let arrays = [k::ARRAY, k::PERCPU_ARRAY, k::INSN_ARRAY];
        let cleared = among(kind, KEPT, "EOPNOTSUPP", among(kind, &arrays, "EPERM", "ok"));
        assert_eq!(write(&bed, &at(".clear"), b"1\n"), cleared, "{name}");
        freeze(&bed, name, kind);
    }
}

/// `.freeze` says and does what the kernel does, and then nothing can be written.
fn freeze(bed: &Bed, name: &str, kind: u32) {
    let at = format!("{name}/.freeze");
    assert_eq!(bed.read(&at), "0\n", "{name}");
    let twin = make(bed, "twin", kind);
    let expected = twin.fd.freeze().map_err(|error| io::Error::from_raw_os_error(error.errno));
    let is_frozen = expected.is_ok();
    assert_eq!(is_frozen, kind != k::STRUCT_OPS, "{name}");
    assert_eq!(write(bed, &at, b"1\n"), said(expected), "{name}");
    fs::remove_file(bed.pin("twin")).unwrap();
    assert_eq!(bed.read(&at), if is_frozen { "1\n" } else { "0\n" }, "{name}");
    let fdinfo = {
        use std::os::fd::{AsFd, AsRawFd};
        let raw = bed.open(name);
        fs::read_to_string(format!("/proc/self/fdinfo/{}", raw.fd.as_fd().as_raw_fd())).unwrap()
    };
    assert_eq!(fdinfo.contains("frozen:\t1"), is_frozen, "{name}");
    if is_frozen {
        assert_eq!(write(bed, &at, b"1\n"), "EPERM", "{name}");
        if DATA.contains(&kind) || NAMED.contains(&kind) {
            assert_eq!(write(bed, &format!("{name}/.entries"), b"\n"), "EPERM", "{name}");
        }
    }
}

/// `cat DIR/.help` lists what DIR has: no line of it names what the kind does not have.
#[test]
fn help_is_true_of_each() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in all() {
        let name = k::name(kind).unwrap();
        make(&bed, name, kind);
        let help = bed.read(&format!("{name}/.help"));
        let has = |example: &str| help.lines().any(|line| line.trim_end().ends_with(example));
        let at = |control: &str| format!("{name}/{control}");
        let is = |said: String| !matches!(&*said, "EOPNOTSUPP" | "ENOENT" | "EPERM");
        assert_eq!(has("cat .count"), is(read(&bed, &at(".count"))), "{name}:\n{help}");
        assert_eq!(has("cat .watch"), is(read(&bed, &at(".watch"))), "{name}:\n{help}");
        assert_eq!(has("cat .entries > FILE"), is(read(&bed, &at(".entries"))), "{name}:\n{help}");
        let loads = is(write(&bed, &at(".entries"), b"\n"));
        assert_eq!(has("cat FILE > .entries"), loads, "{name}:\n{help}");
        assert_eq!(has("echo 1 > .clear"), is(write(&bed, &at(".clear"), b"1")), "{name}:\n{help}");
        assert_eq!(has("echo VALUE > .push"), is(write(&bed, &at(".push"), b"1")), "{name}");
        assert_eq!(has("cat .pop/KEY"), is(list(&bed, &at(".pop"))) && !has("cat .pop"), "{name}");
        assert_eq!(has("cat .sum/KEY"), is(list(&bed, &at(".sum"))), "{name}");
        assert_eq!(has("head -n 3 .stream"), is(read(&bed, &at(".stream"))), "{name}");
    }
}

/// Holds no map open longer than a second past its last use, of any kind.
#[test]
fn none_is_kept_alive() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let mut ids = Vec::new();
    for kind in all() {
        let name = k::name(kind).unwrap();
        let id = make(&bed, name, kind).info.id;
        let at = |control: &str| format!("{name}/{control}");
        for control in
            [".info", ".schema", ".count", ".entries", ".watch", ".stream", ".help", "0", ".raw/00"]
        {
            read(&bed, &at(control));
        }
        for view in ["", ".raw", ".field", ".cpu", ".sum", ".pop", ".cpu/0"] {
            list(&bed, &at(view));
        }
        write(&bed, &at(".entries"), b"\n");
        write(&bed, &at(".push"), b"1\n");
        write(&bed, &at(".stream"), b"0x00\n");
        let _ = write_with(bed.at(&at("0")), libc::O_CREAT, b"1");
        list(&bed, &format!(".id/{id}"));
        read(&bed, &format!(".id/{id}/.info"));
        assert_eq!(bed.open(name).info.id, id, "it was there to be kept");
        fs::remove_file(bed.pin(name)).unwrap();
        ids.push(id);
    }
    for id in ids {
        freed(id);
    }
}

/// A listing, a stream of changes and an element that are held open keep no map either.
#[test]
fn open_files_keep_no_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let mut held = Vec::new();
    let mut ids = Vec::new();
    for kind in [k::HASH, k::LRU_HASH, k::LPM_TRIE, k::PERCPU_HASH, k::ARRAY] {
        let name = k::name(kind).unwrap();
        let raw = make(&bed, name, kind);
        ids.push(raw.info.id);
        let key = if kind == k::LPM_TRIE { "10.0.0.0_8" } else { "0" };
        bed.write(&format!("{name}/{key}"), "1");
        for file in [".watch", ".entries", ".info", key] {
            held.push((name, File::open(bed.at(name).join(file)).unwrap()));
        }
        held.push((name, File::open(bed.at(name)).unwrap()));
        drop(raw);
        fs::remove_file(bed.pin(name)).unwrap();
    }
    for id in ids {
        freed(id);
    }
    // What was rendered when it was opened is still there; the rest says that it is gone.
    for (name, file) in &mut held {
        let mut text = Vec::new();
        let read = file.read_to_end(&mut text);
        assert!(
            read.is_ok()
                || matches!(read.unwrap_err().raw_os_error(), Some(libc::ENOENT | libc::EISDIR)),
            "{name}"
        );
    }
}

/// `.id/N`: a map that goes away while it is open gives ESTALE or ENOENT, never another map.
#[test]
fn an_id_is_never_another_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in [k::HASH, k::ARRAY, k::LRU_HASH, k::PERCPU_ARRAY] {
        let name = k::name(kind).unwrap();
        let raw = make(&bed, name, kind);
        let id = raw.info.id;
        let dir = format!(".id/{id}");
        bed.write(&format!("{dir}/1"), "1");
        let open = |file: &str, write: bool| {
            OpenOptions::new()
                .read(true)
                .write(write)
                .open(bed.at(&format!("{dir}/{file}")))
                .unwrap()
        };
        let mut element = open("1", true);
        let mut entries = open(".entries", true);
        let handle = File::open(bed.at(&dir)).unwrap();
        drop(raw);
        fs::remove_file(bed.pin(name)).unwrap();
        freed(id);
        // One of the same shape, which nobody has asked for.
        let next = make(&bed, name, kind);
        let gone = |outcome: io::Result<usize>| {
            let errno = outcome.unwrap_err().raw_os_error();
            assert!(matches!(errno, Some(libc::ENOENT | libc::ESTALE)), "{name}: {errno:?}");
        };
        gone(element.write(b"7"));
        gone(entries.write(b"{\"key\":1,\"value\":7}\n"));
        let fd = std::os::fd::AsRawFd::as_raw_fd(&handle);
        gone(fs::read(format!("/proc/self/fd/{fd}/1")).map(|text| text.len()));
        gone(fs::read(format!("/proc/self/fd/{fd}/.info")).map(|text| text.len()));
        // libc takes ENOENT for the end of a directory that was removed.
        assert_eq!(fs::read_dir(format!("/proc/self/fd/{fd}")).map_or(0, Iterator::count), 0);
        gone(fs::read(bed.at(&format!("{dir}/1"))).map(|text| text.len()));
        refused(fs::read_dir(bed.at(&dir)), "ENOENT");
        assert!(!bed.list(".id").contains(&id.to_string()));
        let untouched = next.get(&1_u32.to_ne_bytes()).is_none_or(|v| v.iter().all(|&b| b == 0));
        assert!(untouched, "{name}: a write went to another map");
        drop(next);
        fs::remove_file(bed.pin(name)).unwrap();
    }
}

//! Kinds of map that are no plain tables: what each shows and takes, checked against raw
//! bpf(2) calls.

use crate::common::kernel::{lacks_map, lacks_taking};
use crate::common::require::require;
use crate::common::{Bed, RawMap, key32, refused, write_with};
use crate::kinds_common::{Cgroup, make};
use bpffuse::sys::map::{NewMap, kind as k};
use bpffuse::sys::{self, object};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::time::Duration;

/// A pinned map without BTF.
#[track_caller]
fn map(bed: &Bed, name: &str, map_type: u32, key: u32, value: u32, entries: u32) -> RawMap {
    let flags = if map_type == k::LPM_TRIE { 1 } else { 0 };
    let new = NewMap {
        map_type,
        name: name.to_owned(),
        key_size: key,
        value_size: value,
        max_entries: entries,
        flags,
        ..NewMap::default()
    };
    RawMap::create(&bed.pin(name), &new)
}

fn lpm(len: u32, address: [u8; 4]) -> Vec<u8> {
    [&len.to_ne_bytes()[..], &address].concat()
}

const ANY: i32 = libc::O_CREAT | libc::O_TRUNC;
const NOEXIST: i32 = libc::O_CREAT | libc::O_EXCL;

#[test]
fn lpm_exact_and_longest() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let routes = map(&bed, "routes", k::LPM_TRIE, 8, 4, 10);
    bed.write("routes/10.0.0.0_8", "1");
    bed.write("routes/192.168.5.7_24", "2");
    assert_eq!(routes.get(&lpm(8, [10, 0, 0, 0])), Some(key32(1).to_vec()));
    assert_eq!(bed.list("routes"), ["10.0.0.0_8", "192.168.5.0_24"]);
    assert_eq!(bed.read("routes/10.1.2.3"), "1\n");
    assert_eq!(bed.read("routes/10.77.0.0_8"), "1\n", "host bits do not count");
    for absent in ["10.0.0.0_9", "10.0.0.0_7", "10.0.0.0_32", "11.0.0.1", "0.0.0.0_0"] {
        refused(fs::read(bed.at(&format!("routes/{absent}"))), "ENOENT");
    }
    // BPF_NOEXIST and BPF_EXIST mean the entry itself, not one that covers it.
    write_with(bed.at("routes/10.0.0.0_9"), NOEXIST, b"3").unwrap();
    refused(write_with(bed.at("routes/10.0.0.0_9"), NOEXIST, b"4"), "EEXIST");
    refused(write_with(bed.at("routes/10.0.0.0_10"), 0, b"4"), "ENOENT");
    write_with(bed.at("routes/10.0.0.0_9"), 0, b"5").unwrap();
    assert_eq!(routes.get(&lpm(9, [10, 0, 0, 0])), Some(key32(5).to_vec()));
    // Without a length, a write makes the full-length entry, and rm removes that alone.
    refused(write_with(bed.at("routes/10.0.0.1"), 0, b"6"), "ENOENT");
    write_with(bed.at("routes/10.0.0.1"), ANY, b"6").unwrap();
    assert_eq!(bed.read("routes/10.0.0.1_32"), "6\n");
    assert_eq!(bed.read("routes/10.0.0.2"), "5\n");
    fs::remove_file(bed.at("routes/10.0.0.1")).unwrap();
    assert_eq!(bed.read("routes/10.0.0.1"), "5\n");
    refused(fs::remove_file(bed.at("routes/10.0.0.1")), "ENOENT");
    fs::remove_file(bed.at("routes/10.0.0.0_8")).unwrap();
    assert_eq!(bed.list("routes"), ["10.0.0.0_9", "192.168.5.0_24"]);
    refused(fs::read(bed.at("routes/10.128.0.1")), "ENOENT");
    for n in 0..8 {
        write_with(bed.at(&format!("routes/1.1.1.{n}_32")), ANY, b"0").unwrap();
    }
    refused(write_with(bed.at("routes/2.0.0.0_8"), ANY, b"0"), "ENOSPC");
}

/// Exact existence, for each prefix of a trie, against a list of what was put in.
#[test]
fn lpm_existence_is_exact() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let routes = map(&bed, "routes", k::LPM_TRIE, 8, 4, 1000);
    let mut present = std::collections::BTreeSet::new();
    for n in 0..300_u32 {
        let len = n % 9 + 1;
        let byte = (n.wrapping_mul(2_654_435_761) >> 24) as u8 & !(0xff_u16 >> len.min(8)) as u8;
        let len = len.min(8);
        routes.set(&lpm(len, [byte, 0, 0, 0]), &n.to_ne_bytes());
        present.insert((byte, len));
    }
    for len in 1..=8_u32 {
        for byte in (0..=255_u8).step_by(1 << (8 - len)) {
            let is_there = bed.at(&format!("routes/{byte}.0.0.0_{len}")).exists();
            assert_eq!(is_there, present.contains(&(byte, len)), "{byte}/{len}");
        }
    }
    assert_eq!(bed.list("routes").len(), present.len());
}

#[test]
fn queue_and_stack() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (name, map_type, order) in [("q", k::QUEUE, [1, 2, 3]), ("s", k::STACK, [3, 2, 1])] {
        let raw = map(&bed, name, map_type, 0, 4, 3);
        let at = |file: &str| bed.at(&format!("{name}/{file}"));
        assert!(bed.list(name).is_empty());
        refused(fs::read(at("head")), "ENOENT");
        refused(fs::read(at(".pop")), "ENOENT");
        write_with(at(".push"), 0, b"1\n").unwrap();
        write_with(at(".push"), 0, b"2\n3").unwrap();
        refused(write_with(at(".push"), 0, b"4"), "ENOSPC");
        refused(write_with(at(".push"), 0, b"x"), "EINVAL");
        refused(write_with(at(".push"), 0, b"4294967296"), "ERANGE");
        // Nothing listed consumes, however often it is looked at.
        for _ in 0..3 {
            assert_eq!(bed.list(name), ["head"]);
            assert_eq!(bed.read(&format!("{name}/head")), format!("{}\n", order[0]));
            bed.ok(&format!("grep -r . mnt/{name}; find mnt/{name}; tar c mnt/{name} > t"));
        }
        assert_eq!(raw.get(&[]), Some(key32(order[0]).to_vec()));
        refused(write_with(at("head"), ANY, b"9"), "EOPNOTSUPP");
        refused(fs::remove_file(at("head")), "EOPNOTSUPP");
        refused(fs::read(at("7")), "ENOENT");
        for value in order {
            assert_eq!(fs::read_to_string(at(".pop")).unwrap(), format!("{value}\n"));
        }
        assert_eq!(raw.get(&[]), None);
        refused(File::open(at(".push")), "EACCES");
        write_with(at(".push"), 0, b"1").unwrap();
        fs::remove_dir(bed.at(name)).unwrap();
        assert!(!bed.pin(name).exists(), "rmdir unpins what cannot be emptied by rm");
    }
}

#[test]
fn bloom_filter() {
    require!("root", "bpf", "fuse", "bloom_filter maps");
    let bed = Bed::new();
    let raw = map(&bed, "b", k::BLOOM_FILTER, 0, 4, 100);
    write_with(bed.at("b/.push"), 0, b"7").unwrap();
    raw.fd.lookup(&[], &mut key32(7), 0).unwrap();
    assert!(bed.at("b/7").exists());
    let absent = (1000..1100).filter(|n| !bed.at(&format!("b/{n}")).exists()).count();
    assert!(absent > 50, "a filter of one value has {absent} of 100 others not in it");
    assert!(bed.list("b").is_empty());
    refused(File::create(bed.at("b/1000000")), "EOPNOTSUPP");
    refused(fs::remove_file(bed.at("b/7")), "EOPNOTSUPP");
    refused(File::open(bed.at("b/.pop")), "EOPNOTSUPP");
    // The value's type is no key's.
    bed.write("typed", "bloom_filter value 'struct { __u32 a; }' entries 10\n");
    let info: serde_json::Value = serde_json::from_str(&bed.read("typed/.info")).unwrap();
    assert!(info["btf_key_type"].is_null() && info["btf_value_type"].is_string(), "{info}");
}

/// A document of many lines, and many documents of a line: each byte is looked at a few times only.
#[test]
fn long_texts_are_pushed() {
    require!("root", "bpf", "fuse", "bloom_filter maps");
    let bed = Bed::new();
    bed.write("b", "bloom_filter value 'struct { __u32 a; }' entries 1000\n");
    let raw = bed.open("b");
    let has = |a: u32| raw.fd.lookup(&[], &mut a.to_ne_bytes(), 0).is_ok();
    let text = format!("{{\"a\":{}7}}\n[]{{", "\n".repeat(300_000));
    refused(write_with(bed.at("b/.push"), 0, text.as_bytes()), "EINVAL");
    assert!(has(7));
    let text: String = (100..150).map(|a| format!("{{\"a\":\n{a}}}\n\n")).collect();
    write_with(bed.at("b/.push"), 0, (text.clone() + &"\n".repeat(300_000)).as_bytes()).unwrap();
    assert!((100..150).all(has));
    write_with(bed.at("b/.push"), 0, "{\"a\":1}\n".repeat(20_000).as_bytes()).unwrap();
}

/// An outer map of each sort, and an inner one that fits.
fn outer(bed: &Bed) -> RawMap {
    let inner = map(bed, "inner", k::HASH, 4, 4, 10);
    for (name, map_type) in [("array", k::ARRAY_OF_MAPS), ("hash", k::HASH_OF_MAPS)] {
        let new = NewMap {
            map_type,
            name: name.to_owned(),
            key_size: 4,
            value_size: 4,
            max_entries: 4,
            inner_map: Some(inner.fd.as_fd()),
            ..NewMap::default()
        };
        RawMap::create(&bed.pin(name), &new);
    }
    inner
}

#[test]
fn maps_of_maps() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let inner = outer(&bed);
    inner.set(&key32(7), &42_u32.to_ne_bytes());
    map(&bed, "other", k::HASH, 8, 4, 10);
    let id = inner.info.id;
    for name in ["array", "hash"] {
        let targets = [
            "../inner".to_owned(),
            "inner".to_owned(),
            bed.shown("mnt/inner"),
            bed.shown("bpf/inner"),
            format!("../.id/{id}"),
            bed.shown(&format!("mnt/.id/{id}")),
        ];
        for target in targets {
            symlink(&target, bed.at(&format!("{name}/3")))
                .unwrap_or_else(|e| panic!("{target}: {e}"));
            let link = fs::read_link(bed.at(&format!("{name}/3"))).unwrap();
            assert_eq!(link.to_str(), Some(&*format!("../.id/{id}")));
            assert_eq!(bed.open(name).get(&key32(3)), Some(id.to_ne_bytes().to_vec()));
            assert_eq!(bed.list(name), ["3"]);
            assert_eq!(bed.read(&format!("{name}/3/7")), "42\n");
            assert_eq!(bed.list(&format!("{name}/3")), ["7"]);
            refused(symlink("../inner", bed.at(&format!("{name}/3"))), "EEXIST");
            fs::remove_file(bed.at(&format!("{name}/3"))).unwrap();
            assert_eq!(bed.open(name).get(&key32(3)), None);
        }
        bed.ok(&format!("cd mnt && ln -s ../inner {name}/1 && test -L {name}/1"));
        assert_eq!(bed.ok(&format!("find -L mnt/{name} -type f")), format!("mnt/{name}/1/7\n"));
        refused(symlink("../other", bed.at(&format!("{name}/2"))), "EINVAL");
        assert!(bed.errors().iter().any(|line| line.contains("outer map's template")));
        refused(symlink("../nonesuch", bed.at(&format!("{name}/2"))), "ENOENT");
        refused(symlink("/etc/passwd", bed.at(&format!("{name}/2"))), "EINVAL");
        refused(symlink("../inner", bed.at(&format!("{name}/x"))), "EINVAL");
        bed.write(&format!("{name}/1/8"), "5");
        assert_eq!(inner.get(&key32(8)), Some(5_u32.to_ne_bytes().to_vec()));
        inner.delete(&key32(8));
    }
    refused(symlink("../inner", bed.at("array/4")), "EINVAL");
    refused(symlink("inner", bed.at("inner/1")), "EPERM");
}

/// A map unpinned elsewhere is freed by the kernel within a second of its last use here
#[test]
fn nothing_is_kept_alive() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let inner = outer(&bed);
    inner.set(&key32(7), &[0; 4]);
    symlink("../inner", bed.at("hash/1")).unwrap();
    let id = inner.info.id;
    drop(inner);
    bed.ok(&format!("ls -lR mnt/inner; cat mnt/hash/1/7 mnt/.id/{id}/7 mnt/inner/7; ls mnt/.id"));
    fs::remove_file(bed.pin("inner")).unwrap();
    bed.open("hash").delete(&key32(1));
    std::thread::sleep(Duration::from_secs(1));
    assert!(object::map_by_id(id).is_err(), "map {id} is still there");
    refused(fs::read(bed.at("hash/1/7")), "ENOENT");
    refused(fs::read_dir(bed.at(&format!(".id/{id}"))), "ENOENT");
}

#[test]
fn ids() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let raw = bed.hash("h");
    raw.set(&key32(1), &[9; 8]);
    let id = raw.info.id;
    fs::remove_file(bed.pin("h")).unwrap();
    assert!(bed.list(".id").contains(&id.to_string()), "not pinned, but loaded");
    assert_eq!(bed.list(&format!(".id/{id}")), ["1"]);
    bed.write(&format!(".id/{id}/2"), "3");
    assert_eq!(raw.get(&key32(2)), Some(3_u64.to_ne_bytes().to_vec()));
    let info: serde_json::Value =
        serde_json::from_str(&bed.read(&format!(".id/{id}/.info"))).unwrap();
    assert_eq!(info["id"], id);
    assert_eq!(bed.ok("stat -c %a mnt/.id"), "700\n");
    assert!(!bed.list("").contains(&".id".to_owned()));
    for none in ["0", "x", "2147483647", &format!("0{id}")] {
        refused(fs::read_dir(bed.at(&format!(".id/{none}"))), "ENOENT");
    }
    // Open while it goes away.
    let mut file = File::open(bed.at(&format!(".id/{id}/1"))).unwrap();
    let dir = File::open(bed.at(&format!(".id/{id}"))).unwrap();
    drop(raw);
    std::thread::sleep(Duration::from_secs(1));
    assert!(object::map_by_id(id).is_err());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
    let below = format!("/proc/self/fd/{}/1", dir.as_raw_fd());
    let errno = fs::read(below).unwrap_err().raw_os_error();
    assert!(matches!(errno, Some(libc::ENOENT | libc::ESTALE)), "{errno:?}");
}

#[test]
fn pop_takes_atomically() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (name, map_type) in
        [("h", k::HASH), ("l", k::LRU_HASH), ("p", k::PERCPU_HASH), ("lp", k::LRU_PERCPU_HASH)]
    {
        let raw = map(&bed, name, map_type, 4, 4, 16);
        if name.contains('p') {
            raw.set_all_cpus(&key32(1), &[5, 0, 0, 0]);
        } else {
            raw.set(&key32(1), &[5, 0, 0, 0]);
        }
        let text = bed.read(&format!("{name}/1"));
        bed.ok(&format!(
            "stat mnt/{name}/.pop/1; ls -la mnt/{name}/.pop; test -e mnt/{name}/.pop/1"
        ));
        refused(File::create(bed.at(&format!("{name}/.pop/1"))), "EACCES");
        if lacks_taking(&raw) {
            refused(fs::read(bed.at(&format!("{name}/.pop/1"))), "EOPNOTSUPP");
            continue;
        }
        assert_eq!(bed.read(&format!("{name}/.pop/1")), text);
        refused(fs::read(bed.at(&format!("{name}/.pop/1"))), "ENOENT");
        assert!(raw.keys().is_empty());
    }
    map(&bed, "a", k::ARRAY, 4, 4, 1);
    refused(fs::read(bed.at("a/.pop/0")), "EOPNOTSUPP");
}

#[test]
fn devices_and_cpus() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (name, map_type) in [("d", k::DEVMAP), ("dh", k::DEVMAP_HASH)] {
        for value in [4, 8] {
            let name = format!("{name}{value}");
            let raw = map(&bed, &name, map_type, 4, value, 4);
            let at = |key: &str| bed.at(&format!("{name}/{key}"));
            assert!(bed.list(&name).is_empty());
            refused(write_with(at("2"), 0, b"lo"), "ENOENT");
            for text in ["lo", "1", "\"lo\"", "{\"ifindex\":1}", "{\"name\":\"lo\"}"] {
                write_with(at("2"), ANY, text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
                assert_eq!(raw.get(&key32(2)).unwrap()[..4], 1_u32.to_ne_bytes());
                let shown: serde_json::Value =
                    serde_json::from_str(&bed.read(&format!("{name}/2"))).unwrap();
                assert_eq!((&shown["ifindex"], &shown["name"]), (&1.into(), &"lo".into()));
                // What is printed is accepted.
                write_with(at("2"), ANY, shown.to_string().as_bytes()).unwrap();
                assert_eq!(bed.list(&name), ["2"]);
                fs::remove_file(at("2")).unwrap();
                assert!(bed.list(&name).is_empty());
            }
            for (text, errno) in [
                ("nosuchif", "EINVAL"),
                ("0", "EINVAL"),
                ("999999", "EINVAL"),
                ("4294967296", "ERANGE"),
                ("{\"ifindex\":1,\"name\":\"eth9\"}", "EINVAL"),
                ("{\"index\":1}", "EINVAL"),
            ] {
                refused(write_with(at("1"), ANY, text.as_bytes()), errno);
            }
            write_with(at("1"), NOEXIST, b"lo").unwrap();
            refused(write_with(at("1"), NOEXIST, b"lo"), "EEXIST");
        }
    }
    refused(write_with(bed.at("d4/4"), ANY, b"lo"), "EINVAL");
    for value in [4, 8] {
        let name = format!("c{value}");
        let raw = map(&bed, &name, k::CPUMAP, 4, value, 1);
        bed.write(&format!("{name}/0"), "192");
        assert_eq!(raw.get(&key32(0)).unwrap()[..4], 192_u32.to_ne_bytes());
        let text = bed.read(&format!("{name}/0"));
        assert_eq!(text, if value == 4 { "192\n" } else { "{\"qsize\":192,\"prog_id\":null}\n" });
        bed.write(&format!("{name}/0"), &text);
        refused(write_with(bed.at(&format!("{name}/0")), ANY, b"0"), "EINVAL");
        refused(write_with(bed.at(&format!("{name}/0")), ANY, b"20000"), "errno 75");
        fs::remove_file(bed.at(&format!("{name}/0"))).unwrap();
        assert_eq!(raw.get(&key32(0)), None);
    }
}

#[test]
fn sockets() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let name_of = |fd: i32| format!("{}:{fd}", std::process::id());
    let socket = name_of(client.as_raw_fd());
    for (name, map_type) in [("m", k::SOCKMAP), ("h", k::SOCKHASH)] {
        let raw = map(&bed, name, map_type, 4, 8, 4);
        bed.write(&format!("{name}/1"), &socket);
        let cookie = u64::from_ne_bytes(raw.get(&key32(1)).unwrap().try_into().unwrap());
        assert_eq!(bed.read(&format!("{name}/1")), format!("{cookie}\n"));
        assert_eq!(bed.list(name), ["1"]);
        refused(write_with(bed.at(&format!("{name}/1")), NOEXIST, socket.as_bytes()), "EEXIST");
        refused(
            write_with(bed.at(&format!("{name}/2")), ANY, name_of(999_999).as_bytes()),
            "ENOENT",
        );
        refused(write_with(bed.at(&format!("{name}/2")), ANY, b"seven"), "EINVAL");
        refused(write_with(bed.at(&format!("{name}/2")), ANY, name_of(0).as_bytes()), "errno 88");
        fs::remove_file(bed.at(&format!("{name}/1"))).unwrap();
        assert_eq!(raw.get(&key32(1)), None);
        // Values of four bytes have no room for a cookie: they cannot be read.
        let name = format!("{name}4");
        map(&bed, &name, map_type, 4, 4, 4);
        bed.write(&format!("{name}/1"), &socket);
        refused(fs::read(bed.at(&format!("{name}/1"))), "EOPNOTSUPP");
        fs::remove_file(bed.at(&format!("{name}/1"))).unwrap();
    }
    let raw = map(&bed, "x", k::XSKMAP, 4, 4, 4);
    refused(fs::read(bed.at("x/1")), "EOPNOTSUPP");
    refused(write_with(bed.at("x/1"), ANY, socket.as_bytes()), "EOPNOTSUPP");
    refused(write_with(bed.at("x/4"), ANY, socket.as_bytes()), "EINVAL");
    assert_eq!(raw.fd.lookup(&key32(1), &mut [0; 4], 0).unwrap_err().errno, libc::EOPNOTSUPP);
}

#[test]
fn cgroup_and_perf_arrays() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let cgroup = Cgroup::new(&bed);
    let raw = map(&bed, "c", k::CGROUP_ARRAY, 4, 4, 4);
    assert!(bed.list("c").is_empty());
    refused(fs::read(bed.at("c/1")), "EOPNOTSUPP");
    let delete = |key| raw.fd.delete(&key32(key)).map_err(|error| error.errno);
    bed.write("c/1", cgroup.0.to_str().unwrap());
    assert_eq!(delete(1), Ok(()));
    let id = cgroup.id();
    bed.write("c/2", &id.to_string());
    fs::remove_file(bed.at("c/2")).unwrap();
    assert_eq!(delete(2), Err(libc::ENOENT));
    refused(fs::remove_file(bed.at("c/2")), "ENOENT");
    refused(write_with(bed.at("c/1"), ANY, b"/etc"), "EINVAL");
    refused(write_with(bed.at("c/4"), ANY, b"/etc"), "EINVAL");
    refused(write_with(bed.at("c/1"), 0, id.to_string().as_bytes()), "EOPNOTSUPP");
    map(&bed, "p", k::PERF_EVENT_ARRAY, 4, 4, 2);
    refused(fs::read(bed.at("p/0")), "EOPNOTSUPP");
    refused(write_with(bed.at("p/0"), ANY, b"1:2"), "EOPNOTSUPP");
    assert!(bed.errors().last().unwrap().contains("preserve_elems"));
}

#[test]
fn storages_are_named_by_what_they_belong_to() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&["-o", "allow_other"]);
    let cgroup = Cgroup::new(&bed);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = bed.dir.join("a file");
    fs::write(&file, "").unwrap();
    let escaped =
        |path: &std::path::Path| path.to_str().unwrap().replace('/', "%2F").replace(' ', "%20");
    let pidfd = sys::os::pidfd(std::process::id(), false).unwrap();
    let opened = File::open(&file).unwrap();
    let group = File::open(&cgroup.0).unwrap();
    let cases = [
        ("t", k::TASK_STORAGE, std::process::id().to_string(), pidfd.as_raw_fd()),
        ("i", k::INODE_STORAGE, escaped(&file), opened.as_raw_fd()),
        ("c", k::CGRP_STORAGE, escaped(&cgroup.0), group.as_raw_fd()),
        (
            "s",
            k::SK_STORAGE,
            format!("{}:{}", std::process::id(), listener.as_raw_fd()),
            listener.as_raw_fd(),
        ),
    ];
    for (name, map_type, key, fd) in cases {
        if lacks_map(map_type) {
            continue;
        }
        let raw = make(&bed, name, map_type);
        let path = bed.at(&format!("{name}/{key}"));
        assert!(bed.list(name).is_empty());
        refused(fs::read(&path), "ENOENT");
        refused(write_with(&path, 0, b"1"), "ENOENT");
        write_with(&path, NOEXIST, b"-7").unwrap();
        assert_eq!(raw.get(&fd.to_ne_bytes()), Some((-7_i32).to_ne_bytes().to_vec()), "{name}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "-7\n");
        refused(write_with(&path, NOEXIST, b"1"), "EEXIST");
        write_with(&path, 0, b"8").unwrap();
        assert_eq!(raw.get(&fd.to_ne_bytes()), Some(8_i32.to_ne_bytes().to_vec()));
        fs::remove_file(&path).unwrap();
        assert_eq!(raw.get(&fd.to_ne_bytes()), None);
        refused(fs::read(bed.at(&format!("{name}/nonsense"))), "ENOENT");
        // To find it, the daemon opens what the name says with its own rights.
        bed.ok(&format!("chmod 666 bpf/{name}"));
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
        bed.fails_with(&format!("{nobody} cat 'mnt/{name}/{key}'"), "Operation not permitted");
    }
}

/// prog_array: read as the program's id; set by an id, a pin's path, a PROG file's path.
#[test]
fn programs_in_arrays() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    let raw = map(&bed, "pa", k::PROG_ARRAY, 4, 4, 4);
    let object = crate::common::object::compile("links");
    bed.ok(&format!("bpftool prog loadall {} bpf/p", object.display()));
    let info: serde_json::Value = serde_json::from_str(&bed.read("p/count_switches")).unwrap();
    let id = info["id"].as_u64().unwrap() as u32;
    for text in [
        id.to_string(),
        "../p/count_switches".to_owned(),
        bed.shown("bpf/p/count_switches"),
        bed.shown("mnt/p/count_switches"),
    ] {
        write_with(bed.at("pa/1"), NOEXIST, text.as_bytes())
            .unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(raw.get(&key32(1)), Some(id.to_ne_bytes().to_vec()), "{text}");
        assert_eq!(bed.read("pa/1"), format!("{id}\n"));
        assert_eq!(bed.list("pa"), ["1"]);
        write_with(bed.at("pa/1"), 0, text.as_bytes()).unwrap();
        fs::remove_file(bed.at("pa/1")).unwrap();
        assert_eq!(raw.get(&key32(1)), None);
    }
    refused(write_with(bed.at("pa/1"), 0, id.to_string().as_bytes()), "ENOENT");
    refused(write_with(bed.at("pa/1"), ANY, b"4294967295"), "ENOENT");
    refused(write_with(bed.at("pa/1"), ANY, b"../pa"), "EINVAL");
    refused(write_with(bed.at("pa/4"), ANY, id.to_string().as_bytes()), "EINVAL");
    let first = format!("pa/.raw/{:08x}", 1_u32.to_be());
    refused(fs::write(bed.at(&first), [0; 4]), "EOPNOTSUPP");
}

/// `/sys/devices/system/cpu/possible` may be another's word, such as lxcfs's: the kernel's own number
/// of values counts, and nothing is written past a buffer.
#[test]
fn every_cpu_has_its_value_whatever_sysfs_says() {
    require!("root", "bpf", "fuse", "unshare", "bpftool");
    let cpus = bpffuse::sys::map::possible_cpus().expect("the number of CPUs");
    for lie in ["0", "0-4000"] {
        let bed = Bed::private(&format!(
            "mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps
             echo {lie} > /run/possible; mount --bind /run/possible /sys/devices/system/cpu/possible"
        ));
        bed.ok("bpffuse /mnt/maps");
        let shown = bed.ok("cd /mnt/maps
             bpftool map create /sys/fs/bpf/p type percpu_array key 4 value 3 entries 4 name p
             ls p/.cpu | wc -l; wc -l < p/0; echo 7 > p/0; sort -u p/0; cd /; umount /mnt/maps");
        assert!(shown.starts_with(&format!("{cpus}\n{cpus}\n")), "{lie}: {shown}");
    }
}

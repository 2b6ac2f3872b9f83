//! Each row of the table of error numbers, and the reason that each
//! refusal leaves in `/.errors`.

use crate::common::errno::open_with;
use crate::common::require::require;
use crate::common::{Bed, Kind, key32, refused, write_with};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

const CREAT: i32 = libc::O_CREAT;
const EXCL: i32 = libc::O_EXCL;

/// Fails unless `outcome` is `errno` and has left a line in `/.errors` with it, with `path`, and with
/// a reason.
#[track_caller]
fn refused_with_reason<T: std::fmt::Debug>(
    bed: &Bed,
    outcome: io::Result<T>,
    errno: &str,
    path: &str,
) {
    refused(outcome, errno);
    let errors = bed.errors();
    let last = errors.last().map(String::as_str).unwrap_or_default();
    assert!(
        last.contains(errno) && last.contains(path),
        "{errno} on {path} is not the last line of .errors:\n{errors:#?}"
    );
    let reason = last.split_once(errno).unwrap().1.trim_matches([' ', ':', '\t']);
    assert!(reason.len() > 5, "{errno} on {path} without a reason: {last}");
}

/// ENOENT: no such key, map or control; a name that is no key of this map.
#[test]
fn enoent() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h");
    for name in
        ["h/1", "h/nonsense", "h/4294967296", "nomap", "nomap/1", "h/.nocontrol", "h/.raw/01"]
    {
        refused(fs::read(bed.at(name)), "ENOENT");
        refused(fs::metadata(bed.at(name)), "ENOENT");
        refused(fs::remove_file(bed.at(name)), "ENOENT");
        refused(open_with(bed.at(name), 0), "ENOENT");
    }
}

/// EEXIST: O_EXCL on a present element; a new map's name is taken.
#[test]
fn eexist() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("mkdir bpf/d; ln -s h bpf/l");
    refused(write_with(bed.at("h/1"), CREAT | EXCL, b"1\n"), "EEXIST");
    for name in ["h", "d", "l"] {
        refused(fs::create_dir(bed.at(name)), "EEXIST");
    }
    // The element that comes after a successful open.
    let mut file = open_with(bed.at("h/2"), CREAT | EXCL).unwrap();
    bed.open("h").set(&key32(2), &[0; 8]);
    let outcome = io::Write::write(&mut file, b"1\n");
    refused_with_reason(&bed, outcome, "EEXIST", "h/2");
}

/// EINVAL: text that is no value, or a new name that is no key; an array index past the end.
#[test]
fn einval() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.map("a", Kind::Array, 4, 8, 4);
    refused_with_reason(&bed, write_with(bed.at("h/1"), CREAT, b"nonsense\n"), "EINVAL", "h/1");
    refused_with_reason(&bed, write_with(bed.at("h/x"), CREAT, b"1\n"), "EINVAL", "h/x");
    refused_with_reason(&bed, write_with(bed.at("a/4"), CREAT, b"1\n"), "EINVAL", "a/4");
}

/// ERANGE: a number that does not fit its type.
#[test]
fn erange() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 1, 10).set(&key32(1), &[0]);
    refused_with_reason(&bed, write_with(bed.at("h/1"), CREAT, b"256\n"), "ERANGE", "h/1");
    refused_with_reason(&bed, write_with(bed.at("h/1"), CREAT, b"-129\n"), "ERANGE", "h/1");
}

/// ENOSPC: the map is full (the kernel's E2BIG); present elements can still be changed.
#[test]
fn enospc() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in [Kind::Hash, Kind::PercpuHash] {
        let name = kind.name();
        bed.map(name, kind, 4, 8, 2);
        bed.ok(&format!("echo 1 > mnt/{name}/1; echo 2 > mnt/{name}/2"));
        let third = format!("{name}/3");
        refused_with_reason(&bed, write_with(bed.at(&third), CREAT, b"3\n"), "ENOSPC", &third);
        bed.ok(&format!("echo 4 > mnt/{name}/1"));
        bed.fails_with(&format!("echo 3 > mnt/{third}"), "No space left on device");
        assert_eq!(bed.list(name), ["1", "2"]);
        // touch of a new element makes it by the same call.
        bed.run(&format!("touch mnt/{third}"));
        assert_eq!(bed.list(name), ["1", "2"]);
        bed.ok(&format!("rm mnt/{name}/1; echo 3 > mnt/{third}"));
    }
    // An LRU map makes room.
    bed.map("lru", Kind::LruHash, 4, 8, 2);
    bed.ok("for i in $(seq 50); do echo $i > mnt/lru/$i || exit; done; cat mnt/lru/50");
}

/// EPERM: deleting from an array; writing a frozen map.
#[test]
fn eperm() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in [Kind::Array, Kind::PercpuArray] {
        let name = kind.name();
        bed.map(name, kind, 4, 8, 4);
        let path = format!("{name}/1");
        refused_with_reason(&bed, fs::remove_file(bed.at(&path)), "EPERM", &path);
        bed.fails_with(&format!("rm mnt/{path}"), "Operation not permitted");
    }
    for kind in Kind::ALL {
        let name = format!("frozen_{}", kind.name());
        let map = bed.map(&name, kind, 4, 8, 4);
        let (one, two) = (format!("{name}/1"), format!("{name}/2"));
        bed.write(&one, "7\n");
        map.fd.freeze().unwrap();
        refused_with_reason(&bed, write_with(bed.at(&one), CREAT, b"8\n"), "EPERM", &name);
        refused_with_reason(&bed, fs::remove_file(bed.at(&one)), "EPERM", &one);
        if !kind.is_array() {
            refused_with_reason(&bed, write_with(bed.at(&two), CREAT, b"8\n"), "EPERM", &name);
        }
        bed.run(&format!("touch mnt/{two}"));
        assert!(bed.read(&one).starts_with("7\n"), "{name}: a frozen map changed");
        assert_eq!(bed.list(&name).len(), if kind.is_array() { 4 } else { 1 });
    }
}

/// EXDEV: renaming a key.
#[test]
fn exdev() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    refused(fs::rename(bed.at("h/1"), bed.at("h/2")), "EXDEV");
    refused(fs::rename(bed.at("h/1"), bed.at("outside")), "EXDEV");
    assert_eq!(bed.list("h"), ["1"]);
}

/// ENOTEMPTY: rmdir of a map that has deletable entries.
#[test]
fn enotempty() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    refused_with_reason(&bed, fs::remove_dir(bed.at("h")), "ENOTEMPTY", "h");
    bed.fails_with("rmdir mnt/h", "Directory not empty");
}

/// EOPNOTSUPP: an operation this kind of map does not have: a ring buffer has no elements, and
/// says so without a wrong value.
#[test]
fn kinds_without_keys() {
    require!("root", "bpf", "fuse", "bpftool", "jq");
    let bed = Bed::new();
    bed.ok("bpftool map create bpf/rb type ringbuf key 0 value 0 entries 65536 name rb");
    assert_eq!(bed.list("rb"), Vec::<String>::new());
    assert_eq!(bed.ok("jq -r .type mnt/rb/.info"), "ringbuf\n");
    refused(fs::metadata(bed.at("rb/1")), "ENOENT");
    assert!(write_with(bed.at("rb/1"), CREAT, b"1\n").is_err());
    bed.ok("rmdir mnt/rb");
    assert!(!bed.pin("rb").exists());
}

/// Errors of the kernel pass through unchanged where no row says otherwise: bpffs takes no dots.
#[test]
fn kernel_errors_pass_through() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h");
    refused(fs::rename(bed.at("h"), bed.at("a.b")), "EPERM");
    refused(fs::rename(bed.at("h"), bed.at("nodir/h")), "ENOENT");
    bed.ok("mkdir bpf/d");
    bed.hash("d/x");
    // In bpffs a map is a file.
    refused(fs::rename(bed.at("h"), bed.at("d")), "EISDIR");
    assert_eq!(bed.list("h"), Vec::<String>::new(), "h is still there");
}

/// No input, file name, map or concurrent change may crash or hang the daemon: a day's worth of
/// nonsense, and it still serves.
#[test]
fn nonsense_does_no_harm() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    bed.load("maps");
    let mut state = 7u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let words: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b":",
        b",",
        b"packets",
        b"1",
        b"-",
        b"0x",
        b"\\u",
        b"\\",
        b"\xff",
        b"\0",
        b"\n",
        b" ",
        b"e9",
        b".",
        b"%",
        b"%2F",
        b"=",
        b"true",
        b"null",
        b"fd00::",
        b"10.0.0.",
        b"99999999999999999999",
        b"name",
        b"list",
        b"bytes",
        b"RED",
    ];
    let maps = [
        "scalars",
        "hash_stats",
        "phash_stats",
        "v_text",
        "v_quad",
        "v_octets",
        "k_name",
        "k_flow",
    ];
    for _ in 0..3000 {
        let map = maps[next() % maps.len()];
        let mut text = Vec::new();
        for _ in 0..next() % 12 {
            text.extend_from_slice(words[next() % words.len()]);
        }
        let name: Vec<u8> =
            text.iter().copied().filter(|b| !b"/\0".contains(b)).take(200).collect();
        let name = std::ffi::OsStr::from_bytes(&name);
        let _ = write_with(bed.at(map).join("1"), CREAT, &text);
        let _ = write_with(bed.at(map).join(name), CREAT, b"1\n");
        let _ = fs::metadata(bed.at(map).join(name));
        let _ = fs::metadata(bed.at(map).join(".raw").join(name));
    }
    for map in maps {
        for name in bed.list(map) {
            bed.read(&format!("{map}/{name}"));
        }
    }
    bed.read(".errors");
    assert_eq!(bed.daemons().len(), 1, "the daemon has gone: {}", bed.log());
    // Deep and long paths.
    let long = "x".repeat(255);
    for path in [
        long.clone(),
        format!("hash_u64/{long}"),
        format!("hash_u64/.raw/{long}"),
        "../../..".into(),
    ] {
        let _ = fs::metadata(bed.at(&path));
        let _ = write_with(bed.at(&path), CREAT, b"1\n");
    }
    assert_eq!(bed.ok("echo 5 > mnt/hash_u64/5; cat mnt/hash_u64/5"), "5\n");
}

/// "A look-up of a name that is simply not there is no refusal": the last line is the last refusal's, whatever
/// programs look for in each directory that they come to.
#[test]
fn a_miss_is_no_refusal() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("cd mnt; echo directory > dir; echo 'hash key u32 value u64 entries 4' > h");
    bed.fails("echo x > mnt/h/1");
    for path in ["absent", ".git", ".python-version", "dir/absent", "dir/.git", "dir/.maps", "h/5"]
    {
        bed.fails(&format!("stat mnt/{path}"));
        let errors = bed.errors();
        assert!(errors.last().is_some_and(|line| line.contains("write /h/1 EINVAL")), "{errors:?}");
    }
    bed.fails("stat mnt/h/absent");
    assert!(bed.errors().pop().is_some_and(|line| line.contains("lookup /h/absent ENOENT")));
}

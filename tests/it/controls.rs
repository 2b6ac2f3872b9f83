//! The controls of plain tables, opened by name and never listed.

use crate::common::require::require;
use crate::common::{Bed, Kind, key32, refused, write_with};
use std::fs;

/// `.info`: one JSON object: id, name, type, key_size, value_size, max_entries, flags (names),
/// map_extra, frozen, memlock, btf_id, btf_key_type, btf_value_type, pins.
#[test]
fn info_of_a_plain_map() {
    require!("root", "bpf", "fuse", "bpftool", "jq");
    let bed = Bed::new();
    bed.ok(
        "mkdir bpf/d
            bpftool map create bpf/d/h type hash key 12 value 24 entries 77 name some_name flags 1",
    );
    let info = |filter: &str| bed.ok(&format!("jq -c '{filter}' mnt/d/h/.info"));
    assert_eq!(
        info("[.name, .type, .key_size, .value_size, .max_entries, .map_extra, .frozen, .btf_id]"),
        "[\"some_name\",\"hash\",12,24,77,0,false,0]\n"
    );
    assert_eq!(info(".flags"), "[\"no_prealloc\"]\n");
    assert_eq!(info(".pins"), format!("[\"{}\"]\n", bed.shown("bpf/d/h")));
    assert_eq!(info("[.btf_key_type, .btf_value_type]"), "[null,null]\n");
    let theirs = bed.ok("bpftool -j map show pinned bpf/d/h | jq -c '[.id, .bytes_memlock]'");
    assert_eq!(info("[.id, .memlock]"), theirs);
    assert_eq!(
        info(
            "keys - [\"types\",\"id\",\"name\",\"type\",\"key_size\",\"value_size\",\"max_entries\",\"flags\",\"map_extra\",\"frozen\",\"memlock\",\"btf_id\",\"btf_key_type\",\"btf_value_type\",\"pins\"] | length < 4"
        ),
        "true\n"
    );
    assert!(bed.read("d/h/.info").ends_with("}\n"), "one document and a newline");
}

/// The same of a map with BTF, of each kind, and of one that is pinned twice.
#[test]
fn info_of_typed_maps() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "jq");
    let bed = Bed::new();
    bed.load("maps");
    for (map, kind) in [
        ("hash_stats", "hash"),
        ("array_stats", "array"),
        ("lru_stats", "lru_hash"),
        ("phash_stats", "percpu_hash"),
        ("parray_stats", "percpu_array"),
        ("plru_stats", "lru_percpu_hash"),
    ] {
        let ours = bed.ok(&format!("jq -c '[.id,.type,.name,.btf_id]' mnt/{map}/.info"));
        let theirs = bed.ok(&format!(
            "bpftool -j map show pinned bpf/{map} | jq -c '[.id,.type,.name,.btf_id]'"
        ));
        assert_eq!(ours, theirs, "(left: .info, right: bpftool)");
        assert!(ours.contains(&format!("\"{kind}\"")), "{ours}");
        let types = bed.ok(&format!("jq -c '[.btf_key_type,.btf_value_type]' mnt/{map}/.info"));
        assert_eq!(types, "[\"__u32\",\"struct stats\"]\n");
    }
    bed.ok("bpftool map pin pinned bpf/hash_stats bpf/again");
    let pins = bed.ok("jq -r '.pins[]' mnt/again/.info");
    assert_eq!(pins.lines().count(), 2, "both pins: {pins}");
    assert_eq!(bed.ok("jq .pins mnt/hash_stats/.info"), bed.ok("jq .pins mnt/again/.info"));
}

/// "frozen" follows the map.
#[test]
fn info_says_frozen() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    let map = bed.hash("h");
    assert_eq!(bed.ok("jq .frozen mnt/h/.info"), "false\n");
    map.fd.freeze().unwrap();
    assert_eq!(bed.ok("jq .frozen mnt/h/.info"), "true\n");
}

/// `cat DIR/.help` lists what DIR has, each with one line and an example: what it names exists.
#[test]
fn help_names_what_is_there() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("mkdir bpf/d");
    for (dir, at_least) in [("", &[".errors"][..]), ("h", &[".info", ".raw"]), ("d", &[])] {
        let help = bed.read(format!("{dir}/.help").trim_start_matches('/'));
        assert!(help.ends_with('\n') && help.lines().count() >= 2, "{dir}/.help: {help:?}");
        let named: Vec<&str> = help
            .split(|c: char| c.is_whitespace() || ",;()".contains(c))
            .filter_map(|word| word.strip_prefix('.')?.split('/').next())
            .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()))
            .collect();
        for control in at_least {
            assert!(named.contains(&&control[1..]), "{control} is not in {dir}/.help:\n{help}");
        }
        for control in named {
            let path = format!("{dir}/.{control}");
            fs::symlink_metadata(bed.at(path.trim_start_matches('/')))
                .unwrap_or_else(|e| panic!("{dir}/.help names .{control}, but: {e}"));
        }
    }
}

/// It can be opened by name, but no listing shows it; other names with a dot do not exist.
#[test]
fn unknown_controls() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("mkdir bpf/d");
    for name in [".nonsense", "h/.nonsense", "d/.nonsense", "h/.errors", "h/.inf", "h/.info2"] {
        refused(fs::metadata(bed.at(name)), "ENOENT");
        assert!(write_with(bed.at(name), libc::O_CREAT, b"1\n").is_err(), "{name} was made");
    }
    assert_eq!(bed.open("h").keys().len(), 1);
}

/// Controls are files that nobody removes, renames or, where the table has no write, writes.
#[test]
fn controls_stay() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    for name in [".errors", ".help", "h/.info", "h/.help"] {
        assert!(fs::remove_file(bed.at(name)).is_err(), "{name} was removed");
        assert!(fs::rename(bed.at(name), bed.at("h/2")).is_err(), "{name} was renamed");
        // Root may open anything for writing; the write itself must be refused then.
        assert!(write_with(bed.at(name), 0, b"1\n").is_err(), "{name} was written");
        assert!(!bed.read(name).is_empty(), "{name} is empty");
        bed.ok(&format!("test -f mnt/{name}"));
    }
    assert!(fs::rename(bed.at("h/1"), bed.at("h/.info")).is_err());
    assert_eq!(bed.list("h"), ["1"]);
}

/// `/.errors`: each one line: time, pid, uid, operation, path, errno name, and the reason in words.
#[test]
fn errors_file() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(7), &[0; 8]);
    assert_eq!(bed.errors(), Vec::<String>::new(), "nothing was refused yet");
    let pid = bed.ok("echo $$; exec 2> /dev/null; echo nonsense > mnt/h/7; true");
    let lines = bed.errors();
    let [line] = &lines[..] else { panic!("one line was expected: {lines:#?}") };
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert!(fields.len() > 6, "seven fields: {line}");
    let year = &bed.ok("date +%Y");
    assert!(fields[0].contains(year.trim()), "it does not begin with the time: {line}");
    assert!(
        fields[1..5].iter().any(|f| f.trim_start_matches("pid=") == pid.trim()),
        "pid {pid}: {line}"
    );
    assert!(fields[1..6].iter().any(|f| f.trim_start_matches("uid=") == "0"), "uid 0: {line}");
    for word in ["write", "h/7", "EINVAL"] {
        assert!(fields.iter().any(|f| f.contains(word)), "{word}: {line}");
    }
    let at = fields.iter().position(|f| f.contains("EINVAL")).unwrap();
    assert!(fields[at + 1..].len() >= 2, "the reason in words: {line}");
    // A user's own uid.
    bed.ok("chmod 755 .");
}

/// The last 64 refused operations, newest last; odd paths stay one line each.
#[test]
fn errors_are_the_last_64() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h");
    for n in 0..100 {
        refused(write_with(bed.at(&format!("h/{n}")), libc::O_CREAT, b"nonsense\n"), "EINVAL");
    }
    let lines = bed.errors();
    assert_eq!(lines.len(), 64);
    for (line, n) in lines.iter().zip(36..) {
        assert!(line.contains(&format!("h/{n}")), "h/{n} was expected: {line}");
    }
    refused(write_with(bed.at("h/two\nlines"), libc::O_CREAT, b"1\n"), "EINVAL");
    let lines = bed.errors();
    assert_eq!(lines.len(), 64, "a newline in a name made two lines");
    assert!(lines[63].contains("two"), "{}", lines[63]);
    // Looking for what is not there is no refusal worth keeping the others out.
    for n in 0..70 {
        refused(fs::metadata(bed.at(&format!("h/{n}"))), "ENOENT");
    }
    let kept = bed.errors().iter().filter(|line| line.contains("EINVAL")).count();
    assert!(kept >= 60, "stat of absent keys pushed the refusals out: {kept} are left");
}

/// `.raw/KEY`: KEY in hex; the value's bytes | exactly the value's bytes.
#[test]
fn raw() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    bed.load("maps");
    let map = bed.map("u", Kind::Hash, 4, 5, 10);
    map.set(&[0x0a, 0x0b, 0x0c, 0xff], b"\x01\x02\n\x00\xff");
    assert_eq!(fs::read(bed.at("u/.raw/0a0b0cff")).unwrap(), b"\x01\x02\n\x00\xff");
    assert_eq!(bed.ok("stat -c '%F %s' mnt/u/.raw/0a0b0cff"), "regular file 5\n");
    // The same update flags as by name.
    bed.ok(r"printf '\1\2\3\4\5' > mnt/u/.raw/01000000");
    assert_eq!(map.get(&[1, 0, 0, 0]), Some(vec![1, 2, 3, 4, 5]));
    refused(write_with(bed.at("u/.raw/02000000"), 0, b"12345"), "ENOENT");
    let excl = libc::O_CREAT | libc::O_EXCL;
    refused(write_with(bed.at("u/.raw/01000000"), excl, b"12345"), "EEXIST");
    // Exactly the value's bytes: more is refused; fewer, at close, change nothing.
    refused(write_with(bed.at("u/.raw/01000000"), libc::O_CREAT, b"123456"), "EINVAL");
    bed.run("printf 1234 > mnt/u/.raw/01000000");
    assert_eq!(map.get(&[1, 0, 0, 0]), Some(vec![1, 2, 3, 4, 5]));
    let out = bed.python(
        r#"
        fd = os.open("mnt/u/.raw/01000000", os.O_WRONLY)
        os.write(fd, b"123")
        print(errno_of(os.close, fd))
        fd = os.open("mnt/u/.raw/01000000", os.O_WRONLY)
        os.write(fd, b"abc"); os.write(fd, b"de")
        print(errno_of(os.close, fd))
        "#,
    );
    assert_eq!(out, "EINVAL\nNone\n");
    assert_eq!(map.get(&[1, 0, 0, 0]), Some(b"abcde".to_vec()));
    // Names in hex only, of the key's length; rm deletes.
    for bad in ["1", "0100000", "0100000000", "0100000g", "", "4294967295"] {
        if !bad.is_empty() {
            refused(fs::metadata(bed.at(&format!("u/.raw/{bad}"))), "ENOENT");
        }
    }
    bed.ok("rm mnt/u/.raw/01000000");
    assert_eq!(map.get(&[1, 0, 0, 0]), None);
    // A typed value, and a per-CPU one: all CPUs' slots as the kernel gives them.
    bed.write("hash_stats/1", r#"{"packets":1,"bytes":2}"#);
    assert_eq!(
        fs::read(bed.at("hash_stats/.raw/01000000")).unwrap(),
        bed.open("hash_stats").get(&key32(1)).unwrap()
    );
    bed.ok("cat mnt/hash_stats/.raw/01000000 > mnt/hash_stats/.raw/02000000");
    assert_eq!(bed.read("hash_stats/2"), bed.read("hash_stats/1"));
    bed.write("phash_u64/1", "7\n");
    assert_eq!(
        fs::read(bed.at("phash_u64/.raw/01000000")).unwrap(),
        bed.open("phash_u64").get(&key32(1)).unwrap()
    );
    bed.ok("cat mnt/phash_u64/.raw/01000000 > mnt/phash_u64/.raw/02000000");
    assert_eq!(bed.read("phash_u64/2"), bed.read("phash_u64/1"));
}

/// `.raw` lists the keys in hex, or nothing; what it lists can be opened.
#[test]
fn raw_listing() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.hash("h");
    map.fill32(100, &[1; 8]);
    for name in bed.list("h/.raw") {
        assert_eq!(fs::read(bed.at(&format!("h/.raw/{name}"))).unwrap(), [1; 8], "{name}");
    }
    assert_eq!(bed.ok("find mnt/h -mindepth 1 | grep -c raw || true"), "0\n");
}

/// Section 6: controls come and go with what they are of; `rm` of one says so, in every directory.
#[test]
fn controls_cannot_be_removed() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("mkdir bpf/d mnt/h; echo 1 > mnt/h/1; echo 'queue value u32 entries 4' > mnt/q");
    bed.ok("echo \"hash key 'char[8]' value 'struct { u32 a; u32 b; }' entries 4\" > mnt/s; touch mnt/s/1");
    for control in [
        ".help",
        ".errors",
        "d/.help",
        "h/.help",
        "h/.info",
        "h/.entries",
        "h/.clear",
        "h/.raw/.help",
        "h/.field/.help",
        "q/.pop",
        "q/.push",
        ".id/.help",
        "s/.field/1/.help",
    ] {
        refused(fs::remove_file(bed.at(control)), "EPERM");
        let line = bed.errors().pop().unwrap_or_default();
        assert!(line.contains("EPERM: a control cannot be removed"), "{control}: {line}");
        assert!(bed.at(control).exists(), "{control}");
    }
    refused(fs::remove_file(bed.at("h/.none")), "ENOENT");
    refused(fs::remove_file(bed.at("s/.field/1/a")), "EPERM");
    let line = bed.errors().pop().unwrap_or_default();
    assert!(line.contains("a part of an element"), "{line}");
    // A view is a directory.
    refused(fs::remove_dir(bed.at("h/.raw")), "EPERM");
}

//! `.entries`, `.count`, `.clear`, `.freeze`.

use crate::common::map::parse_dump;
use crate::common::require::require;
use crate::common::{Bed, Kind, key32, refused, write_with};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The lines of a map's `.entries` as JSON.
fn entries(bed: &Bed, map: &str) -> Vec<Value> {
    let text = bed.read(&format!("{map}/.entries"));
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// What bpftool sees.
fn dump(bed: &Bed, map: &str) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    parse_dump(&bed.ok(&format!("bpftool -j map dump pinned bpf/{map}")))
}

/// "every element, a line each: `{"key":…,"value":…}`", and `cat a/.entries > b/.entries` copies
/// a map: 100,000 entries, as `bpftool map dump` sees them.
#[test]
fn copies_a_map() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    let map = bed.map("a", Kind::Hash, 4, 8, 100_000);
    bed.map("b", Kind::Hash, 4, 8, 100_000);
    for n in (0..100_000_u32).step_by(1000) {
        let keys: Vec<u8> = (n..n + 1000).flat_map(u32::to_ne_bytes).collect();
        let values: Vec<u8> =
            (n..n + 1000).flat_map(|n| (u64::from(n) * 77_777_777_777).to_ne_bytes()).collect();
        map.fd.update_batch(&keys, &values, 1000, 0).1.unwrap();
    }
    bed.ok("cat mnt/a/.entries > mnt/b/.entries");
    let (a, b) = (dump(&bed, "a"), dump(&bed, "b"));
    assert_eq!(a.len(), 100_000);
    assert!(a == b, "the copy differs");
    assert_eq!(bed.ok("wc -l < mnt/a/.entries"), "100000\n");
    assert_eq!(bed.read("b/.count"), "100000\n");
    // The text itself, by an independent reader.
    bed.ok("jq -es 'length == 100000 and all(.[]; .value == .key * 77777777777)' < mnt/b/.entries");
}

/// Keys that differ in their padding alone, or in a union beyond the member shown, are as many lines,
/// and the copy has the same bytes.
#[test]
fn copies_keys_with_stray_bits() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    for (name, key) in [
        ("padded", "struct k { __u8 a; __u32 b; }"),
        ("nested", "struct k { struct { __u8 a; __u16 b; } in; __u32 c; }"),
        ("united", "struct k { union { __u16 a; __u8 b; } u[2]; __u32 c; }"),
        ("array", "struct k { struct { __u8 a; __u16 b; } in[2]; }"),
    ] {
        bed.ok(&format!(
            "cat > mnt/{name} <<'END'
{key};
struct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct k); __type(value, __u32); \
__uint(max_entries, 64); }} {name} SEC(\".maps\");
END
cat mnt/{name}/.schema > mnt/{name}_copy"
        ));
        let map = bed.open(name);
        for at in 0..8 {
            for stray in [1_u8, 0x80] {
                let mut key = [0; 8];
                key[at] = stray;
                map.set(&key, &[at as u8, stray, 0, 0]);
            }
        }
        map.set(&[0; 8], &[9, 0, 0, 0]);
        bed.ok(&format!("cat mnt/{name}/.entries > mnt/{name}_copy/.entries"));
        let (whole, copy) = (dump(&bed, name), dump(&bed, &format!("{name}_copy")));
        assert_eq!(whole.len(), 17, "{name}");
        assert_eq!(whole, copy, "{name}: {}", bed.read(&format!("{name}/.entries")));
    }
    // What has nothing stray stays typed.
    let value = u32::from_ne_bytes([0, 1, 0, 0]);
    let line = format!("{{\"key\":{{\"a\":1,\"b\":0}},\"value\":{value}}}");
    assert!(bed.read("padded/.entries").contains(&line));
}

/// Every kind, with types and without; per CPU: `"values":[…]`.
#[test]
fn copies_every_kind() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    bed.load("maps");
    for kind in Kind::ALL {
        let (a, b) = (format!("{}_a", kind.name()), format!("{}_b", kind.name()));
        for (name, size) in [(&a, 6), (&b, 6)] {
            bed.map(name, kind, 4, size, 300);
        }
        let map = bed.open(&a);
        for n in 0..300_u32 {
            let mut value = vec![0; map.fd.value_len()];
            for (at, byte) in
                value.chunks_mut(8).flat_map(|slot| slot.iter_mut().take(6)).enumerate()
            {
                *byte = (n as u8).wrapping_mul(31).wrapping_add(at as u8);
            }
            map.set(&key32(n), &value);
        }
        bed.ok(&format!("cat mnt/{a}/.entries > mnt/{b}/.entries"));
        assert_eq!(dump(&bed, &a), dump(&bed, &b), "{kind:?}");
        let line = &entries(&bed, &a)[0];
        let values = line["values"].as_array().map(Vec::len);
        assert_eq!(values, kind.is_percpu().then(|| bpffuse::sys::map::possible_cpus().unwrap()));
        assert_eq!(line["value"].is_string(), !kind.is_percpu(), "{line}");
    }
    bed.write("hash_stats/1", r#"{"packets":1,"bytes":2}"#);
    assert_eq!(
        bed.read("hash_stats/.entries"),
        "{\"key\":1,\"value\":{\"packets\":1,\"bytes\":2}}\n"
    );
    bed.ok("cat mnt/hash_stats/.entries > mnt/lru_stats/.entries");
    assert_eq!(bed.read("lru_stats/1"), bed.read("hash_stats/1"));
    // One value for all CPUs, as in a key's file.
    bed.ok(r#"echo '{"key":9,"value":{"packets":5,"bytes":6}}' > mnt/phash_stats/.entries"#);
    let cpus = bpffuse::sys::map::possible_cpus().unwrap();
    assert_eq!(bed.read("phash_stats/9"), "{\"packets\":5,\"bytes\":6}\n".repeat(cpus));
}

/// LPM tries: prefixes as strings without BTF; each prefix comes once and goes back.
#[test]
fn copies_a_trie() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    for name in ["a", "b"] {
        bed.ok(&format!(
            "bpftool map create bpf/{name} type lpm_trie key 8 value 4 entries 100 name t flags 1"
        ));
    }
    for net in ["10.0.0.0_8", "10.1.0.0_16", "0.0.0.0_0", "192.168.7.0_24"] {
        bed.write(&format!("a/{net}"), "7\n");
    }
    bed.ok("cat mnt/a/.entries > mnt/b/.entries");
    assert_eq!(bed.ok("ls mnt/a"), bed.ok("ls mnt/b"));
    assert_eq!(bed.read("b/.count"), "4\n");
    assert!(bed.read("a/.entries").contains("{\"key\":\"10.1.0.0_16\",\"value\":7}\n"));
}

/// A bad line stops there with EINVAL, its number and reason in `/.errors`, and what came before
/// it stands; ERANGE for numbers.
#[test]
fn bad_lines() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    bed.load("maps");
    for (bad, errno) in [
        (r#"{"key":3,"value":nonsense}"#, "EINVAL"),
        (r#"{"key":3,"value":{}}"#, "EINVAL"),
        (r#"{"key":3,"value":99999999999999999999}"#, "ERANGE"),
        (r#"{"key":4294967296,"value":1}"#, "ERANGE"),
        (r#"{"key":3,"value":1,"more":1}"#, "EINVAL"),
        (r#"{"key":3,"value":1,"value":1}"#, "EINVAL"),
        (r#"{"key":3,"values":[1]}"#, "EINVAL"),
        (r#"{"key":3}"#, "EINVAL"),
        ("3 1", "EINVAL"),
        ("\u{0}", "EINVAL"),
    ] {
        let map = bed.open("hash_u64");
        let text = format!(
            "{{\"key\":1,\"value\":1}}\n\n \t\n{{ \"value\" : 2,\"key\":2 }} \r\n{bad}\n{{\"key\":4,\"value\":4}}\n"
        );
        refused(write_with(bed.at("hash_u64/.entries"), libc::O_TRUNC, text.as_bytes()), errno);
        let errors = bed.errors();
        let last = errors.last().unwrap();
        for part in [errno, "line 5: ", "; 2 elements stored", "/hash_u64/.entries"] {
            assert!(last.contains(part), "{bad}: `{part}` is not in {last}");
        }
        assert_eq!(map.keys().len(), 2, "{bad}: what came before stands, what came behind not");
        assert_eq!((map.get(&key32(3)), map.get(&key32(4))), (None, None), "{bad}");
        bed.ok("echo 1 > mnt/hash_u64/.clear");
    }
    // An index past the end, and too few CPUs.
    refused(
        write_with(bed.at("array_u64/.entries"), 0, b"{\"key\":999999,\"value\":1}\n"),
        "EINVAL",
    );
    refused(write_with(bed.at("phash_u64/.entries"), 0, b"{\"key\":1,\"values\":[]}\n"), "EINVAL");
    assert_eq!(bed.open("phash_u64").keys().len(), 0);
}

/// After an error, further writes to the same open fail, and change nothing.
#[test]
fn an_error_stays() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.hash("h");
    let mut file = fs::File::options().write(true).open(bed.at("h/.entries")).unwrap();
    file.write_all(b"{\"key\":1,\"value\":1}\n").unwrap();
    assert_eq!(map.keys().len(), 1, "a write has taken effect when it returns");
    refused(file.write(b"{\"key\":2}\n"), "EINVAL");
    refused(file.write(b"{\"key\":3,\"value\":1}\n"), "EINVAL");
    assert_eq!(map.keys().len(), 1);
    drop(file);
    bed.ok(r#"echo '{"key":3,"value":1}' > mnt/h/.entries"#);
    assert_eq!(map.keys().len(), 2);
}

/// Lines may come in pieces of any size, and the last one without a newline.
#[test]
fn pieces_of_any_size() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("a").fill32(500, &[0x5a; 8]);
    let text = bed.read("a/.entries");
    fs::write(bed.dir.join("text"), text.trim_end()).unwrap();
    for size in ["1", "7", "24", "4095", "1M"] {
        let map = bed.map(&format!("b{size}"), Kind::Hash, 4, 8, 1000);
        bed.ok(&format!("dd bs={size} if=text of=mnt/b{size}/.entries"));
        assert_eq!(map.keys().len(), 500, "bs={size}");
        assert_eq!(map.get(&key32(499)), Some(vec![0x5a; 8]));
    }
    // Read in pieces of any size.
    for size in ["1", "7", "24", "4095", "1M"] {
        assert_eq!(bed.ok(&format!("dd bs={size} if=mnt/a/.entries")), text, "bs={size}");
    }
    // Writers one after the other on one open file, lines cut where they take over.
    bed.hash("c");
    bed.ok(r#"{ /bin/echo -n '{"key":1,'; /bin/echo '"value":5}'; echo '{"key":2,"value":6}'; } > mnt/c/.entries"#);
    assert_eq!(bed.ok("sort mnt/c/.entries"), "{\"key\":1,\"value\":5}\n{\"key\":2,\"value\":6}\n");
}

/// An incomplete last line is refused at close, and changes nothing.
#[test]
fn an_incomplete_last_line() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.hash("h");
    let out = bed.python(
        r#"
        for text in [b'{"key":1,"value":7', b'{"key":1,"value":7}\n{', b'{"key":1,"value":7}']:
            fd = os.open("mnt/h/.entries", os.O_WRONLY)
            os.write(fd, text)
            print(errno_of(os.close, fd))
        "#,
    );
    assert_eq!(out, "EINVAL\nEINVAL\nNone\n");
    assert_eq!(map.keys().len(), 1);
    let errors = bed.errors();
    assert!(
        errors[0].contains("line 1") && errors.iter().any(|e| e.contains("line 2")),
        "{errors:?}"
    );
}

/// A full map is ENOSPC, and the count of what was stored is in `/.errors`.
#[test]
fn a_full_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in [Kind::Hash, Kind::PercpuHash] {
        let name = kind.name();
        let map = bed.map(name, kind, 4, 8, 100);
        let lines: String = (0..150).map(|n| format!("{{\"key\":{n},\"value\":1}}\n")).collect();
        refused(write_with(bed.at(&format!("{name}/.entries")), 0, lines.as_bytes()), "ENOSPC");
        let errors = bed.errors();
        let last = errors.last().unwrap();
        assert!(last.contains("line 101: ") && last.contains("100 elements stored"), "{last}");
        assert_eq!(map.keys().len(), 100);
    }
}

/// A JSON object may leave members out: they keep their present value (zero in a new element),
/// also when the key was set a line before.
#[test]
fn members_left_out() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    bed.load("maps");
    bed.write("hash_stats/1", r#"{"packets":1,"bytes":2}"#);
    bed.ok(
        r#"printf '{"key":%s,"value":{"%s":%s}}\n' 1 packets 10 2 bytes 20 2 packets 30 > mnt/hash_stats/.entries"#,
    );
    assert_eq!(bed.read("hash_stats/1"), "{\"packets\":10,\"bytes\":2}\n");
    assert_eq!(bed.read("hash_stats/2"), "{\"packets\":30,\"bytes\":20}\n");
}

/// Each key that is there throughout comes once while two threads change others.
#[test]
fn each_stable_key_once_under_churn() {
    require!("root", "bpf", "fuse");
    const STABLE: usize = 50_000;
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 200_000);
    map.fill32(STABLE as u32, &[1; 8]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for from in [1_000_000_u32, 2_000_000] {
            let (map, stop) = (&map, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for n in from..from + 40_000 {
                        map.set(&key32(n), &[2; 8]);
                    }
                    for n in from..from + 40_000 {
                        map.delete(&key32(n));
                    }
                }
            });
        }
        let texts: Vec<String> = (0..10).map(|_| bed.read("h/.entries")).collect();
        stop.store(true, Ordering::Relaxed);
        for text in texts {
            let mut times = vec![0_u8; STABLE];
            for line in text.lines() {
                let key = line.strip_prefix("{\"key\":").and_then(|rest| rest.split(',').next());
                let key: usize = key.unwrap().parse().unwrap();
                if let Some(times) = times.get_mut(key) {
                    *times += 1;
                }
            }
            assert!(times.iter().all(|&n| n == 1), "a key is missing or comes twice");
        }
    });
}

/// Going back starts at 0; a place further on is reached; `head` and `tail` work.
#[test]
fn seeking() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 8, 100_000).fill32(100_000, &[1; 8]);
    let text = bed.read("h/.entries");
    let out = bed.python(
        r#"
        fd = os.open("mnt/h/.entries", os.O_RDONLY)
        a = os.read(fd, 1000); b = os.read(fd, 1000)
        assert os.pread(fd, 1000, 1000) == b
        big = os.pread(fd, 5000, 2_000_000)
        print(errno_of(os.pread, fd, 10, 1))
        assert os.pread(fd, 1000, 0) == a
        open("big", "wb").write(big)
        print(os.pread(fd, 10, 1 << 40))
        "#,
    );
    assert_eq!(out, "EINVAL\nb''\n");
    let big = fs::read_to_string(bed.dir.join("big")).unwrap();
    assert!(!big.is_empty() && text[2_000_000..].starts_with(&big));
    assert_eq!(
        bed.ok("head -n 3 mnt/h/.entries"),
        text.lines().take(3).map(|l| format!("{l}\n")).collect::<String>()
    );
    assert_eq!(bed.ok("tail -n 1 mnt/h/.entries"), format!("{}\n", text.lines().last().unwrap()));
}

/// The daemon holds no map open longer than a second past its last use: not for a reader that
/// pauses either.
#[test]
fn a_pausing_reader_holds_no_map() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 100_000);
    map.fill32(100_000, &[1; 8]);
    let id = map.info.id;
    let mut file = fs::File::open(bed.at("h/.entries")).unwrap();
    let mut part = vec![0; 10_000];
    file.read_exact(&mut part).unwrap();
    file.read_exact(&mut part).unwrap();
    drop(map);
    bed.ok("rm bpf/h");
    thread::sleep(std::time::Duration::from_millis(1200));
    bed.fails(&format!("bpftool map show id {id}"));
    let mut rest = Vec::new();
    refused(file.read_to_end(&mut rest), "ENOENT");
}

/// `.count`: "number of elements", of every kind.
#[test]
fn counts() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in Kind::ALL {
        let map = bed.map(kind.name(), kind, 4, 8, 1000);
        for n in 0..10 {
            map.set_all_cpus_or_one(&key32(n), kind);
        }
        let count = if kind.is_array() { "1000\n" } else { "10\n" };
        assert_eq!(bed.read(&format!("{}/.count", kind.name())), count, "{kind:?}");
        assert!(write_with(bed.at(&format!("{}/.count", kind.name())), 0, b"1\n").is_err());
    }
    bed.map("big", Kind::Hash, 4, 8, 300_000).fill32(300_000, &[0; 8]);
    assert_eq!(bed.read("big/.count"), "300000\n");
    bed.ok("bpftool map create bpf/rb type ringbuf key 0 value 0 entries 65536 name rb");
    refused(fs::read(bed.at("rb/.count")), "EOPNOTSUPP");
    refused(fs::read(bed.at("rb/.entries")), "EOPNOTSUPP");
}

/// Kinds whose values are no data are read and written by their meaning; kinds without keys have neither, nor a count that nobody can know.
#[test]
fn special_kinds() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::with(&["--watch-interval", "50ms"]);
    bed.ok("bpftool map create bpf/inner type array key 4 value 8 entries 1 name inner
            bpftool map create bpf/outer type hash_of_maps key 4 value 4 entries 4 name outer inner_map pinned bpf/inner
            bpftool map update pinned bpf/outer key 7 0 0 0 value pinned bpf/inner
            bpftool map create bpf/progs type prog_array key 4 value 4 entries 4 name progs
            bpftool map create bpf/q type queue key 0 value 4 entries 4 name q
            bpftool map push pinned bpf/q value 1 0 0 0; bpftool map push pinned bpf/q value 2 0 0 0");
    let id = bed.open("inner").info.id;
    assert_eq!(bed.read("outer/.entries"), format!("{{\"key\":7,\"value\":{id}}}\n"));
    assert_eq!(bed.read("outer/.count"), "1\n");
    let first = bed.ok("head -n 1 mnt/outer/.watch");
    assert_eq!(first, format!("{{\"op\":\"set\",\"key\":7,\"value\":{id}}}\n"));
    assert_eq!(
        (bed.read("progs/.entries"), bed.read("progs/.count")),
        (String::new(), "0\n".into())
    );
    for map in ["outer", "progs"] {
        let line = b"{\"key\":1,\"value\":4294967295}\n";
        refused(write_with(bed.at(&format!("{map}/.entries")), 0, line), "ENOENT");
    }
    for name in [".entries", ".count", ".watch"] {
        refused(fs::read(bed.at(&format!("q/{name}"))), "EOPNOTSUPP");
    }
    bed.ok("echo 1 > mnt/outer/.clear");
    assert_eq!(bed.read("outer/.count"), "0\n");
}

/// `.clear`: "`1` deletes every element"; arrays keep theirs.
#[test]
fn clears() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in Kind::ALL {
        let name = kind.name();
        let map = bed.map(name, kind, 4, 8, 5000);
        for n in 0..3000 {
            map.set_all_cpus_or_one(&key32(n), kind);
        }
        for bad in ["0\n", "2\n", "yes\n", "11\n"] {
            let errno = if kind.is_array() { "EPERM" } else { "EINVAL" };
            refused(write_with(bed.at(&format!("{name}/.clear")), 0, bad.as_bytes()), errno);
        }
        let outcome = write_with(bed.at(&format!("{name}/.clear")), libc::O_TRUNC, b"1");
        if kind.is_array() {
            refused(outcome, "EPERM");
        } else {
            outcome.unwrap();
            assert_eq!(map.keys().len(), 0, "{kind:?}");
        }
        refused_or_denied(&bed, &format!("{name}/.clear"));
    }
    for (kind, flags) in [("lpm_trie", 1), ("queue", 0)] {
        let key = if kind == "queue" { 0 } else { 8 };
        bed.ok(&format!(
            "bpftool map create bpf/{kind} type {kind} key {key} value 4 entries 100 name t flags {flags}"
        ));
    }
    for net in ["10.0.0.0_8", "10.1.0.0_16", "0.0.0.0_0"] {
        bed.write(&format!("lpm_trie/{net}"), "7\n");
    }
    bed.ok("echo 1 > mnt/lpm_trie/.clear");
    assert_eq!(bed.read("lpm_trie/.count"), "0\n");
    bed.ok("for n in 1 2 3; do bpftool map push pinned bpf/queue value $n 0 0 0; done; echo 1 > mnt/queue/.clear");
    // bpftool prints an error in JSON, and an empty object, of an empty queue.
    assert!(!bed.run("bpftool -j map pop pinned bpf/queue").stdout.contains("value"));
}

/// Clearing ends while others insert, and deletes what was there.
#[test]
fn clears_while_others_insert() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 200_000);
    map.fill32(50_000, &[1; 8]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 1_000_000;
            while !stop.load(Ordering::Relaxed) {
                let _ = map.fd.update(&key32(n), &[1; 8], 0);
                n += 1;
            }
        });
        let cleared = write_with(bed.at("h/.clear"), 0, b"1\n");
        stop.store(true, Ordering::Relaxed);
        cleared.unwrap();
    });
    assert!((0..50_000).all(|n| map.get(&key32(n)).is_none()), "an element was left");
}

/// `.freeze`: "`0` or `1`", `1` freezes the map.
#[test]
fn freezes() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    assert_eq!(bed.read("h/.freeze"), "0\n");
    for bad in ["0\n", "2", "x\n"] {
        refused(write_with(bed.at("h/.freeze"), 0, bad.as_bytes()), "EINVAL");
    }
    bed.ok("printf 1 > mnt/h/.freeze");
    assert_eq!(bed.read("h/.freeze"), "1\n");
    assert_eq!(bed.ok("jq .frozen mnt/h/.info"), "true\n");
    for (name, text) in
        [(".freeze", "1\n"), (".clear", "1\n"), (".entries", "{\"key\":1,\"value\":1}\n")]
    {
        refused(write_with(bed.at(&format!("h/{name}")), 0, text.as_bytes()), "EPERM");
    }
    assert_eq!(bed.read("h/.entries"), "{\"key\":1,\"value\":0}\n");
}

/// `.entries`, `.raw`, `.count`, `.watch` read; `.clear`, `.push`, `.freeze` write.
#[test]
fn modes() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("chmod 755 .; chmod 642 bpf/h");
    assert_eq!(
        bed.ok("cd mnt/h; stat -c '%n %a' .entries .count .clear .freeze .watch"),
        ".entries 642\n.count 440\n.clear 202\n.freeze 642\n.watch 440\n"
    );
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    bed.ok("chmod 604 bpf/h");
    bed.ok(&format!("{nobody} cat mnt/h/.entries mnt/h/.count"));
    for command in ["echo 1 > mnt/h/.clear", "echo 1 > mnt/h/.freeze", "echo > mnt/h/.entries"] {
        bed.fails_with(&format!("{nobody} bash -c '{command}'"), "Permission denied");
    }
    bed.ok("chmod 602 bpf/h");
    for command in ["cat mnt/h/.entries", "cat mnt/h/.count", "timeout 1 cat mnt/h/.watch"] {
        bed.fails_with(&format!("{nobody} {command}"), "Permission denied");
    }
    bed.ok(&format!("{nobody} bash -c 'echo 1 > mnt/h/.clear'"));
    assert_eq!(bed.read("h/.count"), "0\n");
}

/// Streamed, never built whole.
#[test]
fn a_million_entries_in_little_memory() {
    require!("root", "bpf", "fuse");
    let mut bed = Bed::idle();
    let map = bed.map("h", Kind::Hash, 4, 8, 1_000_000);
    map.fill32(1_000_000, &[1; 8]);
    bed.start(&[]);
    assert_eq!(bed.ok("wc -l < mnt/h/.entries"), "1000000\n");
    let status = fs::read_to_string(format!("/proc/{}/status", bed.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 32 * 1024, "the daemon's peak is {peak} KiB");
}

/// Values of 1 MiB: no more of them at a time than need be.
#[test]
fn large_values() {
    require!("root", "bpf", "fuse");
    let mut bed = Bed::idle();
    let map = bed.map("h", Kind::Hash, 4, 1 << 20, 64);
    (0..8).for_each(|n| map.set(&key32(n), &vec![n as u8; 1 << 20]));
    bed.start(&[]);
    bed.ok("cat mnt/h/.entries > text");
    let text = fs::read_to_string(bed.dir.join("text")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 8);
    for (n, line) in lines.iter().enumerate() {
        let bytes = format!("{n:02x}").repeat(1 << 20);
        assert!(*line == format!("{{\"key\":{n},\"value\":\"0x{bytes}\"}}"), "value {n}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", bed.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 32 * 1024, "the daemon's peak is {peak} KiB");
}

/// What can only be written refuses to be read, even for root.
fn refused_or_denied(bed: &Bed, name: &str) {
    assert!(fs::read(bed.at(name)).is_err(), "{name} was read");
}

//! Values and key names as text, both ways, for what needs no BTF and for
//! BTF integers, enums, bool, `char[N]`, flat structs and arrays of these.

use crate::common::require::require;
use crate::common::{Bed, Kind, host_order, key32, number, refused, write_with};
use bpffuse::sys::map::possible_cpus;
use std::fs;

/// Writes each text to `MAP/1` and compares what is then read with the second of the pair.
#[track_caller]
fn accepts(bed: &Bed, map: &str, pairs: &[(&str, &str)]) {
    let file = format!("{map}/1");
    for (text, expected) in pairs {
        let flags = libc::O_CREAT | libc::O_TRUNC;
        if let Err(error) = write_with(bed.at(&file), flags, text.as_bytes()) {
            panic!("{map}: {text:?} was refused: {error}\n{}", bed.read(".errors"));
        }
        assert_eq!(bed.read(&file), format!("{expected}\n"), "{map}: after writing {text:?}");
    }
}

/// Writes each text to `MAP/1`, which must be refused by write(2) with that errno and change nothing;
/// each refusal must leave a reason.
#[track_caller]
fn refuses(bed: &Bed, map: &str, pairs: &[(&str, &str)]) {
    let file = format!("{map}/1");
    let before = fs::read(bed.at(&file)).ok();
    for (text, errno) in pairs {
        let seen = bed.errors().len();
        let flags = libc::O_CREAT | libc::O_TRUNC;
        let outcome = write_with(bed.at(&file), flags, format!("{text}\n").as_bytes());
        if outcome.is_ok() {
            panic!("{map}: {text:?} was accepted, as {}", bed.read(&file));
        }
        refused(outcome, errno);
        assert_eq!(fs::read(bed.at(&file)).ok(), before, "{map}: {text:?} changed the value");
        let errors = bed.errors();
        assert!(errors.len() > seen || seen == 64, "{map}: {text:?} left no line in .errors");
        let last = errors.last().unwrap();
        assert!(last.contains(errno), "{map}: {text:?}: {errno} is not in {last:?}");
    }
}

fn typed() -> Bed {
    let bed = Bed::new();
    bed.load("maps");
    bed
}

/// Without BTF: sizes 1, 2, 4 and 8 are unsigned numbers in host order; others are `0x` and the
/// bytes in hex, in memory order.
#[test]
fn untyped_values() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for size in [1u32, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 64] {
        let name = format!("v{size}");
        let map = bed.map(&name, Kind::Hash, 4, size, 10);
        let bytes: Vec<u8> = (0..size).map(|n| (n * 37 + 0xa1) as u8).collect();
        map.set(&key32(1), &bytes);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let expected = match size {
            1 | 2 | 4 | 8 => number(&bytes).to_string(),
            _ => format!("\"0x{hex}\""),
        };
        assert_eq!(bed.read(&format!("{name}/1")), format!("{expected}\n"), "{size} bytes");
        // What is read can be written to another key.
        bed.ok(&format!("cat mnt/{name}/1 > mnt/{name}/2"));
        assert_eq!(map.get(&key32(2)).as_ref(), Some(&bytes), "{size} bytes copied");
        // And so can hex bytes, for any size: in one, or apart.
        let apart: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        if size != 1 {
            // One byte apart from others is a number.
            bed.write(&format!("{name}/3"), &apart.join(" "));
            assert_eq!(map.get(&key32(3)).as_ref(), Some(&bytes), "{size} bytes apart");
        }
        if !matches!(size, 1 | 2 | 4 | 8) {
            bed.write(&format!("{name}/4"), &format!("0x{hex}\n"));
            assert_eq!(map.get(&key32(4)).as_ref(), Some(&bytes), "{size} bytes as 0x…");
        }
    }
}

/// What a write accepts: the spellings of a number, on plain bytes.
#[test]
fn untyped_numbers() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (name, size) in [("u8", 1), ("u16", 2), ("u32", 4), ("u64", 8)] {
        bed.map(name, Kind::Hash, 4, size, 10);
    }
    accepts(
        &bed,
        "u32",
        &[
            ("42", "42"),
            ("42\n", "42"),
            (" 42 \n", "42"),
            ("0x2a", "42"),
            ("0X2A", "42"),
            ("\"0x2a\"", "42"),
            ("0b101010", "42"),
            ("0o52", "42"),
            ("\"42\"", "42"),
            ("-1", "4294967295"),
            ("-2147483648", "2147483648"),
            ("4294967295", "4294967295"),
            ("0", "0"),
            // Network order: the bytes 10, 0, 0, 1 in memory.
            ("10.0.0.1", host_order("16777226", "167772161")),
            ("\"10.0.0.1\"", host_order("16777226", "167772161")),
            (host_order("2a 00 00 00", "00 00 00 2a"), "42"),
        ],
    );
    refuses(
        &bed,
        "u32",
        &[
            ("4294967296", "ERANGE"),
            ("-2147483649", "ERANGE"),
            ("0x100000000", "ERANGE"),
            ("99999999999999999999999999", "ERANGE"),
            ("1.5", "EINVAL"),
            ("nonsense", "EINVAL"),
            ("1 2", "EINVAL"),
            ("1,2", "EINVAL"),
            ("1}", "EINVAL"),
            ("[1]", "EINVAL"),
            ("{}", "EINVAL"),
            ("0x", "EINVAL"),
            ("0xg", "EINVAL"),
            ("--1", "EINVAL"),
            ("10.0.0.256", "EINVAL"),
            ("10.0.0", "EINVAL"),
            ("fd00::1", "EINVAL"),
            ("2a 00 00", "EINVAL"),
            ("2a 00 00 00 00", "EINVAL"),
            ("true false", "EINVAL"),
        ],
    );
    accepts(&bed, "u8", &[("255", "255"), ("-1", "255"), ("-128", "128")]);
    refuses(&bed, "u8", &[("256", "ERANGE"), ("-129", "ERANGE")]);
    accepts(&bed, "u16", &[("65535", "65535"), ("-32768", "32768")]);
    refuses(&bed, "u16", &[("65536", "ERANGE"), ("-32769", "ERANGE")]);
    let most = u64::MAX.to_string();
    accepts(&bed, "u64", &[(&most, &most), ("-1", &most), ("0xffffffffffffffff", &most)]);
    refuses(&bed, "u64", &[("18446744073709551616", "ERANGE"), ("-9223372036854775809", "ERANGE")]);
}

/// IPv4, IPv6 and MAC addresses for byte arrays of that size, hex for any size.
#[test]
fn untyped_bytes() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (name, size) in [("b3", 3), ("b6", 6), ("b16", 16)] {
        bed.map(name, Kind::Hash, 4, size, 10);
    }
    accepts(
        &bed,
        "b6",
        &[
            ("00:11:22:33:44:55", "\"0x001122334455\""),
            ("\"aA:bb:cc:dd:ee:ff\"", "\"0xaabbccddeeff\""),
            ("0x010203040506", "\"0x010203040506\""),
            ("01 02 03 04 05 0A", "\"0x01020304050a\""),
        ],
    );
    refuses(
        &bed,
        "b6",
        &[
            ("00:11:22:33:44", "EINVAL"),
            ("0x0102030405", "EINVAL"),
            ("0x01020304050607", "EINVAL"),
            ("0x0102030405zz", "EINVAL"),
            ("01 02 03", "EINVAL"),
            ("nonsense", "EINVAL"),
            ("00:11:22:33:44:55 x", "EINVAL"),
        ],
    );
    accepts(
        &bed,
        "b16",
        &[
            ("fd00::1", "\"0xfd000000000000000000000000000001\""),
            ("::", "\"0x00000000000000000000000000000000\""),
            ("\"2001:db8::ff\"", "\"0x20010db80000000000000000000000ff\""),
        ],
    );
    refuses(&bed, "b16", &[("fd00::1::2", "EINVAL"), ("10.0.0.1", "EINVAL")]);
    accepts(&bed, "b3", &[("0x0a0b0c", "\"0x0a0b0c\""), ("\"0x0d0e0f\"", "\"0x0d0e0f\"")]);
}

/// Key names without BTF: 1, 2, 4, 8 bytes: `42`, "anything else …: the bytes in hex".
#[test]
fn untyped_key_names() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for size in [1u32, 2, 3, 4, 5, 6, 8, 12, 16, 100] {
        let name = format!("k{size}");
        let map = bed.map(&name, Kind::Hash, size, 4, 10);
        let key: Vec<u8> = (0..size).map(|n| (n * 37 + 0xa1) as u8).collect();
        map.set(&key, &key32(9));
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        let expected = match size {
            1 | 2 | 4 | 8 => number(&key).to_string(),
            _ => hex,
        };
        assert_eq!(bed.list(&name), [expected.as_str()], "{size} bytes");
        assert_eq!(bed.read(&format!("{name}/{expected}")), "9\n");
    }
    // Names a person would type, where a listing prints another.
    bed.ok("echo 1 > mnt/k4/0x2a; echo 2 > mnt/k4/10.0.0.1
            echo 3 > mnt/k6/00:11:22:33:44:55; echo 4 > mnt/k16/fd00::1");
    let map = bed.open("k4");
    assert_eq!(map.get(&key32(42)), Some(key32(1).to_vec()));
    assert_eq!(map.get(&[10, 0, 0, 1]), Some(key32(2).to_vec()));
    assert_eq!(bed.open("k6").get(&[0, 0x11, 0x22, 0x33, 0x44, 0x55]), Some(key32(3).to_vec()));
    let v6 = "fd000000000000000000000000000001";
    assert_eq!(bed.read(&format!("k16/{v6}")), "4\n");
    assert_eq!(bed.ok("cat mnt/k4/0x2a mnt/k4/42 mnt/k4/10.0.0.1"), "1\n1\n2\n");
    let listed = format!("mnt/k4/{}", host_order("16777226", "167772161"));
    bed.ok(&format!("test -e {listed}; rm mnt/k4/10.0.0.1; test ! -e {listed}"));
    // What is no key: absent to a reader, refused to a maker.
    for name in ["k4/4294967296", "k4/x", "k4/1 2", "k3/0a0b", "k3/0a0b0c0d", "k3/0a0b0g"] {
        refused(fs::metadata(bed.at(name)), "ENOENT");
        // Each has its errno: no key at all, or a number that does not fit.
        let errno = if name == "k4/4294967296" { "ERANGE" } else { "EINVAL" };
        refused(write_with(bed.at(name), libc::O_CREAT, b"1\n"), errno);
    }
}

/// BTF integers, signed and not, of each width.
#[test]
fn typed_integers() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    accepts(
        &bed,
        "v_s32",
        &[
            ("-7", "-7"),
            ("2147483647", "2147483647"),
            ("-2147483648", "-2147483648"),
            ("0x2a", "42"),
            (host_order("f9 ff ff ff", "ff ff ff f9"), "-7"),
        ],
    );
    refuses(
        &bed,
        "v_s32",
        &[
            ("2147483648", "ERANGE"),
            ("-2147483649", "ERANGE"),
            ("1.0e", "EINVAL"),
            ("7 7", "EINVAL"),
            ("null", "EINVAL"),
        ],
    );
    accepts(&bed, "v_u16", &[("65535", "65535"), ("-1", "65535"), ("0b11", "3")]);
    refuses(&bed, "v_u16", &[("65536", "ERANGE"), ("-32769", "ERANGE")]);
    accepts(&bed, "hash_u64", &[("18446744073709551615", "18446744073709551615")]);
}

/// bool.
#[test]
fn typed_bool() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    accepts(&bed, "v_bool", &[("true", "true"), ("false", "false"), ("1", "true"), ("0", "false")]);
    refuses(&bed, "v_bool", &[("256", "ERANGE"), ("maybe", "EINVAL"), ("true true", "EINVAL")]);
}

/// "enum, enum64: `"XDP_PASS`; the number where no name fits; written by name or number.
#[test]
fn typed_enums() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    accepts(
        &bed,
        "v_action",
        &[
            ("XDP_PASS", "\"XDP_PASS\""),
            ("\"XDP_DROP\"", "\"XDP_DROP\""),
            ("3", "\"XDP_TX\""),
            ("0x4", "\"XDP_REDIRECT\""),
            ("99", "99"),
        ],
    );
    refuses(
        &bed,
        "v_action",
        &[("XDP_NONSENSE", "EINVAL"), ("xdp_pass", "EINVAL"), ("4294967296", "ERANGE")],
    );
    accepts(&bed, "v_color", &[("BLUE", "\"BLUE\""), ("-3", "\"BLUE\""), ("6", "6"), ("-4", "-4")]);
}

/// `char[N]`: a string, where it is valid UTF-8 with nothing but NULs after the first NUL; else an
/// array of numbers; written as JSON, or without quotes.
#[test]
fn typed_strings() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    let full = "0123456789abcdef0123456789abcdef";
    accepts(
        &bed,
        "v_text",
        &[
            ("\"hello\"", "\"hello\""),
            ("hello\n", "\"hello\""),
            ("\"two words\"", "\"two words\""),
            ("\"\"", "\"\""),
            ("\"größe\"", "\"größe\""),
            (r#""quote \" and \\ and \t""#, r#""quote \" and \\ and \t""#),
            ("\"\\u00e9\"", "\"é\""),
            (full, &format!("\"{full}\"")),
        ],
    );
    assert_eq!(bed.open("v_text").get(&key32(1)).unwrap(), full.as_bytes());
    refuses(&bed, "v_text", &[(&format!("{full}!"), "EINVAL")]);
    // Bytes that are no string, and back.
    let map = bed.open("v_text");
    let mut bytes = [0u8; 32];
    bytes[..3].copy_from_slice(b"a\0b");
    map.set(&key32(1), &bytes);
    assert_eq!(bed.read("v_text/1"), "\"a\\u0000b\"\n");
    bytes[0] = 0xff;
    map.set(&key32(2), &bytes);
    let numbers = bed.read("v_text/2");
    assert!(numbers.starts_with("[-1,0,98,0,"), "{numbers}");
    bed.ok("cat mnt/v_text/2 > mnt/v_text/3; cat mnt/v_text/1 > mnt/v_text/4");
    assert_eq!(map.get(&key32(3)), map.get(&key32(2)));
    assert_eq!(map.get(&key32(4)), map.get(&key32(1)));
}

/// Other arrays: array.
#[test]
fn typed_arrays() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    accepts(
        &bed,
        "v_quad",
        &[("[1,2,3,4]", "[1,2,3,4]"), (" [ 1 , \"0x2\" , -1 , 4 ] ", "[1,2,4294967295,4]")],
    );
    refuses(
        &bed,
        "v_quad",
        &[
            ("[1,2,3,4,5]", "EINVAL"),
            ("[1,2,3,4294967296]", "ERANGE"),
            ("[1,2,3,\"x\"]", "EINVAL"),
            ("[1,2,3,4] 5", "EINVAL"),
            ("[1,2,,4]", "EINVAL"),
            ("7", "EINVAL"),
        ],
    );
    accepts(
        &bed,
        "v_octets",
        &[
            ("[1,2,3,4,5,6,7,8,9,10,11,12]", "[1,2,3,4,5,6,7,8,9,10,11,12]"),
            ("0x0c0b0a090807060504030201", "[12,11,10,9,8,7,6,5,4,3,2,1]"),
            ("00 01 02 03 04 05 06 07 08 09 0a 0b", "[0,1,2,3,4,5,6,7,8,9,10,11]"),
        ],
    );
}

/// Struct: object, members in order; A JSON object may leave members out: they keep their present
/// value (zero in a new element); what is refused changes nothing.
#[test]
fn typed_structs() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    accepts(
        &bed,
        "hash_stats",
        &[
            (r#"{"packets":1}"#, r#"{"packets":1,"bytes":0}"#),
            (r#"{"bytes":2}"#, r#"{"packets":1,"bytes":2}"#),
            (r#"{"bytes":4,"packets":3}"#, r#"{"packets":3,"bytes":4}"#),
            (
                "{\n  \"packets\" : \"0x10\" ,\n  \"bytes\": -1 }\n",
                r#"{"packets":16,"bytes":18446744073709551615}"#,
            ),
            ("{}", r#"{"packets":16,"bytes":18446744073709551615}"#),
            (
                host_order(
                    "0x01000000000000000200000000000000",
                    "0x00000000000000010000000000000002",
                ),
                r#"{"packets":1,"bytes":2}"#,
            ),
        ],
    );
    refuses(
        &bed,
        "hash_stats",
        &[
            (r#"{"packet":1}"#, "EINVAL"),
            (r#"{"packets":1,"nonsense":2}"#, "EINVAL"),
            (r#"{"packets":1,"bytes":18446744073709551616}"#, "ERANGE"),
            (r#"{"packets":1,"bytes":"x"}"#, "EINVAL"),
            (r#"{"packets":1} {"bytes":1}"#, "EINVAL"),
            (r#"{"packets":1}}"#, "EINVAL"),
            (r#"{"packets":1,}"#, "EINVAL"),
            (r#"{packets:1}"#, "EINVAL"),
            ("7", "EINVAL"),
            ("[1,2]", "EINVAL"),
            ("nonsense", "EINVAL"),
        ],
    );
    let everything = r#"{"u8":255,"s8":-128,"u16":65535,"s16":-32768,"u32":4294967295,"s32":-1,"u64":18446744073709551615,"s64":-9223372036854775808,"flag":true,"color":"GREEN","action":"XDP_TX","name":"eth0","list":[1,2,3,4],"bytes":"01:02:03:04:05:06"}"#;
    let numbers = everything.replace("\"01:02:03:04:05:06\"", "[1,2,3,4,5,6]");
    accepts(&bed, "scalars", &[(everything, everything), (&numbers, everything)]);
    refuses(
        &bed,
        "scalars",
        &[
            (r#"{"u8":256}"#, "ERANGE"),
            (r#"{"s8":128}"#, "ERANGE"),
            (r#"{"s64":9223372036854775808}"#, "ERANGE"),
            (r#"{"name":"0123456789abcdefg"}"#, "EINVAL"),
            (r#"{"color":"PINK"}"#, "EINVAL"),
            (r#"{"list":[1,2,3,4,5]}"#, "EINVAL"),
            (r#"{"list":{"0":1}}"#, "EINVAL"),
        ],
    );
    // Each refusal says in .errors which member was wrong.
    refuses(&bed, "scalars", &[(r#"{"s8":128}"#, "ERANGE")]);
    let last = bed.errors().pop().unwrap();
    assert!(last.contains("s8"), "the member is not named: {last}");
    accepts(
        &bed,
        "scalars",
        &[(
            r#"{"bytes":"00:11:22:33:44:55","u32":"10.0.0.1"}"#,
            &everything
                .replace("01:02:03:04:05:06", "00:11:22:33:44:55")
                .replace("4294967295", host_order("16777226", "167772161")),
        )],
    );
}

/// What is read of a value with BTF is what its program stored (compared with bpftool's reading).
#[test]
fn typed_values_agree_with_bpftool() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "python3");
    let bed = typed();
    bed.ok(r#"echo '{"u8":1,"s8":-2,"u16":3,"s16":-4,"u32":5,"s32":-6,"u64":7,"s64":-8,"flag":true,"color":"BLUE","action":"XDP_DROP","name":"lo","list":[1,2,3,4],"bytes":[9,8,7,6,5,4]}' > mnt/scalars/1"#);
    let same = bed.python(
        r#"
        import subprocess
        dump = json.loads(subprocess.check_output(["bpftool", "-j", "map", "dump", "pinned", "bpf/scalars"]))
        theirs = dump[0]["formatted"]["value"]
        ours = json.load(open("mnt/scalars/1"))
        ours["bytes"] = [int(byte, 16) for byte in ours["bytes"].split(":")]
        print(ours == theirs or (ours, theirs))
        print(list(ours) == list(theirs))
        "#,
    );
    assert_eq!(same, "True\nTrue\n");
}

/// Key names with BTF: signed integers, enums by name and number, strings with escapes, structs.
#[test]
fn typed_key_names() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    bed.ok(
        "echo 1 > mnt/k_s64/-1; echo 2 > mnt/k_s64/9223372036854775807; echo 3 > mnt/k_s64/0x10",
    );
    assert_eq!(bed.list("k_s64"), ["-1", "16", "9223372036854775807"]);
    assert!(bed.open("k_s64").get(&(-1i64).to_ne_bytes()).is_some());

    bed.ok("echo 1 > mnt/k_action/XDP_PASS; echo 2 > mnt/k_action/1; echo 3 > mnt/k_action/77");
    assert_eq!(bed.list("k_action"), ["77", "XDP_DROP", "XDP_PASS"]);
    assert_eq!(bed.ok("cat mnt/k_action/2 mnt/k_action/XDP_DROP"), "1\n2\n");

    let map = bed.open("k_name");
    let names: [(&[u8], &str); 8] = [
        (b"eth0", "eth0"),
        (b"a_b.c:d@e+f-g", "a_b.c:d@e+f-g"),
        (b"two words", "two%20words"),
        (b"a/b", "a%2Fb"),
        (b".hidden", "%2Ehidden"),
        (b"..", "%2E."),
        (b"100%", "100%25"),
        (b"\xc3\xa9", "%C3%A9"),
    ];
    for (bytes, name) in names {
        let mut key = bytes.to_vec();
        key.resize(16, 0);
        map.set(&key, &key32(5));
        assert_eq!(bed.list("k_name"), [name], "{bytes:?}");
        assert_eq!(bed.read(&format!("k_name/{name}")), "5\n");
        fs::remove_file(bed.at(&format!("k_name/{name}"))).unwrap();
        assert!(map.get(&key).is_none(), "{name} removed another key");
        bed.write(&format!("k_name/{name}"), "6");
        assert_eq!(map.get(&key), Some(key32(6).to_vec()), "{name} made another key");
        map.delete(&key);
    }
    refused(write_with(bed.at("k_name/0123456789abcdefg"), libc::O_CREAT, b"1"), "EINVAL");

    bed.ok("echo 1 > mnt/k_flow/from=10,port=80,proto=6,ttl=64");
    assert_eq!(bed.list("k_flow"), ["from=10,port=80,proto=6,ttl=64"]);
    let flow = host_order([10, 0, 0, 0, 80, 0, 6, 64], [0, 0, 0, 10, 0, 80, 6, 64]);
    assert!(bed.open("k_flow").get(&flow).is_some());
    refused(fs::metadata(bed.at("k_flow/from=10,port=80")), "ENOENT");
    refused(write_with(bed.at("k_flow/from=10,nonsense=80"), libc::O_CREAT, b"1"), "EINVAL");
}

/// Every name printed parses back to the same key: 300 pseudo-random keys of each kind of name.
#[test]
fn every_name_listed_opens_its_key() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    bed.map("k7", Kind::Hash, 7, 4, 1000);
    let mut state = 1u64;
    for name in ["k_name", "k_flow", "k_s64", "k_action", "k7", "hash_u64"] {
        let map = bed.open(name);
        for _ in 0..80 {
            let key: Vec<u8> = (0..map.info.key_size)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) as u8
                })
                .collect();
            map.set(&key, &vec![0; map.info.value_size as usize]);
        }
        let keys = map.keys().len();
        let listed = bed.list(name);
        assert_eq!(listed.len(), keys, "{name}: keys listed");
        for file in listed {
            fs::remove_file(bed.at(&format!("{name}/{file}")))
                .unwrap_or_else(|e| panic!("{name}/{file} is listed, but: {e}"));
        }
        assert!(map.keys().is_empty(), "{name}: a name led to another key");
    }
}

/// Per-CPU values: one line for each possible CPU, in CPU order. Writing one line sets all CPUs;
/// writing as many lines as there are CPUs sets each; any other count is EINVAL.
#[test]
fn per_cpu_lines() {
    require!("root", "bpf", "fuse", "clang");
    let bed = typed();
    let cpus = possible_cpus().unwrap();
    let lines = |of: &dyn Fn(usize) -> String| (0..cpus).map(|n| of(n) + "\n").collect::<String>();
    bed.map("untyped", Kind::PercpuHash, 4, 4, 10);
    for name in ["phash_u64", "plru_u64", "parray_u64", "untyped"] {
        let file = format!("{name}/1");
        let map = bed.open(name);
        bed.write(&file, "7\n");
        assert_eq!(bed.read(&file), lines(&|_| "7".to_owned()), "{name}: one line sets all");
        let each = lines(&|cpu| (cpu * 10 + 1).to_string());
        bed.write(&file, &each);
        assert_eq!(bed.read(&file), each, "{name}: a line for each");
        let slots = map.get(&key32(1)).unwrap();
        for (cpu, slot) in slots.chunks(8).enumerate() {
            let value = &slot[..map.info.value_size as usize];
            assert_eq!(number(value), cpu as u64 * 10 + 1, "{name}: CPU {cpu}");
        }
        let more = each.clone() + "5\n";
        refused(
            write_with(bed.at(&file), libc::O_CREAT | libc::O_TRUNC, more.as_bytes()),
            "EINVAL",
        );
        assert_eq!(bed.read(&file), each, "{name}: too many lines changed it");
        bed.ok(&format!("cat mnt/{name}/1 > mnt/{name}/2"));
        assert_eq!(map.get(&key32(2)), map.get(&key32(1)));
        refuses(&bed, name, &[("nonsense", "EINVAL"), ("18446744073709551616", "ERANGE")]);
    }
    // One bad line of several changes no CPU's value.
    let mut bad = lines(&|_| "9".to_owned());
    bad.truncate(bad.len() - 2);
    refuses(&bed, "phash_u64", &[(&(bad + "x"), "EINVAL")]);
    // Structs: members left out keep each CPU's own value.
    let file = "phash_stats/1";
    bed.write(file, &lines(&|cpu| format!(r#"{{"packets":{cpu},"bytes":{}}}"#, cpu + 100)));
    bed.write(file, "{\"packets\":5}\n");
    let expected = lines(&|cpu| format!(r#"{{"packets":5,"bytes":{}}}"#, cpu + 100));
    assert_eq!(bed.read(file), expected);
    if cpus > 2 {
        let two = "1\n2\n";
        let out = bed.run(&format!("printf '{two}' > mnt/phash_u64/1"));
        assert!(out.status.success() && bed.read("phash_u64/1") != two, "{out}");
    }
}

/// A per-CPU counter that a program counts up is seen line by line (`bpftool prog run`).
#[test]
fn per_cpu_counts_of_a_program() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    let object = crate::common::object::compile("maps");
    bed.ok(&format!(
        "bpftool prog loadall {} bpf/progs type classifier pinmaps bpf/maps
         head -c 64 /dev/zero > packet
         taskset -c 0 bpftool prog run pinned bpf/progs/count data_in packet repeat 7",
        object.display()
    ));
    let mut expected = vec!["0"; possible_cpus().unwrap()];
    expected[0] = "7";
    assert_eq!(bed.read("maps/parray_u64/0").lines().collect::<Vec<_>>(), expected);
    bed.ok("echo 0 > mnt/maps/parray_u64/0");
    bed.ok("taskset -c 0 bpftool prog run pinned bpf/progs/count data_in packet repeat 2");
    expected[0] = "2";
    assert_eq!(bed.read("maps/parray_u64/0").lines().collect::<Vec<_>>(), expected);
}

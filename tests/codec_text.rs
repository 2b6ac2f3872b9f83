//! What a write accepts and refuses, by type, and what the refusals say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

mod codec_support;
#[path = "common/order.rs"]
mod order;

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, NameMatch, Shape, TextErrorKind};
use codec_support::blob::Blob;
use order::host_order;

/// The codec of a map with keys and values of one type.
fn of(blob: &Blob, id: u32, size: usize) -> Codec {
    shaped(blob, id, size, None, false)
}

fn shaped(blob: &Blob, id: u32, size: usize, cpus: Option<usize>, lpm: bool) -> Codec {
    let btf = Btf::parse(&blob.finish(), None).unwrap();
    let shape =
        Shape { key_size: size, value_size: size, cpus, key_type_id: id, value_type_id: id, lpm };
    let codec = Codec::new(&shape, Some(&btf));
    assert_eq!(codec.fallback(), None);
    codec
}

/// The bytes that a text gives, from zeros.
fn bytes(codec: &Codec, size: usize, text: &str) -> Vec<u8> {
    let mut bytes = vec![0; size];
    if let Err(error) = codec.parse_file(text.as_bytes(), &mut bytes) {
        panic!("{text}: {error}");
    }
    bytes
}

fn print(codec: &Codec, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    codec.print_file(bytes, &mut out);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn refused(codec: &Codec, size: usize, text: &str, kind: TextErrorKind, reason: &str) {
    let error = codec.parse_file(text.as_bytes(), &mut vec![0; size]).unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (kind, reason), "{text}");
}

fn name(codec: &Codec, key: &[u8]) -> String {
    let mut out = Vec::new();
    codec.key_name(key, &mut out);
    String::from_utf8(out).unwrap()
}

fn key(codec: &Codec, name: &[u8]) -> Result<Vec<u8>, TextErrorKind> {
    let mut key = Vec::new();
    codec.parse_name(name, &mut key).map_err(|error| error.kind)?;
    Ok(key)
}

#[test]
fn integers() {
    let mut blob = Blob::new();
    let (s8, u64s, s128) = (blob.int("s8", 1, 1), blob.int("u64", 8, 0), blob.int("s128", 16, 1));
    let codec = of(&blob, s8, 1);
    for (text, byte) in
        [("-128", 128), ("127", 127), ("0xff", 255), ("0b10000000", 128), ("-0x80", 128)]
    {
        assert_eq!(bytes(&codec, 1, text), [byte], "{text}");
    }
    refused(
        &codec,
        1,
        "128",
        TextErrorKind::Range,
        "128 does not fit a signed 8-bit integer (-128 to 127)",
    );
    refused(
        &codec,
        1,
        "-129",
        TextErrorKind::Range,
        "-129 does not fit a signed 8-bit integer (-128 to 127)",
    );
    refused(
        &codec,
        1,
        "1.0",
        TextErrorKind::Invalid,
        "1.0 has a fraction or an exponent, but a signed 8-bit integer (-128 to 127) is needed",
    );
    refused(
        &codec,
        1,
        "1e1",
        TextErrorKind::Invalid,
        "1e1 has a fraction or an exponent, but a signed 8-bit integer (-128 to 127) is needed",
    );
    refused(
        &codec,
        1,
        "true",
        TextErrorKind::Invalid,
        "`true` is not a signed 8-bit integer (-128 to 127)",
    );
    refused(&codec, 1, "{}", TextErrorKind::Invalid, "`{}` is not a number");
    let codec = of(&blob, u64s, 8);
    assert_eq!(
        bytes(&codec, 8, "0x0a000001"),
        0x0a00_0001_u64.to_ne_bytes(),
        "a number, not bytes"
    );
    assert_eq!(bytes(&codec, 8, "01 02 03 04 05 06 07 08"), [1, 2, 3, 4, 5, 6, 7, 8]);
    refused(
        &codec,
        8,
        "18446744073709551616",
        TextErrorKind::Range,
        "18446744073709551616 does not fit an unsigned 64-bit integer (0 to 18446744073709551615)",
    );
    let codec = of(&blob, s128, 16);
    for text in ["\"0x7fffffffffffffffffffffffffffffff\"\n", "\"0x1\"\n"] {
        assert_eq!(print(&codec, &bytes(&codec, 16, text)), text);
    }
    assert_eq!(
        bytes(&codec, 16, "-170141183460469231731687303715884105728"),
        i128::MIN.to_ne_bytes()
    );
    assert_eq!(bytes(&codec, 16, "fd00::1")[..2], [0xfd, 0]);
    refused(
        &codec,
        16,
        "170141183460469231731687303715884105728",
        TextErrorKind::Range,
        "170141183460469231731687303715884105728 does not fit a signed 128-bit integer (-170141183460469231731687303715884105728 to 170141183460469231731687303715884105727)",
    );
}

#[test]
fn bools_and_enums() {
    let mut blob = Blob::new();
    let boolean = blob.int("_Bool", 1, 4);
    let action = blob.enumeration(
        "xdp_action",
        4,
        false,
        &[("XDP_DROP", 1), ("XDP_PASS", 2), ("XDP_SAME", 2)],
    );
    let wide = blob.enumeration("wide", 8, false, &[("HIGH", 1 << 40), ("TOP", u64::MAX)]);
    let signed =
        blob.enumeration("signed", 8, true, &[("LOW", i64::MIN as u64), ("NEG", u64::MAX)]);
    // As LLVM before 16 has it: nothing says that it is signed.
    let old = blob.enumeration("old", 4, false, &[("RED", u64::from(-1_i32 as u32)), ("BLUE", 2)]);
    let flags = blob.enumeration("flags", 4, false, &[("TOP", 1 << 31)]);
    for (id, bits, text) in [(old, -4_i32 as u32, "-4\n"), (flags, 1 << 31 | 1, "2147483649\n")] {
        let codec = of(&blob, id, 4);
        assert_eq!(print(&codec, &bits.to_ne_bytes()), text);
        assert_eq!(bytes(&codec, 4, text), bits.to_ne_bytes());
    }
    let short = blob.enumeration("short", 2, true, &[("MINUS", u64::MAX)]);
    let codec = of(&blob, boolean, 1);
    assert_eq!(print(&codec, &[1]), "true\n");
    assert_eq!(print(&codec, &[2]), "2\n", "no byte is lost");
    for (text, byte) in [("true", 1), ("\"false\"", 0), ("1", 1), ("2", 2)] {
        assert_eq!(bytes(&codec, 1, text), [byte]);
    }
    refused(&codec, 1, "yes", TextErrorKind::Invalid, "`yes` is not true, false or a number");
    let codec = of(&blob, action, 4);
    for text in ["XDP_PASS", "\"XDP_PASS\"", "2", "0x2", "XDP_SAME\n"] {
        assert_eq!(print(&codec, &bytes(&codec, 4, text)), "\"XDP_PASS\"\n", "{text}");
    }
    assert_eq!(print(&codec, &7_u32.to_ne_bytes()), "7\n");
    refused(
        &codec,
        4,
        "XDP_NONE",
        TextErrorKind::Invalid,
        "`XDP_NONE` is not a number or a name of enum xdp_action (XDP_DROP, XDP_PASS)",
    );
    assert_eq!(name(&codec, &2_u32.to_ne_bytes()), "XDP_PASS");
    assert_eq!(key(&codec, b"2"), Ok(2_u32.to_ne_bytes().into()));
    assert_eq!(key(&codec, b"xdp_pass"), Err(TextErrorKind::Invalid));
    for (id, size, value, text) in [
        (wide, 8, 1 << 40, "\"HIGH\"\n"),
        (wide, 8, u64::MAX, "\"TOP\"\n"),
        (wide, 8, 5, "5\n"),
        (signed, 8, i64::MIN as u64, "\"LOW\"\n"),
        (signed, 8, u64::MAX, "\"NEG\"\n"),
        (signed, 8, u64::MAX - 1, "-2\n"),
        (short, 2, 0xffff, "\"MINUS\"\n"),
        (short, 2, 0xfffe, "-2\n"),
    ] {
        let codec = of(&blob, id, size);
        let value = if size == 8 {
            value.to_ne_bytes().to_vec()
        } else {
            (value as u16).to_ne_bytes().to_vec()
        };
        assert_eq!(print(&codec, &value), text);
        assert_eq!(bytes(&codec, size, text), value);
    }
}

#[test]
fn floats_keep_their_bits() {
    let mut blob = Blob::new();
    let (float, double) = (blob.float("float", 4), blob.float("double", 8));
    let (f, d) = (of(&blob, float, 4), of(&blob, double, 8));
    for (bits, text) in [
        (0_u64, "0.0"),
        (1 << 63, "-0.0"),
        (0.1_f64.to_bits(), "0.1"),
        (f64::MAX.to_bits(), "1.7976931348623157e+308"),
        (1, "5e-324"),
        (f64::NAN.to_bits(), "\"nan\""),
        (f64::INFINITY.to_bits(), "\"inf\""),
        (f64::NEG_INFINITY.to_bits(), "\"-inf\""),
    ] {
        assert_eq!(print(&d, &bits.to_ne_bytes()), format!("{text}\n"));
        assert_eq!(bytes(&d, 8, text), bits.to_ne_bytes(), "{text}");
    }
    let odd = (f64::NAN.to_bits() | 1 << 63 | 5).to_ne_bytes();
    assert!(print(&d, &odd).starts_with("\"0x"));
    assert_eq!(bytes(&d, 8, &print(&d, &odd)), odd);
    assert_eq!(bytes(&d, 8, "7"), 7_f64.to_ne_bytes());
    assert_eq!(bytes(&d, 8, "-1.5e3"), (-1500_f64).to_ne_bytes());
    assert_eq!(print(&f, &0.1_f32.to_ne_bytes()), "0.1\n");
    for odd in [f32::NAN, f32::INFINITY, -0.0, 1e-45, 16_777_217.0] {
        assert_eq!(bytes(&f, 4, &print(&f, &odd.to_ne_bytes())), odd.to_ne_bytes());
    }
    refused(&f, 4, "1e39", TextErrorKind::Range, "1e39 does not fit a 32-bit float");
    refused(&d, 8, "1e400", TextErrorKind::Range, "1e400 does not fit a 64-bit float");
    refused(&d, 8, "one", TextErrorKind::Invalid, "`one` is not a number");
}

#[test]
fn strings() {
    let mut blob = Blob::new();
    let char = blob.int("char", 1, 1);
    let text = blob.array(char, 8);
    let codec = of(&blob, text, 8);
    assert_eq!(print(&codec, b"eth0\0\0\0\0"), "\"eth0\"\n");
    assert_eq!(print(&codec, b"12345678"), "\"12345678\"\n");
    assert_eq!(print(&codec, b"a\0b\0\0\0\0\0"), "\"a\\u0000b\"\n");
    assert_eq!(print(&codec, b"\0\0\0\0\0\0\0z"), format!("\"{}z\"\n", "\\u0000".repeat(7)));
    assert_eq!(print(&codec, b"\xffab\0\0\0\0\0"), "[-1,97,98,0,0,0,0,0]\n");
    for (text, expected) in [
        ("eth0", b"eth0\0\0\0\0"),
        ("eth0\n", b"eth0\0\0\0\0"),
        (" x y\n", b" x y\0\0\0\0"),
        ("\"eth0\"\n", b"eth0\0\0\0\0"),
        ("\"\"", b"\0\0\0\0\0\0\0\0"),
        ("42", b"42\0\0\0\0\0\0"),
        ("null", b"null\0\0\0\0"),
        ("0x41", b"0x41\0\0\0\0"),
        ("\u{e9}", b"\xc3\xa9\0\0\0\0\0\0"),
        ("{x}", b"{x}\0\0\0\0\0"),
        ("0x6162636465666768", b"abcdefgh"),
        ("\"a\\u0000b\"", b"a\0b\0\0\0\0\0"),
        ("61 62 63 00 00 00 00 00", b"abc\0\0\0\0\0"),
        ("[97,98,0,0,0,0,0,255]", b"ab\0\0\0\0\0\xff"),
    ] {
        let text = text.replace("255", "-1");
        assert_eq!(bytes(&codec, 8, &text), expected, "{text}");
    }
    refused(
        &codec,
        8,
        "123456789\n",
        TextErrorKind::Invalid,
        "`123456789` has 9 bytes, but the string has room for 8",
    );
    refused(&codec, 8, "[97]", TextErrorKind::Invalid, "the array has 1 of 8 elements");
    // As keys.
    for (bytes, expected) in [
        (b"eth0\0\0\0\0", "eth0"),
        (b".x/%\xff\n \0", "%2Ex%2F%25%FF%0A%20"),
        (b"..\0\0\0\0\0\0", "%2E."),
        (b"a:b@+-_.", "a:b@+-_."),
        (b"\0\0\0\0\0\0\0\0", "0000000000000000"),
        (b"a\0b\0\0\0\0\0", "6100620000000000"),
        (b"00000000", "00000000"),
    ] {
        assert_eq!(name(&codec, bytes), expected);
        assert_eq!(key(&codec, expected.as_bytes()), Ok(bytes.to_vec()), "{expected}");
    }
    assert_eq!(key(&codec, "é".as_bytes()), Ok(b"\xc3\xa9\0\0\0\0\0\0".to_vec()));
    assert_eq!(key(&codec, b"\xff"), Ok(b"\xff\0\0\0\0\0\0\0".to_vec()));
    let long = [b'a'; 255];
    let longest = [b'a'; 1023];
    for hostile in [
        &b".."[..],
        b".",
        b"",
        b"a/b",
        b"%00",
        b"a%00",
        b"a%",
        b"a%2",
        b"a%zz",
        b"123456789",
        b"a\0",
        &long,
        &longest,
        &[b'0'; 255],
        &[b'0'; 1023],
    ] {
        assert_eq!(key(&codec, hostile), Err(TextErrorKind::Invalid), "{hostile:?}");
    }
}

#[test]
fn addresses() {
    let mut blob = Blob::new();
    let u32s = blob.int("unsigned int", 4, 0);
    let be32 = blob.alias(8, "__be32", u32s);
    let v4 = blob.record(4, "in_addr", 4, &[("s_addr", be32, 0, 0)]);
    let v6 = blob.record(4, "in6_addr", 16, &[]);
    let byte = blob.int("unsigned char", 1, 0);
    let (mac, six) = (blob.array(byte, 6), blob.array(byte, 16));
    let codec = of(&blob, v4, 4);
    for text in ["10.0.0.1", "\"10.0.0.1\"\n", "0x0a000001", "0a 00 00 01"] {
        assert_eq!(bytes(&codec, 4, text), [10, 0, 0, 1], "{text}");
    }
    refused(
        &codec,
        4,
        "10.0.0",
        TextErrorKind::Invalid,
        "`10.0.0` is not an IPv4 address such as 10.0.0.1",
    );
    refused(
        &codec,
        4,
        "[10]",
        TextErrorKind::Invalid,
        "`[10]` is not an IPv4 address such as 10.0.0.1",
    );
    let codec = of(&blob, v6, 16);
    assert_eq!(print(&codec, &bytes(&codec, 16, "FD00:0::0001")), "\"fd00::1\"\n");
    assert_eq!(name(&codec, &[0; 16]), "::");
    refused(
        &codec,
        16,
        "10.0.0.1",
        TextErrorKind::Invalid,
        "`10.0.0.1` is not an IPv6 address such as fd00::1",
    );
    let codec = of(&blob, be32, 4);
    assert_eq!(print(&codec, &[10, 0, 0, 1]), "167772161\n");
    assert_eq!(bytes(&codec, 4, "10.0.0.1"), [10, 0, 0, 1]);
    assert_eq!(bytes(&codec, 4, "167772161"), [10, 0, 0, 1]);
    let codec = of(&blob, mac, 6);
    for text in [
        "aa:bb:cc:dd:ee:ff",
        "aa-bb-cc-dd-ee-ff",
        "\"AA:bb:cc:dd:ee:ff\"",
        "aabbccddeeff",
        "0xaabbccddeeff",
        "[170,187,204,221,238,255]",
    ] {
        assert_eq!(bytes(&codec, 6, text), [0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff], "{text}");
    }
    assert_eq!(name(&codec, &[0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]), "aa:bb:cc:dd:ee:ff");
    for name in [&b"aa:bb:cc:dd:ee:ff"[..], b"aabbccddeeff", b"aa-bb-cc-dd-ee-ff"] {
        assert_eq!(key(&codec, name).unwrap(), [0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
    }
    refused(
        &codec,
        6,
        "aa:bb:cc:dd:ee",
        TextErrorKind::Invalid,
        "`aa:bb:cc:dd:ee` is not a MAC address such as 00:11:22:33:44:55",
    );
    refused(&codec, 6, "[1,2,3]", TextErrorKind::Invalid, "the array has 3 of 6 elements");
    refused(
        &codec,
        6,
        "[1,2,3,4,5,6,7]",
        TextErrorKind::Invalid,
        "the array has more than 6 elements",
    );
    refused(
        &codec,
        6,
        "[1,2,300,4,5,6]",
        TextErrorKind::Range,
        "[2]: 300 does not fit an unsigned 8-bit integer (0 to 255)",
    );
    assert_eq!(bytes(&of(&blob, six, 16), 16, "::1")[15], 1);
}

/// `struct conn { u32 id; struct { u8 packets; u64 bytes } stats[2]; union { u32 v4; u8 v6[8]; }; }`
fn conn() -> (Blob, u32) {
    let mut blob = Blob::new();
    let (u8s, u32s, u64s) = (blob.int("u8", 1, 0), blob.int("u32", 4, 0), blob.int("u64", 8, 0));
    let stats = blob.record(4, "stats", 16, &[("packets", u8s, 0, 0), ("bytes", u64s, 64, 0)]);
    let list = blob.array(stats, 2);
    let v6 = blob.array(u8s, 8);
    let union = blob.record(5, "", 8, &[("v4", u32s, 0, 0), ("v6", v6, 0, 0)]);
    let conn = blob.record(
        4,
        "conn",
        48,
        &[("id", u32s, 0, 0), ("stats", list, 64, 0), ("", union, 320, 0)],
    );
    (blob, conn)
}

#[test]
fn objects_change_what_they_name() {
    let (blob, conn) = conn();
    let codec = of(&blob, conn, 48);
    assert_eq!(codec.value_type().as_deref(), Some("struct conn"));
    assert!(!codec.whole_writes());
    let full = r#"{"id":1,"stats":[{"packets":2,"bytes":3},{"packets":4,"bytes":5}],"v6":[1,2,3,4,5,6,7,8]}"#;
    let mut value = vec![0xee; 48];
    codec.parse_value(full.as_bytes(), &mut value).unwrap();
    assert_eq!(print(&codec, &value).trim_end(), full);
    assert_eq!((value[4], value[9], value[25]), (0, 0, 0), "padding is zero");
    codec.parse_value(br#"{"id":9}"#, &mut value).unwrap();
    assert_eq!(print(&codec, &value).trim_end(), full.replace("\"id\":1", "\"id\":9"));
    codec.parse_value(br#"{"stats":[{"bytes":0},{}]}"#, &mut value).unwrap();
    assert!(print(&codec, &value).contains(r#"[{"packets":2,"bytes":0},{"packets":4,"bytes":5}]"#));
    codec.parse_value(br#"{"v4":16909060}"#, &mut value).unwrap();
    assert_eq!(value[40..44], 16_909_060_u32.to_ne_bytes());
    assert_eq!(value[44..], [0; 4], "what the union's other member had");
    codec.parse_value(b"{}", &mut value).unwrap();
    assert!(print(&codec, &value).starts_with(r#"{"id":9,"#));
    // Pretty-printed, members in another order, blanks around.
    let pretty = " {\n  \"v6\": [0,0,0,0,0,0,0,1],\n  \"id\": \"0x10\"\n}\n\n";
    codec.parse_value(pretty.as_bytes(), &mut value).unwrap();
    assert_eq!((&value[..4], value[47]), (&16_u32.to_ne_bytes()[..], 1));
    // All of it as bytes.
    let hex = format!("0x{}", "01".repeat(48));
    codec.parse_value(hex.as_bytes(), &mut value).unwrap();
    assert_eq!(value, [1; 48]);
}

#[test]
fn refusals_name_the_member() {
    use TextErrorKind::{Incomplete, Invalid, Range};
    let (blob, conn) = conn();
    let codec = of(&blob, conn, 48);
    for (text, kind, reason) in [
        (
            r#"{"id":4294967296}"#,
            Range,
            "id: 4294967296 does not fit an unsigned 32-bit integer (0 to 4294967295)",
        ),
        (
            r#"{"stats":[{"packets":1},{"packets":300}]}"#,
            Range,
            "stats[1].packets: 300 does not fit an unsigned 8-bit integer (0 to 255)",
        ),
        (
            r#"{"stats":[{"pakets":1},{}]}"#,
            Invalid,
            "stats[0]: there is no member `pakets`, only packets, bytes",
        ),
        (r#"{"stats":[{}]}"#, Invalid, "stats: the array has 1 of 2 elements"),
        (r#"{"stats":[{},5]}"#, Invalid, "stats[1]: a number stands where an object is needed"),
        (r#"{"stats":{}}"#, Invalid, "stats: an object stands where an array is needed"),
        (r#"{"stats":7}"#, Invalid, "stats: a number stands where an array is needed"),
        (r#"{"stats":1.5}"#, Invalid, "stats: a number stands where an array is needed"),
        (r#"{"stats":[{},1e5]}"#, Invalid, "stats[1]: a number stands where an object is needed"),
        (r#"{"stats":null}"#, Invalid, "stats: null stands where an array is needed"),
        (
            r#"{"stats":"many"}"#,
            Invalid,
            "stats: `many` is neither a JSON array nor 32 bytes in hex",
        ),
        (
            r#"{"id":1.5}"#,
            Invalid,
            "id: 1.5 has a fraction or an exponent, but an unsigned 32-bit integer (0 to 4294967295) is needed",
        ),
        (
            r#"{"id":null}"#,
            Invalid,
            "id: `null` is not an unsigned 32-bit integer (0 to 4294967295)",
        ),
        (r#"{"id":[1]}"#, Invalid, "id: `[1]` is not a number"),
        (r#"{"id":1,"id":2}"#, Invalid, "id: the member is given twice"),
        (
            r#"{"v4":1,"v6":"0x0102030405060708"}"#,
            Invalid,
            "v6: `v4` is in the same union: give one of them",
        ),
        (
            r#"{"id":1} x"#,
            Invalid,
            "this is no JSON value: trailing characters at line 1 column 10",
        ),
        (
            r#"{"id":1}{"id":2}"#,
            Invalid,
            "this is no JSON value: trailing characters at line 1 column 9",
        ),
        (r#"{"id":01}"#, Invalid, "this is no JSON value: invalid number at line 1 column 8"),
        (r#"{"id":1,}"#, Invalid, "this is no JSON value: trailing comma at line 1 column 9"),
        ("[]", Invalid, "an array stands where an object is needed"),
        ("7", Invalid, "`7` is neither a JSON object nor 48 bytes in hex"),
        (
            r#"{"id":1"#,
            Incomplete,
            "the JSON ends early: EOF while parsing an object at line 1 column 7",
        ),
        (
            r#"{"id"#,
            Incomplete,
            "the JSON ends early: EOF while parsing a string at line 1 column 4",
        ),
        ("{", Incomplete, "the JSON ends early: EOF while parsing an object at line 1 column 1"),
    ] {
        refused(&codec, 48, text, kind, reason);
    }
    // serde_json's own way to hand over numbers is no way in.
    let magic = br#"{"$serde_json::private::Number":"5"}"#;
    assert!(codec.parse_value(magic, &mut [0; 48]).is_err());
}

#[test]
fn bit_fields() {
    let mut blob = Blob::new();
    let (u32s, s32) = (blob.int("u32", 4, 0), blob.int("s32", 4, 1));
    let bits = blob.record(
        4,
        "bits",
        4,
        &[("a", u32s, 0, 3), ("b", s32, 3, 4), ("c", u32s, 7, 1), ("d", u32s, 13, 19)],
    );
    let codec = of(&blob, bits, 4);
    let mut value = vec![0xff; 4];
    codec.parse_value(br#"{"b":-8}"#, &mut value).unwrap();
    assert_eq!(print(&codec, &value), "{\"a\":7,\"b\":-8,\"c\":1,\"d\":524287}\n");
    let between = host_order(0x1f, 0xf8);
    assert_eq!(value[1] & between, 0, "padding between bit-fields is zero");
    refused(
        &codec,
        4,
        r#"{"a":8}"#,
        TextErrorKind::Range,
        "a: 8 does not fit an unsigned 3-bit integer (0 to 7)",
    );
    refused(
        &codec,
        4,
        r#"{"b":8}"#,
        TextErrorKind::Range,
        "b: 8 does not fit a signed 4-bit integer (-8 to 7)",
    );
    assert_eq!(name(&codec, &value), "a=7,b=-8,c=1,d=524287");
    assert_eq!(key(&codec, b"d=524287,c=1,b=-8,a=7"), Ok(value.clone()));
    assert_eq!(name(&codec, &[0xff; 4]), "ffffffff", "padding that is not zero");
    assert_eq!(key(&codec, b"ffffffff"), Ok(vec![0xff; 4]));
    for hostile in [
        "a=7",
        "a=7,b=0,c=1,d=1,e=1",
        "a=7,b=0,c=1,c=1",
        "a=7,b=0,c=1,d=",
        "a=8,b=0,c=1,d=1",
        "a=7,b=0,c=1,d=1,",
        "fffffff",
        "=,=,=,=",
    ] {
        assert!(key(&codec, hostile.as_bytes()).is_err(), "{hostile}");
    }
}

/// A name that has as many characters as the key's bytes have hex digits, and begins with some, leaves no bit
/// behind that its members do not have.
#[test]
fn names_that_begin_as_hex() {
    let mut blob = Blob::new();
    let u32s = blob.int("u32", 4, 0);
    let bits = blob.record(4, "bits", 4, &[("facade", u32s, 0, 3)]);
    let codec = of(&blob, bits, 4);
    let found = key(&codec, b"facade=7").unwrap();
    let ones: u32 = found.iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(ones, 3, "{found:?}");
    assert_eq!(name(&codec, &found), "facade=7");
}

/// A plain pointer is a number like others; one that the program marks as the kernel's is not ours to
/// write.
#[test]
fn pointers_are_numbers_unless_the_kernels() {
    let mut blob = Blob::new();
    let task = blob.record(4, "task_struct", 8, &[]);
    let tag = blob.raw("kptr", 18, 0, false, task, &[]);
    let (plain, kernels) = (blob.ptr(task), blob.ptr(tag));
    let holder = blob.record(4, "holder", 16, &[("p", plain, 0, 0), ("k", kernels, 64, 0)]);
    let codec = of(&blob, holder, 16);
    let mut value = [0x1000_u64.to_ne_bytes(), 7_u64.to_ne_bytes()].concat();
    assert_eq!(print(&codec, &value), "{\"p\":\"0x1000\",\"k\":\"0x7\"}\n");
    codec.parse_value(br#"{"p":"0x1001","k":"0x7"}"#, &mut value).unwrap();
    assert_eq!(print(&codec, &value), "{\"p\":\"0x1001\",\"k\":\"0x7\"}\n");
    codec.parse_value(br#"{"p":18446744073709551615}"#, &mut value).unwrap();
    assert_eq!(value[..8], [0xff; 8]);
    let error = codec.parse_value(br#"{"k":"0x8"}"#, &mut value).unwrap_err();
    assert_eq!(error.reason, "k: this pointer is the kernel's and cannot be written: leave it out");
}

/// Of a union the member is shown that shows all of its bytes, so that they can be written back.
#[test]
fn unions_are_shown_whole() {
    let mut blob = Blob::new();
    let (u16s, u32s, u64s) = (blob.int("u16", 2, 0), blob.int("u32", 4, 0), blob.int("u64", 8, 0));
    let l = blob.record(4, "", 16, &[("a", u16s, 0, 0), ("b", u64s, 64, 0)]);
    let s = blob.record(4, "", 4, &[("c", u32s, 0, 0)]);
    let union = blob.record(5, "", 16, &[("l", l, 0, 0), ("s", s, 0, 0)]);
    let holder = blob.record(4, "holder", 24, &[("n", u64s, 0, 0), ("", union, 64, 0)]);
    let (named, folded) = (of(&blob, union, 16), of(&blob, holder, 24));
    // Neither shows all of it.
    let (hex, seven) = host_order(
        ("\"0x78563412000000000900000000000000\"", "\"0x0700000000000000"),
        ("\"0x56781234000000000000000000000009\"", "\"0x0000000000000007"),
    );
    let c = host_order(0x1234_5678, 0x5678_1234_u32);
    // What `a` has, and what `c` has beside it.
    for ([a, beyond], b, text) in [
        ([0x5678_u16, 0], 9_u64, "{\"l\":{\"a\":22136,\"b\":9}}"),
        ([0x5678, 0x1234], 0, &*format!("{{\"s\":{{\"c\":{c}}}}}")),
        ([0, 0], 0, "{\"l\":{\"a\":0,\"b\":0}}"),
        ([0x5678, 0x1234], 9, hex),
    ] {
        let mut value = [a.to_ne_bytes(), beyond.to_ne_bytes(), [0; 2], [0; 2]].concat();
        value.extend(b.to_ne_bytes());
        assert_eq!(print(&named, &value), format!("{text}\n"));
        let mut back = vec![0xee; 16];
        named.parse_value(text.as_bytes(), &mut back).unwrap();
        assert_eq!(back, value, "{text}");
        // In a struct that has it folded in, the whole struct is in hex then.
        let whole = [&7_u64.to_ne_bytes()[..], &value].concat();
        let shown = print(&folded, &whole);
        let mut back = vec![0xee; 24];
        folded.parse_value(shown.trim_end().as_bytes(), &mut back).unwrap();
        assert_eq!(back, whole, "{shown}");
        assert_eq!(shown.starts_with(seven), text.starts_with("\"0x"), "{shown}");
    }
}

/// A copy made by `.schema` takes the names that C cannot say, as the original shows them.
#[test]
fn members_that_a_copy_renames() {
    let mut blob = Blob::new();
    let int = blob.int("u32", 4, 0);
    let record = |blob: &mut Blob, names: &[&str]| {
        let at = |(i, name): (usize, &&'static str)| (*name, int, i as u32 * 32, 0);
        let names: Vec<&'static str> =
            names.iter().map(|name| &*Box::leak(name.to_string().into_boxed_str())).collect();
        let members: Vec<_> = names.iter().enumerate().map(at).collect();
        blob.record(4, "m_bss", members.len() as u32 * 4, &members)
    };
    let copy = record(&mut blob, &["p_cnt", "p1_____fmt", "x", "x___2"]);
    let unsure = record(&mut blob, &["a_b", "a_b___2", "x", "x_2", "x___2"]);
    let codec = of(&blob, copy, 16);
    let value = [1_u32, 2, 3, 4].map(u32::to_ne_bytes).concat();
    for text in [
        r#"{"p.cnt":1,"p1.____fmt":2,"x":3,"x.2":4}"#,
        r#"{"x.2":4,"x":3,"p1.____fmt":2,"p.cnt":1}"#,
        r#"{"p_cnt":1,"p1_____fmt":2,"x":3,"x___2":4}"#,
    ] {
        assert_eq!(bytes(&codec, 16, text), value, "{text}");
    }
    // Where two could be meant, neither is.
    for (id, text) in [
        (unsure, r#"{"a.b":1}"#),
        (unsure, r#"{"x.2":1}"#),
        (copy, r#"{"p.c":1}"#),
        (copy, r#"{"x.3":1}"#),
        (copy, r#"{"x.":1}"#),
    ] {
        let size = if id == copy { 16 } else { 20 };
        let mut value = vec![0; size];
        assert!(of(&blob, id, size).parse_value(text.as_bytes(), &mut value).is_err(), "{text}");
        assert_eq!(value, vec![0; size], "{text}");
    }
}

/// So with the constants of the second of two enums that have the same ones.
#[test]
fn constants_that_a_copy_renames() {
    let mut blob = Blob::new();
    let e = blob.enumeration("e", 4, false, &[("A___2", 5), ("B___2", 6), ("B___3", 7)]);
    let codec = of(&blob, e, 4);
    assert_eq!(bytes(&codec, 4, "\"A\""), 5_u32.to_ne_bytes());
    assert_eq!(bytes(&codec, 4, "\"A___2\""), 5_u32.to_ne_bytes());
    for text in ["\"B\"", "\"A_\"", "\"A___\"", "\"C\""] {
        assert!(codec.parse_value(text.as_bytes(), &mut [0; 4]).is_err(), "{text}");
    }
}

/// A sum shows of a union the member that shows what any CPU has in it.
#[test]
fn sums_of_unions() {
    let mut blob = Blob::new();
    let (u16s, u32s, u64s) = (blob.int("u16", 2, 0), blob.int("u32", 4, 0), blob.int("u64", 8, 0));
    let l = blob.record(4, "", 16, &[("a", u16s, 0, 0), ("b", u64s, 64, 0)]);
    let s = blob.record(4, "", 4, &[("c", u32s, 0, 0)]);
    let union = blob.record(5, "", 16, &[("l", l, 0, 0), ("s", s, 0, 0)]);
    let holder = blob.record(4, "holder", 24, &[("n", u64s, 0, 0), ("u", union, 64, 0)]);
    let folded = blob.record(4, "folded", 24, &[("n", u64s, 0, 0), ("", union, 64, 0)]);
    // `c` has both numbers' bytes, `a` those of the first.
    let both = |[a, beyond]: [u16; 2]| [a.to_ne_bytes(), beyond.to_ne_bytes()].concat();
    let value = |c: [u16; 2], b: u64| {
        [&7_u64.to_ne_bytes()[..], &both(c), &[0; 4], &b.to_ne_bytes()].concat()
    };
    let c = host_order(65_538, 131_073);
    let whole = format!(r#""s":{{"c":{c}}}"#);
    for (cpus, text) in [
        ([([0, 0], 0), ([0, 0], 0)], Some(r#""l":{"a":0,"b":0}"#)),
        ([([1, 0], 9), ([2, 0], 0)], Some(r#""l":{"a":3,"b":9}"#)),
        // One CPU alone would show the other member.
        ([([0, 1], 0), ([2, 0], 0)], Some(&*whole)),
        ([([2, 0], 0), ([0, 1], 0)], Some(&*whole)),
        // Each CPU has a member that shows it, and none shows both.
        ([([0, 1], 0), ([2, 0], 9)], None),
    ] {
        let slots = cpus.map(|(c, b)| value(c, b)).concat();
        let sum = |id| {
            let mut out = Vec::new();
            shaped(&blob, id, 24, Some(2), false).print_sum(&slots, &mut out);
            String::from_utf8(out).unwrap()
        };
        let (own, all) = match text {
            Some(text) => (format!("{{{text}}}"), format!("{{\"n\":14,{text}}}")),
            None => ("null".to_owned(), "null".to_owned()),
        };
        assert_eq!(sum(holder), format!("{{\"n\":14,\"u\":{own}}}"), "{cpus:?}");
        assert_eq!(sum(folded), all, "{cpus:?}");
    }
}

/// An address is shown before what is larger or stands first; of two the IPv4 one, where that is all.
#[test]
fn unions_with_addresses() {
    let mut blob = Blob::new();
    let (u64s, v4, v6) = (
        blob.int("u64", 8, 0),
        blob.record(4, "in_addr", 4, &[]),
        blob.record(4, "in6_addr", 16, &[]),
    );
    let pair = blob.array(u64s, 2);
    let union = blob.record(5, "", 16, &[("d", pair, 0, 0), ("six", v6, 0, 0), ("four", v4, 0, 0)]);
    let codec = of(&blob, union, 16);
    let mut value = [0; 16];
    value[..4].copy_from_slice(&[10, 0, 0, 1]);
    assert_eq!(print(&codec, &value), "{\"four\":\"10.0.0.1\"}\n");
    value[15] = 1;
    assert_eq!(print(&codec, &value), "{\"six\":\"a00:1::1\"}\n");
}

/// Old compilers' bit-fields: an integer that begins and ends within its bytes.
#[test]
fn integers_that_begin_within_their_bytes() {
    let mut blob = Blob::new();
    let int = |blob: &mut Blob, signed: u32, offset: u32, bits: u32| {
        blob.raw("bits", 1, 0, false, 4, &[signed << 24 | offset << 16 | bits])
    };
    let (low, high) = (int(&mut blob, 0, 3, 5), int(&mut blob, 1, 7, 9));
    let far = int(&mut blob, 0, 11, 6);
    let holder = blob.record(4, "h", 4, &[("low", low, 0, 0), ("high", high, 8, 0)]);
    // By itself: the bits around it stay. Bits are counted from the first byte, there from the end at which
    // numbers begin.
    let (values, backs) = host_order(
        ([0xffff_ffa7_u32, 0x0000_c07f], [0xffff_ff0f_u32, 0x0000_ffff]),
        ([0xb4ff_ffff, 0xff80_0000], [0xa1ff_ffff, 0xffff_0000]),
    );
    for (id, value, text, other, back) in
        [(low, values[0], "20", "1", backs[0]), (high, values[1], "-128", "-1", backs[1])]
    {
        let codec = of(&blob, id, 4);
        assert_eq!(print(&codec, &value.to_ne_bytes()), format!("{text}\n"));
        let mut bytes = value.to_ne_bytes();
        codec.parse_value(other.as_bytes(), &mut bytes).unwrap();
        assert_eq!(u32::from_ne_bytes(bytes), back, "{other}");
        refused(
            &codec,
            4,
            "512",
            TextErrorKind::Range,
            &match text {
                "20" => "512 does not fit an unsigned 5-bit integer (0 to 31)".to_owned(),
                _ => "512 does not fit a signed 9-bit integer (-256 to 255)".to_owned(),
            },
        );
    }
    // As a member: its own offset counts from the member's.
    let codec = of(&blob, holder, 4);
    let value = host_order(20 << 3 | 0x1ff << 15, 0x1401_ff00_u32).to_ne_bytes();
    assert_eq!(print(&codec, &value), "{\"low\":20,\"high\":-1}\n");
    assert_eq!(bytes(&codec, 4, r#"{"low":20,"high":-1}"#), value);
    // Beyond its first byte by itself, or past its end: no integer.
    let past = int(&mut blob, 0, 4, 29);
    let btf = Btf::parse(&blob.finish(), None).unwrap();
    for (id, reason) in [(far, "has 6 bits in 4 bytes"), (past, "has 29 bits in 4 bytes")] {
        let shape = Shape {
            key_size: 4,
            value_size: 4,
            cpus: None,
            key_type_id: id,
            value_type_id: id,
            lpm: false,
        };
        let codec = Codec::new(&shape, Some(&btf));
        assert!(codec.fallback().unwrap().contains(reason), "{:?}", codec.fallback());
    }
}

#[test]
fn typed_prefixes() {
    let mut blob = Blob::new();
    let (u8s, u16s, u32s) = (blob.int("u8", 1, 0), blob.int("u16", 2, 0), blob.int("u32", 4, 0));
    let (none, four) = (blob.array(u8s, 0), blob.array(u8s, 4));
    let header =
        blob.record(4, "bpf_lpm_trie_key", 4, &[("prefixlen", u32s, 0, 0), ("data", none, 32, 0)]);
    let header_u8 = blob.record(5, "", 4, &[("hdr", header, 0, 0), ("prefixlen", u32s, 0, 0)]);
    let v6 = blob.record(4, "in6_addr", 16, &[]);
    let ports = blob.record(4, "ports", 4, &[("from", u16s, 0, 0), ("to", u16s, 16, 0)]);
    let as_bytes = blob.record(4, "a", 8, &[("prefixlen", u32s, 0, 0), ("data", four, 32, 0)]);
    let as_number = blob.record(4, "b", 8, &[("hdr", header, 0, 0), ("addr", u32s, 32, 0)]);
    let as_union = blob.record(4, "c", 8, &[("", header_u8, 0, 0), ("addr", u32s, 32, 0)]);
    let as_v6 = blob.record(4, "d", 20, &[("prefixlen", u32s, 0, 0), ("addr", v6, 32, 0)]);
    let as_ports = blob.record(4, "e", 8, &[("prefixlen", u32s, 0, 0), ("ports", ports, 32, 0)]);
    let as_two = blob.record(
        4,
        "f",
        8,
        &[("prefixlen", u32s, 0, 0), ("x", u16s, 32, 0), ("y", u16s, 48, 0)],
    );
    let ten = [&8_u32.to_ne_bytes()[..], &[10, 0, 0, 0]].concat();
    for id in [as_bytes, as_number, as_union] {
        let codec = shaped(&blob, id, 8, None, true);
        assert_eq!(name(&codec, &ten), "10.0.0.0_8");
        let mut key = Vec::new();
        assert_eq!(codec.parse_name(b"10.1.2.3", &mut key).unwrap(), NameMatch::Longest);
        let mut json = Vec::new();
        codec.print_key(&ten, &mut json);
        codec.parse_key(&json, &mut key).unwrap();
        assert_eq!(key, ten, "{}", String::from_utf8_lossy(&json));
        codec.parse_key(b"\"10.0.0.0_8\"", &mut key).unwrap();
        assert_eq!(key, ten);
    }
    let mut six = 16_u32.to_ne_bytes().to_vec();
    six.extend([0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(name(&shaped(&blob, as_v6, 20, None, true), &six), "fd01::_16");
    let nested = shaped(&blob, as_ports, 8, None, true);
    assert_eq!(
        name(&nested, &ten),
        format!("prefixlen=8,ports.from={},ports.to=0", u16::from_ne_bytes([10, 0]))
    );
    let two = shaped(&blob, as_two, 8, None, true);
    assert!(name(&two, &ten).starts_with("prefixlen=8,x="));
    // Not a trie: a struct like any other.
    assert_eq!(name(&of(&blob, as_bytes, 8), &ten), "prefixlen=8,data=0a000000");
}

#[test]
fn per_cpu_values_of_structs() {
    let mut blob = Blob::new();
    let (u32s, u64s) = (blob.int("u32", 4, 0), blob.int("u64", 8, 0));
    let char = blob.int("char", 1, 1);
    let text = blob.array(char, 4);
    let stats = blob.record(
        4,
        "stats",
        20,
        &[("bytes", u64s, 0, 0), ("n", u32s, 64, 0), ("dev", text, 96, 0), ("tag", text, 128, 0)],
    );
    let codec = shaped(&blob, stats, 20, Some(2), false);
    assert_eq!(codec.slot(1), 24..44);
    let mut bytes = vec![0; 48];
    let (one, two) = (
        r#"{"bytes":18446744073709551615,"n":1,"dev":"a","tag":"x"}"#,
        r#"{"bytes":18446744073709551615,"n":2,"dev":"a","tag":"y"}"#,
    );
    codec.parse_file(format!("{one}\n{two}\n").as_bytes(), &mut bytes).unwrap();
    assert_eq!(print(&codec, &bytes), format!("{one}\n{two}\n"));
    let mut sum = Vec::new();
    codec.print_sum(&bytes, &mut sum);
    assert_eq!(
        String::from_utf8(sum).unwrap(),
        r#"{"bytes":36893488147419103230,"n":3,"dev":"a","tag":null}"#
    );
    codec.parse_file(b"{\n  \"n\": 7\n}\n", &mut bytes).unwrap();
    assert_eq!(
        print(&codec, &bytes),
        format!("{one}\n{two}\n").replace("\"n\":1", "\"n\":7").replace("\"n\":2", "\"n\":7")
    );
    let error = codec.parse_file(b"{\"n\":1}\n{\"n\":-9999999999}\n", &mut bytes).unwrap_err();
    assert_eq!(
        error.reason,
        "CPU 1: n: -9999999999 does not fit an unsigned 32-bit integer (0 to 4294967295)"
    );
    for text in ["{\"n\":1", "{\"n\":1}\n{\"n\""] {
        assert_eq!(
            codec.parse_file(text.as_bytes(), &mut bytes).unwrap_err().kind,
            TextErrorKind::Incomplete,
            "{text}"
        );
    }
}

#[test]
fn wide_sums() {
    let mut blob = Blob::new();
    let (signed, unsigned) = (blob.int("s", 16, 1), blob.int("u", 16, 0));
    let sum = |id, values: &[u128]| {
        let codec = shaped(&blob, id, 16, Some(values.len()), false);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let mut out = Vec::new();
        codec.print_sum(&bytes, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(sum(unsigned, &[u128::MAX, 1]), "\"0x100000000000000000000000000000000\"");
    assert_eq!(sum(unsigned, &[2, 3]), "\"0x5\"");
    assert_eq!(sum(signed, &[u128::MAX, 3]), "\"0x2\"");
    assert_eq!(sum(signed, &[u128::MAX, u128::MAX]), "\"-0x2\"");
    assert_eq!(sum(signed, &[1 << 127, 1 << 127]), "\"-0x100000000000000000000000000000000\"");
}

#[test]
fn members() {
    let (blob, conn) = conn();
    let codec = of(&blob, conn, 48);
    let mut value = vec![0; 48];
    let names = |path: &[&[u8]]| {
        let children = codec.member(path).unwrap().children()?;
        Some(children.into_iter().map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(names(&[]).unwrap(), ["id", "stats", "v4", "v6"]);
    assert_eq!(names(&[b"stats"]).unwrap(), ["0", "1"]);
    assert_eq!(names(&[b"stats", b"1", b"bytes"]), None);
    let member = codec.member(&[b"stats", b"1", b"packets"]).unwrap();
    member.parse(b"7\n", &mut value).unwrap();
    assert_eq!(value[24], 7);
    let mut out = Vec::new();
    member.print(&value, &mut out);
    assert_eq!(out, b"7");
    let error = member.parse(b"256", &mut value).unwrap_err();
    assert_eq!(error.kind, TextErrorKind::Range);
    let missing: [&[&[u8]]; 6] = [
        &[b"x"],
        &[b"stats", b"2"],
        &[b"stats", b"01"],
        &[b"stats", b"-0"],
        &[b"id", b"0"],
        &[b"\xff"],
    ];
    for path in missing {
        assert!(codec.member(path).is_none(), "{path:?}");
    }
    // A union's smaller member by itself: what it does not cover stays.
    value.fill(0xff);
    codec.member(&[b"v4"]).unwrap().parse(b"1", &mut value).unwrap();
    assert_eq!(value[40..], [1_u32.to_ne_bytes(), [0xff; 4]].concat());
    assert_eq!(value[..40], [0xff; 40]);
}

#[test]
fn long_names_are_hex() {
    let mut blob = Blob::new();
    let u64s = blob.int("u64", 8, 0);
    let list = blob.array(u64s, 64);
    let char = blob.int("char", 1, 1);
    let text = blob.array(char, 400);
    let many = blob.record(4, "many", 512, &[("number", list, 0, 0)]);
    let codec = of(&blob, many, 512);
    let key_of = [0xff; 512];
    assert_eq!(name(&codec, &key_of).len(), 1024);
    assert_eq!(key(&codec, name(&codec, &key_of).as_bytes()), Ok(key_of.to_vec()));
    assert!(name(&codec, &[0; 512]).starts_with("number.0=0,number.1=0,"));
    let codec = of(&blob, text, 400);
    let slashes = [b'/'; 400];
    assert_eq!(name(&codec, &slashes), "2f".repeat(400));
    assert_eq!(key(&codec, "2f".repeat(400).as_bytes()), Ok(slashes.to_vec()));
}

#[test]
fn types_are_spelled_as_in_c() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4, 1);
    let constant = blob.alias(10, "", int);
    let pointer = blob.ptr(constant);
    let fixed = blob.alias(10, "", pointer);
    let list = blob.array(fixed, 3);
    let grid = blob.array(list, 2);
    let proto = blob.raw("", 13, 2, false, int, &[0, pointer, 0, 0]);
    let callback = blob.ptr(proto);
    let to_list = blob.ptr(list);
    let anonymous = blob.record(4, "", 4, &[("a", int, 0, 0)]);
    let tag = blob.alias(18, "user", int);
    let tagged = blob.ptr(tag);
    let btf = Btf::parse(&blob.finish(), None).unwrap();
    for (id, spelled) in [
        (0, "void"),
        (pointer, "const int *"),
        (fixed, "const int *const"),
        (grid, "const int *const [2][3]"),
        (callback, "int (*)(const int *, ...)"),
        (to_list, "const int *const (*)[3]"),
        (anonymous, "struct {…}"),
        (tagged, "int *"),
    ] {
        assert_eq!(btf.spell(id), spelled);
    }
    assert_eq!(btf.declare(callback, "handler"), "int (*handler)(const int *, ...)");
    assert_eq!(btf.declare(grid, "cells"), "const int *const cells[2][3]");
}

/// An integer of 5 bits in a byte, or 24 in four: the kernel tells keys apart by all their bytes.
#[test]
fn keys_of_integers_with_fewer_bits_than_bytes() {
    for (encoding, size, key_bytes, shown) in [
        (0, 1, vec![0x15], "21"),
        (0, 1, vec![0xf5], "245"),
        (1, 1, vec![0x1f], "31"),
        (1, 1, vec![0xff], "-1"),
        (0, 4, 0x2a_u32.to_ne_bytes().to_vec(), "42"),
        (0, 4, 0x1200_002a_u32.to_ne_bytes().to_vec(), "301989930"),
    ] {
        let mut blob = Blob::new();
        let bits = if size == 1 { 5 } else { 24 };
        let int = blob.raw("int", 1, 0, false, size, &[encoding << 24 | bits]);
        let codec = of(&blob, int, size as usize);
        assert_eq!(name(&codec, &key_bytes), shown);
        assert_eq!(key(&codec, shown.as_bytes()).as_ref(), Ok(&key_bytes), "{shown}");
        let mut json = Vec::new();
        codec.print_key(&key_bytes, &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), shown);
    }
}

/// An array of one-byte structs inside a key: each struct's padding is the key's too.
#[test]
fn padding_of_bytes_in_an_array_of_a_key() {
    let mut blob = Blob::new();
    let u8s = blob.int("u8", 1, 0);
    let nibble = blob.record(4, "nibble", 1, &[("x", u8s, 0, 4)]);
    let list = blob.array(nibble, 2);
    let id = blob.record(4, "k", 3, &[("list", list, 0, 0), ("n", u8s, 16, 0)]);
    let codec = of(&blob, id, 3);
    let (stray, hex) = host_order(([1, 0x92, 3], "019203"), ([1, 0x29, 3], "012903"));
    let x = |n: u8| host_order(n, n << 4);
    for (bytes, shown, text) in [
        ([x(1), x(2), 3], "list.0.x=1,list.1.x=2,n=3", r#"{"list":[{"x":1},{"x":2}],"n":3}"#),
        (stray, hex, &*format!("\"0x{hex}\"")),
    ] {
        assert_eq!(name(&codec, &bytes), shown);
        assert_eq!(key(&codec, shown.as_bytes()), Ok(bytes.to_vec()));
        let mut json = Vec::new();
        codec.print_key(&bytes, &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), text);
    }
}

/// Whether a blank line among the CPUs' lines is an empty string or a slip cannot be told: it is
/// refused, as a blank text for one value is. An empty string is `""`.
#[test]
fn blank_lines_are_no_strings_of_a_cpu() {
    let mut blob = Blob::new();
    let (char, u32s) = (blob.int("char", 1, 1), blob.int("u32", 4, 0));
    let text = blob.array(char, 4);
    let codec = shaped(&blob, text, 4, Some(2), false);
    let parse = |codec: &Codec, text: &str| {
        let mut bytes = vec![0xee; 16];
        codec.parse_file(text.as_bytes(), &mut bytes).map_err(|error| error.kind)?;
        Ok(print(codec, &bytes))
    };
    for (text, shown) in [
        ("a", "\"a\"\n\"a\"\n"),
        ("a\nb\n", "\"a\"\n\"b\"\n"),
        ("a\n\"\"\n", "\"a\"\n\"\"\n"),
        ("\"\"\n", "\"\"\n\"\"\n"),
        ("\" \"\n b\n", "\" \"\n\" b\"\n"),
        // One document over several lines.
        ("[97,\n\n98,0,0]\n", "\"ab\"\n\"ab\"\n"),
    ] {
        assert_eq!(parse(&codec, text).as_deref(), Ok(shown), "{text:?}");
    }
    for text in ["a\n\n", "\na\n", "\na", "a\n\nb\n", "a\n \n", "a\nb\n\n"] {
        assert_eq!(parse(&codec, text), Err(TextErrorKind::Invalid), "{text:?}");
    }
    for text in ["", "\n", "\n\n", " \n"] {
        assert_eq!(parse(&codec, text), Err(TextErrorKind::Incomplete), "{text:?}");
    }
    refused(
        &codec,
        16,
        "a\n\n",
        TextErrorKind::Invalid,
        "a blank line is no string: write \"\" for an empty one",
    );
    // A member alone is the same; around numbers, blanks mean nothing.
    let pair = blob.record(4, "pair", 8, &[("text", text, 0, 0), ("n", u32s, 32, 0)]);
    let codec = shaped(&blob, pair, 8, Some(2), false);
    let member = |name: &[u8], text: &str| {
        let mut bytes = vec![0; 16];
        let member = codec.member(&[name]).unwrap();
        codec.parse_member(&member, text.as_bytes(), &mut bytes).map_err(|error| error.kind)?;
        let mut out = Vec::new();
        codec.print_member(&member, &bytes, &mut out);
        Ok(String::from_utf8(out).unwrap())
    };
    assert_eq!(member(b"text", "a\n\n"), Err(TextErrorKind::Invalid));
    assert_eq!(member(b"text", "a\nb\n").as_deref(), Ok("\"a\"\n\"b\"\n"));
    assert_eq!(member(b"n", "1\n\n2\n\n").as_deref(), Ok("1\n2\n"));
    assert_eq!(member(b"n", "7\n\n").as_deref(), Ok("7\n7\n"));
}

/// A short event whose union no member shows whole is hex, as the whole one would be.
#[test]
fn short_events_with_unions() {
    let mut blob = Blob::new();
    let (u8s, u16s) = (blob.int("u8", 1, 0), blob.int("u16", 2, 0));
    // Neither shows all of four bytes.
    let one = blob.record(4, "", 4, &[("a", u8s, 0, 0), ("b", u16s, 16, 0)]);
    let other = blob.record(4, "", 4, &[("c", u8s, 8, 0), ("d", u16s, 16, 0)]);
    let both = blob.record(5, "", 4, &[("", one, 0, 0), ("", other, 0, 0)]);
    let event = blob.record(
        4,
        "event",
        8,
        &[("first", u16s, 0, 0), ("", both, 16, 0), ("last", u16s, 48, 0)],
    );
    let codec = of(&blob, event, 8);
    let print = |event: &[u8]| {
        let mut out = Vec::new();
        codec.print_event(event, 0, &mut out);
        String::from_utf8(out).unwrap()
    };
    let event =
        |middle: [u8; 2]| [&7_u16.to_ne_bytes()[..], &middle, &2_u16.to_ne_bytes()].concat();
    assert_eq!(print(&event([1, 0])), r#"{"first":7,"a":1,"b":2}"#);
    assert_eq!(print(&event([0, 1])), r#"{"first":7,"c":1,"d":2}"#);
    assert_eq!(print(&event([1, 0])[..2]), r#"{"first":7}"#);
    let both = host_order("070001010200", "000701010002");
    assert_eq!(print(&event([1, 1])), format!("\"0x{both}\""));
}

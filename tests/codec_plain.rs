//! Maps without BTF: numbers and hex, key names, per-CPU files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

use bpffuse::codec::{Codec, NameMatch, Shape, TextErrorKind};

fn codec(key_size: usize, value_size: usize) -> Codec {
    shaped(key_size, value_size, None, false)
}

fn shaped(key_size: usize, value_size: usize, cpus: Option<usize>, lpm: bool) -> Codec {
    let shape = Shape { key_size, value_size, cpus, key_type_id: 0, value_type_id: 0, lpm };
    Codec::new(&shape, None)
}

fn file(codec: &Codec, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    codec.print_file(bytes, &mut out);
    String::from_utf8(out).unwrap()
}

fn name(codec: &Codec, key: &[u8]) -> String {
    let mut out = Vec::new();
    codec.key_name(key, &mut out);
    String::from_utf8(out).unwrap()
}

fn key(codec: &Codec, name: &str) -> Result<(Vec<u8>, NameMatch), TextErrorKind> {
    let mut key = vec![9; 3];
    let found = codec.parse_name(name.as_bytes(), &mut key).map_err(|error| error.kind)?;
    Ok((key, found))
}

fn value(len: usize, text: &str) -> Result<Vec<u8>, TextErrorKind> {
    let mut bytes = vec![0; len];
    codec(4, len).parse_file(text.as_bytes(), &mut bytes).map_err(|error| error.kind)?;
    Ok(bytes)
}

#[test]
fn numbers_are_unsigned_and_in_host_order() {
    assert_eq!(file(&codec(4, 1), &[255]), "255\n");
    assert_eq!(file(&codec(4, 2), &300_u16.to_ne_bytes()), "300\n");
    assert_eq!(file(&codec(4, 4), &u32::MAX.to_ne_bytes()), "4294967295\n");
    assert_eq!(file(&codec(4, 8), &u64::MAX.to_ne_bytes()), "18446744073709551615\n");
    assert_eq!(file(&codec(4, 3), &[1, 0xab, 0]), "\"0x01ab00\"\n");
}

#[test]
fn every_spelling_of_plain_bytes() {
    let seven = 7_u32.to_ne_bytes().to_vec();
    for text in ["7", "7\n", " 7 \n", "0x7", "0X07", "0b111", "0o7", "\"7\"", "\"0x7\"\n"] {
        assert_eq!(value(4, text), Ok(seven.clone()), "{text}");
    }
    assert_eq!(value(4, "-1"), Ok(vec![255; 4]));
    assert_eq!(value(1, "-128"), Ok(vec![128]));
    assert_eq!(value(4, "10.0.0.1"), Ok(vec![10, 0, 0, 1]));
    assert_eq!(value(4, "0a 0b 0c 0d"), Ok(vec![10, 11, 12, 13]));
    assert_eq!(value(4, "0x0a 0x0b 0x0c 0x0d\n"), Ok(vec![10, 11, 12, 13]));
    assert_eq!(value(6, "aa:bb:cc:dd:ee:0f"), Ok(vec![0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f]));
    assert_eq!(value(6, "0xaabbccddee0f"), Ok(vec![0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f]));
    assert_eq!(value(6, "\"aabbccddee0f\""), Ok(vec![0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f]));
    assert_eq!(value(16, "::1").map(|bytes| bytes[15]), Ok(1));
}

#[test]
fn refusals() {
    for (len, text, kind) in [
        (1, "256", TextErrorKind::Range),
        (1, "-129", TextErrorKind::Range),
        (8, "18446744073709551616", TextErrorKind::Range),
        (8, "999999999999999999999999999999999999999999", TextErrorKind::Range),
        (4, "abc", TextErrorKind::Invalid),
        (4, "1.5", TextErrorKind::Invalid),
        (4, "1 2", TextErrorKind::Invalid),
        (4, "007", TextErrorKind::Invalid),
        (4, "0x", TextErrorKind::Invalid),
        (4, "-", TextErrorKind::Invalid),
        (4, "+1", TextErrorKind::Invalid),
        (4, "null", TextErrorKind::Invalid),
        (4, "{}", TextErrorKind::Invalid),
        (4, "[1]", TextErrorKind::Invalid),
        (4, "\"7\" 8", TextErrorKind::Invalid),
        (4, "", TextErrorKind::Incomplete),
        (4, " \n", TextErrorKind::Incomplete),
        (4, "\"7", TextErrorKind::Incomplete),
        (4, "[1", TextErrorKind::Incomplete),
        (6, "0xaabb", TextErrorKind::Invalid),
        (6, "12", TextErrorKind::Invalid),
        (6, "0xaabbccddee0f00", TextErrorKind::Invalid),
    ] {
        assert_eq!(value(len, text), Err(kind), "{len} {text}");
    }
}

#[test]
fn a_writers_chunk_of_hex_waits_for_the_rest() {
    let hex = format!("0x{}", "ab".repeat(5000));
    assert_eq!(value(5000, &hex), Ok(vec![0xab; 5000]));
    assert_eq!(value(5000, &hex[..4096]), Err(TextErrorKind::Incomplete));
    assert_eq!(value(5000, &hex[..4095]), Err(TextErrorKind::Invalid));
    let ended = format!("{}\n", &hex[..4096]);
    assert_eq!(value(5000, &ended), Err(TextErrorKind::Invalid));
    let wrong = hex[..4096].replace("abab", "zzzz");
    assert_eq!(value(5000, &wrong), Err(TextErrorKind::Invalid));
}

#[test]
fn names() {
    let codec4 = codec(4, 4);
    assert_eq!(name(&codec4, &42_u32.to_ne_bytes()), "42");
    for spelling in ["42", "0x2a", "0b101010"] {
        assert_eq!(key(&codec4, spelling), Ok((42_u32.to_ne_bytes().into(), NameMatch::Exact)));
    }
    assert_eq!(key(&codec4, "10.0.0.1"), Ok((vec![10, 0, 0, 1], NameMatch::Exact)));
    assert_eq!(key(&codec4, "4294967296"), Err(TextErrorKind::Range));
    for bad in ["", ".", "..", ".5", "4/2", "a", "0a0b0c0d", "%34", " 42", "42 ", "042"] {
        assert!(key(&codec4, bad).is_err(), "{bad}");
    }
    let codec6 = codec(6, 4);
    assert_eq!(name(&codec6, &[0, 1, 2, 3, 4, 255]), "0001020304ff");
    for spelling in ["0001020304ff", "0001020304FF", "0x0001020304ff", "00:01:02:03:04:ff"] {
        assert_eq!(key(&codec6, spelling), Ok((vec![0, 1, 2, 3, 4, 255], NameMatch::Exact)));
    }
}

#[test]
fn prefixes() {
    let trie = shaped(8, 8, None, true);
    let ten = [&8_u32.to_ne_bytes()[..], &[10, 0, 0, 0]].concat();
    let stray = [&8_u32.to_ne_bytes()[..], &[10, 1, 2, 3]].concat();
    let long = [&33_u32.to_ne_bytes()[..], &[10, 1, 2, 3]].concat();
    let host = [&32_u32.to_ne_bytes()[..], &[10, 1, 2, 3]].concat();
    assert_eq!(name(&trie, &ten), "10.0.0.0_8");
    assert_eq!(name(&trie, &stray), "10.0.0.0_8");
    assert_eq!(key(&trie, "10.0.0.0_8"), Ok((ten.clone(), NameMatch::Exact)));
    assert_eq!(key(&trie, "10.1.2.3_8"), Ok((ten.clone(), NameMatch::Exact)));
    assert_eq!(key(&trie, "10.1.2.3"), Ok((host, NameMatch::Longest)));
    assert_eq!(key(&trie, &name(&trie, &long)), Ok((long, NameMatch::Exact)));
    for bad in ["10.0.0.0_33", "10.0.0.0_", "10.0.0.0_08", "_8", "10.0.0_8", "10.0.0.0_-1", "8"] {
        assert_eq!(key(&trie, bad), Err(TextErrorKind::Invalid), "{bad}");
    }
    let trie = shaped(20, 8, None, true);
    let mut six = 64_u32.to_ne_bytes().to_vec();
    six.extend("fd00::".parse::<std::net::Ipv6Addr>().unwrap().octets());
    assert_eq!(name(&trie, &six), "fd00::_64");
    assert_eq!(key(&trie, "fd00::_64"), Ok((six.clone(), NameMatch::Exact)));
    let mut json = Vec::new();
    trie.print_key(&six, &mut json);
    assert_eq!(json, b"\"fd00::_64\"");
    let mut back = Vec::new();
    trie.parse_key(&json, &mut back).unwrap();
    assert_eq!(back, six);
}

#[test]
fn one_line_sets_all_cpus_and_n_lines_set_each() {
    let codec = shaped(4, 4, Some(3), false);
    let parse = |text: &str| {
        let mut bytes = vec![0; 24];
        codec.parse_file(text.as_bytes(), &mut bytes).map_err(|error| error.kind)?;
        Ok(file(&codec, &bytes))
    };
    assert_eq!(parse("7\n"), Ok("7\n7\n7\n".into()));
    assert_eq!(parse("7"), Ok("7\n7\n7\n".into()));
    assert_eq!(parse("1\n2\n3\n"), Ok("1\n2\n3\n".into()));
    assert_eq!(parse("1\n2\n3"), Ok("1\n2\n3\n".into()));
    assert_eq!(parse("1\n2\n"), Err(TextErrorKind::Incomplete));
    assert_eq!(parse("1\n2\n3\n4\n"), Err(TextErrorKind::Invalid));
    assert_eq!(parse(""), Err(TextErrorKind::Incomplete));
    assert_eq!(parse("x"), Err(TextErrorKind::Invalid));
    let mut sum = Vec::new();
    let mut bytes = vec![0; 24];
    codec.parse_file(b"4294967295\n2\n3", &mut bytes).unwrap();
    codec.print_sum(&bytes, &mut sum);
    assert_eq!(sum, b"4294967300");
    assert_eq!(codec.slot(2), 16..20);
}

#[test]
fn whole_values_need_no_look_up() {
    for size in [1, 2, 3, 4, 8, 17, 64] {
        assert!(codec(4, size).whole_writes(), "{size}");
    }
}

/// A prefix that its readable form cannot name is a name of hex digits in JSON too, and no number.
#[test]
fn a_prefix_in_hex_is_no_number() {
    let codec = shaped(8, 4, None, true);
    let key = b"0000\x10\x20\x300".as_slice();
    let mut json = Vec::new();
    codec.print_key(key, &mut json);
    assert_eq!(json, b"\"3030303010203030\"");
    let mut back = Vec::new();
    codec.parse_key(&json, &mut back).unwrap();
    assert_eq!(back, key);
    codec.parse_key(b"\"10.0.0.0_8\"", &mut back).unwrap();
    assert_eq!(back, [&8_u32.to_ne_bytes()[..], &[10, 0, 0, 0]].concat());
    codec.parse_key(b"7", &mut back).unwrap();
    assert_eq!(back, 7_u64.to_ne_bytes());
}

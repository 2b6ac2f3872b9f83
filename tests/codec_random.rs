//! Properties that hold for any type and any bytes.
//!
//! `cargo test` runs 20,000 cases of each; for a million of all together
//! `PROPTEST_CASES=200000 cargo test --release --test codec_random`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

mod codec_support;

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, NameMatch, Shape};
use codec_support::blob::Blob;
use codec_support::random::{bytes, types};
use codec_support::ty::{Bit, Ty, marks, mix, survives};
use proptest::prelude::*;

/// `default` cases, or as PROPTEST_CASES says.
fn config(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(default),
        failure_persistence: None,
        max_global_rejects: u32::MAX,
        ..ProptestConfig::default()
    }
}

/// The codec of a map whose keys and values are of that type.
fn codec(ty: &Ty, cpus: Option<usize>) -> Codec {
    let mut blob = Blob::new();
    let id = ty.emit(&mut blob, &mut 0);
    let btf = Btf::parse(&blob.finish(), None).unwrap();
    let size = ty.size();
    let shape = Shape {
        key_size: size,
        value_size: size,
        cpus,
        key_type_id: id,
        value_type_id: id,
        lpm: false,
    };
    let codec = Codec::new(&shape, Some(&btf));
    assert_eq!(codec.fallback(), None);
    codec
}

/// A type, some bytes for it, and other bytes.
fn typed() -> impl Strategy<Value = (Ty, Vec<u8>, Vec<u8>)> {
    types()
        .prop_filter("too large, or no C", |ty| ty.size() <= 4096 && !ty.timer_in_union())
        .prop_flat_map(|ty| {
            let size = ty.size();
            (Just(ty), bytes(size), bytes(size))
        })
}

proptest! {
    #![proptest_config(config(20_000))]

    /// What is read can be written: the same bytes, whatever was there, padding zero.
    #[test]
    fn values_survive_text((ty, value, other) in typed()) {
        let codec = codec(&ty, None);
        let marks = marks(&ty);
        let mut text = Vec::new();
        codec.print_file(&value, &mut text);
        let mut back = mix(&marks, &other, &value, &other);
        codec.parse_file(&text, &mut back)
            .map_err(|error| TestCaseError::fail(format!("{error}: {}", String::from_utf8_lossy(&text))))?;
        prop_assert!(survives(&marks, &back, &value, &value), "{:x?}: {}", back, String::from_utf8_lossy(&text));
        // It is one line of JSON.
        prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok());
        prop_assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 1);
        if codec.whole_writes() {
            prop_assert!(marks.iter().all(|&mark| mark == Bit::Data));
        }
    }

    /// So do the values of several CPUs, a line each, also written to one that had others.
    #[test]
    fn values_of_cpus_survive_text((ty, one, two) in typed().prop_filter("bytes", |ty| ty.0.size() > 0)) {
        let codec = codec(&ty, Some(2));
        let marks = marks(&ty);
        let slots = |first: &[u8], second: &[u8]| {
            let mut slots = vec![0; 2 * one.len().next_multiple_of(8)];
            slots[codec.slot(0)].copy_from_slice(first);
            slots[codec.slot(1)].copy_from_slice(second);
            slots
        };
        let mut text = Vec::new();
        codec.print_file(&slots(&one, &two), &mut text);
        let mut back = slots(&mix(&marks, &two, &one, &two), &mix(&marks, &one, &two, &one));
        codec.parse_file(&text, &mut back)
            .map_err(|error| TestCaseError::fail(format!("{error}: {}", String::from_utf8_lossy(&text))))?;
        for (cpu, value) in [(0, &one), (1, &two)] {
            let back = &back[codec.slot(cpu)];
            prop_assert!(survives(&marks, back, value, value), "{:x?}: {}", back, String::from_utf8_lossy(&text));
        }
    }

    /// Every name parses back to the same bytes and can be a file's name.
    #[test]
    fn names_survive((ty, key, _) in typed().prop_filter("a key has bytes", |ty| ty.0.size() > 0)) {
        let codec = codec(&ty, None);
        let mut name = Vec::new();
        codec.key_name(&key, &mut name);
        let shown = String::from_utf8_lossy(&name).into_owned();
        prop_assert!(!name.is_empty() && name[0] != b'.');
        prop_assert!(!name.contains(&b'/') && !name.contains(&0), "{}", shown);
        prop_assert!(name.len() <= 1023 || name.len() == 2 * key.len(), "{}", shown);
        let mut back = Vec::new();
        let found = codec.parse_name(&name, &mut back)
            .map_err(|error| TestCaseError::fail(format!("{error}: {shown}")))?;
        prop_assert_eq!(found, NameMatch::Exact);
        prop_assert_eq!(back, key, "{}", shown);
    }

    /// A key's JSON gives the key back, and what its padding and unions hold besides.
    #[test]
    fn keys_survive_json((ty, key, _) in typed()) {
        let codec = codec(&ty, None);
        let mut json = Vec::new();
        codec.print_key(&key, &mut json);
        let shown = String::from_utf8_lossy(&json);
        let mut back = Vec::new();
        codec.parse_key(&json, &mut back)
            .map_err(|error| TestCaseError::fail(format!("{error}: {shown}")))?;
        prop_assert_eq!(back, key, "{}", shown);
    }

    /// No text makes the parser panic; what it takes, it can print and take again.
    #[test]
    fn any_text_is_refused_or_a_value((ty, value, _) in typed(), cut in any::<prop::sample::Index>(), junk in any_text()) {
        let codec = codec(&ty, None);
        let mut text = Vec::new();
        codec.print_value(&value, &mut text);
        let at = cut.index(text.len() + 1);
        let mut bytes = value.clone();
        // Cut short: never an error that names a wrong value in an honest prefix of JSON.
        if let Err(error) = codec.parse_value(&text[..at], &mut bytes)
            && text[0] != b'"' && matches!(text[0], b'{' | b'[')
        {
            prop_assert_eq!(error.kind, bpffuse::codec::TextErrorKind::Incomplete, "{}", error.reason);
        }
        text.splice(at..at, junk.iter().copied());
        let mut bytes = value.clone();
        if codec.parse_file(&text, &mut bytes).is_ok() {
            let mut again = Vec::new();
            codec.print_value(&bytes, &mut again);
            let mut back = bytes.clone();
            prop_assert!(codec.parse_value(&again, &mut back).is_ok());
        }
        let _ = codec.parse_value(&junk, &mut bytes);
    }

    /// A hostile name reaches no key, or one whose own name reaches the same.
    #[test]
    fn any_name_is_refused_or_a_key((ty, key, _) in typed(), cut in any::<prop::sample::Index>(), junk in any_text()) {
        let codec = codec(&ty, None);
        let mut name = Vec::new();
        codec.key_name(&key, &mut name);
        let at = cut.index(name.len() + 1);
        name.splice(at..at, junk.iter().copied());
        for name in [&name, &junk] {
            let mut found = Vec::new();
            if codec.parse_name(name, &mut found).is_ok() {
                prop_assert_eq!(found.len(), key.len());
                let mut own = Vec::new();
                codec.key_name(&found, &mut own);
                let mut back = Vec::new();
                if !own.is_empty() {
                    codec.parse_name(&own, &mut back).unwrap();
                    prop_assert_eq!(back, found);
                }
            }
        }
    }

    /// Each member by itself reads as in the whole, and writing it changes nothing else.
    #[test]
    fn members_are_parts_of_the_value((ty, value, _) in typed()) {
        let codec = codec(&ty, None);
        let marks = marks(&ty);
        let mut todo = vec![Vec::<Vec<u8>>::new()];
        while let Some(path) = todo.pop() {
            let member = codec.member(&path.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            let mut text = Vec::new();
            member.print(&value, &mut text);
            let mut back = value.clone();
            member.parse(&text, &mut back).unwrap();
            let mut again = Vec::new();
            member.print(&back, &mut again);
            prop_assert_eq!(&again, &text);
            // A leaf of a union leaves the union's other bits as they are.
            if member.children().is_none() {
                prop_assert_eq!(&back, &value, "{:?}", path);
            }
            // Writing what was read changes padding at most, and what a union's member leaves.
            let union = format!("{ty:?}").contains("Union");
            if !union {
                prop_assert_eq!(mix(&marks, &back, &back, &value), mix(&marks, &value, &value, &value));
            }
            for child in member.children().unwrap_or_default() {
                todo.push([path.clone(), vec![child]].concat());
            }
        }
    }

    /// Sums of numbers are exact.
    #[test]
    fn sums_do_not_overflow(signed in any::<bool>(), bytes in prop::sample::select(vec![1_u32, 2, 4, 8]), values in prop::collection::vec(any::<u64>(), 1..9)) {
        let ty = Ty::Int { bytes, signed };
        let codec = codec(&ty, Some(values.len()));
        let cut = |value: u64| {
            let unused = 64 - bytes * 8;
            if signed { i128::from((value << unused) as i64 >> unused) } else { i128::from(value << unused >> unused) }
        };
        // The number's own bytes, and then those up to the next CPU's.
        let own = if cfg!(target_endian = "big") { 8 - bytes as usize..8 } else { 0..bytes as usize };
        let slot = |value: &u64| {
            let mut slot = value.to_ne_bytes()[own.clone()].to_vec();
            slot.resize(8, 0xee);
            slot
        };
        let slots: Vec<u8> = values.iter().flat_map(slot).collect();
        let mut out = Vec::new();
        codec.print_sum(&slots, &mut out);
        let sum: i128 = values.iter().map(|&value| cut(value)).sum();
        prop_assert_eq!(String::from_utf8(out).unwrap(), sum.to_string());
    }
}

/// Texts that look like something.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..24),
        prop::collection::vec(
            prop::sample::select(b"0123456789abcdefx.:,=_-+eE%{}[]\" \n/\\".to_vec()),
            0..24
        ),
        prop::sample::select(vec![
            "..",
            ".",
            "%2F",
            "%00",
            "%",
            "true",
            "null",
            "nan",
            "-inf",
            "0x",
            "::1",
            "10.0.0.1",
            "1e999",
            "-0",
            "\"\\u0000\"",
            "{\"a\":",
            "[[[["
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

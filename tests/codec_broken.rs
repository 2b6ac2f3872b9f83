//! Broken and hostile BTF: maps fall back to plain bytes with a reason, in time and memory that
//! do not grow out of proportion.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

mod codec_support;
#[path = "common/order.rs"]
mod order;

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, Shape};
use codec_support::blob::{Blob, Member};
use order::host_order;
use proptest::prelude::*;

/// The codec of a map with values of type `id`.
fn codec(blob: &Blob, id: u32, value_size: usize) -> Codec {
    let btf = Btf::parse(&blob.finish(), None).unwrap();
    typed(&btf, id, value_size)
}

fn typed(btf: &Btf, id: u32, value_size: usize) -> Codec {
    let shape = Shape {
        key_size: 4,
        value_size,
        cpus: None,
        key_type_id: 0,
        value_type_id: id,
        lpm: false,
    };
    Codec::new(&shape, Some(btf))
}

/// Uses a codec as the file system would; the text printed.
fn exercise(codec: &Codec, value_size: usize) -> String {
    let mut value = vec![0x41; value_size];
    let mut text = Vec::new();
    codec.print_value(&value, &mut text);
    codec.parse_value(&text, &mut value).unwrap();
    let mut out = Vec::new();
    codec.print_sum(&value, &mut out);
    if let Some(member) = codec.member(&[]) {
        member.children();
    }
    String::from_utf8(text).unwrap()
}

/// Asserts that the type is refused for a reason with these words, fast, and that the map works.
#[track_caller]
fn refused(blob: &Blob, id: u32, value_size: usize, why: &str) {
    let codec = codec(blob, id, value_size);
    let reason = codec.fallback().expect("the type is not used");
    assert!(reason.starts_with("value: ") && reason.contains(why), "{reason}");
    assert_eq!(codec.value_type(), None);
    exercise(&codec, value_size);
}

/// Like `refused`, for a type that is used after all.
#[track_caller]
fn taken(blob: &Blob, id: u32, value_size: usize) -> String {
    let codec = codec(blob, id, value_size);
    assert_eq!(codec.fallback(), None);
    exercise(&codec, value_size)
}

fn with_int() -> (Blob, u32) {
    let mut blob = Blob::new();
    let int = blob.int("int", 4, 1);
    (blob, int)
}

#[test]
fn missing_types_and_types_without_size() {
    let (mut blob, int) = with_int();
    let lost = blob.alias(8, "lost", 1000);
    let forward = blob.alias(7, "later", 0);
    let proto = blob.raw("", 13, 0, false, int, &[]);
    let of_void = blob.array(0, 4);
    let of_lost = blob.record(4, "s", 4, &[("a", 999, 0, 0)]);
    refused(&blob, 999, 4, "type 999 is missing");
    refused(&blob, lost, 4, "type 1000 is missing");
    refused(&blob, of_lost, 4, "type 999 is missing");
    refused(&blob, forward, 4, "struct later has no size");
    refused(&blob, proto, 4, "has no size");
    refused(&blob, of_void, 4, "void has no size");
}

#[test]
fn sizes_that_disagree() {
    let (mut blob, int) = with_int();
    let past = blob.record(4, "past", 4, &[("a", int, 8, 0)]);
    let far = blob.record(4, "far", 4, &[("a", int, u32::MAX - 7, 0)]);
    let whole = blob.record(4, "whole", 4, &[("a", int, 0, 0)]);
    let fields = blob.record(4, "fields", 8, &[("a", int, 30, 33)]);
    let odd = blob.record(4, "odd", 16, &[("s", whole, 1, 0)]);
    let huge = blob.record(4, "huge", u32::MAX, &[]);
    let wide = blob.int("wide", 32, 0);
    let nothing = blob.raw("none", 1, 0, false, 4, &[0]);
    let enum3 = blob.raw("e", 6, 0, false, 3, &[]);
    refused(&blob, int, 8, "int has 4 bytes, but the map says 8");
    refused(&blob, whole, 5, "struct whole has 4 bytes, but the map says 5");
    refused(&blob, past, 4, "member a reaches past the end of struct past");
    refused(&blob, far, 4, "member a reaches past the end");
    refused(&blob, fields, 8, "member a has 33 bits");
    refused(&blob, odd, 16, "member s has 0 bits at bit 1");
    refused(&blob, huge, 64, "has no size");
    refused(&blob, wide, 32, "in 32 bytes");
    refused(&blob, nothing, 4, "has 0 bits in 4 bytes");
    refused(&blob, enum3, 3, "an enum has 3 bytes");
}

#[test]
fn cycles_end() {
    let mut blob = Blob::new();
    let (a, b) = (blob.next_id(), blob.next_id() + 1);
    blob.alias(8, "a", b);
    blob.alias(10, "", a);
    let own = blob.next_id();
    blob.record(4, "own", 8, &[("me", own, 0, 0), ("and", own, 0, 0)]);
    let folded = blob.next_id();
    blob.record(4, "folded", 8, &[("", folded, 0, 0), ("", folded, 0, 0)]);
    let union = blob.next_id();
    blob.record(5, "u", 8, &[("", union, 0, 0), ("", union, 0, 0)]);
    let array = blob.next_id();
    blob.array(array, 1);
    refused(&blob, a, 4, "do not end");
    refused(&blob, own, 8, "contains itself");
    refused(&blob, folded, 8, "contain themselves");
    refused(&blob, union, 8, "contain themselves");
    refused(&blob, array, 8, "contains itself");
    // Through a pointer a cycle is honest.
    let node = blob.next_id() + 1;
    let pointer = blob.ptr(node);
    blob.record(4, "node", 8, &[("next", pointer, 0, 0)]);
    assert_eq!(taken(&blob, node, 8), r#"{"next":"0x4141414141414141"}"#);
}

#[test]
fn depth_is_bounded() {
    let (mut blob, int) = with_int();
    let mut at = int;
    let mut ids = vec![at];
    for _ in 0..40 {
        at = blob.record(4, "s", 4, &[("m", at, 0, 0)]);
        ids.push(at);
    }
    assert!(taken(&blob, ids[30], 4).starts_with(r#"{"m":{"m":{"#));
    refused(&blob, ids[40], 4, "more than 32 levels");
    let (mut blob, int) = with_int();
    at = int;
    for _ in 0..10_000 {
        at = blob.alias(8, "t", at);
    }
    refused(&blob, at, 4, "do not end");
}

#[test]
fn arrays_out_of_all_proportion() {
    let (mut blob, int) = with_int();
    let huge = blob.array(int, u32::MAX);
    let huge_of_huge = blob.array(huge, u32::MAX);
    let empty = blob.record(4, "empty", 0, &[]);
    let countless = blob.array(empty, u32::MAX);
    let of_countless = blob.array(countless, u32::MAX);
    let holder = blob.record(4, "s", 4, &[("a", int, 0, 0), ("n", of_countless, 0, 0)]);
    refused(&blob, huge, 4, "an array has 17179869180 bytes");
    refused(&blob, huge_of_huge, 4, "an array has");
    assert_eq!(taken(&blob, countless, 0), "[]");
    assert_eq!(taken(&blob, holder, 4), r#"{"a":1094795585,"n":[]}"#);
}

#[test]
fn members_out_of_all_proportion() {
    // Sixteen members of sixteen members of …, all of the same four bytes.
    let (mut blob, int) = with_int();
    let mut at = int;
    let names: Vec<_> = (0..16).map(|n| format!("m{n}")).collect();
    for _ in 0..16 {
        let members: Vec<Member<'_>> = names.iter().map(|name| (&**name, at, 0, 0)).collect();
        at = blob.record(4, "s", 4, &members);
    }
    refused(&blob, at, 4, "members m0 and m1 overlap");
    // Sixteen without size, of sixteen without size, of ….
    let mut blob = Blob::new();
    at = blob.record(4, "empty", 0, &[]);
    for _ in 0..16 {
        let members: Vec<Member<'_>> = names.iter().map(|name| (&**name, at, 0, 0)).collect();
        at = blob.record(4, "s", 0, &members);
    }
    refused(&blob, at, 0, "members in 0 bytes");
    // The same without names, which a plan would have to write out.
    let (mut blob, int) = with_int();
    at = blob.record(4, "leaf", 4, &[("a", int, 0, 0)]);
    for _ in 0..30 {
        at = blob.record(4, "s", 4, &[("", at, 0, 0); 16]);
    }
    refused(&blob, at, 4, "too many");
    // Unions of structs with padding, whose members all say what they clear.
    let (mut blob, _) = with_int();
    let byte = blob.int("byte", 1, 0);
    let names: Vec<_> = (0..30_000).map(|n| format!("m{n}")).collect();
    let members: Vec<_> =
        names.iter().enumerate().map(|(n, name)| (&**name, byte, n as u32 * 16, 0)).collect();
    let spread = blob.record(4, "", 60_000, &members);
    let union = blob.record(5, "u", 60_000, &[("", spread, 0, 0); 60]);
    refused(&blob, union, 60_000, "too many");
}

#[test]
fn names_out_of_all_proportion() {
    let mut blob = Blob::new();
    blob.int(&"n".repeat(1024), 4, 0);
    let error = Btf::parse(&blob.finish(), None).unwrap_err().to_string();
    assert_eq!(error, "type 1 of the BTF has a name that is too long or outside its strings");
    // Functions that take functions that take functions: spelled out they have no end.
    let mut blob = Blob::new();
    let (pointer, proto) = (blob.next_id(), blob.next_id() + 1);
    blob.ptr(proto);
    blob.raw("", 13, 8, false, pointer, &[0, pointer].repeat(8));
    let codec = codec(&blob, pointer, 8);
    assert!(codec.value_type().unwrap().len() < 10_000);
}

#[test]
fn names_that_json_and_file_names_cannot_hold_plainly() {
    let (mut blob, int) = with_int();
    let e = blob.enumeration(
        "e",
        4,
        false,
        &[("a\"b", 1), ("..", 2), ("x/y", 3), ("OK", 4), ("OK", 5)],
    );
    let odd = blob.record(4, "s", 8, &[("a\"\n", int, 0, 0), ("a/b", int, 32, 0)]);
    let twice = blob.record(4, "t", 8, &[("same", int, 0, 0), ("same", int, 32, 0)]);
    assert_eq!(taken(&blob, odd, 8), r#"{"a\"\n":1094795585,"a/b":1094795585}"#);
    assert_eq!(taken(&blob, twice, 8), r#"{"same":1094795585,"same.2":1094795585}"#);
    let names = codec(&blob, odd, 8).member(&[]).unwrap().children().unwrap();
    assert_eq!(names, [b"a\"\n".to_vec()]);
    let codec = codec(&blob, e, 4);
    let text = |value: u32| {
        let mut out = Vec::new();
        codec.print_value(&value.to_ne_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!([1, 2, 3, 4, 5].map(text), ["1", "2", "3", "\"OK\"", "5"]);
}

#[test]
fn a_key_falls_back_by_itself() {
    let (mut blob, int) = with_int();
    let pair = blob.record(4, "pair", 8, &[("a", int, 0, 0), ("b", int, 32, 0)]);
    let btf = Btf::parse(&blob.finish(), None).unwrap();
    let shape = Shape {
        key_size: 8,
        value_size: 8,
        cpus: None,
        key_type_id: 77,
        value_type_id: pair,
        lpm: false,
    };
    let codec = Codec::new(&shape, Some(&btf));
    assert_eq!(codec.fallback(), Some("key: type 77 is missing from the BTF"));
    assert_eq!((codec.key_type(), codec.value_type()), (None, Some("struct pair".into())));
    let mut name = Vec::new();
    codec.key_name(&1_u64.to_ne_bytes(), &mut name);
    assert_eq!(name, b"1");
}

/// A blob with a type of each kind.
fn each_kind() -> Blob {
    let (mut blob, int) = with_int();
    let byte = blob.int("char", 1, 1);
    let text = blob.array(byte, 8);
    let pointer = blob.ptr(int);
    let e = blob.enumeration("e", 4, true, &[("A", 1), ("B", u64::MAX)]);
    let wide = blob.enumeration("w", 8, false, &[("C", 1 << 40)]);
    let double = blob.float("double", 8);
    let union = blob.record(5, "", 8, &[("d", double, 0, 0), ("t", text, 0, 0)]);
    let alias = blob.alias(8, "alias_t", e);
    let constant = blob.alias(10, "", alias);
    let tag = blob.alias(18, "user", constant);
    let all = blob.record(
        4,
        "all",
        48,
        &[
            ("i", int, 0, 5),
            ("e", tag, 32, 0),
            ("p", pointer, 64, 0),
            ("w", wide, 128, 0),
            ("", union, 192, 0),
            ("t", text, 256, 0),
            ("c", byte, 325, 2),
        ],
    );
    blob.raw("f", 13, 1, false, int, &[0, all]);
    let var = blob.raw("v", 14, 0, false, all, &[1]);
    blob.raw(".data", 15, 1, false, 48, &[var, 0, 48]);
    blob
}

#[test]
fn a_blob_cut_anywhere_is_an_error_or_a_blob() {
    let blob = each_kind();
    let whole = blob.finish();
    let ids = Btf::parse(&whole, None).unwrap().end_id();
    let used = (1..ids).filter(|&id| codec(&blob, id, 48).fallback().is_none()).count();
    assert_eq!(used, 3, "the struct, the variable and the section");
    for len in 0..whole.len() {
        let error = Btf::parse(&whole[..len], None).unwrap_err().to_string();
        assert!(error.starts_with("the BTF"), "{error}");
    }
    // The lowest byte of the number at a place.
    let low = |at| host_order(at, at + 3);
    for (at, to, why) in [
        (0, 0x9f, "other byte order"),
        (0, 0x7f, "begins with"),
        (2, 2, "version 2"),
        (low(4), 23, "header has 23 bytes"),
        (low(12), 0xff, "type section lies outside"),
        (low(12), 0x08, "cut short"),
    ] {
        let mut blob = whole.clone();
        if (at, to) == (0, 0x9f) {
            blob.swap(0, 1);
        } else {
            blob[at] = to;
        }
        let error = Btf::parse(&blob, None).map(drop).unwrap_err().to_string();
        let cut = error.contains("unknown kind") && why == "cut short";
        assert!(cut || error.contains(why), "{error}");
    }
}

#[test]
fn split_btf_builds_on_its_base() {
    let base = std::sync::Arc::new(Btf::parse(&each_kind().finish(), None).unwrap());
    let first = base.end_id();
    // Offsets of names go on where the base's strings end.
    let strings = each_kind().strings.len() as u32;
    let mut split = Blob::new();
    split.strings = b"more\0x\0".to_vec();
    let info = 4 << 24 | 1;
    for word in [strings, info, 4, strings + 5, 1, 0] {
        split.types.extend(u32::to_ne_bytes(word));
    }
    let btf = Btf::parse(&split.finish(), Some(base)).unwrap();
    assert_eq!(btf.find_struct("more").unwrap().0, first);
    assert_eq!(btf.find_struct("all").map(|found| found.0 < first), Some(true));
    let codec = typed(&btf, first, 4);
    assert_eq!(codec.value_type().as_deref(), Some("struct more"));
    assert_eq!(exercise(&codec, 4), r#"{"x":1094795585}"#);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Bytes of a blob turned at random: whatever is left is refused, or works.
    #[test]
    fn a_damaged_blob_never_harms(
        damage in prop::collection::vec((any::<prop::sample::Index>(), damaged()), 1..8),
        id in 0_u32..24,
        size in prop::sample::select(vec![1_usize, 4, 8, 48]),
    ) {
        let mut blob = each_kind().finish();
        for (at, to) in damage {
            let at = at.index(blob.len());
            blob[at] = to;
        }
        if let Ok(btf) = Btf::parse(&blob, None) {
            for id in [id, 12] {
                let codec = typed(&btf, id, size);
                let value: Vec<u8> = (0..size as u8).collect();
                let mut text = Vec::new();
                codec.print_value(&value, &mut text);
                let mut back = value.clone();
                codec.parse_value(&text, &mut back).unwrap();
                let mut again = Vec::new();
                codec.print_value(&back, &mut again);
                prop_assert_eq!(again, text);
                let _ = (codec.value_type(), codec.has_lock(), codec.member(&[]).map(|m| m.children()));
            }
        }
    }
}

fn damaged() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), 0_u8..24, Just(0xff), Just(0x80)]
}

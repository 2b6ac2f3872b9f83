//! BTF that no compiler wrote: `.schema` still answers, soon, with a text that makes a map.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod spec_support;

use bpffuse::btf::Btf;
use bpffuse::schema::{self, SchemaMap};
use bpffuse::spec::Spec;
use bpffuse::sys::map::MapInfo;
use proptest::prelude::*;
use spec_support::array_of;

const TYPES: &str = "
    struct a; typedef struct a a_t; enum e { X, Y = 7 };
    struct b { a_t *a; int n : 5; enum e e : 3; struct { __u64 in; union { char c[3]; float f; }; } x[2]; };
    struct a { struct b b; void (*call)(struct a *, const char *); struct bpf_timer t; };
    struct task_struct { int pid; };
    struct v { struct a a; struct task_struct __kptr *task; long l __attribute__((aligned(64))); };
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, struct v);
             __uint(max_entries, 1); } m SEC(\".maps\");";

/// What is printed of this BTF.
fn print(bytes: &[u8], key: u32, value: u32) -> Option<String> {
    let btf = Btf::parse(bytes, None).ok()?;
    let info = MapInfo { btf_key_type_id: key, btf_value_type_id: value, ..array_of(256) };
    let map =
        SchemaMap { info: &info, btf: Some(&btf), kernel: None, inner: None, numa_node: None };
    let text = schema::print(&map, "m");
    // However the types refer to each other: the work is as large as the text.
    assert!(text.len() < 4 << 20, "{} bytes of text", text.len());
    Some(text)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn broken_btf_has_a_definition(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..40), 1..6),
        value in 0u32..40,
    ) {
        let own = Spec::parse(TYPES.as_bytes()).expect("a map").btf().expect("its BTF");
        let mut bytes = own.bytes;
        for (at, byte) in changes {
            let at = 24 + at.index(bytes.len() - 24);
            bytes[at] = byte;
        }
        for value in [own.value, value] {
            if let Some(text) = print(&bytes, own.key, value) {
                prop_assert!(Spec::parse(text.as_bytes()).is_ok(), "{}", text);
            }
        }
    }
}

/// Each struct holds the one before it twice, without names: 2^30 members when written out.
#[test]
fn types_that_fold_out_without_end_are_given_by_size() {
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    let mut types: Vec<u32> = vec![0, 1 << 24, 1, 8];
    for id in 1..=30 {
        // An anonymous union of two anonymous members of the type before.
        types.extend([0, 5 << 24 | 2, 1, 0, id, 0, 0, id, 0]);
    }
    // The integer needs a name, and its user one.
    types[0] = 1;
    let strings = b"\0u\0";
    let len = types.len() as u32 * 4;
    for word in [24, 0, len, len, strings.len() as u32] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
    bytes.extend(strings);
    let text = print(&bytes, 0, 31).expect("BTF");
    assert!(text.contains("/* Not all types are given") && text.contains("value_size"), "{text}");
}

//! Random types and bytes.

use super::ty::{Mem, Ty};
use proptest::prelude::*;

/// Types of every kind, up to four levels deep.
pub fn types() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        6 => (prop::sample::select(vec![1, 2, 4, 8, 16]), any::<bool>())
            .prop_map(|(bytes, signed)| Ty::Int { bytes, signed }),
        1 => Just(Ty::Bool),
        1 => (prop::sample::select(vec![1, 2, 4, 8, 16]), any::<u8>(), any::<bool>()).prop_map(
            |(bytes, bits, signed)| {
                Ty::Bits { bytes, bits: 1 + u32::from(bits) % (bytes * 8 - 1), signed }
            }
        ),
        2 => prop::sample::select(vec![2, 4, 8]).prop_map(Ty::Big),
        2 => (prop::sample::select(vec![1, 2, 4, 8]), any::<bool>(), prop::collection::vec(values(), 0..5))
            .prop_map(|(bytes, signed, values)| Ty::Enum { bytes, signed, values }),
        1 => prop::sample::select(vec![4, 8]).prop_map(Ty::Float),
        1 => Just(Ty::Pointer),
        3 => (0_u32..20).prop_map(Ty::Text),
        1 => Just(Ty::Ipv4),
        1 => Just(Ty::Ipv6),
        1 => prop::sample::select(vec![6, 16]).prop_map(Ty::Octets),
        1 => Just(Ty::Words),
        1 => Just(Ty::Timer),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let member = (inner.clone(), any::<bool>(), prop::option::of(any::<u8>()))
            .prop_map(|(ty, anonymous, bits)| Mem { ty, anonymous, bits });
        prop_oneof![
            1 => (prop::sample::select(vec![8, 9, 10, 11, 18]), inner.clone())
                .prop_map(|(kind, ty)| Ty::Alias(kind, Box::new(ty))),
            2 => (inner, 0_u32..5).prop_map(|(ty, len)| Ty::Array(Box::new(ty), len)),
            4 => (prop::collection::vec(member.clone(), 0..6), any::<bool>())
                .prop_map(|(members, packed)| Ty::Struct { members, packed }),
            2 => prop::collection::vec(member, 1..4).prop_map(|members| Ty::Union { members }),
        ]
    })
}

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..5, Just(u64::MAX), any::<u64>()]
}

/// Bytes as values tend to be: any, small numbers, text, zeros.
pub fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let any_of = |strategy| prop::collection::vec(strategy, len);
    prop_oneof![
        any_of((0_u8..=255).boxed()),
        any_of(prop_oneof![4 => Just(0_u8), 1 => 0_u8..3].boxed()),
        any_of(prop_oneof![3 => 0x20_u8..0x7f, 1 => Just(0)].boxed()),
        any_of(prop_oneof![1 => Just(0xff_u8), 1 => Just(0x7f), 1 => Just(0x80)].boxed()),
        // A string and NULs.
        (0..=len, prop::collection::vec(prop_oneof![8 => 0x20_u8..0x7f, 1 => 1_u8..=255], len))
            .prop_map(|(end, mut text)| {
                text[end..].fill(0);
                text
            }),
    ]
}

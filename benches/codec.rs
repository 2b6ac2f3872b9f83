//! Time to print and parse a key or a value: `cargo bench --bench codec`.
#![allow(clippy::unwrap_used, missing_docs)] // A benchmark.

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, Shape};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

/// BTF with `struct stats { __u64 packets; __u64 bytes; }` as type 2 and `struct in6_addr` as
/// type 3; `__u64` is type 1.
fn btf() -> Btf {
    let strings = b"\0__u64\0stats\0packets\0bytes\0in6_addr\0";
    let words: [u32; 19] = [
        // name, info, size, and what the kind needs
        1,
        1 << 24,
        8,
        64, // int of 64 bits
        7,
        4 << 24 | 2,
        16,
        13,
        1,
        0,
        21,
        1,
        64, // struct of two members
        27,
        4 << 24 | 1,
        16,
        13,
        1,
        0, // struct of one
    ];
    let mut blob = vec![];
    blob.extend(0xeb9f_u16.to_ne_bytes());
    blob.extend([1, 0]);
    let len = size_of_val(&words) as u32;
    for word in [24, 0, len, len, strings.len() as u32].into_iter().chain(words) {
        blob.extend(word.to_ne_bytes());
    }
    blob.extend(strings);
    Btf::parse(&blob, None).unwrap()
}

/// The codec of a map whose keys are `struct in6_addr`, with values of `size` bytes.
fn codec(value_type_id: u32, value_size: usize) -> Codec {
    let shape =
        Shape { key_size: 16, value_size, cpus: None, key_type_id: 3, value_type_id, lpm: false };
    let codec = Codec::new(&shape, Some(&btf()));
    assert_eq!(codec.fallback(), None);
    codec
}

fn value(c: &mut Criterion, name: &str, codec: &Codec, bytes: &[u8], text: &str) {
    let mut out = Vec::with_capacity(256);
    codec.print_value(bytes, &mut out);
    assert_eq!(out, text.as_bytes());
    c.bench_function(&format!("print {name}"), |b| {
        b.iter(|| {
            out.clear();
            codec.print_value(black_box(bytes), &mut out);
            out.len()
        });
    });
    let mut back = bytes.to_vec();
    c.bench_function(&format!("parse {name}"), |b| {
        b.iter(|| codec.parse_value(black_box(text.as_bytes()), &mut back));
    });
    assert_eq!(back, bytes);
}

fn key(c: &mut Criterion, codec: &Codec, bytes: &[u8], text: &str) {
    let mut out = Vec::with_capacity(256);
    codec.key_name(bytes, &mut out);
    assert_eq!(out, text.as_bytes());
    c.bench_function("print in6_addr key name", |b| {
        b.iter(|| {
            out.clear();
            codec.key_name(black_box(bytes), &mut out);
            out.len()
        });
    });
    let mut back = Vec::with_capacity(16);
    c.bench_function("parse in6_addr key name", |b| {
        b.iter(|| codec.parse_name(black_box(text.as_bytes()), &mut back));
    });
    assert_eq!(back, bytes);
}

fn all(c: &mut Criterion) {
    let pair = [123_456_u64.to_ne_bytes(), 987_654_321_u64.to_ne_bytes()].concat();
    let stats = codec(2, 16);
    value(c, "16-byte struct", &stats, &pair, r#"{"packets":123456,"bytes":987654321}"#);
    value(c, "u64", &codec(1, 8), &123_456_u64.to_ne_bytes(), "123456");
    let address = [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xef, 0, 1];
    key(c, &stats, &address, "fd00:1::beef:1");
}

criterion_group!(benches, all);
criterion_main!(benches);

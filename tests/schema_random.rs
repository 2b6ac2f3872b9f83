//! Random types through `.schema` and back: the copy's keys and values read and write the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

mod codec_support;
mod spec_support;

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, Shape};
use bpffuse::schema::{self, SchemaMap};
use bpffuse::spec::Spec;
use bpffuse::sys::map::MapInfo;
use codec_support::blob::Blob;
use codec_support::random::{bytes, types};
use codec_support::ty::Ty;
use proptest::prelude::*;

fn codec(btf: &Btf, id: u32, size: usize) -> Codec {
    let shape = Shape {
        key_size: size,
        value_size: size,
        cpus: None,
        key_type_id: id,
        value_type_id: id,
        lpm: false,
    };
    Codec::new(&shape, Some(btf))
}

/// A key's name, its JSON, and the JSON of a value.
fn text(codec: &Codec, bytes: &[u8]) -> (String, String, String) {
    let (mut name, mut key, mut value) = (Vec::new(), Vec::new(), Vec::new());
    codec.key_name(bytes, &mut name);
    codec.print_key(bytes, &mut key);
    codec.print_value(bytes, &mut value);
    let string = |bytes| String::from_utf8(bytes).unwrap();
    (string(name), string(key), string(value))
}

/// Types that C has: no integer of 5 bits.
fn in_c(ty: &Ty) -> bool {
    (1..=4096).contains(&ty.size()) && !ty.timer_in_union() && !format!("{ty:?}").contains("Bits")
}

/// What the generator makes and C has not, nor the text then.
const NOT_IN_C: [&str; 3] = ["has no constants", "a bit-field's width is", "bits do not hold"];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        max_global_rejects: u32::MAX,
        ..ProptestConfig::default()
    })]

    #[test]
    fn copies_read_the_same(
        (ty, bytes) in types().prop_filter("no C", in_c).prop_flat_map(|ty| {
            let size = ty.size();
            (Just(ty), bytes(size))
        })
    ) {
        let mut blob = Blob::new();
        let id = ty.emit(&mut blob, &mut 0);
        let own = Btf::parse(&blob.finish(), None).unwrap();
        let size = ty.size();
        let info = MapInfo { btf_value_type_id: id, ..spec_support::array_of(size as u32) };
        let map = SchemaMap { info: &info, btf: Some(&own), kernel: None, inner: None, numa_node: None };
        let schema = schema::print(&map, "m");
        let spec = Spec::parse(schema.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("{error}\n{schema}")))?;
        if schema.contains("Not all types") {
            prop_assert!(NOT_IN_C.iter().any(|why| schema.contains(why)), "{}", schema);
            return Ok(());
        }
        let made = spec.btf().unwrap();
        let copy = Btf::parse(&made.bytes, None).unwrap();
        let (own, copy) = (codec(&own, id, size), codec(&copy, made.value, size));
        prop_assert_eq!(text(&own, &bytes), text(&copy, &bytes), "{}", schema);
    }
}

//! BTF blobs: a program can load almost any, and may lie about them to those who read them.

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, Shape};
use bpffuse::schema;
use bpffuse::spec::Spec;
use bpffuse::sys::map::{MapInfo, kind};

/// An input: flags, the value's size, where the strings begin in what follows, types and strings;
/// or, with the first flag, the value's size and a blob with its own header.
pub fn check(data: &[u8]) {
    let Some((&[flags, a, b, c, d], rest)) = data.split_first_chunk::<5>() else { return };
    let size = usize::from(u16::from_le_bytes([a, b])) % 4097;
    let blob = match flags & 1 {
        0 => rest.to_vec(),
        _ => with_header(rest, usize::from(u16::from_le_bytes([c, d]))),
    };
    let Ok(btf) = Btf::parse(&blob, None) else { return };
    let last = btf.end_id().min(64);
    for id in 0..=last {
        btf.spell(id);
        btf.declare(id, "name");
        let _ = btf.resolve(id);
    }
    // All types would take long; the input chooses.
    for id in [u32::from(c), u32::from(d), last.saturating_sub(1)] {
        codec(&btf, id, size, flags & 2 != 0, rest);
        definition(&btf, id, size as u32);
    }
}

fn with_header(rest: &[u8], strings: usize) -> Vec<u8> {
    let (types, strings) = rest.split_at(strings.min(rest.len()) & !3);
    let mut blob = 0xeb9f_u16.to_ne_bytes().to_vec();
    blob.extend([1, 0]);
    let (types_len, strings_len) = (types.len() as u32, strings.len() as u32 + 1);
    for word in [24, 0, types_len, types_len, strings_len] {
        blob.extend(word.to_ne_bytes());
    }
    blob.extend(types);
    blob.extend(strings);
    blob.push(0);
    blob
}

/// Text of keys and values of whatever type: what is printed is taken, and printed again.
fn codec(btf: &Btf, id: u32, size: usize, lpm: bool, bytes: &[u8]) {
    let shape = Shape {
        key_size: size,
        value_size: size,
        cpus: None,
        key_type_id: id,
        value_type_id: id,
        lpm: lpm && size > 4,
    };
    let codec = Codec::new(&shape, Some(btf));
    let value: Vec<u8> = bytes.iter().copied().chain(std::iter::repeat(0)).take(size).collect();
    let (mut text, mut back) = (Vec::new(), value.clone());
    codec.print_value(&value, &mut text);
    let shown = String::from_utf8_lossy(&text).into_owned();
    codec.parse_value(&text, &mut back).unwrap_or_else(|error| panic!("{error}: {shown}"));
    let mut again = Vec::new();
    codec.print_value(&back, &mut again);
    assert_eq!(String::from_utf8_lossy(&again), shown);
    codec.print_sum(&value, &mut Vec::new());
    if size == 0 {
        return;
    }
    let (mut name, mut key) = (Vec::new(), Vec::new());
    codec.key_name(&value, &mut name);
    let shown = String::from_utf8_lossy(&name).into_owned();
    codec.parse_name(&name, &mut key).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert!(shape.lpm || key == value, "{shown}");
}

/// `.schema` answers with a text that makes a map.
fn definition(btf: &Btf, id: u32, size: u32) {
    let info = MapInfo {
        map_type: kind::ARRAY,
        id: 1,
        key_size: 4,
        value_size: size.max(1),
        max_entries: 1,
        flags: 0,
        name: "m".to_owned(),
        btf_id: 1,
        btf_key_type_id: 0,
        btf_value_type_id: id,
        btf_vmlinux_id: 0,
        btf_vmlinux_value_type_id: 0,
        map_extra: 0,
        ifindex: 0,
    };
    let map = schema::SchemaMap {
        info: &info,
        btf: Some(btf),
        kernel: None,
        inner: None,
        numa_node: None,
    };
    let text = schema::print(&map, "m");
    if let Err(error) = Spec::parse(text.as_bytes()) {
        panic!("{error}\n{text}");
    }
}

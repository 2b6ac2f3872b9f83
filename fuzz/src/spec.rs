//! SPECs, in words or as C: refused with a reason, or a map that `.schema` says again.

use bpffuse::btf::{Btf, Kind};
use bpffuse::schema;
use bpffuse::spec::{MapBtf, Part, Spec, flags};
use bpffuse::sys::map::MapInfo;
use bpffuse::sys::map::kind::{self, MapKind};

pub fn check(data: &[u8]) {
    match Spec::parse(data) {
        Ok(spec) => {
            pieces(data);
            said_again(&spec);
        }
        Err(error) => {
            assert!(!error.reason.is_empty() && error.reason.len() < 4096, "{error}");
        }
    }
}

/// C may come in pieces: what comes first is a map, or waits for more.
fn pieces(text: &[u8]) {
    // A line of words ends with itself.
    const STARTS: [&[u8]; 6] = [b"struct ", b"union ", b"enum ", b"typedef ", b"#", b"/"];
    if !STARTS.iter().any(|start| text.trim_ascii_start().starts_with(start)) {
        return;
    }
    let step = (text.len() / 8).max(1);
    for end in (0..text.len()).step_by(step) {
        if let Err(error) = Spec::parse(&text[..end]) {
            assert!(error.incomplete, "{error}: {}", String::from_utf8_lossy(&text[..end]));
        }
    }
}

fn said_again(spec: &Spec) {
    // The types of the kernel, and a map to be like, are not in the text.
    if kind::name(spec.kind) == Some("struct_ops") || MapKind::of(spec.kind).holds_maps() {
        let _ = spec.btf();
        return;
    }
    let Ok(own) = spec.btf() else { return };
    let btf = Btf::parse(&own.bytes, None).expect("BTF that was written here");
    let Some(info) = info(spec, &own, &btf) else { return };
    let map = schema::SchemaMap {
        info: &info,
        btf: Some(&btf),
        kernel: None,
        inner: None,
        numa_node: spec.numa_node,
    };
    let text = schema::print(&map, "m");
    let again = Spec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.kind, spec.kind, "{text}");
    assert_eq!(again.max_entries.unwrap_or(0), spec.max_entries.unwrap_or(0), "{text}");
    assert_eq!(again.map_extra, spec.map_extra, "{text}");
    let kept = |flags: u32| flags & !MapKind::of(spec.kind).own_flags & !flags::NUMA_NODE;
    assert_eq!(kept(again.flags), kept(spec.flags), "{text}");
    let btf = again.btf().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let parsed = Btf::parse(&btf.bytes, None).expect("BTF that was written here");
    for (part, id, size) in
        [(again.key, btf.key, info.key_size), (again.value, btf.value, info.value_size)]
    {
        assert_eq!(size_of(&again, part, &parsed, id), Some(size), "{text}");
    }
}

/// What the kernel would say of the map.
fn info(spec: &Spec, own: &MapBtf, btf: &Btf) -> Option<MapInfo> {
    Some(MapInfo {
        map_type: spec.kind,
        id: 1,
        key_size: size_of(spec, spec.key, btf, own.key)?,
        value_size: size_of(spec, spec.value, btf, own.value)?,
        max_entries: spec.max_entries.unwrap_or(0),
        flags: spec.flags | if spec.numa_node.is_some() { flags::NUMA_NODE } else { 0 },
        name: "m".to_owned(),
        btf_id: 1,
        btf_key_type_id: own.key,
        btf_value_type_id: own.value,
        btf_vmlinux_id: 0,
        btf_vmlinux_value_type_id: 0,
        map_extra: spec.map_extra,
        ifindex: spec.ifindex,
    })
}

fn size_of(spec: &Spec, part: Part, btf: &Btf, id: u32) -> Option<u32> {
    match part {
        Part::Size(size) => Some(size),
        Part::Type(ty) => spec.types.size(ty),
        Part::Absent if id == 0 => Some(0),
        // The kind's own size, for which a type was made.
        Part::Absent => bytes(btf, id, 32),
    }
}

fn bytes(btf: &Btf, id: u32, depth: u32) -> Option<u32> {
    match btf.resolve(id)?.1.kind {
        Kind::Int(int) => Some(int.size),
        Kind::Struct { size, .. } | Kind::Union { size, .. } => Some(size),
        Kind::Array { of, len } => bytes(btf, of, depth.checked_sub(1)?)?.checked_mul(len),
        _ => None,
    }
}

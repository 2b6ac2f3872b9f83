//! `.info`: what the kernel says of a map, and where it is pinned, as one JSON object.

use super::row::{Control, Rights, nothing_lacks};
use crate::fs::base::error::Result;
use crate::fs::base::facts::line;
use crate::fs::base::open_file::TextFile;
use crate::map::Map;
use crate::spec::flags;
use crate::sys::map::kind::BtfUse;
use serde_json::{Value, json};
use std::sync::Arc;

/// `.info`
pub static INFO: Control = Control {
    name: ".info",
    rights: Rights::Read,
    lacks: nothing_lacks,
    help: &[line(".info", "id, type, sizes, flags, types, pins", "jq .max_entries .info")],
    open: |open| {
        let id = open.map.info.id;
        let pins = open.state.pins.of_map(id, open.at, &open.maps.bpffs, open.caller);
        Ok(Arc::new(TextFile::new(render(open.map, pins))))
    },
};

/// The object, and a newline; with the map's pins, or why they are not known.
fn render(map: &Map, pins: Result<Vec<String>>) -> Vec<u8> {
    let (pins, pins_unknown) = match pins {
        Ok(pins) => (Some(pins), None),
        Err(error) => (None, Some(error.reason)),
    };
    let info = &map.info;
    let type_name = match map.kind.name {
        "unknown" => Value::from(info.map_type),
        name => Value::from(name),
    };
    let mut object = json!({
        "id": info.id,
        "name": info.name,
        "type": type_name,
        "key_size": info.key_size,
        "value_size": info.value_size,
        "max_entries": info.max_entries,
        "flags": flags::names(info.flags),
        "map_extra": info.map_extra,
        "frozen": map.is_frozen(),
        "memlock": map.fdinfo("memlock").and_then(|bytes| bytes.parse::<u64>().ok()),
        "btf_id": info.btf_id,
        // A bloom filter's names are values: it has no keys.
        "btf_key_type": if info.key_size == 0 { None } else { map.codec.key_type() },
        "btf_value_type": map.codec.value_type(),
        "pins": pins,
    });
    let refused = (info.btf_id == 0 && map.kind.btf == BtfUse::Refused)
        .then_some("the kernel takes no BTF for this kind of map");
    let unused = map.btf_unused.as_deref().or(refused);
    for (name, reason) in [("btf_unused", unused), ("pins_unknown", pins_unknown.as_deref())] {
        if let (Some(reason), Some(object)) = (reason, object.as_object_mut()) {
            object.insert(name.to_owned(), reason.into());
        }
    }
    let mut text = object.to_string().into_bytes();
    text.push(b'\n');
    text
}

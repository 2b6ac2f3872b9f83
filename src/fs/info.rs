//! `.info`: what the kernel says of a map, and where it is pinned, as one JSON object.

use crate::bpffs::{Bpffs, PinKind};
use crate::map::Map;
use crate::spec::{flags, kinds};
use crate::sys::map::map_info;
use crate::sys::object::ObjectKind;
use serde_json::{Value, json};
use std::os::fd::AsFd;

/// Directories walked at most in the search for pins.
const DIRS_MAX: usize = 4096;

/// The object, and a newline.
pub fn render(map: &Map, bpffs: &Bpffs) -> Vec<u8> {
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
        "pins": pins(map, bpffs),
    });
    let refused = (info.btf_id == 0 && kinds::refuses_btf(info.map_type))
        .then_some("the kernel takes no BTF for this kind of map");
    let unused = map.btf_unused.as_deref().or(refused);
    if let (Some(reason), Some(object)) = (unused, object.as_object_mut()) {
        object.insert("btf_unused".to_owned(), reason.into());
    }
    let mut text = object.to_string().into_bytes();
    text.push(b'\n');
    text
}

/// Every pin of the map in this bpffs. The kernel keeps no list of them, so all are opened.
fn pins(map: &Map, bpffs: &Bpffs) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![bpffs.root()];
    let mut walked = 0;
    while let Some(dir) = dirs.pop() {
        walked += 1;
        if walked > DIRS_MAX {
            break;
        }
        // A directory that went away meanwhile has no pins.
        for entry in bpffs.list(&dir, |_| None).unwrap_or_default() {
            match entry.kind {
                PinKind::Dir => dirs.push(entry.pin),
                PinKind::Object(ObjectKind::Map) => {
                    let id = bpffs.open(&entry.pin).ok().and_then(|fd| map_info(fd.as_fd()).ok());
                    if id.is_some_and(|info| info.id == map.info.id) {
                        found.push(entry.pin.path.to_string_lossy().into_owned());
                    }
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

//! What is known of a map, as one JSON object: `.info`, and a line of `/.maps.json`.

use crate::map::Map;
use crate::spec::flags;
use crate::sys::map::kind::BtfUse;
use serde_json::{Value, json};

/// What others than the map itself know of it; `None` is not known, or not for who asks.
#[derive(Debug, Default)]
pub struct About {
    /// How many elements it has, where that costs no walk.
    pub count: Option<u64>,
    /// Its pins in this bpffs, or why they are not known.
    pub pins: Option<Result<Vec<String>, String>>,
    /// The programs that use it: id and name.
    pub programs: Option<Vec<(u32, String)>>,
    /// The processes that hold it: pid and command.
    pub processes: Option<Vec<(u32, String)>>,
}

/// A kind's name, or the number of one that this build does not know.
fn type_name(map: &Map) -> Value {
    if map.kind.is_known() { Value::from(map.kind.name) } else { Value::from(map.info.map_type) }
}

/// Where the types of key and value come from.
pub fn type_origin(map: &Map) -> &str {
    match &map.typed.types {
        Some(types) => &types.origin,
        None if map.codec.key_type().or(map.codec.value_type()).is_some() => "btf",
        None => "sizes",
    }
}

/// The object.
pub fn object(map: &Map, about: About) -> Value {
    let info = &map.info;
    let (pins, pins_unknown) = match about.pins {
        Some(Ok(pins)) => (Some(pins), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    let mut object = json!({
        "id": info.id,
        "name": info.name,
        "type": type_name(map),
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
        "types": type_origin(map),
        "pins": pins,
    });
    let refused = (info.btf_id == 0 && map.kind.btf == BtfUse::Refused)
        .then_some("the kernel takes no BTF for this kind of map");
    let unused = map.btf_unused.as_deref().or(refused);
    let pairs = |pairs: Vec<(u32, String)>, id: &str, name: &str| {
        let object = |(number, word): (u32, String)| json!({id: number, name: word});
        Value::from_iter(pairs.into_iter().map(object))
    };
    let more = [
        ("count", about.count.map(Value::from)),
        ("programs", about.programs.map(|programs| pairs(programs, "id", "name"))),
        ("processes", about.processes.map(|processes| pairs(processes, "pid", "comm"))),
        ("btf_unused", unused.map(Value::from)),
        ("types_unused", map.typed.unused.as_deref().map(Value::from)),
        ("pins_unknown", pins_unknown.map(Value::from)),
    ];
    if let Some(object) = object.as_object_mut() {
        for (name, value) in more {
            if let Some(value) = value {
                object.insert(name.to_owned(), value);
            }
        }
    }
    object
}

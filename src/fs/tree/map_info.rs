//! What is known of a map, as one JSON object: `.info`, and a line of `/.maps.json`.

use crate::map::Map;
use crate::spec::flags;
use crate::sys::map::kind::BtfUse;
use serde_json::{Value, json};

/// What others know of it, or why that is not known.
type Known<T> = Result<T, String>;

/// What others than the map itself know of it.
#[derive(Debug)]
pub struct About {
    /// How many elements it has, where that costs no walk.
    pub count: Option<u64>,
    /// Its pins in this bpffs.
    pub pins: Known<Vec<String>>,
    /// The programs that use it: id and name.
    pub programs: Known<Vec<(u32, String)>>,
    /// The processes that hold it; `None` if they are not for who asks.
    pub processes: Option<Known<Holders>>,
}

/// The processes that hold a map.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Holders {
    /// Process id and command.
    pub found: Vec<(u32, String)>,
    /// Whether there may be more: not all processes' descriptors were looked at.
    pub more: bool,
}

/// Why processes may be missing.
pub const MORE: &str =
    "a user has more descriptors than are looked at: there may be more processes";

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
    });
    let refused = (info.btf_id == 0 && map.kind.btf == BtfUse::Refused)
        .then_some("the kernel takes no BTF for this kind of map");
    let unused = map.btf_unused.as_deref().or(refused);
    let pairs = |pairs: Vec<(u32, String)>, id: &str, name: &str| {
        let object = |(number, word): (u32, String)| json!({id: number, name: word});
        Value::from_iter(pairs.into_iter().map(object))
    };
    let mut add = |name: &str, value: Option<Value>| {
        if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
            object.insert(name.to_owned(), value);
        }
    };
    let mut add_known = |name: &str, known: Known<(Value, Option<&str>)>| {
        let (value, reason) = match known {
            Ok((value, reason)) => (value, reason.map(Value::from)),
            Err(reason) => (Value::Null, Some(Value::from(reason))),
        };
        add(name, Some(value));
        add(&format!("{name}_unknown"), reason);
    };
    let all = |value: Value| (value, None);
    add_known("pins", about.pins.map(Value::from).map(all));
    let programs = about.programs.map(|programs| pairs(programs, "id", "name"));
    add_known("programs", programs.map(all));
    if let Some(processes) = about.processes {
        let some =
            |holders: Holders| (pairs(holders.found, "pid", "comm"), holders.more.then_some(MORE));
        add_known("processes", processes.map(some));
    }
    add("count", about.count.map(Value::from));
    add("btf_unused", unused.map(Value::from));
    add("types_unused", map.typed.unused.as_deref().map(Value::from));
    object
}

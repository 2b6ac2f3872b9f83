//! A map from its definition in C, by libbpf's rules for the members of such a struct.

use super::c::{Fail, MapVariable, Parser};
use super::types::{CRecord, CType, FieldValue, MapField, TypeId, Types};
use super::{Inner, Part, Spec, SpecError, flags, suggest};
use crate::sys::map::kind;
use std::sync::Arc;

/// What can be set.
pub(super) const FIELDS: [&str; 12] = [
    "type",
    "key",
    "value",
    "key_size",
    "value_size",
    "max_entries",
    "map_flags",
    "map_extra",
    "numa_node",
    "ifindex",
    "pinning",
    "values",
];

impl From<Fail> for SpecError {
    fn from(fail: Fail) -> Self {
        SpecError {
            incomplete: fail.incomplete,
            reason: format!("line {}: {}", fail.line, fail.reason),
        }
    }
}

fn error(line: u32, reason: impl Into<String>) -> Fail {
    Fail { line, reason: reason.into(), incomplete: false }
}

/// Reads a map from C.
pub(super) fn parse(text: &str) -> Result<Spec, SpecError> {
    let mut parser = Parser::new();
    parser.file(text)?;
    let types = Arc::new(std::mem::take(&mut parser.types));
    let map = the_map(&parser.maps, &types)?;
    let mut spec = build(&types, map)?;
    if map.initialised {
        spec.note = Some("initial values of the map were not stored".to_owned());
    }
    Ok(spec)
}

/// The map that a text means: the only one that is not the model of another's inner maps.
fn the_map<'a>(maps: &'a [MapVariable], types: &Types) -> Result<&'a MapVariable, SpecError> {
    let models: Vec<TypeId> = maps
        .iter()
        .filter_map(|map| types.record(map.ty))
        .flat_map(|record| &record.fields)
        .filter_map(|field| match field.value {
            FieldValue::Elements(ty) => Some(types.resolve(ty)),
            _ => None,
        })
        .collect();
    let mut own = maps.iter().filter(|map| !models.contains(&types.resolve(map.ty)));
    match (own.next(), own.next()) {
        (Some(map), None) => Ok(map),
        (Some(first), Some(second)) => Err(error(
            second.line,
            format!("two maps, `{}` and `{}`: write one at a time", first.name, second.name),
        )
        .into()),
        (None, _) => Err(SpecError {
            incomplete: true,
            reason: "there is no map yet: a map is struct { __uint(type, BPF_MAP_TYPE_…); … } \
                     NAME SEC(\".maps\");"
                .to_owned(),
        }),
    }
}

fn build(types: &Arc<Types>, map: &MapVariable) -> Result<Spec, Fail> {
    match types.get(types.resolve(map.ty)) {
        CType::CRecord(record) => from_record(types, record, map.line),
        _ => Err(error(map.line, format!("the map `{}` must be a struct", map.name))),
    }
}

fn from_record(types: &Arc<Types>, record: &CRecord, line: u32) -> Result<Spec, Fail> {
    if let Some(member) = record.members.iter().flatten().next() {
        let name = member.name.as_deref().unwrap_or("");
        return Err(error(
            line,
            format!("`{name}` is no part of a map: write __uint, __type or __array there"),
        ));
    }
    let mut spec = Spec { types: types.clone(), ..Spec::new(0) };
    let mut sizes = (None, None);
    let mut kind = None;
    for field in &record.fields {
        let number = || number(field);
        match field.name.as_str() {
            "type" => kind = Some(number()?),
            "key" => spec.key = Part::Type(a_type(field)?),
            "value" => spec.value = Part::Type(a_type(field)?),
            "key_size" => sizes.0 = Some(number()?),
            "value_size" => sizes.1 = Some(number()?),
            "max_entries" => spec.max_entries = Some(number()?),
            "map_flags" => spec.flags = number()?,
            "map_extra" => spec.map_extra = wide(field)?,
            "numa_node" => spec.numa_node = Some(number()?),
            "ifindex" => spec.ifindex = number()?,
            // Where the map is pinned is for the one who writes it to say.
            "pinning" => drop(number()?),
            "values" => spec.inner = values(types, field)?,
            name => {
                let hint = match suggest::closest(name, FIELDS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has {}", FIELDS.join(", ")),
                };
                return Err(error(field.line, format!("a map has no `{name}`: {hint}")));
            }
        }
    }
    spec.kind = kind.ok_or_else(|| {
        error(line, "the map's kind is missing: __uint(type, BPF_MAP_TYPE_HASH); or another")
    })?;
    spec.key = agree(types, spec.key, sizes.0, line, "key")?;
    spec.value = agree(types, spec.value, sizes.1, line, "value")?;
    if spec.flags & flags::NUMA_NODE != 0 && spec.numa_node.is_none() {
        spec.numa_node = Some(0);
    }
    Ok(spec)
}

fn number(field: &MapField) -> Result<u32, Fail> {
    let most = u64::from(u32::MAX);
    let n = wide(field)?;
    u32::try_from(n)
        .map_err(|_| error(field.line, format!("`{}` is {n}, more than {most}", field.name)))
}

fn wide(field: &MapField) -> Result<u64, Fail> {
    match field.value {
        FieldValue::Number(n) => Ok(n),
        _ => Err(error(field.line, format!("write __uint({}, NUMBER)", field.name))),
    }
}

fn a_type(field: &MapField) -> Result<TypeId, Fail> {
    match field.value {
        FieldValue::CType(ty) => Ok(ty),
        _ => Err(error(field.line, format!("write __type({}, TYPE)", field.name))),
    }
}

/// What `__array(values, …)` holds: maps, or programs.
fn values(types: &Arc<Types>, field: &MapField) -> Result<Option<Inner>, Fail> {
    let FieldValue::Elements(ty) = field.value else {
        return Err(error(field.line, "write __array(values, struct { … })"));
    };
    match types.get(types.resolve(ty)) {
        CType::CRecord(record) if !record.fields.is_empty() => {
            // The kernel has maps in maps, but no deeper.
            let nested = record.fields.iter().any(|field| field.name == "values");
            if nested {
                return Err(error(field.line, "the maps in a map cannot hold maps themselves"));
            }
            let inner = from_record(types, record, field.line)?;
            Ok(Some(Inner::Definition(Box::new(inner))))
        }
        CType::Function { .. } | CType::Pointer(_) => Ok(None),
        _ => Err(error(
            field.line,
            "`values` must be the definition of a map, or a function for a prog_array",
        )),
    }
}

/// A key or value by type and by size must be the same.
fn agree(
    types: &Types,
    part: Part,
    size: Option<u32>,
    line: u32,
    what: &str,
) -> Result<Part, Fail> {
    match (&part, size) {
        (_, None) => Ok(part),
        (Part::Type(ty), Some(size)) => match types.size(*ty) {
            Some(own) if own != size => Err(error(
                line,
                format!("{what}_size is {size}, but the type of the {what} has {own} bytes"),
            )),
            _ => Ok(part),
        },
        (_, Some(size)) => Ok(Part::Size(size)),
    }
}

/// Whether a text is C rather than words.
pub(super) fn is_c(text: &str) -> bool {
    let text = text.trim_ascii_start();
    if text.starts_with(['#', '/', ';', '_']) || text.contains("SEC(") || text.contains("__uint(") {
        return true;
    }
    let first = text.split(|c: char| !(c == '_' || c.is_ascii_alphanumeric())).next();
    let first = first.unwrap_or_default();
    STARTS.contains(&first)
        // The start of a text that comes in pieces.
        || (first.len() == text.len()
            && kind::by_name(first).is_none()
            && STARTS.iter().any(|start| start.starts_with(first)))
}

/// Words that C definitions start with, and no map in bpftool's words does.
const STARTS: [&str; 15] = [
    "struct", "union", "enum", "typedef", "static", "const", "volatile", "extern", "char", "int",
    "unsigned", "void", "inline", "SEC", "__u",
];

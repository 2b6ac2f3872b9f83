//! From what a text says of a map to what the kernel is asked for, without asking it.

use super::types::Types;
use super::{Part, Spec, flags};
use crate::sys::map::kind::{Entries, MapKind, Size};

/// What to ask the kernel for, but for what depends on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapPlan {
    /// Bytes.
    pub(super) key_size: u32,
    /// Bytes; `None` if it is the size of a kernel type.
    pub(super) value_size: Option<u32>,
    /// `None` for as many as there are CPUs.
    pub(super) max_entries: Option<u32>,
    /// Whether max_entries is bytes, to be rounded up to a power of two of pages.
    pub(super) bytes: bool,
    /// BPF_F_*
    pub(super) flags: u32,
    /// Whether a type is given for key or value.
    pub(super) typed: bool,
}

/// Works out what to ask for; the error says what is missing or does not fit the kind.
pub(super) fn plan(spec: &Spec) -> Result<MapPlan, String> {
    let rules = MapKind::of(spec.kind);
    let kind = rules.with_article();
    let key_size = size(&spec.types, &spec.key, rules.key_size, &kind, "key")?;
    let value_size = match rules.value_size {
        Size::Kernel => kernel_type(spec).map(|_| None)?,
        rule => Some(size(&spec.types, &spec.value, rule, &kind, "value")?),
    };
    let max_entries = entries(spec, rules.entries, &kind)?;
    inner(spec, &kind)?;
    let numa = if spec.numa_node.is_some() { flags::NUMA_NODE } else { 0 };
    Ok(MapPlan {
        key_size,
        value_size,
        max_entries,
        bytes: rules.entries == Entries::Bytes,
        flags: spec.flags | rules.needed_flags | numa,
        typed: [&spec.key, &spec.value].iter().any(|part| matches!(part, Part::Type(_))),
    })
}

/// Bytes of a key or value as given; `None` if nothing is.
fn given(types: &Types, part: &Part) -> Result<Option<u32>, String> {
    match part {
        Part::Absent => Ok(None),
        Part::Size(size) => Ok(Some(*size)),
        Part::Type(id) => match types.size(*id) {
            Some(size) => Ok(Some(size)),
            None => Err("of a type that is not defined in the text".to_owned()),
        },
    }
}

fn size(types: &Types, part: &Part, rule: Size, kind: &str, what: &str) -> Result<u32, String> {
    let given = given(types, part).map_err(|why| format!("the {what} is {why}"))?;
    let size = match rule {
        Size::Zero => match given {
            None | Some(0) => return Ok(0),
            Some(_) => return Err(format!("{kind} has no {what}: leave it out")),
        },
        Size::AsGiven | Size::Kernel => return Ok(given.unwrap_or(0)),
        Size::Any => given,
        Size::Prefix => match given {
            Some(size) if !(5..=260).contains(&size) => {
                return Err(format!(
                    "the key of {kind} is {size} bytes, but must be 5 to 260: a __u32 for the \
                     prefix length and 1 to 256 bytes of data"
                ));
            }
            size => size,
        },
        Size::OneOf(sizes) => Some(one_of(sizes, given, kind, what)?),
        Size::Cgroup => Some(one_of(&[16, 8], given, kind, what)?),
        Size::Addresses => match given {
            Some(size) if size % 8 != 0 => {
                return Err(format!(
                    "the {what} of {kind} is {size} bytes, but must be a multiple of 8: addresses"
                ));
            }
            size => size.or(Some(127 * 8)),
        },
    };
    match size {
        Some(0) => Err(format!("the {what} of {kind} must have at least one byte")),
        Some(size) => Ok(size),
        None => Err(format!(
            "{kind} needs a {what}: `{what} SIZE` or `{what} TYPE`, or in C `__type({what}, TYPE)`"
        )),
    }
}

/// One of these sizes; the first if none is given.
fn one_of(sizes: &[u32], given: Option<u32>, kind: &str, what: &str) -> Result<u32, String> {
    let size = given.or(sizes.first().copied()).unwrap_or(0);
    if sizes.contains(&size) {
        return Ok(size);
    }
    let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
    Err(format!("the {what} of {kind} is {size} bytes, but must be {}", sizes.join(" or ")))
}

fn entries(spec: &Spec, rule: Entries, kind: &str) -> Result<Option<u32>, String> {
    let some = |most: &str| match spec.max_entries {
        Some(0) => Err(format!("{kind} must have at least one of its entries")),
        Some(n) => Ok(Some(n)),
        None => Err(format!("{kind} needs {most}: `entries N`, or in C `__uint(max_entries, N)`")),
    };
    match rule {
        Entries::Any => some("a largest number of entries"),
        Entries::Bytes => some("a size in bytes"),
        Entries::PerCpu => match spec.max_entries {
            Some(0) | None => Ok(None),
            given => Ok(given),
        },
        Entries::AsGiven => Ok(Some(spec.max_entries.unwrap_or(0))),
        Entries::Zero => match spec.max_entries {
            None | Some(0) => Ok(Some(0)),
            Some(_) => Err(format!("{kind} has no largest number of entries: leave it out")),
        },
        Entries::One => match spec.max_entries {
            None | Some(1) => Ok(Some(1)),
            Some(_) => Err(format!("{kind} has one entry: leave their number out, or say 1")),
        },
    }
}

fn inner(spec: &Spec, kind: &str) -> Result<(), String> {
    match (MapKind::of(spec.kind).holds_maps(), &spec.inner) {
        (true, None) => Err(format!(
            "{kind} needs a map that its maps are like: `inner_map PATH` or `inner_map id N`, \
             or in C `__array(values, struct {{ … }})`"
        )),
        (false, Some(_)) => Err(format!("{kind} holds no maps: leave the inner map out")),
        (true, Some(super::Inner::Definition(inner))) => {
            if MapKind::of(inner.kind).holds_maps() {
                return Err("the maps in a map cannot hold maps themselves".to_owned());
            }
            plan(inner).map(drop).map_err(|why| format!("in the inner map: {why}"))
        }
        _ => Ok(()),
    }
}

/// The name of the kernel's struct that a struct_ops map's value is.
pub(super) fn kernel_type(spec: &Spec) -> Result<&str, String> {
    let Part::Type(id) = spec.value else {
        return Err("a struct_ops needs the kernel's type for its value, such as \
                    `value 'struct bpf_struct_ops_tcp_congestion_ops'`"
            .to_owned());
    };
    let name = spec.types.record(id).and_then(|record| record.name.as_deref());
    match name {
        Some(name) if name.starts_with("bpf_struct_ops_") => Ok(name),
        _ => Err("the value of a struct_ops must be a `struct bpf_struct_ops_…`".to_owned()),
    }
}

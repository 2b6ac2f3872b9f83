//! `.schema`: a map's definition as a C text, in libbpf's syntax, with the types that it needs.
//!
//! [`crate::spec::Spec::parse`] makes the same map of it: every text is read back and compared
//! before it is given out. A key or value whose type cannot be said in C is given by its size, and
//! a comment says why.

mod compare;
mod declare;
mod names;
mod pack;
mod printer;
mod read;

use crate::btf::{Btf, Kind};
use crate::spec::{Inner, Part, Spec, flags};
use crate::sys::map::MapInfo;
use crate::sys::map::kind::{self, MapKind};
use names::made_fit;
use printer::CPrinter;
pub use read::of;
use std::fmt::Write;

/// A map to be described.
#[derive(Debug, Clone, Copy)]
pub struct SchemaMap<'a> {
    /// What the kernel says of it.
    pub info: &'a MapInfo,
    /// The BTF that `info` speaks of, if it has any.
    pub btf: Option<&'a Btf>,
    /// The kernel's own BTF, which a struct_ops map's value is of.
    pub kernel: Option<&'a Btf>,
    /// For a map of maps, one that its maps are like: the first that it holds, or
    /// [`crate::kernel::hidden::Hidden::inner`].
    pub inner: Option<&'a SchemaMap<'a>>,
    /// The NUMA node of a map with BPF_F_NUMA_NODE: [`crate::kernel::hidden::Hidden::numa_node`].
    pub numa_node: Option<u32>,
}

/// Whether key and value are written as types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WrittenTypes {
    key: bool,
    value: bool,
}

/// Types of a BTF: of a map's keys, values and events; 0 for those that are not known.
#[derive(Debug, Clone, Copy)]
pub struct Typed<'a> {
    /// What the ids are of.
    pub btf: &'a Btf,
    /// The key's.
    pub key: u32,
    /// The value's.
    pub value: u32,
    /// The events'.
    pub event: u32,
}

/// The types of the map `name` alone, as [`crate::spec::Typing`] reads them: the first that says one
/// holds. What no type is known of, or cannot be said in C, is given by its size.
pub fn types(first: &[Typed<'_>], then: &[Typed<'_>], sizes: [u32; 2], name: &str) -> String {
    let mut name = made_fit(name);
    let (mut text, mut fields) = (String::new(), String::new());
    let mut known = [false; 3];
    for typed in first.iter().chain(then) {
        let mut printer = CPrinter::new(typed.btf);
        let sides = [(typed.key, "key"), (typed.value, "value"), (typed.event, "event")];
        let mut own = String::new();
        let mut has = known;
        for ((id, what), known) in sides.into_iter().zip(&mut has) {
            if id != 0
                && !*known
                && let Ok(text) = root(&mut printer, id, 1, &name, what)
            {
                let _ = writeln!(own, "\t__type({what}, {text});");
                *known = true;
            }
        }
        if printer.define_later().is_ok()
            && let Ok(unique) = printer.names.unique(&name)
        {
            name = unique;
            text.push_str(&printer.text);
            fields.push_str(&own);
            known = has;
        }
    }
    for ((size, what), known) in sizes.into_iter().zip(["key", "value"]).zip(known) {
        if size != 0 && !known {
            let _ = writeln!(fields, "\t__uint({what}_size, {size});");
        }
    }
    format!("{text}struct {{\n{fields}}} {name} SEC(\".maps\");\n")
}

/// The definition of `map`, as the variable `name` made fit for C.
pub fn print(map: &SchemaMap<'_>, name: &str) -> String {
    let name = made_fit(name);
    let mut comment = String::new();
    for (key, value) in [(true, true), (false, true), (true, false)] {
        match attempt(map, &name, WrittenTypes { key, value }) {
            Ok(text) => return comment + &text,
            Err(why) if comment.is_empty() => {
                // The reason of the first attempt says most.
                comment = format!("/* Not all types are given: {}. */\n", why.replace("*/", "* /"));
            }
            Err(_) => {}
        }
    }
    comment + &write(map, &name, WrittenTypes { key: false, value: false }).unwrap_or_default()
}

/// The text, if it makes the same map.
fn attempt(map: &SchemaMap<'_>, name: &str, typed: WrittenTypes) -> Result<String, String> {
    let text = write(map, name, typed)?;
    if MapKind::of(map.info.map_type).holds_maps() && map.inner.is_none() {
        return Ok(text);
    }
    let spec = Spec::parse(text.as_bytes()).map_err(|error| error.reason)?;
    check(map, &spec)?;
    Ok(text)
}

/// Whether `spec` has the types that `map` has.
fn check(map: &SchemaMap<'_>, spec: &Spec) -> Result<(), String> {
    if let (Some(inner), Some(Inner::Definition(spec))) = (map.inner, &spec.inner) {
        check(inner, spec)?;
    }
    let Some(btf) = map.btf else { return Ok(()) };
    let own = spec.btf()?;
    let written = Btf::parse(&own.bytes, None).map_err(|error| error.to_string())?;
    let ids = [
        (spec.key, map.info.btf_key_type_id, own.key),
        (spec.value, map.info.btf_value_type_id, own.value),
    ];
    for (part, id, own) in ids {
        if let Part::Type(_) = part
            && id != 0
        {
            compare::same(btf, id, &written, own)?;
        }
    }
    Ok(())
}

fn write(map: &SchemaMap<'_>, name: &str, typed: WrittenTypes) -> Result<String, String> {
    let mut types = String::new();
    let mut fields = String::new();
    let mut name = name.to_owned();
    write_fields(map, typed, 1, &mut types, &mut fields, &mut name)?;
    Ok(format!("{types}struct {{\n{fields}}} {name} SEC(\".maps\");\n"))
}

/// Appends the map's fields, and before them its types; `name` gives way to theirs.
fn write_fields(
    map: &SchemaMap<'_>,
    typed: WrittenTypes,
    indent: usize,
    types: &mut String,
    fields: &mut String,
    name: &mut String,
) -> Result<(), String> {
    let info = map.info;
    let tabs = "\t".repeat(indent);
    let mut field = |text: String| {
        let _ = writeln!(fields, "{tabs}{text};");
    };
    field(match kind::name(info.map_type) {
        Some(kind) => format!("__uint(type, BPF_MAP_TYPE_{})", kind.to_ascii_uppercase()),
        None => format!("__uint(type, {})", info.map_type),
    });
    let mut printer = map.btf.map(CPrinter::new);
    let key = (typed.key, info.btf_key_type_id, info.key_size, "key");
    let value = (typed.value, info.btf_value_type_id, info.value_size, "value");
    for (typed, id, size, what) in [key, value] {
        if let (true, "value", 1..) = (typed, what, info.btf_vmlinux_value_type_id) {
            let name = kernel_struct(map)?;
            let _ = writeln!(types, "struct {name};\n");
            field(format!("__type(value, struct {name})"));
            continue;
        }
        match &mut printer {
            Some(printer) if typed && id != 0 => {
                let text = root(printer, id, indent, name, what)?;
                field(format!("__type({what}, {text})"));
            }
            _ if size != 0 => field(format!("__uint({what}_size, {size})")),
            _ => {}
        }
    }
    if let Some(mut printer) = printer {
        printer.define_later()?;
        *name = printer.names.unique(name)?;
        types.push_str(&printer.text);
    }
    if info.max_entries != 0 {
        field(format!("__uint(max_entries, {})", info.max_entries));
    }
    // What the kernel sets by itself, it does not take.
    let kept = info.flags & !MapKind::of(info.map_type).own_flags;
    if kept != 0 {
        let names = flags::names(kept).into_iter().map(|name| match name.starts_with("0x") {
            true => name,
            false => format!("BPF_F_{}", name.to_ascii_uppercase()),
        });
        field(format!("__uint(map_flags, {})", names.collect::<Vec<_>>().join(" | ")));
    }
    match u32::try_from(info.map_extra) {
        Ok(0) => {}
        Ok(extra) => field(format!("__uint(map_extra, {extra})")),
        Err(_) => field(format!("__ulong(map_extra, {:#x})", info.map_extra)),
    }
    if kept & flags::NUMA_NODE != 0 {
        field(format!("__uint(numa_node, {})", map.numa_node.unwrap_or(0)));
    }
    if info.ifindex != 0 {
        let _ = writeln!(fields, "{tabs}__uint(ifindex, {}); /* bpffuse's own */", info.ifindex);
    }
    if MapKind::of(info.map_type).holds_maps() {
        match map.inner {
            None => {
                let _ = writeln!(
                    fields,
                    "{tabs}/* What its maps are like is not known while it holds none: \
                     __array(values, struct {{ ... }}); */"
                );
            }
            Some(inner) => {
                let mut body = String::new();
                write_fields(inner, typed, indent + 1, types, &mut body, name)?;
                let _ = writeln!(fields, "{tabs}__array(values, struct {{\n{body}{tabs}}});");
            }
        }
    }
    Ok(())
}

/// The type of a key or value, its definition being written where it needs one.
fn root(
    printer: &mut CPrinter<'_>,
    id: u32,
    indent: usize,
    name: &str,
    what: &str,
) -> Result<String, String> {
    if let Kind::DataSec { .. } = printer.kind(id)? {
        return printer.section(id, name);
    }
    printer.define(id, 0)?;
    let before = printer.names.clone();
    let text = printer.declare(id, String::new(), indent, 0)?;
    // The preprocessor would take such a comma for the end of the macro's argument.
    if !has_bare_comma(&text) {
        return Ok(text);
    }
    printer.names = before;
    let alias = printer.names.unique(&format!("{name}_{what}"))?;
    let text = printer.declare(id, alias.clone(), 0, 0)?;
    let _ = writeln!(printer.text, "typedef {text};\n");
    Ok(alias)
}

/// Whether a comma stands outside of all parentheses.
fn has_bare_comma(text: &str) -> bool {
    let mut open = 0u32;
    text.bytes().any(|byte| {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        byte == b',' && open == 0
    })
}

/// The name of a struct_ops map's value in the kernel's BTF.
fn kernel_struct(map: &SchemaMap<'_>) -> Result<String, String> {
    let id = map.info.btf_vmlinux_value_type_id;
    let found = map.kernel.and_then(|btf| Some(btf.name(btf.get(id)?.name_at).to_owned()));
    match found {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err("the kernel's type of the value is not known".to_owned()),
    }
}

//! Declarations: a name with its type around it, records and enums written out.

use super::compare::{self, ComparedMember};
use super::names::identifier;
use super::pack::Packing;
use super::printer::{CPrinter, Result, word};
use crate::btf::{Int, Kind};
use crate::spec::basic_int;
use std::fmt::Write;

impl CPrinter<'_> {
    /// The declaration of `inner`, a name with what is already around it, with type `id`.
    pub(super) fn declare(
        &mut self,
        id: u32,
        inner: String,
        indent: usize,
        depth: u32,
    ) -> Result<String> {
        self.step(depth)?;
        let depth = depth + 1;
        let kind = self.kind(id)?;
        match kind {
            Kind::Void => Ok(join("void", &inner)),
            Kind::Int(int) => Ok(join(&spelled(self.name(id), int)?, &inner)),
            Kind::Float { size } => Ok(join(float(self.name(id), size)?, &inner)),
            Kind::Ptr { of } => {
                let group = matches!(self.kind(of)?, Kind::Array { .. } | Kind::FuncProto { .. });
                let inner = if group { format!("(*{inner})") } else { format!("*{inner}") };
                self.declare(of, inner, indent, depth)
            }
            Kind::Array { of, len } => self.declare(of, format!("{inner}[{len}]"), indent, depth),
            Kind::Const { of } => self.qualify("const", of, inner, indent, depth),
            Kind::Volatile { of } => self.qualify("volatile", of, inner, indent, depth),
            Kind::Restrict { of } => self.qualify("restrict", of, inner, indent, depth),
            Kind::TypeTag { of } => {
                let tag = type_tag(self.name(id));
                self.declare(of, format!("{tag} {inner}"), indent, depth)
            }
            Kind::Var { of } => self.declare(of, inner, indent, depth),
            Kind::FuncProto { of, .. } => {
                let mut params = Vec::new();
                for param in kind.params() {
                    params.push(match param.of {
                        0 => "...".to_owned(),
                        of => self.declare(of, String::new(), indent, depth)?,
                    });
                }
                let params = if params.is_empty() { "void".to_owned() } else { params.join(", ") };
                self.declare(of, format!("{inner}({params})"), indent, depth)
            }
            Kind::Struct { .. } | Kind::Union { .. } | Kind::Fwd { .. } => {
                let text = match self.name(id) {
                    "" => self.record(id, &kind, indent, depth)?,
                    name => format!("{} {}", word(&kind), self.names.tag(id, name)?),
                };
                Ok(join(&text, &inner))
            }
            Kind::Enum { .. } => {
                let text = match self.name(id) {
                    "" => self.enumeration(id, indent, depth)?,
                    name => format!("enum {}", self.names.tag(id, name)?),
                };
                Ok(join(&text, &inner))
            }
            // Also where the BTF has it twice.
            Kind::Typedef { .. } if self.in_headers(id) => Ok(join(self.name(id), &inner)),
            Kind::Typedef { .. } => Ok(join(&self.names.ordinary(id, self.name(id))?, &inner)),
            _ => Err("a type is no C type".to_owned()),
        }
    }

    /// A qualifier stands after the star of a pointer, and before any other type.
    fn qualify(
        &mut self,
        qualifier: &str,
        of: u32,
        inner: String,
        indent: usize,
        depth: u32,
    ) -> Result<String> {
        let mut base = of;
        // Chains in loaded BTF end; the limit is for any other.
        for _ in 0..64 {
            match self.kind(base)? {
                Kind::Const { of } | Kind::Volatile { of } | Kind::Restrict { of } => base = of,
                _ => break,
            }
        }
        match self.kind(base)? {
            Kind::Ptr { .. } => self.declare(of, join(qualifier, &inner), indent, depth),
            // Only pointers can be that; clang says so elsewhere as well.
            _ if qualifier == "restrict" => self.declare(of, inner, indent, depth),
            _ => Ok(format!("{qualifier} {}", self.declare(of, inner, indent, depth)?)),
        }
    }

    /// A record with its members: `struct NAME { … }`, attributes after the brace.
    pub(super) fn record(
        &mut self,
        id: u32,
        kind: &Kind<'_>,
        indent: usize,
        depth: u32,
    ) -> Result<String> {
        let packing = self.packing(id, depth)?;
        let name = match self.name(id) {
            "" => String::new(),
            name => format!(" {}", self.names.tag(id, name)?),
        };
        let mut text = format!("{}{name} {{\n", word(kind));
        let members = compare::members(self.btf, kind);
        for (i, member) in members.iter().enumerate() {
            pads(&mut text, &packing, i, indent + 1);
            let declared = self.member(id, i, member, indent + 1, depth + 1)?;
            let align = packing.aligned.get(i).map_or(String::new(), |n| aligned(*n));
            let _ = writeln!(text, "{}{declared}{align};", tabs(indent + 1));
            self.made(&declared);
            self.step(depth)?;
        }
        pads(&mut text, &packing, members.len(), indent + 1);
        let packed = if packing.packed { " __attribute__((packed))" } else { "" };
        let _ = write!(text, "{}}}{packed}{}", tabs(indent), aligned(packing.asked));
        Ok(text)
    }

    fn member(
        &mut self,
        record: u32,
        i: usize,
        member: &ComparedMember<'_>,
        indent: usize,
        depth: u32,
    ) -> Result<String> {
        if member.name.is_empty() {
            // An anonymous member may be of a named struct (-fms-extensions): written out, it is C.
            let (id, found) = self.btf.resolve(member.of).ok_or("a chain of types has no end")?;
            let text = self.record(id, &found.kind, indent, depth)?;
            let brace = text.find('{').unwrap_or(0);
            return Ok(format!("{} {}", word(&found.kind), &text[brace..]));
        }
        let name = identifier(member.name)?.to_owned();
        let mut text = self.declare(member.of, name, indent, depth)?;
        if let Some(bits) = member.bits {
            let _ = write!(text, " : {bits}");
        }
        for tag in self.tags(record, i) {
            let parts: Vec<&str> = tag.split(':').collect();
            let _ = match parts.as_slice() {
                ["contains", ty, node] => write!(text, " __contains({ty}, {node})"),
                _ => write!(text, " __attribute__((btf_decl_tag({tag:?})))"),
            };
        }
        Ok(text)
    }

    /// An enum with its constants.
    pub(super) fn enumeration(&mut self, id: u32, indent: usize, depth: u32) -> Result<String> {
        self.step(depth)?;
        let kind = self.kind(id)?;
        let Kind::Enum { size, signed, .. } = kind else {
            return Err("a type is no enum".to_owned());
        };
        let mut values = Vec::new();
        for value in kind.values() {
            let name = self.names.unique(self.btf.name(value.name_at))?;
            let value = match signed {
                true => i128::from(value.value.cast_signed()),
                false => i128::from(value.value),
            };
            values.push((name, value));
        }
        if values.is_empty() {
            return Err(format!("`enum {}` has no constants", self.name(id)));
        }
        let name = match self.name(id) {
            "" => String::new(),
            name => format!(" {}", self.names.tag(id, name)?),
        };
        let mut text = format!("enum{name} ");
        let mut packed = "";
        // C takes 4 bytes if they hold all constants, or as few as do, and a signed type only for
        // a negative one; others must be asked for.
        if signed != values.iter().any(|(_, value)| *value < 0) {
            let _ = write!(text, ": {} ", integer(size, signed)?);
        } else if size != smallest(&values, &[4, 8]) {
            match size == smallest(&values, &[1, 2, 4, 8]) {
                true => packed = " __attribute__((packed))",
                false => drop(write!(text, ": {} ", integer(size, signed)?)),
            }
        }
        text.push_str("{\n");
        for (name, value) in values {
            let _ = writeln!(text, "{}{name} = {},", tabs(indent + 1), constant(value));
            self.made(&name);
            self.step(depth)?;
        }
        let _ = write!(text, "{}}}{packed}", tabs(indent));
        Ok(text)
    }
}

/// A constant of an enum. In C, a minus stands before a number that must be one by itself, and a
/// decimal one is signed.
fn constant(value: i128) -> String {
    match value {
        _ if value == i64::MIN.into() => format!("{} - 1", value + 1),
        _ if value > i64::MAX.into() => format!("{value}ULL"),
        _ => value.to_string(),
    }
}

/// The first of these numbers of bytes that holds all constants.
fn smallest(values: &[(String, i128)], sizes: &[u32]) -> u32 {
    let negative = values.iter().any(|(_, value)| *value < 0);
    let holds = |size: &&u32| {
        let bits = **size * 8 - u32::from(negative);
        let (least, most) = (if negative { -(1i128 << bits) } else { 0 }, (1i128 << bits) - 1);
        values.iter().all(|(_, value)| (least..=most).contains(value))
    };
    sizes.iter().find(holds).copied().unwrap_or(8)
}

fn tabs(n: usize) -> String {
    "\t".repeat(n)
}

pub(super) fn aligned(n: u32) -> String {
    if n == 0 { String::new() } else { format!(" __attribute__((aligned({n})))") }
}

pub(super) fn pads(text: &mut String, packing: &Packing, at: usize, indent: usize) {
    for pad in packing.pads.get(at).into_iter().flatten() {
        let _ = writeln!(text, "{}{} : {};", tabs(indent), pad.word, pad.bits);
    }
}

/// A type's text and what is declared with it.
fn join(ty: &str, inner: &str) -> String {
    let space = if inner.is_empty() || inner.starts_with('[') { "" } else { " " };
    format!("{ty}{space}{inner}")
}

/// An integer type in C: its own name if that means the same there.
fn spelled(name: &str, int: Int) -> Result<String> {
    let own = basic_int(name).map(|(size, signed, boolean)| (u32::from(size), signed, boolean));
    if own == Some((int.size, int.signed, int.boolean)) {
        return Ok(name.to_owned());
    }
    match int.boolean {
        true if int.size == 1 => Ok("_Bool".to_owned()),
        true => Err(format!("a _Bool of {} bytes is none in C", int.size)),
        false => integer(int.size, int.signed).map(str::to_owned),
    }
}

fn integer(size: u32, signed: bool) -> Result<&'static str> {
    Ok(match (size, signed) {
        (1, true) => "signed char",
        (1, false) => "unsigned char",
        (2, true) => "short",
        (2, false) => "unsigned short",
        (4, true) => "int",
        (4, false) => "unsigned int",
        (8, true) => "long long",
        (8, false) => "unsigned long long",
        (16, true) => "__int128",
        (16, false) => "unsigned __int128",
        _ => return Err(format!("an integer of {size} bytes is none in C")),
    })
}

fn float(name: &str, size: u32) -> Result<&'static str> {
    match (size, name) {
        (4, _) => Ok("float"),
        (8, "long double") => Ok("long double"),
        (8, _) => Ok("double"),
        _ => Err(format!("a float of {size} bytes is none in C for BPF")),
    }
}

/// A type tag, by its macro where libbpf's headers have one.
fn type_tag(tag: &str) -> String {
    match tag {
        "kptr" | "kptr_untrusted" | "percpu_kptr" | "uptr" => format!("__{tag}"),
        tag => format!("__attribute__((btf_type_tag({tag:?})))"),
    }
}

//! Definitions of types in the order that C wants them: what a definition needs comes before it.

use super::compare::{self, ComparedMember};
use super::declare::{aligned, pads};
use super::names::{Names, made_fit};
use super::pack::{Packing, Slot, pack};
use crate::btf::{Btf, Kind};
use crate::spec::{MAX_TEXT, Part, Spec};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::rc::Rc;

/// How deep types may nest: the kernel goes no deeper than 32.
const MAX_DEPTH: u32 = 64;

/// Types looked at at most, each time that one is met: BTF that folds out without end is cut.
const MAX_STEPS: u32 = 1 << 17;

/// Why a type cannot be written in C.
pub(super) type Result<T> = std::result::Result<T, String>;

/// Tags that the kernel looks behind: it wants the struct there, not only its name.
const KPTR_TAGS: [&str; 4] = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];

/// Writes the types of one BTF.
pub(super) struct CPrinter<'a> {
    pub(super) btf: &'a Btf,
    pub(super) names: Names,
    /// The definitions so far.
    pub(super) text: String,
    packings: HashMap<u32, Rc<Packing>>,
    /// Records being defined; the last is the innermost.
    open: Vec<u32>,
    /// Records, enums and typedefs whose definition is in the text, or that headers have.
    defined: HashSet<u32>,
    /// Records that are declared in the text.
    declared: HashSet<String>,
    /// `btf_decl_tag`s of members: record, member, tag.
    tags: HashMap<u32, Vec<(u32, &'a str)>>,
    /// Structs to define after what is being defined.
    later: Vec<u32>,
    steps: u32,
    /// Bytes of the members written so far, those inside others counted with each.
    written: usize,
}

impl<'a> CPrinter<'a> {
    /// A printer that has written nothing.
    pub(super) fn new(btf: &'a Btf) -> Self {
        let mut tags: HashMap<u32, Vec<(u32, &str)>> = HashMap::new();
        for id in 1..btf.end_id() {
            let Some(found) = btf.get(id) else { continue };
            if let Kind::DeclTag { of, member: Some(member) } = found.kind {
                tags.entry(of).or_default().push((member, btf.name(found.name_at)));
            }
        }
        Self {
            btf,
            names: Names::default(),
            text: String::new(),
            packings: HashMap::new(),
            open: Vec::new(),
            defined: HashSet::new(),
            declared: HashSet::new(),
            tags,
            later: Vec::new(),
            steps: 0,
            written: 0,
        }
    }

    /// Counts one more look at a type, at this depth.
    pub(super) fn step(&mut self, depth: u32) -> Result<()> {
        self.steps += 1;
        if depth > MAX_DEPTH {
            return Err("types are nested too deep".to_owned());
        }
        if self.steps > MAX_STEPS || self.written > MAX_TEXT {
            return Err("the types fold out to too much text".to_owned());
        }
        Ok(())
    }

    /// Counts text that was made.
    pub(super) fn made(&mut self, text: &str) {
        self.written = self.written.saturating_add(text.len());
    }

    pub(super) fn kind(&self, id: u32) -> Result<Kind<'a>> {
        let found = self.btf.get(id).ok_or_else(|| format!("the BTF has no type {id}"))?;
        Ok(found.kind)
    }

    pub(super) fn name(&self, id: u32) -> &'a str {
        self.btf.get(id).map_or("", |found| self.btf.name(found.name_at))
    }

    /// The tags of a record's member.
    pub(super) fn tags(&self, record: u32, member: usize) -> impl Iterator<Item = &'a str> {
        let tags = self.tags.get(&record).map_or(&[][..], Vec::as_slice);
        tags.iter().filter(move |(at, _)| *at as usize == member).map(|(_, tag)| *tag)
    }

    /// Writes all that must come before a declaration whose value is of type `id`.
    pub(super) fn define(&mut self, id: u32, depth: u32) -> Result<()> {
        self.step(depth)?;
        let kind = self.kind(id)?;
        match kind {
            Kind::Void | Kind::Int(_) | Kind::Float { .. } => Ok(()),
            Kind::Ptr { of } => self.mention(of, depth + 1),
            Kind::Array { of, .. }
            | Kind::Const { of }
            | Kind::Volatile { of }
            | Kind::Restrict { of }
            | Kind::TypeTag { of }
            | Kind::Var { of } => self.define(of, depth + 1),
            Kind::FuncProto { of, .. } => {
                self.mention(of, depth + 1)?;
                kind.params().try_for_each(|param| self.mention(param.of, depth + 1))
            }
            Kind::Struct { .. } | Kind::Union { .. } => self.define_record(id, &kind, depth),
            Kind::Enum { .. } => self.define_enum(id, depth),
            Kind::Typedef { of } => {
                if self.in_headers(id) {
                    return Ok(());
                }
                self.define(of, depth + 1)?;
                self.define_typedef(id, of, depth)
            }
            Kind::Fwd { .. } => Err(format!("`struct {}` is not defined", self.name(id))),
            _ => Err("a type is no C type".to_owned()),
        }
    }

    /// Writes all that must come before a pointer to `id`.
    fn mention(&mut self, id: u32, depth: u32) -> Result<()> {
        self.step(depth)?;
        let kind = self.kind(id)?;
        match kind {
            Kind::Struct { .. } | Kind::Union { .. } | Kind::Fwd { .. } => {
                if self.name(id).is_empty() {
                    return self.define(id, depth + 1);
                }
                self.declare_record(id, &kind)
            }
            Kind::Const { of } | Kind::Volatile { of } | Kind::Restrict { of } => {
                self.mention(of, depth + 1)
            }
            Kind::TypeTag { of } => {
                if KPTR_TAGS.contains(&self.name(id)) {
                    self.later.extend(self.btf.resolve(of).map(|(id, _)| id));
                }
                self.mention(of, depth + 1)
            }
            Kind::Typedef { of } => {
                if self.in_headers(id) {
                    return Ok(());
                }
                self.mention(of, depth + 1)?;
                self.define_typedef(id, of, depth)
            }
            _ => self.define(id, depth + 1),
        }
    }

    /// `struct NAME;`, unless it is there already.
    fn declare_record(&mut self, id: u32, kind: &Kind<'_>) -> Result<()> {
        let name = self.names.tag(id, self.name(id))?;
        let inside = self.open.last() == Some(&id);
        if !inside && !self.defined.contains(&id) && self.declared.insert(name.clone()) {
            let word = word(kind);
            let _ = writeln!(self.text, "{word} {name};\n");
        }
        Ok(())
    }

    /// Defines what tags alone lead to.
    pub(super) fn define_later(&mut self) -> Result<()> {
        while let Some(id) = self.later.pop() {
            if !matches!(self.kind(id)?, Kind::Fwd { .. }) {
                self.define(id, 0)?;
            }
        }
        Ok(())
    }

    fn define_record(&mut self, id: u32, kind: &Kind<'a>, depth: u32) -> Result<()> {
        let name = self.name(id);
        if self.defined.contains(&id) {
            return Ok(());
        }
        if self.open.contains(&id) {
            return Err(format!("`{name}` contains itself"));
        }
        if self.is_well_known(id) {
            self.packing(id, depth)?;
            self.defined.insert(id);
            return Ok(());
        }
        self.open.push(id);
        let members = compare::members(self.btf, kind);
        let defined = members.iter().try_for_each(|member| self.define(member.of, depth + 1));
        let text = defined.and_then(|()| match name.is_empty() {
            true => Ok(None),
            false => self.record(id, kind, 0, depth + 1).map(Some),
        });
        self.open.pop();
        for tag in (0..members.len()).flat_map(|i| self.tags(id, i)).collect::<Vec<_>>() {
            let contained = tag.strip_prefix("contains:").and_then(|rest| rest.split(':').next());
            let found = contained.and_then(|name| self.btf.find_struct(name));
            self.later.extend(found.map(|(id, _)| id));
        }
        if let Some(text) = text? {
            let _ = writeln!(self.text, "{text};\n");
            self.defined.insert(id);
        }
        Ok(())
    }

    fn define_enum(&mut self, id: u32, depth: u32) -> Result<()> {
        if self.name(id).is_empty() || self.defined.contains(&id) {
            return Ok(());
        }
        let text = self.enumeration(id, 0, depth)?;
        let _ = writeln!(self.text, "{text};\n");
        self.defined.insert(id);
        Ok(())
    }

    fn define_typedef(&mut self, id: u32, of: u32, depth: u32) -> Result<()> {
        if self.defined.insert(id) {
            let name = self.names.ordinary(id, self.name(id))?;
            let text = self.declare(of, name, 0, depth)?;
            let _ = writeln!(self.text, "typedef {text};\n");
        }
        Ok(())
    }

    /// Defines a data section, the variables of a program, as a struct, and gives its type.
    pub(super) fn section(&mut self, id: u32, map: &str) -> Result<String> {
        let kind = self.kind(id)?;
        let members = compare::members(self.btf, &kind);
        members.iter().try_for_each(|member| self.define(member.of, 0))?;
        let packing = self.packing(id, 0)?;
        let mut names = Names::default();
        let tag = self.names.unique(&format!("{map}_{}", made_fit(self.name(id))))?;
        let mut text = format!("struct {tag} {{\n");
        for (i, member) in members.iter().enumerate() {
            self.step(0)?;
            pads(&mut text, &packing, i, 1);
            // Static variables of functions may share a name, or have a dot in it.
            let name = names.unique(&made_fit(member.name))?;
            let declared = self.declare(member.of, name, 1, 0)?;
            let align = packing.aligned.get(i).map_or(String::new(), |n| aligned(*n));
            let _ = writeln!(text, "\t{declared}{align};");
        }
        pads(&mut text, &packing, members.len(), 1);
        let packed = if packing.packed { " __attribute__((packed))" } else { "" };
        let _ = writeln!(self.text, "{text}}}{packed}{};\n", aligned(packing.asked));
        Ok(format!("struct {tag}"))
    }

    /// Whether a typedef is one of `linux/types.h`, which every BPF program includes.
    pub(super) fn in_headers(&self, id: u32) -> bool {
        const TYPES: [(&str, u32, bool); 16] = [
            ("__u8", 1, false),
            ("__u16", 2, false),
            ("__u32", 4, false),
            ("__u64", 8, false),
            ("__s8", 1, true),
            ("__s16", 2, true),
            ("__s32", 4, true),
            ("__s64", 8, true),
            ("__be16", 2, false),
            ("__be32", 4, false),
            ("__be64", 8, false),
            ("__le16", 2, false),
            ("__le32", 4, false),
            ("__le64", 8, false),
            ("__sum16", 2, false),
            ("__wsum", 4, false),
        ];
        let name = self.name(id);
        let Some((_, size, signed)) = TYPES.iter().find(|(known, ..)| *known == name) else {
            return false;
        };
        let found = self.btf.resolve(id).map(|(_, found)| found.kind);
        matches!(found, Some(Kind::Int(int))
            if (int.size, int.signed, int.bits) == (*size, *signed, size * 8))
    }

    /// Whether a record is one of `linux/bpf.h`, member by member.
    fn is_well_known(&self, id: u32) -> bool {
        let name = self.name(id);
        if !name.starts_with("bpf_") {
            return false;
        }
        let spec = Spec::parse(format!("array value 'struct {name}' entries 1").as_bytes());
        let Ok(spec) = spec else { return false };
        let known = spec.btf().ok().and_then(|own| Some((Btf::parse(&own.bytes, None).ok()?, own)));
        known.is_some_and(|(btf, own)| {
            matches!(spec.value, Part::Type(_))
                && compare::same(self.btf, id, &btf, own.value).is_ok()
        })
    }

    /// How a record is to be written.
    pub(super) fn packing(&mut self, id: u32, depth: u32) -> Result<Rc<Packing>> {
        if let Some(packing) = self.packings.get(&id) {
            return Ok(packing.clone());
        }
        self.step(depth)?;
        let kind = self.kind(id)?;
        let (size, union) = match kind {
            Kind::Struct { size, .. } | Kind::DataSec { size, .. } => (size, false),
            Kind::Union { size, .. } => (size, true),
            _ => return Err("a type is no struct".to_owned()),
        };
        let members = compare::members(self.btf, &kind);
        let slots: Result<Vec<Slot>> =
            members.iter().map(|member| self.slot(member, depth + 1)).collect();
        let Some(packing) = pack(&slots?, union, size) else {
            let name = self.name(id);
            return Err(format!("no C struct has the members of `{name}` where they are"));
        };
        let packing = Rc::new(packing);
        self.packings.insert(id, packing.clone());
        Ok(packing)
    }

    fn slot(&mut self, member: &ComparedMember<'_>, depth: u32) -> Result<Slot> {
        let (size, align) = self.measure(member.of, depth)?;
        let (offset, bits, named) = (member.offset, member.bits, !member.name.is_empty());
        Ok(Slot { offset, bits, size, align, named })
    }

    /// Bytes and alignment of a type as it is written.
    fn measure(&mut self, id: u32, depth: u32) -> Result<(u32, u32)> {
        self.step(depth)?;
        let (id, found) = self.btf.resolve(id).ok_or("a chain of types has no end")?;
        Ok(match found.kind {
            Kind::Int(int) => (int.size, int.size.max(1)),
            Kind::Enum { size, .. } | Kind::Float { size } => (size, size.max(1)),
            Kind::Ptr { .. } => (8, 8),
            Kind::Array { of, len } => {
                let (size, align) = self.measure(of, depth + 1)?;
                (size.checked_mul(len).ok_or("an array is too large")?, align)
            }
            Kind::Struct { size, .. } | Kind::Union { size, .. } => {
                (size, self.packing(id, depth + 1)?.align)
            }
            _ => return Err("a member is of no C type".to_owned()),
        })
    }
}

/// `struct` or `union`.
pub(super) fn word(kind: &Kind<'_>) -> &'static str {
    match kind {
        Kind::Union { .. } | Kind::Fwd { union: true } => "union",
        _ => "struct",
    }
}

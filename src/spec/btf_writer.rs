//! Types to the raw BTF that BPF_BTF_LOAD takes (`include/uapi/linux/btf.h`).

use super::types::{CMember, CRecord, CType, Enumeration, Qualifier, TypeId, Types};
use std::collections::HashMap;

/// `enum` of BTF kinds, as numbered in the kernel's header.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// The type that clang gives every array's index.
const INDEX_NAME: &str = "__ARRAY_SIZE_TYPE__";

/// Writes `roots` and all that they refer to; gives the blob and the ids of the roots in it.
///
/// # Errors
/// If a `contains:` tag names a struct that `types` does not have.
pub(super) fn write<const N: usize>(
    types: &Types,
    roots: [TypeId; N],
) -> Result<(Vec<u8>, [u32; N]), String> {
    let mut writer = Writer {
        types,
        ids: HashMap::from([(TypeId::VOID, 0)]),
        order: Vec::new(),
        index_id: 0,
        out: Vec::new(),
        strings: vec![0],
        names: HashMap::from([(String::new(), 0)]),
    };
    for root in roots {
        writer.number(root);
    }
    writer.number_all()?;
    let count = u32::try_from(writer.order.len()).map_err(|_| "there are too many types")?;
    writer.index_id = count + 1;
    for id in std::mem::take(&mut writer.order) {
        writer.write_type(id);
    }
    writer.int(INDEX_NAME, 4, false, false);
    writer.write_decl_tags();
    let ids = roots.map(|root| writer.id(root));
    Ok((writer.finish(), ids))
}

struct Writer<'a> {
    types: &'a Types,
    ids: HashMap<TypeId, u32>,
    /// Types in the order of their ids, which begin with 1.
    order: Vec<TypeId>,
    index_id: u32,
    out: Vec<u8>,
    strings: Vec<u8>,
    names: HashMap<String, u32>,
}

impl Writer<'_> {
    /// Gives a type its id.
    fn number(&mut self, id: TypeId) {
        let next = self.order.len() as u32 + 1;
        if let std::collections::hash_map::Entry::Vacant(entry) = self.ids.entry(id) {
            entry.insert(next);
            self.order.push(id);
        }
    }

    /// Gives ids to all that the numbered types refer to.
    fn number_all(&mut self) -> Result<(), String> {
        let mut at = 0;
        while let Some(id) = self.order.get(at).copied() {
            at += 1;
            let types = self.types;
            match types.get(id) {
                CType::Pointer(target)
                | CType::Qualified(_, target)
                | CType::Tagged(_, target)
                | CType::Typedef { target, .. }
                | CType::Array { element: target, .. } => self.number(*target),
                CType::CRecord(record) => {
                    for member in record.members.iter().flatten() {
                        self.number(member.ty);
                        self.number_contained(member)?;
                    }
                }
                CType::Function { ret, params, .. } => {
                    self.number(*ret);
                    for (_, ty) in params {
                        self.number(*ty);
                    }
                }
                CType::Void | CType::Int { .. } | CType::Float { .. } | CType::Enum(_) => {}
            }
        }
        Ok(())
    }

    /// A list's or tree's element type is named by a tag alone.
    fn number_contained(&mut self, member: &CMember) -> Result<(), String> {
        for tag in &member.tags {
            let Some(rest) = tag.strip_prefix("contains:") else { continue };
            let name = rest.split(':').next().unwrap_or_default();
            match self.types.defined_struct(name) {
                Some(id) => self.number(id),
                None => return Err(format!("`struct {name}` of `{tag}` is not defined")),
            }
        }
        Ok(())
    }

    fn id(&self, id: TypeId) -> u32 {
        self.ids.get(&id).copied().unwrap_or(0)
    }

    fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_ne_bytes());
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(at) = self.names.get(name) {
            return *at;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        self.names.insert(name.to_owned(), at);
        at
    }

    /// `struct btf_type`: name, then kind, flag and number of parts, then size or type.
    fn head(&mut self, name: &str, kind: u32, flag: bool, parts: usize, size_or_type: u32) {
        let name = self.name(name);
        self.u32(name);
        self.u32(u32::from(flag) << 31 | kind << 24 | parts as u32 & 0xffff);
        self.u32(size_or_type);
    }

    fn int(&mut self, name: &str, size: u8, signed: bool, boolean: bool) {
        self.head(name, kind::INT, false, 0, size.into());
        let encoding = u32::from(signed) | u32::from(boolean) << 2;
        self.u32((encoding << 24) | (u32::from(size) * 8));
    }

    fn write_type(&mut self, id: TypeId) {
        let types = self.types;
        match types.get(id) {
            CType::Void => {}
            CType::Int { name, size, signed, boolean } => self.int(name, *size, *signed, *boolean),
            CType::Float { name, size } => self.head(name, kind::FLOAT, false, 0, (*size).into()),
            CType::Pointer(target) => self.head("", kind::PTR, false, 0, self.id(*target)),
            CType::Array { element, count } => {
                self.head("", kind::ARRAY, false, 0, 0);
                self.u32(self.id(*element));
                self.u32(self.index_id);
                self.u32(*count);
            }
            CType::CRecord(record) => self.record(id, record),
            CType::Enum(e) => self.enumeration(e),
            CType::Typedef { name, target } => {
                self.head(name, kind::TYPEDEF, false, 0, self.id(*target));
            }
            CType::Qualified(qualifier, target) => {
                let kind = match qualifier {
                    Qualifier::Const => kind::CONST,
                    Qualifier::Volatile => kind::VOLATILE,
                    Qualifier::Restrict => kind::RESTRICT,
                };
                self.head("", kind, false, 0, self.id(*target));
            }
            CType::Tagged(tag, target) => {
                self.head(tag, kind::TYPE_TAG, false, 0, self.id(*target));
            }
            CType::Function { ret, params, variadic } => {
                let parts = params.len() + usize::from(*variadic);
                self.head("", kind::FUNC_PROTO, false, parts, self.id(*ret));
                for (name, ty) in params {
                    let name = self.name(name.as_deref().unwrap_or_default());
                    self.u32(name);
                    self.u32(self.id(*ty));
                }
                if *variadic {
                    self.u32(0);
                    self.u32(0);
                }
            }
        }
    }

    fn record(&mut self, id: TypeId, record: &CRecord) {
        let name = record.name.as_deref().unwrap_or_default();
        let Some(members) = &record.members else {
            return self.head(name, kind::FWD, record.union, 0, 0);
        };
        let kind = if record.union { kind::UNION } else { kind::STRUCT };
        let bit_fields = members.iter().any(|member| member.bits.is_some());
        let size = self.types.size(id).unwrap_or(0);
        self.head(name, kind, bit_fields, members.len(), size);
        for member in members {
            let name = self.name(member.name.as_deref().unwrap_or_default());
            self.u32(name);
            self.u32(self.id(member.ty));
            // With bit-fields in the record, the upper 8 bits of each offset are a width.
            self.u32(u32::from(member.bits.unwrap_or(0)) << 24 | member.bit_offset);
        }
    }

    fn enumeration(&mut self, e: &Enumeration) {
        let name = e.name.as_deref().unwrap_or_default();
        let size = e.size.unwrap_or(4);
        let kind = if size > 4 { kind::ENUM64 } else { kind::ENUM };
        self.head(name, kind, e.signed, e.values.len(), size.into());
        for (name, value) in &e.values {
            let name = self.name(name);
            self.u32(name);
            // Negative ones as two's complement, low half first.
            self.u32(*value as u32);
            if size > 4 {
                self.u32((*value >> 32) as u32);
            }
        }
    }

    /// Tags of members follow all types, whose ids they mention.
    fn write_decl_tags(&mut self) {
        let types = self.types;
        let mut records: Vec<(u32, TypeId)> = self.ids.iter().map(|(id, n)| (*n, *id)).collect();
        records.sort_unstable_by_key(|(n, _)| *n);
        for (number, id) in records {
            let CType::CRecord(record) = types.get(id) else { continue };
            for (i, member) in record.members.iter().flatten().enumerate() {
                for tag in &member.tags {
                    self.head(tag, kind::DECL_TAG, false, 0, number);
                    self.u32(i as u32);
                }
            }
        }
    }

    fn finish(self) -> Vec<u8> {
        const HEADER: u32 = 24;
        let (types, strings) = (self.out.len() as u32, self.strings.len() as u32);
        let mut bytes = Vec::with_capacity(HEADER as usize + self.out.len() + self.strings.len());
        bytes.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
        // Version 1, no flags.
        bytes.extend_from_slice(&[1, 0]);
        for field in [HEADER, 0, types, types, strings] {
            bytes.extend_from_slice(&field.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.out);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

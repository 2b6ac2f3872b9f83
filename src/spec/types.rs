//! C types as BTF knows them, with size and alignment worked out as each is added.
//!
//! A type is a number in a [`Types`] list and refers only to types of the same list. Cycles run
//! through pointers alone, so size and alignment never need a walk.

use super::layout::{self, FieldLayout};
use crate::btf::KERNEL_STRUCTS;
use std::collections::HashSet;

/// The number of a type in its [`Types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeId(u32);

impl TypeId {
    /// `void`, which every list begins with.
    pub const VOID: TypeId = TypeId(0);

    /// The position in the list.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Bytes in the largest type accepted, so that a bit offset fits 32 bits (256 MiB).
pub const MAX_SIZE: u64 = 1 << 28;

/// A type does not fit [`MAX_SIZE`], or is made of one whose size is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsized {
    /// Larger than [`MAX_SIZE`].
    TooLarge,
    /// `void`, a function, or a struct that is only declared.
    Incomplete,
}

/// `const`, `volatile` or `restrict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qualifier {
    /// `const`
    Const,
    /// `volatile`
    Volatile,
    /// `restrict`
    Restrict,
}

/// A struct or union.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CRecord {
    /// Whether it is a union.
    pub union: bool,
    /// The tag, if it has one.
    pub name: Option<String>,
    /// The members that have a name or are themselves records; `None` if it is only declared.
    pub members: Option<Vec<CMember>>,
    /// What `__uint`, `__type`, `__array` and `__ulong` say: then this is a map's definition.
    pub fields: Vec<MapField>,
}

/// A member of a struct or union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CMember {
    /// `None` for an anonymous struct or union.
    pub name: Option<String>,
    /// Its type.
    pub ty: TypeId,
    /// Bits from the record's start.
    pub bit_offset: u32,
    /// Bits of a bit-field; `None` for an ordinary member.
    pub bits: Option<u8>,
    /// `btf_decl_tag`s, such as `contains:foo:node`.
    pub tags: Vec<String>,
}

/// One line of a map's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapField {
    /// `type`, `key`, `max_entries`, …
    pub name: String,
    /// The line of the text, from 1.
    pub line: u32,
    /// What it is set to.
    pub value: FieldValue,
}

/// What a line of a map's definition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValue {
    /// `__uint` or `__ulong`.
    Number(u64),
    /// `__type`.
    CType(TypeId),
    /// `__array`: the type of the elements.
    Elements(TypeId),
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enumeration {
    /// The tag, if it has one.
    pub name: Option<String>,
    /// Whether a constant is negative.
    pub signed: bool,
    /// Bytes: 1, 2, 4 or 8. `None` if it is only declared.
    pub size: Option<u8>,
    /// Names and values in order.
    pub values: Vec<(String, i128)>,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CType {
    /// `void`
    Void,
    /// An integer, `_Bool` included.
    Int {
        /// In C's own spelling.
        name: String,
        /// Bytes: 1, 2, 4, 8 or 16.
        size: u8,
        /// Whether it is signed.
        signed: bool,
        /// Whether it is `_Bool`.
        boolean: bool,
    },
    /// `float`, `double` or `long double`.
    Float {
        /// In C's own spelling.
        name: String,
        /// Bytes: 4 or 8.
        size: u8,
    },
    /// A pointer.
    Pointer(TypeId),
    /// An array; zero elements for a flexible one.
    Array {
        /// The elements' type.
        element: TypeId,
        /// How many.
        count: u32,
    },
    /// A struct or union.
    CRecord(CRecord),
    /// An enumeration.
    Enum(Enumeration),
    /// Another name for a type.
    Typedef {
        /// The name.
        name: String,
        /// What it stands for.
        target: TypeId,
    },
    /// A qualified type.
    Qualified(Qualifier, TypeId),
    /// A type with a `btf_type_tag`, such as `kptr`; only ever what a pointer points to.
    Tagged(String, TypeId),
    /// A function.
    Function {
        /// What it returns.
        ret: TypeId,
        /// Its parameters.
        params: Vec<(Option<String>, TypeId)>,
        /// Whether `…` follows them.
        variadic: bool,
    },
}

#[derive(Debug, Clone)]
struct Entry {
    ty: CType,
    /// Bytes; `None` while not known. Of an alias, its base tells.
    size: Option<u32>,
    /// Bytes, a power of two; 0 for an alias that leaves it to its base.
    align: u32,
    /// What is behind typedefs, qualifiers and tags; the type itself for any other.
    base: TypeId,
}

/// A list of types.
#[derive(Debug, Clone)]
pub struct Types {
    list: Vec<Entry>,
}

impl Default for Types {
    fn default() -> Self {
        Self { list: vec![Entry { ty: CType::Void, size: None, align: 1, base: TypeId::VOID }] }
    }
}

/// A member as declared, before its place is known.
#[derive(Debug, Clone)]
pub struct Declared {
    /// `None` for an anonymous record and for a bit-field that only pads.
    pub name: Option<String>,
    /// Its type.
    pub ty: TypeId,
    /// Bits of a bit-field.
    pub bits: Option<u8>,
    /// `__attribute__((packed))` on the member.
    pub packed: bool,
    /// `__attribute__((aligned(N)))` on the member, 0 without.
    pub align: u32,
    /// `btf_decl_tag`s.
    pub tags: Vec<String>,
}

impl Types {
    fn push(&mut self, ty: CType, size: Option<u32>, align: u32) -> TypeId {
        // The text is bounded, and with it the list: 2^32 types would need as many tokens.
        let id = TypeId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(Entry { ty, size, align, base: id });
        id
    }

    /// Adds another view of `target`, which may yet become complete.
    fn alias(&mut self, ty: CType, target: TypeId, align: u32) -> TypeId {
        let (base, own) =
            self.entry(target).map_or((target, 0), |entry| match entry.base == target {
                true => (target, 0),
                false => (entry.base, entry.align),
            });
        let id = self.push(ty, None, if align == 0 { own } else { align });
        if let Some(entry) = self.list.get_mut(id.index()) {
            entry.base = base;
        }
        id
    }

    fn entry(&self, id: TypeId) -> Option<&Entry> {
        self.list.get(id.index())
    }

    /// The type `id`.
    pub fn get(&self, id: TypeId) -> &CType {
        self.entry(id).map_or(&CType::Void, |entry| &entry.ty)
    }

    /// Bytes, if known.
    pub fn size(&self, id: TypeId) -> Option<u32> {
        self.entry(self.resolve(id)).and_then(|entry| entry.size)
    }

    /// Bytes: the alignment that a member of this type gets.
    pub fn align(&self, id: TypeId) -> u32 {
        let align = |id| self.entry(id).map_or(1, |entry| entry.align);
        match align(id) {
            0 => align(self.resolve(id)),
            align => align,
        }
    }

    /// What `id` is behind typedefs, qualifiers and tags.
    pub fn resolve(&self, id: TypeId) -> TypeId {
        self.entry(id).map_or(id, |entry| entry.base)
    }

    /// The record behind typedefs and qualifiers, if `id` is one.
    pub fn record(&self, id: TypeId) -> Option<&CRecord> {
        match self.get(self.resolve(id)) {
            CType::CRecord(record) => Some(record),
            _ => None,
        }
    }

    /// The struct of this tag that is defined, not only declared.
    pub fn defined_struct(&self, name: &str) -> Option<TypeId> {
        let found = self.list.iter().rposition(|entry| {
            matches!(&entry.ty, CType::CRecord(CRecord { union: false, name: Some(own), members: Some(_), .. })
                if own == name)
        });
        found.and_then(|at| u32::try_from(at).ok()).map(TypeId)
    }

    /// Whether a value of this type has a part that the kernel itself uses, such as a
    /// `bpf_spin_lock` or a `__kptr`.
    pub fn has_kernel_field(&self, id: TypeId) -> bool {
        let mut seen = HashSet::new();
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let id = self.resolve(id);
            if !seen.insert(id) {
                continue;
            }
            match self.get(id) {
                CType::CRecord(CRecord { name: Some(name), .. })
                    if KERNEL_STRUCTS.contains(&name.as_str()) =>
                {
                    return true;
                }
                CType::CRecord(record) => {
                    todo.extend(record.members.iter().flatten().map(|member| member.ty));
                }
                CType::Array { element, .. } => todo.push(*element),
                CType::Pointer(target) if matches!(self.get(*target), CType::Tagged(..)) => {
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// Adds an integer; `__int128` is aligned to 16.
    pub fn int(&mut self, name: &str, size: u8, signed: bool, boolean: bool) -> TypeId {
        let ty = CType::Int { name: name.into(), size, signed, boolean };
        self.push(ty, Some(size.into()), size.into())
    }

    /// Adds a floating-point type.
    pub fn float(&mut self, name: &str, size: u8) -> TypeId {
        self.push(CType::Float { name: name.into(), size }, Some(size.into()), size.into())
    }

    /// Adds a pointer: 8 bytes on BPF.
    pub fn pointer(&mut self, target: TypeId) -> TypeId {
        self.push(CType::Pointer(target), Some(8), 8)
    }

    /// Adds an array.
    ///
    /// # Errors
    /// If the element's size is not known, or the array is too large.
    pub fn array(&mut self, element: TypeId, count: u32) -> Result<TypeId, Unsized> {
        let size = self.size(element).ok_or(Unsized::Incomplete)?;
        let size = u64::from(size) * u64::from(count);
        if size > MAX_SIZE {
            return Err(Unsized::TooLarge);
        }
        let align = self.align(element);
        Ok(self.push(CType::Array { element, count }, Some(size as u32), align))
    }

    /// Adds a typedef; an `align` other than 0 replaces the target's alignment, also by less.
    pub fn typedef(&mut self, name: &str, target: TypeId, align: u32) -> TypeId {
        self.alias(CType::Typedef { name: name.into(), target }, target, align)
    }

    /// Adds a qualified type.
    pub fn qualified(&mut self, qualifier: Qualifier, target: TypeId) -> TypeId {
        self.alias(CType::Qualified(qualifier, target), target, 0)
    }

    /// Adds a tagged type.
    pub fn tagged(&mut self, tag: &str, target: TypeId) -> TypeId {
        self.alias(CType::Tagged(tag.into(), target), target, 0)
    }

    /// Adds a function.
    pub fn function(
        &mut self,
        ret: TypeId,
        params: Vec<(Option<String>, TypeId)>,
        variadic: bool,
    ) -> TypeId {
        self.push(CType::Function { ret, params, variadic }, None, 1)
    }

    /// Adds a record of `size` bytes whose members have their places already.
    pub fn placed(
        &mut self,
        union: bool,
        name: Option<&str>,
        members: Vec<CMember>,
        size: u32,
    ) -> TypeId {
        let natural = members.iter().map(|member| self.align(member.ty)).max().unwrap_or(1);
        // Packed, if its size is no multiple.
        let align = if natural > 0 && size.is_multiple_of(natural) { natural } else { 1 };
        let record = CRecord {
            union,
            name: name.map(str::to_owned),
            members: Some(members),
            fields: vec![],
        };
        self.push(CType::CRecord(record), Some(size), align)
    }

    /// Adds an enumeration; an `align` other than 0 replaces its own alignment, also by less.
    pub fn enumeration(&mut self, e: Enumeration, align: u32) -> TypeId {
        let size = e.size.map(u32::from);
        let align = if align == 0 { size.unwrap_or(1) } else { align };
        self.push(CType::Enum(e), size, align)
    }

    /// Gives an enumeration that was only declared its constants.
    pub fn complete_enumeration(&mut self, id: TypeId, e: Enumeration, align: u32) {
        if let Some(entry) = self.list.get_mut(id.index()) {
            entry.size = e.size.map(u32::from);
            entry.align = if align == 0 { entry.size.unwrap_or(1) } else { align };
            entry.ty = CType::Enum(e);
        }
    }

    /// Adds a record that is only declared.
    pub fn declare(&mut self, union: bool, name: Option<&str>) -> TypeId {
        let name = name.map(str::to_owned);
        self.push(CType::CRecord(CRecord { union, name, ..CRecord::default() }), None, 1)
    }

    /// Gives a declared record its members, each at its place.
    ///
    /// # Errors
    /// If a member's size is not known, or the record is too large.
    pub fn complete(
        &mut self,
        id: TypeId,
        declared: Vec<Declared>,
        fields: Vec<MapField>,
        packed: bool,
        align: u32,
    ) -> Result<(), Unsized> {
        let CType::CRecord(CRecord { union, .. }) = *self.get(id) else {
            return Err(Unsized::Incomplete);
        };
        let mut places = Vec::with_capacity(declared.len());
        for member in &declared {
            places.push(FieldLayout {
                size: self.size(member.ty).ok_or(Unsized::Incomplete)?,
                align: self.align(member.ty),
                asked: member.align,
                packed: member.packed,
                bits: member.bits,
                named: member.name.is_some(),
            });
        }
        let laid = layout::lay_out(&places, union, packed, align).ok_or(Unsized::TooLarge)?;
        // BTF leaves 24 bits for an offset where a record has bit-fields.
        let bit_fields = declared.iter().any(|member| member.bits.is_some());
        if bit_fields && laid.offsets.iter().any(|offset| *offset >= 1 << 24) {
            return Err(Unsized::TooLarge);
        }
        let members = declared
            .into_iter()
            .zip(laid.offsets)
            // A bit-field without a name only pads: BTF has no member for it.
            .filter(|(member, _)| member.name.is_some() || member.bits.is_none())
            .map(|(Declared { name, ty, bits, tags, .. }, bit_offset)| CMember {
                name,
                ty,
                bit_offset,
                bits,
                tags,
            })
            .collect();
        if let Some(entry) = self.list.get_mut(id.index()) {
            // A map's definition is no type that a value could have.
            entry.size = fields.is_empty().then_some(laid.size);
            entry.align = laid.align;
            if let CType::CRecord(record) = &mut entry.ty {
                record.members = Some(members);
                record.fields = fields;
            }
        }
        Ok(())
    }
}

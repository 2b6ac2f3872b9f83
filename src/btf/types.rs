//! The records of the type section (`include/uapi/linux/btf.h`).

/// A type, read in place.
#[derive(Debug, Clone, Copy)]
pub struct BtfType<'a> {
    /// Where its name is in the strings ([`super::Btf::name`]); 0 if it has none.
    pub name_at: u32,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a type is. Sizes are in bytes, `of` is the id of the type that it is made from; a tag's
/// `component` is the number of the member that it is on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[allow(missing_docs)] // The names are those of the BTF documentation.
pub enum Kind<'a> {
    Void,
    Int(Int),
    Ptr {
        of: u32,
    },
    Array {
        of: u32,
        len: u32,
    },
    Struct {
        size: u32,
        bit_fields: bool,
        records: &'a [u8],
    },
    Union {
        size: u32,
        bit_fields: bool,
        records: &'a [u8],
    },
    Enum {
        size: u32,
        signed: bool,
        wide: bool,
        records: &'a [u8],
    },
    Fwd {
        union: bool,
    },
    Typedef {
        of: u32,
    },
    Volatile {
        of: u32,
    },
    Const {
        of: u32,
    },
    Restrict {
        of: u32,
    },
    Func {
        of: u32,
    },
    FuncProto {
        of: u32,
        records: &'a [u8],
    },
    Var {
        of: u32,
    },
    DataSec {
        size: u32,
        records: &'a [u8],
    },
    Float {
        size: u32,
    },
    /// On a whole type, or on the member or parameter of that index.
    DeclTag {
        of: u32,
        member: Option<u32>,
    },
    TypeTag {
        of: u32,
    },
}

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int {
    /// Bytes that it takes.
    pub size: u32,
    /// Bits that count.
    pub bits: u32,
    /// Bits before them (old compilers' bit-fields).
    pub offset: u32,
    /// Negative numbers are possible.
    pub signed: bool,
    /// `_Bool`.
    pub boolean: bool,
    /// Marked as a character.
    pub character: bool,
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BtfMember {
    /// Its name in the strings; 0 for anonymous structs and unions.
    pub name_at: u32,
    /// Its type.
    pub of: u32,
    /// Bits from the beginning.
    pub bit_offset: u32,
    /// A bit-field's width; 0 for other members.
    pub bits: u32,
}

/// An enumerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnumValue {
    /// Its name in the strings.
    pub name_at: u32,
    /// Its value, sign-extended if the enum is signed.
    pub value: u64,
}

/// A function's parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name in the strings.
    pub name_at: u32,
    /// Its type; 0, without a name, stands for `...` at the end.
    pub of: u32,
}

/// A variable of a data section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its [`Kind::Var`].
    pub var: u32,
    /// Bytes from the beginning.
    pub offset: u32,
    /// Bytes that it takes.
    pub size: u32,
}

/// The 32-bit number at `at`, 0 past the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(&bytes) => u32::from_ne_bytes(bytes),
        None => 0,
    }
}

/// Bytes of the type that `bytes` begins with; `None` if they are too few or of unknown kind.
pub(super) fn record_len(bytes: &[u8]) -> Option<usize> {
    let info = u32_at(bytes, 4);
    let count = (info & 0xffff) as usize;
    let rest = match info >> 24 & 0x1f {
        1 | 14 | 17 => 4,
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        4 | 5 | 15 | 19 => count * 12,
        6 | 13 => count * 8,
        _ => return None,
    };
    (bytes.len() >= 12 + rest).then_some(12 + rest)
}

impl<'a> BtfType<'a> {
    /// Reads the type that `bytes` begins with, of which [`record_len`] has approved.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let info = u32_at(bytes, 4);
        let of = u32_at(bytes, 8);
        let size = of;
        let len = record_len(bytes).unwrap_or(12);
        let records = bytes.get(12..len).unwrap_or_default();
        let flag = info >> 31 == 1;
        let kind = match info >> 24 & 0x1f {
            1 => {
                let int = u32_at(records, 0);
                Kind::Int(Int {
                    size,
                    bits: int & 0xff,
                    offset: int >> 16 & 0xff,
                    signed: int >> 24 & 1 != 0,
                    character: int >> 24 & 2 != 0,
                    boolean: int >> 24 & 4 != 0,
                })
            }
            2 => Kind::Ptr { of },
            3 => Kind::Array { of: u32_at(records, 0), len: u32_at(records, 8) },
            4 => Kind::Struct { size, bit_fields: flag, records },
            5 => Kind::Union { size, bit_fields: flag, records },
            6 => {
                let signed = flag || is_signed(records);
                Kind::Enum { size, signed, wide: false, records }
            }
            7 => Kind::Fwd { union: flag },
            8 => Kind::Typedef { of },
            9 => Kind::Volatile { of },
            10 => Kind::Const { of },
            11 => Kind::Restrict { of },
            12 => Kind::Func { of },
            13 => Kind::FuncProto { of, records },
            14 => Kind::Var { of },
            15 => Kind::DataSec { size, records },
            16 => Kind::Float { size },
            17 => {
                let component = u32_at(records, 0);
                Kind::DeclTag { of, member: (component != u32::MAX).then_some(component) }
            }
            18 => Kind::TypeTag { of },
            19 => Kind::Enum { size, signed: flag, wide: true, records },
            _ => Kind::Void,
        };
        Self { name_at: u32_at(bytes, 0), kind }
    }
}

/// Whether an enum without a sign in its BTF has one. Compilers before LLVM 16 say nothing, and
/// then -1 is 0xffffffff: what is near zero from below is taken for negative, flags such as
/// `1 << 31` are not.
fn is_signed(records: &[u8]) -> bool {
    records.chunks_exact(8).any(|record| (-0x1_0000..0).contains(&(u32_at(record, 4) as i32)))
}

impl<'a> Kind<'a> {
    /// The type that this one merely names or qualifies.
    pub fn next(&self) -> Option<u32> {
        match *self {
            Kind::Typedef { of }
            | Kind::Volatile { of }
            | Kind::Const { of }
            | Kind::Restrict { of }
            | Kind::TypeTag { of }
            | Kind::Var { of } => Some(of),
            _ => None,
        }
    }

    /// A struct's or union's members; none for other kinds.
    pub fn members(&self) -> impl Iterator<Item = BtfMember> + use<'a> {
        let (bit_fields, records): (bool, &'a [u8]) = match *self {
            Kind::Struct { bit_fields, records, .. } | Kind::Union { bit_fields, records, .. } => {
                (bit_fields, records)
            }
            _ => (false, &[]),
        };
        records.chunks_exact(12).map(move |record| {
            let offset = u32_at(record, 8);
            let (bit_offset, bits) =
                if bit_fields { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            BtfMember { name_at: u32_at(record, 0), of: u32_at(record, 4), bit_offset, bits }
        })
    }

    /// An enum's enumerators; none for other kinds.
    pub fn values(&self) -> impl Iterator<Item = EnumValue> + use<'a> {
        let (signed, wide, records): (bool, bool, &'a [u8]) = match *self {
            Kind::Enum { signed, wide, records, .. } => (signed, wide, records),
            _ => (false, false, &[]),
        };
        records.chunks_exact(if wide { 12 } else { 8 }).map(move |record| {
            let low = u32_at(record, 4);
            let value = match (wide, signed) {
                (true, _) => u64::from(u32_at(record, 8)) << 32 | u64::from(low),
                (false, true) => i64::from(low as i32) as u64,
                (false, false) => u64::from(low),
            };
            EnumValue { name_at: u32_at(record, 0), value }
        })
    }

    /// A function's parameters; none for other kinds.
    pub fn params(&self) -> impl Iterator<Item = Param> + use<'a> {
        let records: &'a [u8] = match *self {
            Kind::FuncProto { records, .. } => records,
            _ => &[],
        };
        records
            .chunks_exact(8)
            .map(|record| Param { name_at: u32_at(record, 0), of: u32_at(record, 4) })
    }

    /// A data section's variables; none for other kinds.
    pub fn variables(&self) -> impl Iterator<Item = Variable> + use<'a> {
        let records: &'a [u8] = match *self {
            Kind::DataSec { records, .. } => records,
            _ => &[],
        };
        records.chunks_exact(12).map(|record| Variable {
            var: u32_at(record, 0),
            offset: u32_at(record, 4),
            size: u32_at(record, 8),
        })
    }
}

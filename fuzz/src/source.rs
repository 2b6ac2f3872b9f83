//! An input as a type with its codec and a rest of bytes.

use super::blob::Blob;
use super::ty::{Mem, Ty};
use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, Shape};

/// Bytes of a key or value at most: larger types only make each run slower.
const LARGEST: usize = 4096;

/// The front of an input: its first byte says how many bytes describe the type, and those follow.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    /// The next byte; 0 when there is none.
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn one_of(&mut self, of: &[u32]) -> u32 {
        of[usize::from(self.byte()) % of.len()]
    }

    fn ty(&mut self, depth: u32) -> Ty {
        let kinds = if depth == 0 || self.0.is_empty() { 10 } else { 16 };
        match self.byte() % kinds {
            0 => Ty::Int { bytes: self.one_of(&[1, 2, 4, 8, 16]), signed: self.byte() & 1 == 1 },
            1 => Ty::Bool,
            2 => Ty::Big(self.one_of(&[2, 4, 8])),
            3 => Ty::Enum {
                bytes: self.one_of(&[1, 2, 4, 8]),
                signed: self.byte() & 1 == 1,
                // -2 to 2, as sign-extended.
                values: (0..self.byte() % 5)
                    .map(|_| u64::from(self.byte() % 5).wrapping_sub(2))
                    .collect(),
            },
            4 => Ty::Float(self.one_of(&[4, 8])),
            5 => Ty::Pointer,
            6 => Ty::Text(u32::from(self.byte() % 20)),
            7 => Ty::Ipv4,
            8 => Ty::Ipv6,
            9 => Ty::Timer,
            10 => Ty::Alias(self.one_of(&[8, 9, 10, 11, 18]), Box::new(self.ty(depth - 1))),
            11 => Ty::Array(Box::new(self.ty(depth - 1)), u32::from(self.byte() % 5)),
            12 => Ty::Struct { packed: self.byte() & 1 == 1, members: self.members(0, depth - 1) },
            13 => Ty::Union { members: self.members(1, depth - 1) },
            14 => Ty::Octets(self.one_of(&[6, 16])),
            _ => Ty::Words,
        }
    }

    fn members(&mut self, least: u8, depth: u32) -> Vec<Mem> {
        let count = least + self.byte() % 5;
        let member = |source: &mut Self| {
            let flags = source.byte();
            let bits = (flags & 2 != 0).then(|| source.byte());
            Mem { ty: source.ty(depth), anonymous: flags & 1 != 0, bits }
        };
        (0..count).map(|_| member(self)).collect()
    }
}

/// An input taken apart.
pub struct Input<'a> {
    /// Keys and values of the type; without one, keys and values are plain bytes.
    pub codec: Codec,
    /// The type that the codec is of.
    pub ty: Option<Ty>,
    /// Bytes of the key, and of the value.
    pub size: usize,
    /// Whether keys are prefixes of an LPM trie.
    pub lpm: bool,
    /// What follows the type.
    pub rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Takes an input apart; `None` if it describes no type that a map could have.
    pub fn new(data: &'a [u8], cpus: Option<usize>) -> Option<Self> {
        let (&first, rest) = data.split_first()?;
        let (plain, lpm) = (first & 0x80 != 0, first & 0x40 != 0);
        let (described, rest) = rest.split_at_checked(usize::from(first & 0x3f))?;
        let mut source = Source(described);
        let mut blob = Blob::new();
        let (ty, id, size) = if plain {
            (None, 0, 1 + usize::from(source.byte()))
        } else {
            let ty = source.ty(4);
            if ty.size() > LARGEST || ty.timer_in_union() {
                return None;
            }
            // An LPM trie's key begins with the prefix length.
            let length =
                Mem { ty: Ty::Int { bytes: 4, signed: false }, anonymous: false, bits: None };
            let data = |ty| Mem { ty, anonymous: false, bits: None };
            let ty = match lpm {
                true => Ty::Struct { members: vec![length, data(ty)], packed: true },
                false => ty,
            };
            let (id, size) = (ty.emit(&mut blob, &mut 0), ty.size());
            (Some(ty), id, size)
        };
        let btf = Btf::parse(&blob.finish(), None).expect("BTF as compilers write it");
        let shape = Shape {
            key_size: size,
            value_size: size,
            cpus,
            key_type_id: id,
            value_type_id: id,
            lpm: lpm && size > 4,
        };
        let codec = Codec::new(&shape, Some(&btf));
        assert_eq!(codec.fallback(), None, "{ty:?}");
        Some(Self { codec, ty, size, lpm: shape.lpm, rest })
    }

    /// `size` bytes made of the rest.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.rest.iter().copied().take(self.size).collect();
        bytes.resize(self.size, 0);
        bytes
    }
}

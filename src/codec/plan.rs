//! A type, compiled: what printing and parsing need, in flat tables, with every name resolved,
//! every label escaped and every offset checked against the value's size.

use super::known::{Describe, Known};
use std::borrow::Cow;
use std::ops::Range;

/// An index into [`CodecPlan::nodes`].
pub(crate) type NodeId = u32;

/// An index into [`CodecPlan::trees`].
pub(crate) type TreeId = u32;

/// What a record with unions is made of, anonymous members taken apart.
#[derive(Debug)]
pub(super) enum Item {
    /// A member, by its index from the record's first.
    Field(u32),
    /// A union: the ways to show it, the best first.
    Union(Vec<Alternative>),
}

/// One way to show a union.
#[derive(Debug)]
pub(super) struct Alternative {
    /// What is shown.
    pub(super) items: Vec<Item>,
    /// The bits that other alternatives show and this one does not: where they are not zero, this one
    /// cannot be chosen.
    pub(super) hidden: (u32, u32),
}

/// A compiled type.
#[derive(Debug, Default)]
pub(crate) struct CodecPlan {
    pub(super) nodes: Vec<PlanNode>,
    pub(super) fields: Vec<PlanField>,
    /// For each struct, its fields' indices sorted by name (same ranges as `fields`).
    pub(super) by_name: Vec<u32>,
    pub(super) gaps: Vec<Gap>,
    pub(super) trees: Vec<Vec<Item>>,
    pub(super) enums: Vec<Enumerators>,
    pub(super) root: NodeId,
    /// Bytes of the whole value.
    pub(super) size: usize,
    /// Whether a `bpf_spin_lock` is among the members left out.
    pub(super) has_lock: bool,
    /// How addresses in the kernel get their symbols; without it they are numbers.
    pub(super) describe: Option<Describe>,
}

/// One type in the plan. Sizes are bytes, checked to lie inside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlanNode {
    /// Integers, bit-fields, bool, enums, pointers.
    Num(Num),
    /// IEEE 754, 4 or 8 bytes.
    Float { size: u32 },
    /// `char[len]`.
    Text { len: u32, elem: NodeId },
    /// No known meaning: `"0x…"`.
    Bytes { len: u32 },
    /// A type of which more is known than C says, such as an address. `plain` is what it is in C: the texts
    /// of that are accepted as well. In a key's name, hex digits that could be either are a struct's bytes,
    /// not a number.
    Known { known: Known, plain: NodeId, is_struct: bool },
    /// `len` elements, one each `stride` bytes.
    Array { len: u32, stride: u32, elem: NodeId },
    /// A struct, a union or a data section: `fields[first..end]`; `gaps` are its padding. With unions
    /// among them, which of the members are shown depends on the bytes.
    Record { first: u32, end: u32, gaps: (u32, u32), size: u32, unions: Option<TreeId> },
}

/// A number of `width` bits that begins `shift` bits into its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Num {
    /// Bytes touched: at most 17.
    pub(super) size: u8,
    /// Bits before it in the first byte (from the least significant on little-endian hosts).
    pub(super) shift: u8,
    /// Bits: 1 to 128.
    pub(super) width: u8,
    pub(super) signed: bool,
    /// Network byte order (`__be16` and so on): whole bytes only.
    pub(super) big: bool,
    pub(super) sort: Sort,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Number,
    Bool,
    /// An index into [`CodecPlan::enums`].
    Enum(u32),
    Pointer,
    /// A pointer that belongs to the kernel (`__kptr`): only read.
    Kptr,
}

/// A member.
#[derive(Debug)]
pub(crate) struct PlanField {
    /// The member's name as it is in C.
    pub(super) name: Box<str>,
    /// `"name":`, escaped for JSON.
    pub(super) label: Box<[u8]>,
    /// From the record's first byte.
    pub(super) offset: u32,
    pub(super) node: NodeId,
    /// Whether reading shows it, as long as the value's bytes do not decide: of a union's members only the
    /// best one.
    pub(super) shown: bool,
    /// The bits of the unions around this member that a write to it makes zero.
    pub(super) clears: (u32, u32),
    /// The bits it covers, from the record's first bit.
    pub(super) bits: (u64, u64),
}

/// Bits of a record that no member covers: `mask` of each of `len` bytes from `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) mask: u8,
}

/// An enum's names.
#[derive(Debug, Default)]
pub(crate) struct Enumerators {
    /// The C name of the enum.
    pub(super) name: Box<str>,
    /// (bits, name), sorted by bits; one name for each value, the first in the source.
    pub(super) by_value: Vec<(u64, Box<str>)>,
    /// (name, bits), sorted by name, no name twice.
    pub(super) by_name: Vec<(Box<str>, u64)>,
}

impl Num {
    /// Bytes of its JSON at most: 128 bits in hex and quotes, or 64 bits in decimal and a sign.
    pub(super) const LONGEST: usize = 36;

    /// A whole-byte integer in host order.
    pub(crate) const fn int(size: u8, signed: bool) -> Self {
        Self { size, shift: 0, width: size * 8, signed, big: false, sort: Sort::Number }
    }

    /// Whether it is stored as whole bytes.
    pub(super) const fn whole(&self) -> bool {
        self.shift == 0 && self.width as usize == self.size as usize * 8
    }

    /// All ones in `width` bits.
    pub(super) const fn mask(&self) -> u128 {
        u128::MAX >> (128 - self.width as u32)
    }

    /// Its bits, not sign-extended. `bytes` begins at the first byte touched.
    pub(super) fn read(&self, bytes: &[u8]) -> u128 {
        let bytes = &bytes[..self.size as usize];
        if self.whole() {
            return match (bytes, self.big) {
                (&[a], _) => a.into(),
                (&[a, b], false) => u16::from_ne_bytes([a, b]).into(),
                (&[a, b, c, d], false) => u32::from_ne_bytes([a, b, c, d]).into(),
                (&[a, b, c, d, e, f, g, h], false) => {
                    u64::from_ne_bytes([a, b, c, d, e, f, g, h]).into()
                }
                (bytes, big) if big || cfg!(target_endian = "big") => {
                    bytes.iter().fold(0, |sum, &byte| sum << 8 | u128::from(byte))
                }
                (bytes, _) => bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u128::from(byte)),
            };
        }
        let mut value = 0;
        for bit in 0..self.width {
            let (byte, mask) = self.bit(bit);
            if bytes[byte] & mask != 0 {
                value |= 1 << bit;
            }
        }
        value
    }

    /// Where bit `bit` of the number lies (0 is the least significant): byte and mask.
    fn bit(&self, bit: u8) -> (usize, u8) {
        if cfg!(target_endian = "big") {
            let at = usize::from(self.shift) + usize::from(self.width - 1 - bit);
            (at / 8, 0x80 >> (at % 8))
        } else {
            let at = usize::from(self.shift) + usize::from(bit);
            (at / 8, 1 << (at % 8))
        }
    }

    /// Stores the low `width` bits of `value`, leaving the bits around them.
    pub(super) fn write(&self, value: u128, bytes: &mut [u8]) {
        let bytes = &mut bytes[..self.size as usize];
        if self.whole() {
            let len = bytes.len();
            if self.big || cfg!(target_endian = "big") {
                bytes.copy_from_slice(&value.to_be_bytes()[16 - len..]);
            } else {
                bytes.copy_from_slice(&value.to_le_bytes()[..len]);
            }
            return;
        }
        for bit in 0..self.width {
            let (byte, mask) = self.bit(bit);
            if value >> bit & 1 == 1 {
                bytes[byte] |= mask;
            } else {
                bytes[byte] &= !mask;
            }
        }
    }

    /// `bits` as the number that they mean.
    pub(super) fn extend(&self, bits: u128) -> i128 {
        let unused = 128 - u32::from(self.width);
        if self.signed { ((bits << unused) as i128) >> unused } else { bits as i128 }
    }
}

impl Enumerators {
    /// The name of a value.
    pub(super) fn name_of(&self, bits: u64) -> Option<&str> {
        let at = self.by_value.binary_search_by_key(&bits, |entry| entry.0).ok()?;
        self.by_value.get(at).map(|entry| &*entry.1)
    }

    /// The value of a name.
    pub(super) fn value_of(&self, name: &str) -> Option<u64> {
        match self.by_name.binary_search_by(|entry| (*entry.0).cmp(name)) {
            Ok(at) => self.by_name.get(at).map(|entry| entry.1),
            Err(_) => self.renamed(name),
        }
    }

    /// The value of the constant that `.schema` renamed because another enum of the map has `name`,
    /// too: `A` is `A___2` in a copy. None if there are several.
    fn renamed(&self, name: &str) -> Option<u64> {
        let start = format!("{name}___");
        let from = self.by_name.partition_point(|entry| *entry.0 < *start);
        let mut found = self.by_name.get(from..)?.iter().map_while(|entry| {
            let count = entry.0.strip_prefix(&start)?;
            Some((count.bytes().all(|byte| byte.is_ascii_digit()) && !count.is_empty(), entry.1))
        });
        let mut found = found.by_ref().filter(|(counted, _)| *counted);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}

impl CodecPlan {
    /// Plain bytes: a number of 1, 2, 4 or 8 bytes in host order, else bytes in hex.
    pub(crate) fn plain(size: usize) -> Self {
        let node = match size {
            1 | 2 | 4 | 8 => PlanNode::Num(Num::int(size as u8, false)),
            _ => PlanNode::Bytes { len: u32::try_from(size).unwrap_or(u32::MAX) },
        };
        Self { nodes: vec![node], size, ..Self::default() }
    }

    /// Makes an integer that has fewer bits than its bytes, such as `_BitInt(7)`, one of all bits: the
    /// kernel compares keys by whole bytes, so a key's name must say every bit.
    pub(super) fn widen(&mut self) {
        let root = self.root as usize;
        if let PlanNode::Num(num) = &mut self.nodes[root] {
            *num = Num { shift: 0, width: num.size * 8, ..*num };
        }
    }

    pub(super) fn node(&self, id: NodeId) -> PlanNode {
        self.nodes[id as usize]
    }

    pub(super) fn fields(&self, first: u32, end: u32) -> &[PlanField] {
        &self.fields[first as usize..end as usize]
    }

    /// The members that show all of a record's bytes, in their order; `None` if none of the ways to show one
    /// of its unions does. `bytes` is asked only for a record with unions.
    pub(super) fn shown<'b>(
        &self,
        fields: Range<u32>,
        unions: Option<TreeId>,
        bytes: impl FnOnce() -> Cow<'b, [u8]>,
    ) -> Option<impl Iterator<Item = &PlanField>> {
        let mut chosen = None;
        if let Some(tree) = unions {
            let chosen = chosen.insert(Vec::new());
            if !self.choose(&self.trees[tree as usize], &bytes(), chosen) {
                return None;
            }
        }
        let shows = move |(field, at): &(&PlanField, u32)| match &chosen {
            Some(chosen) => chosen.binary_search(at).is_ok(),
            None => field.shown,
        };
        let all = self.fields(fields.start, fields.end).iter().zip(0..);
        Some(all.filter(shows).map(|(field, _)| field))
    }

    pub(super) fn gaps(&self, range: (u32, u32)) -> &[Gap] {
        &self.gaps[range.0 as usize..range.1 as usize]
    }

    /// What a node is in C, whatever more it is known to be.
    pub(super) fn plain_node(&self, id: NodeId) -> PlanNode {
        match self.node(id) {
            PlanNode::Known { plain, .. } => self.node(plain),
            node => node,
        }
    }

    /// Whether a node is a string: `char[N]`.
    pub(super) fn is_text(&self, id: NodeId) -> bool {
        matches!(self.node(id), PlanNode::Text { .. })
    }

    /// Bytes that a node takes.
    pub(super) fn size_of(&self, id: NodeId) -> usize {
        match self.node(id) {
            PlanNode::Num(num) => usize::from(num.size),
            PlanNode::Float { size } => size as usize,
            PlanNode::Text { len, .. } | PlanNode::Bytes { len } => len as usize,
            PlanNode::Known { plain, .. } => self.size_of(plain),
            PlanNode::Array { len, stride, .. } => len as usize * stride as usize,
            PlanNode::Record { size, .. } => size as usize,
        }
    }

    /// The index (from `first`) of the member `name`; `guess` is looked at first.
    pub(super) fn find(&self, fields: Range<u32>, name: &str, guess: usize) -> Option<usize> {
        let (first, end) = (fields.start as usize, fields.end as usize);
        let all = &self.fields[first..end];
        if all.get(guess).is_some_and(|field| &*field.name == name) {
            return Some(guess);
        }
        let order = &self.by_name[first..end];
        let at = |name: &str| {
            let at = order.binary_search_by(|&at| (*all[at as usize].name).cmp(name)).ok()?;
            Some(order[at] as usize)
        };
        at(name).or_else(|| renamed(name, at))
    }

    /// Whether any complete text sets every byte of the node.
    pub(super) fn whole(&self, id: NodeId) -> bool {
        match self.node(id) {
            PlanNode::Num(num) => num.whole() && num.sort != Sort::Kptr,
            PlanNode::Float { .. } | PlanNode::Text { .. } | PlanNode::Bytes { .. } => true,
            PlanNode::Known { plain, .. } => self.whole(plain),
            PlanNode::Array { elem, .. } => self.whole(elem),
            PlanNode::Record { .. } => false,
        }
    }
}

/// The member that `.schema` renamed because C cannot say its `name`: `p.cnt`, a static variable of
/// a function, is `p_cnt` in a copy, and `x.2`, the second `x`, is `x___2`. None if it may be
/// another's.
fn renamed(name: &str, at: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    let said = |c: char| c == '_' || c.is_ascii_alphanumeric();
    if name.chars().all(said) {
        return None;
    }
    let fit =
        |name: &str| -> String { name.chars().map(|c| if said(c) { c } else { '_' }).collect() };
    let whole = fit(name);
    let counted = name.rsplit_once('.').and_then(|(stem, count)| {
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        at(&format!("{}___{count}", fit(stem))).filter(|_| digits)
    });
    match (at(&whole), counted) {
        (Some(_), _) if at(&format!("{whole}___2")).is_some() => None,
        (Some(found), None) | (None, Some(found)) => Some(found),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

impl CodecPlan {
    /// What [`Self::shown`] says, by ascending indices from the record's first member.
    fn choose(&self, items: &[Item], bytes: &[u8], chosen: &mut Vec<u32>) -> bool {
        items.iter().all(|item| match item {
            Item::Field(at) => {
                chosen.push(*at);
                true
            }
            Item::Union(alternatives) => alternatives.iter().any(|alternative| {
                let before = chosen.len();
                let shows = is_zero(self.gaps(alternative.hidden), bytes)
                    && self.choose(&alternative.items, bytes, chosen);
                if !shows {
                    chosen.truncate(before);
                }
                shows
            }),
        })
    }
}

/// Whether the bits of `gaps` are zero.
pub(super) fn is_zero(gaps: &[Gap], bytes: &[u8]) -> bool {
    gaps.iter().all(|gap| {
        let at = gap.offset as usize;
        bytes[at..at + gap.len as usize].iter().all(|byte| byte & gap.mask == 0)
    })
}

/// Makes the bits of `gaps` zero.
pub(super) fn clear(gaps: &[Gap], bytes: &mut [u8]) {
    for gap in gaps {
        let at = gap.offset as usize;
        for byte in &mut bytes[at..at + gap.len as usize] {
            *byte &= !gap.mask;
        }
    }
}

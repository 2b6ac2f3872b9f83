//! Which attributes and padding make C put a record's members where BTF says they are.
//!
//! BTF tells where members lie, not why. Three ways are tried, the plainest first: nothing but the
//! members; padding between them; `packed` and padding, which can express any order of members.

use crate::spec::layout::{FieldLayout, Row};

/// Where a member lies, and what its type is by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Bits from the record's start.
    pub(super) offset: u32,
    /// Bits of a bit-field.
    pub(super) bits: Option<u8>,
    /// Bytes of its type.
    pub(super) size: u32,
    /// Its type's alignment in bytes.
    pub(super) align: u32,
    /// Whether it has a name: an attribute after an anonymous record would be the record's.
    pub(super) named: bool,
}

/// Bits of padding, as a bit-field without a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pad {
    /// The type to write.
    pub(super) word: &'static str,
    /// Its width.
    pub(super) bits: u8,
}

/// How to write a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Packing {
    /// `__attribute__((packed))` on the record.
    pub(super) packed: bool,
    /// `__attribute__((aligned(N)))` on the record, 0 without.
    pub(super) asked: u32,
    /// What precedes each member; the last is what follows them all.
    pub(super) pads: Vec<Vec<Pad>>,
    /// `__attribute__((aligned(N)))` on each member, 0 without.
    pub(super) aligned: Vec<u32>,
    /// The alignment that the record then has.
    pub(super) align: u32,
}

/// Bytes of an alignment that is worth an attribute, rather than padding: more than any type's own.
const ALIGNED: [u32; 9] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Lines of padding in one place at most.
const MAX_PADS: usize = 256;

/// How to write a record of these members and `size` bytes; `None` if C cannot say it.
pub(super) fn pack(slots: &[Slot], union: bool, size: u32) -> Option<Packing> {
    [false, true].into_iter().find_map(|packed| attempt(slots, union, size, packed))
}

fn attempt(slots: &[Slot], union: bool, size: u32, packed: bool) -> Option<Packing> {
    let mut row = Row::new(union, packed);
    let mut packing = Packing { packed, ..Packing::default() };
    for slot in slots {
        let mut field = FieldLayout {
            size: slot.size,
            align: slot.align,
            asked: 0,
            packed: false,
            bits: slot.bits,
            named: true,
        };
        let mut pads = Vec::new();
        if row.offset(&field) != u64::from(slot.offset) {
            match gap_align(&row, &field, slot.offset, size) {
                Some(align) if slot.named => field.asked = align,
                _ => pads = pad(&mut row, slot.offset)?,
            }
        }
        if row.add(&field)? != slot.offset {
            return None;
        }
        packing.pads.push(pads);
        packing.aligned.push(field.asked);
    }
    let mut tail = Vec::new();
    if row.end(0)?.0 < size {
        match [2, 4, 8].iter().chain(&ALIGNED).find(|n| row.end(**n).is_some_and(|e| e.0 == size)) {
            Some(align) => packing.asked = *align,
            None if union => tail = vec![stretch(&mut row, size.checked_mul(8)?)?],
            None => tail = pad(&mut row, size.checked_mul(8)?)?,
        }
    }
    packing.pads.push(tail);
    let (end, align) = row.end(packing.asked)?;
    packing.align = align;
    (end == size).then_some(packing)
}

/// The alignment, larger than any type's own, that a wide gap before a member speaks of.
fn gap_align(row: &Row, field: &FieldLayout, want: u32, size: u32) -> Option<u32> {
    if field.bits.is_some() || u64::from(want) < row.next() + 64 {
        return None;
    }
    ALIGNED.into_iter().find(|align| {
        let aligned = FieldLayout { asked: *align, ..*field };
        row.offset(&aligned) == u64::from(want) && size.is_multiple_of(*align)
    })
}

/// Makes a union as large as `bits`.
fn stretch(row: &mut Row, bits: u32) -> Option<Pad> {
    let (word, size) = if bits > 64 { ("__int128", 16) } else { ("long", 8) };
    let pad = Pad { word, bits: u8::try_from(bits).ok().filter(|bits| *bits <= 128)? };
    let bits = Some(pad.bits);
    row.add(&FieldLayout { size, align: size, asked: 0, packed: false, bits, named: false })?;
    Some(pad)
}

/// Pads up to the bit `want`.
fn pad(row: &mut Row, want: u32) -> Option<Vec<Pad>> {
    const UNITS: [(&str, u32); 4] = [("char", 8), ("short", 16), ("int", 32), ("long", 64)];
    let mut pads = Vec::new();
    loop {
        let at = u32::try_from(row.next()).ok()?;
        if at >= want || pads.len() >= MAX_PADS {
            return (at == want).then_some(pads);
        }
        // As many bits as one unit has left; of equally many, in the smallest unit.
        let fit = |unit: u32| (want - at).min(unit - at % unit);
        let (word, unit) = UNITS.into_iter().rev().max_by_key(|(_, unit)| fit(*unit))?;
        let bits = fit(unit) as u8;
        let size = unit / 8;
        let field = FieldLayout {
            size,
            align: size,
            asked: 0,
            packed: false,
            bits: Some(bits),
            named: false,
        };
        if row.add(&field)? != at {
            return None;
        }
        pads.push(Pad { word, bits });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(offset: u32, size: u32) -> Slot {
        Slot { offset, bits: None, size, align: size, named: true }
    }

    #[test]
    fn members_in_their_natural_places_need_nothing() {
        let packing = pack(&[slot(0, 1), slot(32, 4)], false, 8).expect("a way");
        assert_eq!((packing.packed, packing.asked, packing.align), (false, 0, 4));
        assert!(packing.pads.iter().all(Vec::is_empty));
    }

    #[test]
    fn members_that_touch_are_packed() {
        let packing = pack(&[slot(0, 1), slot(8, 4)], false, 5).expect("a way");
        assert_eq!((packing.packed, packing.align), (true, 1));
    }

    #[test]
    fn a_gap_is_padded_and_a_wide_one_aligned() {
        let packing = pack(&[slot(0, 4), slot(64, 4)], false, 12).expect("a way");
        assert_eq!(packing.pads[1], [Pad { word: "int", bits: 32 }]);
        let packing = pack(&[slot(0, 4), slot(512, 4)], false, 128).expect("a way");
        assert_eq!(packing.aligned, [0, 64]);
        assert_eq!(packing.align, 64);
        let anonymous = Slot { named: false, ..slot(512, 4) };
        let packing = pack(&[slot(0, 4), anonymous], false, 128).expect("a way");
        assert_eq!((packing.aligned, packing.pads[1].len()), (vec![0, 0], 8));
    }

    #[test]
    fn a_longer_tail_is_aligned_or_padded() {
        let packing = pack(&[slot(0, 4)], false, 64).expect("a way");
        assert_eq!(packing.asked, 64);
        let packing = pack(&[slot(0, 4)], false, 12).expect("a way");
        assert_eq!(packing.pads[1].len(), 2);
    }

    #[test]
    fn members_that_overlap_have_no_way() {
        assert_eq!(pack(&[slot(0, 4), slot(16, 4)], false, 8), None);
        assert_eq!(pack(&[slot(8, 4)], true, 8), None);
    }
}

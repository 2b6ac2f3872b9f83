//! Where the members of a struct or union lie, by the rules that clang follows for `-target bpf`.
//!
//! These are the Itanium C++ ABI's rules for plain C types, with GCC's for bit-fields: a bit-field
//! goes to the next free bit unless it would then straddle a unit of its declared type; its type
//! aligns the record unless the bit-field has no name; width 0 moves on to the next unit.
//! Checked against clang itself, see `tests/spec_clang.rs`.

use super::types::MAX_SIZE;

/// What a member's place depends on.
#[derive(Debug, Clone, Copy)]
pub struct FieldLayout {
    /// Bytes of its type.
    pub size: u32,
    /// Its type's alignment in bytes.
    pub align: u32,
    /// `aligned(N)` on the member itself, 0 without.
    pub asked: u32,
    /// `packed` on the member itself.
    pub packed: bool,
    /// Bits of a bit-field.
    pub bits: Option<u8>,
    /// Whether it has a name.
    pub named: bool,
}

/// Where the members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// Each member's bit offset.
    pub offsets: Vec<u32>,
    /// Bytes of the whole.
    pub size: u32,
    /// Its alignment in bytes.
    pub align: u32,
}

/// Lays out `fields`; `packed` and `asked` (0 without) are the record's own attributes.
///
/// `None` if the record is larger than [`MAX_SIZE`].
pub fn lay_out(fields: &[FieldLayout], union: bool, packed: bool, asked: u32) -> Option<Laid> {
    let mut row = Row::new(union, packed);
    let offsets = fields.iter().map(|field| row.add(field)).collect::<Option<_>>()?;
    let (size, align) = row.end(asked)?;
    Some(Laid { offsets, size, align })
}

/// A record while members are added to it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    union: bool,
    packed: bool,
    /// Bits: the first one after the last member.
    next: u64,
    /// Bits so far, whole bytes.
    size: u64,
    /// Bytes.
    align: u64,
}

impl Row {
    /// A record without members.
    pub fn new(union: bool, packed: bool) -> Self {
        Self { union, packed, next: 0, size: 0, align: 1 }
    }

    /// The first bit after the last member, where the next one goes at the earliest.
    pub fn next(&self) -> u64 {
        if self.union { 0 } else { self.next }
    }

    fn place(&self, field: &FieldLayout) -> Place {
        match field.bits {
            Some(bits) => bit_field(field, u64::from(bits), self.packed, self.next()),
            None => ordinary(field, self.packed, self.next()),
        }
    }

    /// The bit where a member would go.
    pub fn offset(&self, field: &FieldLayout) -> u64 {
        self.place(field).offset
    }

    /// Adds a member and gives its bit offset; `None` if the record gets larger than [`MAX_SIZE`].
    pub fn add(&mut self, field: &FieldLayout) -> Option<u32> {
        let place = self.place(field);
        self.next = place.offset + place.bits;
        // An unnamed bit-field, of width 0 too, takes room but does not align the record.
        self.align = self.align.max(place.align / 8);
        self.size = self.size.max(self.next.next_multiple_of(8));
        (self.size <= MAX_SIZE * 8).then_some(place.offset as u32)
    }

    /// The record's bytes and alignment, when `asked` (0 without) is its own `aligned(N)`.
    pub fn end(&self, asked: u32) -> Option<(u32, u32)> {
        let align = self.align.max(asked.into());
        let size = (self.size / 8).next_multiple_of(align);
        (size <= MAX_SIZE).then_some((size as u32, align as u32))
    }
}

/// Where one member goes. All in bits.
struct Place {
    offset: u64,
    bits: u64,
    align: u64,
}

fn ordinary(field: &FieldLayout, packed: bool, at: u64) -> Place {
    let own = if packed || field.packed { 1 } else { field.align };
    let align = u64::from(own.max(field.asked)) * 8;
    Place { offset: at.next_multiple_of(align), bits: u64::from(field.size) * 8, align }
}

fn bit_field(field: &FieldLayout, bits: u64, packed: bool, at: u64) -> Place {
    let asked = u64::from(field.asked) * 8;
    // Packing never keeps width 0 from moving on to its type's next unit.
    let own = if (packed || field.packed) && bits != 0 { 1 } else { u64::from(field.align) * 8 };
    let align = own.max(asked);
    let unit = u64::from(field.size) * 8;
    let offset = if bits == 0 || at % align + bits > unit {
        at.next_multiple_of(align)
    } else if asked != 0 {
        at.next_multiple_of(asked)
    } else {
        at
    };
    Place { offset, bits, align: if field.named { align } else { 8 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(size: u32, bits: Option<u8>) -> FieldLayout {
        FieldLayout { size, align: size, asked: 0, packed: false, bits, named: true }
    }

    #[test]
    fn members_are_aligned_and_the_tail_is_padded() {
        let laid = lay_out(&[field(1, None), field(4, None), field(1, None)], false, false, 0);
        assert_eq!(laid, Some(Laid { offsets: vec![0, 32, 64], size: 12, align: 4 }));
    }

    #[test]
    fn packed_members_touch() {
        let laid = lay_out(&[field(1, None), field(4, None)], false, true, 0);
        assert_eq!(laid, Some(Laid { offsets: vec![0, 8], size: 5, align: 1 }));
    }

    #[test]
    fn a_bit_field_does_not_straddle_its_unit() {
        let laid = lay_out(&[field(4, Some(30)), field(4, Some(3))], false, false, 0);
        assert_eq!(laid, Some(Laid { offsets: vec![0, 32], size: 8, align: 4 }));
        let laid = lay_out(&[field(4, Some(30)), field(4, Some(3))], false, true, 0);
        assert_eq!(laid, Some(Laid { offsets: vec![0, 30], size: 5, align: 1 }));
    }

    #[test]
    fn a_bit_field_shares_a_unit_with_an_ordinary_member() {
        let laid = lay_out(&[field(1, None), field(4, Some(5))], false, false, 0);
        assert_eq!(laid, Some(Laid { offsets: vec![0, 8], size: 4, align: 4 }));
    }

    #[test]
    fn too_large_is_none() {
        assert_eq!(lay_out(&[field(1 << 28, None), field(1, None)], false, false, 0), None);
        assert_eq!(lay_out(&[field(1, None)], false, false, 1 << 29), None);
    }
}

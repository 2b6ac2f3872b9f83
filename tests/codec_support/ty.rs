//! Types as data, their BTF, and an oracle: which of their bits text carries.

use super::blob::Blob;

/// A type as a C programmer would write it.
#[derive(Debug, Clone)]
pub enum Ty {
    Int {
        bytes: u32,
        signed: bool,
    },
    Bool,
    /// An integer of fewer bits than its bytes have.
    Bits {
        bytes: u32,
        bits: u32,
        signed: bool,
    },
    Big(u32),
    Enum {
        bytes: u32,
        signed: bool,
        values: Vec<u64>,
    },
    Float(u32),
    Pointer,
    Text(u32),
    Ipv4,
    Ipv6,
    /// `__u8[N]`: a MAC address of 6, perhaps an IPv6 address of 16.
    Octets(u32),
    /// `__be32[4]`
    Words,
    Timer,
    Alias(u32, Box<Ty>),
    Array(Box<Ty>, u32),
    Struct {
        members: Vec<Mem>,
        packed: bool,
    },
    Union {
        members: Vec<Mem>,
    },
}

/// What members' names begin with, a number behind: words that say what they are, padding, digits of
/// hex, others.
const WORDS: [&str; 8] = ["m", "saddr_", "ip4_", "src_port_", "pad", "fade", "m", "_"];

/// Names of typedefs.
const ALIASES: [&str; 5] = ["alias", "ipv4_t", "hex32_t", "ksym_t", "peer_addr"];

#[derive(Debug, Clone)]
pub struct Mem {
    pub ty: Ty,
    /// A struct or union without a name.
    pub anonymous: bool,
    /// A bit-field's width, out of 255 of its type's.
    pub bits: Option<u8>,
}

/// What becomes of a bit on its way through text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bit {
    /// Written as zero.
    Padding,
    /// Carried.
    Data,
    /// Not in the text, or not writable: keeps what it was.
    Kept,
    /// In a union, beside an integer of fewer bits than its bytes: anything.
    Any,
}

/// A member's place: first bit and width, from the record's first bit.
struct Place {
    start: u32,
    width: u32,
    /// Bits from `start` to where the next member may begin.
    room: u32,
    bit_field: bool,
}

impl Ty {
    fn is_record(&self) -> bool {
        matches!(self, Self::Struct { .. } | Self::Union { .. })
    }

    pub fn has_timer(&self) -> bool {
        match self {
            Self::Timer => true,
            Self::Alias(_, ty) | Self::Array(ty, _) => ty.has_timer(),
            Self::Struct { members, .. } | Self::Union { members } => {
                members.iter().any(|member| member.ty.has_timer())
            }
            _ => false,
        }
    }

    /// Whether a union holds a member of the kernel's, which no compiler and kernel allow.
    pub fn timer_in_union(&self) -> bool {
        match self {
            Self::Union { .. } => self.has_timer(),
            Self::Alias(_, ty) | Self::Array(ty, _) => ty.timer_in_union(),
            Self::Struct { members, .. } => members.iter().any(|member| member.ty.timer_in_union()),
            _ => false,
        }
    }

    /// Size and alignment in bytes.
    fn layout(&self) -> (u32, u32) {
        match self {
            Self::Int { bytes, .. } | Self::Bits { bytes, .. } => (*bytes, *bytes),
            Self::Big(bytes) | Self::Float(bytes) => (*bytes, *bytes),
            Self::Enum { bytes, .. } => (*bytes, *bytes),
            Self::Bool => (1, 1),
            Self::Pointer => (8, 8),
            Self::Text(len) => (*len, 1),
            Self::Ipv4 => (4, 4),
            Self::Ipv6 | Self::Words => (16, 4),
            Self::Octets(len) => (*len, 1),
            Self::Timer => (16, 8),
            Self::Alias(_, ty) => ty.layout(),
            Self::Array(ty, len) => (ty.layout().0 * len, ty.layout().1),
            Self::Struct { members, packed } => {
                let places = places(members, *packed);
                let end = places.iter().map(|place| place.start + place.room).max();
                let bytes = end.unwrap_or(0).div_ceil(8);
                let align = align(members, *packed);
                (bytes.next_multiple_of(align), align)
            }
            Self::Union { members } => {
                let align = align(members, false);
                let bytes = members.iter().map(|member| member.ty.layout().0).max().unwrap_or(0);
                (bytes.next_multiple_of(align), align)
            }
        }
    }

    pub fn size(&self) -> usize {
        self.layout().0 as usize
    }

    /// The bits of an integer that has fewer than its bytes.
    fn narrow(&self) -> Option<u32> {
        match self {
            Self::Bits { bits, .. } => Some(*bits),
            Self::Alias(_, ty) => ty.narrow(),
            _ => None,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int { .. } | Self::Bits { .. } | Self::Bool | Self::Enum { .. })
    }

    /// Adds the type to a blob.
    pub fn emit(&self, blob: &mut Blob, names: &mut u32) -> u32 {
        let mut fresh = |prefix: &str| {
            *names += 1;
            format!("{prefix}{names}")
        };
        match self {
            Self::Int { bytes, signed } => blob.int("int", *bytes, u32::from(*signed)),
            Self::Bool => blob.int("_Bool", 1, 4),
            Self::Bits { bytes, bits, signed } => {
                blob.raw("bits", 1, 0, false, *bytes, &[u32::from(*signed) << 24 | bits])
            }
            Self::Big(bytes) => {
                let int = blob.int("unsigned", *bytes, 0);
                blob.alias(8, &format!("__be{}", bytes * 8), int)
            }
            Self::Enum { bytes, signed, values } => {
                let named: Vec<_> = values.iter().map(|&value| (fresh("E"), value)).collect();
                let named: Vec<_> = named.iter().map(|(name, value)| (&**name, *value)).collect();
                blob.enumeration("e", *bytes, *signed, &named)
            }
            Self::Float(bytes) => blob.float("float", *bytes),
            Self::Pointer => blob.ptr(0),
            Self::Text(len) => {
                let char = blob.int("char", 1, 1);
                blob.array(char, *len)
            }
            Self::Ipv4 => blob.record(4, "in_addr", 4, &[]),
            Self::Ipv6 => blob.record(4, "in6_addr", 16, &[]),
            Self::Octets(len) => {
                let byte = blob.int("unsigned char", 1, 0);
                blob.array(byte, *len)
            }
            Self::Words => {
                let int = blob.int("unsigned", 4, 0);
                let word = blob.alias(8, "__be32", int);
                blob.array(word, 4)
            }
            Self::Timer => blob.record(4, "bpf_timer", 16, &[]),
            Self::Alias(kind, ty) => {
                let of = ty.emit(blob, names);
                *names += 1;
                let name = ALIASES[*names as usize % ALIASES.len()];
                blob.alias(*kind, if *kind == 8 || *kind == 18 { name } else { "" }, of)
            }
            Self::Array(ty, len) => {
                let of = ty.emit(blob, names);
                blob.array(of, *len)
            }
            Self::Struct { members, packed } => {
                let places = places(members, *packed);
                self.emit_record(4, members, &places, blob, names)
            }
            Self::Union { members } => {
                let places: Vec<_> = members.iter().map(|member| place(member, 0)).collect();
                self.emit_record(5, members, &places, blob, names)
            }
        }
    }

    fn emit_record(
        &self,
        kind: u32,
        members: &[Mem],
        places: &[Place],
        blob: &mut Blob,
        names: &mut u32,
    ) -> u32 {
        let mut out = Vec::new();
        for (member, place) in members.iter().zip(places) {
            let of = member.ty.emit(blob, names);
            *names += 1;
            let folded = member.anonymous && member.ty.is_record();
            let word = WORDS[*names as usize % WORDS.len()];
            let name = if folded { String::new() } else { format!("{word}{names}") };
            out.push((name, of, place.start, if place.bit_field { place.width } else { 0 }));
        }
        let out: Vec<_> = out.iter().map(|m| (&*m.0, m.1, m.2, m.3)).collect();
        blob.record(kind, "r", self.layout().0, &out)
    }

    /// Marks what becomes of each bit, from bit `base` on.
    pub fn mark(&self, base: usize, bits: &mut [Bit]) {
        let size = self.size() * 8;
        match self {
            Self::Timer => bits[base..base + size].fill(Bit::Kept),
            Self::Bits { bits: width, .. } => {
                let (shown, rest) = bits[base..base + size].split_at_mut(*width as usize);
                shown.fill(Bit::Data);
                rest.fill(Bit::Kept);
            }
            Self::Alias(_, ty) => ty.mark(base, bits),
            Self::Array(ty, len) => {
                for at in 0..*len as usize {
                    ty.mark(base + at * ty.size() * 8, bits);
                }
            }
            Self::Struct { members, packed } => {
                for (member, place) in members.iter().zip(places(members, *packed)) {
                    member.mark(base, &place, bits);
                }
            }
            Self::Union { members } => {
                // What any member has is data, whichever member is shown.
                let mut all = vec![Bit::Padding; size];
                for member in members {
                    let mut own = vec![Bit::Padding; size];
                    member.mark(0, &place(member, 0), &mut own);
                    for (bit, own) in all.iter_mut().zip(own) {
                        match own {
                            Bit::Data => *bit = own,
                            Bit::Kept | Bit::Any if *bit != Bit::Data => *bit = Bit::Any,
                            Bit::Kept | Bit::Any | Bit::Padding => {}
                        }
                    }
                }
                bits[base..base + size].copy_from_slice(&all);
            }
            _ => bits[base..base + size].fill(Bit::Data),
        }
    }
}

impl Mem {
    fn mark(&self, base: usize, place: &Place, bits: &mut [Bit]) {
        let start = base + place.start as usize;
        // Beside an integer of fewer bits is padding.
        if place.bit_field || self.ty.narrow().is_some() {
            bits[start..start + place.width as usize].fill(Bit::Data);
        } else {
            self.ty.mark(start, bits);
        }
    }
}

fn align(members: &[Mem], packed: bool) -> u32 {
    let all = members.iter().map(|member| member.ty.layout().1);
    if packed { 1 } else { all.max().unwrap_or(1).max(1) }
}

/// Bit-fields at the next bit, whatever their type's size; other members aligned unless packed.
fn places(members: &[Mem], packed: bool) -> Vec<Place> {
    let mut at = 0;
    let mut out = Vec::new();
    for member in members {
        let mut place = place(member, at);
        if !place.bit_field {
            let align = if packed { 1 } else { member.ty.layout().1 };
            place.start = at.next_multiple_of(8 * align.max(1));
        }
        at = place.start + place.room;
        out.push(place);
    }
    out
}

fn place(member: &Mem, start: u32) -> Place {
    let room = member.ty.layout().0 * 8;
    let width = member.ty.narrow().unwrap_or(room);
    match member.bits {
        Some(bits) if member.ty.is_number() => {
            let width = 1 + u32::from(bits) % width;
            Place { start, width, room: width, bit_field: true }
        }
        _ => Place { start, width, room, bit_field: false },
    }
}

/// What becomes of each bit of a value of that type.
pub fn marks(ty: &Ty) -> Vec<Bit> {
    let mut bits = vec![Bit::Padding; ty.size() * 8];
    ty.mark(0, &mut bits);
    bits
}

/// A bit in its byte: they are counted from the end at which numbers begin.
fn in_byte(at: usize) -> u8 {
    if cfg!(target_endian = "big") { 0x80 >> (at % 8) } else { 1 << (at % 8) }
}

/// `data` where bits are carried by text, `kept` where they are kept, else zero.
pub fn mix(marks: &[Bit], data: &[u8], kept: &[u8], padding: &[u8]) -> Vec<u8> {
    let mut out = vec![0; data.len()];
    for (at, mark) in marks.iter().enumerate() {
        let from = match mark {
            Bit::Data => data,
            Bit::Kept => kept,
            Bit::Padding | Bit::Any => padding,
        };
        out[at / 8] |= from[at / 8] & in_byte(at);
    }
    out
}

/// Whether `back` is what text carries of `value` over `kept`: padding zero, or as it was where only hex
/// shows all of the data.
pub fn survives(marks: &[Bit], back: &[u8], value: &[u8], kept: &[u8]) -> bool {
    back.len() == value.len()
        && marks.iter().enumerate().all(|(at, mark)| {
            let bit = |bytes: &[u8]| bytes[at / 8] & in_byte(at);
            match mark {
                Bit::Data => bit(back) == bit(value),
                Bit::Kept => bit(back) == bit(kept) || bit(back) == bit(value),
                Bit::Padding => bit(back) == 0 || bit(back) == bit(value),
                Bit::Any => true,
            }
        })
}

//! BPF instructions, and where the members of the kernel's structs are.

use crate::btf::{Btf, Kind};

// Opcodes (`include/uapi/linux/bpf.h`, `bpf_common.h`).
pub(super) const LOAD32: u8 = 0x61;
pub(super) const LOAD64: u8 = 0x79;
pub(super) const STORE32: u8 = 0x63;
pub(super) const STORE64: u8 = 0x7b;
pub(super) const SET32: u8 = 0x62;
pub(super) const SET64: u8 = 0x7a;
pub(super) const MOVE: u8 = 0xbf;
pub(super) const MOVE_NUMBER: u8 = 0xb7;
pub(super) const ADD_NUMBER: u8 = 0x07;
pub(super) const AND_NUMBER: u8 = 0x57;
pub(super) const SHIFT_LEFT: u8 = 0x6f;
pub(super) const GO_ON: u8 = 0x05;
pub(super) const IF_EQUAL: u8 = 0x15;
pub(super) const IF_GREATER: u8 = 0x25;
pub(super) const IF_NOT_EQUAL: u8 = 0x55;
pub(super) const IF_EQUAL_32: u8 = 0x16;
pub(super) const IF_NOT_EQUAL_32: u8 = 0x56;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;
pub(super) const SEQ_WRITE: i32 = 127;
pub(super) const PROBE_READ_KERNEL: i32 = 113;
/// Says of [`CALL`], in place of the source register, that a function of the kernel's own is called,
/// by its type's id (`BPF_PSEUDO_KFUNC_CALL`).
pub(super) const OF_KERNEL: u8 = 2;

/// The type id of a function.
pub(super) fn function(btf: &Btf, name: &str) -> Option<u32> {
    (1..btf.end_id()).find(|id| {
        let found = btf.get(*id);
        found.is_some_and(|f| matches!(f.kind, Kind::Func { .. }) && btf.name(f.name_at) == name)
    })
}

/// Bytes from the start of a kernel struct to its member.
pub(super) fn offset(btf: &Btf, of: &str, member: &str) -> Option<i16> {
    let (id, _) = btf.find_struct(of)?;
    i16::try_from(member_bit(btf, id, member, 0)? / 8).ok()
}

/// The bit where a member lies, which an anonymous one may hold.
fn member_bit(btf: &Btf, record: u32, name: &str, depth: u32) -> Option<u32> {
    let (_, found) = btf.resolve(record).filter(|_| depth < 4)?;
    found.kind.members().find_map(|member| match btf.name(member.name_at) {
        own if own == name && member.bits == 0 => Some(member.bit_offset),
        "" => member.bit_offset.checked_add(member_bit(btf, member.of, name, depth + 1)?),
        _ => None,
    })
}

/// One instruction (`struct bpf_insn`).
pub(super) fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    let mut bytes = [code, registers, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&off.to_ne_bytes());
    bytes[4..].copy_from_slice(&imm.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

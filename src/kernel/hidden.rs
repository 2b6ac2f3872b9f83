//! What the kernel knows of a map but tells nobody: what the maps in a map of maps are like, and
//! the NUMA node. A small BPF program reads both from the kernel's own `struct bpf_map`.

use super::program::*;
use crate::btf::Btf;
use crate::sys::iter::IterProgram;
use crate::sys::map::MapInfo;
use crate::sys::{self, Call};

/// What [`hidden`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The NUMA node, for a map that asked for one.
    pub numa_node: u32,
    /// For a map of maps: the kind, sizes and flags that each of its maps must have.
    pub inner: Option<MapInfo>,
}

/// Words of 4 bytes that the program writes: the node, whether there is an inner map, its fields
/// as in [`FIELDS`], padding, and map_extra in two.
const WORDS: usize = 10;

/// 32-bit members of the inner `struct bpf_map` that are copied.
const FIELDS: [&str; 5] = ["map_type", "key_size", "value_size", "max_entries", "map_flags"];

/// Asks the kernel about the map `id`; `kernel` is the kernel's own BTF.
///
/// # Errors
/// Those of BPF_PROG_LOAD, most of all EPERM without CAP_PERFMON; ENOENT if the map is gone;
/// EOPNOTSUPP if this kernel has no such iterator or other members.
pub fn hidden(id: u32, kernel: &Btf) -> sys::Result<Hidden> {
    const CALL: Call = Call::ProgLoad;
    let unknown = || sys::Error::new(CALL, libc::EOPNOTSUPP);
    let attach = function(kernel, "bpf_iter_bpf_map").ok_or_else(unknown)?;
    let program = program(id, kernel).ok_or_else(unknown)?;
    let output = IterProgram::load(c"bpffuse_inner", &program, attach)?.run(1 << 20)?;
    let gone = || sys::Error::new(Call::IterCreate, libc::ENOENT);
    let words: &[u8; WORDS * 4] = output.first_chunk().ok_or_else(gone)?;
    let word = |i: usize| {
        words[i * 4..].first_chunk().map_or(0, |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes))
    };
    let extra = words.last_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes));
    let inner = (word(1) == 1).then(|| MapInfo {
        map_type: word(2),
        id: 0,
        key_size: word(3),
        value_size: word(4),
        max_entries: word(5),
        flags: word(6),
        name: String::new(),
        btf_id: 0,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
        btf_vmlinux_id: 0,
        btf_vmlinux_value_type_id: 0,
        map_extra: extra,
        ifindex: 0,
    });
    Ok(Hidden { numa_node: word(0), inner })
}

/// The program: called for each map, it writes [`WORDS`] of the one whose id is `id`.
fn program(id: u32, btf: &Btf) -> Option<Vec<u64>> {
    const LEN: i16 = (WORDS * 4) as i16;
    let map = |member| offset(btf, "bpf_map", member);
    let (ctx_meta, ctx_map) =
        (offset(btf, "bpf_iter__bpf_map", "meta")?, offset(btf, "bpf_iter__bpf_map", "map")?);
    let seq = offset(btf, "bpf_iter_meta", "seq")?;

    let mut write = vec![
        insn(LOAD64, 1, 6, ctx_meta, 0),
        insn(LOAD64, 1, 1, seq, 0),
        insn(MOVE, 2, 10, 0, 0),
        insn(ADD_NUMBER, 2, 0, 0, (-LEN).into()),
        insn(MOVE_NUMBER, 3, 0, 0, LEN.into()),
        insn(CALL, 0, 0, 0, SEQ_WRITE),
    ];
    // The inner map's model, r7.
    let mut copy = vec![insn(SET32, 10, 0, 4 - LEN, 1)];
    for (i, field) in (2i16..).zip(FIELDS) {
        copy.push(insn(LOAD32, 1, 7, map(field)?, 0));
        copy.push(insn(STORE32, 10, 1, i * 4 - LEN, 0));
    }
    // Since Linux 5.16; before, no map has any.
    if let Some(extra) = map("map_extra") {
        copy.push(insn(LOAD64, 1, 7, extra, 0));
        copy.push(insn(STORE64, 10, 1, -8, 0));
    }
    // The map itself, r8.
    let mut read: Vec<u64> = (0..LEN / 8).map(|i| insn(SET64, 10, 0, i * 8 - LEN, 0)).collect();
    read.push(insn(LOAD32, 1, 8, map("numa_node")?, 0));
    read.push(insn(STORE32, 10, 1, -LEN, 0));
    read.push(insn(LOAD64, 7, 8, map("inner_map_meta")?, 0));
    read.push(insn(IF_EQUAL, 7, 0, copy.len() as i16, 0));
    read.append(&mut copy);
    read.append(&mut write);

    let rest = read.len() as i16;
    let mut program = vec![
        insn(MOVE, 6, 1, 0, 0),
        insn(LOAD64, 8, 6, ctx_map, 0),
        // At the end of the list there is no map.
        insn(IF_EQUAL, 8, 0, rest + 2, 0),
        insn(LOAD32, 1, 8, map("id")?, 0),
        insn(IF_NOT_EQUAL_32, 1, 0, rest, id.cast_signed()),
    ];
    program.append(&mut read);
    program.extend([insn(MOVE_NUMBER, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    Some(program)
}

//! The type of an insn_array's values, which the kernel takes no BTF for: `struct bpf_insn_array_value` of
//! `include/uapi/linux/bpf.h`. Where an instruction is in the program as it was loaded, which user space sets;
//! after the verifier; and in the machine code.

use crate::btf::Btf;
use std::sync::Arc;

/// The struct's id.
pub(super) const ID: u32 = 2;

/// A BTF with the struct.
pub(super) fn btf() -> Option<Btf> {
    const STRINGS: &[u8] = b"\0__u32\0bpf_insn_array_value\0orig_off\0xlated_off\0jitted_off\0";
    /// BTF_KIND_INT and BTF_KIND_STRUCT in the word behind a type's name.
    const INT: u32 = 1 << 24;
    const STRUCT: u32 = 4 << 24;
    let types = [
        [1, INT, 4, 32].as_slice(),
        &[7, STRUCT | 3, 16],
        // Name, type, bits before it.
        &[28, 1, 0],
        &[37, 1, 32],
        &[48, 1, 64],
    ]
    .concat();
    let types_len = 4 * types.len() as u32;
    // Magic, version and flags; where the sections begin and how long they are.
    let mut blob = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
    for word in [24, 0, types_len, types_len, STRINGS.len() as u32].into_iter().chain(types) {
        blob.extend_from_slice(&word.to_ne_bytes());
    }
    blob.extend_from_slice(STRINGS);
    Btf::parse(&blob, None::<Arc<Btf>>).ok()
}

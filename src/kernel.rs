//! What the kernel knows of maps, but tells by no call: small BPF programs that run over all maps read
//! it from the kernel's own structs, which the kernel's BTF describes.

pub mod counts;
pub mod hidden;
pub mod holders;
mod kept;
mod program;

use crate::btf::Btf;
use std::fs;

/// The kernel's own BTF, if this kernel tells it.
pub fn btf() -> Option<Btf> {
    Btf::parse(&fs::read("/sys/kernel/btf/vmlinux").ok()?, None).ok()
}

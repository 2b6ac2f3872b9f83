//! Types of the running kernel, which the value of a struct_ops map must be.

use super::create::{CreateError, invalid};
use crate::btf::{Btf, Kind};
use std::fs;

/// The id and the bytes of the kernel's struct `name`.
///
/// # Errors
/// If the kernel has no such struct, or tells nothing of its types.
pub(super) fn find(name: &str) -> Result<(u32, u32), CreateError> {
    let btf = btf()?;
    match btf.find_struct(name).map(|(id, found)| (id, found.kind)) {
        Some((id, Kind::Struct { size, .. })) => Ok((id, size)),
        _ => Err(invalid(format!("this kernel has no `struct {name}`"))),
    }
}

/// The kernel's own BTF.
pub(super) fn btf() -> Result<Btf, CreateError> {
    const PATH: &str = "/sys/kernel/btf/vmlinux";
    let blob = fs::read(PATH).map_err(|error| CreateError {
        // Some kernels are built without.
        errno: libc::EOPNOTSUPP,
        reason: format!("this kernel tells nothing of its types: {PATH}: {error}"),
    })?;
    Btf::parse(&blob, None).map_err(|error| invalid(format!("{PATH}: {error}")))
}

//! BPF_MAP_CREATE.

use crate::sys::{Call, Error, Result, own};
use libbpf_rs::libbpf_sys as bpf;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// What BPF_MAP_CREATE takes.
#[derive(Debug, Default)]
pub struct NewMap<'a> {
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// At most 15 bytes of `[A-Za-z0-9_.]`.
    pub name: String,
    /// Bytes in a key.
    pub key_size: u32,
    /// Bytes in a value.
    pub value_size: u32,
    /// Entries at most.
    pub max_entries: u32,
    /// BPF_F_* flags.
    pub flags: u32,
    /// Kind-specific.
    pub map_extra: u64,
    /// With BPF_F_NUMA_NODE.
    pub numa_node: u32,
    /// The device to offload to, or 0.
    pub ifindex: u32,
    /// SHA-256 of the one program that may use the map.
    pub excl_prog_hash: Option<[u8; 32]>,
    /// The template of a map of maps.
    pub inner_map: Option<BorrowedFd<'a>>,
    /// A loaded BTF object, and the types of key and value in it.
    pub btf: Option<(BorrowedFd<'a>, u32, u32)>,
    /// For struct_ops: the value's type in the kernel's BTF.
    pub btf_vmlinux_value_type_id: u32,
}

#[cfg(test)]
impl NewMap<'_> {
    /// An array of one element: what any kernel makes, for tests that ask about maps.
    pub(crate) fn small_array() -> Self {
        Self {
            map_type: super::kind::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            ..Self::default()
        }
    }
}

/// BPF_MAP_CREATE.
///
/// # Errors
/// EINVAL for sizes or flags that the kind does not take; EPERM without CAP_BPF.
pub fn create(new: &NewMap<'_>) -> Result<OwnedFd> {
    const CALL: Call = Call::MapCreate;
    let name = CString::new(new.name.as_str()).map_err(|_| Error::new(CALL, libc::EINVAL))?;
    let (btf_fd, key_type, value_type) = match new.btf {
        Some((fd, key, value)) => (fd.as_raw_fd().cast_unsigned(), key, value),
        None => (0, 0, 0),
    };
    let opts = bpf::bpf_map_create_opts {
        sz: size_of::<bpf::bpf_map_create_opts>() as bpf::size_t,
        btf_fd,
        btf_key_type_id: key_type,
        btf_value_type_id: value_type,
        btf_vmlinux_value_type_id: new.btf_vmlinux_value_type_id,
        inner_map_fd: new.inner_map.map_or(0, |fd| fd.as_raw_fd().cast_unsigned()),
        map_flags: new.flags,
        map_extra: new.map_extra,
        numa_node: new.numa_node,
        map_ifindex: new.ifindex,
        excl_prog_hash: new
            .excl_prog_hash
            .as_ref()
            .map_or(ptr::null(), |hash| hash.as_ptr().cast()),
        excl_prog_hash_size: new.excl_prog_hash.map_or(0, |hash| hash.len() as u32),
        ..Default::default()
    };
    // SAFETY: the name is NUL-terminated, `opts` says its own size, and both outlive the call.
    let rc = unsafe {
        bpf::bpf_map_create(
            new.map_type,
            name.as_ptr(),
            new.key_size,
            new.value_size,
            new.max_entries,
            &raw const opts,
        )
    };
    own(CALL, rc)
}

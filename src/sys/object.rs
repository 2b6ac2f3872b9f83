//! BPF objects as such: opening by pin or id, telling maps from programs, pinning, BTF blobs.

use super::{Call, Error, Result, c_path, check, own};
use libbpf_rs::libbpf_sys as bpf;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What a pin holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A map.
    Map,
    /// A loaded program.
    Prog,
    /// A link: an attachment of a program.
    Link,
    /// Something that this build does not know.
    Other,
}

/// Keeps libbpf from writing to standard error; what matters comes back as errno.
pub fn silence_libbpf() {
    // SAFETY: `None` is a documented argument and unsets the callback.
    unsafe {
        bpf::libbpf_set_print(None);
    }
}

/// BPF_OBJ_GET: opens what is pinned at `path`, which may be `/proc/self/fd/N`.
///
/// # Errors
/// EACCES if `path` is not a BPF pin; ENOENT if there is none.
pub fn obj_get(path: &Path) -> Result<OwnedFd> {
    const CALL: Call = Call::ObjGet;
    let path = c_path(CALL, path)?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    own(CALL, unsafe { bpf::bpf_obj_get(path.as_ptr()) })
}

/// BPF_OBJ_PIN: pins an object at `path` in a bpffs.
///
/// # Errors
/// EEXIST if the name is taken; EPERM outside bpffs, or if the name has a dot.
pub fn obj_pin(fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    const CALL: Call = Call::ObjPin;
    let path = c_path(CALL, path)?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(CALL, unsafe { bpf::bpf_obj_pin(fd.as_raw_fd(), path.as_ptr()) }).map(drop)
}

/// Whether `fd` is a map, a program or a link.
///
/// BPF_OBJ_GET_INFO_BY_FD answers for all three alike, so the descriptor's name in /proc decides.
pub fn object_kind(fd: BorrowedFd<'_>) -> ObjectKind {
    let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    match link.as_deref().map(|path| path.as_os_str()) {
        Ok(name) if name == OsStr::new("anon_inode:bpf-map") => ObjectKind::Map,
        Ok(name) if name == OsStr::new("anon_inode:bpf-prog") => ObjectKind::Prog,
        // 6.0 and later say bpf_link, some earlier ones bpf-link.
        Ok(name)
            if name == OsStr::new("anon_inode:bpf_link")
                || name == OsStr::new("anon_inode:bpf-link") =>
        {
            ObjectKind::Link
        }
        _ => ObjectKind::Other,
    }
}

/// What an open object is, with its id.
pub fn object_id(fd: BorrowedFd<'_>) -> Option<(ObjectKind, u32)> {
    let kind = object_kind(fd);
    let field = match kind {
        ObjectKind::Map => "map_id",
        ObjectKind::Prog => "prog_id",
        ObjectKind::Link => "link_id",
        ObjectKind::Other => return None,
    };
    Some((kind, super::info::fdinfo(fd, field)?.parse().ok()?))
}

/// BPF_MAP_GET_FD_BY_ID.
///
/// # Errors
/// ENOENT if the map is gone; EPERM without CAP_SYS_ADMIN.
pub fn map_by_id(id: u32) -> Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    own(Call::MapGetFdById, unsafe { bpf::bpf_map_get_fd_by_id(id) })
}

/// BPF_PROG_GET_FD_BY_ID.
///
/// # Errors
/// ENOENT if the program is gone; EPERM without CAP_SYS_ADMIN.
pub fn prog_by_id(id: u32) -> Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    own(Call::ProgGetFdById, unsafe { bpf::bpf_prog_get_fd_by_id(id) })
}

/// BPF_LINK_GET_FD_BY_ID.
///
/// # Errors
/// ENOENT if the link is gone; EPERM without CAP_SYS_ADMIN.
pub fn link_by_id(id: u32) -> Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    own(Call::LinkGetFdById, unsafe { bpf::bpf_link_get_fd_by_id(id) })
}

/// BPF_MAP_GET_NEXT_ID: the smallest map id above `id`; `None` at the end.
pub fn next_map_id(id: u32) -> Result<Option<u32>> {
    const CALL: Call = Call::MapGetNextId;
    let mut next = 0;
    // SAFETY: `next` outlives the call.
    match check(CALL, unsafe { bpf::bpf_map_get_next_id(id, &raw mut next) }) {
        Ok(_) => Ok(Some(next)),
        Err(Error { errno: libc::ENOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The raw BTF of the BTF object `id`, as the kernel holds it, and whether it is kernel BTF
/// (which, for a module, builds on vmlinux's).
///
/// # Errors
/// ENOENT if the object is gone; EPERM without CAP_SYS_ADMIN.
pub fn btf_blob(id: u32) -> Result<(Vec<u8>, bool)> {
    const CALL: Call = Call::ObjGetInfoByFd;
    // SAFETY: no pointer is passed.
    let fd = own(Call::BtfGetFdById, unsafe { bpf::bpf_btf_get_fd_by_id(id) })?;
    let mut blob = Vec::new();
    loop {
        let room = blob.len();
        let mut info = bpf::bpf_btf_info {
            btf: if room == 0 { 0 } else { blob.as_mut_ptr() as u64 },
            btf_size: room as u32,
            ..Default::default()
        };
        let mut len = size_of::<bpf::bpf_btf_info>() as u32;
        // SAFETY: `info` is zeroed but for a buffer of `btf_size` writable bytes, and outlives the
        // call, as `blob` does.
        let rc = unsafe {
            bpf::bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len)
        };
        check(CALL, rc)?;
        let size = info.btf_size as usize;
        if size <= room {
            blob.truncate(size);
            return Ok((blob, info.kernel_btf != 0));
        }
        blob.resize(size, 0);
    }
}

/// BPF_BTF_LOAD: gives the kernel a raw BTF blob.
///
/// # Errors
/// EINVAL if the kernel's checks find it malformed.
pub fn btf_load(blob: &[u8]) -> Result<OwnedFd> {
    // SAFETY: the blob has `len` readable bytes; null options are allowed.
    own(Call::BtfLoad, unsafe {
        bpf::bpf_btf_load(blob.as_ptr().cast(), blob.len() as bpf::size_t, std::ptr::null_mut())
    })
}

//! Keys that are descriptors: how the sockets, files, tasks and cgroups of local storage are named.
//!
//! The kernel knows these elements only by a descriptor of the calling process, so a name says how
//! to open one. It is opened for each call and closed after it.

use super::KeyHandle;
use crate::sys::os::{self, cgroup_by_id, pidfd, take_fd};
use crate::sys::{self, Call, mounts};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a name of each sort must look like.
pub fn form(handle: KeyHandle) -> &'static str {
    match handle {
        KeyHandle::Socket => "a key here is a process's socket, PID:FD",
        KeyHandle::Inode => "a key here is a file's path, with %2F for each slash",
        KeyHandle::Task => "a key here is a thread's id",
        KeyHandle::Cgroup => "a key here is a cgroup's id, or its path with %2F for each slash",
    }
}

/// Whether `name` (unescaped) is of the form that [`form`] describes.
pub fn is_name(handle: KeyHandle, name: &[u8]) -> bool {
    match handle {
        KeyHandle::Socket => pid_and_fd(name).is_some(),
        KeyHandle::Task => number(name).is_some_and(|tid| tid > 0),
        KeyHandle::Inode => is_path(name),
        KeyHandle::Cgroup => is_path(name) || id(name).is_some(),
    }
}

/// Opens what a name stands for.
///
/// # Errors
/// ENOENT if it is not there any more, EINVAL if it is no name; those of the call.
pub fn open(handle: KeyHandle, name: &[u8]) -> sys::Result<OwnedFd> {
    let opened = match handle {
        KeyHandle::Socket => match pid_and_fd(name) {
            Some((pid, fd)) => take_fd(pid, fd),
            None => Err(invalid()),
        },
        KeyHandle::Task => number(name).ok_or_else(invalid).and_then(|tid| pidfd(tid, true)),
        KeyHandle::Cgroup | KeyHandle::Inode if is_path(name) => open_path(path(name)),
        KeyHandle::Cgroup => id(name).ok_or_else(invalid).and_then(cgroup_by_id),
        KeyHandle::Inode => Err(invalid()),
    };
    opened.map_err(missing)
}

/// An error of opening or using what a name stands for: it is not there, or (EBADF, ENOTSOCK from
/// the map) something else than this kind of storage belongs to.
pub(super) fn missing(error: sys::Error) -> sys::Error {
    match error.errno {
        libc::ESRCH | libc::EBADF | libc::ESTALE | libc::ENOTDIR | libc::ENOTSOCK => {
            sys::Error { errno: libc::ENOENT, ..error }
        }
        _ => error,
    }
}

/// `PID:FD`.
pub fn pid_and_fd(name: &[u8]) -> Option<(u32, u32)> {
    let at = name.iter().position(|&c| c == b':')?;
    Some((number(&name[..at])?, number(&name[at + 1..])?))
}

/// A descriptor of another process, `PID:FD`.
///
/// # Errors
/// ESRCH, EBADF if there is none; EPERM if we may not look into that process.
pub fn foreign(pid: u32, fd: u32) -> sys::Result<OwnedFd> {
    take_fd(pid, fd)
}

/// Opens a path that leads through no symlink and into no FUSE mount, which might be our own: then
/// we would wait for ourselves.
fn open_path(path: &Path) -> sys::Result<OwnedFd> {
    let holding = mounts::holding(path)?;
    if holding.is_empty() || holding.starts_with("fuse") {
        return Err(sys::Error { call: Call::OpenKeysObject, errno: libc::EXDEV });
    }
    Ok(os::open_path(path)?.into())
}

fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn is_path(name: &[u8]) -> bool {
    let is_plain = |part: &[u8]| !matches!(part, b"." | b"..");
    name.starts_with(b"/") && !name.contains(&0) && name.split(|&c| c == b'/').all(is_plain)
}

fn number(text: &[u8]) -> Option<u32> {
    let number: u32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    // One name for each key.
    (number.to_string().as_bytes() == text && number <= i32::MAX as u32).then_some(number)
}

fn id(text: &[u8]) -> Option<u64> {
    let id: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (id.to_string().as_bytes() == text).then_some(id)
}

fn invalid() -> sys::Error {
    sys::Error { call: Call::OpenKeysObject, errno: libc::EINVAL }
}

/// The four bytes by which the kernel knows a key.
pub(super) fn key(fd: &impl AsFd) -> [u8; 4] {
    use std::os::fd::AsRawFd;
    fd.as_fd().as_raw_fd().to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(is_name(KeyHandle::Task, b"1"));
        assert!(!is_name(KeyHandle::Task, b"01"));
        assert!(!is_name(KeyHandle::Task, b"0"));
        assert!(!is_name(KeyHandle::Task, b"x"));
        assert!(is_name(KeyHandle::Socket, b"12:3"));
        assert!(!is_name(KeyHandle::Socket, b"12"));
        assert!(is_name(KeyHandle::Inode, b"/etc"));
        assert!(!is_name(KeyHandle::Inode, b"etc"));
        assert!(is_name(KeyHandle::Cgroup, b"4711"));
    }
}

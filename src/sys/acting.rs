//! Removing, renaming and changing with no more rights than the user who asks has.

use super::privileges::{self, Capability};
use super::{Call, Error, Result};

/// What reaches every directory; both are among the first 32.
const REACH: u32 = (Capability::DacOverride.bit() | Capability::DacReadSearch.bit()) as u32;

/// An id that is nobody's: setfsuid(2) and setfsgid(2) then change nothing, and tell.
const NOBODY: libc::uid_t = libc::uid_t::MAX;

/// This thread's file system ids, until it is dropped.
struct Acting {
    uid: libc::c_int,
    gid: libc::c_int,
}

impl Acting {
    /// Acts as `uid`, and in the group `gid` unless that is to stay. With a uid other than 0, the kernel
    /// takes the file system's capabilities away.
    fn begin(uid: u32, gid: Option<u32>) -> Result<Self> {
        // SAFETY: each takes a number and changes this thread alone, or with an invalid one only tells.
        // The group first: what may change it is not among the file system's capabilities.
        let (acting, now) = unsafe {
            let before = libc::setfsgid(gid.unwrap_or(NOBODY));
            let acting = Self { gid: before, uid: libc::setfsuid(uid) };
            (acting, (libc::setfsuid(NOBODY), libc::setfsgid(NOBODY)))
        };
        let is_group = gid.is_none_or(|gid| now.1.cast_unsigned() == gid);
        if now.0.cast_unsigned() == uid && is_group {
            Ok(acting)
        } else {
            Err(Error::new(Call::Setfsuid, libc::EPERM))
        }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // SAFETY: takes a number, and changes this thread alone. Back at 0 the kernel makes the
        // file system's capabilities effective again.
        unsafe {
            libc::setfsuid(self.uid.cast_unsigned());
            libc::setfsgid(self.gid.cast_unsigned());
        };
    }
}

/// Calls `act` as `uid` in what ownership decides: in a sticky directory the kernel removes and
/// replaces for `uid` only what is theirs, checked in the same moment. Directories stay reachable and
/// writable as to ourselves: whether they are to the caller was checked before, with their groups.
///
/// # Errors
/// EPERM if this process cannot act as `uid`; then `act` is not called.
pub fn acting_as<T>(uid: u32, act: impl FnOnce() -> T) -> Result<T> {
    let _acting = Acting::begin(uid, None)?;
    privileges::change(|sets| sets[0].effective |= sets[0].permitted & REACH)?;
    Ok(act())
}

/// Calls `act` as `uid` in the group `gid`, with none of our rights to files: for what is done to an
/// inode that is held open already.
///
/// # Errors
/// EPERM if this process cannot act so; then `act` is not called.
pub fn acting_only_as<T>(uid: u32, gid: u32, act: impl FnOnce() -> T) -> Result<T> {
    let _acting = Acting::begin(uid, Some(gid))?;
    Ok(act())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_ones_own_in_a_sticky_directory() {
        if crate::sys::os::effective_uid() != 0 {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1700)).unwrap();
        let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
        for path in [&theirs, &ours] {
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::chown(&theirs, Some(4321), None).unwrap();
        // Root's directory: sticky binds whoever is not its owner.
        let refused = acting_as(4321, || fs::remove_file(&ours)).unwrap().unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        acting_as(4321, || fs::remove_file(&theirs)).unwrap().unwrap();
        // And ourselves again.
        fs::write(dir.path().join("new"), "").unwrap();
        std::os::unix::fs::chown(dir.path().join("new"), Some(4321), None).unwrap();
        fs::remove_file(dir.path().join("new")).unwrap();
    }
}

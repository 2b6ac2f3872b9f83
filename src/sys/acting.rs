//! Removing and renaming with no more rights than the user who asks has.

use super::privileges::{self, Capability};
use super::{Call, Error, Result};
use nix::unistd::{Uid, setfsuid};

/// What reaches every directory; both are among the first 32.
const REACH: u32 = (Capability::DacOverride.bit() | Capability::DacReadSearch.bit()) as u32;

/// This thread's file system uid, until it is dropped.
struct Acting {
    before: Uid,
}

impl Drop for Acting {
    fn drop(&mut self) {
        // Back at 0 the kernel makes the file system's capabilities effective again.
        setfsuid(self.before);
    }
}

/// Calls `act` as `uid` in what ownership decides: in a sticky directory the kernel removes and
/// replaces for `uid` only what is theirs, checked in the same moment. Directories stay reachable and
/// writable as to ourselves: whether they are to the caller was checked before, with their groups.
///
/// # Errors
/// EPERM if this process cannot act as `uid`; then `act` is not called.
pub fn acting_as<T>(uid: u32, act: impl FnOnce() -> T) -> Result<T> {
    /// With an invalid one, the call only tells.
    const NOBODY: Uid = Uid::from_raw(libc::uid_t::MAX);
    let (before, now) = (setfsuid(Uid::from_raw(uid)), setfsuid(NOBODY));
    let _acting = Acting { before };
    if now.as_raw() != uid {
        return Err(Error::new(Call::Setfsuid, libc::EPERM));
    }
    privileges::change(|sets| sets[0].effective |= sets[0].permitted & REACH)?;
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

//! Whose the mount is.

use super::caller::Caller;
use super::error::{Error, Result};
use crate::bpffs::Stat;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The user who may do through the mount what root may, and root.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// 0 if it is root alone.
    pub uid: u32,
    /// Whether others may come in, as far as modes let them.
    pub allow_other: bool,
    /// The group that may read `/.metrics`, whether others may come in or not.
    pub metrics_group: Option<u32>,
}

impl Owner {
    /// Whether a process of user `uid` is the owner's or root's. In another user namespace the owner's
    /// uid may be somebody else's: a process is not the owner's unless it is in ours.
    pub fn is(self, pid: u32, uid: u32) -> bool {
        uid == 0 || (uid == self.uid && is_in_our_user_namespace(pid))
    }

    /// Whether those may come in whom the kernel lets in, and nobody has to be refused here.
    pub fn is_the_kernels(self) -> bool {
        self.allow_other || (self.uid == 0 && self.metrics_group.is_none())
    }

    /// Refuses what the kernel would ask a capability for, unless the owner asks.
    ///
    /// # Errors
    /// EPERM.
    pub fn only(self, caller: Caller, what: &'static str) -> Result<()> {
        if caller.is_owner {
            Ok(())
        } else {
            Err(Error::new(libc::EPERM, format!("{what} is for the mount's owner alone")))
        }
    }

    /// Attributes as they are shown: what is root's is the owner's.
    pub fn shown(self, stat: Stat) -> Stat {
        if stat.uid == 0 { Stat { uid: self.uid, ..stat } } else { stat }
    }
}

fn is_in_our_user_namespace(pid: u32) -> bool {
    static OURS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/user")).ok();
    let ours = OURS.get_or_init(|| namespace("self"));
    pid != 0 && ours.is_some() && namespace(&pid.to_string()) == *ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_one_user() {
        let owner = Owner { uid: 1111, allow_other: false, metrics_group: None };
        let me = std::process::id();
        assert!(owner.is(me, 0) && owner.is(me, 1111));
        assert!(!owner.is(me, 1112));
        assert!(!owner.is(0, 1111), "who cannot be seen is nobody's");
        let root = Owner { uid: 0, allow_other: true, metrics_group: None };
        assert!(root.is(0, 0) && !root.is(me, 1111));
    }
}

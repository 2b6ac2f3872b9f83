//! Mounting and unmounting, by mount(2) itself: fuser's own mount is unmounted a second time when
//! its session ends (`is_mounted` in fuser 0.18), which hits whatever was mounted there meanwhile.

use super::Error;
use crate::cli::Config;
use crate::sys::mounts::{self, MountIdentity};
use crate::sys::{self, os};
use std::os::fd::OwnedFd;
use std::path::Path;

/// `include/uapi/linux/mount.h`; Linux 5.10.
const MS_NOSYMFOLLOW: libc::c_ulong = 256;

/// Mounts; gives the device through which the kernel asks.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; EINVAL for an option that the kernel does not take.
pub(super) fn attach(config: &Config, owner: u32, mountpoint: &Path) -> sys::Result<OwnedFd> {
    let mut flags = libc::MS_NODEV | libc::MS_NOSUID;
    for flag in &config.flags {
        match flag_bit(flag) {
            (bit, true) => flags |= bit,
            (bit, false) => flags &= !bit,
        }
    }
    // The kernel lets in one user; where the owner is not root there are two, and we say who.
    let others = config.allow_other || owner != 0 || config.metrics_group.is_some();
    let options = if others { ",allow_other" } else { "" };
    os::mount_fuse(
        &config.bpffs,
        mountpoint,
        flags,
        &format!("subtype=bpffuse,default_permissions{options}"),
    )
}

/// The bit of a flag that [`Config`] lets through, and whether it sets it.
fn flag_bit(flag: &str) -> (libc::c_ulong, bool) {
    match flag {
        "ro" => (libc::MS_RDONLY, true),
        "rw" => (libc::MS_RDONLY, false),
        "nodev" => (libc::MS_NODEV, true),
        "dev" => (libc::MS_NODEV, false),
        "nosuid" => (libc::MS_NOSUID, true),
        "suid" => (libc::MS_NOSUID, false),
        "noexec" => (libc::MS_NOEXEC, true),
        "exec" => (libc::MS_NOEXEC, false),
        "noatime" => (libc::MS_NOATIME, true),
        "atime" => (libc::MS_NOATIME, false),
        "sync" => (libc::MS_SYNCHRONOUS, true),
        "async" => (libc::MS_SYNCHRONOUS, false),
        "dirsync" => (libc::MS_DIRSYNC, true),
        "nosymfollow" => (MS_NOSYMFOLLOW, true),
        "symfollow" => (MS_NOSYMFOLLOW, false),
        _ => (0, true),
    }
}

/// Unmounts what is at the mount point if that is still `own`, ours. With files open in it, the mount leaves the tree at once and ends with us.
pub(super) fn detach(mountpoint: &Path, own: Option<&MountIdentity>) -> Result<(), Error> {
    // By the table: to ask the mount itself, it would have to answer.
    let there =
        mounts::identity(mountpoint).map_err(|error| super::checks::no_mount_table(&error))?;
    if own.is_some() && there.as_ref() == own {
        return unmount(mountpoint);
    }
    let reason = "something else is there by now; it stays, and what is under it is dead";
    Err(Error(format!("{}: not unmounted: {reason}", mountpoint.display())))
}

/// Unmounts what is at the mount point.
pub(super) fn unmount(mountpoint: &Path) -> Result<(), Error> {
    os::unmount(mountpoint, false)
        .or_else(|_| os::unmount(mountpoint, true))
        .map_err(|error| Error(format!("{}: {error}", mountpoint.display())))
}

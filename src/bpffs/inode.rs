//! An inode of bpffs that is held open, and what is done to it whatever its path leads to by then.

use super::Stat;
use crate::sys::os::{self, NewTime};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// An inode of bpffs, held open.
#[derive(Debug)]
pub struct Inode(pub(super) File);

impl Inode {
    /// Its attributes at this moment.
    ///
    /// # Errors
    /// None that is known.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(Stat::of(&self.0.metadata()?))
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// EPERM for whom it does not belong to.
    pub fn chmod(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(proc_path(&self.0), fs::Permissions::from_mode(mode & 0o7777))
    }

    /// Sets owner and group; `None` leaves one as it is.
    ///
    /// # Errors
    /// EPERM without the right to.
    pub fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        // Through the descriptor this is the inode itself, be it a symlink's.
        std::os::unix::fs::chown(proc_path(&self.0), uid, gid)
    }

    /// Sets access and modification time; `None` leaves one as it is.
    ///
    /// # Errors
    /// EPERM, EACCES without the right to.
    pub fn set_times(&self, atime: Option<NewTime>, mtime: Option<NewTime>) -> io::Result<()> {
        Ok(os::set_times(&proc_path(&self.0), atime, mtime)?)
    }
}

/// The path that leads to exactly the inode that an O_PATH descriptor holds.
pub(super) fn proc_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

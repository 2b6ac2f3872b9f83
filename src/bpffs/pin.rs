//! What is in bpffs: pins, directories and symlinks, with their attributes.

use crate::sys::object::ObjectKind;
use std::ffi::OsString;
use std::fs::Metadata;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A path in bpffs and the inode found there.
#[derive(Debug, Clone, Eq)]
pub struct Pin {
    /// Absolute.
    pub path: Arc<Path>,
    /// The inode number, new for each pin; 0 stands for the root, which may be mounted anew.
    pub ino: u64,
}

impl PartialEq for Pin {
    fn eq(&self, other: &Self) -> bool {
        // As bytes: our paths are all absolute and plain, and need not be taken to pieces.
        self.ino == other.ino && self.path.as_os_str() == other.path.as_os_str()
    }
}

impl Hash for Pin {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // So that a pin keeps its number when it is renamed. The root of each bpffs has the same.
        if self.ino <= 1 {
            self.path.as_os_str().hash(hasher);
        }
        self.ino.hash(hasher);
    }
}

/// What is at a path in bpffs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinKind {
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A pinned object.
    Object(ObjectKind),
}

/// Owner, mode and times of a pin or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The permission bits, with sticky and set-id bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Hard links.
    pub nlink: u32,
    /// Last access.
    pub atime: SystemTime,
    /// Last modification.
    pub mtime: SystemTime,
    /// Last change of the inode.
    pub ctime: SystemTime,
}

impl Stat {
    pub(super) fn of(meta: &Metadata) -> Self {
        let time = |secs: i64, nanos: i64| {
            let nanos = Duration::from_nanos(nanos.unsigned_abs());
            if secs < 0 {
                SystemTime::UNIX_EPOCH - Duration::from_secs(secs.unsigned_abs()) + nanos
            } else {
                SystemTime::UNIX_EPOCH + Duration::from_secs(secs.unsigned_abs()) + nanos
            }
        };
        Self {
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            nlink: u32::try_from(meta.nlink()).unwrap_or(u32::MAX),
            atime: time(meta.atime(), meta.atime_nsec()),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ctime: time(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A name in a directory.
#[derive(Debug, Clone)]
pub struct DirEntry {
    /// The name.
    pub name: OsString,
    /// Where it leads.
    pub pin: Pin,
    /// What is there.
    pub kind: PinKind,
}

//! Reaching inodes: from the root, without any symlink, and into no other file system than bpffs.

use super::inode::proc_path;
use super::{Bpffs, Pin};
use crate::sys::{self, mounts, os};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

impl Bpffs {
    /// Opens the inode at a path, with O_PATH: in this bpffs, or in another that is mounted in it. What
    /// else is mounted there is not entered: it may wait for us, as our own mount would.
    ///
    /// # Errors
    /// ENOENT if there is nothing of bpffs; ENODEV if no bpffs is mounted any more.
    pub fn reach(&self, path: &Path) -> io::Result<File> {
        let root = os::open_path(&self.root)?;
        self.check_root(&root)?;
        let below = path.strip_prefix(&self.root).map_err(|_| gone())?;
        if below.as_os_str().is_empty() {
            return Ok(root);
        }
        match os::open_below(&root, below) {
            Err(error) if error.errno == libc::EXDEV => reach_across(root, below),
            found => Ok(found?),
        }
    }

    /// ENODEV unless this is the root of a bpffs.
    fn check_root(&self, root: &File) -> io::Result<()> {
        let (major, minor) = os::device(root)?;
        let device = u64::from(major) << 32 | u64::from(minor);
        if self.device.load(Ordering::Relaxed) != device {
            if !is_bpffs(root)? {
                return Err(io::Error::from_raw_os_error(libc::ENODEV));
            }
            self.device.store(device, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Opens a pin's inode itself, with O_PATH.
    pub(super) fn open_inode(&self, pin: &Pin) -> io::Result<File> {
        let file = self.reach(&pin.path)?;
        if pin.ino != 0 && file.metadata()?.ino() != pin.ino {
            return Err(gone());
        }
        Ok(file)
    }

    /// A name in a directory that is still there.
    pub(super) fn place(&self, dir: &Pin, name: &OsStr) -> io::Result<HeldName> {
        Ok(HeldName { dir: self.open_inode(dir)?, name: name.to_owned() })
    }

    /// Where a pin is that is still there; EBUSY where something is mounted on it, as rmdir(2) says.
    pub(super) fn place_of(&self, pin: &Pin) -> io::Result<HeldName> {
        let (Some(dir), Some(name)) = (pin.path.parent(), pin.path.file_name()) else {
            return Err(gone());
        };
        let dir = self.reach(dir)?;
        let there = os::open_below(&dir, Path::new(name)).map_err(|error| match error.errno {
            libc::EXDEV => sys::Error { errno: libc::EBUSY, ..error },
            _ => error,
        })?;
        if there.metadata()?.ino() == pin.ino {
            Ok(HeldName { dir, name: name.to_owned() })
        } else {
            Err(gone())
        }
    }
}

/// A name in a directory that is held open, so that nobody can put another in its place.
#[derive(Debug)]
pub(super) struct HeldName {
    pub(super) dir: File,
    pub(super) name: OsString,
}

impl HeldName {
    /// A path for calls that follow no symlink at its end.
    pub(super) fn path(&self) -> PathBuf {
        proc_path(&self.dir).join(&self.name)
    }
}

/// Opens the inode at a path below `root` on which something is mounted, name by name: each mount's root
/// is held, and asked for what it is, before anything in it is looked up. So whoever exchanges directories
/// meanwhile, with what is mounted in them, has nobody enter what is no bpffs.
fn reach_across(root: File, below: &Path) -> io::Result<File> {
    let mut at = root;
    for name in below {
        at = match os::open_below(&at, Path::new(name)) {
            Err(error) if error.errno == libc::EXDEV => {
                let top = os::open_mount(&at, Path::new(name))?;
                if !is_bpffs(&top)? {
                    return Err(gone());
                }
                top
            }
            found => found?,
        };
    }
    Ok(at)
}

/// Whether an open file is in a bpffs, by the mount table: the file system itself may be ours, and wait.
fn is_bpffs(file: &File) -> io::Result<bool> {
    let (major, minor) = os::device(file)?;
    let device = format!("{major}:{minor}");
    Ok(mounts::all()?.iter().any(|mount| mount.device == device && mount.kind == "bpf"))
}

/// What is no longer there.
pub(super) fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

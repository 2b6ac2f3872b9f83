//! Walking bpffs: what a path holds, its attributes, renaming and unpinning.
//!
//! A [`Pin`] names a path and the inode that was seen there, and each use checks that it is still
//! the same, so that a pin that was removed or replaced is noticed. What a path holds is remembered
//! only as long as the kernel says that nothing has changed (`seen`).
//!
//! Anyone may own directories and symlinks in bpffs and swap them at any moment, and we act with more
//! rights than they have. So what changes something, or reads what they could not, holds an inode
//! that was reached without any symlink, and works on that (`/proc/self/fd/N`), never on a path that
//! was merely looked at before.

mod inode;
mod pin;
mod reach;
mod renamed;
pub mod seen;
mod target;
pub mod watch;

pub use inode::Inode;
pub use pin::{DirEntry, Pin, PinKind, Stat};

use crate::sys::changes::Changes;
use crate::sys::object::{self, ObjectKind};
use crate::sys::{self, mounts, os};
use inode::proc_path;
use reach::{HeldName, gone};
use renamed::{Renamed, Renames};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The bpffs that is shown.
#[derive(Debug)]
pub struct Bpffs {
    root: Arc<Path>,
    renames: Renames,
    /// The device of the bpffs, major and minor number: it may be mounted anew.
    device: AtomicU64,
}

impl Bpffs {
    /// The bpffs at `root`, which is made absolute and free of symlinks.
    ///
    /// # Errors
    /// ENOENT and the like if there is no such directory.
    pub fn new(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: root.canonicalize()?.into(),
            renames: Renames::default(),
            device: AtomicU64::new(0),
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The root directory.
    pub fn root(&self) -> Pin {
        Pin { path: Arc::clone(&self.root), ino: 0 }
    }

    /// A pin's path below the root, for messages.
    pub fn relative<'a>(&self, pin: &'a Pin) -> &'a Path {
        pin.path.strip_prefix(&self.root).unwrap_or(&pin.path)
    }

    /// The pin, with the path that it has after what was renamed.
    pub fn current<'a>(&self, pin: &'a Pin) -> Cow<'a, Pin> {
        let is_at = |path: &Path| {
            let found = seen::look(&self.root, path, |path| self.reach(path));
            found.is_ok_and(|seen| seen.ino == pin.ino)
        };
        if !self.renames.any() || pin.ino == 0 || is_at(&pin.path) {
            return Cow::Borrowed(pin);
        }
        let candidates = self.renames.candidates(&pin.path, pin.ino);
        match candidates.into_iter().find(|path| is_at(path)) {
            Some(path) => Cow::Owned(Pin { path: path.into(), ino: pin.ino }),
            None => Cow::Borrowed(pin),
        }
    }

    /// Whether two pins may be the same one, before and after it was renamed.
    pub fn has_moved(&self, from: &Pin, to: &Pin) -> bool {
        from.ino == to.ino
            && self.renames.candidates(&from.path, from.ino).iter().any(|path| **path == *to.path)
    }

    /// The inode number and attributes of what is at a path of this bpffs now.
    ///
    /// # Errors
    /// ENOENT if nothing is; ENODEV if no bpffs is mounted any more.
    pub fn look(&self, path: &Path) -> io::Result<(u64, Stat)> {
        let seen = seen::look(&self.root, path, |path| self.reach(path))?;
        Ok((seen.ino, seen.stat))
    }

    /// A path of this bpffs and all that leads to it, down to the root.
    pub fn way<'a>(&self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        watch::way(&self.root, path)
    }

    /// Has `changes` tell of what is at a path, and of all that leads to it; `None` if that cannot be. Adds
    /// to `watches` how many were set.
    pub fn watch(&self, changes: &Changes, watches: &mut usize, path: &Path) -> Option<()> {
        watch::watch((changes, watches), &self.root, path, |path| self.reach(path))
    }

    /// The attributes of a pin that is still there.
    ///
    /// # Errors
    /// ENOENT if it was removed or replaced; ENODEV if no bpffs is mounted any more.
    pub fn stat(&self, pin: &Pin) -> io::Result<Stat> {
        let pin = &*self.current(pin);
        let seen = seen::look(&self.root, &pin.path, |path| self.reach(path))?;
        if pin.ino != 0 && seen.ino != pin.ino {
            return Err(gone());
        }
        Ok(seen.stat)
    }

    /// What `name` in `dir` is. `known` may say that a pin's kind is known already, which spares
    /// opening the object.
    ///
    /// # Errors
    /// ENOENT if there is nothing, or if `dir` is gone; the kernel's otherwise.
    pub fn child(
        &self,
        dir: &Pin,
        name: &OsStr,
        known: impl FnOnce(&Pin) -> Option<ObjectKind>,
    ) -> io::Result<(Pin, PinKind, Stat)> {
        let dir = &*self.current(dir);
        let path = dir.path.join(name);
        let found = seen::look(&self.root, &path, |path| self.reach(path));
        let seen = found.map_err(|error| match error.raw_os_error() {
            // What bpffs says of every name with a dot, here as to create one.
            Some(libc::EPERM) if name.as_bytes().contains(&b'.') => gone(),
            _ => error,
        })?;
        let pin = Pin { path: path.into(), ino: seen.ino };
        let kind = if seen.file_type.is_dir() {
            PinKind::Dir
        } else if seen.file_type.is_symlink() {
            PinKind::Symlink
        } else {
            match known(&pin) {
                Some(kind) => PinKind::Object(kind),
                None => {
                    let kind = kind_of(&self.open_inode(&pin)?)?;
                    PinKind::Object(kind.unwrap_or(ObjectKind::Other))
                }
            }
        };
        Ok((pin, kind, seen.stat))
    }

    /// Opens the object that a pin holds.
    ///
    /// # Errors
    /// ENOENT if the pin was removed or replaced; the kernel's for an object that cannot be opened.
    pub fn open(&self, pin: &Pin) -> io::Result<OwnedFd> {
        let pin = &*self.current(pin);
        Ok(object::obj_get(&proc_path(&self.open_inode(pin)?))?)
    }

    /// Everything in a directory, in no order.
    ///
    /// # Errors
    /// ENOENT if the directory is gone.
    pub fn list(
        &self,
        dir: &Pin,
        known: impl Fn(&Pin) -> Option<ObjectKind>,
    ) -> io::Result<Vec<DirEntry>> {
        let dir = &*self.current(dir);
        let held = self.open_inode(dir)?;
        let mut entries = Vec::new();
        let mut mounted = None;
        for entry in fs::read_dir(proc_path(&held))? {
            let entry = entry?;
            let mut pin = Pin { path: dir.path.join(entry.file_name()).into(), ino: entry.ino() };
            let file_type = entry.file_type()?;
            let kind = if file_type.is_dir() {
                // As it was before something was mounted there.
                if mounted.is_none() {
                    mounted = Some(mount_points()?);
                }
                if mounted.iter().any(|mounts| mounts.contains(&*pin.path)) {
                    match self.reach(&pin.path).and_then(|root| root.metadata()) {
                        Ok(root) => pin.ino = root.ino(),
                        Err(error) if sys::is_shortage_of(&error) => return Err(error),
                        Err(_) => continue,
                    }
                }
                PinKind::Dir
            } else if file_type.is_symlink() {
                PinKind::Symlink
            } else if let Some(kind) = known(&pin) {
                PinKind::Object(kind)
            } else {
                match self.reach(&pin.path).and_then(|file| kind_of(&file)) {
                    Ok(Some(kind)) => PinKind::Object(kind),
                    // What copies directories would fail at it.
                    Ok(None) if is_the_kernels(&entry.file_name()) => continue,
                    Ok(None) => PinKind::Object(ObjectKind::Other),
                    Err(error) if sys::is_shortage_of(&error) => return Err(error),
                    // Removed since the directory was read.
                    Err(_) => continue,
                }
            };
            entries.push(DirEntry { name: entry.file_name(), pin, kind });
        }
        Ok(entries)
    }

    /// A symlink's target; an absolute one in this bpffs as seen from the symlink's directory, so that who
    /// follows it elsewhere, as in the mount, stays there.
    ///
    /// # Errors
    /// ENOENT if it is gone.
    pub fn readlink(&self, pin: &Pin) -> io::Result<PathBuf> {
        let pin = &*self.current(pin);
        let place = self.place_of(pin)?;
        let target = fs::read_link(place.path())?;
        Ok(target::relative(&self.root, &pin.path, &target).unwrap_or(target))
    }

    /// Makes a symlink in bpffs.
    ///
    /// # Errors
    /// EEXIST; EPERM for a name with a dot.
    pub fn symlink(&self, dir: &Pin, name: &OsStr, target: &Path) -> io::Result<()> {
        let dir = &*self.current(dir);
        std::os::unix::fs::symlink(target, self.place(dir, name)?.path())
    }

    /// Makes a directory in bpffs, for its owner alone to change.
    ///
    /// # Errors
    /// EEXIST; EPERM for a name with a dot.
    pub fn mkdir(&self, dir: &Pin, name: &OsStr) -> io::Result<()> {
        fs::create_dir(self.place(&self.current(dir), name)?.path())
    }

    /// Pins an object.
    ///
    /// # Errors
    /// EEXIST if the name is taken; EPERM for a name with a dot.
    pub fn pin(&self, dir: &Pin, name: &OsStr, object: &impl AsFd) -> io::Result<()> {
        let dir = &*self.current(dir);
        Ok(object::obj_pin(object.as_fd(), &self.place(dir, name)?.path())?)
    }

    /// The attributes of the directory that a pin is in.
    ///
    /// # Errors
    /// ENOENT if it is gone.
    pub fn dir_stat(&self, pin: &Pin) -> io::Result<Stat> {
        let place = self.place_of(&self.current(pin))?;
        Ok(Stat::of(&place.dir.metadata()?))
    }

    /// Removes a pin or symlink.
    ///
    /// # Errors
    /// ENOENT if it is gone.
    pub fn unlink(&self, pin: &Pin) -> io::Result<()> {
        let pin = &*self.current(pin);
        let place = self.place_of(pin)?;
        fs::remove_file(place.path())
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// ENOTEMPTY, ENOENT; EBUSY if something is mounted there.
    pub fn rmdir(&self, pin: &Pin) -> io::Result<()> {
        let pin = &*self.current(pin);
        let place = self.place_of(pin)?;
        fs::remove_dir(place.path())
    }

    /// Renames a pin or directory for a user, with the flags of renameat2(2).
    ///
    /// # Errors
    /// Those of rename(2); EPERM for a name with a dot.
    pub fn rename(
        &self,
        from: (&Pin, &OsStr),
        to: (&Pin, &OsStr),
        flags: u32,
        uid: u32,
    ) -> io::Result<()> {
        let (from_dir, to_dir) = (self.current(from.0), self.current(to.0));
        let places = (self.place(&from_dir, from.1)?, self.place(&to_dir, to.1)?);
        os::rename(&places.0.path(), &places.1.path(), flags)?;
        let paths = (from_dir.path.join(from.1), to_dir.path.join(to.1));
        let mut renamed = Vec::new();
        // Whoever renames it on at this moment records that: use finds the inode, or nothing.
        let mut record = |place: &HeldName, from, to| {
            let found = os::open_below(&place.dir, Path::new(&place.name));
            if let Some(meta) = found.ok().and_then(|file| file.metadata().ok()) {
                renamed.push(Renamed { ino: meta.ino(), is_dir: meta.is_dir(), from, to });
            }
        };
        record(&places.1, &*paths.0, &*paths.1);
        if flags & libc::RENAME_EXCHANGE != 0 {
            record(&places.0, &*paths.1, &*paths.0);
        }
        self.renames.record(uid, &renamed);
        Ok(())
    }

    /// A pin's inode, to be changed whatever its path leads to by then.
    ///
    /// # Errors
    /// ENOENT if the pin is gone.
    pub fn inode(&self, pin: &Pin) -> io::Result<Inode> {
        Ok(Inode(self.open_inode(&self.current(pin))?))
    }
}

/// Where something is mounted.
fn mount_points() -> io::Result<HashSet<PathBuf>> {
    Ok(mounts::all()?.into_iter().map(|mount| mount.point).collect())
}

/// What an inode holds; `None` if the kernel does not open it.
fn kind_of(file: &File) -> io::Result<Option<ObjectKind>> {
    match object::obj_get(&proc_path(file)) {
        Ok(object) => Ok(Some(object::object_kind(object.as_fd()))),
        Err(error) if sys::is_shortage(error.errno) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Whether the kernel itself has put it there, as `maps.debug`: nobody else can give it a dot.
fn is_the_kernels(name: &OsStr) -> bool {
    name.as_bytes().contains(&b'.')
}

//! From what a user names, a path or an id, to a BPF object: for links into maps of maps, for
//! programs in maps, and for the inner map of a SPEC.
//!
//! Nothing is opened through the mount itself, which would wait for us: a path in it is read as
//! text, and one elsewhere is followed only if it is in a bpffs.

use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::node::MapRef;
use crate::sys::object::{self, ObjectKind};
use crate::sys::{mounts, os};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// What is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// A map.
    Map,
    /// A program.
    Prog,
}

impl Sought {
    fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Prog => "program",
        }
    }

    fn kind(self) -> ObjectKind {
        match self {
            Self::Map => ObjectKind::Map,
            Self::Prog => ObjectKind::Prog,
        }
    }

    /// The object with an id.
    ///
    /// # Errors
    /// ENOENT if there is none.
    pub fn by_id(self, id: u32) -> Result<OwnedFd> {
        let opened = match self {
            Self::Map => object::map_by_id(id),
            Self::Prog => object::prog_by_id(id),
        };
        opened.map_err(|error| match error.errno {
            libc::ENOENT => self.missing(&format!("id {id}")),
            _ => error.into(),
        })
    }

    fn missing(self, what: &str) -> Error {
        Error::new(libc::ENOENT, format!("there is no {} {what}", self.name()))
    }
}

/// Where a map is below the mount point: `a/b`, or `.id/N`.
pub fn of_map(maps: &Maps, at: &MapRef) -> PathBuf {
    match at {
        MapRef::Pin(pin) => maps.bpffs.relative(pin).to_owned(),
        MapRef::Id(id) => Path::new(".id").join(id.to_string()),
    }
}

/// The object with an id, or at a path.
///
/// # Errors
/// ENOENT if there is none; EINVAL if it is of another kind, or the path leads out of bpffs.
pub fn find(
    maps: &Maps,
    text: &str,
    from: &MapRef,
    sought: Sought,
    caller: Caller,
) -> Result<OwnedFd> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    if !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)) {
        let id = u32::from_str_radix(digits, radix);
        return sought.by_id(id.map_err(|_| sought.missing(&format!("id {text}")))?);
    }
    at_path(maps, Path::new(text), from, sought, caller)
}

/// The object at a path; a relative one starts in the directory `from`, as a symlink
/// there does, or else at the mount point or in the caller's directory.
///
/// # Errors
/// As for [`find`].
pub fn at_path(
    maps: &Maps,
    path: &Path,
    from: &MapRef,
    sought: Sought,
    caller: Caller,
) -> Result<OwnedFd> {
    if path.is_absolute() {
        let path = normal(path);
        return match path.strip_prefix(&maps.mountpoint).ok() {
            Some(inside) => in_mount(maps, inside, sought),
            // What the mount shows its owner may name by its own path, too, as root may.
            None if caller.is_owner && caller.uid != 0 && path.starts_with(maps.bpffs.path()) => {
                open(maps.bpffs.reach(&path).map_err(Error::from), &path, sought)
            }
            None => caller.opens(|| in_bpffs(&path, sought)),
        };
    }
    let from = Path::new("/").join(of_map(maps, from));
    let mut missing = None;
    for start in [from, PathBuf::from("/")] {
        let inside = normal(&start.join(path));
        match in_mount(maps, inside.strip_prefix("/").unwrap_or(&inside), sought) {
            Err(error) if matches!(error.errno, libc::ENOENT | libc::ENOTDIR) => {
                missing.get_or_insert(error);
            }
            found => return found,
        }
    }
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", caller.pid)).ok();
    let inside = cwd.map(|cwd| normal(&cwd.join(path))).and_then(|path| {
        let inside = path.strip_prefix(&maps.mountpoint).ok()?;
        Some(inside.to_owned())
    });
    match (inside, missing) {
        (None, Some(missing)) => Err(missing),
        (inside, _) => in_mount(maps, &inside.unwrap_or_default(), sought),
    }
}

/// A path without `.` and `..`, as text.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                normal.push(component);
            }
        }
    }
    normal
}

/// The object at a path below the mount point.
fn in_mount(maps: &Maps, path: &Path, sought: Sought) -> Result<OwnedFd> {
    let mut parts = path.iter();
    if parts.next() == Some(OsStr::new(".id")) {
        let id = parts.next().and_then(OsStr::to_str).and_then(|id| id.parse().ok());
        return match (sought, id, parts.next()) {
            (Sought::Map, Some(id), None) => sought.by_id(id),
            _ => Err(sought.missing(&format!("/{}", path.display()))),
        };
    }
    let file = maps.bpffs.reach(&maps.bpffs.path().join(path));
    open(file.map_err(Error::from), path, sought)
}

/// The object pinned at an absolute path outside the mount.
fn in_bpffs(path: &Path, sought: Sought) -> Result<OwnedFd> {
    if mounts::holding(path)? != "bpf" {
        let reason = format!("{} is neither in this mount nor in a bpffs", path.display());
        return Err(Error::new(libc::EINVAL, reason));
    }
    open(os::open_path(path).map_err(Error::from), path, sought)
}

fn open(file: Result<File>, shown: &Path, sought: Sought) -> Result<OwnedFd> {
    let missing = || sought.missing(&format!("at {}", shown.display()));
    let wrong = || Error::new(libc::EINVAL, format!("{} is no {}", shown.display(), sought.name()));
    let file = file.map_err(|error| match error.errno {
        libc::ENOENT | libc::ENOTDIR | libc::EPERM => missing(),
        _ => error,
    })?;
    let pin = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let object = object::obj_get(&pin).map_err(|_| wrong())?;
    if object::object_kind(object.as_fd()) == sought.kind() { Ok(object) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_plain() {
        assert_eq!(normal(Path::new("/outer/../.id/./7")), Path::new("/.id/7"));
        assert_eq!(normal(Path::new("/../../a")), Path::new("/a"));
    }
}

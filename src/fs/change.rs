//! What changes the tree: making and removing maps and elements, renaming, modes and owners.

use super::attr::Attr;
use super::caller::Caller;
use super::error::{Error, Result};
use super::lookup::Found;
use super::{Fs, view};
use crate::bpffs::{Pin, PinKind};
use crate::map::Keys;
use crate::node::{MapRef, Node, View};
use crate::sys::acting::acting_as;
use crate::sys::object::ObjectKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

/// What setattr is asked to change; `None` stays as it is.
#[derive(Debug, Default, Clone, Copy)]
pub struct Changes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Owning group.
    pub gid: Option<u32>,
    /// Access time.
    pub atime: Option<SystemTime>,
    /// Modification time.
    pub mtime: Option<SystemTime>,
}

impl Fs {
    /// Deletes an element, or removes a program's, link's or symlink's pin.
    ///
    /// # Errors
    /// ENOENT; EPERM for an array's or a frozen map's element, and for controls.
    pub fn unlink(&self, parent: u64, name: &OsStr, caller: Caller) -> Result<()> {
        match &*self.node(parent)? {
            Node::Map(at, View::Text) if self.links.take(at, name).is_some() => Ok(()),
            // Neither a key's name nor a pin's starts with a dot.
            _ if name.as_bytes().starts_with(b".") => {
                Err(Error::new(libc::EPERM, "a control cannot be removed"))
            }
            Node::Map(
                _,
                View::Sum | View::Cpu(_) | View::Cpus | View::Field(_) | View::Pop | View::Stream,
            )
            | Node::Element(..) => {
                Err(Error::new(libc::EPERM, "this shows a part of an element: delete the whole"))
            }
            Node::Map(at, view) => {
                let (map, _) = self.maps.open(at)?;
                let key = view::parse_name(&map, view, name)
                    .map_err(|error| Error { errno: libc::ENOENT, ..error })?;
                if let Keys::Head | Keys::Member = map.kind.keys {
                    let reason =
                        format!("no element of {} can be deleted", map.kind.with_article());
                    return Err(Error::new(libc::EOPNOTSUPP, reason));
                }
                if map.kind.is_array() {
                    return Err(Error::new(libc::EPERM, "an array keeps all its elements"));
                }
                map.delete(&key).map_err(|error| match error.errno {
                    libc::EPERM if map.is_frozen() => {
                        Error::new(libc::EPERM, "the map is frozen: rmdir removes its pin")
                    }
                    _ => error.into(),
                })
            }
            Node::Dir(dir) => {
                let (pin, kind) = self.pin_at(dir, name)?;
                match kind {
                    PinKind::Dir | PinKind::Object(ObjectKind::Map) => {
                        Err(Error::new(libc::EISDIR, "a directory: rmdir removes it"))
                    }
                    _ => self.as_caller(caller, || Ok(self.maps.bpffs.unlink(&pin)?)),
                }
            }
            _ => Err(Error::new(libc::ENOTDIR, "not a directory")),
        }
    }

    /// Unpins a map without deletable entries, or removes an empty bpffs directory.
    ///
    /// # Errors
    /// ENOTEMPTY if there is something that could be deleted first.
    pub fn rmdir(&self, parent: u64, name: &OsStr, caller: Caller) -> Result<()> {
        let Node::Dir(dir) = &*self.node(parent)? else {
            return Err(Error::new(libc::EPERM, "a view cannot be removed"));
        };
        let (pin, kind) = self.pin_at(dir, name)?;
        match kind {
            PinKind::Dir => self.as_caller(caller, || Ok(self.maps.bpffs.rmdir(&pin)?)),
            PinKind::Object(ObjectKind::Map) => {
                let at = MapRef::Pin(pin.clone());
                let (map, _) = self.maps.open(&at)?;
                if map.has_deletable()? {
                    let reason = "the map has entries: rm -r deletes them, then the pin";
                    return Err(Error::new(libc::ENOTEMPTY, reason));
                }
                self.as_caller(caller, || Ok(self.maps.bpffs.unlink(&pin)?))?;
                self.maps.close(&at);
                Ok(())
            }
            _ => Err(Error::new(libc::ENOTDIR, "not a directory: rm removes it")),
        }
    }

    /// Renames a pin or a bpffs directory, or a link into a map of maps to a key, with the flags of
    /// renameat2(2).
    ///
    /// # Errors
    /// EXDEV for keys, so that mv(1) copies and deletes; EPERM where that would do harm; ENOTEMPTY over
    /// a map that has entries.
    pub fn rename(
        &self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        flags: u32,
        caller: Caller,
    ) -> Result<()> {
        let (from_dir, to_dir) = (self.node(from.0)?, self.node(to.0)?);
        if let Node::Map(at, View::Text) = &*from_dir
            && from_dir == to_dir
            && let Some(outcome) = self.rename_link(at, from.1, to.1, flags, caller)
        {
            return outcome;
        }
        let (Node::Dir(from_dir), Node::Dir(to_dir)) = (&*from_dir, &*to_dir) else {
            return Err(self.no_rename(&from_dir, from.1));
        };
        self.pin_at(from_dir, from.1)?;
        if flags & (libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE) == 0 {
            match self.pin_at(to_dir, to.1) {
                Ok((pin, PinKind::Object(ObjectKind::Map))) => {
                    let (map, _) = self.maps.open(&MapRef::Pin(pin))?;
                    if map.has_deletable()? {
                        return Err(Error::new(libc::ENOTEMPTY, "the target map has entries"));
                    }
                }
                Err(error) if error.errno != libc::ENOENT => return Err(error),
                _ => {}
            }
        }
        self.as_caller(caller, || {
            Ok(self.maps.bpffs.rename((from_dir, from.1), (to_dir, to.1), flags)?)
        })
        .map_err(|error| match error.errno {
            // mv(1) would make another map by the default spec, copy, and empty this one.
            libc::EXDEV => Error::new(
                libc::EPERM,
                "the kernel renames nothing from one mount of bpffs to another: pin it there with \
                 bpftool, then remove it here",
            ),
            _ => error,
        })
    }

    /// Why what is not a pin, or would not become one, is not renamed. EXDEV makes mv(1) copy and
    /// delete: that is for elements, and for symlinks on their way into a map of maps.
    fn no_rename(&self, from_dir: &Node, name: &OsStr) -> Error {
        let can_be_copied = match from_dir {
            Node::Map(_, View::Text | View::Raw) => !name.as_bytes().starts_with(b"."),
            Node::Dir(dir) => matches!(self.pin_at(dir, name), Ok((_, PinKind::Symlink))),
            _ => false,
        };
        if can_be_copied {
            Error::new(libc::EXDEV, "a key cannot be renamed, only copied and deleted")
        } else {
            Error::new(
                libc::EPERM,
                "neither a map's number, part nor control can be moved, nor a pin into a map",
            )
        }
    }

    /// Removes or renames for the caller. The kernel has checked what was there when it looked; in a
    /// sticky directory, such as bpffs's root, another user's pin may be there by now.
    fn as_caller(&self, caller: Caller, act: impl FnOnce() -> Result<()>) -> Result<()> {
        if caller.uid == self.owner { act() } else { acting_as(caller.uid, act)? }
    }

    /// Makes a symlink in bpffs, or sets an element of a map of maps to the map that it leads to.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner; EEXIST.
    pub fn symlink(
        &self,
        parent: u64,
        name: &OsStr,
        target: &Path,
        caller: Caller,
    ) -> Result<Found> {
        match &*self.node(parent)? {
            Node::Dir(dir) => {
                self.owner_only(caller, "making links")?;
                self.maps.bpffs.symlink(dir, name, target)?;
            }
            Node::Map(at, View::Text) => self.link_element(at, name, target, caller)?,
            _ => return Err(Error::new(libc::EPERM, "no links here")),
        }
        self.refusals.created(caller.pid, &self.path(parent, Some(name)));
        self.lookup(parent, name, caller)
    }

    /// Changes mode, owner or times: of the pin, for a map or anything in bpffs.
    ///
    /// # Errors
    /// EPERM for a file that has none of its own.
    pub fn setattr(&self, ino: u64, changes: Changes, caller: Caller) -> Result<Attr> {
        let node = self.node(ino)?;
        let made;
        let pin = match &*node {
            Node::Dir(pin) | Node::Symlink(pin) | Node::Object(pin, _) => Some(pin),
            Node::Map(MapRef::Pin(pin), View::Text) => Some(pin),
            Node::New(dir, name) => {
                // cp -p and install set the mode of the file that they wrote: of the map, by now.
                made = match self.pin_at(dir, name) {
                    Ok((pin, PinKind::Object(ObjectKind::Map))) => Some(pin),
                    Err(error) if error.errno != libc::ENOENT => return Err(error),
                    _ => None,
                };
                made.as_ref()
            }
            _ => None,
        };
        let Changes { mode, uid, gid, atime, mtime } = changes;
        match pin {
            Some(pin) => {
                // The x bits of a map's directory are not the pin's: they come with r and w.
                let is_map = matches!(&*node, Node::Map(..) | Node::New(..));
                let kept = if is_map { 0o7666 } else { 0o7777 };
                let mode = mode.map(|mode| mode & kept);
                self.change_pin(pin, Changes { mode, ..changes })?;
            }
            None if matches!(&*node, Node::New(..)) => {
                let reason = "nothing was written: write a SPEC, or mkdir a map by the default one";
                return Err(Error::new(libc::EINVAL, reason));
            }
            None if mode.or(uid).or(gid).is_some() => {
                // cp -a and tar set every file's mode before its directory's. One that the key has,
                // or that would let in more, does no harm left undone: the map's mode follows.
                let attr = self.getattr(ino, caller)?;
                let stat = attr.stat;
                let keeps = mode.is_none_or(|mode| stat.mode & 0o777 & !mode == 0)
                    && uid.is_none_or(|uid| uid == stat.uid)
                    && gid.is_none_or(|gid| gid == stat.gid);
                if keeps {
                    return Ok(attr);
                }
                let reason = "a key has the mode and owner of its map: change the map's directory";
                return Err(Error::new(libc::EPERM, reason));
            }
            None if atime.or(mtime).is_some() => {
                // touch(1): the element that its open(2) promised. Keys keep no times.
                if let Some(file) = self.promises.open(ino, caller) {
                    file.keep_promise()?;
                }
            }
            // A size: writes replace the whole value in any case.
            None => {}
        }
        self.getattr(ino, caller)
    }

    fn change_pin(&self, pin: &Pin, changes: Changes) -> Result<()> {
        let bpffs = &self.maps.bpffs;
        if changes.uid.or(changes.gid).is_some() {
            bpffs.chown(pin, changes.uid, changes.gid)?;
        }
        if let Some(mode) = changes.mode {
            bpffs.chmod(pin, mode)?;
        }
        if changes.atime.or(changes.mtime).is_some() {
            bpffs.set_times(pin, changes.atime, changes.mtime)?;
        }
        Ok(())
    }

    pub(super) fn pin_at(&self, dir: &Pin, name: &OsStr) -> Result<(Pin, PinKind)> {
        self.maps.bpffs.stat(dir)?;
        let (pin, kind, _) = self.maps.bpffs.child(dir, name, |pin| self.known_kind(pin))?;
        Ok((pin, kind))
    }
}

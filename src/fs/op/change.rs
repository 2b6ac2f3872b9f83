//! What removes, and what changes modes and owners.

use super::ways::CHANGE;
use crate::bpffs::{Pin, PinKind};
use crate::fs::Fs;
use crate::fs::base::attr::Attr;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::open_file::OpenFile;
use crate::fs::element::{name as key_name, view};
use crate::map::Keys;
use crate::node::{Ino, MapRef, Node, Place, View};
use crate::sys::acting::acting_only_as;
use crate::sys::object::ObjectKind;
pub use crate::sys::os::NewTime;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What setattr is asked to change; `None` stays as it is.
#[derive(Debug, Default, Clone, Copy)]
pub struct AttrChanges {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Owning group.
    pub gid: Option<u32>,
    /// Access time.
    pub atime: Option<NewTime>,
    /// Modification time.
    pub mtime: Option<NewTime>,
}

impl Fs {
    /// Deletes an element, or removes a program's, link's or symlink's pin.
    ///
    /// # Errors
    /// ENOENT; EPERM for an array's or a frozen map's element, and for controls.
    pub fn unlink(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<()> {
        self.admit(caller)?;
        match &*self.dir(parent, CHANGE, caller)? {
            Node::In(at, Place::Root) if self.links.take(at, name).is_some() => Ok(()),
            // Neither a key's name nor a pin's starts with a dot.
            _ if name.as_bytes().starts_with(b".") => {
                Err(Error::new(libc::EPERM, "a control cannot be removed"))
            }
            Node::In(at, place) => match place.keys() {
                Some(view) if view::allows(&view).delete => self.delete(at, &view, name),
                _ => Err(Error::new(
                    libc::EPERM,
                    "this shows a part of an element: delete the whole",
                )),
            },
            Node::Dir(dir) => {
                let (pin, kind) = self.pin_at(dir, name)?;
                match kind {
                    PinKind::Dir | PinKind::Object(ObjectKind::Map) => {
                        Err(Error::new(libc::EISDIR, "a directory: rmdir removes it"))
                    }
                    PinKind::Symlink | PinKind::Object(_) => {
                        self.maps.as_caller(caller, || Ok(self.maps.bpffs.unlink(&pin)?))
                    }
                }
            }
            Node::Ids | Node::Machine(_) => Err(Error::new(
                libc::EPERM,
                "this shows what the machine has: a map ends when nothing uses it any more",
            )),
            Node::Symlink(_) | Node::Object(..) | Node::New(..) | Node::Errors | Node::Help(_) => {
                Err(Error::new(libc::ENOTDIR, "not a directory"))
            }
        }
    }

    fn delete(&self, at: &MapRef, view: &View, name: &OsStr) -> Result<()> {
        let (map, _) = self.maps.open(at)?;
        let key = key_name::parse(&map, view, name)
            .map_err(|error| Error { errno: libc::ENOENT, ..error })?;
        if let Keys::Head | Keys::Member = map.kind.keys {
            let reason = format!("no element of {} can be deleted", map.kind.with_article());
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

    /// Unpins a map without deletable entries, or removes an empty bpffs directory.
    ///
    /// # Errors
    /// ENOTEMPTY if there is something that could be deleted first.
    pub fn rmdir(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<()> {
        self.admit(caller)?;
        let Node::Dir(dir) = &*self.dir(parent, CHANGE, caller)? else {
            return Err(Error::new(libc::EPERM, "a view cannot be removed"));
        };
        let (pin, kind) = self.pin_at(dir, name)?;
        match kind {
            PinKind::Dir => self.maps.as_caller(caller, || Ok(self.maps.bpffs.rmdir(&pin)?)),
            PinKind::Object(ObjectKind::Map) => {
                let at = MapRef::Pin(pin.clone());
                let (map, _) = self.maps.open(&at)?;
                if map.has_deletable()? {
                    let reason = "the map has entries: echo 1 > MAP/.unpin removes the pin alone; rm -r would \
                                  delete them first, also from a program that uses the map";
                    return Err(Error::new(libc::ENOTEMPTY, reason));
                }
                self.maps.as_caller(caller, || Ok(self.maps.bpffs.unlink(&pin)?))?;
                self.maps.close(&at);
                Ok(())
            }
            PinKind::Symlink | PinKind::Object(_) => {
                Err(Error::new(libc::ENOTDIR, "not a directory: rm removes it"))
            }
        }
    }

    /// Changes mode, owner or times: of the pin, for a map or anything in bpffs.
    ///
    /// # Errors
    /// EPERM for a file that has none of its own.
    pub fn setattr(&self, ino: Ino, changes: AttrChanges, caller: Caller) -> Result<Attr> {
        self.admit(caller)?;
        let node = self.dir(ino, 0, caller)?;
        let made;
        let pin = match &*node {
            Node::Dir(pin) | Node::Symlink(pin) | Node::Object(pin, _) => Some(pin),
            Node::In(MapRef::Pin(pin), Place::Root) => Some(pin),
            Node::New(..) => {
                // cp -p and install set the mode of the file that they wrote: of what it became, not of
                // what may have its name by now.
                made = self.made_by(ino, caller);
                made.as_ref()
            }
            Node::In(..) | Node::Ids | Node::Machine(_) | Node::Errors | Node::Help(_) => None,
        };
        let AttrChanges { mode, uid, gid, atime, mtime } = changes;
        match pin {
            Some(pin) => {
                // The x bits of a map's directory are not the pin's: they come with r and w.
                let is_map = matches!(&*node, Node::In(..) | Node::New(..));
                let kept = if is_map { 0o7666 } else { 0o7777 };
                let mode = mode.map(|mode| mode & kept);
                self.change_pin(pin, AttrChanges { mode, ..changes }, caller)?;
            }
            None if matches!(&*node, Node::New(..)) => {
                let reason = "nothing was written: write a SPEC, or mkdir a map by the default one";
                return Err(Error::new(libc::EINVAL, reason));
            }
            None if mode.or(uid).or(gid).is_some() => {
                // cp -a and tar set every file's mode, and then its directory's, which is the map's. So it
                // does no harm to leave undone what the key's mode is already, or what would let in more.
                let attr = self.attr_after(ino, caller)?;
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
                    if file.is_long() {
                        caller.long_work()?;
                    }
                    file.keep_promise()?;
                }
            }
            // A size: writes replace the whole value in any case.
            None => {}
        }
        self.attr_after(ino, caller)
    }

    /// The pin that an open name has become: the caller's own, if several have it open.
    fn made_by(&self, ino: Ino, caller: Caller) -> Option<Pin> {
        let files = self.made.open(ino);
        let own = files.iter().find(|file| file.opener().pid == caller.pid);
        own.or_else(|| files.iter().find(|file| file.made().is_some()))?.made()
    }

    /// Changes a pin with the caller's rights on the inode as it is: the kernel may have let the caller
    /// in by what it saw when it looked.
    fn change_pin(&self, pin: &Pin, changes: AttrChanges, caller: Caller) -> Result<()> {
        let inode = self.maps.bpffs.inode(pin)?;
        let act = || -> Result<()> {
            if changes.uid.or(changes.gid).is_some() {
                inode.chown(changes.uid, changes.gid)?;
            }
            if let Some(mode) = changes.mode {
                inode.chmod(mode)?;
            }
            if changes.atime.or(changes.mtime).is_some() {
                inode.set_times(changes.atime, changes.mtime)?;
            }
            Ok(())
        };
        if caller.is_owner {
            return act();
        }
        // Of the caller's groups, the one that decides: that which the pin is to get, or has.
        let deciding = changes.gid.unwrap_or(inode.stat()?.gid);
        let group = if caller.is_in(deciding)? { deciding } else { caller.gid };
        acting_only_as(caller.uid, group, act)?
    }
}

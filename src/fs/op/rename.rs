//! Renaming.

use super::ways::CHANGE;
use crate::bpffs::PinKind;
use crate::fs::Fs;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::element::view;
use crate::node::{Ino, MapRef, Node, Place, View};
use crate::sys::object::ObjectKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

impl Fs {
    /// Renames a pin or a bpffs directory, or a link into a map of maps to a key, with the flags of
    /// renameat2(2).
    ///
    /// # Errors
    /// EXDEV for keys, so that mv(1) copies and deletes; EPERM where that would do harm; ENOTEMPTY over
    /// a map that has entries.
    pub fn rename(
        &self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        flags: u32,
        caller: Caller,
    ) -> Result<()> {
        self.admit(caller)?;
        let from_dir = self.dir(from.0, CHANGE, caller)?;
        let to_dir = self.dir(to.0, CHANGE, caller)?;
        if let Node::In(at, Place::Root) = &*from_dir
            && from_dir == to_dir
            && let Some(outcome) = self.links.rename(&self.maps, at, from.1, to.1, flags, caller)
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
        self.maps.as_caller(caller, || {
            Ok(self.maps.bpffs.rename((from_dir, from.1), (to_dir, to.1), flags, caller.uid)?)
        })
        .map_err(|error| match error.errno {
            // mv(1) would make another map by the default spec, copy, and empty this one.
            libc::EXDEV => Error::new(
                libc::EPERM,
                "the kernel renames nothing from one mount of bpffs to another: pin it there with \
                 bpftool, then remove it here",
            ),
            _ => error,
        })?;
        // What lies below has other paths now.
        self.forget_dirs();
        Ok(())
    }

    /// Why what is not a pin, or would not become one, is not renamed. EXDEV makes mv(1) copy and
    /// delete: that is for elements, and for symlinks on their way into a map of maps.
    fn no_rename(&self, from_dir: &Node, name: &OsStr) -> Error {
        let can_be_copied = match from_dir {
            Node::In(_, place) => {
                let is_whole =
                    |view: &View| view::allows(view).delete && !name.as_bytes().starts_with(b".");
                place.keys().as_ref().is_some_and(is_whole)
            }
            Node::Dir(dir) => matches!(self.pin_at(dir, name), Ok((_, PinKind::Symlink))),
            Node::Symlink(_)
            | Node::Object(..)
            | Node::New(..)
            | Node::Ids
            | Node::Machine(_)
            | Node::Errors
            | Node::Help(_) => false,
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
}

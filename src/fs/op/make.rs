//! Making maps: `mkdir NAME` by the default spec, `echo SPEC > NAME` by the one written.

use super::lookup::Found;
use super::open::not_here;
use super::ways::CHANGE;
use crate::bpffs::Pin;
use crate::fs::Fs;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::opened::Opened;
use crate::fs::tree::make::{self, SpecFile};
use crate::node::{Ino, Node, Place, View};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

impl Fs {
    /// Makes a map by the default spec.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner, and for a name with a dot; EEXIST.
    pub fn mkdir(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<Found> {
        self.admit(caller)?;
        let dir = self.check_new_pin(parent, name, caller)?;
        make::make(&self.maps, &dir, name, &self.default_map, caller)?;
        self.look_up(&Arc::new(Node::Dir(dir)), parent, name, caller)
    }

    /// Makes a symlink in bpffs, or sets an element of a map of maps to the map that it leads to.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner; EEXIST.
    pub fn symlink(
        &self,
        parent: Ino,
        name: &OsStr,
        target: &Path,
        caller: Caller,
    ) -> Result<Found> {
        self.admit(caller)?;
        let dir = self.dir(parent, CHANGE, caller)?;
        if let Node::Dir(dir) = &*dir {
            self.maps.owner.only(caller, "making links")?;
            self.maps.bpffs.symlink(dir, name, target)?;
        } else if let Node::In(at, Place::Root) = &*dir {
            self.links.make(&self.maps, at, name, target, caller)?;
        } else {
            return Err(Error::new(libc::EPERM, "no links here"));
        }
        self.look_up(&dir, parent, name, caller)
    }

    /// Opens a name that becomes a map with the SPEC written to it.
    pub(super) fn create_spec(
        &self,
        parent: Ino,
        name: &OsStr,
        caller: Caller,
    ) -> Result<(Found, Opened)> {
        let dir = self.check_new_pin(parent, name, caller)?;
        let attr = self.new_attr(&dir)?;
        let ino = self.intern(Node::New(dir.clone(), name.into()));
        let file = Arc::new(SpecFile::new(&self.maps, dir, name, caller));
        let Ok(()) = self.made.add(ino, &file, |_| Ok::<(), Infallible>(()));
        let opened = self.opened(file, ino, caller, true);
        Ok((self.found(ino, attr), opened))
    }

    /// Refuses, with a reason, what bpffs refuses with a bare EPERM, and a name that is taken.
    fn check_new_pin(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<Pin> {
        let node = self.dir(parent, CHANGE, caller)?;
        if let Node::In(_, place @ Place::Element(View::Field(_), _)) = &*node {
            return Err(not_here(place));
        }
        let Node::Dir(dir) = &*node else {
            return Err(Error::new(libc::EPERM, "maps are made in directories of bpffs"));
        };
        self.maps.owner.only(caller, "creating maps")?;
        if name.as_bytes().contains(&b'.') {
            return Err(Error::new(libc::EPERM, "bpffs takes no name with a dot"));
        }
        match self.pin_at(dir, name) {
            Ok(_) => Err(Error::new(libc::EEXIST, "the name is taken")),
            Err(error) if error.errno == libc::ENOENT => Ok(dir.clone()),
            Err(error) => Err(error),
        }
    }
}

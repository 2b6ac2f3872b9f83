//! Making maps: `mkdir NAME` by the default spec, `echo SPEC > NAME` by the one written.

use super::Fs;
use super::attr::{Attr, FileKind};
use super::caller::Caller;
use super::error::{Error, Result};
use super::file::{OpenFile, Opened, part};
use super::lookup::Found;
use super::maps::Maps;
use super::place::{self, Sought};
use crate::bpffs::Pin;
use crate::node::{MapRef, Node, View};
use crate::spec::{CreateError, Created, Inner, Spec, SpecError};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

impl From<SpecError> for Error {
    fn from(error: SpecError) -> Self {
        Self::new(libc::EINVAL, error.reason)
    }
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        Self::new(error.errno, error.reason)
    }
}

impl Fs {
    /// Makes a map by the default spec.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner, and for a name with a dot; EEXIST.
    pub fn mkdir(&self, parent: u64, name: &OsStr, caller: Caller) -> Result<Found> {
        let dir = self.check_new_pin(parent, name, caller)?;
        make(&self.maps, &dir, name, &self.default_map, caller)?;
        self.refusals.created(caller.pid, &self.path(parent, Some(name)));
        self.lookup(parent, name, caller)
    }

    /// Opens a name that becomes a map with the SPEC written to it.
    pub(super) fn create_spec(
        &self,
        parent: u64,
        name: &OsStr,
        caller: Caller,
    ) -> Result<(Found, Opened)> {
        let dir = self.check_new_pin(parent, name, caller)?;
        let stat = self.maps.bpffs.stat(&dir)?;
        let ino = self.intern(Node::New(dir.clone(), name.into()));
        let attr = Attr::new_file(ino, self.owner, stat);
        self.refusals.created(caller.pid, &self.path(parent, Some(name)));
        let maps = Arc::clone(&self.maps);
        let state = Mutex::default();
        let file = SpecFile { maps, dir, name: name.into(), opener: caller, state };
        let opened = self.opened(Arc::new(file), ino, caller, true);
        Ok((Found { ino, attr }, opened))
    }

    /// Refuses, with a reason, what bpffs refuses with a bare EPERM, and a name that is taken.
    fn check_new_pin(&self, parent: u64, name: &OsStr, caller: Caller) -> Result<Pin> {
        let node = self.node(parent)?;
        let dir = match &*node {
            Node::Dir(dir) => dir,
            Node::Element(_, View::Field(_), _) => {
                return Err(Error::new(libc::ENOENT, "the value has no such member or index"));
            }
            _ => return Err(Error::new(libc::EPERM, "maps are made in directories of bpffs")),
        };
        self.owner_only(caller, "creating maps")?;
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

/// Creates a map and pins it.
fn make(maps: &Maps, dir: &Pin, name: &OsStr, spec: &Spec, caller: Caller) -> Result<()> {
    let from = MapRef::Pin(dir.clone());
    let resolve = |inner: &Inner| {
        let found = match inner {
            Inner::Id(id) => Sought::Map.by_id(*id),
            Inner::Path(path) => place::at_path(maps, path, &from, Sought::Map, caller),
            Inner::Definition(_) => Err(Error::new(libc::EINVAL, "no map to open")),
        };
        found.map_err(|error| CreateError {
            errno: error.errno,
            reason: format!("inner_map: {}", error.reason),
        })
    };
    let Created { fd, note } = spec.create(&name.to_string_lossy(), &resolve)?;
    maps.bpffs.pin(dir, name, &fd)?;
    if let Some(note) = note {
        log::info!("{}: {note}", dir.path.join(name).display());
    }
    Ok(())
}

/// A name that was created and becomes a map when a whole SPEC is written to it.
#[derive(Debug)]
struct SpecFile {
    maps: Arc<Maps>,
    dir: Pin,
    name: OsString,
    opener: Caller,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    made: bool,
    refused: bool,
}

impl OpenFile for SpecFile {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        reply(part(&state.text, offset, size));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.made {
            if data.trim_ascii().is_empty() {
                return Ok(data.len());
            }
            let reason = "the map is made; what follows its SPEC is written into its directory";
            return Err(Error::new(libc::EINVAL, reason));
        }
        if offset != state.text.len() as u64 {
            state.text.clear();
        }
        state.text.extend_from_slice(data);
        match Spec::parse(&state.text) {
            Ok(spec) => {
                let outcome = make(&self.maps, &self.dir, &self.name, &spec, self.opener);
                state.made = outcome.is_ok();
                state.refused = outcome.is_err();
                outcome.map(|()| data.len())
            }
            Err(error) if error.incomplete => Ok(data.len()),
            Err(error) => {
                state.refused = true;
                state.text.clear();
                Err(error.into())
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.made || state.refused
    }

    fn release(&self) -> Result<()> {
        if self.is_at_rest() {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refused = true;
        Spec::parse(&state.text).map(drop).map_err(Error::from)
    }
}

impl Attr {
    /// An empty file of `owner`, in a directory with these times.
    fn new_file(ino: u64, owner: u32, dir: crate::bpffs::Stat) -> Self {
        let stat = crate::bpffs::Stat { mode: 0o600, uid: owner, nlink: 1, ..dir };
        Self { ino, kind: FileKind::File, size: 0, stat }
    }
}

impl Fs {
    /// The attributes of a name that is yet to become a map.
    pub(super) fn new_attr(&self, dir: &Pin) -> Result<Attr> {
        Ok(Attr::new_file(0, self.owner, self.maps.bpffs.stat(dir)?))
    }
}

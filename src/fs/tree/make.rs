//! Making maps: `mkdir NAME` by the default spec, `echo SPEC > NAME` by the one written.

use super::place::{self, Sought};
use crate::bpffs::Pin;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{OpenFile, part};
use crate::node::MapRef;
use crate::spec::{CreateError, Created, Inner, Spec, SpecError};
use parking_lot::Mutex;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

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

/// Creates a map and pins it.
///
/// # Errors
/// The kernel's; EEXIST if the name is taken.
pub fn make(maps: &Maps, dir: &Pin, name: &OsStr, spec: &Spec, caller: Caller) -> Result<()> {
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
pub struct SpecFile {
    maps: Arc<Maps>,
    dir: Pin,
    name: OsString,
    opener: Caller,
    state: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    text: Vec<u8>,
    made: bool,
    refused: bool,
}

impl SpecFile {
    /// Opens the name `name` in `dir`, which is not taken.
    pub fn new(maps: &Arc<Maps>, dir: Pin, name: &OsStr, opener: Caller) -> Self {
        let maps = Arc::clone(maps);
        Self { maps, dir, name: name.to_owned(), opener, state: Mutex::default() }
    }
}

impl OpenFile for SpecFile {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        let state = self.state.lock();
        reply(part(&state.text, offset, size));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let mut state = self.state.lock();
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

    /// The kernel makes all elements of a map at once.
    fn is_long(&self) -> bool {
        true
    }

    fn is_at_rest(&self) -> bool {
        let state = self.state.lock();
        state.made || state.refused
    }

    fn release(&self) -> Result<()> {
        if self.is_at_rest() {
            return Ok(());
        }
        let mut state = self.state.lock();
        state.refused = true;
        Spec::parse(&state.text).map(drop).map_err(Error::from)
    }
}

//! Making maps and pins: `mkdir NAME` by the default spec, `echo SPEC > NAME` by what is written.

use super::place::{self, Sought};
use crate::bpffs::Pin;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::given::{self, TYPED_HERE};
use crate::fs::base::held::Held;
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{OpenFile, part};
use crate::node::MapRef;
use crate::spec::{CreateError, Created, Inner, Making, Spec, SpecError};
use crate::sys::map::map_info;
use crate::sys::object::{self, ObjectKind};
use parking_lot::Mutex;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
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

/// Makes what a text says, under a name in a directory of bpffs: a map, a pin of something loaded, or
/// a directory. Gives the pin.
///
/// # Errors
/// The kernel's; EEXIST if the name is taken; ENOENT if there is nothing with that id.
pub fn make(
    maps: &Maps,
    dir: &Pin,
    name: &OsStr,
    making: &Making,
    caller: Caller,
) -> Result<Option<Pin>> {
    let object = match making {
        Making::Map(spec) => create(maps, dir, name, spec, caller)?,
        Making::Pin(kind, id) => loaded(*kind, *id)?,
        Making::Directory => {
            maps.bpffs.mkdir(dir, name)?;
            return Ok(None);
        }
    };
    maps.bpffs.pin(dir, name, &object)?;
    // By now another program may have put something else there: it is not what was made.
    let Ok((pin, ..)) = maps.bpffs.child(dir, name, |_| None) else { return Ok(None) };
    let is_same = maps.bpffs.open(&pin).is_ok_and(|there| {
        let id = |object: &OwnedFd| object::object_id(object.as_fd());
        id(&there).is_some() && id(&there) == id(&object)
    });
    Ok(is_same.then_some(pin))
}

fn create(maps: &Maps, dir: &Pin, name: &OsStr, spec: &Spec, caller: Caller) -> Result<OwnedFd> {
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
    let Created { fd, note, types } = spec.create(&name.to_string_lossy(), &resolve)?;
    // As if they were written to `.type`.
    if let Some(Ok(types)) = types.map(|types| given::of(&types, TYPED_HERE.to_owned())) {
        maps.give_types(map_info(fd.as_fd())?.id, Some(Arc::new(types)));
    }
    if let Some(note) = note {
        log::info!("{}: {note}", dir.path.join(name).display());
    }
    Ok(fd)
}

fn loaded(kind: ObjectKind, id: u32) -> Result<OwnedFd> {
    let (opened, what) = match kind {
        ObjectKind::Map => (object::map_by_id(id), "map"),
        ObjectKind::Prog => (object::prog_by_id(id), "program"),
        ObjectKind::Link => (object::link_by_id(id), "link"),
        ObjectKind::Other => return Err(Error::new(libc::EINVAL, "nothing of that kind has ids")),
    };
    opened.map_err(|error| match error.errno {
        libc::ENOENT => Error::new(libc::ENOENT, format!("no {what} has the id {id}")),
        _ => error.into(),
    })
}

/// A name that was created and becomes what is written to it.
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
    text: Held,
    /// What was made; `Some(None)` if it is not there any more.
    made: Option<Option<Pin>>,
    refused: bool,
}

impl SpecFile {
    /// Opens the name `name` in `dir`, which is not taken.
    pub fn new(maps: &Arc<Maps>, dir: Pin, name: &OsStr, opener: Caller) -> Self {
        let maps = Arc::clone(maps);
        Self { maps, dir, name: name.to_owned(), opener, state: Mutex::default() }
    }

    /// Who opened it.
    pub fn opener(&self) -> Caller {
        self.opener
    }

    /// The pin that it has become.
    pub fn made(&self) -> Option<Pin> {
        self.state.lock().made.clone().flatten()
    }

    fn make(&self, state: &mut Written, making: &Making) -> Result<()> {
        match make(&self.maps, &self.dir, &self.name, making, self.opener) {
            Ok(pin) => {
                state.made = Some(pin);
                Ok(())
            }
            Err(error) => {
                state.refused = true;
                Err(error)
            }
        }
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
        if state.made.is_some() {
            if data.trim_ascii().is_empty() {
                return Ok(data.len());
            }
            let reason = "the map is made; what follows its SPEC is written into its directory";
            return Err(Error::new(libc::EINVAL, reason));
        }
        if offset != state.text.len() as u64 {
            state.text.clear();
        }
        if state.text.is_empty() && data.trim_ascii().is_empty() {
            // No shell would tell of it at close.
            state.refused = true;
            return Err(Error::new(libc::EINVAL, "the text is empty: write a SPEC"));
        }
        state.text.append(data)?;
        match Making::parse(&state.text) {
            // `entries 10` may be the beginning of `entries 1024`: what has no end of a line or of a
            // definition waits for the rest, or for the end of the file.
            Ok(_) if !state.text.ends_with(b"\n") && !state.text.trim_ascii().ends_with(b";") => {
                Ok(data.len())
            }
            Ok(making) => self.make(&mut state, &making).map(|()| data.len()),
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
        state.made.is_some() || state.refused
    }

    fn release(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.made.is_some() || state.refused {
            return Ok(());
        }
        state.refused = true;
        let making = Making::parse(&state.text)?;
        self.make(&mut state, &making)
    }
}

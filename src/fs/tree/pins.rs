//! Where a map is pinned. The kernel keeps no list of a map's pins, so all of them are walked.

use crate::bpffs::{Bpffs, Pin, PinKind};
use crate::fs::base::caller::{Caller, Groups};
use crate::fs::base::error::{Error, Result};
use crate::node::MapRef;
use crate::sys::is_shortage_of;
use crate::sys::map::map_info;
use crate::sys::object::{self, ObjectKind};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Directories walked at most.
const DIRS_MAX: usize = 4096;
/// Pins of which the map is remembered at most.
const KNOWN_MAX: usize = 1 << 16;
/// How long after the last walk it is still believed which map a pin holds. What an inode of bpffs holds
/// never changes, but its number has 32 bits and comes again at some time, if not so soon.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Which map each pin holds, as the last walks found it.
#[derive(Debug, Default)]
pub struct Pins(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The map's id by the pin's inode number; 0 for what holds no map.
    ids: HashMap<u64, u32>,
    walked: Option<Instant>,
}

/// A pin's path as text: what is no UTF-8 in it as `\xNN`, and so a backslash, so that `printf %b` gives the
/// name back whatever bytes it has.
fn shown(pin: &Pin) -> String {
    let mut text = String::new();
    for chunk in pin.path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\x5c"));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

impl Pins {
    /// The absolute paths of a map's pins in this bpffs, sorted: the one that it was reached by, and
    /// those in directories that the caller could list.
    ///
    /// # Errors
    /// EMFILE, ENOMEM and the like if not all pins could be looked at; EINTR if nobody asks any more.
    pub fn of_map(
        &self,
        id: u32,
        at: &MapRef,
        bpffs: &Bpffs,
        caller: Caller,
    ) -> Result<Vec<String>> {
        let mut found: Vec<String> = match at {
            MapRef::Pin(pin) => vec![shown(&bpffs.current(pin))],
            MapRef::Id(_) => Vec::new(),
        };
        self.walk(bpffs, caller, |map, pin| {
            if map == id {
                found.push(shown(pin));
            }
        })?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The pins of all maps in directories that the caller could list, by the maps' ids.
    ///
    /// # Errors
    /// As for [`Self::of_map`].
    pub fn of_all(&self, bpffs: &Bpffs, caller: Caller) -> Result<HashMap<u32, Vec<String>>> {
        let mut found: HashMap<u32, Vec<String>> = HashMap::new();
        self.walk(bpffs, caller, |map, pin| found.entry(map).or_default().push(shown(pin)))?;
        found.values_mut().for_each(|pins| pins.sort());
        Ok(found)
    }

    /// Tells of each pin which map it holds.
    fn walk(&self, bpffs: &Bpffs, caller: Caller, mut tell: impl FnMut(u32, &Pin)) -> Result<()> {
        let mut dirs = vec![bpffs.root()];
        let mut walked = 0;
        let groups = Groups::new();
        self.lock(|known| {
            if known.walked.is_none_or(|at| at.elapsed() > KNOWN_FOR) || known.ids.len() > KNOWN_MAX
            {
                known.ids.clear();
            }
            known.walked = Some(Instant::now());
        });
        while let Some(dir) = dirs.pop() {
            walked += 1;
            if walked > DIRS_MAX {
                return Err(Error::new(libc::EOVERFLOW, "bpffs has too many directories to walk"));
            }
            caller.go_on()?;
            let listed = match bpffs.stat(&dir) {
                Ok(stat) if !caller.may(&stat, 0o5, &groups)? => continue,
                // What each is, is seen as it is opened.
                Ok(_) => bpffs.list(&dir, |_| Some(ObjectKind::Map)),
                Err(error) => Err(error),
            };
            let entries = match listed {
                Ok(entries) => entries,
                Err(error) if is_shortage_of(&error) => return Err(error.into()),
                // A directory that went away meanwhile has no pins.
                Err(_) => continue,
            };
            for entry in entries {
                match entry.kind {
                    PinKind::Dir => dirs.push(entry.pin),
                    PinKind::Object(_) => match self.map_id(bpffs, &entry.pin)? {
                        0 => {}
                        map => tell(map, &entry.pin),
                    },
                    PinKind::Symlink => {}
                }
            }
        }
        Ok(())
    }

    /// The id of the map that a pin holds; 0 if it holds none.
    fn map_id(&self, bpffs: &Bpffs, pin: &Pin) -> Result<u32> {
        if let Some(id) = self.lock(|known| known.ids.get(&pin.ino).copied()) {
            return Ok(id);
        }
        let opened = match bpffs.open(pin) {
            Ok(object) => object,
            Err(error) if is_shortage_of(&error) => return Err(error.into()),
            // Gone meanwhile, or of the kind that the kernel does not open.
            Err(_) => return Ok(0),
        };
        let id = match object::object_kind(opened.as_fd()) {
            ObjectKind::Map => map_info(opened.as_fd())?.id,
            ObjectKind::Prog | ObjectKind::Link | ObjectKind::Other => 0,
        };
        self.lock(|known| known.ids.insert(pin.ino, id));
        Ok(id)
    }

    fn lock<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.0.lock())
    }
}

//! The files of a map that are no elements: their names, who may open them, and opening.

use super::attr::{both_mode, file_mode, read_mode};
use super::caller::Caller;
use super::element::Access;
use super::entries::EntriesFile;
use super::error::{Error, Result};
use super::file::{OpenFile, Snapshot};
use super::queue::{self, Push};
use super::switch::Switch;
use super::{Fs, clear, count, definition, freeze, info, stream};
use crate::map::{Keys, Map};
use crate::node::{Control, MapRef};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Every control: its name, and the access that BPF_OBJ_GET would need for the same.
const CONTROLS: &[(Control, &str, Access)] = &[
    (Control::Info, ".info", READ),
    (Control::Schema, ".schema", READ),
    (Control::Entries, ".entries", BOTH),
    (Control::Count, ".count", READ),
    (Control::Clear, ".clear", WRITE),
    (Control::Freeze, ".freeze", BOTH),
    (Control::Watch, ".watch", READ),
    (Control::Push, ".push", WRITE),
    (Control::Pop, ".pop", READ),
    (Control::Stream, ".stream", BOTH),
];

const READ: Access = Access { read: true, write: false };
const WRITE: Access = Access { read: false, write: true };
const BOTH: Access = Access { read: true, write: true };

impl Control {
    fn row(self) -> Option<&'static (Self, &'static str, Access)> {
        CONTROLS.iter().find(|(control, ..)| *control == self)
    }

    /// The control's file name.
    pub fn name(self) -> &'static str {
        self.row().map_or("", |(_, name, _)| name)
    }

    /// The control of that name.
    pub fn named(name: &OsStr) -> Option<Self> {
        let row = CONTROLS.iter().find(|(_, own, _)| own.as_bytes() == name.as_bytes());
        row.map(|(control, ..)| *control)
    }

    /// Whether a map of this kind has the control; false where the name means something else.
    ///
    /// # Errors
    /// EOPNOTSUPP if the kind has nothing of the name.
    pub fn check_kind(self, map: &Map) -> Result<bool> {
        let keys = map.kind.keys;
        let has = match self {
            Self::Push => matches!(keys, Keys::Head | Keys::Member),
            Self::Pop if keys != Keys::Head => return Ok(false),
            Self::Stream => stream::is_stream(&map.kind),
            _ => true,
        };
        let reason = || format!("{} has no {}", map.kind.with_article(), self.name());
        if has { Ok(true) } else { Err(Error::new(libc::EOPNOTSUPP, reason())) }
    }

    /// The mode of the control's file, from the pin's.
    pub fn mode(self, pin: u32) -> u32 {
        match self.row().map(|(_, _, access)| *access) {
            // Reading takes away.
            _ if self == Self::Pop => both_mode(pin),
            _ if self == Self::Stream => both_mode(pin) | both_mode(pin) >> 1,
            Some(Access { read: true, write: true }) => file_mode(pin),
            Some(Access { read: false, write: true }) => pin & 0o222,
            _ => read_mode(pin),
        }
    }
}

impl Fs {
    /// Opens a control.
    ///
    /// # Errors
    /// EACCES to write what can only be read, or the reverse; the control's own.
    pub(super) fn open_control(
        &self,
        at: &MapRef,
        control: Control,
        access: Access,
        caller: Caller,
    ) -> Result<Arc<dyn OpenFile>> {
        let allowed = control.row().map_or(READ, |(_, _, access)| *access);
        if access.write && !allowed.write {
            return Err(Error::new(libc::EACCES, format!("{} can only be read", control.name())));
        }
        if access.read && !allowed.read {
            return Err(Error::new(
                libc::EACCES,
                format!("{} can only be written", control.name()),
            ));
        }
        let (map, _) = self.maps.open(at)?;
        match control {
            Control::Schema => Ok(Arc::new(Snapshot::new(definition::render(&map)?))),
            Control::Push => Ok(Arc::new(Push::new(at, &self.maps))),
            Control::Pop => queue::open_taken(&map, &[], access),
            Control::Stream => self.open_stream(at, None, access, caller),
            Control::Info => {
                let pins = self.pins.of_map(map.info.id, at, &self.maps.bpffs, caller);
                Ok(Arc::new(Snapshot::new(info::render(&map, pins))))
            }
            Control::Entries => {
                if access.write && map.kind.is_reference() {
                    self.owner_only(caller, "setting references")?;
                }
                Ok(Arc::new(EntriesFile::open(&self.maps, at, &map, access, caller)?))
            }
            Control::Count => Ok(Arc::new(Snapshot::new(count::render(&map)?))),
            Control::Clear => Ok(self.switch(at, Vec::new(), clear::clear)),
            Control::Freeze => Ok(self.switch(at, freeze::render(&map), freeze::freeze)),
            Control::Watch => self.watches.open(at, &map),
        }
    }

    fn switch(&self, at: &MapRef, text: Vec<u8>, act: fn(&Map) -> Result<()>) -> Arc<dyn OpenFile> {
        Arc::new(Switch { maps: Arc::clone(&self.maps), at: at.clone(), text, act })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_control_has_one_row() {
        for (control, name, _) in CONTROLS {
            assert_eq!(Control::named(OsStr::new(name)), Some(*control));
            assert_eq!(control.name(), *name);
        }
    }

    #[test]
    fn reading_controls_never_show_w() {
        assert_eq!(Control::Info.mode(0o666), 0o444);
    }
}

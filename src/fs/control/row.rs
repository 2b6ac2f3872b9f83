//! What a control is: one row says all that differs between them.

use super::state::ControlState;
use crate::fs::base::attr::{both_mode, both_rw_mode, file_mode, read_mode};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::{Facts, HelpLine};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{Access, OpenFile};
use crate::map::Map;
use crate::node::MapRef;
use std::sync::Arc;

/// A file of a map that is no element.
#[derive(Debug)]
pub struct Control {
    /// Its name in the map's directory.
    pub name: &'static str,
    /// Who may open it, and for what.
    pub rights: Rights,
    /// Why a map has not got it; `None` if it has.
    pub lacks: fn(&Facts) -> Option<Error>,
    /// Its lines in the map's help.
    pub help: &'static [HelpLine],
    /// Opens it.
    pub open: fn(&Opening<'_>) -> Result<Arc<dyn OpenFile>>,
}

/// What reading a control gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// A text that has an end, and is still there after it was read.
    Text,
    /// The next element, which is gone then.
    Next,
    /// What comes, for ever.
    Endless,
    /// It is only written.
    Nothing,
}

/// What opening a control asks for: the access that BPF_OBJ_GET would need for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// It is read, by whom the pin lets read.
    Read,
    /// The same, and there is no end.
    Follow,
    /// It is written, by whom the pin lets write.
    Write,
    /// It is read and written, each by whom the pin lets.
    ReadWrite,
    /// It is read, and reading takes away: by whom the pin lets both read and write.
    Take,
    /// Both at once, by whom the pin lets both.
    Stream,
}

impl Rights {
    /// The file's mode, from the pin's.
    pub fn mode(self, pin: u32) -> u32 {
        match self {
            Self::Read | Self::Follow => read_mode(pin),
            Self::Write => pin & 0o222,
            Self::ReadWrite => file_mode(pin),
            Self::Take => both_mode(pin),
            Self::Stream => both_rw_mode(pin),
        }
    }

    /// Whether to read it takes something away.
    pub fn takes(self) -> bool {
        match self {
            Self::Take | Self::Stream => true,
            Self::Read | Self::Follow | Self::Write | Self::ReadWrite => false,
        }
    }

    /// What there is to read.
    pub fn reads(self) -> Reads {
        match self {
            Self::Read | Self::ReadWrite => Reads::Text,
            Self::Take => Reads::Next,
            Self::Follow | Self::Stream => Reads::Endless,
            Self::Write => Reads::Nothing,
        }
    }

    fn check(self, name: &str, access: Access) -> Result<()> {
        let only = match self {
            Self::Read | Self::Follow | Self::Take if access.write => "read",
            Self::Write if access.read => "written",
            Self::Read
            | Self::Follow
            | Self::Take
            | Self::Write
            | Self::ReadWrite
            | Self::Stream => return Ok(()),
        };
        Err(Error::new(libc::EACCES, format!("{name} can only be {only}")))
    }
}

/// What an open of a control has at hand.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Where the map is opened again later.
    pub maps: &'a Arc<Maps>,
    /// The map.
    pub at: &'a MapRef,
    /// The same, open.
    pub map: &'a Arc<Map>,
    /// For reading, writing or both.
    pub access: Access,
    /// Who opens.
    pub caller: Caller,
    /// What controls keep.
    pub state: &'a ControlState,
}

impl Control {
    /// Opens it for who may.
    ///
    /// # Errors
    /// EACCES to write what can only be read, or the reverse; the control's own.
    pub fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn OpenFile>> {
        self.rights.check(self.name, opening.access)?;
        (self.open)(opening)
    }
}

/// For controls that every map has.
pub fn nothing_lacks(_: &Facts) -> Option<Error> {
    None
}

/// For controls of those maps alone whose elements can be listed.
pub fn unlisted(map: &Facts) -> Option<Error> {
    let reason = || format!("the elements of {} cannot be listed", map.kind.with_article());
    (!map.lists()).then(|| Error::new(libc::EOPNOTSUPP, reason()))
}

/// That a kind of map has no control of that name.
pub fn unknown_to(map: &Facts, name: &str) -> Error {
    Error::new(libc::EOPNOTSUPP, format!("{} has no {name}", map.kind.with_article()))
}

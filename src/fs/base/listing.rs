//! What a listing gives.

use super::attr::FileKind;
use crate::node::Ino;
use std::ffi::OsStr;

/// A name in a listing.
#[derive(Debug, Clone, Copy)]
pub struct ListEntry<'a> {
    /// The number that a look-up of the name will give.
    pub ino: Ino,
    /// Where the next read goes on after this entry.
    pub next: u64,
    /// Directory, file or symlink.
    pub kind: FileKind,
    /// The name.
    pub name: &'a OsStr,
}

/// Takes entries; true if one did not fit any more.
pub type Sink<'a> = dyn FnMut(ListEntry<'_>) -> bool + 'a;

/// Entries before the first listed one: `.` and `..`.
pub const DOTS: u64 = 2;

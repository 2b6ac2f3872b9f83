//! A file that is open, and by whom.

use super::caller::Caller;
use super::handles::Handle;
use super::open_file::OpenFile;
use crate::node::Ino;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file, and who opened it by which inode number: so that closing it can be told from closing a
/// duplicate.
#[derive(Debug)]
pub struct OpenedFile {
    /// What answers.
    pub file: Arc<dyn OpenFile>,
    /// The inode number that it was opened by.
    pub ino: Ino,
    /// Who opened it.
    pub opener: Caller,
    /// When.
    pub since: Instant,
}

/// How long what was opened is about to be read: so long its size is that of what reading gives, then
/// that of what there is by now.
const JUST: Duration = Duration::from_secs(1);

impl OpenedFile {
    /// The size of what reading gives, if it was opened just now.
    pub fn size_just_opened(&self) -> Option<u64> {
        if self.since.elapsed() < JUST { self.file.size() } else { None }
    }
}

/// What an open gives.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// The handle for further calls.
    pub handle: Handle,
    /// Whether closing matters: what is only read needs no flush.
    pub flush: bool,
}

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

/// For so long after an open its text is about to be read, and the size that is told is that text's.
/// Afterwards it is the size of what there is by then.
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

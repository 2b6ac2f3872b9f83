//! A file that is open, and by whom.

use super::caller::Caller;
use super::handles::Handle;
use super::open_file::OpenFile;
use crate::node::Ino;
use std::sync::Arc;

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
}

/// What an open gives.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// The handle for further calls.
    pub handle: Handle,
    /// Whether closing matters: what is only read needs no flush.
    pub flush: bool,
}

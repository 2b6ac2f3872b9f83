//! An open directory.

use crate::fs::base::attr::FileKind;
use crate::fs::element::walk::KeyListing;
use crate::node::{Ino, Node};
use parking_lot::Mutex;
use std::ffi::OsString;
use std::sync::Arc;

/// A directory that is open, and how far it was read.
#[derive(Debug)]
pub struct OpenDir {
    pub(super) node: Arc<Node>,
    pub(super) own: Ino,
    pub(super) parent: Ino,
    pub(super) listing: Mutex<DirListing>,
}

/// What an open directory lists.
#[derive(Debug)]
pub(super) enum DirListing {
    /// Few names, read at once.
    Whole(Option<Vec<Listed>>),
    /// Keys, as they are walked.
    Keys(KeyListing),
}

/// A name of a listing that is read at once.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) ino: Ino,
    pub(super) kind: FileKind,
    pub(super) name: OsString,
}

//! An open directory.

use crate::fs::base::attr::FileKind;
use crate::fs::base::error::Result;
use crate::fs::base::held::Share;
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
    /// Names that are read at once: mostly few, but users make as many as they like.
    Whole(WholeListing),
    /// Keys, as they are walked.
    Keys(KeyListing),
}

/// A listing that is read at once, counted as held by who opened the directory.
#[derive(Debug, Default)]
pub(super) struct WholeListing {
    entries: Option<Vec<Listed>>,
    held: Share,
}

impl WholeListing {
    /// Whether it was read.
    pub(super) fn is_read(&self) -> bool {
        self.entries.is_some()
    }

    /// Forgets what was read.
    pub(super) fn rewind(&mut self) {
        self.entries = None;
        self.held.set(0);
    }

    /// What was read, or what `read` gives now.
    ///
    /// # Errors
    /// Those of `read`; ENOMEM if open files hold too much already.
    pub(super) fn read(&mut self, read: impl FnOnce() -> Result<Vec<Listed>>) -> Result<&[Listed]> {
        if self.entries.is_none() {
            let new = read()?;
            let names: usize = new.iter().map(|entry| entry.name.capacity()).sum();
            // With what the allocator adds for each name.
            let size = new.capacity() * size_of::<Listed>() + names + 16 * new.len();
            self.held.check(size)?;
            self.held.set(size);
            self.entries = Some(new);
        }
        Ok(self.entries.as_deref().unwrap_or_default())
    }
}

/// A name of a listing that is read at once.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) ino: Ino,
    pub(super) kind: FileKind,
    pub(super) name: OsString,
}

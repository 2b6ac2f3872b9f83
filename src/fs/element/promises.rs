//! Elements that an open(2) with O_CREAT has promised and no write has made yet.
//!
//! The map has no such element, so that programs which read it never see a half-made one; what is
//! known of it is known here, until the file is closed.

use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::element::file::ElementFile;
use crate::node::Ino;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The open files that were created, by inode number.
#[derive(Debug, Default)]
pub struct Promises(Mutex<HashMap<Ino, Vec<Weak<ElementFile>>>>);

impl Promises {
    /// Adds a file that was created with this inode number.
    ///
    /// # Errors
    /// EEXIST if it is to be the only one, by O_EXCL, and so is another: of two programs that take
    /// the same lock file, one must fail.
    pub fn add(&self, ino: Ino, file: &Arc<ElementFile>) -> Result<()> {
        let mut promises = self.0.lock();
        let files = promises.entry(ino).or_default();
        if file.is_exclusive() && files.iter().filter_map(Weak::upgrade).any(|f| f.is_exclusive()) {
            return Err(Error::new(libc::EEXIST, "another program is just creating it"));
        }
        files.push(Arc::downgrade(file));
        Ok(())
    }

    /// The file that has promised the element and not made it: the caller's own, if there are several.
    pub fn open(&self, ino: Ino, caller: Caller) -> Option<Arc<ElementFile>> {
        let promises = self.0.lock();
        let mut files: Vec<_> = promises.get(&ino)?.iter().filter_map(Weak::upgrade).collect();
        drop(promises);
        files.retain(|file| file.is_promise());
        let own = files.iter().position(|file| file.opener().pid == caller.pid);
        match own {
            Some(own) => Some(files.swap_remove(own)),
            None => files.pop(),
        }
    }

    /// Forgets the files that were closed.
    pub fn clean(&self, ino: Ino) {
        let mut promises = self.0.lock();
        if let Some(files) = promises.get_mut(&ino) {
            files.retain(|file| file.strong_count() > 0);
            if files.is_empty() {
                promises.remove(&ino);
            }
        }
    }
}

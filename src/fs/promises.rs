//! Elements that an open(2) with O_CREAT has promised and no write has made yet.
//!
//! The map has no such element, so that programs which read it never see a half-made one; what is
//! known of it is known here, until the file is closed.

use super::caller::Caller;
use super::element::ElementFile;
use super::error::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The open files that were created, by inode number.
#[derive(Debug, Default)]
pub struct Promises(Mutex<HashMap<u64, Vec<Weak<ElementFile>>>>);

impl Promises {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Weak<ElementFile>>>> {
        // Whole even if a holder of the lock panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a file that was created with this inode number.
    ///
    /// # Errors
    /// EEXIST if it is to be the only one, by O_EXCL, and so is another: of two programs that take
    /// the same lock file, one must fail.
    pub fn add(&self, ino: u64, file: &Arc<ElementFile>) -> Result<()> {
        let mut promises = self.lock();
        let files = promises.entry(ino).or_default();
        if file.is_exclusive() && files.iter().filter_map(Weak::upgrade).any(|f| f.is_exclusive()) {
            return Err(Error::new(libc::EEXIST, "another program is just creating it"));
        }
        files.push(Arc::downgrade(file));
        Ok(())
    }

    /// The file that has promised the element and not made it: the caller's own, if there are several.
    pub fn open(&self, ino: u64, caller: Caller) -> Option<Arc<ElementFile>> {
        let promises = self.lock();
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
    pub fn clean(&self, ino: u64) {
        let mut promises = self.lock();
        if let Some(files) = promises.get_mut(&ino) {
            files.retain(|file| file.strong_count() > 0);
            if files.is_empty() {
                promises.remove(&ino);
            }
        }
    }
}

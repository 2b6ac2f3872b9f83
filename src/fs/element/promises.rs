//! Elements that an open(2) with O_CREAT has promised and no write has made yet.
//!
//! The map has no such element, so that programs which read it never see a half-made one; what is
//! known of it is known here, until the file is closed.

use super::file::ElementFile;
use crate::fs::base::by_ino::ByIno;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::node::Ino;
use std::sync::Arc;

/// The open files that were created, by inode number.
#[derive(Debug, Default)]
pub struct Promises(ByIno<ElementFile>);

impl Promises {
    /// Adds a file that was created with this inode number.
    ///
    /// # Errors
    /// EEXIST if it is to be the only one, by O_EXCL, and so is another: of two programs that take
    /// the same lock file, one must fail.
    pub fn add(&self, ino: Ino, file: &Arc<ElementFile>) -> Result<()> {
        self.0.add(ino, file, |others| {
            if file.is_exclusive() && others.iter().any(|other| other.is_exclusive()) {
                return Err(Error::new(libc::EEXIST, "another program is just creating it"));
            }
            Ok(())
        })
    }

    /// The file that has promised the element and not made it: the caller's own, if there are several.
    pub fn open(&self, ino: Ino, caller: Caller) -> Option<Arc<ElementFile>> {
        let mut files = self.0.open(ino);
        files.retain(|file| file.is_promise());
        let own = files.iter().position(|file| file.opener().pid == caller.pid);
        match own {
            Some(own) => Some(files.swap_remove(own)),
            None => files.pop(),
        }
    }

    /// Forgets the files that were closed.
    pub fn clean(&self, ino: Ino) {
        self.0.clean(ino);
    }
}

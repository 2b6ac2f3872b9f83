//! Open files that stand for something not there yet, by the inode number that the kernel knows.

use crate::node::Ino;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Open files by inode number; closed ones are left out.
#[derive(Debug)]
pub struct ByIno<T>(Mutex<HashMap<Ino, Vec<Weak<T>>>>);

impl<T> Default for ByIno<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> ByIno<T> {
    /// Adds a file, unless `check` refuses it beside those that are open.
    ///
    /// # Errors
    /// Those of `check`. No other file is added while it decides.
    pub fn add<E>(
        &self,
        ino: Ino,
        file: &Arc<T>,
        check: impl FnOnce(&[Arc<T>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut files = self.0.lock();
        let files = files.entry(ino).or_default();
        check(&upgraded(files))?;
        files.push(Arc::downgrade(file));
        Ok(())
    }

    /// Adds a file that stands beside any others.
    pub fn push(&self, ino: Ino, file: &Arc<T>) {
        self.0.lock().entry(ino).or_default().push(Arc::downgrade(file));
    }

    /// Asks `find` of each file, the newest first, and gives the first answer.
    pub fn newest<R>(&self, ino: Ino, mut find: impl FnMut(&T) -> Option<R>) -> Option<R> {
        // Dropped without the lock.
        let files = self.0.lock().get(&ino).cloned()?;
        files.iter().rev().filter_map(Weak::upgrade).find_map(|file| find(&file))
    }

    /// Those that are open.
    pub fn open(&self, ino: Ino) -> Vec<Arc<T>> {
        self.0.lock().get(&ino).map(|files| upgraded(files)).unwrap_or_default()
    }

    /// Forgets those that were closed.
    pub fn clean(&self, ino: Ino) {
        let mut by_ino = self.0.lock();
        if let Some(files) = by_ino.get_mut(&ino) {
            files.retain(|file| file.strong_count() > 0);
            if files.is_empty() {
                by_ino.remove(&ino);
            }
        }
    }
}

fn upgraded<T>(files: &[Weak<T>]) -> Vec<Arc<T>> {
    files.iter().filter_map(Weak::upgrade).collect()
}

//! Open files and directories, by the handle that the kernel gives back.

use super::error::{Error, Result};
use super::quota::{self, Permit};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number by which the kernel names an open file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// What is open.
#[derive(Debug)]
pub struct Handles<T> {
    open: RwLock<HashMap<Handle, (Arc<T>, Permit)>>,
    next: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { open: RwLock::default(), next: AtomicU64::new(1) }
    }
}

impl<T> Handles<T> {
    /// Gives a handle to what was opened, and counts it as open by who asks: [`quota::OPEN`].
    pub fn add(&self, open: Arc<T>) -> Handle {
        let handle = Handle(self.next.fetch_add(1, Ordering::Relaxed));
        self.open.write().insert(handle, (open, quota::OPEN.count()));
        handle
    }

    /// What has this handle.
    ///
    /// # Errors
    /// EBADF if nothing has.
    pub fn get(&self, handle: Handle) -> Result<Arc<T>> {
        let open = self.open.read();
        open.get(&handle)
            .map(|(open, _)| Arc::clone(open))
            .ok_or_else(|| Error::new(libc::EBADF, "not open"))
    }

    /// Takes it back.
    pub fn remove(&self, handle: Handle) -> Option<Arc<T>> {
        self.open.write().remove(&handle).map(|(open, _)| open)
    }
}

//! What open files and directories hold, counted: who may only read a map must not be able to take all of
//! the machine's memory by opening it again and again.

use super::error::{Error, Result};
use crate::map::{Map, room};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that open files may hold together before no more are opened. What one file holds is not
/// limited here: a value may be as large as the kernel lets it.
const MOST: usize = 1 << 30;
/// Values up to this size are always served: the kernel spends as much on a file that is open.
const SMALL: usize = 1 << 10;

/// Of the whole process, since memory is.
static ALL: Budget = Budget { used: AtomicUsize::new(0) };

#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
}

impl Budget {
    fn check(&self, size: usize) -> Result<()> {
        if size > SMALL && self.used.load(Ordering::Relaxed) > MOST {
            let reason = format!("open files hold {} MiB already: close some", MOST >> 20);
            return Err(Error::new(libc::ENOMEM, reason));
        }
        Ok(())
    }
}

/// Whether there is room for the text of another value of `size` bytes. To be asked before it is made.
///
/// # Errors
/// ENOMEM if open files hold too much already.
pub fn check(size: usize) -> Result<()> {
    ALL.check(size)
}

/// Whether there is room for another walk over a map, which holds some of its elements at a time. To
/// be asked before it begins.
///
/// # Errors
/// As for [`check`].
pub fn check_walk(map: &Map) -> Result<()> {
    let element = map.info.key_size as usize + map.value_len();
    check(element.saturating_mul(map.info.max_entries as usize))
}

/// Bytes that an open file or directory holds in whatever form: counted as it says.
#[derive(Debug)]
pub struct Share {
    counted: usize,
    budget: &'static Budget,
}

impl Share {
    fn of(budget: &'static Budget) -> Self {
        Self { counted: 0, budget }
    }

    /// Counts so many bytes from now on, instead of those before.
    pub fn set(&mut self, bytes: usize) {
        // Wraps around to less, and sums stay right.
        self.budget.used.fetch_add(bytes.wrapping_sub(self.counted), Ordering::Relaxed);
        self.counted = bytes;
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::of(&ALL)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Text that an open file holds, counted.
#[derive(Debug)]
pub struct Held {
    bytes: Vec<u8>,
    share: Share,
}

impl Held {
    /// Counts `bytes` until they are dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self::of(&ALL, bytes)
    }

    fn of(budget: &'static Budget, bytes: Vec<u8>) -> Self {
        let mut held = Self { bytes, share: Share::of(budget) };
        held.count();
        held
    }

    /// Counts what is allocated now.
    fn count(&mut self) {
        self.share.set(self.bytes.capacity());
    }

    /// Appends `more`.
    ///
    /// # Errors
    /// ENOMEM if there is no room, or open files hold too much already.
    pub fn append(&mut self, more: &[u8]) -> Result<()> {
        self.share.budget.check(self.bytes.len().saturating_add(more.len()))?;
        room::append(&mut self.bytes, more)?;
        self.count();
        Ok(())
    }

    /// Forgets the bytes, not the room for them.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        static BUDGET: Budget = Budget { used: AtomicUsize::new(0) };
        let used = || BUDGET.used.load(Ordering::Relaxed);
        let small = Held::of(&BUDGET, vec![0; 1000]);
        let mut grows = Held::of(&BUDGET, Vec::new());
        grows.append(&[7; 5000]).unwrap();
        assert!(used() >= 6000, "{}", used());
        // As large as one value may be.
        let large = Held::of(&BUDGET, Vec::with_capacity(MOST));
        assert_eq!(grows.append(b"x").map_err(|error| error.errno), Err(libc::ENOMEM));
        assert_eq!(BUDGET.check(SMALL + 1).map_err(|error| error.errno), Err(libc::ENOMEM));
        BUDGET.check(SMALL).unwrap();
        assert_eq!(grows.len(), 5000, "what was refused has changed nothing");
        drop(large);
        grows.append(b"x").unwrap();
        drop((small, grows));
        assert_eq!(used(), 0);
    }
}

//! Storing many elements with few calls.

use super::{ANY, Map};
use crate::sys;

/// Bytes of keys and values in one batch.
const BATCH_BYTES: usize = 256 * 1024;
/// Elements in a batch at most: more do not pay.
const BATCH_MAX: usize = 4096;

/// Elements on their way into a map, stored in the order in which they came (BPF_ANY).
#[derive(Debug, Default)]
pub struct Load {
    keys: Vec<u8>,
    values: Vec<u8>,
    count: usize,
    /// The kind has no BPF_MAP_UPDATE_BATCH.
    one_by_one: bool,
}

impl Load {
    /// Bytes allocated.
    pub fn allocated(&self) -> usize {
        self.keys.capacity() + self.values.capacity()
    }

    /// Adds an element: `key_size` and [`Map::value_len`] bytes.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        self.count += 1;
    }

    /// Elements that wait to be stored.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no element waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it is time to store what waits.
    pub fn is_full(&self) -> bool {
        self.count >= BATCH_MAX || self.keys.len() + self.values.len() >= BATCH_BYTES
    }

    /// Stores what waits: how many elements were stored, and why not the one after them. Nothing
    /// waits any more in either case.
    pub fn store(&mut self, map: &Map) -> (usize, sys::Result<()>) {
        let outcome = self.try_store(map);
        self.keys.clear();
        self.values.clear();
        self.count = 0;
        outcome
    }

    fn try_store(&mut self, map: &Map) -> (usize, sys::Result<()>) {
        let mut done = 0;
        if !self.one_by_one && self.count > 1 {
            let raw = map.raw();
            match raw.update_batch(&self.keys, &self.values, self.count, map.lock()) {
                (stored, Ok(())) => return (stored, Ok(())),
                (_, Err(error)) if error.errno == libc::EOPNOTSUPP => self.one_by_one = true,
                // Not every kernel says which element it refused: the single call does. Storing
                // one a second time changes nothing.
                (stored, Err(_)) => done = stored,
            }
        }
        let (key_size, value_len) = (map.info.key_size as usize, map.value_len());
        while done < self.count {
            let key = &self.keys[done * key_size..][..key_size];
            let value = &self.values[done * value_len..][..value_len];
            if let Err(error) = map.update(key, value, ANY) {
                return (done, Err(error));
            }
            done += 1;
        }
        (done, Ok(()))
    }
}

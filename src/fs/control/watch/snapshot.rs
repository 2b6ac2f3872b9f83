//! All elements of a map at one moment, in the kernel's order, and where each stands when they are sorted
//! by key. The kernel's order stays the same as long as no keys come or go, so that most moments are
//! compared without being sorted.

use crate::map::cursor::{Batch, Cursor};
use crate::map::{Map, room};
use crate::sys;
use std::cmp::Ordering;

/// A map's elements: as many bytes as keys and values have, and a number for each.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Records of `key_size + value_len` bytes, in the kernel's order.
    pub(super) records: Vec<u8>,
    /// Which record is the n-th by key; of one that was met twice, one alone. Empty as long as nobody
    /// has asked for it.
    order: Vec<u32>,
    key_size: usize,
    pub(super) stride: usize,
}

impl Snapshot {
    /// Reads all elements; they are not sorted yet.
    ///
    /// # Errors
    /// The kernel's; ENOMEM.
    pub(super) fn take(map: &Map) -> sys::Result<Self> {
        let (key_size, value_len) = (map.info.key_size as usize, map.value_len());
        let mut cursor = Cursor::new(map, true);
        let mut batch = Batch::default();
        let mut records = Vec::new();
        loop {
            cursor.next(map, &mut batch)?;
            if batch.count == 0 {
                break;
            }
            for n in 0..batch.count {
                room::append(&mut records, &batch.keys[n * key_size..][..key_size])?;
                room::append(&mut records, &batch.values[n * value_len..][..value_len])?;
            }
        }
        records.shrink_to_fit();
        Ok(Self { records, order: Vec::new(), key_size, stride: key_size + value_len })
    }

    /// Sorts them.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn sort(&mut self) -> sys::Result<()> {
        // Most keys differ in their first 8 bytes, which are compared as one number.
        let mut order: Vec<(u64, u32)> = Vec::new();
        room::reserve(&mut order, self.met())?;
        let records = self.records.chunks_exact(self.stride.max(1));
        order.extend((0..).zip(records).map(|(at, record)| (prefix(&record[..self.key_size]), at)));
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| self.key_at(a.1).cmp(self.key_at(b.1)))
        });
        // A key that came, went and came again while a trie was walked is met twice.
        order.dedup_by(|a, b| self.key_at(a.1) == self.key_at(b.1));
        self.order = Vec::new();
        room::reserve(&mut self.order, order.len())?;
        self.order.extend(order.into_iter().map(|(_, at)| at));
        Ok(())
    }

    /// Whether the same keys stand in the same places.
    pub(super) fn has_keys_of(&self, other: &Self) -> bool {
        let keys = |of: &Self| (of.records.len(), of.key_size, of.stride);
        if keys(self) != keys(other) {
            return false;
        }
        // Whole pages at once, since most are equal.
        let page = self.stride.max(1) * 64;
        self.records.chunks(page).zip(other.records.chunks(page)).all(|(ours, theirs)| {
            ours == theirs
                || ours
                    .chunks_exact(self.stride)
                    .zip(theirs.chunks_exact(self.stride))
                    .all(|(a, b)| a[..self.key_size] == b[..self.key_size])
        })
    }

    /// Takes over the order of another one that has the same keys in the same places.
    pub(super) fn order_of(&mut self, other: &mut Self) {
        self.order = std::mem::take(&mut other.order);
    }

    /// Bytes allocated.
    pub(super) fn allocated(&self) -> usize {
        self.records.capacity() + self.order.capacity() * size_of::<u32>()
    }

    /// How many records there are, those met twice included.
    pub(super) fn met(&self) -> usize {
        self.records.len() / self.stride.max(1)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The place of the n-th record by key.
    pub(super) fn place(&self, n: usize) -> usize {
        self.order[n] as usize
    }

    fn key_at(&self, place: u32) -> &[u8] {
        &self.records[place as usize * self.stride..][..self.key_size]
    }

    /// The n-th key.
    pub(super) fn key(&self, n: usize) -> &[u8] {
        self.key_at(self.order[n])
    }

    /// The record in a place: its key and value.
    pub(super) fn record(&self, place: usize) -> &[u8] {
        &self.records[place * self.stride..][..self.stride]
    }

    /// The value of the n-th key.
    pub(super) fn value(&self, n: usize) -> &[u8] {
        &self.record(self.place(n))[self.key_size..]
    }

    /// The first key behind `key`, or of all.
    pub(super) fn after(&self, key: Option<&[u8]>) -> usize {
        let Some(key) = key else { return 0 };
        self.order.partition_point(|&place| self.key_at(place).cmp(key) != Ordering::Greater)
    }
}

/// The first 8 bytes of a key, so that numbers order as the bytes do.
fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Elements of 1-byte keys and values, not sorted.
    pub(in crate::fs::control::watch) fn snapshot(elements: &[(u8, u8)]) -> Snapshot {
        let records: Vec<u8> = elements.iter().flat_map(|&(key, value)| [key, value]).collect();
        Snapshot { records, order: Vec::new(), key_size: 1, stride: 2 }
    }

    /// Elements of 2-byte keys, which are 0.
    pub(in crate::fs::control::watch) fn of_keys(keys: std::ops::Range<u16>) -> Snapshot {
        let records =
            keys.flat_map(|key| [key.to_be_bytes()[0], key.to_be_bytes()[1], 0]).collect();
        Snapshot { records, order: Vec::new(), key_size: 2, stride: 3 }
    }

    #[test]
    fn finds_and_walks() {
        let mut snapshot = snapshot(&[(5, 50), (1, 10), (9, 90), (5, 50)]);
        snapshot.sort().unwrap();
        assert_eq!((snapshot.len(), snapshot.met()), (3, 4));
        let key = |n: usize| (snapshot.key(n)[0], snapshot.value(n)[0]);
        assert_eq!(key(snapshot.after(None)), (1, 10));
        assert_eq!(key(snapshot.after(Some(&[1]))), (5, 50));
        assert_eq!(key(snapshot.after(Some(&[6]))), (9, 90));
        assert_eq!(snapshot.after(Some(&[9])), 3);
    }

    #[test]
    fn the_same_keys_in_the_same_places() {
        let old = snapshot(&[(2, 2), (1, 1)]);
        assert!(snapshot(&[(2, 3), (1, 1)]).has_keys_of(&old));
        assert!(!snapshot(&[(1, 1), (2, 2)]).has_keys_of(&old));
        assert!(!snapshot(&[(2, 2)]).has_keys_of(&old));
        assert!(snapshot(&[]).has_keys_of(&snapshot(&[])));
    }

    #[test]
    fn long_keys_with_one_beginning() {
        let mut records = Vec::new();
        for n in [3_u8, 1, 2] {
            records.extend([7; 9]);
            records.extend([n, n]);
        }
        let mut snapshot = Snapshot { records, order: Vec::new(), key_size: 10, stride: 11 };
        snapshot.sort().unwrap();
        let keys: Vec<u8> = (0..snapshot.len()).map(|n| snapshot.key(n)[9]).collect();
        assert_eq!(keys, [1, 2, 3]);
    }
}

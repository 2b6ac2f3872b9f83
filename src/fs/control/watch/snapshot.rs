//! All elements of a map at one moment, sorted by key, and how two moments differ.

use crate::map::cursor::{Batch, Cursor};
use crate::map::{Map, room};
use crate::sys;
use std::cmp::Ordering;

/// A map's elements: as many bytes as keys and values have.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Records of `key_size + value_len` bytes, sorted by key.
    records: Vec<u8>,
    key_size: usize,
    stride: usize,
}

/// How an element changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was not there.
    Added,
    /// It has another value.
    Changed,
    /// It is gone.
    Deleted,
}

impl Snapshot {
    /// Reads all elements.
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
        Self::sorted(&records, key_size, key_size + value_len)
    }

    fn sorted(unsorted: &[u8], key_size: usize, stride: usize) -> sys::Result<Self> {
        let records = unsorted.chunks_exact(stride.max(1));
        // Most keys differ in their first 8 bytes, which are compared as one number.
        let mut order: Vec<(u64, &[u8])> = Vec::new();
        room::reserve(&mut order, records.len())?;
        order.extend(records.map(|record| (prefix(&record[..key_size]), record)));
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| a.1[..key_size].cmp(&b.1[..key_size]))
        });
        // A key that came, went and came again while a trie was walked is met twice.
        order.dedup_by(|a, b| a.1[..key_size] == b.1[..key_size]);
        let mut records = Vec::new();
        room::reserve(&mut records, order.len() * stride)?;
        for (_, record) in order {
            records.extend_from_slice(record);
        }
        Ok(Self { records, key_size, stride })
    }

    /// Bytes allocated.
    pub(super) fn allocated(&self) -> usize {
        self.records.capacity()
    }

    fn len(&self) -> usize {
        self.records.len() / self.stride.max(1)
    }

    fn key(&self, n: usize) -> &[u8] {
        &self.records[n * self.stride..][..self.key_size]
    }

    /// Where `key` is, or would be.
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let n = self.find(key).ok()?;
        self.records[n * self.stride..][..self.stride].get(self.key_size..)
    }

    /// Key and value of the first element behind `key`, or of the first of all.
    pub(super) fn after(&self, key: Option<&[u8]>) -> Option<(&[u8], &[u8])> {
        let n = match key.map(|key| self.find(key)) {
            None => 0,
            Some(Ok(n)) => n + 1,
            Some(Err(n)) => n,
        };
        self.records.chunks_exact(self.stride.max(1)).nth(n)?.split_at_checked(self.key_size)
    }

    /// Tells, key by key, how `new` differs.
    pub(super) fn compare(&self, new: &Self, mut tell: impl FnMut(&[u8], Change)) {
        let (mut a, mut b) = (0, 0);
        while a < self.len() || b < new.len() {
            let order = if a == self.len() {
                Ordering::Greater
            } else if b == new.len() {
                Ordering::Less
            } else {
                self.key(a).cmp(new.key(b))
            };
            match order {
                Ordering::Less => {
                    tell(self.key(a), Change::Deleted);
                    a += 1;
                }
                Ordering::Greater => {
                    tell(new.key(b), Change::Added);
                    b += 1;
                }
                Ordering::Equal => {
                    let record = |of: &Self, n: usize| n * of.stride..(n + 1) * of.stride;
                    if self.records[record(self, a)] != new.records[record(new, b)] {
                        tell(new.key(b), Change::Changed);
                    }
                    a += 1;
                    b += 1;
                }
            }
        }
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

    /// Elements of 1-byte keys and values.
    pub(in crate::fs::control::watch) fn snapshot(elements: &[(u8, u8)]) -> Snapshot {
        let records: Vec<u8> = elements.iter().flat_map(|&(key, value)| [key, value]).collect();
        Snapshot::sorted(&records, 1, 2).unwrap()
    }

    #[test]
    fn finds_and_walks() {
        let snapshot = snapshot(&[(5, 50), (1, 10), (9, 90)]);
        assert_eq!(snapshot.get(&[5]), Some(&[50][..]));
        assert_eq!(snapshot.get(&[4]), None);
        assert_eq!(snapshot.after(None), Some((&[1][..], &[10][..])));
        assert_eq!(snapshot.after(Some(&[1])), Some((&[5][..], &[50][..])));
        assert_eq!(snapshot.after(Some(&[6])), Some((&[9][..], &[90][..])));
        assert_eq!(snapshot.after(Some(&[9])), None);
    }

    #[test]
    fn tells_each_difference_once() {
        let (old, new) = (snapshot(&[(1, 1), (2, 2), (3, 3)]), snapshot(&[(2, 2), (3, 4), (7, 7)]));
        let mut told = Vec::new();
        old.compare(&new, |key, change| told.push((key[0], change)));
        assert_eq!(told, [(1, Change::Deleted), (3, Change::Changed), (7, Change::Added)]);
        let mut none = Vec::new();
        new.compare(&new, |key, _| none.push(key.to_vec()));
        assert!(none.is_empty());
    }

    #[test]
    fn long_keys_with_one_beginning() {
        let mut records = Vec::new();
        for n in [3_u8, 1, 2] {
            records.extend([7; 9]);
            records.extend([n, n]);
        }
        let snapshot = Snapshot::sorted(&records, 10, 11).unwrap();
        let mut keys = Vec::new();
        let mut at: Option<Vec<u8>> = None;
        while let Some((key, _)) = snapshot.after(at.as_deref()) {
            keys.push(key[9]);
            at = Some(key.to_vec());
        }
        assert_eq!(keys, [1, 2, 3]);
    }
}

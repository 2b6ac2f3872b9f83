//! A map in the kernel's place, which fails when it is told to.

use crate::map::{ANY, EXIST, NOEXIST};
use crate::sys::map::Element;
use std::collections::BTreeMap;

/// The kernel's own number for what a map has no function for.
const ENOTSUPP: i32 = 524;

/// BPF_F_CPU
const ONE_CPU: u64 = 8;

/// A hash whose bucket is a key's first byte, or a trie.
#[derive(Default)]
pub(super) struct FakeKernel {
    /// In the order of a walk.
    pub(super) elements: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Calls so far.
    pub(super) calls: usize,
    /// Answered instead, by the number of the call.
    pub(super) answers: BTreeMap<usize, i32>,
    /// Keys that go away just before a call.
    pub(super) gone: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Whether there are batches.
    pub(super) no_batches: bool,
    /// Whether it sets one CPU's value alone, in values of 8 bytes, as Linux 6.19 does; and how often it has.
    pub(super) one_cpu: bool,
    pub(super) alone: usize,
    /// Buckets in a batch at most.
    pub(super) buckets: usize,
    /// Elements that have room.
    pub(super) room: usize,
    /// What look-ups in batches were asked for, and how often there was no room.
    pub(super) asked: Vec<u32>,
    pub(super) full: usize,
}

impl FakeKernel {
    /// What the kernel answers to a call.
    pub(super) fn answer(&mut self, element: Element<'_>) -> i32 {
        self.calls += 1;
        for key in self.gone.remove(&self.calls).unwrap_or_default() {
            self.elements.remove(&key);
        }
        if let Some(errno) = self.answers.get(&self.calls) {
            return -errno;
        }
        match element {
            Element::Lookup { key, value, .. } => {
                match self.elements.get(key.unwrap_or_default()) {
                    Some(found) => {
                        value.copy_from_slice(found);
                        0
                    }
                    None => -libc::ENOENT,
                }
            }
            Element::Update { key, value, flags } => self.update(key, value, flags),
            Element::Delete { key } => match self.elements.remove(key.unwrap_or_default()) {
                Some(_) => 0,
                None => -libc::ENOENT,
            },
            Element::Take { .. } => -ENOTSUPP,
            Element::NextKey { after, next } => {
                // From a key that is gone, at the first one.
                let after = after.filter(|key| self.elements.contains_key(*key));
                let mut keys = self.elements.keys();
                match keys.find(|key| after.is_none_or(|after| key.as_slice() > after)) {
                    Some(key) => {
                        next.copy_from_slice(key);
                        0
                    }
                    None => -libc::ENOENT,
                }
            }
            Element::LookupBatch { .. } | Element::UpdateBatch { .. } if self.no_batches => {
                -ENOTSUPP
            }
            Element::LookupBatch { token, first, keys, values, count, .. } => {
                self.lookup_batch(token, first, keys, values, count)
            }
            Element::UpdateBatch { keys, values, count, .. } => {
                let n = *count as usize;
                let (key_len, value_len) = (keys.len() / n, values.len() / n);
                for i in 0..n {
                    let (key, value) = (&keys[i * key_len..][..key_len], &values[i * value_len..]);
                    let rc = self.update(Some(key), &value[..value_len], ANY);
                    if rc < 0 {
                        *count = i as u32;
                        return rc;
                    }
                }
                0
            }
            Element::DeleteBatch { .. } => -ENOTSUPP,
        }
    }

    fn update(&mut self, key: Option<&[u8]>, value: &[u8], flags: u64) -> i32 {
        let key = key.unwrap_or_default();
        if flags & ONE_CPU != 0 {
            let at = 8 * (flags >> 32) as usize;
            if !self.one_cpu {
                return -libc::EINVAL;
            }
            self.alone += 1;
            let present = self.elements.get_mut(key).expect("of a new one the rest is not zeros");
            present[at..at + 8].copy_from_slice(&value[..8]);
            return 0;
        }
        match (flags, self.elements.contains_key(key)) {
            (NOEXIST, true) => -libc::EEXIST,
            (EXIST, false) => -libc::ENOENT,
            (_, false) if self.elements.len() == self.room => -libc::E2BIG,
            _ => {
                self.elements.insert(key.to_vec(), value.to_vec());
                0
            }
        }
    }

    fn lookup_batch(
        &mut self,
        token: &mut [u8],
        first: bool,
        keys: &mut [u8],
        values: &mut [u8],
        count: &mut u32,
    ) -> i32 {
        self.asked.push(*count);
        let room = std::mem::take(count) as usize;
        let mut bucket = if first { 0 } else { u32::from(token[0]) + 256 * u32::from(token[1]) };
        let mut done = 0;
        for _ in 0..self.buckets {
            if bucket > 255 {
                return -libc::ENOENT;
            }
            let held = self.elements.iter().filter(|(key, _)| u32::from(key[0]) == bucket);
            let held: Vec<_> = held.collect();
            if done + held.len() > room {
                if done == 0 {
                    self.full += 1;
                    return -libc::ENOSPC;
                }
                break;
            }
            for (key, value) in held {
                keys[done * key.len()..][..key.len()].copy_from_slice(key);
                values[done * value.len()..][..value.len()].copy_from_slice(value);
                done += 1;
            }
            *count = done as u32;
            bucket += 1;
            token[..2].copy_from_slice(&(bucket as u16).to_le_bytes());
        }
        0
    }
}

//! Walking a map's elements in bounded memory, while other programs change it.
//!
//! A key that is present throughout comes exactly once, and every walk ends. How that is held
//! differs by kind (see [`Listing`]): hash tables are read bucket by bucket, tries in their own
//! order, indices by counting. Only the few kinds that have nothing but BPF_MAP_GET_NEXT_KEY in no
//! order remember the keys that they gave.

use super::{Listing, Map, room};
use crate::sys::{self, Call};
use std::cmp::Ordering;
use std::collections::HashSet;

/// Bytes of keys and values that one batch may take, unless a single hash bucket needs more.
const BATCH_BYTES: usize = 256 * 1024;
/// Elements in a batch at most: more do not pay.
const BATCH_MAX: usize = 4096;
/// Elements in a batch at least: no hash bucket was met that has more than 64.
const BATCH_MIN: usize = 64;
/// Bytes that [`BATCH_MIN`] elements may take; of larger elements a batch has fewer.
const BATCH_LARGE: usize = 4 << 20;
/// Trie keys remembered to go on from when the present one is deleted.
const TRAIL: usize = 32;

/// Some elements: keys one after the other, and values likewise if they were asked for.
#[derive(Debug, Default)]
pub struct Batch {
    /// `count` keys.
    pub keys: Vec<u8>,
    /// `count` look-ups' bytes ([`Map::value_len`] each), or none.
    pub values: Vec<u8>,
    /// How many elements.
    pub count: usize,
}

impl Batch {
    /// Bytes allocated.
    pub fn allocated(&self) -> usize {
        self.keys.capacity() + self.values.capacity()
    }

    /// Adds a key, with its value if there is a buffer to look it up into; one that is gone by now
    /// is left out.
    fn push(&mut self, map: &Map, key: &[u8], value: Option<&mut Vec<u8>>) -> sys::Result<()> {
        if let Some(value) = value {
            if !map.lookup(key, value)? {
                return Ok(());
            }
            room::append(&mut self.values, value)?;
        }
        self.keys.extend_from_slice(key);
        self.count += 1;
        Ok(())
    }
}

/// A position in a walk over a map's elements.
#[derive(Debug)]
pub struct Cursor {
    state: State,
    values: bool,
}

#[derive(Debug)]
enum State {
    Index { next: u64 },
    Buckets { token: Vec<u8>, first: bool, count: usize },
    Trie { trail: Vec<Vec<u8>> },
    Seen { seen: HashSet<Box<[u8]>>, last: Option<Box<[u8]>> },
    Head,
    Done,
}

impl Cursor {
    /// Bytes allocated, roughly: much only where the keys that were given are remembered.
    pub fn allocated(&self) -> usize {
        match &self.state {
            // A hash set's slot: a pointer, a length and a byte, and what the allocator adds.
            State::Seen { seen, last } => {
                seen.len() * (last.as_deref().map_or(0, <[u8]>::len) + 48)
            }
            _ => 0,
        }
    }

    /// A walk from the start; with `values`, each batch has them too.
    pub fn new(map: &Map, values: bool) -> Self {
        let state = match map.kind.listing {
            // Values too small for a socket's cookie cannot be read, and only reading tells which indices
            // are set.
            Listing::Sparse if !map.is_readable() => State::Done,
            Listing::Index | Listing::Sparse => State::Index { next: 0 },
            Listing::Batch => {
                State::Buckets { token: Vec::new(), first: true, count: batch_len(map) }
            }
            Listing::Trie => State::Trie { trail: Vec::new() },
            Listing::NextKey => State::Seen { seen: HashSet::new(), last: None },
            Listing::Head => State::Head,
            Listing::Nothing => State::Done,
        };
        Self { state, values }
    }

    /// Fills `batch` with the next elements; none means the end.
    ///
    /// # Errors
    /// The kernel's; the walk can be tried again from the same place.
    pub fn next(&mut self, map: &Map, batch: &mut Batch) -> sys::Result<()> {
        loop {
            batch.keys.clear();
            batch.values.clear();
            batch.count = 0;
            match &mut self.state {
                State::Index { next } if self.values || map.kind.listing == Listing::Sparse => {
                    let outcome = look_up_indices(map, next, self.values, batch);
                    unless_given(outcome, batch)?;
                }
                State::Index { next } => count_indices(map, next, batch),
                State::Buckets { token, first, count } => {
                    let end = match next_buckets(map, token, first, count, batch) {
                        // Maps of maps have no batches before Linux 5.17.
                        Err(error) if *first && error.errno == libc::EOPNOTSUPP => {
                            self.state = State::Seen { seen: HashSet::new(), last: None };
                            continue;
                        }
                        outcome => outcome?,
                    };
                    if !self.values {
                        batch.values.clear();
                    }
                    if end {
                        self.state = State::Done;
                    } else if batch.count == 0 {
                        continue;
                    }
                }
                State::Trie { trail } => {
                    unless_given(next_trie(map, trail, self.values, batch), batch)?;
                }
                State::Seen { seen, last } => {
                    unless_given(next_unseen(map, seen, last, self.values, batch), batch)?;
                }
                State::Head => {
                    let mut value = Vec::new();
                    if map.lookup(&[], &mut value)? {
                        batch.count = 1;
                        if self.values {
                            batch.values = value;
                        }
                    }
                    self.state = State::Done;
                }
                State::Done => {}
            }
            return Ok(());
        }
    }
}

/// An error only if no element was found before it: those must not be lost. It comes again if its
/// cause stays.
fn unless_given(outcome: sys::Result<()>, batch: &Batch) -> sys::Result<()> {
    if batch.count > 0 { Ok(()) } else { outcome }
}

fn batch_len(map: &Map) -> usize {
    let element = map.info.key_size as usize + map.value_len();
    let fits = BATCH_BYTES / element.max(1);
    let most = (map.info.max_entries as usize).max(1);
    // Of large values fewer must do: a bucket that does not fit makes the batch grow.
    let least = (BATCH_LARGE / element.max(1)).clamp(1, BATCH_MIN);
    fits.clamp(least, BATCH_MAX).min(most)
}

fn count_indices(map: &Map, next: &mut u64, batch: &mut Batch) {
    let end = u64::from(map.info.max_entries).min(*next + BATCH_MAX as u64);
    for index in *next..end {
        batch.keys.extend_from_slice(&(index as u32).to_ne_bytes());
        batch.count += 1;
    }
    *next = end;
}

/// Indices with their values, those that are not set left out.
fn look_up_indices(map: &Map, next: &mut u64, values: bool, batch: &mut Batch) -> sys::Result<()> {
    let most = batch_len(map);
    let mut value = Vec::new();
    room::zeros(&mut value, map.value_len())?;
    while batch.count < most && *next < u64::from(map.info.max_entries) {
        let key = (*next as u32).to_ne_bytes();
        match map.raw().lookup(&key, &mut value, 0) {
            Ok(()) => {
                if values {
                    room::append(&mut batch.values, &value)?;
                }
                batch.keys.extend_from_slice(&key);
                batch.count += 1;
            }
            Err(error) if error.errno == libc::ENOENT => {}
            Err(error) => return Err(error),
        }
        *next += 1;
    }
    Ok(())
}

/// One batch of whole buckets. True at the map's end.
fn next_buckets(
    map: &Map,
    token: &mut Vec<u8>,
    first: &mut bool,
    count: &mut usize,
    batch: &mut Batch,
) -> sys::Result<bool> {
    token.resize(map.raw().token_len(), 0);
    let (key_size, value_len) = (map.info.key_size as usize, map.value_len());
    let flags = map.lock();
    loop {
        batch.keys.resize(*count * key_size, 0);
        room::resize(&mut batch.values, *count * value_len)?;
        let raw = map.raw();
        match raw.lookup_batch(token, *first, &mut batch.keys, &mut batch.values, *count, flags) {
            Ok(done) => {
                *first = false;
                batch.count = done.count.min(*count);
                batch.keys.truncate(batch.count * key_size);
                batch.values.truncate(batch.count * value_len);
                return Ok(done.end);
            }
            // One bucket holds more than `count`; max_entries are always enough.
            Err(error) if error.errno == libc::ENOSPC && *count < map.info.max_entries as usize => {
                *count = (*count * 2).min(map.info.max_entries as usize);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The next keys of a trie. The kernel gives them in post-order, and starts again at the first
/// when it is asked with a key that is gone; the order tells that, and an earlier key, still
/// present, leads back to where the walk was.
fn next_trie(
    map: &Map,
    trail: &mut Vec<Vec<u8>>,
    values: bool,
    batch: &mut Batch,
) -> sys::Result<()> {
    let most = batch_len(map).min(256);
    let mut next = vec![0; map.info.key_size as usize];
    let mut value = Vec::new();
    while batch.count < most {
        if !step_trie(map, trail, &mut next)? {
            break;
        }
        batch.push(map, &next, values.then_some(&mut value))?;
        if trail.len() == TRAIL {
            trail.remove(0);
        }
        trail.push(next.clone());
    }
    Ok(())
}

/// Finds the first key after the trail's last in the trie's order. False at the end.
fn step_trie(map: &Map, trail: &[Vec<u8>], next: &mut [u8]) -> sys::Result<bool> {
    let Some(last) = trail.last() else { return map.raw().next_key(None, next) };
    for from in trail.iter().rev() {
        // From a key that is present, the walk goes on behind it; what it passes again is skipped.
        let mut key = from.clone();
        loop {
            if !map.raw().next_key(Some(&key), next)? {
                return Ok(false);
            }
            if trie_order(next, last) == Ordering::Greater {
                return Ok(true);
            }
            if trie_order(next, &key) != Ordering::Greater {
                // Started again: `key` is gone. An earlier one may still be there.
                break;
            }
            key.copy_from_slice(next);
        }
    }
    // The whole trail is gone: from the start, past all that was given.
    let mut more = map.raw().next_key(None, next)?;
    let mut steps = 0_u64;
    while more && trie_order(next, last) != Ordering::Greater {
        let key = next.to_vec();
        more = map.raw().next_key(Some(&key), next)?;
        steps += 1;
        if steps > 4 * u64::from(map.info.max_entries) {
            // Deletions keep sending the walk back to the start: it ends rather than hang.
            return Err(sys::Error { call: Call::MapGetNextKey, errno: libc::EBUSY });
        }
    }
    Ok(more)
}

/// The order in which a trie is walked: the 0 branch, the 1 branch, then the node itself
/// (`trie_get_next_key` in `kernel/bpf/lpm_trie.c`). Bits behind the prefix do not count.
pub fn trie_order(a: &[u8], b: &[u8]) -> Ordering {
    let (Some((a_len, a)), Some((b_len, b))) =
        (a.split_first_chunk::<4>(), b.split_first_chunk::<4>())
    else {
        return a.cmp(b);
    };
    let (a_len, b_len) = (u32::from_ne_bytes(*a_len), u32::from_ne_bytes(*b_len));
    let common = a_len.min(b_len);
    for bit in 0..common {
        let (byte, mask) = ((bit / 8) as usize, 0x80_u8 >> (bit % 8));
        let (x, y) = (a.get(byte).map(|v| v & mask), b.get(byte).map(|v| v & mask));
        match x.cmp(&y) {
            Ordering::Equal => {}
            order => return order,
        }
    }
    // The longer, more specific one is below the other and comes first.
    b_len.cmp(&a_len)
}

/// The next keys that were not given before, for kinds with BPF_MAP_GET_NEXT_KEY alone.
fn next_unseen(
    map: &Map,
    seen: &mut HashSet<Box<[u8]>>,
    last: &mut Option<Box<[u8]>>,
    values: bool,
    batch: &mut Batch,
) -> sys::Result<()> {
    // Twice through the largest map, and some for churn: then the walk ends.
    let mut steps = 2 * u64::from(map.info.max_entries) + 1024;
    let mut next = vec![0; map.info.key_size as usize];
    let mut value = Vec::new();
    while batch.count < BATCH_MIN && steps > 0 {
        steps -= 1;
        if !map.raw().next_key(last.as_deref(), &mut next)? {
            break;
        }
        if !seen.contains(next.as_slice()) {
            batch.push(map, &next, values.then_some(&mut value))?;
            seen.insert(next.clone().into_boxed_slice());
        }
        *last = Some(next.clone().into_boxed_slice());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(len: u32, data: [u8; 4]) -> Vec<u8> {
        [&len.to_ne_bytes()[..], &data].concat()
    }

    #[test]
    fn trie_order_is_post_order() {
        let walk = [
            key(8, [1, 0, 0, 0]),
            key(16, [10, 0, 0, 0]),
            key(16, [10, 1, 0, 0]),
            key(8, [10, 0, 0, 0]),
            key(8, [200, 0, 0, 0]),
            key(0, [0, 0, 0, 0]),
        ];
        assert!(walk.is_sorted_by(|a, b| trie_order(a, b) == Ordering::Less));
    }

    #[test]
    fn trie_order_ignores_host_bits() {
        assert_eq!(trie_order(&key(8, [10, 9, 9, 9]), &key(8, [10, 1, 2, 3])), Ordering::Equal);
    }
}

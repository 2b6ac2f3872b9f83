//! Whether an LPM trie has exactly a prefix: the kernel has no call for that.
//!
//! A look-up finds the longest entry that covers a prefix. But BPF_MAP_GET_NEXT_KEY starts again at
//! the first key if the one it is given is absent, and never comes back to the first key from one
//! that is present (`trie_get_next_key` in `kernel/bpf/lpm_trie.c`), so two answers tell.
//!
//! Kernels before 6.13, but for those that were mended, go on from an absent key as if it were
//! another one of its length. There, look-ups tell most, and walking to the key's place the rest.

use super::cursor::trie_order;
use super::{present, room};
use crate::sys::map::{ANY, MapFd, NewMap, create, kind};
use crate::sys::{self, Call};
use std::cmp::Ordering;
use std::sync::OnceLock;

/// How often the first key may change under the question before it is given up.
const TRIES: usize = 64;

/// Whether the trie has an entry of exactly this prefix and length.
///
/// # Errors
/// EBUSY if the trie's first key keeps changing; the kernel's.
pub(super) fn has(map: &MapFd, key: &[u8]) -> sys::Result<bool> {
    static RESTARTS: OnceLock<bool> = OnceLock::new();
    // What cannot be tried may be wrong.
    if *RESTARTS.get_or_init(|| restarts().unwrap_or(false)) {
        has_by_restart(map, key)
    } else {
        has_by_walk(map, key)
    }
}

/// Whether this kernel's walk starts again from an absent key: tried on a trie with one entry.
fn restarts() -> sys::Result<bool> {
    const NO_PREALLOC: u32 = 1;
    let new = NewMap {
        map_type: kind::LPM_TRIE,
        name: "bpffuse_try".to_owned(),
        key_size: 5,
        value_size: 1,
        max_entries: 1,
        flags: NO_PREALLOC,
        ..NewMap::default()
    };
    let (map, _) = MapFd::new(create(&new)?)?;
    let [a, b, c, d] = 8_u32.to_ne_bytes();
    map.update(&[a, b, c, d, 0x40], &[0], ANY)?;
    map.next_key(Some(&[a, b, c, d, 0x41]), &mut [0; 5])
}

/// [`has`] on any kernel, in as many calls as the trie has entries before the key, unless nothing
/// covers it. An entry that comes or goes meanwhile may be missed.
pub(super) fn has_by_walk(map: &MapFd, key: &[u8]) -> sys::Result<bool> {
    if !covers(map, key)? {
        return Ok(false);
    }
    let Some((len, data)) = key.split_first_chunk::<4>() else { return Ok(false) };
    let Some(shorter) = u32::from_ne_bytes(*len).checked_sub(1) else { return Ok(true) };
    let shorter = [&shorter.to_ne_bytes()[..], data].concat();
    // Asked around the key itself, lest an entry that comes or goes between be taken for it.
    if !covers(map, &shorter)? && covers(map, key)? && !covers(map, &shorter)? {
        return Ok(true);
    }
    let (mut at, mut next) = (vec![0; map.key_size()], vec![0; map.key_size()]);
    let mut more = map.next_key(None, &mut at)?;
    let mut restarts = 0;
    while more {
        match trie_order(&at, key) {
            Ordering::Less => {}
            order => return Ok(order.is_eq()),
        }
        more = map.next_key(Some(&at), &mut next)?;
        if more && trie_order(&next, &at).is_le() {
            restarts += 1;
            if restarts > TRIES {
                return Err(sys::Error { call: Call::MapGetNextKey, errno: libc::EBUSY });
            }
        }
        std::mem::swap(&mut at, &mut next);
    }
    Ok(false)
}

/// Whether a look-up finds an entry for this prefix: its own, or a shorter one.
fn covers(map: &MapFd, key: &[u8]) -> sys::Result<bool> {
    let mut value = Vec::new();
    room::resize(&mut value, map.value_len())?;
    present(map.lookup(key, &mut value, 0))
}

/// [`has`] where the walk starts again from an absent key.
pub(super) fn has_by_restart(map: &MapFd, key: &[u8]) -> sys::Result<bool> {
    let mut first = vec![0; map.key_size()];
    let mut next = first.clone();
    let mut again = first.clone();
    if !map.next_key(None, &mut first)? {
        return Ok(false);
    }
    for _ in 0..TRIES {
        if same_prefix(&first, key) {
            return Ok(true);
        }
        let more = map.next_key(Some(key), &mut next)?;
        if !map.next_key(None, &mut again)? {
            return Ok(false);
        }
        if first == again {
            return Ok(!more || next != first);
        }
        std::mem::swap(&mut first, &mut again);
    }
    Err(sys::Error { call: Call::MapGetNextKey, errno: libc::EBUSY })
}

/// The value of exactly this entry into `value`. False if there is none.
///
/// # Errors
/// Those of [`has`] and of the look-up.
pub(super) fn lookup(map: &MapFd, key: &[u8], value: &mut [u8], flags: u64) -> sys::Result<bool> {
    // Before and after: in between, the look-up may find an entry that covers a deleted one.
    if !has(map, key)? {
        return Ok(false);
    }
    Ok(present(map.lookup(key, value, flags))? && has(map, key)?)
}

fn same_prefix(a: &[u8], b: &[u8]) -> bool {
    trie_order(a, b).is_eq()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every prefix of a byte, against which of them were put in, by both ways of asking.
    #[test]
    fn both_ways_agree_with_what_was_put_in() {
        let new = NewMap {
            map_type: kind::LPM_TRIE,
            key_size: 5,
            value_size: 1,
            max_entries: 1000,
            flags: 1,
            ..NewMap::default()
        };
        let Ok((map, _)) = create(&new).and_then(MapFd::new) else {
            eprintln!("SKIPPED: no BPF maps can be created here");
            return;
        };
        let restarts = restarts().expect("a trie can be tried");
        let prefixes = (0..=8_u32).flat_map(|len| {
            (0..1_u32 << len)
                .map(move |n| [&len.to_ne_bytes()[..], &[(n << (8 - len)) as u8]].concat())
        });
        let prefixes: Vec<Vec<u8>> = prefixes.collect();
        let mut put = vec![false; prefixes.len()];
        // Sparse at first, and more and more.
        for round in 0..6_usize {
            for (i, key) in prefixes.iter().enumerate() {
                assert_eq!(has_by_walk(&map, key), Ok(put[i]), "{key:?} in round {round}");
                if restarts {
                    assert_eq!(has_by_restart(&map, key), Ok(put[i]), "{key:?} in round {round}");
                }
            }
            for i in (round..prefixes.len()).step_by(61 - 10 * round) {
                map.update(&prefixes[i], &[0], ANY).expect("an entry");
                put[i] = true;
            }
        }
    }
}

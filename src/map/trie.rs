//! Whether an LPM trie has exactly a prefix: the kernel has no call for that.
//!
//! A look-up finds the longest entry that covers a prefix. But BPF_MAP_GET_NEXT_KEY starts again at
//! the first key if the one it is given is absent, and never comes back to the first key from one
//! that is present (`trie_get_next_key` in `kernel/bpf/lpm_trie.c`), so two answers tell.

use crate::sys;
use crate::sys::map::MapFd;

/// How often the first key may change under the question before it is given up.
const TRIES: usize = 64;

/// Whether the trie has an entry of exactly this prefix and length.
///
/// # Errors
/// EBUSY if the trie's first key keeps changing; the kernel's.
pub(super) fn has(map: &MapFd, key: &[u8]) -> sys::Result<bool> {
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
    Err(sys::Error { call: "BPF_MAP_GET_NEXT_KEY", errno: libc::EBUSY })
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
    match map.lookup(key, value, flags) {
        Ok(()) => has(map, key),
        Err(error) if error.errno == libc::ENOENT => Ok(false),
        Err(error) => Err(error),
    }
}

fn same_prefix(a: &[u8], b: &[u8]) -> bool {
    super::cursor::trie_order(a, b).is_eq()
}

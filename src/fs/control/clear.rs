//! `.clear`: deletes every element.

use super::row::{Control, Rights};
use super::switch::Switch;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::{Facts, line};
use crate::fs::base::maps::Maps;
use crate::map::cursor::{Batch, Cursor};
use crate::map::{Keys, Listing, Map, room};
use crate::node::MapRef;
use crate::sys;

/// Walks at most, until one meets no element: who inserts all the time cannot keep us here.
const WALKS: usize = 8;

/// `.clear`
pub static CLEAR: Control = Control {
    name: ".clear",
    rights: Rights::Write,
    lacks,
    help: &[line(".clear", "1 deletes every element", "echo 1 > .clear")],
    open: |open| Ok(Switch::open(open, Vec::new(), clear)),
};

fn lacks(map: &Facts) -> Option<Error> {
    if map.is_queue() || map.kind.hides_indices() {
        return None;
    }
    if map.kind.is_array() {
        return Some(Error::new(libc::EPERM, "an array keeps all its elements"));
    }
    let reason = || format!("the elements of {} cannot be deleted", map.kind.with_article());
    (!map.kind.deletable || map.kind.listing == Listing::Nothing)
        .then(|| Error::new(libc::EOPNOTSUPP, reason()))
}

/// Deletes every element that is there when the call begins, and those that come meanwhile as far
/// as a few walks meet them.
fn clear(maps: &Maps, at: &MapRef, _: Caller) -> Result<()> {
    let (map, _) = maps.open(at)?;
    let map = &*map;
    if map.is_frozen() {
        return Err(Error::new(libc::EPERM, "the map is frozen"));
    }
    if map.kind.keys == Keys::Head {
        return take_all(map);
    }
    if map.kind.hides_indices() {
        return delete_indices(map);
    }
    let mut batch = Batch::default();
    for _ in 0..WALKS {
        let mut cursor = Cursor::new(map, false);
        let mut met = false;
        loop {
            cursor.next(map, &mut batch)?;
            if batch.count == 0 {
                break;
            }
            met = true;
            delete(map, &batch)?;
        }
        if !met {
            break;
        }
    }
    Ok(())
}

/// Deletes a batch's keys, but for those that somebody else has deleted by now.
fn delete(map: &Map, batch: &Batch) -> sys::Result<()> {
    let key_size = map.info.key_size as usize;
    let mut from = 0;
    while from < batch.count {
        let keys = batch.keys.get(from * key_size..).unwrap_or_default();
        match map.raw().delete_batch(keys, batch.count - from) {
            (_, Ok(())) => return Ok(()),
            // Stopped at a key that is gone: go on behind it.
            (done, Err(error)) if error.errno == libc::ENOENT => from += done + 1,
            (_, Err(error)) if error.errno == libc::EOPNOTSUPP => {
                return keys.chunks_exact(key_size.max(1)).try_for_each(|key| delete_one(map, key));
            }
            (_, Err(error)) => return Err(error),
        }
    }
    Ok(())
}

fn delete_one(map: &Map, key: &[u8]) -> sys::Result<()> {
    match map.delete(key) {
        // Sockmaps say EINVAL of an index that is not set.
        Err(error) if matches!(error.errno, libc::ENOENT | libc::EINVAL) => Ok(()),
        outcome => outcome,
    }
}

fn delete_indices(map: &Map) -> Result<()> {
    for index in 0..map.info.max_entries {
        delete_one(map, &index.to_ne_bytes())?;
    }
    Ok(())
}

/// Takes elements until none is left, but no more than there is room for.
fn take_all(map: &Map) -> Result<()> {
    let mut value = Vec::new();
    room::zeros(&mut value, map.value_len())?;
    for _ in 0..map.info.max_entries {
        match map.raw().take(&[], &mut value, 0) {
            Ok(()) => {}
            Err(error) if error.errno == libc::ENOENT => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

//! `.freeze`: whether user space may still write, and `1` so that it no longer may.

use super::row::{Control, Rights, nothing_lacks};
use super::switch::Switch;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::line;
use crate::fs::base::maps::Maps;
use crate::map::Map;
use crate::node::MapRef;

/// `.freeze`
pub static FREEZE: Control = Control {
    name: ".freeze",
    rights: Rights::ReadWrite,
    lacks: nothing_lacks,
    help: &[line(".freeze", "0 or 1; 1 keeps user space from writing, for good", "cat .freeze")],
    open: |open| Ok(Switch::open(open, render(open.map), freeze)),
};

/// `0` or `1`, and a newline.
fn render(map: &Map) -> Vec<u8> {
    if map.is_frozen() { b"1\n".to_vec() } else { b"0\n".to_vec() }
}

/// Freezes the map, for good.
///
/// # Errors
/// EPERM if it is frozen; EBUSY while it is mapped writable; EOPNOTSUPP for values with special
/// members.
fn freeze(maps: &Maps, at: &MapRef, _: Caller) -> Result<()> {
    let (map, _) = maps.open(at)?;
    let map = &*map;
    if map.is_frozen() {
        return Err(Error::new(libc::EPERM, "the map is frozen already"));
    }
    Ok(map.raw().freeze()?)
}

//! `.freeze`: whether user space may still write, and `1` so that it no longer may.

use super::error::{Error, Result};
use crate::map::Map;

/// `0` or `1`, and a newline.
pub fn render(map: &Map) -> Vec<u8> {
    if map.is_frozen() { b"1\n".to_vec() } else { b"0\n".to_vec() }
}

/// Freezes the map, for good.
///
/// # Errors
/// EPERM if it is frozen; EBUSY while it is mapped writable; EOPNOTSUPP for values with special
/// members.
pub fn freeze(map: &Map) -> Result<()> {
    if map.is_frozen() {
        return Err(Error::new(libc::EPERM, "the map is frozen already"));
    }
    Ok(map.raw().freeze()?)
}

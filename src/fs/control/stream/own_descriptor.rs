//! A stream's own descriptor of its map.

use crate::fs::base::error::Result;
use crate::map::Map;
use crate::sys::object;
use std::os::fd::OwnedFd;

/// A descriptor of the map that belongs to the stream alone.
///
/// # Errors
/// The kernel's.
pub(super) fn own_descriptor(map: &Map) -> Result<OwnedFd> {
    Ok(object::map_by_id(map.info.id)?)
}

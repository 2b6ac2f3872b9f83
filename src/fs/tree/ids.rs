//! `/.id`: every loaded map by its id, pinned or not.

use crate::fs::base::error::{Error, Result};
use crate::sys::object;
use std::ffi::OsStr;

/// The ids of all loaded maps.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn list() -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    let mut id = 0;
    while let Some(next) = object::next_map_id(id)? {
        ids.push(next);
        id = next;
    }
    Ok(ids)
}

/// The id that a name in `/.id` is, whether or not there is such a map.
///
/// # Errors
/// ENOENT for anything but a number as it is listed.
pub fn parse(name: &OsStr) -> Result<u32> {
    let id = name.to_str().and_then(|name| name.parse::<u32>().ok());
    match id {
        Some(id) if OsStr::new(&id.to_string()) == name => Ok(id),
        _ => Err(missing()),
    }
}

/// That no map has an id.
pub fn missing() -> Error {
    Error::missing("no map has this id")
}

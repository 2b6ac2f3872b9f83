//! Taking an element out of its map: `.pop/KEY`, and a queue's `.pop`.

use crate::fs::base::error::{Error, Result};
use crate::fs::base::held;
use crate::fs::base::open_file::{OpenFile, TextFile};
use crate::map::Map;
use std::sync::Arc;

/// Takes an element out of its map and opens its text; an empty key is a queue's next element.
///
/// # Errors
/// ENOENT if there is none; EPERM if the map is frozen.
pub fn open(map: &Map, key: &[u8]) -> Result<Arc<dyn OpenFile>> {
    held::check(map.value_len())?;
    let mut value = Vec::new();
    if !map.take(key, &mut value)? {
        let reason = if key.is_empty() { "the map is empty" } else { "no such key" };
        return Err(Error::missing(reason));
    }
    let mut text = Vec::new();
    map.print_file(&value, &mut text);
    Ok(Arc::new(TextFile::new(text)))
}

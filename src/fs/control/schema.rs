//! `.schema`: what a map is, as the C definition that makes the same map again.

use super::row::{Control, Rights, nothing_lacks};
use super::types;
use crate::fs::base::facts::line;
use crate::fs::base::open_file::TextFile;
use crate::map::Map;
use crate::map::cursor::{Batch, Cursor};
use crate::schema;
use crate::sys;
use crate::sys::object;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// `.schema`
pub static SCHEMA: Control = Control {
    name: ".schema",
    rights: Rights::Read,
    lacks: nothing_lacks,
    help: &[line(".schema", "the C definition that makes such a map", "cat .schema > ../NEW")],
    open: |open| {
        // As many types as a map has, and the elements of a map of maps, until one opens.
        open.caller.long_work()?;
        Ok(Arc::new(TextFile::new(render(open.map)?)))
    },
};

/// The definition of `map`.
///
/// # Errors
/// The kernel's, while the map inside a map of maps is looked for.
fn render(map: &Map) -> sys::Result<Vec<u8>> {
    let inner = inner(map)?;
    let name = if map.info.name.is_empty() { "map" } else { &map.info.name };
    let inner = inner.as_ref().map(|fd| fd.as_fd());
    let given = map.typed.types.as_deref().map(types::of);
    Ok(schema::of(map.raw().as_fd(), name, inner, given)?.into_bytes())
}

/// A map that a map of maps holds, whose types the others have as well. `None` if it is empty.
fn inner(map: &Map) -> sys::Result<Option<OwnedFd>> {
    if !map.kind.holds_maps() {
        return Ok(None);
    }
    let mut cursor = Cursor::new(map, true);
    let mut batch = Batch::default();
    loop {
        cursor.next(map, &mut batch)?;
        if batch.count == 0 {
            return Ok(None);
        }
        for id in batch.values.chunks_exact(4).filter_map(|id| id.try_into().ok()) {
            // One that went away since is no reason to stop.
            if let Ok(fd) = object::map_by_id(u32::from_ne_bytes(id)) {
                return Ok(Some(fd));
            }
        }
    }
}

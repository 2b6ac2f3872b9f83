//! `/.id`: every loaded map by its id, pinned or not.

use super::Fs;
use super::attr::{Attr, FileKind};
use super::error::{Error, Result};
use crate::node::{MapRef, Node, NodeTable, View};
use crate::sys::object;
use std::ffi::{OsStr, OsString};

/// The ids, with each directory's inode number.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn list() -> Result<Vec<(u64, FileKind, OsString)>> {
    let mut entries = Vec::new();
    let mut id = 0;
    while let Some(next) = object::next_map_id(id)? {
        let number = NodeTable::number(&node(next));
        entries.push((number, FileKind::Dir, next.to_string().into()));
        id = next;
    }
    Ok(entries)
}

fn node(id: u32) -> Node {
    Node::Map(MapRef::Id(id), View::Text)
}

impl Fs {
    /// The map of an id in `/.id`.
    pub(super) fn lookup_id(&self, name: &OsStr) -> Result<(Node, Attr)> {
        let missing = || Error::new(libc::ENOENT, "no map has this id");
        let id: u32 = name.to_str().and_then(|name| name.parse().ok()).ok_or_else(missing)?;
        if OsStr::new(&id.to_string()) != name {
            return Err(missing());
        }
        self.maps.open(&MapRef::Id(id)).map_err(|error| match error.errno {
            libc::ENOENT => missing(),
            _ => error,
        })?;
        let node = node(id);
        let attr = self.attr(&node)?;
        Ok((node, attr))
    }
}

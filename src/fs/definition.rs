//! `.schema`: what a map is, as the C definition that makes the same map again.

use crate::btf::Btf;
use crate::map::Map;
use crate::map::cursor::{Batch, Cursor};
use crate::map::load_btf;
use crate::schema;
use crate::sys::map::{kind, map_info};
use crate::sys::object;
use crate::sys::{self, map::MapInfo};
use std::os::fd::AsFd;

/// The definition of `map`.
///
/// # Errors
/// The kernel's, while the map inside a map of maps is looked for.
pub fn render(map: &Map) -> sys::Result<Vec<u8>> {
    let info = &map.info;
    let btf = some_btf(info.btf_id);
    let kernel = match info.btf_vmlinux_value_type_id {
        0 => None,
        _ => some_btf(info.btf_vmlinux_id),
    };
    let inner = inner(map)?;
    let inner_btf = inner.as_ref().and_then(|info| some_btf(info.btf_id));
    let inner = inner.as_ref().map(|info| schema::Map {
        info,
        btf: inner_btf.as_ref(),
        kernel: None,
        inner: None,
    });
    let described =
        schema::Map { info, btf: btf.as_ref(), kernel: kernel.as_ref(), inner: inner.as_ref() };
    let name = if info.name.is_empty() { "map" } else { &info.name };
    Ok(schema::print(&described, name).into_bytes())
}

fn some_btf(id: u32) -> Option<Btf> {
    if id == 0 { None } else { load_btf(id).ok() }
}

/// A map that a map of maps holds: the kernel does not tell what they must be like, but any of
/// them is. `None` for one that is empty.
fn inner(map: &Map) -> sys::Result<Option<MapInfo>> {
    if !matches!(map.info.map_type, kind::ARRAY_OF_MAPS | kind::HASH_OF_MAPS) {
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
                return map_info(fd.as_fd()).map(Some);
            }
        }
    }
}

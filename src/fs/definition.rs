//! `.schema`: what a map is, as the C definition that makes the same map again.

use crate::btf::Btf;
use crate::map::Map;
use crate::map::load_btf;
use crate::schema::{self, Hidden, hidden};
use crate::spec::flags::NUMA_NODE;
use crate::sys;
use crate::sys::map::kind;
use std::fs;

/// The kernel's own types (Linux 5.4).
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The definition of `map`.
///
/// # Errors
/// None but for an inner map that cannot be asked for: what is not known is left out, with a
/// comment.
pub fn render(map: &Map) -> Vec<u8> {
    let info = &map.info;
    let btf = some_btf(info.btf_id);
    let kernel = match info.btf_vmlinux_value_type_id {
        0 => None,
        _ => some_btf(info.btf_vmlinux_id),
    };
    let hidden = has_hidden(map).then(|| ask(info.id)).and_then(|hidden| {
        hidden
            .inspect_err(|error| log::warn!("map {}: not all of it is known: {error}", info.id))
            .ok()
    });
    let inner = hidden.as_ref().and_then(|hidden| hidden.inner.as_ref());
    let inner = inner.map(|info| schema::Map {
        info,
        btf: None,
        kernel: None,
        inner: None,
        numa_node: None,
    });
    let described = schema::Map {
        info,
        btf: btf.as_ref(),
        kernel: kernel.as_ref(),
        inner: inner.as_ref(),
        numa_node: hidden.as_ref().map(|hidden| hidden.numa_node),
    };
    let name = if info.name.is_empty() { "map" } else { &info.name };
    schema::print(&described, name).into_bytes()
}

/// Whether the map has something that the kernel does not tell when it is asked for its info.
fn has_hidden(map: &Map) -> bool {
    matches!(map.info.map_type, kind::ARRAY_OF_MAPS | kind::HASH_OF_MAPS)
        || map.info.flags & NUMA_NODE != 0
}

fn ask(id: u32) -> sys::Result<Hidden> {
    let unknown = || sys::Error::new("read /sys/kernel/btf/vmlinux", libc::EOPNOTSUPP);
    let blob = fs::read(KERNEL_BTF).map_err(|_| unknown())?;
    let kernel = Btf::parse(&blob, None).map_err(|_| unknown())?;
    hidden(id, &kernel)
}

fn some_btf(id: u32) -> Option<Btf> {
    if id == 0 { None } else { load_btf(id).ok() }
}

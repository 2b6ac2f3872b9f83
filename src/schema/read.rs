//! Reading all that a description needs from an open map.

use super::{SchemaMap, Typed, print};
use crate::btf::Btf;
use crate::kernel::{self, hidden::hidden};
use crate::spec::flags;
use crate::sys;
use crate::sys::map::kind::{BtfUse, MapKind};
use crate::sys::map::{MapInfo, map_info};
use crate::sys::object::btf_blob;
use std::os::fd::BorrowedFd;

/// The definition of the open map `fd`, as the variable `name`.
///
/// `inner` is a map that a map of maps holds: its types are given then. While it holds none, what
/// its maps are like is asked of the kernel, by sizes. `given` are the types of a map for which the kernel
/// takes none.
///
/// # Errors
/// Those of BPF_OBJ_GET_INFO_BY_FD.
pub fn of(
    fd: BorrowedFd<'_>,
    name: &str,
    inner: Option<BorrowedFd<'_>>,
    given: Option<Typed<'_>>,
) -> sys::Result<String> {
    let mut info = map_info(fd)?;
    let btf = load(&info);
    let given =
        given.filter(|_| btf.is_none() && MapKind::of(info.map_type).btf == BtfUse::Refused);
    if let Some(given) = &given {
        (info.btf_key_type_id, info.btf_value_type_id) = (given.key, given.value);
    }
    let holds_maps = MapKind::of(info.map_type).holds_maps();
    let asks = holds_maps || info.flags & flags::NUMA_NODE != 0;
    let kernel = if asks || info.btf_vmlinux_value_type_id != 0 { kernel::btf() } else { None };
    let hidden = match &kernel {
        // Without the rights to ask, the text says what it lacks.
        Some(kernel) if asks => hidden(info.id, kernel).ok(),
        _ => None,
    };
    let mut inner_info = None;
    if holds_maps {
        let model = hidden.as_ref().and_then(|hidden| hidden.inner.clone());
        let held = inner.and_then(|fd| map_info(fd).ok());
        inner_info = match (held, model) {
            // A map that is held may have more entries than the model asks for.
            (Some(held), Some(model)) => Some(MapInfo { max_entries: model.max_entries, ..held }),
            (held, model) => held.or(model),
        };
    }
    let inner_btf = inner_info.as_ref().and_then(load);
    let inner = inner_info.as_ref().map(|info| SchemaMap {
        info,
        btf: inner_btf.as_ref(),
        kernel: kernel.as_ref(),
        inner: None,
        numa_node: None,
    });
    let map = SchemaMap {
        info: &info,
        btf: given.map(|given| given.btf).or(btf.as_ref()),
        kernel: kernel.as_ref(),
        inner: inner.as_ref(),
        numa_node: hidden.map(|hidden| hidden.numa_node),
    };
    Ok(print(&map, name))
}

/// A map's BTF; what cannot be read is none.
fn load(info: &MapInfo) -> Option<Btf> {
    if info.btf_id == 0 {
        return None;
    }
    let (blob, _) = btf_blob(info.btf_id).ok()?;
    Btf::parse(&blob, None).ok()
}

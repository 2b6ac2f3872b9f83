//! What the running kernel lacks: found by trying, and by its version only where that cannot be.
//!
//! A test that needs such a thing leaves that part out and says so: a `PARTLY` line, as in
//! [`require`].

use super::{RawMap, require};
use bpffuse::btf::Btf;
use bpffuse::sys::map::kind;
use bpffuse::sys::{Call, Error};
use std::path::Path;

/// Whether this kernel lacks maps of a kind (`enum bpf_map_type`); says so.
pub(crate) fn lacks_map(number: u32) -> bool {
    let name = kind::name(number).unwrap_or("such");
    let has = match number {
        kind::STRUCT_OPS => has_struct("bpf_struct_ops_tcp_congestion_ops"),
        _ => kind::is_supported(number) != Some(false),
    };
    lacks(&format!("{name} maps"), has)
}

/// Whether the kernel's own types have a struct; those of struct_ops maps are missing where the kernel
/// cannot call BPF programs (s390x).
fn has_struct(name: &str) -> bool {
    let blob = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    Btf::parse(&blob, None).is_ok_and(|types| types.find_struct(name).is_some())
}

/// Whether this kernel asks a pin's mode when a user opens it, and does not refuse it all: before 5.19 that was
/// for kernel.unprivileged_bpf_disabled to say.
pub(crate) fn users_may_ask() -> bool {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
    since((5, 19)) || disabled.is_ok_and(|text| text.trim() == "0")
}

/// Whether this kernel runs programs that call back functions of their own: only if it compiles them,
/// which Debian's does not on s390x.
pub(crate) fn calls_back() -> bool {
    Path::new("/proc/sys/net/core/bpf_jit_enable").exists()
}

/// Whether this kernel lacks programs that call back; says so.
pub(crate) fn lacks_callbacks() -> bool {
    lacks("programs that call back", calls_back())
}

/// Whether this kernel lacks BPF_MAP_LOOKUP_AND_DELETE_ELEM for maps of this map's kind; says so. The map has no key
/// of nothing but bytes 0xee.
pub(crate) fn lacks_taking(map: &RawMap) -> bool {
    let key = vec![0xee; map.info.key_size as usize];
    let taken = map.fd.take(&key, &mut vec![0; map.fd.value_len()], 0);
    let unknown = Error::new(Call::MapLookupAndDeleteElem, libc::EOPNOTSUPP);
    let name = kind::name(map.info.map_type).unwrap_or("such");
    lacks(&format!("look-up and delete of {name}"), taken != Err(unknown))
}

/// Whether this kernel lacks `what`, given whether it `has` it; says so.
pub(crate) fn lacks(what: &str, has: bool) -> bool {
    if !has {
        require::partly(&format!("this kernel has no {what}"));
    }
    !has
}

/// Whether the kernel is of this version or a newer one, where what it does cannot be tried.
pub(crate) fn since(version: (u32, u32)) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= version
}

//! The kinds of map, and what the kernel asks of each when it is created.

use super::flags;
use crate::sys::map::kind;
pub use crate::sys::map::kind::{name, names, with_article};

/// What the kernel wants for a key's or value's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// At least one byte.
    Any,
    /// None at all.
    Zero,
    /// One of these; the first if none is given.
    OneOf(&'static [u32]),
    /// A multiple of 8 bytes: addresses. 127 of them if none is given.
    Addresses,
    /// A prefix length and 1 to 256 bytes.
    Prefix,
    /// The size of a kernel type, which is asked for by name.
    Kernel,
    /// Whatever is given: a kind newer than this table.
    AsGiven,
}

/// What the kernel wants for max_entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// At least one.
    Any,
    /// Zero: the elements live with what they belong to.
    Zero,
    /// One.
    One,
    /// At least one; as many as there are CPUs if none is given.
    PerCpu,
    /// Bytes, a power of two of pages: rounded up.
    Bytes,
    /// Whatever is given.
    AsGiven,
}

/// A kind of map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) key: Size,
    pub(super) value: Size,
    pub(super) entries: Entries,
    /// Flags without which the kernel refuses.
    pub(super) flags: u32,
}

const fn rule(key: Size, value: Size, entries: Entries, flags: u32) -> Kind {
    Kind { key, value, entries, flags }
}

const INDEX: Size = Size::OneOf(&[4]);
const FD: Size = Size::OneOf(&[4]);
/// An interface or CPU, and with 8 bytes a program for it.
const TARGET: Size = Size::OneOf(&[4, 8]);
/// A socket; only values of 8 bytes can be read back.
const SOCKET: Size = Size::OneOf(&[8, 4]);

/// By `enum bpf_map_type`.
const KINDS: [Kind; 34] = [
    rule(Size::AsGiven, Size::AsGiven, Entries::AsGiven, 0), // unspec
    rule(Size::Any, Size::Any, Entries::Any, 0),             // hash
    rule(INDEX, Size::Any, Entries::Any, 0),                 // array
    rule(INDEX, FD, Entries::Any, 0),                        // prog_array
    rule(INDEX, FD, Entries::PerCpu, 0),                     // perf_event_array
    rule(Size::Any, Size::Any, Entries::Any, 0),             // percpu_hash
    rule(INDEX, Size::Any, Entries::Any, 0),                 // percpu_array
    rule(INDEX, Size::Addresses, Entries::Any, 0),           // stack_trace
    rule(INDEX, FD, Entries::Any, 0),                        // cgroup_array
    rule(Size::Any, Size::Any, Entries::Any, 0),             // lru_hash
    rule(Size::Any, Size::Any, Entries::Any, 0),             // lru_percpu_hash
    rule(Size::Prefix, Size::Any, Entries::Any, flags::NO_PREALLOC), // lpm_trie
    rule(INDEX, FD, Entries::Any, 0),                        // array_of_maps
    rule(Size::Any, FD, Entries::Any, 0),                    // hash_of_maps
    rule(INDEX, TARGET, Entries::Any, 0),                    // devmap
    rule(INDEX, SOCKET, Entries::Any, 0),                    // sockmap
    rule(INDEX, TARGET, Entries::PerCpu, 0),                 // cpumap
    rule(INDEX, FD, Entries::Any, 0),                        // xskmap
    rule(Size::Any, SOCKET, Entries::Any, 0),                // sockhash
    rule(Size::OneOf(&[16, 8]), Size::Any, Entries::Zero, 0), // cgroup_storage
    rule(INDEX, SOCKET, Entries::Any, 0),                    // reuseport_sockarray
    rule(Size::OneOf(&[16, 8]), Size::Any, Entries::Zero, 0), // percpu_cgroup_storage
    rule(Size::Zero, Size::Any, Entries::Any, 0),            // queue
    rule(Size::Zero, Size::Any, Entries::Any, 0),            // stack
    rule(FD, Size::Any, Entries::Zero, flags::NO_PREALLOC),  // sk_storage
    rule(INDEX, TARGET, Entries::Any, 0),                    // devmap_hash
    rule(INDEX, Size::Kernel, Entries::One, 0),              // struct_ops
    rule(Size::Zero, Size::Zero, Entries::Bytes, 0),         // ringbuf
    rule(FD, Size::Any, Entries::Zero, flags::NO_PREALLOC),  // inode_storage
    rule(FD, Size::Any, Entries::Zero, flags::NO_PREALLOC),  // task_storage
    rule(Size::Zero, Size::Any, Entries::Any, 0),            // bloom_filter
    rule(Size::Zero, Size::Zero, Entries::Bytes, 0),         // user_ringbuf
    rule(FD, Size::Any, Entries::Zero, flags::NO_PREALLOC),  // cgrp_storage
    rule(Size::Zero, Size::Zero, Entries::Any, flags::MMAPABLE), // arena
];

/// Names that the kernel's header has besides bpftool's.
const OTHER_NAMES: [(&str, u32); 3] = [
    ("cgroup_storage_deprecated", 19),
    ("percpu_cgroup_storage_deprecated", 21),
    ("insn_array", 34),
];

/// BPF_MAP_TYPE_LPM_TRIE
pub(super) const LPM_TRIE: u32 = 11;
/// BPF_MAP_TYPE_CGROUP_STORAGE
pub(super) const CGROUP_STORAGE: u32 = 19;
/// BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE
pub(super) const PERCPU_CGROUP_STORAGE: u32 = 21;

/// The number of the kind called `name`: bpftool's word or the kernel's constant, in any case.
pub fn by_name(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("bpf_map_type_").unwrap_or(&name);
    if let Some((_, number)) = OTHER_NAMES.iter().find(|(other, _)| *other == name) {
        return Some(*number);
    }
    kind::by_name(name)
}

/// What the kernel asks of a kind.
pub(super) fn rules(kind: u32) -> Kind {
    KINDS.get(kind as usize).copied().unwrap_or(KINDS[0])
}

/// Whether a map of this kind holds maps.
pub fn holds_maps(kind: u32) -> bool {
    matches!(kind, 12 | 13)
}

/// Flags that the kernel sets by itself in a map of this kind, and refuses when it is created:
/// programs only read the interface numbers of a devmap.
pub fn own_flags(kind: u32) -> u32 {
    if matches!(kind, 14 | 25) { flags::RDONLY_PROG } else { 0 }
}

/// Whether the kernel (6.18) creates this kind only without BTF: its BPF_MAP_CREATE answers 524
/// or EINVAL to any.
pub fn refuses_btf(kind: u32) -> bool {
    matches!(kind, 3 | 4 | 7 | 8 | 12..=18 | 22 | 23 | 25 | 27 | 31 | 33)
}

/// Whether the kernel creates this kind on no NUMA node that one chooses: a map for each CPU, or
/// with what its elements belong to, or of pages.
pub(super) fn refuses_numa_node(kind: u32) -> bool {
    matches!(kind, 5 | 6 | 10 | 24 | 28 | 29 | 32 | 33)
}

/// Whether the kernel creates this kind only with BTF.
pub(super) fn needs_btf(kind: u32) -> bool {
    matches!(kind, 24 | 26 | 28 | 29 | 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::map::kind as sys;

    #[test]
    fn numbers_are_the_kernels() {
        for (name, number) in [
            ("hash", sys::HASH),
            ("BPF_MAP_TYPE_LPM_TRIE", sys::LPM_TRIE),
            ("Array_Of_Maps", sys::ARRAY_OF_MAPS),
            ("hash_of_maps", sys::HASH_OF_MAPS),
            ("cgroup_storage", sys::CGROUP_STORAGE),
            ("percpu_cgroup_storage", sys::PERCPU_CGROUP_STORAGE),
            ("reuseport_sockarray", sys::REUSEPORT_SOCKARRAY),
            ("queue", sys::QUEUE),
            ("sk_storage", sys::SK_STORAGE),
            ("devmap_hash", sys::DEVMAP_HASH),
            ("struct_ops", sys::STRUCT_OPS),
            ("ringbuf", sys::RINGBUF),
            ("inode_storage", sys::INODE_STORAGE),
            ("task_storage", sys::TASK_STORAGE),
            ("bloom_filter", sys::BLOOM_FILTER),
            ("user_ringbuf", sys::USER_RINGBUF),
            ("cgrp_storage", sys::CGRP_STORAGE),
            ("arena", sys::ARENA),
            ("xskmap", sys::XSKMAP),
            ("prog_array", sys::PROG_ARRAY),
        ] {
            assert_eq!(by_name(name), Some(number), "{name}");
        }
        assert_eq!(by_name("hashh"), None);
        assert_eq!(name(sys::SOCKHASH), Some("sockhash"));
        assert_eq!(name(1000), None);
    }
}

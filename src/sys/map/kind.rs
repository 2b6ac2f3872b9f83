//! The map types' numbers and names (`enum bpf_map_type`).

use libbpf_rs::libbpf_sys as bpf;
pub use libbpf_rs::libbpf_sys::{
    BPF_MAP_TYPE_ARENA as ARENA, BPF_MAP_TYPE_ARRAY as ARRAY,
    BPF_MAP_TYPE_ARRAY_OF_MAPS as ARRAY_OF_MAPS, BPF_MAP_TYPE_BLOOM_FILTER as BLOOM_FILTER,
    BPF_MAP_TYPE_CGROUP_ARRAY as CGROUP_ARRAY, BPF_MAP_TYPE_CGROUP_STORAGE as CGROUP_STORAGE,
    BPF_MAP_TYPE_CGRP_STORAGE as CGRP_STORAGE, BPF_MAP_TYPE_CPUMAP as CPUMAP,
    BPF_MAP_TYPE_DEVMAP as DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH as DEVMAP_HASH,
    BPF_MAP_TYPE_HASH as HASH, BPF_MAP_TYPE_HASH_OF_MAPS as HASH_OF_MAPS,
    BPF_MAP_TYPE_INODE_STORAGE as INODE_STORAGE, BPF_MAP_TYPE_LPM_TRIE as LPM_TRIE,
    BPF_MAP_TYPE_LRU_HASH as LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH as LRU_PERCPU_HASH,
    BPF_MAP_TYPE_PERCPU_ARRAY as PERCPU_ARRAY,
    BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE as PERCPU_CGROUP_STORAGE,
    BPF_MAP_TYPE_PERCPU_HASH as PERCPU_HASH, BPF_MAP_TYPE_PERF_EVENT_ARRAY as PERF_EVENT_ARRAY,
    BPF_MAP_TYPE_PROG_ARRAY as PROG_ARRAY, BPF_MAP_TYPE_QUEUE as QUEUE,
    BPF_MAP_TYPE_REUSEPORT_SOCKARRAY as REUSEPORT_SOCKARRAY, BPF_MAP_TYPE_RINGBUF as RINGBUF,
    BPF_MAP_TYPE_SK_STORAGE as SK_STORAGE, BPF_MAP_TYPE_SOCKHASH as SOCKHASH,
    BPF_MAP_TYPE_SOCKMAP as SOCKMAP, BPF_MAP_TYPE_STACK as STACK,
    BPF_MAP_TYPE_STACK_TRACE as STACK_TRACE, BPF_MAP_TYPE_STRUCT_OPS as STRUCT_OPS,
    BPF_MAP_TYPE_TASK_STORAGE as TASK_STORAGE, BPF_MAP_TYPE_UNSPEC as UNSPEC,
    BPF_MAP_TYPE_USER_RINGBUF as USER_RINGBUF, BPF_MAP_TYPE_XSKMAP as XSKMAP,
};
use std::ptr;

/// bpftool's names, by number.
const NAMES: [&str; 34] = [
    "unspec",
    "hash",
    "array",
    "prog_array",
    "perf_event_array",
    "percpu_hash",
    "percpu_array",
    "stack_trace",
    "cgroup_array",
    "lru_hash",
    "lru_percpu_hash",
    "lpm_trie",
    "array_of_maps",
    "hash_of_maps",
    "devmap",
    "sockmap",
    "cpumap",
    "xskmap",
    "sockhash",
    "cgroup_storage",
    "reuseport_sockarray",
    "percpu_cgroup_storage",
    "queue",
    "stack",
    "sk_storage",
    "devmap_hash",
    "struct_ops",
    "ringbuf",
    "inode_storage",
    "task_storage",
    "bloom_filter",
    "user_ringbuf",
    "cgrp_storage",
    "arena",
];

/// bpftool's name of a type, if this build knows it.
pub const fn name(number: u32) -> Option<&'static str> {
    if (number as usize) < NAMES.len() { Some(NAMES[number as usize]) } else { None }
}

/// A type in words, for reasons: "an array", "a hash".
pub fn with_article(number: u32) -> String {
    match name(number) {
        // As one says "ell are you"; a user_ringbuf begins otherwise than an unspec.
        Some(name) if name.starts_with(['a', 'i', 'l', 'x']) || number == UNSPEC => {
            format!("an {name}")
        }
        Some(name) => format!("a {name}"),
        None => format!("a map of kind {number}"),
    }
}

/// The number of the type that bpftool calls so.
pub fn by_name(name: &str) -> Option<u32> {
    NAMES.iter().position(|own| *own == name).and_then(|number| u32::try_from(number).ok())
}

/// Whether this kernel has maps of a type: libbpf tries to create one. `None` if that cannot be
/// told: without the right to create maps, for a type that libbpf does not know, and for struct_ops,
/// which it tries in a way that kernels before 6.9 refuse.
pub fn is_supported(number: u32) -> Option<bool> {
    if number == STRUCT_OPS {
        return None;
    }
    // SAFETY: null options are what the function asks for.
    let probe = |number| unsafe { bpf::libbpf_probe_bpf_map_type(number, ptr::null()) };
    match (probe(number), probe(ARRAY)) {
        (found, 1) if found >= 0 => Some(found == 1),
        _ => None,
    }
}

/// All names that a map can be created by.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_are_as_one_says_them() {
        for (number, words) in [
            (HASH, "a hash"),
            (ARRAY, "an array"),
            (ARRAY_OF_MAPS, "an array_of_maps"),
            (LRU_HASH, "an lru_hash"),
            (LPM_TRIE, "an lpm_trie"),
            (XSKMAP, "an xskmap"),
            (INODE_STORAGE, "an inode_storage"),
            (USER_RINGBUF, "a user_ringbuf"),
            (UNSPEC, "an unspec"),
            (77, "a map of kind 77"),
        ] {
            assert_eq!(with_article(number), words);
        }
    }
}

//! What each map type is called and allows: the one table.

use crate::sys::map::kind as k;

/// How a map's keys are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Every index up to max_entries is present: no call is needed.
    Index,
    /// BPF_MAP_LOOKUP_BATCH by hash buckets: no key twice, none missed.
    Batch,
    /// BPF_MAP_GET_NEXT_KEY in a trie's order.
    Trie,
    /// BPF_MAP_GET_NEXT_KEY in no order.
    NextKey,
    /// Indices, of which only some are set: asked one by one.
    Sparse,
    /// The kind has no keys, or cannot be listed.
    Nothing,
}

/// What a map type allows from user space (`facts` of each: kernel/bpf/*.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `enum bpf_map_type`.
    pub number: u32,
    /// bpftool's name for it.
    pub name: &'static str,
    /// How keys are listed.
    pub listing: Listing,
    /// Whether an element has a value for each possible CPU.
    pub per_cpu: bool,
    /// Whether elements can be deleted.
    pub deletable: bool,
}

const fn kind(number: u32, name: &'static str, listing: Listing, deletable: bool) -> Kind {
    Kind { number, name, listing, per_cpu: false, deletable }
}

const fn per_cpu(number: u32, name: &'static str, listing: Listing, deletable: bool) -> Kind {
    Kind { number, name, listing, per_cpu: true, deletable }
}

/// Every type that this build knows.
pub const KINDS: &[Kind] = &[
    kind(k::HASH, "hash", Listing::Batch, true),
    kind(k::ARRAY, "array", Listing::Index, false),
    kind(k::PROG_ARRAY, "prog_array", Listing::Sparse, true),
    kind(k::PERF_EVENT_ARRAY, "perf_event_array", Listing::Nothing, true),
    per_cpu(k::PERCPU_HASH, "percpu_hash", Listing::Batch, true),
    per_cpu(k::PERCPU_ARRAY, "percpu_array", Listing::Index, false),
    kind(k::STACK_TRACE, "stack_trace", Listing::NextKey, true),
    kind(k::CGROUP_ARRAY, "cgroup_array", Listing::Nothing, true),
    kind(k::LRU_HASH, "lru_hash", Listing::Batch, true),
    per_cpu(k::LRU_PERCPU_HASH, "lru_percpu_hash", Listing::Batch, true),
    kind(k::LPM_TRIE, "lpm_trie", Listing::Trie, true),
    kind(k::ARRAY_OF_MAPS, "array_of_maps", Listing::Sparse, true),
    kind(k::HASH_OF_MAPS, "hash_of_maps", Listing::Batch, true),
    kind(k::DEVMAP, "devmap", Listing::Sparse, true),
    kind(k::SOCKMAP, "sockmap", Listing::Sparse, true),
    kind(k::CPUMAP, "cpumap", Listing::Sparse, true),
    kind(k::XSKMAP, "xskmap", Listing::Nothing, true),
    kind(k::SOCKHASH, "sockhash", Listing::NextKey, true),
    kind(k::CGROUP_STORAGE, "cgroup_storage", Listing::NextKey, false),
    kind(k::REUSEPORT_SOCKARRAY, "reuseport_sockarray", Listing::Sparse, true),
    per_cpu(k::PERCPU_CGROUP_STORAGE, "percpu_cgroup_storage", Listing::NextKey, false),
    kind(k::QUEUE, "queue", Listing::Nothing, false),
    kind(k::STACK, "stack", Listing::Nothing, false),
    kind(k::SK_STORAGE, "sk_storage", Listing::Nothing, true),
    kind(k::DEVMAP_HASH, "devmap_hash", Listing::NextKey, true),
    kind(k::STRUCT_OPS, "struct_ops", Listing::NextKey, true),
    kind(k::RINGBUF, "ringbuf", Listing::Nothing, false),
    kind(k::INODE_STORAGE, "inode_storage", Listing::Nothing, true),
    kind(k::TASK_STORAGE, "task_storage", Listing::Nothing, true),
    kind(k::BLOOM_FILTER, "bloom_filter", Listing::Nothing, false),
    kind(k::USER_RINGBUF, "user_ringbuf", Listing::Nothing, false),
    kind(k::CGRP_STORAGE, "cgrp_storage", Listing::Nothing, true),
    kind(k::ARENA, "arena", Listing::Nothing, false),
];

impl Kind {
    /// The row of a type; one that this build does not know has no keys and allows nothing.
    pub fn of(number: u32) -> Self {
        let known = KINDS.iter().find(|kind| kind.number == number).copied();
        known.unwrap_or(kind(number, "unknown", Listing::Nothing, false))
    }

    /// Whether every index below max_entries always has an element.
    pub fn is_array(&self) -> bool {
        self.listing == Listing::Index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_each_type_once() {
        let numbers: Vec<u32> = KINDS.iter().map(|kind| kind.number).collect();
        assert_eq!(numbers, (1..=33).collect::<Vec<_>>());
    }

    #[test]
    fn unknown_type_has_no_keys() {
        assert_eq!(Kind::of(4096).listing, Listing::Nothing);
    }
}

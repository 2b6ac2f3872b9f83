//! The kinds of map (`enum bpf_map_type`): one row for each, with all that depends on the kind alone.
//!
//! What the rows say was measured (`docs/kernel.md`); where it comes from is `kernel/bpf/*.c`.

mod columns;
mod table;

use super::{NewMap, create};
pub use columns::{
    BtfUse, Content, Entries, Extra, KeyHandle, Keys, Listing, Size, Stream, UpdateFlags,
};
use libbpf_rs::libbpf_sys as bpf;
pub use libbpf_rs::libbpf_sys::{
    BPF_MAP_TYPE_ARENA as ARENA, BPF_MAP_TYPE_ARRAY as ARRAY,
    BPF_MAP_TYPE_ARRAY_OF_MAPS as ARRAY_OF_MAPS, BPF_MAP_TYPE_BLOOM_FILTER as BLOOM_FILTER,
    BPF_MAP_TYPE_CGROUP_ARRAY as CGROUP_ARRAY, BPF_MAP_TYPE_CGROUP_STORAGE as CGROUP_STORAGE,
    BPF_MAP_TYPE_CGRP_STORAGE as CGRP_STORAGE, BPF_MAP_TYPE_CPUMAP as CPUMAP,
    BPF_MAP_TYPE_DEVMAP as DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH as DEVMAP_HASH,
    BPF_MAP_TYPE_HASH as HASH, BPF_MAP_TYPE_HASH_OF_MAPS as HASH_OF_MAPS,
    BPF_MAP_TYPE_INODE_STORAGE as INODE_STORAGE, BPF_MAP_TYPE_INSN_ARRAY as INSN_ARRAY,
    BPF_MAP_TYPE_LPM_TRIE as LPM_TRIE, BPF_MAP_TYPE_LRU_HASH as LRU_HASH,
    BPF_MAP_TYPE_LRU_PERCPU_HASH as LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY as PERCPU_ARRAY,
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
use table::KINDS;

/// A hash that grows, of Linux 7.2: newer than the libbpf that is built in.
pub const RHASH: u32 = 35;

/// What a kind of map is called, holds, allows from user space and needs to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapKind {
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
    /// Whether BPF_MAP_LOOKUP_AND_DELETE_ELEM works.
    pub take: bool,
    /// What names an element.
    pub keys: Keys,
    /// What a value is.
    pub content: Content,
    /// What BPF_NOEXIST and BPF_EXIST do.
    pub update_flags: UpdateFlags,
    /// The records that it carries, if it does.
    pub stream: Option<Stream>,
    /// Bytes that a key must have.
    pub key_size: Size,
    /// Bytes that a value must have.
    pub value_size: Size,
    /// What max_entries must be.
    pub entries: Entries,
    /// Flags without which the kernel refuses to create it.
    pub needed_flags: u32,
    /// Flags that the kernel sets by itself, and refuses when the map is created: programs only read
    /// the interface numbers of a devmap.
    pub own_flags: u32,
    /// Whether it takes types.
    pub btf: BtfUse,
    /// Whether one may choose its NUMA node: not that of a map for each CPU, or with what its elements
    /// belong to, or of pages.
    pub numa_node: bool,
    /// What `map_extra` means.
    pub extra: Extra,
}

/// Names that the kernel's header has besides bpftool's.
const OTHER_NAMES: [(&str, u32); 2] = [
    ("cgroup_storage_deprecated", CGROUP_STORAGE),
    ("percpu_cgroup_storage_deprecated", PERCPU_CGROUP_STORAGE),
];

impl MapKind {
    /// The row of a kind; one that this build does not know has no keys and allows nothing.
    pub fn of(number: u32) -> Self {
        KINDS.get(number as usize).copied().unwrap_or(Self::unknown(number, "unknown"))
    }

    /// Its name with "a" or "an" before it, for reasons.
    pub fn with_article(&self) -> String {
        with_article(self.number)
    }

    /// Whether this build has a row for it.
    pub fn is_known(&self) -> bool {
        name(self.number).is_some()
    }

    /// Whether keys are the numbers below max_entries.
    pub fn is_indexed(&self) -> bool {
        matches!(self.listing, Listing::Index | Listing::Sparse) || self.hides_indices()
    }

    /// Whether keys are the numbers below max_entries, of which user space can set and delete each, but
    /// not ask whether it is set.
    pub fn hides_indices(&self) -> bool {
        matches!(self.content, Content::PerfEvent | Content::Cgroup | Content::Xsk)
    }

    /// Whether every index below max_entries always has an element.
    pub fn is_array(&self) -> bool {
        self.listing == Listing::Index
    }

    /// Whether Linux 6.6 and later count its elements: hash tables' (`bpf_map_init_elem_count` in
    /// `kernel/bpf/hashtab.c`).
    pub fn counts_itself(&self) -> bool {
        self.listing == Listing::Batch
    }

    /// Whether a full map makes room for a new element by itself.
    pub fn evicts(&self) -> bool {
        matches!(self.number, LRU_HASH | LRU_PERCPU_HASH)
    }

    /// Whether a value stands for an object of the kernel, so that writing one names that object.
    pub fn is_reference(&self) -> bool {
        match self.content {
            Content::Map
            | Content::Prog
            | Content::Device
            | Content::Cpu
            | Content::Socket
            | Content::Cgroup
            | Content::PerfEvent
            | Content::Xsk => true,
            Content::Data | Content::Stack | Content::StructOps | Content::None => false,
        }
    }

    /// Whether its elements are maps.
    pub fn holds_maps(&self) -> bool {
        self.content == Content::Map
    }

    /// Whether user space can set elements one by one.
    pub fn is_settable(&self) -> bool {
        matches!(self.keys, Keys::Bytes | Keys::Handle(_))
            && !matches!(self.content, Content::Stack | Content::StructOps)
    }

    /// Whether lines like those that are read can be written: values are data, or what is read of a
    /// map, program, device or CPU also names it.
    pub fn is_loadable(&self) -> bool {
        let named = matches!(
            self.content,
            Content::Data | Content::Map | Content::Prog | Content::Device | Content::Cpu
        );
        self.keys == Keys::Bytes && named
    }

    /// Whether user space adds values that have no key of their own: to a queue, stack or bloom filter.
    pub fn is_pushed(&self) -> bool {
        matches!(self.keys, Keys::Head | Keys::Member)
    }

    /// Whether it carries records between programs and user space.
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Bytes that the kernel copies for a value of `value_size` (`bpf_map_value_size` in
    /// `kernel/bpf/syscall.c`), on a machine with so many possible CPUs.
    pub fn value_len(&self, value_size: usize, cpus: usize) -> usize {
        match self.content {
            Content::Prog | Content::PerfEvent | Content::Cgroup | Content::Map => 4,
            _ if self.per_cpu => value_size.next_multiple_of(8).saturating_mul(cpus),
            _ => value_size,
        }
    }
}

/// bpftool's name of a kind, if this build knows it.
pub fn name(number: u32) -> Option<&'static str> {
    KINDS.get(number as usize).map(|kind| kind.name)
}

/// A kind in words, for reasons: "an array", "a hash".
pub fn with_article(number: u32) -> String {
    match name(number) {
        // As one says "ell are you" and "ar hash"; a user_ringbuf begins otherwise than an unspec.
        Some(name)
            if name.starts_with(['a', 'i', 'l', 'x']) || matches!(number, RHASH | UNSPEC) =>
        {
            format!("an {name}")
        }
        Some(name) => format!("a {name}"),
        None => format!("a map of kind {number}"),
    }
}

/// The number of the kind called `name`: bpftool's word or the kernel's constant, in any case.
pub fn by_name(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("bpf_map_type_").unwrap_or(&name);
    let own = KINDS.iter().map(|kind| (kind.name, kind.number));
    own.chain(OTHER_NAMES).find(|(own, _)| *own == name).map(|(_, number)| number)
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
    let found = match number {
        RHASH => i32::from(has_rhash()),
        _ => probe(number),
    };
    match (found, probe(ARRAY)) {
        (found, 1) if found >= 0 => Some(found == 1),
        _ => None,
    }
}

/// Whether one can be created. Kernels before it say EINVAL, as for all kinds that they do not know.
fn has_rhash() -> bool {
    let new = NewMap {
        map_type: RHASH,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        flags: bpf::BPF_F_NO_PREALLOC,
        ..NewMap::default()
    };
    !create(&new).is_err_and(|error| error.errno == libc::EINVAL)
}

/// All names that a map can be created by.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().skip(1).map(|kind| kind.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_their_numbers() {
        for (at, kind) in KINDS.iter().enumerate() {
            assert_eq!(kind.number as usize, at, "{}", kind.name);
            assert_eq!(by_name(kind.name), Some(kind.number));
        }
    }

    #[test]
    fn unknown_kind_allows_nothing() {
        for number in [KINDS.len() as u32, 4096, u32::MAX] {
            let kind = MapKind::of(number);
            assert_eq!((kind.number, kind.name), (number, "unknown"));
            assert_eq!((kind.listing, kind.keys), (Listing::Nothing, Keys::None));
            assert_eq!(kind.content, Content::None);
            assert!(!kind.deletable && !kind.take && !kind.per_cpu && !kind.is_known());
            assert!(!kind.is_indexed() && !kind.is_reference() && !kind.is_array());
        }
    }

    #[test]
    fn names_are_bpftools_and_the_kernels() {
        for (name, number) in [
            ("hash", HASH),
            ("BPF_MAP_TYPE_LPM_TRIE", LPM_TRIE),
            ("Array_Of_Maps", ARRAY_OF_MAPS),
            ("cgroup_storage", CGROUP_STORAGE),
            ("BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED", CGROUP_STORAGE),
            ("percpu_cgroup_storage_deprecated", PERCPU_CGROUP_STORAGE),
            ("insn_array", INSN_ARRAY),
            ("BPF_MAP_TYPE_RHASH", RHASH),
        ] {
            assert_eq!(by_name(name), Some(number), "{name}");
        }
        assert_eq!(by_name("hashh"), None);
        assert_eq!(by_name("unknown"), None);
        assert_eq!(name(SOCKHASH), Some("sockhash"));
        assert_eq!(name(1000), None);
    }

    /// The names of the rows are those of libbpf, for the numbers that it knows.
    #[test]
    fn names_are_libbpfs() {
        for kind in KINDS.iter().filter(|kind| kind.number != RHASH) {
            // SAFETY: takes any number, and gives a static string or null.
            let name = unsafe { bpf::libbpf_bpf_map_type_str(kind.number) };
            assert!(!name.is_null(), "{}", kind.name);
            // SAFETY: not null, static and NUL-terminated.
            let name = unsafe { std::ffi::CStr::from_ptr(name) };
            assert_eq!(name.to_str(), Ok(kind.name));
        }
    }

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
            (INSN_ARRAY, "an insn_array"),
            (RHASH, "an rhash"),
            (USER_RINGBUF, "a user_ringbuf"),
            (UNSPEC, "an unspec"),
            (77, "a map of kind 77"),
        ] {
            assert_eq!(with_article(number), words);
        }
    }
}

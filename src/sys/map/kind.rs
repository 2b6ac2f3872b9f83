//! The kinds of map (`enum bpf_map_type`): one row for each, with all that depends on the kind alone.
//!
//! What the rows say was measured (`docs/kernel.md`); where it comes from is `kernel/bpf/*.c`.

mod columns;

pub use columns::{
    BtfUse, Content, Entries, Extra, Handle, Keys, Listing, Size, Stream, UpdateFlags,
};
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

/// A hash of bytes to bytes, but for its listing: what a row does not say is as here.
const fn row(number: u32, name: &'static str, listing: Listing) -> MapKind {
    MapKind {
        number,
        name,
        listing,
        per_cpu: false,
        deletable: true,
        take: false,
        keys: Keys::Bytes,
        content: Content::Data,
        update_flags: UpdateFlags::Heeded,
        stream: None,
        key_size: Size::Any,
        value_size: Size::Any,
        entries: Entries::Any,
        needed_flags: 0,
        own_flags: 0,
        btf: BtfUse::Optional,
        numa_node: true,
        extra: Extra::Unused,
    }
}

/// An index, or a descriptor in place of a key or value.
const FOUR: Size = Size::OneOf(&[4]);
/// An interface or CPU, and with 8 bytes a program for it.
const TARGET: Size = Size::OneOf(&[4, 8]);
/// A socket's cookie can be read only if there is room for it.
const SOCKET: Size = Size::OneOf(&[8, 4]);

impl MapKind {
    const fn array(number: u32, name: &'static str, listing: Listing) -> Self {
        Self { key_size: FOUR, ..row(number, name, listing) }
    }

    /// A map whose values are descriptors or such, which have no types.
    const fn holding(self, content: Content, value_size: Size) -> Self {
        Self { content, value_size, btf: BtfUse::Refused, ..self }
    }

    const fn take(self) -> Self {
        Self { take: true, ..self }
    }

    const fn keep(self) -> Self {
        Self { deletable: false, ..self }
    }

    const fn per_cpu(self) -> Self {
        Self { per_cpu: true, numa_node: false, ..self }
    }

    const fn update(self, update_flags: UpdateFlags) -> Self {
        Self { update_flags, ..self }
    }

    const fn without_btf(self) -> Self {
        Self { btf: BtfUse::Refused, ..self }
    }

    /// Its elements are those of cgroups, and come and go with what is attached there.
    const fn of_cgroups(self) -> Self {
        Self { key_size: Size::Cgroup, entries: Entries::Zero, numa_node: true, ..self.keep() }
    }

    /// Its elements live in what they belong to.
    const fn storage(number: u32, name: &'static str, of: Handle) -> Self {
        Self {
            keys: Keys::Handle(of),
            key_size: FOUR,
            entries: Entries::Zero,
            needed_flags: bpf::BPF_F_NO_PREALLOC,
            btf: BtfUse::Needed,
            numa_node: false,
            ..row(number, name, Listing::Nothing)
        }
    }

    /// It has values, but no keys.
    const fn keyless(self, keys: Keys) -> Self {
        Self { keys, key_size: Size::Zero, ..self.keep() }
    }

    const fn without_elements(self) -> Self {
        Self {
            keys: Keys::None,
            content: Content::None,
            key_size: Size::Zero,
            value_size: Size::Zero,
            ..self.without_btf().keep()
        }
    }

    const fn ring(number: u32, name: &'static str, stream: Stream) -> Self {
        Self {
            stream: Some(stream),
            entries: Entries::Bytes,
            ..row(number, name, Listing::Nothing).without_elements()
        }
    }

    /// A number that this build has no row for: it has no keys, and allows nothing but to be created.
    const fn unknown(number: u32, name: &'static str) -> Self {
        Self {
            key_size: Size::AsGiven,
            value_size: Size::AsGiven,
            entries: Entries::AsGiven,
            btf: BtfUse::Optional,
            extra: Extra::Unknown,
            ..row(number, name, Listing::Nothing).without_elements()
        }
    }
}

/// Every kind that this build knows, by its number.
const KINDS: [MapKind; 34] = {
    use UpdateFlags::{AnyOnly, Unheeded};
    [
        MapKind::unknown(UNSPEC, "unspec"),
        row(HASH, "hash", Listing::Batch).take(),
        MapKind::array(ARRAY, "array", Listing::Index).keep(),
        MapKind::array(PROG_ARRAY, "prog_array", Listing::Sparse)
            .holding(Content::Prog, FOUR)
            .update(AnyOnly),
        MapKind {
            entries: Entries::PerCpu,
            stream: Some(Stream::Perf),
            ..MapKind::array(PERF_EVENT_ARRAY, "perf_event_array", Listing::Nothing)
                .holding(Content::PerfEvent, FOUR)
        },
        row(PERCPU_HASH, "percpu_hash", Listing::Batch).per_cpu().take(),
        MapKind::array(PERCPU_ARRAY, "percpu_array", Listing::Index).per_cpu().keep(),
        MapKind::array(STACK_TRACE, "stack_trace", Listing::NextKey)
            .holding(Content::Stack, Size::Addresses)
            .take(),
        MapKind::array(CGROUP_ARRAY, "cgroup_array", Listing::Nothing)
            .holding(Content::Cgroup, FOUR),
        row(LRU_HASH, "lru_hash", Listing::Batch).take(),
        row(LRU_PERCPU_HASH, "lru_percpu_hash", Listing::Batch).per_cpu().take(),
        MapKind {
            key_size: Size::Prefix,
            needed_flags: bpf::BPF_F_NO_PREALLOC,
            ..row(LPM_TRIE, "lpm_trie", Listing::Trie).update(Unheeded)
        },
        MapKind::array(ARRAY_OF_MAPS, "array_of_maps", Listing::Sparse)
            .holding(Content::Map, FOUR)
            .update(AnyOnly),
        row(HASH_OF_MAPS, "hash_of_maps", Listing::Batch).holding(Content::Map, FOUR),
        MapKind {
            own_flags: bpf::BPF_F_RDONLY_PROG,
            ..MapKind::array(DEVMAP, "devmap", Listing::Sparse)
                .holding(Content::Device, TARGET)
                .update(AnyOnly)
        },
        MapKind::array(SOCKMAP, "sockmap", Listing::Sparse).holding(Content::Socket, SOCKET),
        MapKind {
            entries: Entries::PerCpu,
            ..MapKind::array(CPUMAP, "cpumap", Listing::Sparse)
                .holding(Content::Cpu, TARGET)
                .update(AnyOnly)
        },
        MapKind::array(XSKMAP, "xskmap", Listing::Nothing).holding(Content::Xsk, FOUR),
        row(SOCKHASH, "sockhash", Listing::NextKey).holding(Content::Socket, SOCKET),
        row(CGROUP_STORAGE, "cgroup_storage", Listing::NextKey).of_cgroups(),
        MapKind {
            btf: BtfUse::Optional,
            ..MapKind::array(REUSEPORT_SOCKARRAY, "reuseport_sockarray", Listing::Sparse)
                .holding(Content::Socket, SOCKET)
        },
        row(PERCPU_CGROUP_STORAGE, "percpu_cgroup_storage", Listing::NextKey)
            .per_cpu()
            .of_cgroups(),
        row(QUEUE, "queue", Listing::Head).keyless(Keys::Head).without_btf(),
        row(STACK, "stack", Listing::Head).keyless(Keys::Head).without_btf(),
        MapKind::storage(SK_STORAGE, "sk_storage", Handle::Socket),
        MapKind {
            key_size: FOUR,
            own_flags: bpf::BPF_F_RDONLY_PROG,
            ..row(DEVMAP_HASH, "devmap_hash", Listing::NextKey)
                .holding(Content::Device, TARGET)
                .update(Unheeded)
        },
        MapKind {
            entries: Entries::One,
            btf: BtfUse::Needed,
            ..MapKind::array(STRUCT_OPS, "struct_ops", Listing::NextKey)
                .holding(Content::StructOps, Size::Kernel)
        },
        MapKind::ring(RINGBUF, "ringbuf", Stream::Ring),
        MapKind::storage(INODE_STORAGE, "inode_storage", Handle::Inode),
        MapKind::storage(TASK_STORAGE, "task_storage", Handle::Task),
        MapKind {
            extra: Extra::Hashes,
            ..row(BLOOM_FILTER, "bloom_filter", Listing::Nothing).keyless(Keys::Member)
        },
        MapKind::ring(USER_RINGBUF, "user_ringbuf", Stream::UserRing),
        MapKind::storage(CGRP_STORAGE, "cgrp_storage", Handle::Cgroup),
        MapKind {
            needed_flags: bpf::BPF_F_MMAPABLE,
            numa_node: false,
            extra: Extra::Address,
            ..row(ARENA, "arena", Listing::Nothing).without_elements()
        },
    ]
};

/// Names that the kernel's header has besides bpftool's.
const OTHER_NAMES: [(&str, u32); 3] = [
    ("cgroup_storage_deprecated", CGROUP_STORAGE),
    ("percpu_cgroup_storage_deprecated", PERCPU_CGROUP_STORAGE),
    ("insn_array", 34),
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
        // As one says "ell are you"; a user_ringbuf begins otherwise than an unspec.
        Some(name) if name.starts_with(['a', 'i', 'l', 'x']) || number == UNSPEC => {
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
    match (probe(number), probe(ARRAY)) {
        (found, 1) if found >= 0 => Some(found == 1),
        _ => None,
    }
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
        // 34 is insn_array of Linux 6.19, which this build has no row for.
        for number in [34, 4096, u32::MAX] {
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
            ("insn_array", 34),
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
        for kind in &KINDS {
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
            (USER_RINGBUF, "a user_ringbuf"),
            (UNSPEC, "an unspec"),
            (77, "a map of kind 77"),
        ] {
            assert_eq!(with_article(number), words);
        }
    }
}

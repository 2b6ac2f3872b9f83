//! The rows of the table of kinds.

use super::*;

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
/// `struct bpf_insn_array_value`
const INSN: Size = Size::OneOf(&[16]);

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
    const fn storage(number: u32, name: &'static str, of: KeyHandle) -> Self {
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
    pub(super) const fn unknown(number: u32, name: &'static str) -> Self {
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
pub(super) const KINDS: [MapKind; 36] = {
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
        MapKind::storage(SK_STORAGE, "sk_storage", KeyHandle::Socket),
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
        MapKind::storage(INODE_STORAGE, "inode_storage", KeyHandle::Inode),
        MapKind::storage(TASK_STORAGE, "task_storage", KeyHandle::Task),
        MapKind {
            extra: Extra::Hashes,
            ..row(BLOOM_FILTER, "bloom_filter", Listing::Nothing).keyless(Keys::Member)
        },
        MapKind::ring(USER_RINGBUF, "user_ringbuf", Stream::UserRing),
        MapKind::storage(CGRP_STORAGE, "cgrp_storage", KeyHandle::Cgroup),
        MapKind {
            needed_flags: bpf::BPF_F_MMAPABLE,
            numa_node: false,
            extra: Extra::Address,
            ..row(ARENA, "arena", Listing::Nothing).without_elements()
        },
        MapKind {
            numa_node: false,
            own_flags: bpf::BPF_F_RDONLY_PROG,
            ..MapKind::array(INSN_ARRAY, "insn_array", Listing::Index)
                .holding(Content::Data, INSN)
                .keep()
        },
        // Its batches lose their place when the next key is deleted, and a walk meets keys twice while
        // it grows: those that were given are remembered.
        MapKind {
            needed_flags: bpf::BPF_F_NO_PREALLOC,
            extra: Extra::FirstSize,
            ..row(RHASH, "rhash", Listing::NextKey).take()
        },
    ]
};

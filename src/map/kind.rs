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
    /// One element, the next one, unless the map is empty.
    Head,
    /// The kind has no keys, or cannot be listed.
    Nothing,
}

/// What names an element to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Bytes of the map's own.
    Bytes,
    /// Nothing: there is one element that can be seen, the next one.
    Head,
    /// The value itself, which is or is not a member.
    Member,
    /// A descriptor of ours; the key's bytes are the name by which it is opened.
    Handle(Handle),
    /// There are no elements.
    None,
}

/// What a descriptor as a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// A socket, named `PID:FD`.
    Socket,
    /// A file or directory, by its path.
    Inode,
    /// A task, by its thread id.
    Task,
    /// A cgroup, by its directory's path or its id.
    Cgroup,
}

/// What a value is to user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Bytes, read and written alike.
    Data,
    /// A map: read as its id, written as a descriptor.
    Map,
    /// A program: read as its id, written as a descriptor.
    Prog,
    /// A network device, and perhaps a program to run there.
    Device,
    /// A CPU's queue length, and perhaps a program to run there.
    Cpu,
    /// A socket: read as its cookie (values of 8 bytes), written as a descriptor.
    Socket,
    /// A cgroup: written as a descriptor, never read.
    Cgroup,
    /// A perf event: written as a descriptor, never read.
    PerfEvent,
    /// An AF_XDP socket: written as a descriptor, never read.
    Xsk,
    /// A call stack: only read.
    Stack,
    /// The kernel's structure of a struct_ops: only read.
    StructOps,
    /// There are no values.
    None,
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
    /// Whether BPF_MAP_LOOKUP_AND_DELETE_ELEM works.
    pub take: bool,
    /// What names an element.
    pub keys: Keys,
    /// What a value is.
    pub content: Content,
}

const fn kind(number: u32, listing: Listing, deletable: bool) -> Kind {
    Kind {
        number,
        name: match k::name(number) {
            Some(name) => name,
            None => "unknown",
        },
        listing,
        per_cpu: false,
        deletable,
        take: false,
        keys: Keys::Bytes,
        content: Content::Data,
    }
}

impl Kind {
    const fn per_cpu(self) -> Self {
        Self { per_cpu: true, ..self }
    }

    const fn take(self) -> Self {
        Self { take: true, ..self }
    }

    const fn keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    const fn of_handle(self, handle: Handle) -> Self {
        Self { keys: Keys::Handle(handle), ..self }
    }

    const fn content(self, content: Content) -> Self {
        Self { content, ..self }
    }

    const fn without_elements(self) -> Self {
        Self { keys: Keys::None, content: Content::None, ..self }
    }
}

/// Every type that this build knows.
pub const KINDS: &[Kind] = &[
    kind(k::HASH, Listing::Batch, true).take(),
    kind(k::ARRAY, Listing::Index, false),
    kind(k::PROG_ARRAY, Listing::Sparse, true).content(Content::Prog),
    kind(k::PERF_EVENT_ARRAY, Listing::Nothing, true).content(Content::PerfEvent),
    kind(k::PERCPU_HASH, Listing::Batch, true).per_cpu().take(),
    kind(k::PERCPU_ARRAY, Listing::Index, false).per_cpu(),
    kind(k::STACK_TRACE, Listing::NextKey, true).take().content(Content::Stack),
    kind(k::CGROUP_ARRAY, Listing::Nothing, true).content(Content::Cgroup),
    kind(k::LRU_HASH, Listing::Batch, true).take(),
    kind(k::LRU_PERCPU_HASH, Listing::Batch, true).per_cpu().take(),
    kind(k::LPM_TRIE, Listing::Trie, true),
    kind(k::ARRAY_OF_MAPS, Listing::Sparse, true).content(Content::Map),
    kind(k::HASH_OF_MAPS, Listing::Batch, true).content(Content::Map),
    kind(k::DEVMAP, Listing::Sparse, true).content(Content::Device),
    kind(k::SOCKMAP, Listing::Sparse, true).content(Content::Socket),
    kind(k::CPUMAP, Listing::Sparse, true).content(Content::Cpu),
    kind(k::XSKMAP, Listing::Nothing, true).content(Content::Xsk),
    kind(k::SOCKHASH, Listing::NextKey, true).content(Content::Socket),
    kind(k::CGROUP_STORAGE, Listing::NextKey, false),
    kind(k::REUSEPORT_SOCKARRAY, Listing::Sparse, true).content(Content::Socket),
    kind(k::PERCPU_CGROUP_STORAGE, Listing::NextKey, false).per_cpu(),
    kind(k::QUEUE, Listing::Head, false).keys(Keys::Head),
    kind(k::STACK, Listing::Head, false).keys(Keys::Head),
    kind(k::SK_STORAGE, Listing::Nothing, true).of_handle(Handle::Socket),
    kind(k::DEVMAP_HASH, Listing::NextKey, true).content(Content::Device),
    kind(k::STRUCT_OPS, Listing::NextKey, true).content(Content::StructOps),
    kind(k::RINGBUF, Listing::Nothing, false).without_elements(),
    kind(k::INODE_STORAGE, Listing::Nothing, true).of_handle(Handle::Inode),
    kind(k::TASK_STORAGE, Listing::Nothing, true).of_handle(Handle::Task),
    kind(k::BLOOM_FILTER, Listing::Nothing, false).keys(Keys::Member),
    kind(k::USER_RINGBUF, Listing::Nothing, false).without_elements(),
    kind(k::CGRP_STORAGE, Listing::Nothing, true).of_handle(Handle::Cgroup),
    kind(k::ARENA, Listing::Nothing, false).without_elements(),
];

impl Kind {
    /// The row of a type; one that this build does not know has no keys and allows nothing.
    pub fn of(number: u32) -> Self {
        let known = KINDS.iter().find(|kind| kind.number == number).copied();
        known.unwrap_or(kind(number, Listing::Nothing, false).without_elements())
    }

    /// Its name with "a" or "an" before it, for reasons.
    pub fn with_article(&self) -> String {
        k::with_article(self.number)
    }

    /// Whether keys are the numbers below max_entries.
    pub fn is_indexed(&self) -> bool {
        matches!(self.listing, Listing::Index | Listing::Sparse)
            || matches!(self.content, Content::PerfEvent | Content::Cgroup | Content::Xsk)
    }

    /// Whether a value stands for an object of the kernel, so that writing one names that object.
    pub fn is_reference(&self) -> bool {
        !matches!(self.content, Content::Data | Content::None | Content::Stack | Content::StructOps)
    }

    /// Whether the kernel does only BPF_ANY right: it refuses other flags or, in arrays of devices
    /// and CPUs, takes every slot for one that exists.
    pub fn updates_any_only(&self) -> bool {
        matches!(self.number, k::PROG_ARRAY | k::ARRAY_OF_MAPS | k::DEVMAP | k::CPUMAP)
    }

    /// Whether BPF_EXIST has no effect, here or on some older kernel.
    pub fn ignores_flags(&self) -> bool {
        self.listing == Listing::Trie || matches!(self.content, Content::Device | Content::Cpu)
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
    fn unknown_type_allows_nothing() {
        // 34 is insn_array of Linux 6.19, which this build has no row for.
        for number in [34, 4096, u32::MAX] {
            let kind = Kind::of(number);
            assert_eq!((kind.number, kind.name), (number, "unknown"));
            assert_eq!((kind.listing, kind.keys), (Listing::Nothing, Keys::None));
            assert_eq!(kind.content, Content::None);
            assert!(!kind.deletable && !kind.take && !kind.per_cpu);
            assert!(!kind.is_indexed() && !kind.is_reference() && !kind.is_array());
        }
    }
}

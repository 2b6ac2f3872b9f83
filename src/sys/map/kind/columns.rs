//! What a row of the table of kinds says of one kind of map: the columns' types.

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
    Handle(KeyHandle),
    /// There are no elements.
    None,
}

/// What a descriptor as a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHandle {
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

/// The records that a map carries between programs and user space, instead of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// One ring, which programs write.
    Ring,
    /// One ring, which user space writes.
    UserRing,
    /// A ring for each CPU, made by whoever reads.
    Perf,
}

/// What BPF_NOEXIST and BPF_EXIST do in BPF_MAP_UPDATE_ELEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateFlags {
    /// What they say.
    Heeded,
    /// The kernel takes them, but BPF_EXIST has no effect, here or on some older kernel.
    Unheeded,
    /// The kernel does only BPF_ANY right: it refuses other flags or, in arrays of devices and CPUs,
    /// takes every slot for one that exists.
    AnyOnly,
}

/// What the kernel wants for a key's or value's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
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
    /// 16 bytes, a cgroup's id and an attach type, or 8, the id alone; 16 if none is given.
    Cgroup,
    /// The size of a kernel type, which is asked for by name.
    Kernel,
    /// Whatever is given: a kind newer than this table.
    AsGiven,
}

/// What the kernel wants for max_entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
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

/// What the kernel (6.18) says to types for key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BtfUse {
    /// It takes them, and needs none.
    Optional,
    /// It creates the kind only with them.
    Needed,
    /// It creates the kind only without: BPF_MAP_CREATE answers 524 or EINVAL.
    Refused,
}

/// What `map_extra` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Nothing: it must be 0.
    Unused,
    /// A bloom filter's number of hash functions.
    Hashes,
    /// How many elements a growing hash has room for at first: at most 65,535 and max_entries.
    FirstSize,
    /// The address where programs have an arena.
    Address,
    /// Something, perhaps: the kind is newer than this table.
    Unknown,
}

//! Every kind of map that user space can create, in words and in C.

/// kind, words after it, the body of the C definition, key, value, entries and flags as the kernel
/// tells them, and whether it takes BTF. 0 CPUs stands for as many as there are.
pub(crate) type Case = (&'static str, &'static str, &'static str, [u32; 3], u32, bool);

pub(crate) const CPUS: u32 = 0;

pub(crate) const CASES: [Case; 35] = [
    (
        "hash",
        "key u32 value u64 entries 10",
        "__type(key, __u32); __type(value, __u64); __uint(max_entries, 10);",
        [4, 8, 10],
        0,
        true,
    ),
    (
        "array",
        "value struct { __u32 a; __u32 b; } entries 3 flags mmapable",
        "__uint(key_size, 4); __type(value, struct pair); __uint(max_entries, 3);
         __uint(map_flags, BPF_F_MMAPABLE);",
        [4, 8, 3],
        1 << 10,
        true,
    ),
    (
        "prog_array",
        "entries 5",
        "__uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 5);
         __array(values, int (void *));",
        [4, 4, 5],
        0,
        false,
    ),
    (
        "perf_event_array",
        "key int value int",
        "__type(key, int); __type(value, int);",
        [4, 4, CPUS],
        0,
        false,
    ),
    (
        "percpu_hash",
        "key 16 value 'struct { __u64 packets; __u64 bytes; }' entries 100 flags no_prealloc",
        "__uint(key_size, 16); __type(value, struct flow); __uint(max_entries, 100);
         __uint(map_flags, BPF_F_NO_PREALLOC);",
        [16, 16, 100],
        1,
        true,
    ),
    (
        "percpu_array",
        "key 4 value u64 entries 2",
        "__type(key, __u32); __type(value, __u64); __uint(max_entries, 2);",
        [4, 8, 2],
        0,
        true,
    ),
    (
        "stack_trace",
        "entries 16",
        "__uint(key_size, 4); __uint(value_size, 127 * sizeof(long)); __uint(max_entries, 1 << 4);",
        [4, 1016, 16],
        0,
        false,
    ),
    (
        "cgroup_array",
        "entries 1",
        "__uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 1);",
        [4, 4, 1],
        0,
        false,
    ),
    (
        "lru_hash",
        "key u32 value 4 entries 64 flags no_common_lru",
        "__type(key, __u32); __uint(value_size, 4); __uint(max_entries, 64); __uint(map_flags, 2);",
        [4, 4, 64],
        2,
        true,
    ),
    (
        "lru_percpu_hash",
        "key 4 value 8 entries 64",
        "__uint(key_size, 4); __uint(value_size, 8); __uint(max_entries, 64);",
        [4, 8, 64],
        0,
        true,
    ),
    (
        "lpm_trie",
        "key 8 value u32 entries 50",
        "__type(key, struct prefix); __type(value, __u32); __uint(max_entries, 50);",
        [8, 4, 50],
        1,
        true,
    ),
    (
        "array_of_maps",
        "entries 4 inner_map { array key 4 value 8 entries 2 }",
        "__uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 4);
         __array(values, struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32);
         __type(value, __u64); __uint(max_entries, 2); });",
        [4, 4, 4],
        0,
        false,
    ),
    (
        "hash_of_maps",
        "key u64 entries 4 inner_map { hash key u32 value u64 entries 2 }",
        "__type(key, __u64); __uint(max_entries, 4); __array(values, struct inner);",
        [8, 4, 4],
        0,
        false,
    ),
    (
        "devmap",
        "entries 8",
        "__type(key, int); __uint(value_size, 4); __uint(max_entries, 8);",
        [4, 4, 8],
        128,
        false,
    ),
    (
        "sockmap",
        "entries 8",
        "__type(key, __u32); __type(value, __u64); __uint(max_entries, 8);",
        [4, 8, 8],
        0,
        false,
    ),
    (
        "cpumap",
        "value 8",
        "__type(key, __u32); __type(value, struct bpf_cpumap_val);",
        [4, 8, CPUS],
        0,
        false,
    ),
    (
        "xskmap",
        "entries 4",
        "__type(key, __u32); __type(value, __u32); __uint(max_entries, 4);",
        [4, 4, 4],
        0,
        false,
    ),
    (
        "sockhash",
        "key 6 entries 4",
        "__uint(key_size, 6); __type(value, __u64); __uint(max_entries, 4);",
        [6, 8, 4],
        0,
        false,
    ),
    (
        "cgroup_storage",
        "value u64",
        "__type(key, struct bpf_cgroup_storage_key); __type(value, __u64);",
        [16, 8, 0],
        0,
        true,
    ),
    (
        "reuseport_sockarray",
        "entries 4",
        "__type(key, __u32); __type(value, __u64); __uint(max_entries, 4);",
        [4, 8, 4],
        0,
        true,
    ),
    (
        "percpu_cgroup_storage",
        "key 8 value u64",
        "__type(key, __u64); __type(value, __u64); __uint(max_entries, 0);",
        [8, 8, 0],
        0,
        true,
    ),
    (
        "queue",
        "value u64 entries 9",
        "__type(value, __u64); __uint(max_entries, 9);",
        [0, 8, 9],
        0,
        false,
    ),
    (
        "stack",
        "value 12 entries 9",
        "__uint(value_size, 12); __uint(max_entries, 9);",
        [0, 12, 9],
        0,
        false,
    ),
    (
        "sk_storage",
        "value u64",
        "__uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, __u64);",
        [4, 8, 0],
        1,
        true,
    ),
    (
        "devmap_hash",
        "value 8 entries 8",
        "__type(key, int); __type(value, struct bpf_devmap_val); __uint(max_entries, 8);",
        [4, 8, 8],
        128,
        false,
    ),
    (
        "struct_ops",
        "value 'struct bpf_struct_ops_tcp_congestion_ops'",
        "__type(value, struct bpf_struct_ops_tcp_congestion_ops); __uint(max_entries, 1);",
        [4, 0, 1],
        0,
        true,
    ),
    ("ringbuf", "entries 5000", "__uint(max_entries, 5000);", [0, 0, 8192], 0, false),
    ("inode_storage", "value 24", "__type(key, int); __uint(value_size, 24);", [4, 24, 0], 1, true),
    (
        "task_storage",
        "value u32 flags clone",
        "__type(key, int); __type(value, __u32); __uint(map_flags, 512);",
        [4, 4, 0],
        513,
        true,
    ),
    (
        "bloom_filter",
        "value u32 entries 100 map_extra 3",
        "__type(value, __u32); __uint(max_entries, 100); __uint(map_extra, 3);",
        [0, 4, 100],
        0,
        true,
    ),
    ("user_ringbuf", "entries 1", "__uint(max_entries, 4096);", [0, 0, 4096], 0, false),
    ("cgrp_storage", "value u64", "__type(key, int); __type(value, __u64);", [4, 8, 0], 1, true),
    (
        "arena",
        "entries 10",
        "__uint(max_entries, 10); __uint(map_flags, BPF_F_MMAPABLE); __ulong(map_extra, 0x1ull << 44);",
        [0, 0, 10],
        1 << 10,
        false,
    ),
    (
        "insn_array",
        "entries 5",
        "__uint(key_size, 4); __uint(value_size, 16); __uint(max_entries, 5);",
        [4, 16, 5],
        128,
        false,
    ),
    (
        "rhash",
        "key u32 value u64 entries 100 map_extra 16",
        "__type(key, __u32); __type(value, __u64); __uint(max_entries, 100); __uint(map_extra, 16);",
        [4, 8, 100],
        1,
        true,
    ),
];

pub(crate) const TYPES: &str = "
    struct pair { __u32 a, b; };
    struct flow { __u64 packets; __u64 bytes; };
    struct prefix { __u32 length; __u8 data[4]; };
    struct inner { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64);
                   __uint(max_entries, 2); };
";

/// The case in words, and as a C definition.
pub(crate) fn texts((kind, words, body, ..): Case) -> [String; 3] {
    let upper = kind.to_uppercase();
    let c = format!(
        "{TYPES} struct {{ __uint(type, BPF_MAP_TYPE_{upper}); {body} }} m SEC(\".maps\");"
    );
    [format!("{kind} {words}\n"), format!("type {kind} {words}"), c]
}

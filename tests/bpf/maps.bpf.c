// SPDX-License-Identifier: MIT OR Apache-2.0
// Maps with BTF, as a program has them, for the tests: each of the common kinds, keys and values.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

struct stats {
	__u64 packets;
	__u64 bytes;
};

enum color { RED, GREEN = 5, BLUE = -3 };

struct scalars {
	__u8 u8;
	__s8 s8;
	__u16 u16;
	__s16 s16;
	__u32 u32;
	__s32 s32;
	__u64 u64;
	__s64 s64;
	bool flag;
	enum color color;
	enum xdp_action action;
	char name[16];
	__u32 list[4];
	__u8 bytes[6];
};

struct flow {
	__u32 from;
	__u16 port;
	__u8 proto;
	__u8 ttl;
};

#define MAP(KIND, NAME, KEY, VALUE, ENTRIES)                                                       \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##KIND);                                                 \
		__type(key, KEY);                                                                  \
		__type(value, VALUE);                                                              \
		__uint(max_entries, ENTRIES);                                                      \
	} NAME SEC(".maps")

typedef char name16[16];
typedef char text32[32];
typedef __u32 quad[4];
typedef __u8 octets[12];

// The kinds, with a value of one number; LRU maps with so much room that none of a few elements is
// evicted: each CPU takes over 100 free ones for itself ...
MAP(HASH, hash_u64, __u32, __u64, 100);
MAP(ARRAY, array_u64, __u32, __u64, 4);
MAP(LRU_HASH, lru_u64, __u32, __u64, 4096);
MAP(PERCPU_HASH, phash_u64, __u32, __u64, 100);
MAP(PERCPU_ARRAY, parray_u64, __u32, __u64, 4);
MAP(LRU_PERCPU_HASH, plru_u64, __u32, __u64, 4096);

// ... and with a struct.
MAP(HASH, hash_stats, __u32, struct stats, 100);
MAP(ARRAY, array_stats, __u32, struct stats, 4);
MAP(LRU_HASH, lru_stats, __u32, struct stats, 4096);
MAP(PERCPU_HASH, phash_stats, __u32, struct stats, 100);
MAP(PERCPU_ARRAY, parray_stats, __u32, struct stats, 4);
MAP(LRU_PERCPU_HASH, plru_stats, __u32, struct stats, 4096);

// Values.
MAP(HASH, scalars, __u32, struct scalars, 100);
MAP(HASH, v_bool, __u32, bool, 100);
MAP(HASH, v_s32, __u32, __s32, 100);
MAP(HASH, v_u16, __u32, __u16, 100);
MAP(HASH, v_color, __u32, enum color, 100);
MAP(HASH, v_action, __u32, enum xdp_action, 100);
MAP(HASH, v_text, __u32, text32, 100);
MAP(HASH, v_quad, __u32, quad, 100);
MAP(HASH, v_octets, __u32, octets, 100);

// Keys.
MAP(HASH, k_s64, __s64, __u32, 100);
MAP(HASH, k_action, enum xdp_action, __u32, 100);
MAP(HASH, k_name, name16, __u32, 100);
MAP(HASH, k_flow, struct flow, __u32, 100);

// A program that counts its runs on the CPU it runs on, for `bpftool prog run`.
SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *runs = bpf_map_lookup_elem(&parray_u64, &zero);

	if (runs)
		*runs += 1;
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";

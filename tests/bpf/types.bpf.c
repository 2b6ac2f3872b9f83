/* A map for each type of types.h, and the data sections of a loaded object. No program. */
#include "types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define VALUE(map, of, text, ...) \
	struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); \
		 __type(key, __u32); __type(value, of); } map SEC(".maps");
#define KEY(map, of, name, ...) \
	struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); \
		 __type(key, of); __type(value, __u32); } map SEC(".maps");
VALUES
KEYS
#undef KEY
#define KEY(map, of, name, ...) \
	struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 4); \
		 __uint(map_flags, BPF_F_NO_PREALLOC); \
		 __type(key, of); __type(value, __u32); } map SEC(".maps");
PREFIXES

int answer = 42;
struct stats totals = { 1, 2 };
static volatile char greeting[8] = "hello";
const volatile __u32 limit = 9;
const volatile enum verdict verdict_of = LOG;
__u64 counter;
struct nested zeroed[2];

SEC("socket")
int keep(void *ctx)
{
	/* Its name in the BTF, `keep.calls`, is none in C. */
	static volatile __u32 calls;

	calls++;
	/* Static variables that no code uses are dropped by the compiler. */
	return greeting[answer & 7] + limit + verdict_of;
}

char _license[] SEC("license") = "GPL";

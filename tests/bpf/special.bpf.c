/* Values with members that belong to the kernel. */
#include <linux/types.h>
/* Newer headers define these; older ones do not, so what they define is renamed. */
#define bpf_list_head bpf_list_head_of_the_headers
#define bpf_list_node bpf_list_node_of_the_headers
#define bpf_rb_node bpf_rb_node_of_the_headers
#define bpf_refcount bpf_refcount_of_the_headers
#define bpf_wq bpf_wq_of_the_headers
#include <linux/bpf.h>
#undef bpf_list_head
#undef bpf_list_node
#undef bpf_rb_node
#undef bpf_refcount
#undef bpf_wq
#include <bpf/bpf_helpers.h>

/* As newer kernel headers define them. */
struct bpf_list_head { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 opaque[1]; } __attribute__((aligned(4)));
struct bpf_wq { __u64 opaque[2]; } __attribute__((aligned(8)));

struct locked { __u32 before; struct bpf_spin_lock lock; __u64 after; };
struct nested { __u32 outer; struct locked inner; };
struct timed { struct bpf_timer timer; __u32 count; __u32 more; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct locked);
} s_locked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct timed);
} s_timed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct nested);
} s_nested SEC(".maps");

struct item { struct bpf_list_node node; struct bpf_rb_node tree; struct bpf_refcount ref; __u64 data; };

struct graph {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __attribute__((btf_decl_tag("contains:item:node")));
	__u32 count;
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct graph);
} s_graph SEC(".maps");

/* So that the BTF has the items that the list holds. */
struct item *item_of;

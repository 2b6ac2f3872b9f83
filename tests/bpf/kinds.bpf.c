// SPDX-License-Identifier: MIT OR Apache-2.0
// Maps whose elements stand for objects of the kernel, and programs that use what was put there.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAP(KIND, NAME, KEY, VALUE, ENTRIES, FLAGS)                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##KIND);                                                 \
		__uint(key_size, KEY);                                                             \
		__uint(value_size, VALUE);                                                         \
		__uint(max_entries, ENTRIES);                                                      \
		__uint(map_flags, FLAGS);                                                          \
	} NAME SEC(".maps")

MAP(PROG_ARRAY, jumps, 4, 4, 4, 0);
MAP(CGROUP_ARRAY, groups, 4, 4, 4, 0);
MAP(DEVMAP, dev8, 4, 8, 4, 0);
MAP(DEVMAP_HASH, devhash8, 4, 8, 4, 0);
MAP(CPUMAP, cpu8, 4, 8, 2, 0);
MAP(XSKMAP, xsks, 4, 4, 4, 0);
MAP(REUSEPORT_SOCKARRAY, ports, 4, 8, 4, 0);
MAP(SOCKMAP, flows, 4, 8, 4, 0);
MAP(SOCKHASH, flowhash, 4, 8, 4, 0);
MAP(STACK_TRACE, stacks, 4, 32 * 8, 16, 0);
MAP(STACK_TRACE, build_ids, 4, 32 * sizeof(struct bpf_stack_build_id), 16,
    BPF_F_STACK_BUILD_ID);
MAP(PERF_EVENT_ARRAY, kept, 4, 4, 2, BPF_F_PRESERVE_ELEMS);
// Which programs ran, and how often.
MAP(ARRAY, seen, 4, 8, 4, 0);

struct owned {
	__u64 packets;
	__u64 mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, struct owned);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, struct owned);
} percpu_storage SEC(".maps");

// Shared by all programs that use it: the key is the cgroup's id alone.
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, __u64);
} shared_storage SEC(".maps");

static void saw(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&seen, &what);

	if (count)
		__sync_fetch_and_add(count, 1);
}

SEC("tc")
int jump(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, 1);
	return 7;
}

SEC("tc")
int landing(struct __sk_buff *skb)
{
	return 42;
}

SEC("raw_tp")
int am_i_in(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_current_task_under_cgroup(&groups, ctx->args[0]);
}

SEC("xdp")
int to_device(struct xdp_md *ctx)
{
	saw(0);
	return bpf_redirect_map(&dev8, 1, 0);
}

SEC("xdp")
int to_devhash(struct xdp_md *ctx)
{
	saw(0);
	return bpf_redirect_map(&devhash8, 1, 0);
}

SEC("xdp")
int to_cpu(struct xdp_md *ctx)
{
	saw(0);
	return bpf_redirect_map(&cpu8, 0, 0);
}

SEC("xdp/devmap")
int on_device(struct xdp_md *ctx)
{
	saw(1);
	return XDP_PASS;
}

SEC("xdp/cpumap")
int on_cpu(struct xdp_md *ctx)
{
	saw(2);
	return XDP_DROP;
}

SEC("xdp")
int to_socket(struct xdp_md *ctx)
{
	saw(0);
	return bpf_redirect_map(&xsks, 1, XDP_PASS);
}

SEC("sk_reuseport")
int choose(struct sk_reuseport_md *md)
{
	__u32 key = 1;

	return bpf_sk_select_reuseport(md, &ports, &key, 0) ? SK_DROP : SK_PASS;
}

SEC("sk_skb/stream_verdict")
int forward(struct __sk_buff *skb)
{
	return bpf_sk_redirect_map(skb, &flows, 1, 0);
}

SEC("sk_skb/stream_verdict")
int forward_hash(struct __sk_buff *skb)
{
	__u32 key = 1;

	return bpf_sk_redirect_hash(skb, &flowhash, &key, 0);
}

SEC("cgroup_skb/egress")
int count_packets(struct __sk_buff *skb)
{
	struct owned *mine = bpf_get_local_storage(&storage, 0);
	struct owned *here = bpf_get_local_storage(&percpu_storage, 0);

	__sync_fetch_and_add(&mine->packets, 1);
	here->packets++;
	return 1;
}

SEC("cgroup_skb/egress")
int count_shared(struct __sk_buff *skb)
{
	__u64 *packets = bpf_get_local_storage(&shared_storage, 0);

	__sync_fetch_and_add(packets, 1);
	return 1;
}

SEC("raw_tp")
int kernel_stack(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID);
}

SEC("raw_tp")
int user_stack(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK | BPF_F_REUSE_STACKID);
}

SEC("raw_tp")
int user_build_ids(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &build_ids, BPF_F_USER_STACK | BPF_F_REUSE_STACKID);
}

SEC("raw_tp")
int to_kept(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 number = ctx->args[0];

	return bpf_perf_event_output(ctx, &kept, BPF_F_CURRENT_CPU, &number, sizeof(number));
}

char _license[] SEC("license") = "GPL";

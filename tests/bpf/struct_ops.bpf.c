// SPDX-License-Identifier: MIT OR Apache-2.0
// A TCP congestion control of two maps: one that update registers, one that a link does.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sock;

// The members that the kernel insists on; libbpf finds them in the kernel's own structure by name.
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
} __attribute__((preserve_access_index));

SEC("struct_ops")
__u32 threshold(unsigned long long *ctx)
{
	return 2;
}

SEC("struct_ops")
void avoid(unsigned long long *ctx)
{
}

SEC("struct_ops")
__u32 undo(unsigned long long *ctx)
{
	return 2;
}

SEC(".struct_ops")
struct tcp_congestion_ops plain = {
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "bpffuse_plain",
};

SEC(".struct_ops.link")
struct tcp_congestion_ops linked = {
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "bpffuse_linked",
};

char _license[] SEC("license") = "GPL";

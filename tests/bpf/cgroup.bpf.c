// SPDX-License-Identifier: MIT OR Apache-2.0
// A program that can be attached to a control group and detached again.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/egress")
int pass(struct __sk_buff *skb)
{
	return 1;
}

char LICENSE[] SEC("license") = "GPL";

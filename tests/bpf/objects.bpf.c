// SPDX-License-Identifier: MIT OR Apache-2.0
// An iterator program, for a pinned link that needs no device: `bpftool iter pin`.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("iter/task")
int each_task(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";

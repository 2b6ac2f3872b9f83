// SPDX-License-Identifier: MIT OR Apache-2.0
// The XDP program of recipes.md: counts IPv4 packets by source and by protocol, drops those from
// blocked networks, and reports each packet that it dropped.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct counters {
	__u64 packets;
	__u64 bytes;
};

struct network {
	__u32 prefixlen;
	struct in_addr addr;
};

struct dropped {
	struct in_addr from;
	__u8 protocol;
	__u16 bytes;
};

// clang writes down only types that a symbol has.
const struct dropped *type_of_events __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1000);
	__type(key, struct in_addr);
	__type(value, struct counters);
} hosts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} protocols SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 100);
	__type(key, struct network);
	__type(value, __u64);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

// Settings, which anybody may change while the program runs.
bool blocking = true;
__u32 report_every = 1;

static void count_host(struct in_addr *from, __u64 bytes)
{
	struct counters first = { 1, bytes };
	struct counters *present = bpf_map_lookup_elem(&hosts, from);

	if (!present) {
		bpf_map_update_elem(&hosts, from, &first, BPF_ANY);
		return;
	}
	__sync_fetch_and_add(&present->packets, 1);
	__sync_fetch_and_add(&present->bytes, bytes);
}

static void report(struct in_addr from, __u8 protocol, __u16 bytes)
{
	struct dropped *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return;
	event->from = from;
	event->protocol = protocol;
	event->bytes = bytes;
	bpf_ringbuf_submit(event, 0);
}

SEC("xdp")
int flows(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	__u64 bytes = end - data, *of_protocol;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	struct in_addr from = { ip->saddr };
	__u32 protocol = ip->protocol;

	count_host(&from, bytes);
	of_protocol = bpf_map_lookup_elem(&protocols, &protocol);
	if (of_protocol)
		*of_protocol += 1;
	struct network network = { 32, from };
	__u64 *drops = bpf_map_lookup_elem(&blocked, &network);

	if (!blocking || !drops)
		return XDP_PASS;
	if (__sync_fetch_and_add(drops, 1) % report_every == 0)
		report(from, protocol, bytes);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";

// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs that write an event each time that a test runs them, and one that drains a user ring.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 seq;
	__u32 cpu;
	char text[8];
};

// Only types that a global declaration needs are in the BTF.
const struct event *event_type __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 12);
} tiny SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 0);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 1 << 12);
} orders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} drained SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16);
	__uint(key_size, 4);
	__uint(value_size, 8 * 20);
} stacks SEC(".maps");

static __always_inline void make(struct event *event, __u64 seq)
{
	event->seq = seq;
	event->cpu = bpf_get_smp_processor_id();
	__builtin_memcpy(event->text, "ring\0\0\0", 8);
}

SEC("raw_tp/to_ring")
int to_ring(struct bpf_raw_tracepoint_args *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 1;
	make(event, ctx->args[0]);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

// One record that is thrown away, then one that is kept, and nobody is woken up.
SEC("raw_tp/to_tiny")
int to_tiny(struct bpf_raw_tracepoint_args *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&tiny, sizeof(*event), 0);

	if (!event)
		return 1;
	make(event, ctx->args[0]);
	bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
	event = bpf_ringbuf_reserve(&tiny, sizeof(*event), 0);
	if (!event)
		return 1;
	make(event, ctx->args[0]);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("raw_tp/to_perf")
int to_perf(struct bpf_raw_tracepoint_args *ctx)
{
	struct event event;

	make(&event, ctx->args[0]);
	return bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event)) ? 1 : 0;
}

static long take(struct bpf_dynptr *order, void *context)
{
	__u32 number = 0;
	__u32 at = 0;
	__u64 *sum;

	bpf_dynptr_read(&number, sizeof(number), order, 0, 0);
	sum = bpf_map_lookup_elem(&drained, &at);
	if (sum)
		*sum += number;
	at = 1;
	sum = bpf_map_lookup_elem(&drained, &at);
	if (sum)
		*sum += 1;
	return 0;
}

SEC("raw_tp/drain")
int drain(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_user_ringbuf_drain(&orders, take, 0, 0) < 0;
}

SEC("raw_tp/stack")
int stack(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID) < 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";

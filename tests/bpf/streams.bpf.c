// SPDX-License-Identifier: MIT OR Apache-2.0
// Events on command: programs that BPF_PROG_TEST_RUN runs with (first number, how many).
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u64 seq;
	__u32 twice;
	char who[12];
};

struct command {
	__u32 id;
	__u32 amount;
};

// clang writes down only types that a symbol has.
const struct event *unused_event __attribute__((unused));
const struct command *unused_command __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

static struct event event_of(__u64 seq)
{
	struct event event = { .seq = seq, .twice = 2 * seq, .who = "tester" };
	return event;
}

SEC("raw_tp")
int to_ring(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 first = ctx->args[0], count = ctx->args[1];

	for (int i = 0; i < 1000 && i < count; i++) {
		struct event event = event_of(first + i);

		bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	}
	return 0;
}

// Every second record is thrown away again.
SEC("raw_tp")
int to_ring_with_gaps(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 first = ctx->args[0], count = ctx->args[1];

	for (int i = 0; i < 1000 && i < count; i++) {
		struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

		if (!event)
			return 0;
		*event = event_of(first + i);
		if (i % 2)
			bpf_ringbuf_discard(event, 0);
		else
			bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

SEC("raw_tp")
int to_perf(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 first = ctx->args[0], count = ctx->args[1];

	for (int i = 0; i < 1000 && i < count; i++) {
		struct event event = event_of(first + i);

		bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event));
	}
	return 0;
}

// Commands come out again as events: the id as the number, what it holds beside it.
static long take(struct bpf_dynptr *dynptr, void *ctx)
{
	struct command command = {};
	struct event event;

	if (bpf_dynptr_read(&command, sizeof(command), dynptr, 0, 0))
		return 0;
	event = event_of(command.id);
	event.twice = command.amount;
	bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	return 0;
}

SEC("raw_tp")
int drain(struct bpf_raw_tracepoint_args *ctx)
{
	bpf_user_ringbuf_drain(&commands, take, 0, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";

/* tcplife of libbpf-tools: its events, with addresses where its own types say __int128. */

union tcplife_addr {
	ipv4_t v4;
	ipv6_t v6;
};

struct tcplife_event {
	union tcplife_addr saddr;
	union tcplife_addr daddr;
	char comm[16];
	__u64 ts_us;
	__u64 span_us;
	__u64 rx_b;
	__u64 tx_b;
	__u32 pid;
	__u16 sport;
	__u16 dport;
	__u16 family;
} __attribute__((aligned(16)));

struct { __type(event, struct tcplife_event); } events SEC(".maps");

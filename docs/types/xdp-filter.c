/* xdp-filter (xdp-tools): addresses and ports, which its own types call numbers. */

/* The port in network order, in the low bytes of the index. */
struct port {
	__be16 port;
} __attribute__((aligned(4)));

struct { __type(key, struct port); } filter_ports SEC(".maps");
struct { __type(key, ipv4_t); } filter_ipv4 SEC(".maps");
struct { __type(key, ipv6_t); } filter_ipv6 SEC(".maps");
struct { __type(key, mac_t); } filter_ethernet SEC(".maps");

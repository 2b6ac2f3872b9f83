/* ebpf_exporter's examples: keys that are functions of the kernel. */

struct { __type(key, ksym_t); __type(value, __u64); } timer_starts_total SEC(".maps");

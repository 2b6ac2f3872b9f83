/* bcc's tools: maps whose types stay in their Python scripts. */

/* offcputime, offwaketime, wakeuptime, profile and others: where in the kernel. */
struct bcc_stack_key {
	__u32 pid;
	ksym_t kernel_ip;
	int user_stack_id;
	int kernel_stack_id;
	char name[16];
};
struct { __type(key, struct bcc_stack_key); __type(value, __u64); } counts SEC(".maps");

/* funccount: how often each function was called. */
struct bcc_function { ksym_t ip; };
struct { __type(key, struct bcc_function); __type(value, __u64); } counts SEC(".maps");

/* BPF_HISTOGRAM(dist): cat dist/.hist/.map. biolatency, runqlat, vfsstat and many others. */
struct { __type(key, int); __type(value, __u64); } dist SEC(".maps");

/*
 * bpftrace: a script's @name is the kernel's AT_name, without types. These are the shapes that most
 * scripts give to the nameless @ and to a few names; of one name, the first that fits a map's sizes
 * holds. Histograms: cat .hist/.map, or .lhist/.map.
 *
 * For a map of your own: echo "key 'char[16]' value u64" > .type
 */

/* @[comm] = count(); @[comm] = sum(...) */
struct { __type(key, char[16]); __type(value, __u64); } AT_ SEC(".maps");
/* @[tid] = nsecs, @[pid] = count() */
struct { __type(key, __u64); __type(value, __u64); } AT_ SEC(".maps");
/* @[pid, comm] = count() */
struct at_pid_comm { __u64 pid; char comm[16]; };
struct { __type(key, struct at_pid_comm); __type(value, __u64); } AT_ SEC(".maps");

struct { __type(key, char[16]); __type(value, __u64); } AT_count SEC(".maps");
struct { __type(key, char[16]); __type(value, __u64); } AT_bytes SEC(".maps");
struct { __type(key, __u64); __type(value, __u64); } AT_start SEC(".maps");

/* A null file system that is served through /dev/fuse or through io_uring, and a client of it.
 * fuse-uring.py runs both, and says how.
 *
 *     fuse-uring dev|uring|split MOUNTPOINT THREADS    serves; uring with several threads: one per CPU
 *     fuse-uring orc|pread|owc|stat|big FILE MS        prints the median ns, how often, and all CPU ns */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define TEXT "12345678\n"
#define BIG (1 << 17)	  /* bytes of file 9 */
#define PAYLOAD (1 << 20) /* the largest WRITE of bpffuse: each ring entry has room for it */
#define DEPTH 4		  /* ring entries in a queue */
#define NO_REPLY 1

/* From linux/fuse.h of 6.14. */
#define OVER_IO_URING (1u << 9) /* in flags2 */
enum { REGISTER = 1, COMMIT_AND_FETCH = 2 };
struct command { uint64_t flags, commit_id; uint16_t queue; };
struct headers { char in_out[128], op[128]; uint64_t flags, commit_id; uint32_t payload, pad; uint64_t spare; };

struct entry { struct headers *headers; char *payload; struct iovec parts[2]; int queue; };
struct ring {
	int fd;
	unsigned *sq_tail, sq_mask, *cq_head, *cq_tail, cq_mask;
	char *sqes;
	struct io_uring_cqe *cqes;
};

static int fuse, queues, threads;
static int is_uring, is_split; /* split: answers are submitted by one call, and requests awaited by another */

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static struct fuse_attr attributes(uint64_t node)
{
	int is_root = node == FUSE_ROOT_ID;
	return (struct fuse_attr){.ino = node, .nlink = 1, .mode = is_root ? S_IFDIR | 0700 : S_IFREG | 0600,
				  .size = is_root ? 0 : node == 11 ? BIG : strlen(TEXT)};
}

/* Writes the answer to `out`, which may be where `name` is, and returns its size, -errno or NO_REPLY. */
static int answer(const struct fuse_in_header *in, const void *arg, const char *name, void *out)
{
	const struct fuse_read_in *read = arg; /* a WRITE's size is in the same place */
	switch (in->opcode) {
	case FUSE_LOOKUP:;
		int file = name[1] ? -1 : name[0] - '0';
		if (file < 0 || file > 9)
			return -ENOENT;
		*(struct fuse_entry_out *)out = (struct fuse_entry_out){.nodeid = file + 2, .attr = attributes(file + 2)};
		return sizeof(struct fuse_entry_out);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		*(struct fuse_attr_out *)out = (struct fuse_attr_out){.attr_valid = in->nodeid == FUSE_ROOT_ID ? 1000 : 0,
								      .attr = attributes(in->nodeid)};
		return sizeof(struct fuse_attr_out);
	case FUSE_OPEN:
		*(struct fuse_open_out *)out = (struct fuse_open_out){.open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH};
		return sizeof(struct fuse_open_out);
	case FUSE_READ:
		if (in->nodeid == 11)
			return memset(out, 'x', read->size), read->size;
		memcpy(out, TEXT, strlen(TEXT));
		return read->offset ? 0 : strlen(TEXT);
	case FUSE_WRITE:
		*(struct fuse_write_out *)out = (struct fuse_write_out){.size = read->size};
		return sizeof(struct fuse_write_out);
	case FUSE_INIT:;
		struct fuse_init_out *init = out;
		unsigned flags2 = is_uring ? OVER_IO_URING : 0;
		if (flags2 & ~((const struct fuse_init_in *)arg)->flags2)
			errno = EOPNOTSUPP, die("enable_uring is not Y");
		*init = (struct fuse_init_out){.major = 7, .minor = 38, .max_write = PAYLOAD, .max_pages = PAYLOAD / 4096};
		init->flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_INIT_EXT;
		init->flags2 = flags2;
		return sizeof *init;
	case FUSE_RELEASE:
		return 0;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return NO_REPLY;
	default:
		return -ENOSYS;
	}
}

static void set_up(struct ring *ring, unsigned entries)
{
	struct io_uring_params p = {.flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
	ring->fd = syscall(SYS_io_uring_setup, entries, &p);
	if (ring->fd < 0 || syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_FILES, &fuse, 1))
		die("io_uring");
	int prot = PROT_READ | PROT_WRITE;
	size_t size = p.cq_off.cqes + p.cq_entries * sizeof *ring->cqes, array = p.sq_off.array + p.sq_entries * 4;
	char *map = mmap(NULL, size > array ? size : array, prot, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, p.sq_entries * 128, prot, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	if (map == MAP_FAILED || ring->sqes == MAP_FAILED)
		die("mmap");
	for (unsigned i = 0; i < p.sq_entries; i++)
		((unsigned *)(map + p.sq_off.array))[i] = i;
	ring->sq_tail = (void *)(map + p.sq_off.tail), ring->sq_mask = p.sq_entries - 1;
	ring->cq_head = (void *)(map + p.cq_off.head), ring->cq_tail = (void *)(map + p.cq_off.tail);
	ring->cqes = (void *)(map + p.cq_off.cqes), ring->cq_mask = p.cq_entries - 1;
}

static void push(struct ring *ring, struct entry *entry, int op, uint64_t commit_id)
{
	unsigned tail = *ring->sq_tail;
	struct io_uring_sqe *sqe = (void *)(ring->sqes + (tail & ring->sq_mask) * 128);
	memset(sqe, 0, 128);
	sqe->opcode = IORING_OP_URING_CMD, sqe->flags = IOSQE_FIXED_FILE, sqe->cmd_op = op;
	sqe->user_data = (uintptr_t)entry;
	if (op == REGISTER)
		sqe->addr = (uintptr_t)entry->parts, sqe->len = 2;
	*(struct command *)sqe->cmd = (struct command){.commit_id = commit_id, .queue = entry->queue};
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
}

/* Serves one queue on its CPU, if this thread may run there, or all queues. */
static void *serve_rings(void *which)
{
	int only = (intptr_t)which, first = only < 0 ? 0 : only, end = only < 0 ? queues : only + 1, todo = 0;
	struct ring ring;
	cpu_set_t may, one;
	sched_getaffinity(0, sizeof may, &may);
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	if (only >= 0 && CPU_ISSET(only, &may))
		sched_setaffinity(0, sizeof one, &one);
	set_up(&ring, (end - first) * DEPTH);
	for (int i = first * DEPTH; i < end * DEPTH; i++, todo++) {
		struct entry *entry = malloc(sizeof *entry);
		*entry = (struct entry){aligned_alloc(64, 320), aligned_alloc(4096, PAYLOAD), .queue = i / DEPTH};
		entry->parts[0] = (struct iovec){entry->headers, sizeof *entry->headers};
		entry->parts[1] = (struct iovec){entry->payload, PAYLOAD};
		push(&ring, entry, REGISTER, 0);
	}
	for (;;) {
		int wait = !is_split || !todo;
		int taken = syscall(SYS_io_uring_enter, ring.fd, todo, wait, IORING_ENTER_GETEVENTS, NULL, 0);
		if (taken < 0 && errno != EINTR)
			die("io_uring_enter");
		todo -= taken > 0 ? taken : 0;
		unsigned head = *ring.cq_head, tail = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE);
		for (; head != tail; head++, todo++) {
			const struct io_uring_cqe *cqe = &ring.cqes[head & ring.cq_mask];
			struct entry *entry = (void *)(uintptr_t)cqe->user_data;
			struct headers *headers = entry->headers;
			struct fuse_in_header in = *(struct fuse_in_header *)headers->in_out;
			if (cqe->res == -ENOTCONN)
				return NULL; /* unmounted */
			if (cqe->res < 0)
				errno = -cqe->res, die("a ring's entry");
			int size = answer(&in, headers->op, entry->payload, entry->payload);
			headers->payload = size > 0 ? size : 0;
			*(struct fuse_out_header *)headers->in_out =
				(struct fuse_out_header){.error = size < 0 ? size : 0, .unique = in.unique};
			push(&ring, entry, COMMIT_AND_FETCH, headers->commit_id);
		}
		__atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
	}
}

/* All requests, or those that do not go through rings: INIT, FORGETs and INTERRUPTs. */
static void *serve_device(void *unused)
{
	struct fuse_in_header *in = malloc(PAYLOAD + 4096);
	struct fuse_out_header *out = malloc(PAYLOAD + 4096);
	pthread_t thread;
	for (;;) {
		if (read(fuse, in, PAYLOAD + 4096) < 0) {
			if (errno == ENODEV)
				return NULL; /* unmounted */
			continue;
		}
		int size = answer(in, in + 1, (char *)(in + 1), out + 1);
		if (size == NO_REPLY)
			continue;
		*out = (struct fuse_out_header){.error = size < 0 ? size : 0, .unique = in->unique};
		out->len = sizeof *out + (size > 0 ? size : 0);
		if (write(fuse, out, out->len) < 0 && errno != ENOENT)
			die("an answer");
		if (in->opcode != FUSE_INIT)
			continue;
		for (intptr_t i = 0; is_uring && i < (threads > 1 ? queues : 1); i++)
			pthread_create(&thread, NULL, serve_rings, (void *)(threads > 1 ? i : -1));
		for (int i = 1; !is_uring && i < threads; i++)
			pthread_create(&thread, NULL, serve_device, NULL);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(double *)a, y = *(double *)b;
	return x < y ? -1 : x > y;
}

/* Does one thing again and again for some milliseconds, from the moment that standard input says so. */
static int ask(const char *op, const char *path, double ms)
{
	static char buffer[BIG];
	static double times[1 << 20];
	int file = open(path, O_RDONLY), size = *op == 'b' ? BIG : 4096, text = *op == 'b' ? BIG : strlen(TEXT), n = 0;
	puts("ready");
	if (fflush(stdout) || read(0, buffer, 1) != 1)
		return 1;
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID), start = now(CLOCK_MONOTONIC), end = start + ms * 1e6, then;
	for (int ok; start < end && n < 1 << 20; times[n++] = then - start, start = then) {
		struct stat st;
		int fd = *op != 'o' ? file : open(path, op[1] == 'r' ? O_RDONLY : O_WRONLY | O_TRUNC);
		if (*op == 's')
			ok = !stat(path, &st) && st.st_size == text;
		else if (op[1] == 'w')
			ok = write(fd, TEXT, text) == text;
		else
			ok = pread(fd, buffer, size, 0) == text;
		if (*op == 'o')
			close(fd);
		if (!ok)
			die(path);
		then = now(CLOCK_MONOTONIC);
	}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(times, n, sizeof *times, by_value);
	return printf("%.0f %d %.0f\n", times[n / 2], n, cpu) < 0;
}

int main(int argc, char **argv)
{
	char options[99];
	if (argc < 4)
		return 2;
	is_split = !strcmp(argv[1], "split"), is_uring = is_split || !strcmp(argv[1], "uring");
	if (!is_uring && strcmp(argv[1], "dev"))
		return ask(argv[1], argv[2], atoi(argv[3]));
	fuse = open("/dev/fuse", O_RDWR), threads = atoi(argv[3]), queues = sysconf(_SC_NPROCESSORS_CONF);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	if (mount("null", argv[2], "fuse", MS_NOSUID | MS_NODEV, options))
		die("mount");
	serve_device(NULL);
	return 0;
}

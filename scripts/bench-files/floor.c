/* What the system calls alone cost: the floors that scripts/bench measures against. Each command
 * prints nanoseconds; those that touch data check it and exit with 1 if it is wrong. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH 4096

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int map(const char *pin, struct bpf_map_info *info)
{
	unsigned len = sizeof *info;
	int fd = bpf_obj_get(pin);
	memset(info, 0, len);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, info, &len))
		die(pin);
	return fd;
}

/* Element n: the key begins with n, the value is n * 7 in each 8 bytes. */
static void element(unsigned n, unsigned char *key, unsigned ks, unsigned char *value, unsigned vs)
{
	unsigned long long v = n * 7ULL;
	memset(key, 0, ks);
	memcpy(key, &n, 4);
	for (unsigned i = 0; i + 8 <= vs; i += 8)
		memcpy(value + i, &v, 8);
}

/* fill PIN N: N elements by BPF_MAP_UPDATE_BATCH; the time of the calls alone. */
static long long fill(const char *pin, unsigned total)
{
	struct bpf_map_info info;
	int fd = map(pin, &info);
	unsigned char *keys = malloc(BATCH * info.key_size), *values = malloc(BATCH * info.value_size);
	long long spent = 0;
	for (unsigned n = 0; n < total;) {
		unsigned count = total - n < BATCH ? total - n : BATCH;
		for (unsigned i = 0; i < count; i++)
			element(n + i, keys + i * info.key_size, info.key_size,
				values + i * info.value_size, info.value_size);
		n += count;
		long long start = now();
		if (bpf_map_update_batch(fd, keys, values, &count, NULL))
			die("BPF_MAP_UPDATE_BATCH");
		spent += now() - start;
	}
	return spent;
}

/* walk PIN N: all by BPF_MAP_LOOKUP_BATCH, N elements expected; checks them with `check`. */
static long long walk(const char *pin, unsigned total, int check)
{
	struct bpf_map_info info;
	int fd = map(pin, &info), rc = 0;
	unsigned char *keys = malloc(BATCH * info.key_size), *values = malloc(BATCH * info.value_size);
	unsigned char key[64], value[256];
	unsigned token, met = 0, first = 1;
	long long start = now();
	while (!rc) {
		unsigned count = BATCH;
		rc = bpf_map_lookup_batch(fd, first ? NULL : &token, &token, keys, values, &count, NULL);
		if (rc && errno != ENOENT)
			die("BPF_MAP_LOOKUP_BATCH");
		first = 0;
		met += count;
		for (unsigned i = 0; check && i < count; i++) {
			element(*(unsigned *)(keys + i * info.key_size), key, info.key_size, value,
				info.value_size);
			if (memcmp(key, keys + i * info.key_size, info.key_size) ||
			    memcmp(value, values + i * info.value_size, info.value_size))
				exit((fprintf(stderr, "a wrong element\n"), 1));
		}
	}
	start = now() - start;
	if (met != total)
		exit((fprintf(stderr, "%u elements instead of %u\n", met, total), 1));
	return start;
}

/* list DIR N: getdents64 to the end, N names expected besides . and .. */
static long long list(const char *dir, unsigned total)
{
	static char buffer[32768];
	unsigned met = 0;
	long got;
	long long start = now();
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
		for (long at = 0; at < got; at += *(unsigned short *)(buffer + at + 16))
			met++;
	close(fd);
	start = now() - start;
	if (got < 0 || met != total + 2)
		exit((fprintf(stderr, "%u names instead of %u\n", met, total + 2), 1));
	return start;
}

static int by_size(const void *a, const void *b)
{
	long long x = *(long long *)a, y = *(long long *)b;
	return x < y ? -1 : x > y;
}

/* orc, pread, owc PATH N: the median of N operations on one file. */
static long long op(const char *what, const char *path, unsigned total)
{
	long long *times = malloc(total * sizeof *times);
	char buffer[4096];
	int fd = open(path, O_RDONLY);
	for (unsigned n = 0; n < total; n++) {
		long long start = now();
		int ok;
		if (!strcmp(what, "orc")) {
			int fd = open(path, O_RDONLY);
			ok = fd >= 0 && read(fd, buffer, sizeof buffer) > 0;
			close(fd);
		} else if (!strcmp(what, "pread")) {
			ok = pread(fd, buffer, sizeof buffer, 0) > 0;
		} else {
			int fd = open(path, O_WRONLY | O_TRUNC);
			ok = fd >= 0 && write(fd, "12345678\n", 9) == 9;
			close(fd);
		}
		times[n] = now() - start;
		if (!ok)
			die(path);
	}
	qsort(times, total, sizeof *times, by_size);
	return times[total / 2];
}

/* many DIR FILES MS: how many files can be opened, read and closed in that time. */
static long long many(const char *dir, unsigned files, unsigned ms)
{
	char path[4096], buffer[4096];
	long long end = now() + ms * 1000000LL, done = 0;
	unsigned n = getpid();
	while (now() < end) {
		n = n * 1664525u + 1013904223u;
		snprintf(path, sizeof path, "%s/%u", dir, n % files);
		int fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, buffer, sizeof buffer) <= 0)
			die(path);
		close(fd);
		done++;
	}
	return done;
}

int main(int argc, char **argv)
{
	long long result;
	if (argc < 4)
		return 2;
	unsigned n = atoi(argv[3]);
	if (!strcmp(argv[1], "fill"))
		result = fill(argv[2], n);
	else if (!strcmp(argv[1], "walk"))
		result = walk(argv[2], n, 0);
	else if (!strcmp(argv[1], "check"))
		result = walk(argv[2], n, 1);
	else if (!strcmp(argv[1], "list"))
		result = list(argv[2], n);
	else if (!strcmp(argv[1], "many"))
		result = many(argv[2], n, argc > 4 ? atoi(argv[4]) : 1000);
	else
		result = op(argv[1], argv[2], n);
	printf("%lld\n", result);
	return 0;
}

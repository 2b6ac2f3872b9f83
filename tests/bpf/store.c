/* Stores the values and keys of types.h in the maps pinned in argv[1], as any C program would, and
 * prints a line for each: the map's name, a tab, and the text that reading must give. */
#include "types.h"
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *dir;

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof *attr);
}

static int store(const char *map, const void *key, const void *value, const char *text)
{
	char path[256];
	union bpf_attr attr;

	snprintf(path, sizeof path, "%s/%s", dir, map);
	memset(&attr, 0, sizeof attr);
	attr.pathname = (__u64)path;
	int fd = bpf(BPF_OBJ_GET, &attr);
	if (fd < 0)
		return perror(path), 1;
	memset(&attr, 0, sizeof attr);
	attr.map_fd = fd;
	attr.key = (__u64)key;
	attr.value = (__u64)value;
	if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
		return perror(map), 1;
	close(fd);
	printf("%s\t%s\n", map, text);
	return 0;
}

int main(int argc, char **argv)
{
	__u32 zero = 0, seven = 7;

	if (argc != 2)
		return 2;
	dir = argv[1];
/* Static, so that padding is zero. */
#define VALUE(map, of, text, ...) { \
	static const struct { __typeof__(of) it __attribute__((aligned(16))); } from = { __VA_ARGS__ }; \
	if (store(#map, &zero, &from, text)) return 1; }
#define KEY(map, of, name, ...) { \
	static const struct { __typeof__(of) it __attribute__((aligned(16))); } from = { __VA_ARGS__ }; \
	if (store(#map, &from, &seven, name)) return 1; }
	VALUES
	KEYS
	PREFIXES
	return 0;
}

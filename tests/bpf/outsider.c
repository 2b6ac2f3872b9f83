/* Changes maps directly, as a program that knows nothing of bpffuse: sets and deletes the keys that it
 * is given, until its standard input ends. Then it prints how many calls it made.
 *
 * Its arguments are for each map: its pin, `-` or `d` (keys may be deleted), the bytes of a look-up's
 * value and of one slot in it, and a comma-separated list of keys in hex. */
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAPS = 64, KEYS = 64, KEY = 32, VALUE = 4096 };

static struct map {
	int fd, deletes, bytes, slot, keys;
	unsigned char key[KEYS][KEY];
} maps[MAPS];

static unsigned long long state = 88172645463325252ull;

static unsigned long long any(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof *attr);
}

static int element(struct map *map, int cmd, void *key, void *value, int flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.map_fd = map->fd;
	attr.key = (__u64)key;
	attr.value = (__u64)value;
	attr.flags = flags;
	return bpf(cmd, &attr);
}

int main(int argc, char **argv)
{
	int count = 0;
	unsigned long long calls = 0;

	for (int at = 1; at + 4 < argc && count < MAPS; at += 5, count++) {
		struct map *map = &maps[count];
		union bpf_attr attr;

		memset(&attr, 0, sizeof attr);
		attr.pathname = (__u64)argv[at];
		map->fd = bpf(BPF_OBJ_GET, &attr);
		if (map->fd < 0)
			return perror(argv[at]), 1;
		map->deletes = argv[at + 1][0] == 'd';
		map->bytes = atoi(argv[at + 2]);
		map->slot = atoi(argv[at + 3]);
		if (map->bytes > VALUE || map->slot < 8)
			return 2;
		for (char *hex = strtok(argv[at + 4], ","); hex && map->keys < KEYS; hex = strtok(NULL, ","))
			for (int i = 0, key = map->keys++; hex[2 * i] && i < KEY; i++)
				sscanf(hex + 2 * i, "%2hhx", &map->key[key][i]);
		if (!map->keys)
			return 2;
	}
	for (;;) {
		struct pollfd in = { .fd = 0, .events = POLLIN };

		/* A pause of a millisecond, so that others have the CPU too. */
		if (poll(&in, 1, 1))
			break;
		for (int i = 0; i < 16; i++, calls++) {
			struct map *map = &maps[any() % count];
			unsigned char *key = map->key[any() % map->keys];

			if (map->deletes && any() % 3 == 0) {
				if (element(map, BPF_MAP_DELETE_ELEM, key, NULL, 0) && errno != ENOENT)
					return perror("delete"), 1;
				continue;
			}
			/* A number whose low byte follows from the others; zeros behind it. */
			static unsigned long long value[VALUE / 8];
			memset(value, 0, sizeof value);
			for (int at = 0; at < map->bytes; at += map->slot) {
				unsigned long long n = any() >> 24 << 8;
				value[at / 8] = n | (n % 251);
			}
			if (element(map, BPF_MAP_UPDATE_ELEM, key, value, BPF_ANY))
				return perror("update"), 1;
		}
	}
	printf("%llu\n", calls);
	return 0;
}

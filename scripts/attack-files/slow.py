"""Memory that answers late: a page of a file on the attacker's own FUSE file system.

Any user may mount one with fusermount3. Here root mounts it, with the options that fusermount3 would
take, and the attacker serves it."""

import ctypes, heapq, os, select, struct, time

import bpf

PAGES = 1 << 14
DELAY = 0.6
FILE = 2
# Each page begins with a struct open_how: O_WRONLY | O_CREAT, 0600.
HOW = struct.pack("=3Q", os.O_WRONLY | os.O_CREAT, 0o600, 0)


def mount(bed, uid):
    """Gives the directory and the descriptor to serve it by."""
    point = os.path.join(bed.dir, "slow")
    os.mkdir(point)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id={uid},group_id={uid}".encode()
    bpf.check(bpf.libc.mount(b"slow", point.encode(), b"fuse", 6, options), "mount")
    bed.mounts.append(point)
    # Aborted like the other one, should anything go wrong.
    with open("/proc/self/mountinfo") as table:
        line = next(line for line in table if line.split(" ")[4] == point)
    with open(os.path.join(bed.home, "connections"), "a") as list:
        list.write(line.split(" ")[2].split(":")[1] + "\n")
    return point, fd


def attributes(node):
    size, mode = (PAGES << 12, 0o100644) if node == FILE else (0, 0o40755)
    return struct.pack("=6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)


def serve(fd, prompt=None):
    """Answers for ever: reads of a page late, except once where `prompt[page]` is set."""
    later = []
    while True:
        wait = max(0, later[0][0] - time.monotonic()) if later else 5
        if select.select([fd], [], [], wait)[0]:
            request = os.read(fd, 1 << 20)
            _, opcode, unique, node = struct.unpack_from("=IIQQ", request)
            at, error, body = time.monotonic(), 0, b""
            if opcode == 26:  # INIT
                major, minor = struct.unpack_from("=II", request, 40)
                body = struct.pack("=4I2HII2H8I", 7, min(minor, 31), 0, 0, 64, 64, 4096, 1, 1, 0, *[0] * 8)
            elif opcode == 1:  # LOOKUP
                body = struct.pack("=4Q2I", FILE, 1, 1000, 1000, 0, 0) + attributes(FILE)
            elif opcode == 3:  # GETATTR
                body = struct.pack("=Q2I", 1000, 0, 0) + attributes(node)
            elif opcode == 14:  # OPEN
                body = struct.pack("=Q2I", 0, 0, 0)
            elif opcode == 15:  # READ
                _, offset, size = struct.unpack_from("=QQI", request, 40)
                body = (HOW + bytes(4096 - len(HOW))) * (size >> 12)
                if prompt and prompt[offset >> 12]:
                    prompt[offset >> 12] = 0
                else:
                    at += DELAY
            elif opcode in (2, 42, 36):  # FORGET, BATCH_FORGET, INTERRUPT
                continue
            elif opcode not in (18, 25):  # RELEASE, FLUSH
                error = -38
            heapq.heappush(later, (at, unique, struct.pack("=IiQ", 16 + len(body), error, unique) + body))
        while later and later[0][0] <= time.monotonic():
            try:
                os.write(fd, heapq.heappop(later)[2])
            except OSError:
                pass  # Who asked is gone.


def memory(point, how):
    """The file, and where it is mapped: 1 for MAP_SHARED, 2 for MAP_PRIVATE."""
    libc = bpf.libc
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    fd = os.open(os.path.join(point, "file"), os.O_RDONLY)
    start = libc.mmap(None, PAGES << 12, how | 1, how, fd, 0)  # PROT_READ, and PROT_WRITE if private
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(PAGES << 12), 1)  # MADV_RANDOM
    return fd, start


def pages(point):
    """Addresses of pages that nobody has read yet."""
    _, start = memory(point, 2)
    own = os.getpid() % 64
    for n in range(PAGES // 64):
        yield start + ((own + n * 64) << 12)


def take_back(fd, start, page):
    """Takes a page out of memory again and again, so that who reads it next waits for the file."""
    at, advise = ctypes.c_void_p(start + (page << 12)), bpf.libc.posix_fadvise
    advise.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int]
    while True:
        bpf.libc.madvise(at, ctypes.c_size_t(4096), 4)  # MADV_DONTNEED
        advise(fd, page << 12, 4096, 4)  # POSIX_FADV_DONTNEED
        time.sleep(0.00002)

"""Attacks that make the daemon work long, or for ever: points 5, 6, 10 and 11."""

import mmap, os, resource, struct, threading

import bpf, slow
from bed import NOBODY, Enough, abort


def symlink_exchange(bed):
    """A directory of the user's own swaps with a symlink to the mount, while others stat below it."""
    os.mkdir(bed.on("x"), 0o755)
    os.mkdir(bed.on("mine"), 0o755)
    os.mkdir(bed.on("mine", "sub"), 0o755)
    for name in ("x", "y", "z"):
        os.mkdir(bed.on("mine", "sub", name), 0o755)
        os.makedirs(bed.on(name), 0o755, exist_ok=True)
        bed.make(f"mine/sub/{name}/m", mode=0o644)
        bed.make(f"{name}/m", mode=0o644)
    os.symlink(bed.mnt, bed.on("mine", "link"))
    for name in ("mine", "mine/sub", "mine/link"):
        os.chown(bed.on(name), NOBODY, NOBODY, follow_symlinks=False)
    a, b = bed.on("mine", "sub").encode(), bed.on("mine", "link").encode()

    def swap(_):
        while True:
            bpf.exchange(a, b)

    bed.attacker(swap)
    paths = [bed.at("mine", "sub", *rest) for name in ("x", "y", "z") for rest in ((name,), (name, "m"), (name, "m", ".info"))]

    def stat():
        for path in paths:
            try:
                os.stat(path, follow_symlinks=False)
            except OSError:
                pass

    # As many as it takes to have all workers in the mount at a time.
    bed.attack(24, stat, 6)


def mount_exchange(bed):
    """Two directories of the user's own are exchanged: in one a bpffs is mounted, in the other the mount."""
    for name in ("a", "b"):
        os.makedirs(bed.on(name, "x"), 0o755)
        os.chown(bed.on(name), NOBODY, NOBODY)
    bpf.check(bpf.libc.mount(b"bpf", bed.on("a", "x").encode(), b"bpf", 0, b"mode=0755"), "mount")
    bed.mounts.append(bed.on("a", "x"))
    bpf.check(bpf.libc.mount(bed.mnt.encode(), bed.on("b", "x").encode(), None, 4096, None), "mount")  # MS_BIND
    bed.mounts.append(bed.on("b", "x"))
    bed.make("a/x/m", mode=0o644)
    a, b = bed.on("a").encode(), bed.on("b").encode()

    def swap(_):
        while True:
            bpf.exchange(a, b)

    for _ in range(2):
        bed.attacker(swap)

    def stat():
        for name in ("a", "b"):
            try:
                os.stat(bed.at(name, "x", "m"))
            except OSError:
                pass

    bed.attack(16, stat, 6)
    bed.kill_attackers()


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.read(fd, 100)
    finally:
        os.close(fd)


def count(bed):
    """`.count` of 2 million elements by 16 processes."""
    bpf.fill(bed.make("big", entries=2_000_000, mode=0o604), 2_000_000)
    bed.attack(16, lambda: read(bed.at("big", ".count")), 7)


def count_trie(bed):
    """The same of a trie, for which the kernel keeps no count: 200,000 routes."""
    fd = bed.make("trie", bpf.LPM_TRIE, key=8, entries=200_000, flags=bpf.NO_PREALLOC, mode=0o604)
    for n in range(200_000):
        bpf.update(fd, struct.pack("=I", 32) + struct.pack(">I", n << 4), bytes(8))
        if n % 20_000 == 0:
            bed.look()
    bed.attack(16, lambda: read(bed.at("trie", ".count")), 5)


def watched_by_all(bed):
    """A user watches a map, then asks for all that takes long: does root's reader of the map wait for that?"""
    fd = bed.make("trie", bpf.LPM_TRIE, key=8, entries=100_000, flags=bpf.NO_PREALLOC, mode=0o604)
    for n in range(100_000):
        bpf.update(fd, struct.pack("=I", 32) + struct.pack(">I", n << 4), bytes(8))
        if n % 20_000 == 0:
            bed.look()
    bpf.update(bed.make("map", mode=0o604), struct.pack("=I", 1), bytes(8))

    def body(pipe):
        watch = os.open(bed.at("map", ".watch"), os.O_RDONLY)
        os.read(watch, 100)
        pipe.send(True)
        while True:
            read(bed.at("trie", ".count"))

    for child in [bed.attacker(body) for _ in range(16)]:
        bed.hear(child)
    bed.watch(2)
    bed.by_root("root's .watch", lambda: read(bed.at("map", ".watch")), 2)
    bed.watch(1)


def far_read(bed):
    """pread(.entries, 1, 1 << 60) of 2 million elements."""
    bpf.fill(bed.make("big", entries=2_000_000, mode=0o604), 2_000_000)

    def far():
        fd = os.open(bed.at("big", ".entries"), os.O_RDONLY)
        try:
            os.pread(fd, 1, 1 << 60)
        finally:
            os.close(fd)

    bed.attack(8, far, 7)


def far_listing(bed):
    """lseek(dirfd, 1 << 60) and getdents on 2 million keys."""
    bpf.fill(bed.make("big", entries=2_000_000, mode=0o604), 2_000_000)

    def far():
        fd = os.open(bed.at("big"), os.O_RDONLY)
        try:
            os.lseek(fd, 1 << 60, os.SEEK_SET)
            bpf.getdents(fd)
        finally:
            os.close(fd)

    bed.attack(8, far, 7)


def many_groups(bed):
    """`.info` by a caller with 65,536 groups, of a map that is pinned in 500 directories."""
    fd = bed.make("map", mode=0o604)
    for n in range(500):
        os.mkdir(bed.on(f"d{n}"), 0o750)
        os.chown(bed.on(f"d{n}"), 0, 100_000 + n)
        bpf.pin(fd, bed.on(f"d{n}", "m"), 0o604)

    def again(_):
        while True:
            try:
                read(bed.at("map", ".info"))
            except OSError:
                pass

    for _ in range(8):
        bed.attacker(again, groups=range(1, 65_537))
    bed.watch(7)


def many_descriptors(bed):
    """write and close with 19,900 descriptors open."""
    bed.make("map", mode=0o606)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min(19_900, hard - 100)

    def body(_):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        null = os.open("/dev/null", os.O_RDONLY)
        for _ in range(most):
            os.dup(null)
        while True:
            fd = os.open(bed.at("map", "1"), os.O_WRONLY | os.O_CREAT)
            # Whether this is all is known when the last descriptor of it is closed.
            os.write(fd, b"[")
            try:
                os.close(fd)
            except OSError:
                pass

    for _ in range(4):
        bed.attacker(body)
    bed.note(f"{most:,} descriptors")
    bed.watch(7)


def slow_memory(bed):
    """stat(.stream) by callers whose memory answers late."""
    bed.make("ring", bpf.RINGBUF, key=0, value=0, entries=4096, mode=0o606)
    point, fd = slow.mount(bed, NOBODY)
    bed.attacker(lambda _: slow.serve(fd))
    os.close(fd)
    name = bed.at("ring", ".stream").encode()

    def body(_):
        libc = bpf.libc
        while True:
            # Where the answer goes has not been read by anybody, nor need it be until there is one.
            for page in slow.pages(point):
                libc.statfs(name, bpf.ctypes.c_void_p(page))

    for _ in range(16):
        bed.attacker(body)
    bed.watch(7)


def slow_flags(bed):
    """openat2 of an element, while the memory of its flags is taken back and answers late."""
    bpf.update(bed.make("map", mode=0o606), struct.pack("=I", 1), bytes(8))
    point, fd = slow.mount(bed, NOBODY)
    prompt = mmap.mmap(-1, 4096)
    bed.attacker(lambda _: slow.serve(fd, prompt))
    os.close(fd)
    name = bed.at("map", "1").encode()

    def body(page):
        file, start = slow.memory(point, 1)
        threading.Thread(target=slow.take_back, args=(file, start, page), daemon=True).start()
        how = bpf.ctypes.c_void_p(start + (page << 12))
        while True:
            # What the kernel itself reads comes at once.
            prompt[page] = 1
            opened = bpf.libc.syscall(437, -100, name, how, bpf.ctypes.c_size_t(24))
            if opened >= 0:
                os.close(opened)

    for page in range(16):
        bed.attacker(lambda _, page=page: body(page))
    bed.watch(7)


def log_flood(bed):
    """Refused operations on names of 4,000 letters, each of which the log writes as four."""
    start = os.path.getsize(bed.path("daemon.log"))
    os.chdir(bed.mnt)
    try:
        name = "\x01" * 3_900
        bed.attack(4, lambda: os.mkdir(name), 3)
    finally:
        os.chdir("/")
        speed = (os.path.getsize(bed.path("daemon.log")) - start) / 3
        bed.note(f"the log grows by {speed / 1e6:.3g} MB/s")
        bed.exceeds("log", speed > 1e6)


def renames(bed):
    """71 renames by a user, while root has a map's directory open."""
    for name in ("mine", "other"):
        os.mkdir(bed.on(name))
        fd = bed.make(f"{name}/m0", mode=0o600)
        bpf.update(fd, struct.pack("=I", 1), struct.pack("=Q", 7))
        bed.make(f"{name}/n0", mode=0o600)
        os.chown(bed.on(name), NOBODY, NOBODY)

    def body(pipe):
        pipe.recv()
        for n in range(71):
            os.rename(bed.at("mine", f"m{n}"), bed.at("mine", f"m{n + 1}"))
        os.rename(bed.at("other", "m0"), bed.at("other", "m1"))
        for n in range(71):
            os.rename(bed.at("other", f"n{n}"), bed.at("other", f"n{n + 1}"))
        pipe.send(True)

    child = bed.attacker(body)

    def hold():
        fds = [os.open(bed.at(name, "m0"), os.O_RDONLY) for name in ("mine", "other")]
        child.pipe.send(True)
        if not child.pipe.poll(8):
            raise OSError(0, "the user's renames are not done")
        child.pipe.recv()
        for fd in fds:
            os.listdir(fd)
            os.close(os.open("1", os.O_RDONLY, dir_fd=fd))

    bed.by_root("an open directory after 71 renames", hold, 10)


def aborted(bed):
    """fusectl abort, which is root's own: does the daemon say so, and take the dead mount away?"""
    abort(bed.home, bed.connection)
    try:
        bed.daemon.wait(5)
    except Exception:
        bed.exceeds("ends", True)
        bed.note("it goes on")
    with open(bed.log) as log:
        said = log.read().strip()
    with open("/proc/self/mountinfo") as table:
        dead = f" {bed.mnt} " in table.read()
    bed.exceeds("silent", not said)
    bed.exceeds("dead mount", dead)
    bed.note(f"{'it says: ' + said.splitlines()[-1][:80] if said else 'not a word'}; {'a dead mount is left' if dead else 'no mount is left'}")
    bed.ended = True
    raise Enough("")

"""Attacks that hold or use up: points 7, 8 and 9."""

import ctypes, os, resource, select, signal, struct, time

import bpf
from bed import Child


def raise_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def try_all(count, act):
    """How many of `count` calls were not refused."""
    good = 0
    for n in range(count):
        try:
            act(n)
            good += 1
        except OSError:
            pass
    return good


def first_line(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def polled(bed):
    """600 polled `.watch` and 60 `.stream`, where the daemon may have 300 threads (TasksMax)."""
    bed.make("map", mode=0o604)
    for n in range(60):
        bed.make(f"ring{n}", bpf.RINGBUF, key=0, value=0, entries=4096, mode=0o606)

    def body(pipe):
        raise_limit()
        poll, fds = select.poll(), []

        def open_one(n):
            path = bed.at("map", ".watch") if n < 600 else bed.at(f"ring{n - 600}", ".stream")
            fds.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            poll.register(fds[-1], select.POLLIN)

        pipe.send(try_all(660, open_one))
        while True:
            poll.poll(1000)
            time.sleep(0.2)

    opened = bed.hear(bed.attacker(body))
    bed.watch(2)
    bed.note(f"{opened} of 660 opened")
    bed.by_root("root's .watch", lambda: first_line(bed.at("root", ".watch")))
    bed.watch(1)


def blocked(bed):
    """300 processes that wait in a read of `.watch`, where the daemon may have 300 threads."""
    bed.make("map", mode=0o604)

    def body(_):
        fd = os.open(bed.at("map", ".watch"), os.O_RDONLY)
        while True:
            os.read(fd, 4096)

    for _ in range(300):
        bed.attacker(body)
    bed.watch(3)
    bed.by_root("root's .watch", lambda: first_line(bed.at("root", ".watch")))
    bed.watch(1)


def idle_watchers(bed):
    """200 watchers that idle, while root's program changes 100,000 elements again and again."""
    count = 100_000
    fd = bed.make("map", entries=count, mode=0o604)
    bpf.fill(fd, count)

    def churn(_):
        keys = ctypes.create_string_buffer(struct.pack(f"={count}I", *range(count)))
        for n in range(1 << 30):
            values = ctypes.create_string_buffer(struct.pack("=Q", n) * count)
            bpf.batch(fd, keys, values, count)
            time.sleep(0.3)

    def watch(pipe):
        fds = [os.open(bed.at("map", ".watch"), os.O_RDONLY) for _ in range(50)]
        for fd in fds:
            lines = 0
            while lines < count:
                lines += os.read(fd, 1 << 20).count(b"\n")
        pipe.send(True)
        signal.pause()

    watchers = [bed.attacker(watch) for _ in range(4)]
    ready = sum(bool(bed.hear(watcher, 2 if n else 9)) for n, watcher in enumerate(watchers))
    bed.note(f"{ready} of 4 processes had read the first walks after {time.monotonic() - bed.begun:.1f} s")
    bed.children.append(Child(bed, churn))
    bed.watch(14 - (time.monotonic() - bed.begun))


def unfinished_lines(bed):
    """1,500 handles, each with a megabyte of a line that has no end."""
    bed.make("map", mode=0o606)
    bed.make("queue", bpf.QUEUE, key=0, value=8, entries=8, mode=0o606)
    bed.make("user", bpf.USER_RINGBUF, key=0, value=0, entries=4 << 20, mode=0o606)
    files = [(("map", ".entries"), b'{"key":1,"value":"'), (("queue", ".push"), b'"'), (("user", ".stream"), b"00")]

    def body(pipe):
        kept, text = [], b"0" * (1 << 20)

        def open_one(n):
            names, begin = files[n % 3]
            kept.append(os.open(bed.at(*names), os.O_WRONLY))
            os.write(kept[-1], begin + text[len(begin):])

        pipe.send(try_all(375, open_one))
        signal.pause()

    children = [bed.attacker(body) for _ in range(4)]
    taken = sum(bed.hear(child, 8) or 0 for child in children)
    bed.note(f"{taken} of 1,500 taken")
    bed.watch(1)


def open_files(bed):
    """One user's open files take all that open files may: does root still list and read?"""
    value = 1 << 20
    fd = bed.make("large", bpf.ARRAY, value=value, entries=2, mode=0o604)
    bpf.update(fd, struct.pack("=I", 0), b"\xff" * value)
    rootfd = bed.make("mine", value=65_536, entries=10_000, flags=bpf.NO_PREALLOC)
    for n in range(200):
        bpf.update(rootfd, struct.pack("=I", n), b"\xff" * 65_536)

    def body(pipe):
        kept = []

        def open_one(_):
            kept.append(os.open(bed.at("large", "0"), os.O_RDONLY))
            os.read(kept[-1], 1)

        pipe.send(try_all(300, open_one))
        signal.pause()

    children = [bed.attacker(body) for _ in range(4)]
    taken = sum(bed.hear(child, 8) or 0 for child in children)
    bed.note(f"{taken} of 1,200 opened")
    bed.by_root("root's ls", lambda: len(os.listdir(bed.at("mine"))))
    bed.by_root("root's read of 64 KiB", lambda: len(first_line(bed.at("mine", "7"))))
    bed.by_root("root's .entries", lambda: len(first_line(bed.at("mine", ".entries"))))


def iterators(bed):
    """10,500 opens of a pinned iterator by each of two processes."""
    link = bpf.iterator()
    # A map that the daemon has not open.
    bpf.update(bed.make("cold"), struct.pack("=I", 1), bytes(8))
    bpf.pin(link, bed.on("iterator"), 0o606)

    def body(pipe):
        raise_limit()
        kept = []
        pipe.send(try_all(10_500, lambda _: kept.append(os.open(bed.at("iterator"), os.O_RDONLY))))
        signal.pause()

    children = [bed.attacker(body) for _ in range(2)]
    taken = sum(bed.hear(child, 6) or 0 for child in children)
    bed.note(f"{taken:,} of 21,000 opened; the daemon may have {limit_of(bed.pid):,} files")
    bed.by_root("root's cat", lambda: first_line(bed.at("cold", "1")))
    bed.by_root("root's .entries", lambda: first_line(bed.at("cold", ".entries")))
    os.close(link)


def limit_of(pid):
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


def inotify(bed):
    """Watched pins against the inotify instances that root has on the whole machine."""
    for n in range(128):
        bed.make(f"m{n}", mode=0o604)

    def body(pipe):
        kept = []
        pipe.send(try_all(128, lambda n: kept.append(os.open(bed.at(f"m{n}", ".watch"), os.O_RDONLY | os.O_NONBLOCK))))
        poll = select.poll()
        for fd in kept:
            poll.register(fd, select.POLLIN)
            try:
                os.read(fd, 4096)
            except OSError:
                pass
        pipe.send(True)
        # Not longer than it takes to see: other programs of the machine need theirs.
        time.sleep(2.5)

    child = bed.attacker(body)
    opened = bed.hear(child)
    bed.hear(child)
    end, most, free = time.monotonic() + 3, 0, True
    while time.monotonic() < end:
        most = max(most, bed.instances())
        try:
            fd = bpf.check(bpf.libc.inotify_init1(os.O_CLOEXEC), "inotify_init1")
            os.close(fd)
        except OSError:
            free = False
        if not free:
            bed.kill_attackers()
            break
        bed.look()
        time.sleep(0.02)
    with open("/proc/sys/fs/inotify/max_user_instances") as file:
        limit = file.read().strip()
    bed.note(f"{opened} of 128 opened; {most} inotify instances of root's {limit}")
    if not free:
        bed.refusals.append("root's inotify_init")
    bed.exceeds("inotify instances", most > 24)


def trie_names(bed):
    """stat of ever new names in a trie with a default route; the daemon may have 100 MB."""
    fd = bed.make("trie", bpf.LPM_TRIE, key=8, entries=8, flags=bpf.NO_PREALLOC, mode=0o604)
    bpf.update(fd, struct.pack("=II", 0, 0), bytes(8))

    def body(pipe):
        own = os.getpid() % 64 + 1
        os.chdir(bed.at("trie"))
        for n in range(1 << 24):
            os.stat(f"{own}.{n >> 16}.{n >> 8 & 255}.{n & 255}")

    for _ in range(4):
        bed.attacker(body)
    bed.watch(12)


def find_all(bed):
    """`find M -size +0` over many keys, without malice: what the daemon and the kernel keep."""
    count = 400_000
    bpf.fill(bed.make("big", entries=count, mode=0o604), count)
    slab = slab_bytes()

    def body(pipe):
        pid = os.posix_spawn("/usr/bin/find", ["find", bed.at("big"), "-size", "+1000"], os.environ)
        os.waitpid(pid, 0)
        pipe.send(True)

    ended = bed.hear(bed.attacker(body), 13)
    if not ended:
        bed.note("not all keys in 13 s")
    now = bed.sample()
    grown = slab_bytes() - slab
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("2")
    time.sleep(0.5)
    later = bed.sample()
    if now and later:
        bed.note(f"daemon {now['rss'] >> 20} MiB, slab {grown >> 20:+} MiB; after drop_caches {later['rss'] >> 20} MiB, "
                 f"{slab_bytes() - slab >> 20:+} MiB")


def slab_bytes():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("SReclaimable:"))

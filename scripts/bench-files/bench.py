"""The measurements of scripts/bench. Each row: ours and the other's median of interleaved runs."""

import ctypes, os, platform, re, shutil, statistics, struct, subprocess, sys, tempfile, threading, time

BPFFUSE, NULLFS, FLOOR = (os.path.abspath(path) for path in sys.argv[1:4])
ONLY = sys.argv[4:]  # Words of the rows to run; none: all.
ONE_CPU = ["taskset", "-c", "0"]
MILLION = 1_000_000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
home = tempfile.mkdtemp(prefix="bpffuse-bench-")
daemons = {}
rows = []


def path(*parts):
    return os.path.join(home, *parts)


def run(*command, stdout=subprocess.PIPE):
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def timed(script):
    """Nanoseconds that a shell script takes, its start included on both sides."""
    start = time.monotonic_ns()
    run("bash", "-c", script)
    return time.monotonic_ns() - start


def dump(file):
    """Nanoseconds to read a file to its end, as cat does, without starting a program."""
    start = time.monotonic_ns()
    with open(file, "rb", buffering=0) as source:
        while source.read(1 << 17):
            pass
    return time.monotonic_ns() - start


def floor(*args, one_cpu=False):
    return int(run(*(ONE_CPU if one_cpu else []), FLOOR, *map(str, args)))


def serve(name, command, probe):
    os.makedirs(path(name), exist_ok=True)
    child = subprocess.Popen([*command], stdout=subprocess.DEVNULL)
    daemons[name] = child
    for _ in range(200):
        if os.path.ismount(path(name)) and os.path.exists(path(name, probe)):
            return child
        time.sleep(0.02)
    raise SystemExit(f"{name} does not answer")


def stop(name):
    child = daemons.pop(name)
    subprocess.run(["umount", path(name)], stderr=subprocess.DEVNULL)
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def ours(name, *wrap):
    return serve(name, [*wrap, BPFFUSE, "-f", path("bpf"), path(name)], ".help")


def null(name, files, *words, wrap=()):
    return serve(name, [*wrap, NULLFS, path(name), str(files), *words], "d/0")


def create(name, key, value, entries, kind="hash", flags=0):
    run("bpftool", "map", "create", path("bpf", name), "type", kind, "key", str(key), "value",
        str(value), "entries", str(entries), "name", name[:15], "flags", str(flags))


def peak(child):
    """KiB of memory that the process had at most."""
    with open(f"/proc/{child.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])


class Allocated(threading.Thread):
    """The most KiB that a process had allocated while this ran: counted page by page, since the
    peak above is kept for each CPU and wrong by hundreds of KiB."""

    def __init__(self, child):
        super().__init__(daemon=True)
        self.file, self.most, self.ended = f"/proc/{child.pid}/smaps_rollup", 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.01):
            with open(self.file) as rollup:
                now = int(re.search(r"Anonymous:\s+(\d+)", rollup.read())[1])
                self.most = max(self.most, now)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def medians(rounds, *measures):
    """Runs the measures in turn, so that what disturbs one disturbs all."""
    times = [[] for _ in measures]
    for _ in range(rounds):
        for measure, list in zip(measures, times):
            list.append(measure())
    return [statistics.median(list) for list in times]


def show(ns):
    for limit, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if ns >= limit:
            return f"{ns / limit:.3g} {unit}"
    return f"{ns:.0f} ns"


def row(what, a, other, b, goal, at_most=True, form=show):
    """A goal 'at most G times the other' or 'at least G times faster'."""
    ratio = a / b if at_most else b / a
    good = ratio <= goal if at_most else ratio >= goal
    limit = f"{'<=' if at_most else '>='} {goal:g}"
    rows.append((what, form(a), other, form(b), f"{ratio:.2f}", limit, "" if good else "MISSED"))
    print("  " + " | ".join(rows[-1]), file=sys.stderr, flush=True)


def bpf(command, attr):
    """bpf(2)."""
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    attr = ctypes.create_string_buffer(attr, 144)
    result = libc.syscall(number, command, attr, 144)
    if result < 0:
        raise SystemExit(f"bpf command {command}: {os.strerror(ctypes.get_errno())}")
    return result


def opened(pin):
    """A pinned map's descriptor (BPF_OBJ_GET)."""
    text = ctypes.create_string_buffer(os.fsencode(pin))
    return bpf(7, struct.pack("=QII", ctypes.addressof(text), 0, 0))


def pinned(name, fd):
    text = ctypes.create_string_buffer(os.fsencode(path("bpf", name)))
    bpf(6, struct.pack("=QII", ctypes.addressof(text), fd, 0))


def section(name):
    def decide(body):
        if not ONLY or any(word in name for word in ONLY):
            body()
        return body
    return decide


def main():
    os.makedirs(path("bpf"))
    run("mount", "-t", "bpf", "bpf", path("bpf"))
    ours("fuse")

    @section("dump")
    def _():
        create("h", 4, 8, MILLION)
        floor("fill", path("bpf", "h"), MILLION)
        text = run("cat", path("fuse", "h", ".entries"))
        pairs = re.findall(r'^\{"key":(\d+),"value":(\d+)\}$', text, re.M)
        good = all(int(value) == int(key) * 7 for key, value in pairs)
        if not good or len(pairs) != MILLION or len({key for key, _ in pairs}) != MILLION:
            raise SystemExit(".entries is not what was stored")
        del text, pairs
        cat = lambda: timed(f"cat {path('fuse/h/.entries')} > /dev/null")
        a, loop = medians(7, cat, lambda: floor("walk", path("bpf", "h"), MILLION))
        a2, plain, json = medians(
            2, cat, lambda: timed(f"bpftool map dump pinned {path('bpf/h')} > /dev/null"),
            lambda: timed(f"bpftool -j map dump pinned {path('bpf/h')} > /dev/null"))
        what = "cat .entries, 1M u32 -> u64"
        row(what, min(a, a2), "bpftool map dump", min(plain, json), 8, at_most=False)
        row(what, a, "LOOKUP_BATCH loop", loop, 1.5)

    @section("typed")
    def _():
        # A key of 16 bytes and a value of 24, with BTF.
        spec = ("struct flow { unsigned int src, dst; unsigned short sport, dport; unsigned int proto; };"
                "struct stats { unsigned long long packets, bytes, last; };"
                "struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct flow);"
                "__type(value, struct stats); __uint(max_entries, 1000000); } typed SEC(\".maps\");\n")
        with open(path("fuse", "typed"), "w") as file:
            file.write(spec)
        floor("fill", path("bpf", "typed"), MILLION)
        first = run("head", "-n", "1", path("fuse", "typed", ".entries"))
        if not re.match(r'\{"key":\{"src":\d+,"dst":0,.*"value":\{"packets":(\d+),"bytes":\1,', first):
            raise SystemExit(f"not typed: {first}")
        if int(run("bash", "-c", f"cat {path('fuse/typed/.entries')} | wc -l")) != MILLION:
            raise SystemExit("typed .entries is not complete")
        # bpftool takes 26 s where the machine is busy: one run of each must do.
        a, plain, json = medians(
            1, lambda: timed(f"cat {path('fuse/typed/.entries')} > /dev/null"),
            lambda: timed(f"bpftool map dump pinned {path('bpf/typed')} > /dev/null"),
            lambda: timed(f"bpftool -j map dump pinned {path('bpf/typed')} > /dev/null"))
        row("the same, 16-byte and 24-byte structs", a, "bpftool map dump", min(plain, json), 8,
            at_most=False)
        os.rmdir(path("bpf/typed")) if os.path.isdir(path("bpf/typed")) else os.remove(path("bpf/typed"))

    @section("list")
    def _():
        if not os.path.exists(path("bpf/h")):
            create("h", 4, 8, MILLION)
            floor("fill", path("bpf", "h"), MILLION)
        null("null", MILLION)
        a, loop, names = medians(
            5, lambda: floor("list", path("fuse", "h"), MILLION),
            lambda: floor("walk", path("bpf", "h"), MILLION),
            lambda: floor("list", path("null", "d"), MILLION))
        row("listing 1M keys", a, "batch loop + null listing", loop + names, 1.3)
        stop("null")

    @section("latency")
    def _():
        create("small", 4, 8, 10_000)
        floor("fill", path("bpf", "small"), 10_000)
        ours("one", *ONE_CPU)
        null("null1", 10_000, wrap=ONE_CPU)
        for what, name, count in (("open, read, close", "orc", 20_000), ("pread", "pread", 50_000),
                                  ("open(O_TRUNC), write, close", "owc", 20_000)):
            a, b = medians(5, lambda: floor(name, path("one", "small", "77"), count, one_cpu=True),
                           lambda: floor(name, path("null1", "d", "77"), count, one_cpu=True))
            row(f"{what}, one CPU", a, "null file system", b, 1.2)
        # Whoever keeps no directory asks for each on the way.
        os.makedirs(path("bpf", "p", "q"))
        os.link(path("bpf", "small"), path("bpf", "p", "q", "small"))
        for what, name, root, same in (("open, read, close", "orc", 1.35, 1.25),
                                       ("open(O_TRUNC), write, close", "owc", 1.5, 1.3)):
            deep, top, low = medians(5, *(lambda of=of: floor(name, path(*of), 20_000, one_cpu=True) for of in (
                ("one", "p", "q", "small", "77"), ("null1", "77"), ("null1", "d", "d", "d", "77"))))
            row(f"{what}, three directories deep", deep, "null, in its root", top, root)
            row("  the same", deep, "null, as deep", low, same)
        stop("one")
        stop("null1")

    @section("ls")
    def _():
        if not os.path.exists(path("bpf/small")):
            create("small", 4, 8, 10_000)
            floor("fill", path("bpf", "small"), 10_000)
        null("plus", 10_000, "plus")
        null("same", 10_000)
        a, b, same = medians(5, *(lambda dir=dir: timed(f"ls -l {path(dir)} > /dev/null")
                                  for dir in ("fuse/small", "plus/d", "same/d")))
        row("ls -l of 10,000 keys", a, "null, READDIRPLUS_AUTO", b, 1.5)
        # What it costs to ask for each name anew, as who caches no key must.
        row("  the same", a, "null, nothing cached", same, 1.5)
        for what, script in (("grep -r", "grep -r 777777777 {} || true"), ("tar", "tar cf - {} | cat")):
            a, same = medians(5, *(lambda dir=dir: timed(f"{script.format(path(dir))} > /dev/null 2>&1")
                                   for dir in ("fuse/small", "same/d")))
            row(f"{what} of 10,000 keys", a, "null, nothing cached", same, 1.5)
        stop("plus")
        stop("same")

    @section("clients")
    def _():
        if not os.path.exists(path("bpf/small")):
            create("small", 4, 8, 10_000)
            floor("fill", path("bpf", "small"), 10_000)

        def clients(count):
            children = [subprocess.Popen([FLOOR, "many", path("fuse", "small"), "10000", "1000"],
                                         stdout=subprocess.PIPE, text=True) for _ in range(count)]
            return 1e9 / sum(int(child.communicate()[0]) for child in children)

        a, b = medians(3, lambda: clients(4), lambda: clients(1))
        row("a read with four clients at once", a, "one client", b, 1.0)

    @section("load")
    def _():
        for name in ("from", "to", "floor"):
            create(name, 4, 8, MILLION)
        floor("fill", path("bpf", "from"), MILLION)
        with open(path("lines"), "w") as lines:
            run("cat", path("fuse", "from", ".entries"), stdout=lines)

        def load():
            spent = timed(f"cat {path('lines')} > {path('fuse/to/.entries')}")
            floor("check", path("bpf", "to"), MILLION)
            with open(path("fuse/to/.clear"), "w") as clear:
                clear.write("1")
            return spent

        def fill():
            spent = floor("fill", path("bpf", "floor"), MILLION)
            with open(path("fuse/floor/.clear"), "w") as clear:
                clear.write("1")
            return spent

        a, loop = medians(5, load, fill)
        batch = 100_000
        with open(path("batch"), "w") as file:
            for n in range(batch):
                key = " ".join(str(byte) for byte in n.to_bytes(4, sys.byteorder))
                value = " ".join(str(byte) for byte in (n * 7).to_bytes(8, sys.byteorder))
                file.write(f"map update pinned {path('bpf/floor')} key {key} value {value}\n")
        theirs = timed(f"bpftool batch file {path('batch')} > /dev/null") * (MILLION / batch)
        row("cat FILE > .entries, 1M lines", a, "bpftool batch (100k, x10)", theirs, 10, at_most=False)
        row("cat FILE > .entries, 1M lines", a, "UPDATE_BATCH loop", loop, 2)

    @section("count")
    def _():
        for name, count in (("full", MILLION), ("few", 1000)):
            create(name, 4, 8, MILLION)
            floor("fill", path("bpf", name), count)
            if int(open(path("fuse", name, ".count")).read()) != count:
                raise SystemExit(f"{name}/.count is not {count}")
        a, b = medians(200, lambda: dump(path("fuse", "full", ".count")),
                       lambda: dump(path("fuse", "few", ".count")))
        row("cat .count, 1M elements", a, "1,000 elements", b, 2)
        os.remove(path("bpf", "full"))
        os.remove(path("bpf", "few"))

    @section("maps")
    def _():
        # As somebody's who has much: 1,000 maps of 1,000 elements, each held by one of 200 processes.
        size, maps = 1000, []
        keys = (ctypes.c_uint32 * size)(*range(size))
        values = (ctypes.c_uint64 * size)()
        for n in range(1000):
            # BPF_MAP_CREATE of a hash, BPF_MAP_UPDATE_BATCH.
            fd = bpf(0, struct.pack("=IIIIIIi16s", 1, 4, 8, 2 * size, 1, 0, 0, b"many_%d" % (n % 50)))
            bpf(26, struct.pack("=QQQQIIQQ", 0, 0, ctypes.addressof(keys), ctypes.addressof(values), size, fd, 0, 0))
            pinned(f"many_{n}", fd)
            maps.append(fd)
        other = os.open("/dev/null", os.O_RDONLY)

        def sleepers(count, descriptors):
            """Processes with five of the maps and other files."""
            children = []
            for n in range(count):
                own = [maps[(5 * n + i) % len(maps)] for i in range(5)]
                files = own + [os.dup(other) for _ in range(descriptors - len(own) - 3)]
                children.append(subprocess.Popen(["sleep", "1000"], pass_fds=files))
                for file in files[len(own):]:
                    os.close(file)
            return children

        children = sleepers(200, 40)
        for fd in maps:
            os.close(fd)
        text = open(path("fuse", ".maps")).read()
        if len(re.findall(r" many_\d+ +4 +8 +1000 +2000 +50 .* \d+:sleep", text)) != 1000:
            raise SystemExit(".maps is not as it should be")
        cat = lambda name: lambda: timed(f"cat {path('fuse', name)} > /dev/null")
        theirs = lambda: timed("bpftool map show > /dev/null")
        a, json, b = medians(7, cat(".maps"), cat(".maps.json"), theirs)
        row("cat .maps, 1,000 maps, 200 processes", a, "bpftool map show", b, 2)
        b = medians(5, lambda: timed("bpftool -j map show > /dev/null"))[0]
        row("cat .maps.json, of the same", json, "bpftool -j map show", b, 2)
        maps = [opened(path("bpf", f"many_{n}")) for n in range(1000)]
        children += sleepers(300, 40)
        a = medians(7, cat(".maps"))[0]
        row("cat .maps, 500 processes, 20,000 descriptors", a, "a second", 1e9, 1)
        for fd in maps:
            os.close(fd)
        for child in children:
            child.kill()
            child.wait()
        for n in range(1000):
            os.remove(path("bpf", f"many_{n}"))

    @section("memory")
    def _():
        for name in ("h", "from", "to", "floor"):
            if os.path.exists(path("bpf", name)):
                os.remove(path("bpf", name))
        peaks, allocated, times, loops = [], [], [], []
        # The same number of elements each time: each thread's first steps take memory as well.
        for name, count in (("k10", 10_000), ("k100", 100_000), ("m10", 10 * MILLION)):
            create(name, 4, 8, count)
            floor("fill", path("bpf", name), count)
            child = ours("fresh")
            rounds = {10_000: 1000, 100_000: 20}.get(count, 1)
            best = []
            with Allocated(child) as memory:
                for n in range(rounds):
                    floor("list", path("fresh", name), count)
                    best.append(dump(path("fresh", name, ".entries")) / count)
            times.append(min(best))
            allocated.append(memory.most)
            loops.append(min(floor("walk", path("bpf", name), count) for _ in range(3)) / count)
            peaks.append(peak(child))
            stop("fresh")
            if count > MILLION:
                os.remove(path("bpf", name))
        kib = lambda n: f"{n / 1024:.1f} MiB"
        row("peak memory, 10M listed and dumped", peaks[2], "the limit", 32 * 1024, 1, form=kib)
        row("allocated at most", allocated[2], "with 10,000, 1,000 times", allocated[0], 1.0, form=kib)
        row("dump time an entry at 10M", times[2], "at 100,000", times[1], 1.3)
        row("  LOOKUP_BATCH loop, to compare", loops[2], "at 100,000", loops[1], 1.3)


try:
    print(f"{BPFFUSE} on {os.cpu_count()} CPUs, Linux {os.uname().release}", file=sys.stderr)
    main()
    head = ("what", "bpffuse", "the other", "its", "ratio", "goal", "")
    widths = [max(len(line[n]) for line in [head, *rows]) for n in range(len(head))]
    for line in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
finally:
    for name in list(daemons):
        stop(name)
    subprocess.run(["umount", path("bpf")])
    shutil.rmtree(home)

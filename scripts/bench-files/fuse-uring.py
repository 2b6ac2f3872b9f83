"""What FUSE over io_uring gives, for docs/fuse.md. As root, with Linux 6.14 or newer; takes two minutes:

    mkdir -p target/bench
    cc -O2 -Wall -pthread -o target/bench/fuse-uring scripts/bench-files/fuse-uring.c
    echo Y > /sys/module/fuse/parameters/enable_uring     # N afterwards
    nice -n -15 python3 scripts/bench-files/fuse-uring.py target/bench/fuse-uring [ROUNDS]

All daemons run at once, and each round asks each of them: medians of the rounds can be compared."""

import os, statistics, subprocess, sys, tempfile, time

PROGRAM, ROUNDS = os.path.abspath(sys.argv[1]), int(*sys.argv[2:] or [15])
MS = 50  # That a client asks for, each time.
DAEMONS = {  # The first is the measure of the others.
    "dev, 2 threads": ("dev", 2),
    "dev, 1": ("dev", 1),
    "io_uring, 1": ("uring", 1),
    "io_uring, one per CPU": ("uring", 2),
    "the same, split": ("split", 2),
}
PLACES = {  # The CPUs of the daemon and of each client.
    "one CPU": ("0", ["0"]),
    "two CPUs": ("0", ["1"]),
    "free": ("0,1", ["0,1"]),
    "two clients": ("0,1", ["0", "1"]),
}
OPS = {"orc": 0, "pread": 0, "owc": 0, "stat": 0, "big": 9}  # Each with its file; 0: one for each client.


def on(cpus, *command):
    command = ["taskset", "-c", cpus, PROGRAM, *map(str, command)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def cpu_time(pid):
    tasks = f"/proc/{pid}/task"
    return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks))


def measure(op, mount, daemon, clients):
    """Microseconds of an operation, and those of CPU time that client and daemon need for it."""
    asking = [on(cpu, op, f"{mount}/{OPS[op] or n}", MS) for n, cpu in enumerate(clients)]
    for client in asking:
        client.stdout.readline()
    before = cpu_time(daemon.pid)
    for client in asking:
        client.stdin.write("x")
        client.stdin.flush()
    told = [[int(word) for word in client.communicate()[0].split()] for client in asking]
    medians, done, cpu = zip(*told)
    return statistics.mean(medians) / 1000, (sum(cpu) + cpu_time(daemon.pid) - before) / sum(done) / 1000


def resident(pid):
    return next(line.split(":")[1].strip() for line in open(f"/proc/{pid}/status") if line.startswith("RssAnon"))


def compare(place, serving, clients):
    names = list(serving)
    got = {(op, name): [] for op in OPS for name in names}
    for turn in range(ROUNDS):
        for op in OPS:
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                got[op, name].append(measure(op, *serving[name], clients))
    for op in OPS:
        medians = [[statistics.median(column) for column in zip(*got[op, name])] for name in names]
        base = medians[0]
        cells = [f"{t:.2f} us ({t / base[0]:.2f}), CPU {c:.2f} ({c / base[1]:.2f})" for t, c in medians]
        print(f"{place}, {op} | " + " | ".join(cells))
    print("resident | " + " | ".join(resident(daemon.pid) for _, daemon in serving.values()), flush=True)


print("placement and operation | " + " | ".join(DAEMONS))
for place, (cpus, clients) in PLACES.items():
    serving = {}
    try:
        for name, (how, threads) in DAEMONS.items():
            mount = tempfile.mkdtemp(prefix="fuse-uring-")
            serving[name] = (mount, on(cpus, how, mount, threads))
            while not os.path.ismount(mount):
                if serving[name][1].poll() is not None:
                    raise SystemExit(f"{name}: no daemon")
                time.sleep(0.01)
        compare(place, serving, clients)
    finally:
        for mount, daemon in serving.values():
            subprocess.run(["umount", "--lazy", mount])
            daemon.kill()  # It would wait for mount namespaces that were made meanwhile.
            daemon.wait()
            os.rmdir(mount)

"""One daemon under attack: its bpffs and mount, who attacks, and the meters."""

import mmap, multiprocessing, os, re, signal, struct, subprocess, sys, time, traceback

import bpf

NOBODY = 65534
ATTACK = 15.0  # Seconds that an attack may take.
HANGS = 12.0  # Seconds without an answer to root after which the mount is said to hang.
EVERY = 0.05


def memory_free():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))


# Bytes at which a daemon is killed before the machine suffers.
TOO_MUCH = min(6 << 30, memory_free() // 2)


class Enough(Exception):
    """The attack's time is up, the mount hangs, or the daemon is gone."""


class Child:
    """A forked process that runs `body(pipe)`."""

    def __init__(self, bed, body, uid=None, groups=()):
        self.pipe, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid:
            theirs.close()
            return
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.pipe.close()
            if uid is not None:
                os.setgroups(groups)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            bpf.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            bpf.prctl(4, 1)  # PR_SET_DUMPABLE: as a program that the user himself has started.
            body(theirs)
        except Exception:
            os.write(bed.trouble, traceback.format_exc().encode())
        finally:
            os._exit(0)


class Meter:
    """Root opens, reads and closes one key every 50 ms, in a process of its own."""

    def __init__(self, bed, path):
        self.shared = mmap.mmap(-1, 4096)
        self.put(0, 0, 0, 0)
        self.child = Child(bed, lambda _: self.run(path))

    def put(self, *values):
        self.shared[:32] = struct.pack("=dddd", *values)

    def get(self):
        """Since when it waits (0: not), the worst wait, how many were answered, how many refused."""
        return struct.unpack("=dddd", self.shared[:32])

    def run(self, path):
        worst, done, refused = 0.0, 0, 0
        while True:
            start = time.monotonic()
            self.put(start, worst, done, refused)
            try:
                fd = os.open(path, os.O_RDONLY)
                os.read(fd, 64)
                os.close(fd)
            except OSError:
                refused += 1
            worst, done = max(worst, time.monotonic() - start), done + 1
            self.put(0, worst, done, refused)
            time.sleep(EVERY)

    def waits(self):
        since = self.get()[0]
        return time.monotonic() - since if since else 0.0

    def worst(self):
        return max(self.get()[1], self.waits())


class Bed:
    def __init__(self, home, name, binary, args=(), limits=(), wrap=()):
        self.home, self.dir = home, os.path.join(home, name)
        self.bpf, self.mnt = os.path.join(self.dir, "bpf"), os.path.join(self.dir, "mnt")
        os.makedirs(self.bpf)
        os.makedirs(self.mnt)
        self.trouble = os.open(os.path.join(self.dir, "trouble"), os.O_CREAT | os.O_APPEND | os.O_RDWR)
        self.log = os.path.join(self.dir, "log")
        self.groups, self.children, self.mounts = [], [], [self.bpf]
        self.gains, self.refusals, self.notes = [], [], []
        self.most = {"rss": 0, "threads": 0, "fds": 0}
        self.hung, self.connection, self.daemon, self.meter = "", None, None, None
        self.ended, self.exceeded = False, []
        self.begun = self.sampled = time.monotonic()
        subprocess.run(["mount", "-t", "bpf", "-o", "mode=1777", "bpf", self.bpf], check=True)
        bpf.update(self.make("root"), struct.pack("=I", 1), struct.pack("=Q", 42))
        self.start(binary, args, limits, wrap)
        self.meter = Meter(self, self.at("root/1"))
        time.sleep(0.3)
        self.before = self.sample(True)
        self.begun = time.monotonic()

    def start(self, binary, args, limits, wrap):
        for controller, limit in limits:
            self.groups.append(cgroup(controller, limit, os.path.basename(self.home)))
        groups = [group for group in self.groups if group]

        def enter():
            bpf.prctl(1, signal.SIGKILL)
            for group in groups:
                with open(f"{group}/cgroup.procs", "w") as procs:
                    procs.write(str(os.getpid()))

        with open(self.log, "ab") as log:
            command = [*wrap, binary, "-f", "-o", "allow_other", *args, self.bpf, self.mnt]
            self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=enter)
        self.pid = self.daemon.pid
        for _ in range(500):
            self.connection = mounted(self.mnt)
            if self.connection:
                break
            if self.daemon.poll() is not None:
                break
            time.sleep(0.02)
        if not self.connection:
            with open(self.log) as log:
                raise SystemExit(f"{binary} does not mount: {log.read()[-500:]}")
        with open(os.path.join(self.home, "connections"), "a") as list:
            list.write(f"{self.connection}\n")
        if wrap:
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
                self.pid = int(children.read().split()[0])

    # What an attack uses.

    def at(self, *names):
        return os.path.join(self.mnt, *names)

    def on(self, *names):
        return os.path.join(self.bpf, *names)

    def make(self, name, *args, **words):
        return bpf.make(self.on(name), *args, **words)

    def attacker(self, body, uid=NOBODY, groups=()):
        """Runs `body(pipe)` as a user without rights."""
        self.children.append(Child(self, body, uid, groups))
        return self.children[-1]

    def attack(self, count, body, seconds):
        """`count` processes do `body()` again and again."""

        def again(_):
            while True:
                try:
                    body()
                except OSError:
                    time.sleep(0.001)

        for _ in range(count):
            self.attacker(again)
        self.watch(seconds)

    def by_root(self, what, body, seconds=5.0):
        """What `body()` gives root; a refusal or a long wait is counted."""

        def run(pipe):
            try:
                pipe.send((True, body()))
            except OSError as error:
                pipe.send((False, f"{what}: {error.strerror}"))

        child = Child(self, run)
        self.children.append(child)
        good, told = self.hear(child, seconds) or (False, f"{what}: no answer in {seconds:g} s")
        if not good:
            self.refusals.append(told)
            return None
        return told

    def hear(self, child, seconds=ATTACK):
        """What the child sends next; `None` if it sends nothing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if child.pipe.poll(EVERY):
                try:
                    return child.pipe.recv()
                except EOFError:
                    return None
            self.look()
        return None

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(EVERY)
            self.look()

    def gain(self, what, is_gained):
        self.gains.append((what, bool(is_gained)))

    def exceeds(self, what, is_so):
        if is_so:
            self.exceeded.append(what)

    def path(self, name):
        return os.path.join(self.dir, name)

    def note(self, text):
        self.notes.append(text)

    # The meters.

    def look(self):
        now = self.sample()
        if now is None:
            raise Enough("the daemon is gone")
        if now["rss"] > TOO_MUCH:
            self.daemon.kill()
            raise Enough("more memory than the machine has for it: killed")
        if self.meter.waits() > HANGS:
            raise Enough("root gets no answer")
        if time.monotonic() - self.begun > ATTACK:
            raise Enough("")

    def sample(self, files=False):
        if self.daemon.poll() is not None:
            return None
        try:
            with open(f"/proc/{self.pid}/status") as file:
                status = file.read()
            field = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M)[1])
            now = {"rss": field("VmRSS") << 10, "threads": field("Threads"), "fds": 0}
            self.most["rss"] = max(self.most["rss"], field("VmHWM") << 10)
            if files or time.monotonic() - self.sampled > 0.25:
                now["fds"] = len(os.listdir(f"/proc/{self.pid}/fd"))
                self.sampled = time.monotonic()
        except (OSError, TypeError, ProcessLookupError):
            return None
        for name in ("threads", "fds"):
            self.most[name] = max(self.most[name], now[name])
        return now

    def instances(self):
        """The daemon's inotify instances."""
        names = os.listdir(f"/proc/{self.pid}/fd")
        return sum(link(f"/proc/{self.pid}/fd/{name}") == "anon_inode:inotify" for name in names)

    # The end.

    def kill_attackers(self):
        keep = {1, os.getpid(), self.daemon.pid, self.pid, self.meter.child.pid if self.meter else 1}
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) not in keep:
                kill(int(name))
        reap(keep)

    def settle(self):
        """Ends the attack; what is left five seconds later."""
        self.kill_attackers()
        if self.hung:
            return None
        done, end = self.meter.get()[2], time.monotonic() + HANGS
        while self.meter.get()[2] < done + 2 and time.monotonic() < end:
            time.sleep(EVERY)
            if self.sample() is None:
                break
        if self.daemon.poll() is not None:
            self.hung = self.hung or "the daemon is gone"
            return None
        if self.meter.get()[2] < done + 2:
            self.hung = self.hung or "hangs"
            return None
        time.sleep(5)
        return self.sample(True)

    def close(self):
        """Ends everything, whatever state it is in."""
        if self.meter:
            kill(self.meter.child.pid)
        if self.daemon:
            self.kill_attackers()
            if not self.hung and self.daemon.poll() is None:
                kill(self.pid, signal.SIGTERM)
                if not self.ends(5):
                    self.note("SIGTERM does not end it")
            if self.daemon.poll() is None:
                abort(self.home, self.connection)
                kill(self.pid)
                kill(self.daemon.pid)
                if not self.ends(5):
                    self.note("SIGKILL does not end it")
        reap({1, os.getpid()})
        for point in [self.mnt, *reversed(self.mounts)]:
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)
        for group in filter(None, self.groups):
            try:
                os.rmdir(group)
            except OSError:
                pass
        if os.lseek(self.trouble, 0, os.SEEK_END):
            text = os.pread(self.trouble, 1 << 16, 0).decode()
            print(text if "-d" in sys.argv else f"  an attacker failed: {text.strip().splitlines()[-1]}", file=sys.stderr)
        os.close(self.trouble)
        subprocess.run(["rm", "-rf", "--one-file-system", self.dir])

    def ends(self, seconds):
        try:
            self.daemon.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def reap(keep):
    """Takes note of the children that have ended, except those that others wait for."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found and found.si_pid not in keep:
            os.waitpid(found.si_pid, 0)
        elif found:
            return
        else:
            names = (name for name in os.listdir("/proc") if name.isdigit())
            if all(int(name) in keep for name in names):
                return
            time.sleep(0.02)


def mounted(point):
    """The number of the FUSE connection that is mounted there."""
    with open("/proc/self/mountinfo") as table:
        for line in table:
            words = line.split(" ")
            if words[4] == point and " - fuse" in line:
                return words[2].split(":")[1]
    return None


def abort(home, connection):
    """`fusectl abort`: every request of the connection ends, whoever waits for it."""
    control = os.path.join(home, "control")
    os.makedirs(control, exist_ok=True)
    subprocess.run(["mount", "-t", "fusectl", "fusectl", control])
    try:
        with open(f"{control}/{connection}/abort", "w") as file:
            file.write("1")
    except OSError:
        pass
    subprocess.run(["umount", "-l", control])


def cgroup(controller, limit, name):
    """A new group below this process's own, or `None` if there is no such controller."""
    with open("/proc/self/cgroup") as file:
        lines = [line.strip().split(":", 2) for line in file]
    files = {"pids": ("pids.max", "pids.max"), "memory": ("memory.limit_in_bytes", "memory.max")}[controller]
    for _, names, _ in lines:
        version = 0 if controller in names.split(",") else 1 if names == "" else None
        root = {0: f"/sys/fs/cgroup/{controller}", 1: "/sys/fs/cgroup"}.get(version)
        if root is None or not os.path.exists(f"{root}/cgroup.procs"):
            continue
        path = f"{root}/{name}-{controller}"
        try:
            os.makedirs(path, exist_ok=True)
            with open(f"{path}/{files[version]}", "w") as file:
                file.write(str(limit))
            return path
        except OSError:
            os.rmdir(path) if os.path.isdir(path) else None
    return None

"""Attacks on rights: points 1 to 3, and what of 11 is one."""

import errno, json, os, struct, subprocess, time

import bpf
from bed import NOBODY, Child

FOREIGN = 2222  # A group that no attacker is in.


def done(call, *args, **words):
    try:
        call(*args, **words)
        return True
    except OSError:
        return False


def old_descriptor(bed):
    """A pin that was the user's: what his old descriptors still do once root took it back."""
    calls = {"fchmod": lambda way, mode: os.chmod(way, mode), "fchown": lambda way, _: os.chown(way, -1, NOBODY),
             "futimens": lambda way, _: os.utime(way, (1, 1)), "chmod": None, "chown": None}
    # One pin for each call: after the first, the kernel knows the new owner.
    names = [f"{kind}-{call}" for kind in ("map", "path", "dir") for call in calls]
    for name in names:
        if name.startswith("dir"):
            os.mkdir(bed.on(name), 0o700)
            os.chown(bed.on(name), NOBODY, NOBODY)
        else:
            os.close(bed.make(name, uid=NOBODY))

    def body(pipe):
        fds = {name: os.open(bed.at(name), os.O_PATH if name.startswith("path") else os.O_RDONLY) for name in names}
        pipe.send("open")
        pipe.recv()
        for name, fd in fds.items():
            kind, call = name.split("-")
            mode = 0o707 if kind == "dir" else 0o606
            way = f"/proc/self/fd/{fd}" if kind == "path" else fd
            if calls[call]:
                pipe.send(done(calls[call], way, mode))
            elif call == "chmod":
                pipe.send(done(os.chmod, bed.at(name), mode))
            else:
                pipe.send(done(os.chown, bed.at(name), -1, NOBODY))
        pipe.send([name for name in names if done(os.listdir, bed.at(name))])

    child = bed.attacker(body)
    bed.hear(child)
    for name in names:
        os.chown(bed.on(name), 0, 0)
        os.chmod(bed.on(name), 0o700 if name.startswith("dir") else 0o600)
    child.pipe.send("go")
    kinds = {"map": "a map's directory", "path": "O_PATH", "dir": "a plain directory"}
    for name in names:
        kind, call = name.split("-")
        what = f"{call} on {kinds[kind]}" if calls[call] else f"{call} by path ({kind})"
        bed.gain(what, bed.hear(child))
    bed.gain("then reads what was taken back", bed.hear(child))


def by_path(bed):
    """The user's chmod by path meets root taking the pin back: what the kernel had checked is old."""
    bed.make("map", uid=NOBODY)
    bed.attacker(lambda _: [done(os.chmod, bed.at("map"), 0o666) for _ in iter(int, 1)])
    late, rounds = 0, 0
    end = time.monotonic() + 6
    while time.monotonic() < end:
        os.chown(bed.on("map"), NOBODY, NOBODY)
        time.sleep(0.002)
        os.chown(bed.on("map"), 0, 0)
        os.chmod(bed.on("map"), 0o600)
        time.sleep(0.004)
        late += os.stat(bed.on("map")).st_mode & 0o777 != 0o600
        rounds += 1
        if rounds % 20 == 0:
            bed.look()
    bed.gain("chmod after the pin was taken back", late)
    bed.note(f"{late} of {rounds} times")


def read_only_mount(bed):
    """What takes away, through a read-only bind mount of the mount."""
    queue = bed.make("queue", bpf.QUEUE, key=0, entries=8, mode=0o606)
    hash = bed.make("hash", mode=0o606)
    bed.make("ring", bpf.RINGBUF, key=0, value=0, entries=4096, mode=0o606)
    bpf.update(hash, struct.pack("=I", 1), struct.pack("=Q", 7))
    bpf.update(queue, b"", struct.pack("=Q", 7))
    ro = os.path.join(bed.dir, "ro")
    os.mkdir(ro)
    subprocess.run(["mount", "--bind", bed.mnt, ro], check=True)
    bed.mounts.append(ro)
    subprocess.run(["mount", "-o", "remount,bind,ro", ro], check=True)

    def body(pipe):
        def read(*names):
            fd = os.open(os.path.join(ro, *names), os.O_RDONLY | os.O_NONBLOCK)
            try:
                return os.read(fd, 100) if names[-1] != ".stream" else b"open"
            finally:
                os.close(fd)

        for way in (("queue", ".pop"), ("hash", ".pop", "1"), ("ring", ".stream")):
            try:
                pipe.send(bool(read(*way)))
            except OSError as error:
                pipe.send(error.errno != errno.EROFS and error.strerror)

    child = bed.attacker(body)
    for what in ("queue/.pop", "hash/.pop/1", "ring/.stream"):
        told = bed.hear(child)
        bed.gain(what, told is True)
        if isinstance(told, str):
            bed.note(f"{what}: {told}, not EROFS")


def renamed_while_made(bed):
    """Root makes a map by a SPEC in the user's directory; what has its name when root sets the mode?"""
    secret = bed.make("secret")
    bpf.update(secret, struct.pack("=I", 1), struct.pack("=Q", 7))
    for call, tried in (("fchmod", lambda fd: os.fchmod(fd, 0o666)), ("fchown", lambda fd: os.fchown(fd, NOBODY, NOBODY))):
        os.mkdir(bed.on(call))
        # Root's pin, and a directory that is the user's: he may rename in it.
        bpf.pin(secret, bed.on(call, "secret"), 0o600)
        os.chown(bed.on(call), NOBODY, NOBODY)

        def user(pipe):
            pipe.recv()
            os.rename(bed.on(call, "new"), bed.on(call, "old"))
            os.rename(bed.on(call, "secret"), bed.on(call, "new"))
            pipe.send(True)

        def root(pipe):
            fd = os.open(bed.at(call, "new"), os.O_CREAT | os.O_WRONLY, 0o600)
            os.write(fd, b"hash key u32 value u64 entries 8\n")
            pipe.send(True)
            pipe.recv()
            done(tried, fd)
            os.close(fd)
            pipe.send(True)

        attacker, maker = bed.attacker(user), Child(bed, root)
        bed.hear(maker, 3)
        attacker.pipe.send(True)
        bed.hear(attacker, 3)
        maker.pipe.send(True)
        bed.hear(maker, 3)
        now = os.stat(bed.on(call, "new"))
        bed.gain(f"{call} of another pin", now.st_uid != 0 or now.st_mode & 0o777 != 0o600)


def objects(bed):
    """A link's JSON with o+r alone, and what the kernel tells of programs only to CAP_BPF."""
    prog = bpf.program(6)
    bpf.pin(prog, bed.on("prog"), 0o604)
    link = bpf.link(prog, 1, 37)  # On lo, of this network namespace: XDP_PASS.
    bpf.pin(link, bed.on("link"), 0o604)

    def body(pipe):
        for name in ("link", "prog"):
            try:
                with open(bed.at(name)) as file:
                    pipe.send(file.read())
            except OSError:
                pipe.send("")

    child = bed.attacker(body)
    bed.gain("a link's JSON by o+r alone", bed.hear(child))
    text = bed.hear(child)
    shown = json.loads(text) if text else {}
    if not shown:
        bed.note("o+r does not show the program at all")
    for name in ("bytes_xlated", "bytes_jited"):
        bed.gain(name, any(shown.get(other) for other in (name, name.replace("bytes_", "") + "_prog_len", name.replace("bytes_", "jited_"))))
    os.close(link)


def pid_namespace(bed):
    """A daemon in a PID namespace that sees the outer /proc takes another process for its caller."""
    fd = bed.make("map", mode=0o604)
    os.mkdir(bed.on("closed"), 0o750)
    os.chown(bed.on("closed"), 0, FOREIGN)
    bpf.pin(fd, bed.on("closed", "hidden"), 0o604)
    # Somebody else's process, who is in that group; it is outside.
    other = Child(bed, lambda _: time.sleep(60), 1111, [FOREIGN])

    def inside(pipe):
        ns = os.open(f"/proc/{bed.pid}/ns/pid", os.O_RDONLY)
        bpf.check(bpf.libc.setns(ns, 0x20000000), "setns")  # CLONE_NEWPID
        for n in range(100):
            child = os.fork()
            if child == 0:
                if n == 0:
                    # The next processes of the namespace get the numbers behind this.
                    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
                        file.write(str(other.pid - 1))
                elif os.getpid() == other.pid:
                    os.setgroups([])
                    os.setresgid(NOBODY, NOBODY, NOBODY)
                    os.setresuid(NOBODY, NOBODY, NOBODY)
                    with open(bed.at("map", ".info")) as file:
                        pipe.send(json.loads(file.read())["pins"])
                os._exit(0)
            os.waitpid(child, 0)

    child = Child(bed, inside)
    pins = bed.hear(child, 8)
    bed.gain("the groups of another process", pins and any("hidden" in pin for pin in pins))
    if pins is None:
        bed.note("no process got the number")

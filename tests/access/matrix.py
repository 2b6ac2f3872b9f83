"""Tries every operation as users without rights and compares with what the kernel says of the pins.

Usage: matrix.py BED (open|closed) MODE... - BED holds `bpf` and `mnt`. Runs as root and forks a child
for each mode and user. Prints a line for each operation: mode, user, operation, expected, got.
What is expected of an operation on a map comes from BPF_OBJ_GET by the same process; what is
expected of the pins themselves from the same call on a twin in bpffs.
"""

import ctypes
import errno
import os
import platform
import sys
import traceback

BPF_OBJ_PIN, BPF_OBJ_GET = 6, 7
RDONLY, WRONLY = 8, 16
CLONE_NEWUSER = 0x10000000
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38

libc = ctypes.CDLL(None, use_errno=True)
SYS_bpf = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351}[platform.machine()]

bed, sharing = sys.argv[1], sys.argv[2]
os.chdir(bed)


def bpf_path(command, path, fd=0, flags=0):
    """BPF_OBJ_PIN or BPF_OBJ_GET."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    attr = ctypes.addressof(name).to_bytes(8, sys.byteorder)
    attr += fd.to_bytes(4, sys.byteorder) + flags.to_bytes(4, sys.byteorder)
    got = libc.syscall(SYS_bpf, command, attr, len(attr))
    if got < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return got


def outcome(function, *args):
    try:
        function(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "ok"


def raw(pin, flags):
    return outcome(lambda: os.close(bpf_path(BPF_OBJ_GET, "bpf/" + pin, flags=flags)))


def read(path, flags=0):
    fd = os.open("mnt/" + path, os.O_RDONLY | flags)
    try:
        os.read(fd, 65536)
    except BlockingIOError:
        pass  # a stream without events
    finally:
        os.close(fd)


def write(path, text, flags=os.O_TRUNC):
    fd = os.open("mnt/" + path, os.O_WRONLY | flags)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def both(path):
    os.close(os.open("mnt/" + path, os.O_RDWR))


# Operations on maps: name, the map's pin, the access that BPF_OBJ_GET needs for the same (r, w,
# rw, any), what the mount's owner alone may do (!), and the operation itself.
VALUE = b'{"a":7,"b":8}\n'
OPERATIONS = [
    ("read", "h", "r", lambda: read("h/1")),
    ("write", "h", "w", lambda: write("h/1", VALUE)),
    ("write without O_CREAT", "h", "w", lambda: write("h/1", VALUE, 0)),
    ("open for both", "h", "rw", lambda: both("h/1")),
    ("create", "h", "w", lambda: write("h/50", VALUE, os.O_CREAT | os.O_TRUNC)),
    ("create exclusively", "h", "w", lambda: write("h/51", VALUE, os.O_CREAT | os.O_EXCL)),
    ("delete", "h", "w", lambda: os.unlink("mnt/h/3")),
    ("list", "h", "r", lambda: os.listdir("mnt/h")),
    ("stat a key", "h", "any", lambda: os.stat("mnt/h/1")),
    ("read .entries", "h", "r", lambda: read("h/.entries")),
    ("write .entries", "h", "w", lambda: write("h/.entries", b'{"key":60,"value":{"a":1,"b":1}}\n')),
    ("read .raw", "h", "r", lambda: read("h/.raw/01000000")),
    ("write .raw", "h", "w", lambda: write("h/.raw/01000000", bytes(16))),
    ("delete by .raw", "h", "w", lambda: os.unlink("mnt/h/.raw/04000000")),
    ("list .raw", "h", "r", lambda: os.listdir("mnt/h/.raw")),
    ("read .field", "h", "r", lambda: read("h/.field/1/a")),
    ("list .field", "h", "r", lambda: os.listdir("mnt/h/.field/1")),
    # What is around the member is read first.
    ("write .field", "h", "rw", lambda: write("h/.field/1/a", b"9\n")),
    ("read a per-CPU element", "p", "r", lambda: read("p/1")),
    ("write a per-CPU element", "p", "w", lambda: write("p/1", b"4\n")),
    ("read .cpu", "p", "r", lambda: read("p/.cpu/0/1")),
    ("write .cpu", "p", "rw", lambda: write("p/.cpu/0/1", b"5\n")),
    ("list .cpu", "p", "r", lambda: os.listdir("mnt/p/.cpu")),
    ("read .sum", "p", "r", lambda: read("p/.sum/1")),
    ("read .count", "h", "r", lambda: read("h/.count")),
    ("read .info", "h", "r", lambda: read("h/.info")),
    ("read .schema", "h", "r", lambda: read("h/.schema")),
    ("read .help", "h", "r", lambda: read("h/.help")),
    ("read .watch", "h", "r", lambda: read("h/.watch")),
    ("read .pop/KEY", "h", "rw", lambda: read("h/.pop/2")),
    ("read head", "q", "r", lambda: read("q/head")),
    ("write .push", "q", "w", lambda: write("q/.push", b"5\n")),
    ("read .pop", "q", "rw", lambda: read("q/.pop")),
    ("read .stream", "rb", "rw", lambda: read("rb/.stream", os.O_NONBLOCK)),
    ("read .stream of perf events", "pe", "rw!", lambda: read("pe/.stream", os.O_NONBLOCK)),
    ("link into a map of maps", "mm", "w!", lambda: os.symlink("../h", "mnt/mm/1")),
    ("set a program", "pa", "w!", lambda: write("pa/0", b"1\n", os.O_CREAT)),
    ("read .freeze", "fz", "r", lambda: read("fz/.freeze")),
    ("write .freeze", "fz", "w", lambda: write("fz/.freeze", b"1\n")),
    ("write .clear", "h", "w", lambda: write("h/.clear", b"1\n")),
]
MAPS = ["h", "p", "q", "rb", "pe", "mm", "pa", "fz"]

# What no mode opens: everywhere in the mount, and errno.
CLOSED = [
    ("mkdir", "EPERM", lambda: os.mkdir("mnt/new")),
    ("mkdir in a directory", "EPERM", lambda: os.mkdir("mnt/open/new")),
    ("create a map by SPEC", "EPERM", lambda: write("new", b"key 4 value 4 entries 4\n", os.O_CREAT)),
    ("symlink", "EPERM", lambda: os.symlink("h", "mnt/open/link")),
    ("hard link", "EPERM", lambda: os.link("mnt/h", "mnt/open/hard")),
    ("mkdir in a closed directory", "EACCES", lambda: os.mkdir("mnt/shut/new")),
    ("list .id", "EACCES", lambda: os.listdir("mnt/.id")),
    ("enter .id", "EACCES", lambda: os.stat("mnt/.id/1")),
    ("a map by id", "EACCES", lambda: read(f".id/{map_id}/1")),
    ("read .errors", "EACCES", lambda: read(".errors")),
    ("through a view's dots", "EACCES", lambda: read(f"open/../.id/{map_id}/.info")),
]

# Operations on the pin itself, tried in bpffs and in the mount: what each is given.
DIRS = ["", "open/", "shut/"]
PINS = [
    ("rename", lambda pin, dir: os.rename(pin, pin + "x")),
    ("rename elsewhere", lambda pin, dir: os.rename(pin, dir + "open/moved")),
    ("chmod", lambda pin, dir: os.chmod(pin, 0o644)),
    ("chown", lambda pin, dir: os.chown(pin, 1114, -1)),
    ("chgrp", lambda pin, dir: os.chown(pin, -1, 3333)),
    ("touch", lambda pin, dir: os.utime(pin)),
    ("set times", lambda pin, dir: os.utime(pin, (1, 1))),
]


def remove(pin, dir):
    (os.rmdir if dir.startswith("mnt") else os.unlink)(pin)


PINS.append(("remove", remove))

# Name, uid, real gid, effective gid, supplementary groups, user namespace of its own.
USERS = [
    ("owner", 1111, 3333, 3333, [], False),
    ("group", 1112, 2222, 2222, [], False),
    ("supplementary", 1113, 3333, 3333, [4444, 2222], False),
    ("setgid", 1113, 3333, 2222, [], False),
    ("other", 1114, 3333, 3333, [], False),
    ("owner-userns", 1111, 3333, 3333, [], True),
    ("other-userns", 1114, 3333, 3333, [], True),
]


def become(uid, rgid, egid, groups, userns):
    os.setgroups(groups)
    os.setresgid(rgid, egid, egid)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if userns:
        # Else /proc/self is root's.
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        if libc.unshare(CLONE_NEWUSER) != 0:
            print("SKIP user namespaces", os.strerror(ctypes.get_errno()))
            sys.stdout.flush()
            os._exit(0)
        with open("/proc/self/setgroups", "w") as f:
            f.write("deny")
        with open("/proc/self/uid_map", "w") as f:
            f.write(f"0 {uid} 1")
        with open("/proc/self/gid_map", "w") as f:
            f.write(f"0 {egid} 1")
        assert os.getuid() == 0


def expected(pin, need):
    access = {"r": lambda: raw(pin, RDONLY), "w": lambda: raw(pin, WRONLY), "rw": lambda: raw(pin, 0)}
    if need == "any":
        return "ok" if "ok" in (raw(pin, RDONLY), raw(pin, WRONLY)) else "EACCES"
    allowed = access[need.rstrip("!")]()
    return "EPERM" if allowed == "ok" and need.endswith("!") else allowed


def child(mode, who):
    def report(operation, want, got):
        if sharing == "closed":
            want = "EACCES"
        print(f"{mode:04o} {who} | {operation} | {want} | {got}")

    for operation, pin, need, act in OPERATIONS:
        report(operation, expected(pin, need), outcome(act))
    for operation, want, act in CLOSED:
        report(operation, want, outcome(act))
    for dir in DIRS:
        for n, (operation, act) in enumerate(PINS):
            want = outcome(act, f"bpf/{dir}twin{n}", "bpf/")
            got = outcome(act, f"mnt/{dir}pin{n}", "mnt/")
            # A map is a directory here, and one that gets another parent must be writable.
            if operation == "rename elsewhere" and dir != "open/" and not writes(mode, who):
                want = "EACCES" if want == "ok" else want
            report(f"{operation} in /{dir}", want, got)


def writes(mode, who):
    shift = {"owner": 6, "group": 3, "supplementary": 3, "setgid": 3}.get(who.split("-")[0], 0)
    return mode >> shift & 2


def prepare(mode):
    """All as it was, with the pins' mode changed directly in bpffs."""
    write("h/.clear", b"1\n")
    for key in (1, 2, 3, 4):
        write(f"h/{key}", VALUE, os.O_CREAT)
    write("p/1", b"3\n", os.O_CREAT)
    write("q/.clear", b"1\n")
    write("q/.push", b"1\n2\n")
    if os.path.exists("mnt/fz"):
        os.rmdir("mnt/fz")
    os.mkdir("mnt/fz")
    for dir in DIRS:
        for name in os.listdir("bpf/" + dir):
            if name.startswith(("pin", "twin", "moved", "new")):
                os.unlink(f"bpf/{dir}{name}")
        for n in range(len(PINS)):
            for twin in ("pin", "twin"):
                bpf_path(BPF_OBJ_PIN, f"bpf/{dir}{twin}{n}", fd=empty)
                own(f"bpf/{dir}{twin}{n}", mode)
    for name in MAPS:
        own("bpf/" + name, mode)


def own(pin, mode):
    os.chown(pin, 1111, 2222)
    os.chmod(pin, mode)


os.umask(0)
os.mkdir("bpf/open", 0o777)
os.mkdir("bpf/shut", 0o755)
SPECS = {
    "h": b"hash key u32 value 'struct { __u32 a; __u64 b; }' entries 100",
    "p": b"type percpu_hash key u32 value u64 entries 10",
    "q": b"type queue key 0 value 8 entries 10",
    "rb": b"type ringbuf key 0 value 0 entries 4096",
    "pe": b"type perf_event_array key 4 value 4 entries 64",
    "mm": b"type hash_of_maps key 4 value 4 entries 4 inner_map h",
    "pa": b"type prog_array key 4 value 4 entries 4",
}
for name, spec in SPECS.items():
    write(name, spec + b"\n", os.O_CREAT)
os.mkdir("mnt/empty")
empty = bpf_path(BPF_OBJ_GET, "bpf/empty")
with open("mnt/h/.info") as f:
    map_id = int(f.read().split('"id":')[1].split(",")[0])

for mode in (int(word, 8) for word in sys.argv[3:]):
    for who, *identity in USERS:
        prepare(mode)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                become(*identity)
                child(mode, who)
                sys.stdout.flush()
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        if os.waitpid(pid, 0)[1] != 0:
            sys.exit(f"{mode:04o} {who}: the child failed")

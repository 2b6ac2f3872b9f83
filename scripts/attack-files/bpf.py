"""bpf(2) as far as the attacks need it, and other calls that Python's os lacks."""

import ctypes, errno, os, platform, re, struct, subprocess, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
MAP_CREATE, MAP_UPDATE, PROG_LOAD, OBJ_PIN, UPDATE_BATCH, LINK_CREATE = 0, 2, 5, 6, 26, 28
HASH, ARRAY, LPM_TRIE, QUEUE, RINGBUF, USER_RINGBUF = 1, 2, 11, 22, 27, 31
NO_PREALLOC = 1


def check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(command, attr):
    attr = ctypes.create_string_buffer(attr, 144)
    return check(libc.syscall(BPF, command, attr, 144), f"bpf command {command}")


def pin(fd, path, mode, uid=0):
    text = ctypes.create_string_buffer(os.fsencode(path))
    call(OBJ_PIN, struct.pack("=QII", ctypes.addressof(text), fd, 0))
    os.chown(path, uid, uid)
    os.chmod(path, mode)


def make(path, kind=HASH, key=4, value=8, entries=1000, flags=0, mode=0o600, uid=0):
    """A pinned map; gives its descriptor."""
    fd = call(MAP_CREATE, struct.pack("=IIIIIIi16s", kind, key, value, entries, flags, 0, 0, b"attacked"))
    pin(fd, path, mode, uid)
    return fd


def update(fd, key, value):
    """Sets an element; a queue's has no key."""
    at, value = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
    attr = struct.pack("=IIQQQ", fd, 0, ctypes.addressof(at) if key else 0, ctypes.addressof(value), 0)
    for left in range(100, -1, -1):
        try:
            return call(MAP_UPDATE, attr)
        except OSError as error:
            # The kernel refills what it allocates large elements from a moment later.
            if error.errno != errno.ENOMEM or not left: raise
            time.sleep(.02)


def batch(fd, keys, values, count):
    call(UPDATE_BATCH, struct.pack("=QQQQIIQQ", 0, 0, ctypes.addressof(keys), ctypes.addressof(values), count, fd, 0, 0))


def fill(fd, count, value=8):
    """`count` elements with the keys 0, 1, … (u32)."""
    step = 1 << 16
    for start in range(0, count, step):
        part = range(start, min(count, start + step))
        keys = ctypes.create_string_buffer(struct.pack(f"={len(part)}I", *part))
        batch(fd, keys, ctypes.create_string_buffer(len(part) * value), len(part))


def program(prog_type, attach=0, btf_id=0):
    """Two instructions, `return 0` or of XDP XDP_PASS (2)."""
    code = struct.pack("=BBhi", 0xB7, 0, 0, 2 if prog_type == 6 else 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    code, gpl = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    attr = bytearray(144)
    struct.pack_into("=IIQQ", attr, 0, prog_type, 2, ctypes.addressof(code), ctypes.addressof(gpl))
    struct.pack_into("=I", attr, 68, attach)
    struct.pack_into("=I", attr, 108, btf_id)
    return call(PROG_LOAD, bytes(attr))


def link(prog, target, attach):
    return call(LINK_CREATE, struct.pack("=IIII", prog, target, attach, 0))


def iterator():
    """A link of a BPF iterator over the maps, which prints nothing."""
    dump = subprocess.run(["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(r"^\[(\d+)\] FUNC 'bpf_iter_bpf_map'", dump, re.M)
    return link(program(26, 28, int(found[1])), 0, 28)


def exchange(a, b):
    """renameat2 with RENAME_EXCHANGE."""
    return libc.renameat2(-100, a, -100, b, 2)


def getdents(fd):
    return check(libc.getdents64(fd, ctypes.create_string_buffer(32768), 32768), "getdents64")


def prctl(option, argument):
    return libc.prctl(option, argument, 0, 0, 0)

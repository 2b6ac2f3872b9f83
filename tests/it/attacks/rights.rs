//! Rights that nobody may gain.

use super::{attack, attacked};
use crate::common::require::require;
use crate::common::{Bed, eventually};

/// A user's descriptors of a pin that was his do nothing to it once it is root's again: its map's
/// directory, an O_PATH descriptor, and a plain directory.
#[test]
fn old_descriptors_change_nothing() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    let gained = attack(
        &bed,
        bed.pid(),
        r#"
        calls = {'fchmod': lambda way: os.chmod(way, 0o707), 'fchown': lambda way: os.chown(way, -1, NOBODY),
                 'futimens': lambda way: os.utime(way, (1, 1))}
        names = [f'{kind}-{call}' for kind in ('map', 'path', 'dir') for call in calls]
        for name in names:
            if name.startswith('dir'):
                os.mkdir(f'bpf/{name}', 0o700)
                os.chown(f'bpf/{name}', NOBODY, NOBODY)
            else:
                bpf.make(f'bpf/{name}', uid=NOBODY)

        def body(pipe):
            fds = {name: os.open(f'mnt/{name}', os.O_PATH if 'path' in name else os.O_RDONLY) for name in names}
            pipe.send('open')
            pipe.recv()
            ways = {name: f'/proc/self/fd/{fd}' if 'path' in name else fd for name, fd in fds.items()}
            told = [name for name, way in ways.items() if is_done(calls[name.split('-')[1]], way)]
            pipe.send(told + [name + ' read' for name in names if is_done(os.listdir, f'mnt/{name}')])

        user = User(body)
        user.hear()
        for name in names:
            os.chown(f'bpf/{name}', 0, 0)
            os.chmod(f'bpf/{name}', 0o700)
        before = [os.stat(f'bpf/{name}') for name in names]
        user.pipe.send('go')
        print(user.hear())
        state = lambda s: (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns)
        print([name for name, was in zip(names, before) if state(os.stat(f'bpf/{name}')) != state(was)])
        "#,
    );
    assert_eq!(gained, "[]\n[]\n");
}

/// Nor does a chmod by path that the kernel had let through before root took the pin back.
#[test]
fn a_late_chmod_changes_nothing() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    let late = attack(
        &bed,
        bed.pid(),
        "
        bpf.make('bpf/map', uid=NOBODY)
        again(1, lambda: os.chmod('mnt/map', 0o666))
        late = 0
        for _ in range(400):
            os.chown('bpf/map', NOBODY, NOBODY)
            time.sleep(0.001)
            os.chown('bpf/map', 0, 0)
            os.chmod('bpf/map', 0o600)
            time.sleep(0.003)
            late += os.stat('bpf/map').st_mode & 0o777 != 0o600
        print(late)
        ",
    );
    assert_eq!(late, "0\n", "so many of 400 times the pin was the user's after it was taken back");
}

/// What takes elements away is refused where the caller came through a read-only mount, EROFS; what
/// only reads is not.
#[test]
fn a_read_only_bind_mount_is_read_only() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    bed.ok("mkdir ro; mount --bind mnt ro; mount -o remount,bind,ro ro");
    let told = attack(
        &bed,
        bed.pid(),
        r#"
        hash = bpf.make('bpf/hash', mode=0o606)
        bpf.update(hash, struct.pack('=I', 1), struct.pack('=Q', 7))
        queue = bpf.make('bpf/queue', bpf.QUEUE, key=0, entries=8, mode=0o606)
        bpf.update(queue, b'', struct.pack('=Q', 7))
        bpf.make('bpf/ring', bpf.RINGBUF, key=0, value=0, entries=4096, mode=0o606)

        def body(pipe):
            def told(path):
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                if '.stream' not in path: os.read(fd, 100)
            for name in 'queue/.pop', 'hash/.pop/1', 'ring/.stream', 'hash/1', 'queue/head', 'hash/.entries':
                pipe.send(f"{name} {errno_of(told, 'ro/' + name)}")

        user = User(body)
        for _ in range(6):
            print(user.hear())
        "#,
    );
    bed.ok("umount ro");
    let expected = "queue/.pop EROFS\nhash/.pop/1 EROFS\nring/.stream EROFS\nhash/1 None\n\
        queue/head None\nhash/.entries None\n";
    assert_eq!(told, expected);
    // Nothing was taken, and without the bind it is as it was.
    assert_eq!(bed.ok("cat mnt/queue/.pop mnt/hash/.pop/1"), "7\n7\n");
}

/// What root does to the file that it is creating reaches the map that it made, not what a user has
/// put in its place.
#[test]
fn root_changes_what_it_made() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        calls = {'chmod': lambda fd: os.fchmod(fd, 0o666), 'chown': lambda fd: os.fchown(fd, NOBODY, NOBODY)}
        secret = bpf.make('bpf/secret')
        for name, call in calls.items():
            os.mkdir(f'bpf/{name}')
            bpf.pin(secret, f'bpf/{name}/secret', 0o600)
            os.chown(f'bpf/{name}', NOBODY, NOBODY)
            fd = os.open(f'mnt/{name}/new', os.O_CREAT | os.O_WRONLY, 0o600)
            os.write(fd, b'hash key u32 value u64 entries 8\\n')

            def body(pipe):
                os.rename(f'bpf/{name}/new', f'bpf/{name}/old')
                os.rename(f'bpf/{name}/secret', f'bpf/{name}/new')
                pipe.send(True)

            User(body).hear()
            is_done(call, fd)
            os.close(fd)
            now = os.stat(f'bpf/{name}/new')
            print(name, oct(now.st_mode & 0o777), now.st_uid)
        ",
    );
    assert_eq!(told, "chmod 0o600 0\nchown 0o600 0\n");
}

/// A link's JSON is for who may read and write its pin, as BPF_OBJ_GET has it; and of a program, what
/// the kernel keeps from callers without CAP_BPF is not told them.
#[test]
fn what_objects_tell_others() {
    require!("root", "bpf", "fuse", "python3", "unshare");
    // The link is of a network namespace that ends with the script.
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        assert bpf.libc.unshare(0x40000000) == 0  # CLONE_NEWNET
        prog = bpf.program(6)
        bpf.pin(prog, 'bpf/prog', 0o604)
        link = bpf.link(prog, 1, 37)
        bpf.pin(link, 'bpf/link', 0o604)
        sizes = lambda: sorted(k for k, v in json.load(open('mnt/prog')).items() if 'xlated' in k or 'jited' in k if v)

        def body(pipe):
            pipe.send(errno_of(open, 'mnt/link'))
            pipe.send(json.load(open('mnt/prog'))['id'] > 0)
            pipe.send(sizes())
            pipe.recv()
            pipe.send(errno_of(open, 'mnt/link'))

        user = User(body)
        print(user.hear(), user.hear(), user.hear(), len(sizes()) > 0)
        os.chmod('bpf/link', 0o606)
        user.pipe.send('go')
        print(user.hear())
        ",
    );
    assert_eq!(told, "EACCES True [] True\nNone\n");
}

/// A daemon in a PID namespace that sees the outer /proc does not take another process for its caller.
#[test]
fn another_process_is_not_the_caller() {
    require!("root", "bpf", "fuse", "python3", "unshare");
    let bed = Bed::idle();
    let mut outer =
        bed.spawn("exec unshare --pid --fork --kill-child bpffuse -f -o allow_other bpf mnt");
    eventually("it is mounted", || bed.run("mountpoint -q mnt").status.success());
    let [inner] = bed.daemons()[..] else { panic!("one daemon was expected") };
    let told = attack(
        &bed,
        inner,
        r#"
        fd = bpf.make('bpf/map', mode=0o604)
        os.mkdir('bpf/closed', 0o750)
        os.chown('bpf/closed', 0, 2222)
        bpf.pin(fd, 'bpf/closed/hidden', 0o604)
        # Somebody else, outside, who is in that group.
        other = User(lambda _: signal.pause(), 1111, [2222])

        def inside(pipe):
            ns = os.open(f'/proc/{pid}/ns/pid', os.O_RDONLY)
            bpf.check(bpf.libc.setns(ns, 0x20000000), 'setns')
            for n in range(1000):
                child = os.fork()
                if child == 0:
                    if n == 0:
                        with open('/proc/sys/kernel/ns_last_pid', 'w') as file: file.write(str(other.pid - 1))
                    elif os.getpid() == other.pid:
                        os.setgroups([])
                        os.setresgid(NOBODY, NOBODY, NOBODY)
                        os.setresuid(NOBODY, NOBODY, NOBODY)
                        pipe.send([os.path.basename(pin) for pin in json.load(open('mnt/map/.info'))['pins']])
                    os._exit(0)
                os.waitpid(child, 0)

        print(User(inside, None).hear())
        "#,
    );
    bed.ok("umount mnt");
    let _ = outer.wait();
    assert_eq!(told, "['map']\n");
}

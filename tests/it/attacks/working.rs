//! Work that nobody may make others wait for.

use super::{attack, attacked};
use crate::common::require::require;
use crate::common::{eventually, patience};

/// A directory that a user swaps for a symlink to the mount, while others stat what is in it: no
/// worker walks into its own mount.
#[track_caller]
fn swapped_for_the_mount(threads: &str) {
    let bed = attacked(&["--threads", threads]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        for name in 'mine', 'mine/sub', 'x', 'mine/sub/x':
            os.mkdir(f'bpf/{name}')
        for name in 'x/m', 'mine/sub/x/m':
            bpf.make(f'bpf/{name}', mode=0o644)
        os.symlink(os.getcwd() + '/mnt', 'bpf/mine/link')
        for name in 'mine', 'mine/sub', 'mine/link':
            os.chown(f'bpf/{name}', NOBODY, NOBODY, follow_symlinks=False)
        again(1, lambda: bpf.exchange(b'bpf/mine/sub', b'bpf/mine/link'))
        again(24, lambda: os.stat('mnt/mine/sub/x/m'))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert by_root(lambda: first('mnt/root/1')) == b'42\\n'
            time.sleep(0.02)
        print('answers')
        ",
    );
    assert_eq!(told, "answers\n");
}

#[test]
fn swapped_for_the_mount_with_1_thread() {
    require!("root", "bpf", "fuse", "python3");
    swapped_for_the_mount("1");
}

#[test]
fn swapped_for_the_mount_with_2_threads() {
    require!("root", "bpf", "fuse", "python3");
    swapped_for_the_mount("2");
}

#[test]
fn swapped_for_the_mount_with_4_threads() {
    require!("root", "bpf", "fuse", "python3");
    swapped_for_the_mount("4");
}

/// Directories in which a bpffs is mounted and, in the other, the mount itself, exchanged by the user whose
/// they are: whether what is mounted may be entered is asked of what is entered.
#[test]
fn exchanged_mount_points() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&["--threads", "1"]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        for name in 'a', 'b': os.makedirs(f'bpf/{name}/x')
        for name in 'a', 'b': os.chown(f'bpf/{name}', NOBODY, NOBODY)
        assert os.system('mount -t bpf bpf bpf/a/x; chmod 755 bpf/a/x; mount --bind mnt bpf/b/x') == 0
        bpf.make('bpf/a/x/m', mode=0o644)
        bpf.make('bpf/m', mode=0o644)
        again(2, lambda: bpf.exchange(b'bpf/a', b'bpf/b'))
        again(8, lambda: os.stat('mnt/a/x/m'))
        again(8, lambda: os.stat('mnt/b/x/m'))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert by_root(lambda: first('mnt/root/1')) == b'42\\n'
            time.sleep(0.02)
        end_all()
        os.system('umount bpf/a/x bpf/b/x')
        print('answers')
        ",
    );
    assert_eq!(told, "answers\n");
}

/// Makes a map that only a walk counts, and asks for what takes long, in many processes at once; root
/// is answered while they still wait.
#[track_caller]
fn root_comes_first(setup: &str, ask: &str) {
    let bed = attacked(&["--threads", "1"]);
    let told = attack(
        &bed,
        bed.pid(),
        &format!(
            "
        {setup}
        by_root(lambda: first('mnt/root/1'))

        def body(pipe):
            pipe.send('asks')
            {ask}
            pipe.send('done')

        askers = [User(body, groups=groups) for _ in range(24)]
        for user in askers:
            user.hear()
        time.sleep(0.05)
        for _ in range(5):
            assert by_root(lambda: first('mnt/root/1'), 60) == b'42\\n'
        print(any(not user.pipe.poll(0) for user in askers))
        "
        ),
    );
    assert_eq!(told, "True\n", "root was answered after all who had asked before");
}

/// Counting a trie, for which the kernel keeps no number.
#[test]
fn counting_holds_nobody_up() {
    require!("root", "bpf", "fuse", "python3");
    root_comes_first(
        "groups = []
        fd = bpf.make('bpf/trie', bpf.LPM_TRIE, key=8, entries=150_000, flags=bpf.NO_PREALLOC, mode=0o604)
        for n in range(150_000):
            bpf.update(fd, struct.pack('=I', 32) + struct.pack('>I', n << 4), bytes(8))",
        "first('mnt/trie/.count')",
    );
}

/// A user watches a map first, then asks for all that takes long: who else watches it does not wait for that.
#[test]
fn watching_what_a_busy_user_watches() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&["--threads", "1"]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        fd = bpf.make('bpf/trie', bpf.LPM_TRIE, key=8, entries=40_000, flags=bpf.NO_PREALLOC, mode=0o604)
        for n in range(40_000):
            bpf.update(fd, struct.pack('=I', 32) + struct.pack('>I', n << 4), bytes(8))
        bpf.update(bpf.make('bpf/map', mode=0o604), struct.pack('=I', 1), struct.pack('=Q', 7))

        def body(pipe):
            watch = os.open('mnt/map/.watch', os.O_RDONLY)
            pipe.send(os.read(watch, 100))
            while True:
                began = time.monotonic()
                first('mnt/trie/.count')
                pipe.send(time.monotonic() - began)

        askers = [User(body) for _ in range(24)]
        for user in askers: user.hear()
        took = []
        for _ in range(3):
            theirs = [user.hear() for user in askers]
            began = time.monotonic()
            assert by_root(lambda: first('mnt/map/.watch'), 60).startswith(b'{')
            took.append((time.monotonic() - began) / sorted(theirs)[12])
        print(sorted(took)[1] < 0.5, took)
        ",
    );
    assert!(told.starts_with("True "), "root waited as long as who is busy: {told}");
}

/// The pins of a map in 100 directories, for a caller who is in 10,000 groups.
#[test]
fn groups_hold_nobody_up() {
    require!("root", "bpf", "fuse", "python3");
    root_comes_first(
        "groups = range(1, 10_001)
        fd = bpf.make('bpf/map', mode=0o604)
        for n in range(100):
            os.mkdir(f'bpf/d{n}', 0o750)
            os.chown(f'bpf/d{n}', 0, 100_000 + n)
            bpf.pin(fd, f'bpf/d{n}/m', 0o604)",
        "first('mnt/map/.info')",
    );
}

/// Far ahead in text that is made on the way, and in a listing: refused, or not walked to. By the CPU
/// time that the daemon spends on it, against that of all of it.
#[test]
fn seeking_far_costs_little() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        bpf.fill(bpf.make('bpf/big', entries=2_000_000, mode=0o604), 2_000_000)

        def spent(act):
            before = cpu_ticks(pid)
            act()
            return cpu_ticks(pid) - before

        def all_lines():
            fd = os.open('mnt/big/.entries', os.O_RDONLY)
            while os.read(fd, 1 << 20): pass

        def far_line():
            fd = os.open('mnt/big/.entries', os.O_RDONLY)
            assert errno_of(os.pread, fd, 1, 1 << 60) in (None, 'EINVAL')

        def all_names():
            fd = os.open('mnt/big', os.O_RDONLY)
            while bpf.getdents(fd): pass

        def far_name():
            fd = os.open('mnt/big', os.O_RDONLY)
            is_done(os.lseek, fd, 1 << 60, 0) and is_done(bpf.getdents, fd)

        def body(pipe):
            for act in all_lines, far_line, all_names, far_name: pipe.send(spent(act))

        user = User(body)
        lines, far_line, names, far_name = (user.hear() for _ in range(4))
        print(far_line * 2 < lines, far_name * 2 < names, lines, far_line, names, far_name)
        ",
    );
    assert!(told.starts_with("True True "), "{told}");
}

/// Callers whose memory answers late are not waited for by the threads that answer everybody.
#[test]
fn slow_memory_holds_nobody_up() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&["--threads", "1"]);
    let told = attack(
        &bed,
        bed.pid(),
        r#"
        import slow, types
        bpf.make('bpf/ring', bpf.RINGBUF, key=0, value=0, entries=4096, mode=0o606)
        bed = types.SimpleNamespace(dir=os.getcwd(), home=os.getcwd(), mounts=[])
        slow.DELAY = 3 * PATIENCE
        point, fd = slow.mount(bed, NOBODY)
        server = User(lambda _: slow.serve(fd))
        os.close(fd)
        by_root(lambda: first('mnt/root/1'))

        def body(pipe):
            page = next(slow.pages(point))
            pipe.send('asks')
            bpf.libc.statfs(b'mnt/ring/.stream', ctypes.c_void_p(page))
            pipe.send('done')

        askers = [User(body) for _ in range(24)]
        for user in askers: user.hear()
        time.sleep(0.05)
        # Their own memory answers after seconds.
        began = time.monotonic()
        assert by_root(lambda: first('mnt/root/1'), 60) == b'42\n'
        took = time.monotonic() - began
        print(took < slow.DELAY / 2, took)
        for user in [*askers, server]: user.end()
        os.system('umount -l slow')
        "#,
    );
    assert!(told.starts_with("True "), "root waited with callers whose memory is slow: {told}");
}

/// Names as long as any kernel passes on, and refusals without end, do not fill the log.
#[test]
fn the_log_is_bounded() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&["-v"]);
    attack(
        &bed,
        bed.pid(),
        "
        def body(pipe):
            os.chdir('mnt')
            for n in range(3000):
                assert not is_done(os.mkdir, '\\x01' * 1000)
            # What was left out is told with the next line.
            time.sleep(1.1)
            assert not is_done(os.mkdir, '\\x01' * 1000)
            pipe.send(True)

        User(body).hear()
        ",
    );
    let log = bed.log();
    let lines = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    let longest = log.lines().map(str::len).max().unwrap_or(0);
    assert!(lines("ENAMETOOLONG") > 0, "no refusal is in the log");
    assert!(lines("more lines left out") > 0, "nobody says how many were left out");
    assert!(longest < 2_000, "a line of {longest} bytes");
    // A slow machine takes longer for them, and may log so much for each second.
    let most = (1 << 20) * patience() as usize;
    assert!(log.len() < most, "3,000 refusals took {} bytes of log", log.len());
    let errors = bed.ok("cat mnt/.errors");
    let longest = errors.lines().map(str::len).max().unwrap_or(0);
    assert!(longest < 2_000, "a line of {longest} bytes in /.errors");
}

/// A user who renames much does not make root's open directories stale.
#[test]
fn renames_of_others_leave_open_directories() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        for name in 'mine', 'other':
            os.mkdir(f'bpf/{name}')
            fd = bpf.make(f'bpf/{name}/m0')
            bpf.update(fd, struct.pack('=I', 1), struct.pack('=Q', 7))
            bpf.make(f'bpf/{name}/n0')
            os.chown(f'bpf/{name}', NOBODY, NOBODY)
        fds = [os.open(f'mnt/{name}/m0', os.O_RDONLY) for name in ('mine', 'other')]

        def body(pipe):
            for n in range(200): os.rename(f'mnt/mine/m{n}', f'mnt/mine/m{n + 1}')
            os.rename('mnt/other/m0', 'mnt/other/m1')
            for n in range(200): os.rename(f'mnt/other/n{n}', f'mnt/other/n{n + 1}')
            pipe.send(True)

        User(body).hear()
        for fd in fds:
            print(os.listdir(fd), os.read(os.open('1', os.O_RDONLY, dir_fd=fd), 10))
        ",
    );
    assert_eq!(told, "['1'] b'7\\n'\n['1'] b'7\\n'\n");
}

/// After `fusectl abort` the daemon says what happened, and takes the dead mount away.
#[test]
fn an_abort_leaves_no_dead_mount() {
    require!("root", "bpf", "fuse");
    let mut bed = attacked(&[]);
    let connection = super::connection(&bed);
    bed.ok(&format!(
        "mkdir ctl; mount -t fusectl fusectl ctl; echo 1 > ctl/{connection}/abort; umount ctl"
    ));
    bed.wait_for_end();
    assert_ne!(bed.log(), "", "it ends without a word");
    eventually("the dead mount is gone", || {
        !bed.run("grep -q \" $PWD/mnt \" /proc/self/mountinfo").status.success()
    });
}

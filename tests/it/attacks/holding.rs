//! What nobody may use up: threads, memory, descriptors, the machine's other limits.

use super::{attack, attacked, fill};
use crate::common::kernel::since;
use crate::common::require::require;
use crate::common::{Bed, eventually};

/// However many handles are polled, and however many readers wait, the daemon has few threads.
#[test]
fn waiting_takes_no_threads() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        bpf.make('bpf/map', mode=0o604)
        for n in range(20):
            bpf.make(f'bpf/ring{n}', bpf.RINGBUF, key=0, value=0, entries=4096, mode=0o606)

        def polls(pipe):
            poll, fds = select.poll(), []
            for path in ['mnt/map/.watch'] * 100 + [f'mnt/ring{n}/.stream' for n in range(20)]:
                if is_done(lambda: fds.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))):
                    poll.register(fds[-1], select.POLLIN)
            while True:
                poll.poll(500)
                pipe.send(True)
                time.sleep(0.1)

        def waits(pipe):
            fd = os.open('mnt/map/.watch', os.O_RDONLY)
            pipe.send(True)
            while os.read(fd, 4096): pass

        poller = User(polls)
        waiters = [User(waits) for _ in range(80)]
        for user in waiters: user.hear()
        most = 0
        for _ in range(10):
            poller.hear()
            most = max(most, status(pid, 'Threads'))
        print(most <= 40, most)
        # One's own watch is served all the same.
        assert by_root(lambda: first('mnt/root/.watch')).startswith(b'{\"op\":\"set\"')
        ",
    );
    assert!(told.starts_with("True "), "{told} threads");
}

/// Watchers that idle share what changes: each costs next to nothing.
#[test]
fn idle_watchers_share_what_changes() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&["--watch-interval", "50ms"]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        count = 20_000
        fd = bpf.make('bpf/map', entries=count, mode=0o604)
        bpf.fill(fd, count)

        def body(pipe):
            fds = [os.open('mnt/map/.watch', os.O_RDONLY) for _ in range(60)]
            for watch in fds:
                lines = 0
                while lines < count: lines += os.read(watch, 1 << 20).count(b'\\n')
            pipe.send(True)
            signal.pause()

        User(body).hear()
        keys = ctypes.create_string_buffer(struct.pack(f'={count}I', *range(count)))
        before = status(pid, 'VmRSS')
        for n in range(30):
            bpf.batch(fd, keys, ctypes.create_string_buffer(struct.pack('=Q', n) * count), count)
            time.sleep(0.1)
        grown = status(pid, 'VmRSS') - before
        print(grown < 24 << 20, grown >> 10)
        ",
    );
    assert!(told.starts_with("True "), "60 idle watchers made it grow by KiB: {told}");
}

/// Lines without an end count among what open files hold: one user gets a share, and it comes back.
#[test]
fn unfinished_lines_are_bounded() {
    require!("root", "bpf", "fuse", "python3", "3 GiB");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        r#"
        bpf.make('bpf/map', mode=0o606)
        bpf.make('bpf/queue', bpf.QUEUE, key=0, value=8, entries=8, mode=0o606)
        bpf.make('bpf/user', bpf.USER_RINGBUF, key=0, value=0, entries=4 << 20, mode=0o606)
        files = [('map/.entries', b'{"key":1,"value":"'), ('queue/.push', b'"'), ('user/.stream', b'00')]

        def body(pipe):
            kept, text, taken = [], b'0' * (1 << 20), 0
            for n in range(1300):
                name, begin = files[n % 3]
                def act():
                    kept.append(os.open('mnt/' + name, os.O_WRONLY))
                    os.write(kept[-1], begin + text[len(begin):])
                taken += is_done(act)
            pipe.send(taken)
            pipe.recv()
            for fd in kept: is_done(os.close, fd)
            pipe.send(True)

        before = status(pid, 'VmRSS')
        user = User(body)
        taken = user.hear()
        print(taken < 1200, (status(pid, 'VmHWM') >> 20) < 1200)
        print(by_root(lambda: first('mnt/root/1')))
        user.pipe.send('close')
        user.hear()
        end = time.monotonic() + 20 * PATIENCE
        while status(pid, 'VmRSS') > before + (48 << 20):
            assert time.monotonic() < end, 'the memory is not given back'
            time.sleep(0.05)
        "#,
    );
    assert_eq!(told, "True True\nb'42\\n'\n");
}

/// What one user holds leaves enough for root: to list, to read what is long, to read all.
#[test]
fn root_has_a_reserve() {
    require!("root", "bpf", "fuse", "python3", "3 GiB");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        r"
        size = 1 << 20
        fd = bpf.make('bpf/large', bpf.ARRAY, value=size, entries=2, mode=0o604)
        bpf.update(fd, struct.pack('=I', 0), b'\xff' * size)
        mine = bpf.make('bpf/mine', value=65_536, entries=1000, flags=bpf.NO_PREALLOC)
        for n in range(50): bpf.update(mine, struct.pack('=I', n), b'\xff' * 65_536)

        def body(pipe):
            kept = []
            def act():
                kept.append(os.open('mnt/large/.raw/00000000', os.O_RDONLY))
                os.read(kept[-1], 1)
            pipe.send(sum(is_done(act) for _ in range(1600)))
            signal.pause()

        taken = User(body).hear()
        assert 0 < taken < 1600, taken
        print(by_root(lambda: len(os.listdir('mnt/mine'))))
        print(by_root(lambda: len(first('mnt/mine/7', 65_536))))
        print(by_root(lambda: first('mnt/mine/.entries', 7)))
        ",
    );
    assert_eq!(told, "50\n65536\nb'{\"key\":'\n");
}

/// What open directories of a user's own hold counts, too: he makes as many names as he likes.
#[test]
fn listings_are_bounded() {
    require!("root", "bpf", "fuse", "python3", "3 GiB");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        r"
        os.mkdir('bpf/mine')
        for n in range(20_000): os.mkdir(f'bpf/mine/{n:0200}')
        os.chown('bpf/mine', NOBODY, NOBODY)

        def body(pipe):
            kept = []
            def act():
                kept.append(os.open('mnt/mine', os.O_RDONLY))
                # The first may give no more than the two dots.
                for _ in range(2): bpf.getdents(kept[-1])
            pipe.send(sum(is_done(act) for _ in range(40)))
            signal.pause()

        before = status(pid, 'VmRSS')
        taken = sum(user.hear() for user in [User(body) for _ in range(2)])
        grown = status(pid, 'VmRSS') - before
        print(taken < 75 and grown < 400 << 20, taken, grown >> 20)
        assert len(by_root(lambda: os.listdir('mnt/mine'))) == 20_000
        ",
    );
    assert!(told.starts_with("True "), "directories opened, and MiB: {told}");
}

/// One user's open files leave root descriptors, however few the daemon may have.
#[test]
fn root_has_descriptors() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::idle();
    bed.ok("ulimit -n 700; bpffuse -o allow_other bpf mnt");
    fill(&bed);
    let [pid] = bed.daemons()[..] else { panic!("one daemon was expected") };
    let told = attack(
        &bed,
        pid,
        "
        bpf.pin(bpf.iterator(), 'bpf/iterator', 0o606)
        bpf.update(bpf.make('bpf/cold'), struct.pack('=I', 1), struct.pack('=Q', 7))

        def body(pipe):
            kept = []
            pipe.send(sum(is_done(lambda: kept.append(os.open('mnt/iterator', os.O_RDONLY))) for _ in range(800)))
            signal.pause()

        taken = User(body).hear()
        assert 0 < taken < 800, taken
        print(by_root(lambda: first('mnt/cold/1')), by_root(lambda: first('mnt/cold/.entries')))
        ",
    );
    assert_eq!(told, "b'7\\n' b'{\"key\":1,\"value\":7}\\n'\n");
    bed.ok("umount mnt");
    eventually("the daemon has ended", || bed.daemons().is_empty());
}

/// Watched pins do not use up the inotify instances that root has on the whole machine.
#[test]
fn watching_takes_few_inotify_instances() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&["--watch-interval", "20ms"]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        for n in range(40): bpf.make(f'bpf/m{n}', mode=0o604)

        def body(pipe):
            kept = [os.open(f'mnt/m{n}/.watch', os.O_RDONLY | os.O_NONBLOCK) for n in range(40)]
            for fd in kept: is_done(os.read, fd, 4096)
            poll = select.poll()
            for fd in kept: poll.register(fd, select.POLLIN)
            end = time.monotonic() + 1.5
            while time.monotonic() < end: poll.poll(100)
            pipe.send(True)
            signal.pause()

        User(body).hear()
        most = instances(pid)
        print(most <= 16, most)
        ",
    );
    assert!(told.starts_with("True "), "{told} instances");
}

/// The daemon forgets names that users look up and that the map has no end of.
#[test]
fn names_without_end_are_forgotten() {
    require!("root", "bpf", "fuse", "python3");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        fd = bpf.make('bpf/trie', bpf.LPM_TRIE, key=8, entries=8, flags=bpf.NO_PREALLOC, mode=0o604)
        bpf.update(fd, struct.pack('=II', 0, 0), bytes(8))

        def body(pipe):
            os.chdir('mnt/trie')
            for n in range(120_000):
                os.stat(f'9.{n >> 16}.{n >> 8 & 255}.{n & 255}')
                if n == 20_000: pipe.send(True)
            pipe.send(True)

        user = User(body)
        user.hear()
        before = status(pid, 'VmRSS')
        user.hear()
        print((status(pid, 'VmRSS') - before) >> 10)
        ",
    );
    // Before Linux 6.18 the kernel forgets a name at a time, no faster than the user looks up others.
    let most = if since((6, 18)) { 8 << 10 } else { 24 << 10 };
    let grown: u32 = told.trim().parse().unwrap();
    assert!(grown < most, "100,000 names made it grow by {grown} KiB");
}

/// A look at each of many keys, without malice, leaves little in the daemon and in the kernel, and when the
/// kernel forgets the rest, the daemon gives its part back.
#[test]
fn a_look_at_all_keys_leaves_little() {
    require!("root", "bpf", "fuse", "python3", "find");
    let bed = attacked(&[]);
    let told = attack(
        &bed,
        bed.pid(),
        "
        bpf.fill(bpf.make('bpf/big', entries=300_000), 300_000)

        def slab():
            with open('/proc/slabinfo') as file:
                rows = [line.split() for line in file if line.startswith('fuse_inode ')]
            return int(rows[0][1]) if rows else 0

        os.listdir('mnt/big')
        before, inodes = status(pid, 'VmRSS'), slab()
        # Open throughout: what is in use is kept.
        kept = os.open('mnt/big/7', os.O_PATH)
        assert os.system('find mnt/big -size +0 | wc -l') == 0
        end = time.monotonic() + 10 * PATIENCE
        while slab() - inodes > 60_000 and time.monotonic() < end: time.sleep(0.1)
        grown = status(pid, 'VmRSS') - before
        print(grown < 24 << 20, slab() - inodes < 60_000, grown >> 10, slab() - inodes)
        assert os.fstat(kept).st_size > 0
        os.close(kept)
        end = time.monotonic() + 20 * PATIENCE
        with open('/proc/sys/vm/drop_caches', 'w') as file: file.write('2')
        while status(pid, 'VmRSS') - before > 6 << 20:
            assert time.monotonic() < end, (status(pid, 'VmRSS') - before) >> 10
            time.sleep(0.2)
        ",
    );
    assert!(told.contains("\nTrue True "), "{told}");
}

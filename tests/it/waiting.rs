//! Readers that wait (`.stream`, `.watch`) wait for as long as there is nothing, like a pipe, and
//! nobody else waits for what takes long.

use crate::common::require::require;
use crate::common::{Bed, Kind, eventually, key32, patience};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

const FAST: [&str; 2] = ["--watch-interval", "50ms"];

fn bed_with_streams() -> Bed {
    let bed = Bed::with(&FAST);
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("bpftool map create bpf/rb type ringbuf key 0 value 0 entries 65536 name rb");
    bed
}

/// A process's state: S, D, T.
fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('-')
}

/// A program, without a shell, that reads a file of the bed.
fn reader(bed: &Bed, words: &[&str], file: &str) -> Child {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(bed.at(file)).stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null()).spawn().expect("it starts")
}

/// Waits until a program is in read(2).
fn waits_in_read(child: &Child) {
    eventually("it waits for the file", || {
        let call = fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap_or_default();
        let inside = format!("{} ", libc::SYS_read);
        let first = |pid| fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        call.starts_with(&inside) && first(child.id()).contains("request_wait_answer")
    });
}

fn ends(mut child: Child) {
    eventually("it ends", || child.try_wait().unwrap().is_some());
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// EINTR is answered only to a thread that really has a signal waiting: these end at the first.
#[test]
fn programs_that_do_not_ask_again_go_on_waiting() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = bed_with_streams();
    let mut all = Vec::new();
    for words in [
        &["awk", "{print}"][..],
        &["sort"],
        &["sed", "-u", "p"],
        &["cut", "-c1"],
        &["od", "-c"],
        &["nl"],
        &["xargs", "-a"],
    ] {
        all.push((words[0], reader(&bed, words, "h/.watch")));
    }
    all.push(("awk", reader(&bed, &["awk", "{print}"], "rb/.stream")));
    thread::sleep(Duration::from_millis(800));
    for (name, child) in &mut all {
        assert_eq!(child.try_wait().unwrap(), None, "{name} has ended");
        waits_in_read(child);
    }
    for (_, child) in all {
        signal(&child, "TERM");
        ends(child);
    }
}

/// A signal ends one, and the others sleep on in state S, which does not count in the load average.
#[test]
fn a_signal_is_one_readers_alone() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = bed_with_streams();
    let others: Vec<Child> = (0..5).map(|_| reader(&bed, &["cat"], "h/.watch")).collect();
    others.iter().for_each(waits_in_read);
    for name in ["TERM", "INT", "KILL", "QUIT"] {
        for file in ["h/.watch", "rb/.stream"] {
            let one = reader(&bed, &["cat"], file);
            waits_in_read(&one);
            signal(&one, name);
            ends(one);
        }
        // In a read that begins after the kernel knew of interrupts, as in those before.
        let later = reader(&bed, &["cat"], "h/.watch");
        waits_in_read(&later);
        for child in others.iter().chain([&later]) {
            assert_eq!(state(child.id()), 'S', "after SIG{name}");
        }
        signal(&later, "TERM");
        ends(later);
    }
    for child in others {
        signal(&child, "TERM");
        ends(child);
    }
}

/// SIGSTOP, a debugger and the freezer of cgroups work on a reader that waits.
#[test]
fn a_waiting_reader_can_be_stopped() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = bed_with_streams();
    let child = reader(&bed, &["cat"], "h/.watch");
    waits_in_read(&child);
    signal(&child, "STOP");
    eventually("it stops", || state(child.id()) == 'T');
    signal(&child, "CONT");
    // cat asks again.
    waits_in_read(&child);
    signal(&child, "TERM");
    ends(child);
}

/// Readers whose hands are full: those of one handle in several threads, and of many handles.
#[test]
fn all_who_wait_are_told() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&FAST);
    let map = bed.hash("h");
    let files: Vec<File> = (0..50).map(|_| File::open(bed.at("h/.watch")).unwrap()).collect();
    let readers: Vec<_> = files
        .into_iter()
        .map(|mut file| {
            thread::spawn(move || {
                let mut text = [0; 4096];
                let n = file.read(&mut text).unwrap();
                String::from_utf8_lossy(&text[..n]).into_owned()
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    map.set(&key32(7), &[0; 8]);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), "{\"op\":\"set\",\"key\":7,\"value\":0}\n");
    }
}

fn threads(bed: &Bed) -> usize {
    fs::read_dir(format!("/proc/{}/task", bed.pid())).unwrap().count()
}

/// poll(2) with no time to wait.
fn poll(fds: &mut [libc::pollfd], timeout: i32) -> i32 {
    // SAFETY: the array has as many entries as are passed.
    #[allow(unsafe_code)]
    unsafe {
        libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout)
    }
}

fn polled(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// No thread for each handle that is polled, and none for each read that waits.
#[test]
fn many_who_wait_take_no_thread() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = bed_with_streams();
    let mut text = [0; 4096];
    let files: Vec<File> = (0..200).map(|_| File::open(bed.at("h/.watch")).unwrap()).collect();
    for mut file in &files {
        assert!(file.read(&mut text).unwrap() > 0);
    }
    let mut fds: Vec<_> = files.iter().map(|file| polled(file.as_raw_fd())).collect();
    assert_eq!(poll(&mut fds, 100), 0, "nothing has changed");
    let blocked: Vec<Child> = (0..30).map(|_| reader(&bed, &["cat"], "h/.watch")).collect();
    blocked.iter().for_each(waits_in_read);
    assert_eq!(poll(&mut fds, 0), 0);
    // Four that answer, eight for long work, and a few of its own.
    assert!(threads(&bed) <= 20, "{} threads for 230 who wait", threads(&bed));
    bed.open("h").set(&key32(2), &[1; 8]);
    eventually("all are told", || {
        let ready = poll(&mut fds, 10_000 * patience() as i32);
        ready == 200
    });
    for child in blocked {
        signal(&child, "TERM");
        ends(child);
    }
}

/// A place that no read has come to is refused, since all before it would have to be made; one that
/// was passed can be gone back to.
#[test]
fn seeks_far_ahead() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 1000, 20_000);
    for n in 0..20_000_u32 {
        map.set(&key32(n), &[7; 1000]);
    }
    let out = bed.python(
        r#"
        import ctypes
        libc, page = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(32768)
        def list(fd):
            n = libc.getdents64(fd, page, 32768)
            if n < 0: raise OSError(ctypes.get_errno(), '')
            return page.raw[:n]
        fd = os.open("mnt/h", os.O_RDONLY)
        os.lseek(fd, 1 << 60, os.SEEK_SET)
        print(errno_of(list, fd))
        os.lseek(fd, 0, os.SEEK_SET)
        places, parts = [0], []
        while part := list(fd):
            parts.append(part)
            places.append(os.lseek(fd, 0, os.SEEK_CUR))
        for n in [5, len(parts) - 1, 1, 3]:
            os.lseek(fd, places[n], os.SEEK_SET)
            assert list(fd)[:20] == parts[n][:20], n
        os.lseek(fd, places[-1] + 1, os.SEEK_SET)
        print(errno_of(list, fd))
        fd = os.open("mnt/h/.entries", os.O_RDONLY)
        print(errno_of(os.pread, fd, 1, 1 << 60))
        os.close(fd)
        fd = os.open("mnt/h/.entries", os.O_RDONLY)
        assert len(os.pread(fd, 100, 1 << 20)) == 100
        "#,
    );
    assert_eq!(out, "EINVAL\nEINVAL\nEINVAL\n");
    let errors = bed.errors().join("\n");
    assert!(errors.contains("seek at most 16 MiB ahead"), "{errors}");
}

/// A user's long work is done by a few threads, and root's short requests find one at any time.
#[test]
fn long_work_of_others_keeps_nobody() {
    require!("root", "bpf", "fuse", "python3", "setpriv");
    let bed = Bed::with(&["-o", "allow_other", "--threads", "1"]);
    // So many that the whole text, which is made when it is opened, has almost 4 MiB.
    bed.map("big", Kind::Hash, 4, 8, 150_000).fill32(150_000, &[0; 8]);
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("chmod 0644 bpf/big; chmod 0755 bpf");
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let mut attack = Vec::new();
    for _ in 0..8 {
        attack.push(bed.spawn(&format!("while {nobody} head -c 1 mnt/big/.entries; do :; done")));
    }
    eventually("they are at work", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", bed.pid())).unwrap().flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name == "beside\n").count() >= 4
    });
    // One worker: if it counted, this would come behind all of theirs.
    let order = bed.python(
        r#"
        import subprocess, threading
        begun = subprocess.Popen("for i in 1 2 3; do head -c 1 mnt/big/.entries || exit; done", shell=True,
                                 stdout=subprocess.DEVNULL)
        short = 0
        while begun.poll() is None:
            open("mnt/h/1").read()
            short += 1
        print(short >= 5, begun.returncode)
        "#,
    );
    assert_eq!(order, "True 0\n");
    assert!(threads(&bed) <= 40, "{} threads", threads(&bed));
    for mut child in attack {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// What was asked for is given up with who asked: their places are free again.
#[test]
fn killed_while_it_takes_long() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("big", Kind::Hash, 4, 8, 300_000);
    for n in 0..300_000_u32 {
        map.set(&key32(n), &[0; 8]);
    }
    for _ in 0..20 {
        let child = reader(&bed, &["cat"], "big/.count");
        thread::sleep(Duration::from_millis(5));
        signal(&child, "KILL");
        ends(child);
    }
    assert_eq!(bed.read("big/.count"), "300000\n");
}

/// However many maps are watched: one thread knows when, and the few for long work do it.
#[test]
fn many_watched_maps_take_no_thread() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&FAST);
    let maps: Vec<_> = (0..60).map(|n| bed.hash(&format!("h{n}"))).collect();
    let mut streams = Vec::new();
    for (n, map) in maps.iter().enumerate() {
        map.set(&key32(1), &[0; 8]);
        let mut stream = File::open(bed.at(&format!("h{n}/.watch"))).unwrap();
        let mut text = [0; 100];
        assert!(stream.read(&mut text).unwrap() > 0);
        streams.push(stream);
    }
    assert!(threads(&bed) <= 40, "{} threads", threads(&bed));
    for (map, mut stream) in maps.iter().zip(streams) {
        map.set(&key32(2), &[0; 8]);
        let mut text = [0; 100];
        let n = stream.read(&mut text).unwrap();
        assert_eq!(text[..n], *b"{\"op\":\"set\",\"key\":2,\"value\":0}\n");
    }
}

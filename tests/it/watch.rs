//! `.watch`, a stream of changes until closed …; first the present
//! elements.

use crate::common::require::require;
use crate::common::{Bed, Kind, eventually, host_order, key32, patience, refused, write_with};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const FAST: [&str; 2] = ["--watch-interval", "50ms"];

/// The lines of a `.watch` as they come; `None` after the stream's end.
struct Stream(Receiver<String>);

/// Waits with poll(2) before it reads: on older kernels a fork beside a read that waits takes its text away
/// (docs/kernel.md), and these tests run programs.
struct Waits(fs::File);

impl Read for Waits {
    fn read(&mut self, text: &mut [u8]) -> std::io::Result<usize> {
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        self.0.read(text)
    }
}

impl Stream {
    fn open(bed: &Bed, map: &str) -> Self {
        let (send, lines) = channel();
        let file = fs::File::open(bed.at(&format!("{map}/.watch"))).unwrap();
        thread::spawn(move || {
            for line in BufReader::new(Waits(file)).lines() {
                if line.map(|line| send.send(line)).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    #[track_caller]
    fn next(&self) -> String {
        self.0.recv_timeout(Duration::from_secs(10) * patience()).expect("a line within 10 seconds")
    }

    /// Whether nothing comes for a while.
    fn is_silent(&self) -> bool {
        self.0.recv_timeout(Duration::from_millis(300)).is_err()
    }

    /// Whether the stream has ended, or does soon.
    fn ends(&self) -> bool {
        let end = Instant::now() + Duration::from_secs(10) * patience();
        while Instant::now() < end {
            use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
            match self.0.recv_timeout(Duration::from_millis(100)) {
                Err(Disconnected) => return true,
                Err(Timeout) | Ok(_) => {}
            }
        }
        false
    }
}

fn set(key: u32, value: u64) -> String {
    format!("{{\"op\":\"set\",\"key\":{key},\"value\":{value}}}")
}

fn deleted(key: u32) -> String {
    format!("{{\"op\":\"delete\",\"key\":{key}}}")
}

/// First the present elements, then the changes that bpftool makes.
#[test]
fn changes_of_others() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::with(&FAST);
    let map = bed.hash("h");
    map.set(&key32(1), &10_u64.to_ne_bytes());
    map.set(&key32(2), &20_u64.to_ne_bytes());
    let stream = Stream::open(&bed, "h");
    assert_eq!([stream.next(), stream.next()], [set(1, 10), set(2, 20)]);
    assert!(stream.is_silent(), "nothing has changed");
    let [nine, one, two] =
        host_order(["9 0 0 0", "1 0 0 0", "2 0 0 0"], ["0 0 0 9", "0 0 0 1", "0 0 0 2"]);
    let [ninety, eleven] = host_order(
        ["90 0 0 0 0 0 0 0", "11 0 0 0 0 0 0 0"],
        ["0 0 0 0 0 0 0 90", "0 0 0 0 0 0 0 11"],
    );
    bed.ok(&format!("bpftool map update pinned bpf/h key {nine} value {ninety}"));
    assert_eq!(stream.next(), set(9, 90));
    bed.ok(&format!("bpftool map update pinned bpf/h key {one} value {eleven}"));
    assert_eq!(stream.next(), set(1, 11));
    bed.ok(&format!("bpftool map delete pinned bpf/h key {two}"));
    assert_eq!(stream.next(), deleted(2));
    assert!(stream.is_silent());
}

/// Every kind; per CPU: `"values":[…]`.
#[test]
fn every_kind() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&FAST);
    for kind in Kind::ALL {
        let map = bed.map(kind.name(), kind, 4, 8, 3);
        map.set_all_cpus_or_one(&key32(0), kind);
        let stream = Stream::open(&bed, kind.name());
        let first = stream.next();
        let member = if kind.is_percpu() {
            "\"values\":[72340172838076673,"
        } else {
            "\"value\":72340172838076673}"
        };
        assert!(
            first.starts_with("{\"op\":\"set\",\"key\":0,") && first.contains(member),
            "{first}"
        );
        if kind.is_array() {
            stream.next();
            stream.next();
        }
        map.set_all_cpus_or_one(&key32(2), kind);
        assert!(stream.next().contains("\"key\":2,"), "{kind:?}");
    }
}

/// Its memory is bounded by the map's own size: who reads slowly gets the latest state.
#[test]
fn a_slow_reader() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&FAST);
    let map = bed.map("h", Kind::Hash, 4, 8, 1000);
    map.set(&key32(1), &[0; 8]);
    let mut file = fs::File::open(bed.at("h/.watch")).unwrap();
    let mut first = [0; 200];
    let n = file.read(&mut first).unwrap();
    assert_eq!(&first[..n], format!("{}\n", set(1, 0)).as_bytes());
    for round in 0..20_u64 {
        map.set(&key32(1), &round.to_ne_bytes());
        map.set(&key32(100 + round as u32), &[0; 8]);
        thread::sleep(Duration::from_millis(60));
        map.delete(&key32(100 + round as u32));
    }
    // Twenty rounds of three changes; on a busy machine the latest may come in a second read.
    let mut lines = 0;
    loop {
        let mut text = vec![0; 100_000];
        let n = file.read(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text[..n]);
        lines += text.lines().count();
        if text.lines().any(|line| line == set(1, 19)) {
            break;
        }
    }
    assert!(lines < 20, "{lines} lines: not the latest state, but what led there");
}

/// Several watchers share one snapshot: one thread, and each is told everything.
#[test]
fn several_watchers() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&FAST);
    let map = bed.hash("h");
    map.set(&key32(1), &[0; 8]);
    let threads = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", bed.pid())).unwrap().flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name == "watch\n").count()
    };
    let streams: Vec<Stream> = (0..5).map(|_| Stream::open(&bed, "h")).collect();
    streams.iter().for_each(|stream| assert_eq!(stream.next(), set(1, 0)));
    assert_eq!(threads(), 1);
    map.set(&key32(2), &[0; 8]);
    streams.iter().for_each(|stream| assert_eq!(stream.next(), set(2, 0)));
    // A later one begins with what is there now.
    map.delete(&key32(1));
    let late = Stream::open(&bed, "h");
    assert_eq!(late.next(), set(2, 0));
    assert!(late.is_silent());
    drop(bed);
}

/// It ends with its last reader, and when the map is unpinned; and it keeps no map alive.
#[test]
fn ends() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::with(&FAST);
    let id = bed.hash("h").info.id;
    let threads =
        || bed.ok(&format!("cat /proc/{}/task/*/comm | grep -c ^watch || true", bed.pid()));
    let out = bed.ok("timeout 0.5 cat mnt/h/.watch; echo $?");
    assert_eq!(out, "124\n", "it goes on until it is ended, by a signal at once");
    eventually("the thread ends with the last reader", || threads() == "0\n");
    let stream = Stream::open(&bed, "h");
    bed.ok("sleep 0.2; rm bpf/h");
    assert!(stream.ends(), "the map is unpinned, the stream goes on");
    eventually("the map is freed", || {
        !bed.run(&format!("bpftool map show id {id}")).status.success()
    });
    eventually("the thread ends with the map", || threads() == "0\n");
    refused(fs::File::open(bed.at("h/.watch")), "ENOENT");
}

/// head, poll and non-blocking reads.
#[test]
fn as_a_stream() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::with(&FAST);
    let map = bed.hash("h");
    for n in 1..=3 {
        map.set(&key32(n), &[0; 8]);
    }
    assert_eq!(bed.ok("head -n 2 mnt/h/.watch"), format!("{}\n{}\n", set(1, 0), set(2, 0)));
    assert_eq!(bed.ok("read -r line < mnt/h/.watch; echo \"$line\""), format!("{}\n", set(1, 0)));
    let out = bed.python(
        r#"
        import select, subprocess, time
        fd = os.open("mnt/h/.watch", os.O_RDONLY | os.O_NONBLOCK)
        print(select.select([fd], [], [], 5)[0] == [fd])
        print(os.read(fd, 10000).count(b"\n"))
        print(errno_of(os.read, fd, 10))
        print(select.select([fd], [], [], 0.3)[0])
        child = subprocess.Popen("sleep 0.2; echo 5 > mnt/h/9", shell=True)
        print(select.select([fd], [], [], 5)[0] == [fd])
        print(os.read(fd, 10000).decode(), end="")
        child.wait()
        "#,
    );
    assert_eq!(out, format!("True\n3\nEAGAIN\n[]\nTrue\n{}\n", set(9, 5)));
}

/// Only to read; kinds without keys have none.
#[test]
fn refusals() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::with(&FAST);
    bed.hash("h");
    assert!(write_with(bed.at("h/.watch"), 0, b"1\n").is_err());
    bed.ok("bpftool map create bpf/rb type ringbuf key 0 value 0 entries 65536 name rb");
    refused(fs::File::open(bed.at("rb/.watch")), "EOPNOTSUPP");
}

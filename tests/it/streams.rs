//! `.stream`: real programs' events read and written through the mount (sections 4 and 6).

use crate::common::require::require;
use crate::common::{Bed, object, refused};
use libbpf_rs::{MapCore, Object, ObjectBuilder, ProgramInput};
use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// The programs of `streams.bpf.c`, loaded, with their maps pinned in the bed.
struct Programs(RefCell<Object>);

impl Programs {
    fn load(bed: &Bed) -> Self {
        let open = ObjectBuilder::default().open_file(object::compile("streams"));
        let mut object = open.and_then(|object| object.load()).expect("streams.bpf.c loads");
        for mut map in object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if name.contains('.') {
                continue; // .bss: bpffs takes no dots
            }
            map.pin(bed.pin(&name)).expect("pin");
        }
        Self(RefCell::new(object))
    }

    /// Runs a program once on a CPU, with a number; true if it says that all is well.
    fn run(&self, name: &str, number: u64, cpu: u32) -> bool {
        let mut context = number.to_ne_bytes();
        let object = self.0.borrow_mut();
        let prog = object.progs_mut().find(|prog| prog.name() == name).expect("such a program");
        let input = ProgramInput {
            context_in: Some(&mut context),
            cpu,
            flags: 1, // BPF_F_TEST_RUN_ON_CPU
            ..ProgramInput::default()
        };
        prog.test_run(input).expect("the program runs").return_value == 0
    }
}

/// Waits until a reader has opened a stream: a second one is refused.
#[track_caller]
fn wait_for_reader(stream: &Path) {
    crate::common::eventually("the stream is open", || {
        fs::File::open(stream).is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
    });
}

fn finish(mut child: Child) -> String {
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("read");
    let _ = child.wait();
    text
}

/// Sends 10,000 numbered events a second for three seconds.
fn flood(programs: &Programs, prog: &str, cpus: u32) -> u64 {
    const RATE: u64 = 10_000;
    let start = Instant::now();
    let mut sent = 0;
    while sent < 3 * RATE {
        let due = (start.elapsed().as_micros() as u64 * RATE / 1_000_000).min(3 * RATE);
        for number in sent..due {
            assert!(programs.run(prog, number, number as u32 % cpus), "event {number} had no room");
        }
        sent = due.max(sent);
        std::thread::sleep(Duration::from_millis(1));
    }
    sent
}

fn numbers(text: &str) -> Vec<u64> {
    let number = |line: &str| {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        event["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {line}"))
    };
    text.lines().map(number).collect()
}

/// "a real program's streams … with no event lost at 10,000 events a second": ring buffer.
#[test]
fn ring_of_10000_a_second_loses_nothing() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    bed.ok("mkfifo pipe");
    let reader = bed.spawn("head -n 30000 mnt/events/.stream/event");
    wait_for_reader(&bed.at("events/.stream"));
    let sent = flood(&programs, "to_ring", 1);
    let got = numbers(&finish(reader));
    assert_eq!(got, (0..sent).collect::<Vec<_>>());
}

/// The same of a perf event array, from all CPUs.
#[test]
fn perf_of_10000_a_second_loses_nothing() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    let cpus = bpffuse::sys::map::possible_cpus().unwrap() as u32;
    let reader = bed.spawn("head -n 30000 mnt/perf/.stream/event");
    wait_for_reader(&bed.at("perf/.stream"));
    let sent = flood(&programs, "to_perf", cpus);
    let mut got = numbers(&finish(reader));
    got.sort_unstable();
    assert_eq!(got, (0..sent).collect::<Vec<_>>());
}

/// A reader that does not read: what is lost is told, and the rest comes.
#[test]
fn perf_reports_what_it_lost() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    let mut stream = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(bed.at("perf/.stream/event"))
        .unwrap();
    let sent = (0..60_000).filter(|&number| programs.run("to_perf", number, 0)).count() as u64;
    let (mut lost, mut got) = (0, 0);
    // The kernel tells of a loss with the next record that has room.
    let mut text = String::new();
    for last in [false, true] {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(n) = stream.read(&mut buffer) {
            text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
        if !last {
            programs.run("to_perf", 1, 0);
        }
    }
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        match event.get("lost") {
            Some(count) => lost += count.as_u64().unwrap(),
            None => got += 1,
        }
    }
    assert!(lost > 0, "60,000 events cannot fit the ring");
    assert_eq!(got, sent + 1);
    assert_eq!(got + lost, 60_001);
}

/// "hex, or typed by `.stream/TYPE`"; an unknown type is ENOENT; nothing is listed.
#[test]
fn lines_are_hex_or_typed() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    programs.run("to_ring", 7, 0);
    assert_eq!(bed.ok("head -n 1 mnt/events/.stream"), "\"0x070000000000000072696e6700000000\"\n");
    programs.run("to_ring", 8, 0);
    assert_eq!(
        bed.ok("head -n 1 mnt/events/.stream/event"),
        "{\"seq\":8,\"cpu\":0,\"text\":\"ring\"}\n"
    );
    bed.fails_with("cat mnt/events/.stream/nonesuch", "No such file");
    assert!(bed.errors().iter().any(|line| line.contains("has a struct nonesuch")));
    assert_eq!(
        bed.ok("ls -A mnt/events mnt/events/.stream/"),
        "mnt/events:\n\nmnt/events/.stream/:\n"
    );
}

/// Discarded records are passed, and records whose writer woke nobody come all the same.
#[test]
fn discarded_and_silent_records() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    let reader = bed.spawn("head -n 500 mnt/tiny/.stream/event");
    wait_for_reader(&bed.at("tiny/.stream"));
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut number = 0;
    // The ring has room for some 80 of them: it wraps several times.
    while number < 500 && Instant::now() < deadline {
        if programs.run("to_tiny", number, 0) {
            number += 1;
        } else {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(numbers(&finish(reader)), (0..500).collect::<Vec<_>>());
}

/// `timeout`, Ctrl-C and closing end a stream, and other requests go on meanwhile.
#[test]
fn streams_end_and_do_not_hold_others_up() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::with(&["--threads", "1"]);
    let _programs = Programs::load(&bed);
    for map in ["events", "perf"] {
        let ran = bed.run(&format!("timeout 0.5 cat mnt/{map}/.stream"));
        assert_eq!(ran.status.code(), Some(124), "{ran}");
        let mut cat = std::process::Command::new("cat")
            .arg(bed.at(&format!("{map}/.stream")))
            .spawn()
            .unwrap();
        wait_for_reader(&bed.at(&format!("{map}/.stream")));
        let start = Instant::now();
        bed.ok("ls mnt; cat mnt/drained/0 mnt/.errors > /dev/null");
        assert!(start.elapsed() < Duration::from_secs(2), "other requests wait for the stream");
        assert!(cat.try_wait().unwrap().is_none());
        crate::common::bed::signal("INT", cat.id());
        let start = Instant::now();
        cat.wait().unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "Ctrl-C took {:?}", start.elapsed());
        // And it can be opened again at once.
        crate::common::eventually("closed", || {
            fs::File::open(bed.at(&format!("{map}/.stream"))).is_ok()
        });
    }
}

/// poll(2), select(2) and O_NONBLOCK.
#[test]
fn poll_answers() {
    require!("root", "bpf", "fuse", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    for (map, prog) in [("events", "to_ring"), ("perf", "to_perf")] {
        let script = format!(
            "
             import select
             fd = os.open('mnt/{map}/.stream', os.O_RDONLY | os.O_NONBLOCK)
             print(errno_of(os.read, fd, 100), select.select([fd], [], [], 0.3)[0] == [])
             open('ready', 'w').close()
             p = select.poll(); p.register(fd, select.POLLIN)
             print(p.poll(10000) == [(fd, select.POLLIN)], select.select([fd], [], [], 0)[0] == [fd])
             print(os.read(fd, 3), os.read(fd, 100)[:2])
             os.unlink('ready')"
        );
        let out = std::thread::scope(|scope| {
            let python = scope.spawn(|| bed.python(&script));
            crate::common::eventually("polled", || bed.dir.join("ready").exists());
            std::thread::sleep(Duration::from_millis(100));
            programs.run(prog, 1, 0);
            python.join().unwrap()
        });
        assert_eq!(out, "EAGAIN True\nTrue True\nb'\"0x' b'01'\n", "{map}");
    }
}

/// "two readers get a clear error where the kernel has room for one"
#[test]
fn two_readers() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let _programs = Programs::load(&bed);
    for map in ["events", "perf"] {
        let first = fs::File::open(bed.at(&format!("{map}/.stream"))).unwrap();
        refused(fs::File::open(bed.at(&format!("{map}/.stream/event"))), "EBUSY");
        assert!(bed.errors().last().unwrap().contains("reads this stream already"));
        drop(first);
        crate::common::eventually("closed", || {
            fs::File::open(bed.at(&format!("{map}/.stream"))).is_ok()
        });
        refused(
            OpenOptions::new().write(true).open(bed.at(&format!("{map}/.stream"))),
            "EOPNOTSUPP",
        );
    }
}

/// "user ring buffer: a line is an event"
#[test]
fn writing_a_user_ring() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    let drained = bed.open("drained");
    let get =
        |at: u32| u64::from_ne_bytes(drained.get(&at.to_ne_bytes()).unwrap().try_into().unwrap());
    bed.ok("printf '0x05000000\\n06 00 00 00\\n' > mnt/orders/.stream; echo '\"0x07000000\"' >> mnt/orders/.stream");
    assert!(programs.run("drain", 0, 0));
    assert_eq!((get(0), get(1)), (18, 3));
    bed.ok("echo '{\"seq\":100,\"text\":\"hi\"}' > mnt/orders/.stream/event");
    assert!(programs.run("drain", 0, 0));
    assert_eq!((get(0), get(1)), (118, 4));
    let path = bed.at("orders/.stream");
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    refused(file.write(b"hello\n"), "EINVAL");
    // 4096 bytes hold 256 records of 16.
    for _ in 0..256 {
        file.write_all(b"0x01000000\n").unwrap();
    }
    refused(file.write(b"0x01000000\n"), "ENOSPC");
    assert!(programs.run("drain", 0, 0));
    assert_eq!((get(0), get(1)), (118 + 256, 4 + 256));
    // It wraps.
    file.write_all(b"0x02000000\n").unwrap();
    assert!(programs.run("drain", 0, 0));
    assert_eq!(get(0), 118 + 256 + 2);
    refused(fs::File::open(&path), "EOPNOTSUPP");
}

/// A stream is a use of its map: it ends with the last close, and then the map is freed.
#[test]
fn streams_let_go_of_their_map() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    for map in ["events", "perf", "orders"] {
        let id = bed.open(map).info.id;
        let mut options = OpenOptions::new();
        let write = map == "orders";
        let file =
            options.read(!write).write(write).open(bed.at(&format!("{map}/.stream"))).unwrap();
        fs::remove_file(bed.pin(map)).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        assert!(bpffuse::sys::object::map_by_id(id).is_ok(), "{map} is still in use");
        drop(file);
    }
    let ids: Vec<u32> = programs.0.borrow().maps().map(|map| map.info().unwrap().info.id).collect();
    fs::remove_file(bed.pin("tiny")).unwrap();
    drop(programs);
    std::thread::sleep(Duration::from_secs(1));
    for (id, name) in ids.iter().zip(["events", "tiny", "perf", "orders"]) {
        assert!(bpffuse::sys::object::map_by_id(*id).is_err(), "{name} is kept alive");
    }
}

/// stack_trace: a real stack, with the kernel's symbols.
#[test]
fn stacks_have_symbols() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed);
    assert!(programs.run("stack", 0, 0));
    let names = bed.list("stacks");
    let [key] = &names[..] else { panic!("one stack: {names:?}") };
    let text = bed.read(&format!("stacks/{key}"));
    let frames: Vec<String> = serde_json::from_str(&text).unwrap();
    let raw = bed.open("stacks").get(&key.parse::<u32>().unwrap().to_ne_bytes()).unwrap();
    let first = u64::from_ne_bytes(raw[..8].try_into().unwrap());
    assert!(frames[0].starts_with(&format!("{first:#x} ")), "{frames:?}");
    assert!(
        frames.iter().any(|frame| frame.contains("bpf_prog_test_run") || frame.contains("sys_bpf")),
        "{frames:?}"
    );
    refused(fs::write(bed.at(&format!("stacks/{key}")), "1"), "EOPNOTSUPP");
    assert_eq!(bed.read(&format!("stacks/.pop/{key}")), text);
    assert!(bed.list("stacks").is_empty());
}

/// "`.stream` both" (section 9): a reader needs r and w.
#[test]
fn reading_takes_away_so_it_needs_both() {
    require!("root", "bpf", "fuse", "clang", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let programs = Programs::load(&bed);
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    programs.run("to_ring", 1, 0);
    for (mode, allowed) in [("604", false), ("602", false), ("606", true)] {
        bed.ok(&format!("chmod {mode} bpf/events"));
        let ran = bed.run(&format!("{nobody} head -n 1 mnt/events/.stream"));
        assert_eq!(ran.status.success() && !ran.stdout.is_empty(), allowed, "{mode}: {ran}");
    }
}

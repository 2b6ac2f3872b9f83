//! `.stream`: events of ring buffers and perf event arrays as lines, and
//! lines as events of user ring buffers.

use crate::common::require::require;
use crate::common::{Bed, eventually, host_order, patience};
use crate::kinds_common::{Holder, Programs};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// An event's line under `.events/event`.
fn line(seq: u64, twice: u64) -> String {
    format!("{{\"seq\":{seq},\"twice\":{twice},\"who\":\"tester\"}}\n")
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(|seq| line(seq, 2 * seq)).collect()
}

/// An event's line without a type.
fn hex(seq: u64) -> String {
    let twice = (2 * seq as u32).to_ne_bytes();
    let bytes = [&seq.to_ne_bytes()[..], &twice, b"tester\0\0\0\0\0\0"].concat();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"0x{digits}\"\n")
}

/// A command in hex, its bytes apart.
fn spaced(command: [u32; 2]) -> String {
    let bytes = command.map(u32::to_ne_bytes).concat();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Waits until the stream of `map` has a reader: a second one is refused.
fn wait_for_reader(bed: &Bed, map: &str) {
    let path = bed.at(map).join(".stream");
    eventually("the reader has the stream open", || {
        File::open(&path).is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
    });
}

fn output(child: Child) -> String {
    let out = child.wait_with_output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// Events as they come, a line each (hex, or typed by `.events/TYPE` …)
#[test]
fn a_ring_in_hex_and_typed() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    programs.run_raw("to_ring", [1, 3], None);
    assert_eq!(bed.ok("head -n 3 mnt/events/.stream"), hex(1) + &hex(2) + &hex(3));
    programs.run_raw("to_ring", [4, 3], None);
    assert_eq!(bed.ok("head -n 3 mnt/events/.events/event"), lines(4..7));
    // A type of another size: what it does not cover is `rest`.
    programs.run_raw("to_ring", [7, 1], None);
    assert_eq!(
        bed.ok("head -n 1 mnt/events/.events/command"),
        host_order(
            "{\"id\":7,\"amount\":0,\"rest\":\"0x0e000000746573746572000000000000\"}\n",
            "{\"id\":0,\"amount\":7,\"rest\":\"0x0000000e746573746572000000000000\"}\n"
        )
    );
    bed.fails_with("cat mnt/events/.events/no_such_type", "No such file");
}

/// Records that a program reserved and discarded are no events.
#[test]
fn discarded_records_are_skipped() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    programs.run_raw("to_ring_with_gaps", [0, 8], None);
    let expected: String = (0..8).step_by(2).map(|seq| line(seq, 2 * seq)).collect();
    assert_eq!(bed.ok("head -n 4 mnt/events/.events/event"), expected);
}

/// No event lost at 10,000 events a second, in order, over more than the ring holds.
fn ten_thousand_a_second(program: &str, map: &str) {
    const SECONDS: u64 = 3;
    const STEP: u64 = 100;
    let total = SECONDS * 10_000;
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let reader = bed.spawn(&format!("head -n {total} mnt/{map}/.events/event"));
    let gather = thread::spawn(move || output(reader));
    wait_for_reader(&bed, map);
    let start = Instant::now();
    for first in (0..total).step_by(STEP as usize) {
        // On one CPU: there is an order only among the events of a CPU.
        programs.run_raw(program, [first, STEP], Some(0));
        let due = start + Duration::from_micros(100) * (first + STEP) as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(SECONDS + 2) * patience(),
        "too slow to show anything: {took:?}"
    );
    let text = gather.join().unwrap();
    assert!(text == lines(0..total), "{} lines, or not the right ones", text.lines().count());
}

#[test]
fn a_ring_loses_nothing() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    ten_thousand_a_second("to_ring", "events");
}

#[test]
fn a_perf_array_loses_nothing() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    ten_thousand_a_second("to_perf", "perf");
}

/// Events of every CPU; and lost events reported in the stream.
#[test]
fn a_perf_array_has_all_cpus_and_tells_of_losses() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let stream = File::open(bed.at("perf/.events/event")).unwrap();
    let mut stream = BufReader::new(stream);
    let cpus = thread::available_parallelism().unwrap().get() as u32;
    for cpu in 0..cpus {
        programs.run_raw("to_perf", [u64::from(cpu), 1], Some(cpu));
    }
    let mut text = read_lines(&mut stream, cpus as usize);
    text.sort();
    assert_eq!(text.concat(), lines(0..u64::from(cpus)));
    // 50,000 records of about 40 bytes are more than a ring of 1 MiB holds.
    for first in (0..50_000).step_by(1000) {
        programs.run_raw("to_perf", [first, 1000], Some(0));
    }
    // Read some, so that there is room, and the kernel says how many it dropped with the next one.
    let (mut events, mut lost) = (0, 0);
    let mut sent = 50_000;
    let deadline = Instant::now() + Duration::from_secs(20) * patience();
    while events + lost < sent {
        assert!(Instant::now() < deadline, "{events} events, {lost} lost of {sent}");
        for one in read_lines(&mut stream, 1) {
            match one.strip_prefix("{\"lost\":") {
                Some(count) => {
                    lost += count.trim_end().trim_end_matches('}').parse::<u64>().unwrap()
                }
                None => events += 1,
            }
        }
        if events == 1000 {
            programs.run_raw("to_perf", [sent, 1], Some(0));
            sent += 1;
        }
    }
    assert_eq!(events + lost, sent);
    assert!(lost > 0, "nothing was lost, so nothing was shown");
}

/// `count` lines of a stream, read as they come.
fn read_lines(stream: &mut BufReader<File>, count: usize) -> Vec<String> {
    let mut next = || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line
    };
    (0..count).map(|_| next()).collect()
}

/// Blocks, … ends on signal: by timeout(1), by Ctrl-C, and nothing is lost by it.
#[test]
fn a_signal_ends_it() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    for map in ["events", "perf"] {
        for signal in ["TERM", "INT", "KILL"] {
            let start = Instant::now();
            let script = format!("timeout -s {signal} 0.5 cat mnt/{map}/.stream");
            assert_eq!(bed.run(&script).stdout, "", "{map} {signal}");
            let took = start.elapsed();
            assert!(took > Duration::from_millis(450), "{map} {signal}: it did not wait: {took:?}");
            assert!(took < Duration::from_millis(2500) * patience(), "{map} {signal}: {took:?}");
        }
    }
    // The next reader need not wait for the killed one, and gets everything.
    programs.run_raw("to_ring", [5, 2], None);
    assert_eq!(bed.ok("head -n 2 mnt/events/.events/event"), lines(5..7));
}

/// "answers poll": and what was polled for and not read is there for the next reader.
#[test]
fn poll_and_select_answer() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    for (map, program) in [("events", "to_ring"), ("perf", "to_perf")] {
        let script = format!(
            "
            import select, time
            fd = os.open('mnt/{map}/.events/event', os.O_RDONLY)
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(0) == [], 'ready without an event'
            assert select.select([fd], [], [], 0.1) == ([], [], [])
            # Many polls in vain must not cost a thread each.
            for _ in range(200): poll.poll(1)
            open('waiting', 'w').close()
            assert poll.poll(20000) == [(fd, select.POLLIN)], 'not told'
            assert select.select([fd], [], [], 0)[0] == [fd]
            print(os.read(fd, 1000).decode(), end='')
            assert poll.poll(0) == []
            os.remove('waiting')
            "
        );
        thread::scope(|scope| {
            let reader = scope.spawn(|| bed.python(&script));
            let mark = bed.dir.join("waiting");
            eventually("the reader polls", || mark.exists());
            let threads = fs::read_dir(format!("/proc/{}/task", bed.pid())).unwrap().count();
            assert!(threads < 50, "{threads} threads");
            thread::sleep(Duration::from_millis(300));
            programs.run_raw(program, [1, 1], None);
            assert_eq!(reader.join().unwrap(), lines(1..2), "{map}");
        });
    }
    programs.run_raw("to_ring", [2, 1], None);
    bed.python(
        "
        import select
        fd = os.open('mnt/events/.stream', os.O_RDONLY)
        assert select.select([fd], [], [], 1)[0] == [fd]
        ",
    );
    assert_eq!(bed.ok("head -n 1 mnt/events/.events/event"), lines(2..3));
}

/// Two readers get a clear error, and the place is free as soon as the first has closed.
#[test]
fn one_reader_at_a_time() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    for map in ["events", "perf"] {
        let first = File::open(bed.at(map).join(".stream")).unwrap();
        bed.fails_with(&format!("cat mnt/{map}/.stream"), "resource busy");
        assert!(bed.errors().iter().any(|line| line.contains("EBUSY: somebody reads")));
        drop(first);
        for _ in 0..20 {
            File::open(bed.at(map).join(".stream")).expect("free again");
        }
    }
    programs.run_raw("to_ring", [0, 1], None);
    assert_eq!(bed.ok("head -n 1 mnt/events/.events/event"), lines(0..1));
}

/// Other requests on the mount go on meanwhile, however many readers wait.
#[test]
fn others_go_on_meanwhile() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let mut reader = bed.spawn("head -n 1 mnt/events/.events/event");
    let mut other = bed.spawn("head -n 1 mnt/perf/.stream");
    wait_for_reader(&bed, "events");
    wait_for_reader(&bed, "perf");
    // If they did not, the bed would end the test.
    for _ in 0..100 {
        bed.list("");
        bed.read("events/.info");
    }
    let ended = [reader.try_wait().unwrap(), other.try_wait().unwrap()];
    assert_eq!(ended, [None, None], "the readers wait all the while");
    programs.run_raw("to_ring", [9, 1], None);
    assert_eq!(output(reader), lines(9..10));
    programs.run_raw("to_perf", [9, 1], None);
    assert!(!output(other).is_empty());
}

/// Reads of any size: bash's `read` asks for a block and seeks back to the line's end, dash's for
/// one byte; and a long stream must not pile up.
#[test]
fn pieces_of_any_size() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    programs.run_raw("to_ring", [1, 2], None);
    let script = "exec 3< mnt/events/.events/event; read -r a <&3; read -r b <&3; echo $b; echo $a";
    assert_eq!(bed.ok(script), line(2, 4) + &line(1, 2));
    programs.run_raw("to_ring", [1, 2], None);
    assert_eq!(bed.ok(&format!("dash -c '{script}'")), line(2, 4) + &line(1, 2));
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", bed.pid())).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut stream = File::open(bed.at("events/.stream")).unwrap();
    let mut piece = [0; 1000];
    let mut before = 0;
    // 20 MB of text, in pieces that never end with a line.
    for round in 0..400 {
        programs.run_raw("to_ring", [0, 1000], None);
        let mut left = 1000 * hex(0).len();
        if round > 0 {
            left += 7;
        }
        while left > 7 {
            let most = piece.len().min(left - 7);
            left -= stream.read(&mut piece[..most]).unwrap();
        }
        if round == 20 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 4096, "the daemon grew by {grown} KiB");
}

/// User ring buffer: a line is an event, in hex or typed.
#[test]
fn a_line_is_an_event() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "callbacks", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let seven_nine = host_order("0x0700000009000000", "0x0000000700000009");
    bed.ok(&format!("echo {seven_nine} > mnt/commands/.stream"));
    bed.ok("echo '{\"id\":8,\"amount\":10}' > mnt/commands/.events/command");
    bed.ok(&format!("printf '{}\\n{}' > mnt/commands/.stream", spaced([1, 2]), spaced([3, 4])));
    programs.run_raw("drain", [0, 0], None);
    let expected = line(7, 9) + &line(8, 10) + &line(1, 2) + &line(3, 4);
    assert_eq!(bed.ok("head -n 4 mnt/events/.events/event"), expected);
    bed.fails_with("echo hello > mnt/commands/.stream", "Invalid argument");
    bed.fails_with("cat mnt/commands/.stream", "not supported");
    bed.fails_with("echo 0x00 > mnt/events/.stream", "not supported");
}

/// A child, or a second descriptor, that closes what it got in the middle of a text ends nothing: in
/// every file that takes text in pieces.
#[test]
fn closing_a_duplicate_ends_no_text() {
    require!(
        "root",
        "bpf",
        "fuse",
        "user_ringbuf maps",
        "callbacks",
        "clang",
        "bpftool",
        "python3"
    );
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    bed.ok("mkdir mnt/h; bpftool map create bpf/q type queue value 4 entries 9 name q");
    let seven_nine = host_order("0x0700000009000000", "0x0000000700000009");
    fs::write(bed.dir.join("event"), format!("{seven_nine}\n")).unwrap();
    bed.python(
        r#"
        texts = {
            'commands/.stream': open('event', 'rb').read(),
            'commands/.events/command': b'{"id":8,"amount":10}\n',
            'h/.entries': b'{"key":1,"value":2}\n',
            'h/3': b'"12"\n',
            'q/.push': b'"7"\n',
            'new': b'struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, int);'
                   b'__uint(map_flags, 1); __uint(max_entries, 9); } new SEC(".maps");\n',
        }
        for name, text in texts.items():
            fd = os.open('mnt/' + name, os.O_WRONLY | os.O_CREAT)
            half = len(text) // 2
            os.write(fd, text[:half])
            child = os.fork()
            if child == 0:
                os.close(fd)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            if os.fork() == 0: os._exit(0)
            os.wait()
            os.close(os.dup(fd))
            os.write(fd, text[half:])
            os.close(fd)
        # And the last one tells.
        for name in 'h/.entries', 'h/4', 'q/.push':
            fd = os.open('mnt/' + name, os.O_WRONLY | os.O_CREAT)
            os.write(fd, b'{"half')
            assert errno_of(os.close, fd) == 'EINVAL', name
        "#,
    );
    programs.run_raw("drain", [0, 0], None);
    assert_eq!(bed.ok("head -n 2 mnt/events/.events/event"), line(7, 9) + &line(8, 10));
    assert_eq!(
        bed.ok("cat mnt/h/.entries | sort; cat mnt/q/.pop; jq -c .flags mnt/new/.info"),
        "{\"key\":1,\"value\":2}\n{\"key\":3,\"value\":12}\n7\n[\"no_prealloc\"]\n"
    );
    let told: Vec<_> = bed.errors().into_iter().filter(|line| line.contains(" close ")).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
}

/// A full ring is ENOSPC; what was written before stands, and nothing is written twice.
#[test]
fn a_full_ring_is_enospc() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "callbacks", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    // Each record has 8 bytes and a header of 8.
    let fit = u64::from(bed.open("commands").info.max_entries / 16);
    let text: String = (0..fit as u32 + 44).map(|seq| spaced([seq, 0]) + "\n").collect();
    std::fs::write(bed.shown("lines"), text).unwrap();
    bed.fails_with("cat lines > mnt/commands/.stream", "No space left");
    programs.run_raw("drain", [0, 0], None);
    let expected: String = (0..fit).map(|seq| line(seq, 0)).collect();
    assert_eq!(bed.ok(&format!("head -n {fit} mnt/events/.events/event")), expected);
    // Round the ring's end.
    for seq in 0..300 {
        bed.write("commands/.events/command", &format!("{{\"id\":{seq},\"amount\":1}}\n"));
        programs.run_raw("drain", [0, 0], None);
    }
    let expected: String = (0..300).map(|seq| line(seq, 1)).collect();
    assert_eq!(bed.ok("head -n 300 mnt/events/.events/event"), expected);
}

/// Reading takes nothing from another program unasked.
#[test]
fn anothers_events_are_taken_only_when_asked() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let holds = "keep = [bpf_get('bpf/events'), bpf_get('bpf/perf')]\nready()\ntime.sleep(1000)";
    let (holder, _) = Holder::start(&bed, holds);
    programs.run_raw("to_ring", [1, 2], None);
    for file in ["events/.stream", "perf/.stream", "events/.events/event", "perf/.events/event"] {
        bed.fails_with(&format!("cat mnt/{file}"), "Device or resource busy");
        let errors = bed.errors();
        let last = errors.last().expect("a reason");
        let who = format!("EBUSY: process {} (python3) has this map open", holder.pid());
        assert!(last.contains(&who) && last.contains("`take`"), "{last}");
        // Nor is it taken by opening for both, until `take` is written.
        bed.fails_with(&format!("exec 3<> mnt/{file}; head -n 1 <&3"), "resource busy");
        bed.fails_with(&format!("exec 3<> mnt/{file}; echo mine >&3"), "Invalid argument");
        bed.fails_with(&format!("echo take > mnt/{file}"), "Operation not supported");
    }
    let take = "exec 3<> mnt/events/.events/event; echo take >&3; head -n 2 <&3";
    assert_eq!(bed.ok(take), lines(1..3));
    // A perf event array's events are the taker's from then on.
    let taker =
        bed.spawn("exec 3<> mnt/perf/.events/event; echo take >&3; touch taken; head -n 1 <&3");
    let gather = thread::spawn(move || output(taker));
    eventually("it is taken", || bed.dir.join("taken").exists());
    programs.run_raw("to_perf", [7, 1], Some(0));
    assert_eq!(gather.join().unwrap(), lines(7..8));
    drop(holder);
    programs.run_raw("to_ring", [3, 1], None);
    assert_eq!(bed.ok("head -n 1 mnt/events/.events/event"), lines(3..4));
}

/// Who only looks at a map, or holds a program of it, or reads here itself, is nobody to be robbed.
#[test]
fn who_does_not_read_is_not_in_the_way() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "python3", "bpftool");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let (_through, _) =
        Holder::start(&bed, "keep = bpf_get('bpf/p/to_ring')\nready()\ntime.sleep(1000)");
    let mut looker = bed.spawn("while :; do bpftool map show pinned bpf/events; done");
    for seq in 1..4 {
        programs.run_raw("to_ring", [seq, 1], None);
        assert_eq!(bed.ok("head -n 1 mnt/events/.events/event"), lines(seq..seq + 1));
    }
    let _ = looker.kill();
    let _ = looker.wait();
    programs.run_raw("to_ring", [9, 1], None);
    fs::write(
        bed.dir.join("own.py"),
        "import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
name = ctypes.create_string_buffer(b'bpf/events')
attr = ctypes.create_string_buffer(struct.pack('=QII', ctypes.addressof(name), 0, 0), 128)
BPF = {'x86_64': 321, 'aarch64': 280, 's390x': 351}[os.uname().machine]
assert libc.syscall(BPF, 7, attr, 16) >= 0
print(os.read(os.open('mnt/events/.events/event', os.O_RDONLY), 100).decode(), end='')
",
    )
    .unwrap();
    assert_eq!(bed.ok("python3 own.py"), lines(9..10));
}

/// What another process does to the pages it shares with us is no reason to fall over.
#[test]
fn broken_positions_do_no_harm() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    programs.run_raw("to_ring", [0, 10], None);
    poke(&bed, "events", 0, 3);
    poke(&bed, "commands", 1, 5);
    bed.run("timeout 1 head -n 1 mnt/events/.stream");
    bed.fails_with("echo 0x00 > mnt/commands/.stream", "Input/output error");
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
    bed.read("events/.info");
}

/// Sets a position in a ring's pages, as any program can that has the map open.
fn poke(bed: &Bed, map: &str, page: u32, position: u64) {
    let map = bed.open(map).fd;
    let script = format!(
        "import mmap, struct
m = mmap.mmap(0, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset={page} * mmap.PAGESIZE)
m[0:8] = struct.pack('=Q', {position})"
    );
    let fd = map.as_fd().try_clone_to_owned().unwrap();
    let done = Command::new("python3").args(["-c", &script]).stdin(fd).status().unwrap();
    assert!(done.success(), "the position could not be set");
}

/// The daemon holds no map open longer than a second past its last use.
#[test]
fn nothing_lingers() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let maps = ["events", "perf", "commands"];
    let ids: Vec<u32> = maps.iter().map(|name| bed.open(name).info.id).collect();
    programs.run_raw("to_ring", [0, 1], None);
    bed.ok("head -n 1 mnt/events/.events/event; timeout 0.2 cat mnt/perf/.stream; true");
    bed.ok("echo 0x00 > mnt/commands/.stream; rm -r bpf/events bpf/perf bpf/commands bpf/p");
    drop(programs);
    let gone = |id: &u32| bpffuse::sys::object::map_by_id(*id).is_err();
    let start = Instant::now();
    while !ids.iter().all(gone) {
        assert!(start.elapsed() < Duration::from_millis(1500) * patience(), "maps are still there");
        thread::sleep(Duration::from_millis(20));
    }
}

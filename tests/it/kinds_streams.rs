//! `.stream` as readers of all sorts meet it: without waiting, without privilege, at a terminal, and
//! with CPUs that come and go.

use crate::common::kernel::lacks_callbacks;
use crate::common::require::require;
use crate::common::{Bed, eventually, host_order, patience};
use crate::kinds_common::{Programs, freed};
use bpffuse::sys::map::possible_cpus;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

fn line(seq: u64) -> String {
    format!("{{\"seq\":{seq},\"twice\":{},\"who\":\"tester\"}}\n", 2 * seq)
}

/// O_NONBLOCK: EAGAIN until there is an event.
#[test]
fn without_waiting() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    for (map, program) in [("events", "to_ring"), ("perf", "to_perf")] {
        for file in [".stream", ".events/event"] {
            let mut stream = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(bed.at(map).join(file))
                .unwrap();
            let mut buffer = [0; 4096];
            for _ in 0..3 {
                let error = stream.read(&mut buffer).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{map}/{file}");
            }
            programs.run_raw(program, [3, 2], Some(0));
            let n = stream.read(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..n]);
            if file == ".stream" {
                assert_eq!(text.lines().count(), 2, "{text}");
                let first = host_order("\"0x0300000000000000", "\"0x0000000000000003");
                assert!(text.starts_with(first), "{text}");
            } else {
                assert_eq!(text, line(3) + &line(4));
            }
            let error = stream.read(&mut buffer).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        }
    }
    // Waiting reads of nothing are no errors that anybody should look into.
    assert!(!bed.errors().iter().any(|line| line.contains("EAGAIN")), "{:?}", bed.errors());
}

/// `.pop` and `.stream` both: who may only read, or only write, may not take events.
#[test]
fn without_privilege() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "setpriv");
    const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    let bed = Bed::with(&["-o", "allow_other"]);
    let programs = Programs::load(&bed, "streams");
    for map in ["events", "perf"] {
        for mode in ["600", "604", "602", "664"] {
            bed.ok(&format!("chmod {mode} bpf/{map}"));
            for file in [".stream", ".events/event"] {
                let command = format!("{NOBODY} timeout 5 head -n 1 mnt/{map}/{file}");
                bed.fails_with(&command, "Permission denied");
            }
        }
        bed.ok(&format!("chmod 606 bpf/{map}"));
    }
    // The kernel would ask for CAP_PERFMON, whatever the mode.
    bed.fails_with(&format!("{NOBODY} head -n 1 mnt/perf/.stream"), "Operation not permitted");
    let reader = bed.spawn(&format!("{NOBODY} head -n 1 mnt/events/.events/event"));
    eventually("the reader has it open", || {
        File::open(bed.at("events/.stream"))
            .is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
    });
    programs.run_raw("to_ring", [5, 1], Some(0));
    let out = reader.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(out).unwrap(), line(5));
    // A group's rights count for its members.
    bed.ok("chmod 660 bpf/events");
    programs.run_raw("to_ring", [6, 1], None);
    let group = "setpriv --reuid=65534 --regid=0 --clear-groups --";
    assert_eq!(bed.ok(&format!("{group} head -n 1 mnt/events/.events/event")), line(6));
    // Written with the right to write, and no other.
    bed.ok("chmod 604 bpf/commands");
    bed.fails_with(
        &format!("{NOBODY} bash -c 'echo 0x00 > mnt/commands/.stream'"),
        "Permission denied",
    );
    bed.ok("chmod 606 bpf/commands");
    let seven_nine = host_order("0x0700000009000000", "0x0000000700000009");
    bed.ok(&format!("{NOBODY} bash -c 'echo {seven_nine} > mnt/commands/.stream'"));
    if lacks_callbacks() {
        return;
    }
    programs.run_raw("drain", [0, 0], None);
    bed.ok("chmod 600 bpf/events");
    let got = bed.ok("head -n 1 mnt/events/.events/event");
    assert_eq!(got, "{\"seq\":7,\"twice\":9,\"who\":\"tester\"}\n");
}

/// Ctrl-C at a terminal ends `cat`, and what comes afterwards is there for the next reader.
#[test]
fn ctrl_c_at_a_terminal() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    programs.run_raw("to_ring", [1, 1], None);
    let status = bed.python(
        "
        import pty, time, signal
        pid, terminal = pty.fork()
        if pid == 0: os.execvp('cat', ['cat', 'mnt/events/.events/event'])
        assert b'tester' in os.read(terminal, 1000)
        os.write(terminal, b'\\x03')
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        ",
    );
    assert_eq!(status, "-2\n", "ended by SIGINT");
    programs.run_raw("to_ring", [2, 1], None);
    assert_eq!(bed.ok("timeout 10 head -n 1 mnt/events/.events/event"), line(2));
}

/// Streams that were read, polled, typed and killed let the map and the programs go.
#[test]
fn nothing_is_kept_by_readers() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let ids: Vec<u32> = ["events", "perf", "commands"].map(|map| bed.open(map).info.id).to_vec();
    for map in ["events", "perf"] {
        bed.run(&format!("timeout -s KILL 0.3 cat mnt/{map}/.events/event"));
        bed.run(&format!("timeout 0.3 cat mnt/.id/{}/.stream", bed.open(map).info.id));
        bed.fails(&format!("head -c 1 mnt/{map}/.events/nosuch"));
    }
    if !lacks_callbacks() {
        bed.ok("echo '{\"id\":1}' > mnt/commands/.events/command");
    }
    // One is open while the map goes away: it keeps its map, as any descriptor does, until closed.
    let open = File::open(bed.at("events/.stream")).unwrap();
    drop(programs);
    bed.ok("rm -r bpf/events bpf/perf bpf/commands bpf/p");
    freed(ids[1]);
    freed(ids[2]);
    assert!(bpffuse::sys::object::map_by_id(ids[0]).is_ok(), "it is being read");
    drop(open);
    freed(ids[0]);
}

/// CPU 1, back online when this is dropped.
struct Offline;

impl Offline {
    const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";
}

impl Drop for Offline {
    fn drop(&mut self) {
        fs::write(Self::ONLINE, "1").expect("CPU 1 comes back");
    }
}

/// A CPU goes offline and comes back while its events are read. A per-CPU map has its value all the
/// while.
///
/// Every other program on the machine feels that, so it is done only where `BPFFUSE_TEST_HOTPLUG`
/// says that it may be, as in a virtual machine.
#[test]
fn a_cpu_goes_and_comes_back() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "hotplug");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let mut stream = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(bed.at("perf/.events/event"))
        .unwrap();
    let mut next = |seq: u64, cpu: u32| {
        let deadline = Instant::now() + Duration::from_secs(10) * patience();
        let mut buffer = [0; 4096];
        loop {
            programs.run_raw("to_perf", [seq, 1], Some(cpu));
            match stream.read(&mut buffer) {
                Ok(n) => {
                    assert!(String::from_utf8_lossy(&buffer[..n]).starts_with(&line(seq)));
                    // What was sent more than once.
                    while stream.read(&mut buffer).is_ok() {}
                    return;
                }
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EAGAIN)),
            }
            assert!(Instant::now() < deadline, "no event of CPU {cpu}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    next(1, 0);
    next(2, 1);
    fs::write(Offline::ONLINE, "0").expect("CPU 1 goes offline");
    let offline = Offline;
    next(3, 0);
    // Its value in a per-CPU map is there all the same, to read and to write alone.
    let lines = possible_cpus().unwrap();
    bed.ok(&format!(
        "cd mnt; echo 'percpu_hash key u32 value u64 entries 8' > counts; echo 3 > counts/1
         echo 5 > counts/.cpu/1/1; [ $(wc -l < counts/1) = {lines} ]; [ $(cat counts/.cpu/1/1) = 5 ]"
    ));
    assert_eq!(bed.read("counts/.sum/1"), format!("{}\n", 3 * lines + 2));
    drop(offline);
    assert_eq!(bed.read("counts/.sum/1"), format!("{}\n", 3 * lines + 2));
    next(4, 0);
    next(5, 1);
}

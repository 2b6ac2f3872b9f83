//! The daemon is killed or stopped, or cannot log.

use super::{Base, kill_and_start_again, names, start_again};
use crate::common::bed::signal;
use crate::common::require::require;
use crate::common::{Bed, Kind, key32, patience};
use std::io::Read;
use std::time::{Duration, Instant};

/// Writes values of one byte repeated, and lines of the same kind, until it is refused; prints why.
const WRITER: &str = r#"python3 - <<'END'
import errno, os
def put(name, text, flags=os.O_CREAT):
    fd = os.open('mnt/' + name, os.O_WRONLY | flags)
    try:
        while text: text = text[os.write(fd, text):]
    finally: os.close(fd)
try:
    n = 0
    while True:
        n = n % 255 + 1
        put('big/.raw/00000000', bytes([n]) * 65536)
        put('big/1', b'0x' + b'%02x' % n * 65536 + b'\n')
        lines = (b'{"key":%d,"value":"0x%s"}\n' % (k, b'%02x' % n * 64) for k in range(1000))
        put('many/.entries', b''.join(lines))
except OSError as e:
    print(errno.errorcode[e.errno])
END"#;

/// The daemon killed (-9) in mid-write: each value is the old one or the new one, and a new start on
/// the same mount point works.
#[test]
fn killed_in_mid_write() {
    require!("root", "bpf", "fuse", "python3");
    let mut bed = Bed::new();
    let big = bed.map("big", Kind::Hash, 4, 65536, 4);
    let many = bed.map("many", Kind::Hash, 4, 64, 1000);
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..8_u64 {
        let mut writer = bed.spawn(WRITER);
        crate::common::eventually("the writer is at work", || many.get(&key32(7)).is_some());
        std::thread::sleep(Duration::from_millis(13 * round));
        signal("KILL", bed.pid());
        bed.wait_for_end();
        let mut told = String::new();
        writer.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        writer.wait().unwrap();
        assert!(
            ["ENOTCONN", "ECONNABORTED"].contains(&told.trim()),
            "the writer was told {told:?}"
        );
        for (map, keys) in [(&big, 0..2), (&many, 0..1000)] {
            for key in keys {
                if let Some(value) = map.get(&key32(key)) {
                    assert!(value.iter().all(|byte| *byte == value[0]), "a mixed value of {key}");
                    seen.insert(value[0]);
                }
            }
        }
        start_again(&mut bed);
        bed.ok(
            "cat mnt/big/1 mnt/many/7 > all; echo 0x07 | tee mnt/big/.help 2> all; rm mnt/many/7",
        );
    }
    assert!(seen.len() > 2, "nothing was being written: {seen:?}");
    assert_eq!(names(&bed), "bpf:\nbig\nmany\n\nmnt:\nbig\nmany\n");
    let mounts = bed.ok("grep -c \"$PWD/mnt \" /proc/self/mountinfo");
    assert_eq!(mounts, "1\n", "dead mounts pile up");
}

/// What a crash leaves in a client's hands: its open files say so, and do not hang.
#[test]
fn open_files_of_a_dead_daemon() {
    require!("root", "bpf", "fuse", "python3");
    let mut bed = Bed::new();
    bed.hash("h").set(&key32(1), &7_u64.to_ne_bytes());
    let mut client = bed.spawn(
        r#"exec python3 -c '
import errno, os, sys
half = os.open("mnt/h/2", os.O_WRONLY | os.O_CREAT); os.write(half, b"{")
fds = [os.open("mnt/h/" + name, os.O_RDONLY) for name in ("1", ".entries", ".watch")]
fds.append(os.open("mnt/h", os.O_RDONLY))
os.chdir("mnt/h")
open("../../ready", "w")
while not os.path.exists(sys.argv[1]): pass
def tell(f, *args):
    try: f(*args); print("ok")
    except OSError as e: print(errno.errorcode[e.errno])
tell(os.write, half, b"}")
for fd in fds[:3]: tell(os.read, fd, 100)
tell(os.listdir, fds[3])
tell(os.stat, "1")
for fd in fds + [half]: tell(os.close, fd)
' "$PWD/go""#,
    );
    // Two up from the map, in the dead mount or the living one, is the bed.
    crate::common::eventually("the client has its files", || bed.dir.join("ready").exists());
    kill_and_start_again(&mut bed);
    std::fs::write(bed.dir.join("go"), "").unwrap();
    let mut told = String::new();
    client.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    client.wait().unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 11, "{told}");
    assert!(lines[..6].iter().all(|line| *line == "ENOTCONN"), "{told}");
    assert_eq!(bed.ok("cat mnt/h/1; ls mnt/h"), "7\n1\n", "a half-written value had an effect");
}

/// A stopped daemon holds its clients up, but they can be killed, and it goes on where it was.
#[test]
fn stopped_and_continued() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &7_u64.to_ne_bytes());
    let base = Base::of(&bed, "h");
    signal("STOP", bed.pid());
    let started = Instant::now();
    let waiting = bed.spawn("echo 8 > mnt/h/2 && cat mnt/h/2");
    for script in ["cat mnt/h/1", "ls mnt/h", "echo 9 > mnt/h/3"] {
        let ran = bed.run_for(1, script);
        assert!(ran.timed_out(), "{script} did not wait for a stopped daemon: {ran}");
    }
    let bound = Duration::from_secs(30) * patience();
    assert!(started.elapsed() < bound, "a waiting client could not be killed");
    signal("CONT", bed.pid());
    let out = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "8\n");
    assert_eq!(bed.ok("cat mnt/h/1"), "7\n");
    base.is_reached_again(&bed, 8 << 10);
}

/// Neither a full disk nor a closed terminal stops the daemon from serving.
#[test]
fn a_log_that_cannot_be_written() {
    require!("root", "bpf", "fuse");
    let mut bed = Bed::with(&["-vvv", "--log-file", "/dev/full"]);
    bed.hash("h");
    let used = "echo 5 > mnt/h/5; cat mnt/h/5; echo x > mnt/h/x; tail -n 1 mnt/.errors";
    let told = bed.ok(used);
    assert!(told.starts_with("5\n") && told.contains("EINVAL"), "{told}");
    bed.stop();
    for to in ["> /dev/full 2>&1", "2>&1 | true", ">&- 2>&-"] {
        let mut daemon = bed.spawn(&format!("RUST_LOG=trace bpffuse -vvv -f bpf mnt {to}"));
        crate::common::eventually("it is mounted", || bed.at("h").exists());
        let told = bed.ok(used);
        assert!(told.starts_with("5\n") && told.contains("EINVAL"), "logging {to}: {told}");
        bed.ok("umount mnt");
        crate::common::eventually("the daemon has ended", || bed.daemons().is_empty());
        daemon.wait().unwrap();
    }
}

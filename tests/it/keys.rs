//! Operations on a key: each row of the table, by the shell and by the calls with their errno.

use crate::common::errno::open_with;
use crate::common::require::require;
use crate::common::{Bed, Kind, RawMap, eventually, key32, open_then_write, refused, write_with};
use bpffuse::sys::map::LOCK;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

const CREAT: i32 = libc::O_CREAT;
const TRUNC: i32 = libc::O_TRUNC;
const EXCL: i32 = libc::O_EXCL;

/// A bed with a hash `h`, u32 → u64, that has 7 → 42.
fn bed() -> (Bed, RawMap) {
    let bed = Bed::new();
    let map = bed.hash("h");
    map.set(&key32(7), &42u64.to_ne_bytes());
    (bed, map)
}

fn value(map: &RawMap, key: u32) -> Option<u64> {
    map.get(&key32(key)).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
}

/// `cat M/k`: lookup.
#[test]
fn cat_is_lookup() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    assert_eq!(bed.ok("cat mnt/h/7"), "42\n");
    map.set(&key32(7), &43u64.to_ne_bytes());
    assert_eq!(bed.ok("cat mnt/h/7"), "43\n");
    bed.fails_with("cat mnt/h/8", "No such file");
    refused(File::open(bed.at("h/8")), "ENOENT");
    refused(File::open(bed.at("h/no_number")), "ENOENT");
    map.delete(&key32(7));
    refused(File::open(bed.at("h/7")), "ENOENT");
}

/// `echo v > M/k`: update BPF_ANY, of a new key and of a present one.
#[test]
fn echo_is_update() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.ok("echo 5 > mnt/h/7; echo 6 > mnt/h/8");
    assert_eq!((value(&map, 7), value(&map, 8)), (Some(5), Some(6)));
    // Without the newline, with spaces around, by printf.
    bed.ok("printf 9 > mnt/h/8; printf ' 10 \\n' > mnt/h/9");
    assert_eq!((value(&map, 8), value(&map, 9)), (Some(9), Some(10)));
    write_with(bed.at("h/10"), CREAT | TRUNC, b"11\n").unwrap();
    write_with(bed.at("h/10"), TRUNC, b"12\n").unwrap();
    assert_eq!(value(&map, 10), Some(12));
}

/// set -o noclobber, `dd conv=excl`: BPF_NOEXIST, EEXIST if it is there.
#[test]
fn excl_is_noexist() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.fails_with("set -o noclobber; echo 5 > mnt/h/7", "cannot overwrite existing file");
    bed.ok("set -o noclobber; echo 5 > mnt/h/8");
    bed.fails_with("echo 6 | dd of=mnt/h/7 conv=excl status=none", "File exists");
    bed.ok("echo 6 | dd of=mnt/h/9 conv=excl status=none");
    refused(write_with(bed.at("h/7"), CREAT | EXCL, b"5\n"), "EEXIST");
    write_with(bed.at("h/10"), CREAT | EXCL, b"7\n").unwrap();
    let values = [7, 8, 9, 10].map(|key| value(&map, key));
    assert_eq!(values, [Some(42), Some(5), Some(6), Some(7)]);
}

/// "`dd conv=nocreat of=M/k`": BPF_EXIST, ENOENT if it is gone.
#[test]
fn nocreat_is_exist() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.ok("echo 5 | dd of=mnt/h/7 conv=nocreat status=none");
    bed.fails_with("echo 5 | dd of=mnt/h/8 conv=nocreat status=none", "No such file");
    assert_eq!((value(&map, 7), value(&map, 8)), (Some(5), None));
    for flags in [0, TRUNC] {
        write_with(bed.at("h/7"), flags, b"6\n").unwrap();
        refused(write_with(bed.at("h/8"), flags, b"6\n"), "ENOENT");
    }
    bed.ok("echo 7 | dd of=mnt/h/7 conv=nocreat,notrunc status=none");
    assert_eq!((value(&map, 7), value(&map, 8)), (Some(7), None));
}

/// The update flag is the open's, even if the element came or went between open and write:
/// without O_CREAT that is BPF_EXIST.
#[test]
fn a_key_that_goes_after_open_is_not_made_again() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    for flags in [0, TRUNC] {
        map.set(&key32(7), &42u64.to_ne_bytes());
        let outcome = open_then_write(bed.at("h/7"), flags, || map.delete(&key32(7)), b"5\n");
        refused(outcome, "ENOENT");
        assert_eq!(value(&map, 7), None, "the element was made again");
    }
    // Gone and come back: it is there, so it is written.
    map.set(&key32(7), &42u64.to_ne_bytes());
    let come_back = || {
        map.delete(&key32(7));
        map.set(&key32(7), &1u64.to_ne_bytes());
    };
    open_then_write(bed.at("h/7"), 0, come_back, b"5\n").unwrap();
    assert_eq!(value(&map, 7), Some(5));
}

/// The same with O_CREAT: BPF_ANY, both ways.
#[test]
fn creat_writes_whatever_happens_after_open() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    for flags in [CREAT, CREAT | TRUNC] {
        map.set(&key32(7), &42u64.to_ne_bytes());
        open_then_write(bed.at("h/7"), flags, || map.delete(&key32(7)), b"5\n").unwrap();
        assert_eq!(value(&map, 7), Some(5), "went");
        map.delete(&key32(7));
        let come = || map.set(&key32(7), &1u64.to_ne_bytes());
        open_then_write(bed.at("h/7"), flags, come, b"6\n").unwrap();
        assert_eq!(value(&map, 7), Some(6), "came");
    }
}

/// The same whichever call opens the file, from a thread, and from another PID namespace: open(2) of
/// a present file does not tell a FUSE file system of O_CREAT by itself. openat2(2) alone has its flags in
/// memory, where nobody looks.
#[test]
fn every_way_to_open_has_its_flag() {
    require!("root", "bpf", "fuse", "python3", "unshare");
    let (bed, map) = bed();
    let script = r#"
        import ctypes, threading
        libc = ctypes.CDLL(None, use_errno=True)
        OPENAT = {"x86_64": 257, "aarch64": 56, "s390x": 288}[os.uname().machine]
        path = b"mnt/h/7"
        def call(*args):
            fd = libc.syscall(*args)
            if fd < 0: raise OSError(ctypes.get_errno(), "open")
            return fd
        ways = {
            "openat": lambda flags: call(OPENAT, -100, path, flags, 0o600),
            "absolute": lambda flags: call(OPENAT, 1234, os.path.abspath(path), flags, 0o600),
            "dirfd": lambda flags: os.open("7", flags, dir_fd=os.open("mnt/h", os.O_PATH)),
        }
        # Newer architectures have neither.
        OPEN, CREAT = {"x86_64": (2, 85), "s390x": (5, 8)}.get(os.uname().machine, (None, None))
        if OPEN:
            ways["open"] = lambda flags: call(OPEN, path, flags, 0o600)
            ways["creat"] = lambda flags: call(CREAT, path, 0o600)
        def one(name, way, flags):
            open("mnt/h/7", "w").write("42\n")
            fd = way(flags)
            os.remove("mnt/h/7")
            outcome = errno_of(os.write, fd, b"5\n")
            os.close(fd)
            creates = flags & os.O_CREAT or name == "creat"
            if outcome != (None if creates else "ENOENT") or os.path.exists("mnt/h/7") != bool(creates):
                print(name, oct(flags), outcome)
        for name, way in ways.items():
            for flags in (0, os.O_CREAT, os.O_TRUNC, os.O_CREAT | os.O_TRUNC, os.O_CREAT | os.O_APPEND):
                for mode in (os.O_WRONLY, os.O_RDWR):
                    one(name, way, flags | mode)
                    thread = threading.Thread(target=one, args=(name + " in a thread", way, flags | mode)) \
                        if name != "creat" else threading.Thread(target=one, args=(name, way, flags | mode))
                    thread.start(); thread.join()
    "#;
    assert_eq!(bed.python(script), "", "left: the calls whose flag was not respected");
    // PID namespace: other numbers for the same processes, and another /proc.
    map.set(&key32(7), &42u64.to_ne_bytes());
    let out = bed.ok(
        r#"unshare --pid --fork --mount-proc bash -c '
            exec 3<> mnt/h/7; rm mnt/h/7; echo 5 >&3 && cat mnt/h/7
            python3 -c "import os; fd = os.open(\"mnt/h/7\", os.O_WRONLY); os.remove(\"mnt/h/7\"); os.write(fd, b\"6\")" 2>&1 | tail -n 1
        '"#,
    );
    assert_eq!(out, "5\nFileNotFoundError: [Errno 2] No such file or directory\n");
}

/// The same with O_EXCL: BPF_NOEXIST; what came between is not overwritten.
#[test]
fn excl_does_not_overwrite_what_came_after_open() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    let come = || map.set(&key32(8), &1u64.to_ne_bytes());
    refused(open_then_write(bed.at("h/8"), CREAT | EXCL, come, b"5\n"), "EEXIST");
    assert_eq!(value(&map, 8), Some(1), "it was overwritten");
    let come_and_go = || {
        map.set(&key32(9), &1u64.to_ne_bytes());
        map.delete(&key32(9));
    };
    open_then_write(bed.at("h/9"), CREAT | EXCL, come_and_go, b"5\n").unwrap();
    assert_eq!(value(&map, 9), Some(5));
}

/// The same for a map replaced between open and write: never a write to another map by a stale flag.
#[test]
fn two_writers_of_one_new_key() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    // Both have it open as new; the first to write wins, the second is told.
    let mut first = open_with(bed.at("h/8"), CREAT | EXCL).unwrap();
    let second = open_with(bed.at("h/8"), CREAT | EXCL);
    first.write_all(b"1\n").unwrap();
    if let Ok(mut second) = second {
        refused(second.write(b"2\n"), "EEXIST");
    }
    assert_eq!(value(&map, 8), Some(1));
}

/// Of two programs that create the same key with O_EXCL, as lock files are, one fails: whether the
/// other has written yet, closed, or given up.
#[test]
fn excl_is_for_one() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    let open = || open_with(bed.at("h/8"), CREAT | EXCL);
    let first = open().unwrap();
    refused(open(), "EEXIST");
    assert_eq!(value(&map, 8), None, "nothing was written yet");
    // Who asks for no such thing may have it.
    write_with(bed.at("h/8"), CREAT, b"3\n").unwrap();
    drop(first);
    assert_eq!(value(&map, 8), Some(3));
    refused(open(), "EEXIST");
    bed.ok("rm mnt/h/8; grep -q 'another program is just creating it' mnt/.errors");
    // What could not be written is no lock any more once it is closed.
    let mut first = open().unwrap();
    refused(first.write(b"no number\n"), "EINVAL");
    refused(open(), "EEXIST");
    drop(first);
    eventually("the claim is given up", || open().is_ok());
}

/// What another program put there between an exclusive open(2) and futimens(2) stays.
#[test]
fn excl_and_times_overwrite_nothing() {
    require!("root", "bpf", "fuse", "python3");
    let (bed, map) = bed();
    let mut file = open_with(bed.at("h/8"), CREAT | EXCL).unwrap();
    map.set(&key32(8), &1u64.to_ne_bytes());
    refused(file.set_modified(SystemTime::now()), "EEXIST");
    refused(file.write(b"5\n"), "EEXIST");
    drop(file);
    assert_eq!(value(&map, 8), Some(1), "it was overwritten");
    // What the call itself made is the opener's to write.
    let mut file = open_with(bed.at("h/9"), CREAT | EXCL).unwrap();
    file.set_modified(SystemTime::now()).unwrap();
    assert_eq!(value(&map, 9), Some(0));
    file.write_all(b"5\n").unwrap();
    assert_eq!(value(&map, 9), Some(5));
}

/// A blank line behind a value is none.
#[test]
fn blank_lines_end_nothing() {
    require!("root", "bpf", "fuse", "python3");
    let (bed, map) = bed();
    // close(2) has nothing to say of it.
    bed.python("import os; f = os.open('mnt/h/7', os.O_WRONLY)\nfor t in b'5\\n', b'\\n': os.write(f, t)\nos.close(f)");
    assert_eq!(value(&map, 7), Some(5));
    bed.ok("(echo 6; echo; echo 8) > mnt/h/7");
    assert_eq!(value(&map, 7), Some(8));
}

/// `touch M/k`: a new element with an all-zero value (BPF_NOEXIST); an existing one is unchanged.
#[test]
fn touch_makes_a_zero_element() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.ok("touch mnt/h/7 mnt/h/8");
    assert_eq!((value(&map, 7), value(&map, 8)), (Some(42), Some(0)));
    assert_eq!(bed.ok("cat mnt/h/8"), "0\n");
    bed.ok("touch -c mnt/h/9; touch -d yesterday mnt/h/7; touch -a mnt/h/7");
    assert_eq!((value(&map, 7), value(&map, 9)), (Some(42), None));
    // By the calls alone: open(O_CREAT), close.
    drop(open_with(bed.at("h/10"), CREAT).unwrap());
    drop(open_with(bed.at("h/7"), CREAT).unwrap());
    assert_eq!((value(&map, 10), value(&map, 7)), (Some(0), Some(42)));
    // O_EXCL with nothing written is new all the same.
    drop(open_with(bed.at("h/11"), CREAT | EXCL).unwrap());
    assert_eq!(value(&map, 11), Some(0));
    // An existing element that came between open and close is unchanged (BPF_NOEXIST).
    let file = open_with(bed.at("h/12"), CREAT).unwrap();
    map.set(&key32(12), &3u64.to_ne_bytes());
    drop(file);
    assert_eq!(value(&map, 12), Some(3));
    bed.fails_with("touch mnt/h/no_number", "Invalid argument");
}

/// Emptying a file is no value: `: > M/k` and truncate(2) leave a present value alone.
#[test]
fn truncation_alone_changes_nothing() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.run(": > mnt/h/7");
    assert_eq!(value(&map, 7), Some(42));
    bed.run("truncate -s 0 mnt/h/7");
    assert_eq!((value(&map, 7), bed.read("h/7")), (Some(42), "42\n".to_owned()));
}

/// `rm M/k`: delete.
#[test]
fn rm_is_delete() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.ok("rm mnt/h/7");
    assert_eq!(value(&map, 7), None);
    bed.fails_with("rm mnt/h/7", "No such file");
    bed.ok("rm -f mnt/h/7");
    refused(fs::remove_file(bed.at("h/7")), "ENOENT");
    refused(fs::remove_file(bed.at("h/no_number")), "ENOENT");
    refused(fs::remove_dir(bed.at("h/7")), "ENOENT");
    map.set(&key32(7), &[0; 8]);
    refused(fs::remove_dir(bed.at("h/7")), "ENOTDIR");
    // Made and deleted elsewhere just before: look-up and unlink see the map as it is.
    for _ in 0..50 {
        map.set(&key32(7), &[0; 8]);
        fs::remove_file(bed.at("h/7")).unwrap();
        refused(fs::remove_file(bed.at("h/7")), "ENOENT");
    }
}

/// `ls M`: iterate.
#[test]
fn ls_is_iterate() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    assert_eq!(bed.ok("ls mnt/h"), "7\n");
    for n in 0..500 {
        map.set(&key32(n * 3), &[0; 8]);
    }
    map.delete(&key32(7)); // no multiple of 3
    let mut expected: Vec<String> = (0..500).map(|n: u32| (n * 3).to_string()).collect();
    expected.sort();
    assert_eq!(bed.list("h"), expected);
    map.delete(&key32(0));
    assert_eq!(bed.list("h").len(), 499);
    // Every index of an array, and an empty map.
    bed.map("a", Kind::Array, 4, 8, 12);
    assert_eq!(bed.ok("ls -v mnt/a | tr '\\n' ' '"), "0 1 2 3 4 5 6 7 8 9 10 11 ");
    bed.hash("empty");
    assert_eq!(bed.ok("ls -A mnt/empty"), "");
}

/// `stat`, `test -e`: lookup; `st_size` is the size of the text at that moment.
#[test]
fn stat_is_lookup() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.ok("test -e mnt/h/7 && test -f mnt/h/7 && ! test -e mnt/h/8 && ! test -d mnt/h/7");
    assert_eq!(bed.ok("stat -c '%F %s %a' mnt/h/7"), "regular file 3 600\n");
    for n in [0u64, 9, 10, 12345, u64::MAX] {
        map.set(&key32(7), &n.to_ne_bytes());
        let size = fs::metadata(bed.at("h/7")).unwrap().len();
        assert_eq!(size, n.to_string().len() as u64 + 1, "st_size of {n}");
        // fstat of an open file too.
        assert_eq!(File::open(bed.at("h/7")).unwrap().metadata().unwrap().len(), size);
    }
    map.delete(&key32(7));
    refused(fs::metadata(bed.at("h/7")), "ENOENT");
    map.set(&key32(7), &[0; 8]);
    assert_eq!(fs::metadata(bed.at("h/7")).unwrap().len(), 2);
    // What was absent a moment ago.
    refused(fs::metadata(bed.at("h/9")), "ENOENT");
    map.set(&key32(9), &[0; 8]);
    assert!(fs::metadata(bed.at("h/9")).unwrap().is_file());
}

/// Content is rendered once per open, so that a file read in pieces does not tear, and
/// every open is fresh.
#[test]
fn an_open_file_does_not_tear() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 64, 10);
    map.set(&key32(1), &[0xaa; 64]);
    let mut file = File::open(bed.at("h/1")).unwrap();
    let mut start = [0; 20];
    file.read_exact(&mut start).unwrap();
    map.set(&key32(1), &[0xbb; 64]);
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    let text = String::from_utf8(start.to_vec()).unwrap() + &rest;
    assert_eq!(text, format!("\"0x{}\"\n", "aa".repeat(64)));
    assert_eq!(bed.read("h/1"), format!("\"0x{}\"\n", "bb".repeat(64)));
    // pread anywhere, past the end, byte by byte.
    let file = File::open(bed.at("h/1")).unwrap();
    let mut two = [0; 2];
    file.read_exact_at(&mut two, 3).unwrap();
    assert_eq!(&two, b"bb");
    assert_eq!(file.read_at(&mut two, 10_000).unwrap(), 0);
    assert_eq!(bed.ok("dd if=mnt/h/1 bs=1 status=none"), bed.read("h/1"));
    assert_eq!(bed.ok("tail -c 3 mnt/h/1"), "b\"\n");
    // The element goes while it is open: what was opened is still read.
    map.delete(&key32(1));
    file.read_exact_at(&mut two, 1).unwrap();
    assert_eq!(&two, b"0x");
}

/// Runs `write` over and over while `h/0` is opened and read 2000 times, and gives what was read.
fn texts_under(bed: &Bed, write: impl Fn() + Sync) -> Vec<String> {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let texts: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                write();
            }
        });
        let texts = (0..2000).map(|_| fs::read_to_string(bed.at("h/0"))).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        texts
    });
    texts.into_iter().map(|text| text.unwrap()).collect()
}

/// Concurrent replacements, as many opens: each text is of one lookup, never of two.
///
/// Without a lock the kernel copies an array's value in pieces of any size (`rep movsb`; a CPU or
/// an emulator may take single bytes), so what one lookup gives can have bytes of both values.
#[test]
fn reads_under_writes_are_of_one_lookup() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Array, 4, 8, 1);
    let short = 7u64.to_ne_bytes();
    let long = 77_777_777_777_777u64.to_ne_bytes();
    let texts = texts_under(&bed, || {
        map.set(&key32(0), &short);
        map.set(&key32(0), &long);
    });
    for text in texts {
        let number = text.strip_suffix('\n').and_then(|digits| digits.parse::<u64>().ok());
        let bytes = number.unwrap_or_else(|| panic!("{text:?}")).to_ne_bytes();
        let of_both = (0..8).all(|at| [0, short[at], long[at]].contains(&bytes[at]));
        assert!(of_both, "{text:?}");
    }
}

/// A value with a lock is read whole: the driver holds the lock (BPF_F_LOCK) as the writer does.
#[test]
fn reads_under_locked_writes_are_whole() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("cat > mnt/h <<'END'
        struct guarded { struct bpf_spin_lock lock; __u32 n[255]; };
        struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32);
                 __type(value, struct guarded); __uint(max_entries, 1); } h SEC(\".maps\");\nEND");
    let map = bed.open("h");
    let value = |n: u32| [&[0; 4][..], &n.to_ne_bytes().repeat(255)].concat();
    let (ones, twos) = (value(1), value(2));
    map.set(&key32(0), &ones);
    let texts = texts_under(&bed, || {
        map.fd.update(&key32(0), &twos, LOCK).unwrap();
        map.fd.update(&key32(0), &ones, LOCK).unwrap();
    });
    let text = |n: &str| format!("{{\"n\":[{}]}}\n", vec![n; 255].join(","));
    let whole = [text("1"), text("2")];
    for text in texts {
        assert!(whole.contains(&text), "{text}");
    }
}

/// A write takes effect in `write(2)` itself …, so that `echo` sees the error.
#[test]
fn echo_sees_the_error() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    bed.fails_with("echo nonsense > mnt/h/7", "write error: Invalid argument");
    bed.fails_with("echo 1e400 > mnt/h/8", "write error");
    // Seen in write(2), and the map is already changed when it returns.
    let mut file = open_with(bed.at("h/7"), CREAT | TRUNC).unwrap();
    file.write_all(b"5\n").unwrap();
    assert_eq!(value(&map, 7), Some(5), "not before close");
    drop(file);
    // A refused text in a new key makes no element, nor does its close.
    refused(write_with(bed.at("h/9"), CREAT | TRUNC, b"nonsense\n"), "EINVAL");
    assert_eq!((value(&map, 7), value(&map, 8), value(&map, 9)), (Some(5), None, None));
}

/// Text that is not yet complete waits for more; if it is still incomplete at `close`, `close`
/// returns EINVAL and nothing has changed. A value is replaced whole or not at all.
#[test]
fn text_in_pieces() {
    require!("root", "bpf", "fuse", "clang", "python3");
    let bed = Bed::new();
    bed.load("maps");
    let out = bed.python(
        r#"
        key = "mnt/hash_stats/1"
        def put(*pieces, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            fd = os.open(key, flags)
            for piece in pieces:
                os.write(fd, piece)
                print(open(key).read().strip() if os.path.exists(key) else "absent")
            print("close:", errno_of(os.close, fd))

        put(b'{"packets"', b':1,', b'"bytes":2}')
        put(b'{"packets":9,')                    # ends early: the value stays
        put(b'{"packets"', b':3,"bytes":4', b'}\n')
        os.remove(key)
        put(b'{"packets":9')                     # ends early: no element
        print(open(key).read() if os.path.exists(key) else "absent")
        "#,
    );
    let one_two = r#"{"packets":1,"bytes":2}"#;
    let expected = [
        "absent",
        "absent",
        one_two,
        "close: None",
        one_two,
        "close: EINVAL",
        one_two,
        one_two,
        r#"{"packets":3,"bytes":4}"#,
        "close: None",
        "absent",
        "close: EINVAL",
        "absent",
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), expected, "left: got, right: expected");
    // Byte by byte, as a slow writer does.
    bed.ok(r#"printf '{"packets":5,"bytes":6}' | dd of=mnt/hash_stats/1 bs=1 status=none"#);
    assert_eq!(bed.read("hash_stats/1"), "{\"packets\":5,\"bytes\":6}\n");
}

/// Two writers of one key with pieces in flight do not mix.
#[test]
fn pieces_belong_to_their_open_file() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    bed.load("maps");
    let open = || open_with(bed.at("hash_stats/1"), CREAT).unwrap();
    let (mut a, mut b) = (open(), open());
    a.write_all(b"{\"packets\":1,").unwrap();
    b.write_all(b"{\"packets\":2,").unwrap();
    a.write_all(b"\"bytes\":10}").unwrap();
    assert_eq!(bed.read("hash_stats/1"), "{\"packets\":1,\"bytes\":10}\n");
    b.write_all(b"\"bytes\":20}").unwrap();
    assert_eq!(bed.read("hash_stats/1"), "{\"packets\":2,\"bytes\":20}\n");
}

/// `mv M/a M/b` answers EXDEV, so that `mv` copies and deletes. Hard links answer EPERM.
#[test]
fn mv_and_ln_of_keys() {
    require!("root", "bpf", "fuse");
    let (bed, map) = bed();
    let other = bed.hash("g");
    refused(fs::rename(bed.at("h/7"), bed.at("h/8")), "EXDEV");
    refused(fs::rename(bed.at("h/7"), bed.at("g/7")), "EXDEV");
    refused(fs::hard_link(bed.at("h/7"), bed.at("h/8")), "EPERM");
    assert_eq!((value(&map, 7), value(&map, 8)), (Some(42), None));
    bed.ok("mv mnt/h/7 mnt/h/8");
    assert_eq!((value(&map, 7), value(&map, 8)), (None, Some(42)));
    bed.ok("mv mnt/h/8 mnt/g/9");
    assert_eq!((value(&map, 8), value(&other, 9)), (None, Some(42)));
    bed.fails_with("ln mnt/g/9 mnt/g/10", "Operation not permitted");
}

/// What a map's directory cannot hold is refused, and the map is as before.
#[test]
fn a_map_holds_keys_only() {
    require!("root", "bpf", "fuse", "mkfifo");
    let (bed, map) = bed();
    for script in ["mkdir mnt/h/8", "mkfifo mnt/h/8", "ln -s x mnt/h/8", "mknod mnt/h/8 c 1 3"] {
        bed.fails(script);
    }
    assert_eq!(map.keys().len(), 1);
    assert_eq!(bed.list("h"), ["7"]);
}

/// chmod of a key cannot be kept, so it must not pretend; its mode stays the pin's.
#[test]
fn the_mode_of_a_key_is_the_pins() {
    require!("root", "bpf", "fuse");
    let (bed, _) = bed();
    bed.run("chmod 777 mnt/h/7");
    assert_eq!(fs::metadata(bed.at("h/7")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(bed.ok("stat -c %a bpf/h"), "600\n");
}

/// Arrays: every index is there, none can be deleted, none is new.
#[test]
fn arrays() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in [Kind::Array, Kind::PercpuArray] {
        let name = kind.name();
        let map = bed.map(name, kind, 4, 8, 4);
        let at = |index: &str| bed.at(&format!("{name}/{index}"));
        assert_eq!(bed.list(name), ["0", "1", "2", "3"]);
        bed.write(&format!("{name}/2"), "5\n");
        assert_eq!(&map.get(&key32(2)).unwrap()[..8], &5u64.to_ne_bytes());
        refused(fs::remove_file(at("2")), "EPERM");
        refused(write_with(at("2"), CREAT | EXCL, b"1\n"), "EEXIST");
        write_with(at("3"), 0, b"1\n").unwrap();
        bed.ok(&format!("touch mnt/{name}/2"));
        assert_eq!(&map.get(&key32(2)).unwrap()[..8], &5u64.to_ne_bytes());
        // Past the end: no such key to read, no such index to write.
        refused(File::open(at("4")), "ENOENT");
        refused(write_with(at("4"), 0, b"1\n"), "ENOENT");
        refused(write_with(at("4"), CREAT, b"1\n"), "EINVAL");
        refused(fs::metadata(at("4")), "ENOENT");
        refused(fs::remove_file(at("4")), "ENOENT");
    }
}

/// Reading and writing through one open file (O_RDWR), as editors and scripts do.
#[test]
fn read_and_write_on_one_descriptor() {
    require!("root", "bpf", "fuse", "python3");
    let (bed, map) = bed();
    let out = bed.python(
        r#"
        with open("mnt/h/7", "r+") as f:
            print(f.read().strip())
            f.seek(0)
            f.write("43\n")
            f.truncate()
        print(open("mnt/h/7").read().strip())
        "#,
    );
    assert_eq!(out, "42\n43\n");
    assert_eq!(value(&map, 7), Some(43));
}

/// Whoever has an element open when it is deleted has a file that was unlinked.
#[test]
fn a_deleted_element_that_is_open_is_an_unlinked_file() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let raw = bed.hash("h");
    raw.set(&key32(1), &7_u64.to_ne_bytes());
    let file = File::open(bed.at("h/1")).unwrap();
    let seen = |file: &File| file.metadata().map(|meta| (meta.len(), meta.nlink())).unwrap();
    assert_eq!(seen(&file), (2, 1));
    raw.delete(&key32(1));
    // What the look-up said of it holds until the kernel's next tick.
    eventually("the open file has no element", || seen(&file) == (1, 0));
    refused(fs::metadata(bed.at("h/1")), "ENOENT");
    raw.set(&key32(1), &70_u64.to_ne_bytes());
    eventually("the open file has its element again", || seen(&file) == (3, 1));
}

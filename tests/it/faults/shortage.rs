//! Something runs out: room in a map, descriptors, memory.

use super::{Base, open_files, resident, start_again};
use crate::common::bed::signal;
use crate::common::require::{partly, require};
use crate::common::{Bed, Kind, key32, refused};
use std::fs;
use std::path::Path;

/// A full map takes nothing more and loses nothing, and `.entries` says at which line it was full.
#[test]
fn a_full_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 5);
    bed.ok("for i in 1 2 3; do echo $i > mnt/h/$i || exit; done");
    let lines: String = (11..=20).map(|n| format!("{{\"key\":{n},\"value\":{n}}}\n")).collect();
    fs::write(bed.dir.join("lines"), format!("\n{{\"key\":2,\"value\":22}}\n{lines}")).unwrap();
    bed.fails_with("cat lines > mnt/h/.entries", "No space left on device");
    let errors = bed.errors();
    let last = errors.iter().rfind(|line| line.contains(".entries")).expect("a line");
    assert!(last.contains("ENOSPC") && last.contains("line 5:"), "{last}");
    assert!(last.contains("3 elements stored"), "{last}");
    assert_eq!(bed.ok("cat mnt/h/1 mnt/h/2 mnt/h/3 mnt/h/11 mnt/h/12"), "1\n22\n3\n11\n12\n");
    assert_eq!(map.keys().len(), 5);
    // The same as in pieces of one byte, and still full for others.
    bed.fails_with("dd bs=1 if=lines of=mnt/h/.entries status=none", "No space left");
    bed.fails_with("echo 4 > mnt/h/4", "No space left on device");
    bed.ok("rm mnt/h/1 && echo 4 > mnt/h/4");
    assert_eq!(map.keys().len(), 5);
}

/// Where descriptors run out while a map's pins, programs and processes are looked for, `.info` says so:
/// none is left out without a word.
#[test]
fn no_descriptors_for_pins() {
    require!("root", "bpf", "fuse", "python3", "bpftool");
    let bed = Bed::new();
    let _held = bed.map("h", Kind::Hash, 4, 8, 5);
    bed.ok("mkdir bpf/d; for i in $(seq 9); do bpftool map pin pinned bpf/h bpf/d/p$i; done");
    let (base, pid) = (Base::of(&bed, "h"), bed.pid());
    let told = bed.python(&format!(
        "
        import json, resource
        def pins():
            with open('mnt/h/.info') as f: info = json.load(f)
            for what in ('pins', 'programs', 'processes'):
                assert (info[what] is None) == (what + '_unknown' in info), info
            assert info['processes'] is None or len(info['processes']) == 1, info
            return info['pins'] and len(info['pins'])
        told = set()
        soft, hard = resource.prlimit({pid}, resource.RLIMIT_NOFILE)
        for files in [*range({files}, {files} + 40)] * 5:
            resource.prlimit({pid}, resource.RLIMIT_NOFILE, (files, hard))
            try: told.add(pins())
            except OSError as e: assert e.errno == errno.EMFILE, e
        resource.prlimit({pid}, resource.RLIMIT_NOFILE, (soft, hard))
        print(sorted(told, key=str), pins())",
        files = base.files
    ));
    assert_eq!(told, "[10, None] 10\n");
}

/// Without descriptors the daemon refuses, says whose shortage it is, and works again when maps are
/// closed. What it cannot open it does not show as something else.
#[test]
fn no_descriptors_left() {
    require!("root", "bpf", "fuse", "python3", "prlimit");
    let bed = Bed::new();
    bed.ok("for i in $(seq 40); do mkdir mnt/m$i; echo $i > mnt/m$i/1; done");
    let base = Base::of(&bed, "m1");
    let pid = bed.pid();
    let hard = bed.ok(&format!("prlimit --pid {pid} --nofile --noheadings -o HARD"));
    let soft = bed.ok(&format!("prlimit --pid {pid} --nofile --noheadings -o SOFT"));
    assert_eq!(soft, hard, "the daemon does not use all that it may");
    let limit = |files: usize| {
        bed.ok(&format!("prlimit --pid {pid} --nofile={files}:{}", hard.trim()));
    };
    // Three for what each thread watches, four for the directories that the kernel keeps, two for the maps.
    let threads = bed.ok(&format!("grep -c ^fuser- /proc/{pid}/task/*/comm | grep -c ':1'"));
    limit(base.files + 3 * threads.trim().parse::<usize>().unwrap() + 6);
    let told = bed.python(
        "
        told, lists = {}, {}
        def read(i):
            with open(f'mnt/m{i}/1') as f: assert f.read() == f'{i}\\n'
        for round in range(3):
            for i in range(1, 41):
                got = errno_of(read, i)
                told[got] = told.get(got, 0) + 1
            def look():
                entries = [e for e in os.scandir('mnt') if e.name[1:].isdigit()]
                assert len(entries) == 40, entries
                assert all(e.is_dir(follow_symlinks=False) for e in entries), entries
            got = errno_of(look)
            lists[got] = lists.get(got, 0) + 1
        print(sorted(map(str, told)), sorted(map(str, lists)))
        ",
    );
    assert!(told.starts_with("['EMFILE', 'None']"), "what readers were told: {told}");
    let lists = told.split_once("] ").unwrap().1.trim();
    assert!(["['EMFILE']", "['EMFILE', 'None']", "['None']"].contains(&lists), "listings: {told}");
    let errors = bed.errors().join("\n");
    assert!(errors.contains("EMFILE: bpffuse itself has too many files open"), "{errors}");
    // Idle maps are closed, and what is left is enough.
    crate::common::eventually("it works again", || bed.run("cat mnt/m40/1").status.success());
    for spare in 0..8 {
        limit(base.files + spare);
        let fresh = format!("m{}", 100 + spare);
        bed.hash(&fresh);
        match fs::symlink_metadata(bed.at(&fresh)) {
            Ok(meta) => assert!(meta.is_dir(), "{fresh} is shown as {meta:?} ({spare} to spare)"),
            error => refused(error, "EMFILE"),
        }
        let list =
            || -> std::io::Result<Vec<std::fs::DirEntry>> { fs::read_dir(&bed.mnt)?.collect() };
        match list() {
            Ok(entries) => {
                let is_map =
                    |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
                let maps = entries.iter().filter(|entry| is_map(entry)).count();
                assert_eq!(maps, 41 + spare, "listed with {spare} descriptors to spare");
            }
            error => refused(error, "EMFILE"),
        }
    }
    bed.ok("rm bpf/m1??");
    limit(4);
    refused(fs::read(bed.at("m3/1")), "EMFILE");
    limit(1000);
    assert_eq!(
        bed.ok("cat mnt/m*/1 | sort -n | tail -n 1; ls -d mnt/m?* | grep -vc debug"),
        "40\n40\n"
    );
    base.is_reached_again(&bed, 16 << 10);
}

/// A value for which there is no memory: ENOMEM, with a reason, and the daemon goes on.
#[test]
fn no_memory_for_a_value() {
    require!("root", "bpf", "fuse", "prlimit");
    const SIZE: u32 = 16 << 20;
    let bed = Bed::new();
    let map = bed.map("big", Kind::Array, 4, SIZE, 1);
    map.set(&key32(0), &vec![7; SIZE as usize]);
    bed.hash("h").set(&key32(1), &[0; 8]);
    let base = Base::of(&bed, "h");
    let pid = bed.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let size = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    let size: u64 = size.split_whitespace().nth(1).unwrap().parse().unwrap();
    let limit = (size + (8 << 10)) * 1024;
    bed.ok(&format!("prlimit --pid {pid} --as={limit}:unlimited"));
    for script in [
        "cat mnt/big/0",
        "cat mnt/big/.raw/00000000",
        "cat mnt/big/.entries",
        "head -n 1 mnt/big/.watch",
        "head -c 16777216 /dev/zero > mnt/big/.raw/00000000",
        "echo 0x00 > mnt/big/0",
        "echo '{\"key\":0,\"value\":\"0x00\"}' > mnt/big/.entries",
    ] {
        bed.fails_with(script, "Cannot allocate memory");
    }
    let errors = bed.errors().join("\n");
    assert!(errors.contains("ENOMEM: bpffuse has no memory for it"), "{errors}");
    assert_eq!(bed.ok("cat mnt/h/1; ls mnt/big; cat mnt/big/.count"), "0\n0\n1\n");
    bed.ok(&format!("prlimit --pid {pid} --as=unlimited:unlimited"));
    let bytes =
        bed.ok("cmp -n 1000 mnt/big/.raw/00000000 <(yes $'\\a' | tr -d '\\n') && echo same");
    assert_eq!(bytes, "same\n", "a refused write had an effect");
    assert_eq!(map.get(&key32(0)), Some(vec![7; SIZE as usize]));
    base.is_reached_again(&bed, 8 << 10);
}

/// However little memory there is for a snapshot of a large map, the daemon lives.
#[test]
fn no_memory_for_a_snapshot() {
    require!("root", "bpf", "fuse", "prlimit");
    let bed = Bed::new();
    bed.map("many", Kind::Array, 4, 8, 750_000);
    bed.hash("h").set(&key32(1), &[0; 8]);
    let _ = Base::of(&bed, "h");
    let pid = bed.pid();
    let mut refused = 0;
    for more in (8..104).step_by(12) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let size = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
        let size: u64 = size.split_whitespace().nth(1).unwrap().parse().unwrap();
        let limit = (size + (more << 10)) * 1024;
        bed.ok(&format!("prlimit --pid {pid} --as={limit}:unlimited"));
        refused += usize::from(!bed.run("head -n 1 mnt/many/.watch").status.success());
        bed.ok(&format!("prlimit --pid {pid} --as=unlimited:unlimited"));
        assert_eq!(bed.ok("cat mnt/h/1"), "0\n", "with {more} MiB more");
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    assert!(refused > 0, "it was never too little");
    bed.ok("head -n 1 mnt/h/.watch");
}

/// A memory control group of its own for a process, removed when it goes.
struct MemoryGroup(std::path::PathBuf);

impl MemoryGroup {
    /// `None` where control groups of memory cannot be made.
    fn new(pid: u32, bytes: u64) -> Option<Self> {
        let (root, file) =
            [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
                .into_iter()
                .find(|(root, _)| {
                    Path::new(root).join("memory.limit_in_bytes").exists()
                        || fs::read_to_string(Path::new(root).join("cgroup.subtree_control"))
                            .is_ok_and(|list| list.contains("memory"))
                })?;
        let group = Self(Path::new(root).join(format!("bpffuse-test-{pid}")));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(file), bytes.to_string()).ok()?;
        fs::write(group.0.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        crate::common::eventually("the control group is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

/// Where a control group's limit leaves less than a value takes, the kernel may kill the daemon: the
/// caller gets an error, the data stays, and a new start works.
#[test]
fn a_memory_limit_that_kills() {
    require!("root", "bpf", "fuse");
    const SIZE: u32 = 16 << 20;
    let mut bed = Bed::new();
    let map = bed.map("big", Kind::Array, 4, SIZE, 1);
    map.set(&key32(0), &vec![7; SIZE as usize]);
    let limit = (resident(&bed) as u64 * 1024) + (12 << 20);
    let Some(group) = MemoryGroup::new(bed.pid(), limit) else {
        return partly("all of it: no control group of memory can be made here");
    };
    let ran = bed.run("cat mnt/big/.raw/00000000 | wc -c; exit ${PIPESTATUS[0]}");
    if ran.status.success() {
        assert_eq!(ran.stdout, format!("{SIZE}\n"));
    } else {
        assert!(!ran.timed_out(), "it hangs: {ran}");
        let told = ["Cannot allocate memory", "not connected", "connection abort"];
        assert!(told.iter().any(|text| ran.stderr.contains(text)), "{ran}");
    }
    if fs::metadata(&bed.mnt).is_err() {
        bed.wait_for_end();
        start_again(&mut bed);
    } else {
        signal("KILL", bed.pid());
        bed.wait_for_end();
        start_again(&mut bed);
    }
    drop(group);
    assert_eq!(map.get(&key32(0)), Some(vec![7; SIZE as usize]));
    assert_eq!(bed.ok("ls -d mnt/b*; cat mnt/big/.count"), "mnt/big\n1\n");
    assert!(open_files(bed.pid()) > 0);
}

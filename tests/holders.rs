//! Who holds a map is found by both ways: over all open files, and process by process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "common/mod.rs"]
mod common;

use bpffuse::kernel::holders::holders;
use bpffuse::sys::info;
use bpffuse::sys::map::{NewMap, create, kind, map_info};
use bpffuse::sys::processes::{Process, Processes, processes};
use common::require::require;
use libbpf_rs::ObjectBuilder;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

fn map() -> (OwnedFd, u32) {
    let new = NewMap {
        map_type: kind::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..NewMap::default()
    };
    let fd = create(&new).expect("a map");
    let id = map_info(fd.as_fd()).expect("a map").id;
    (fd, id)
}

/// The processes that hold any of these maps.
fn of(found: Processes, maps: &[u32]) -> Vec<Process> {
    let holds = |process: &Process| process.maps.iter().any(|map| maps.contains(map));
    found.all.into_iter().filter(holds).collect()
}

/// A process with these descriptors as 0 and 2, that has run `code` and ends with its standard input's.
fn python(map: &OwnedFd, more: &OwnedFd, code: &str) -> Child {
    let code = format!("{code}\nprint('ready', flush=True)\nimport time; time.sleep(1000)");
    let mut child = Command::new("python3")
        .args(["-c", &code])
        .stdin(Stdio::from(map.try_clone().expect("a descriptor")))
        .stderr(Stdio::from(more.try_clone().expect("a descriptor")))
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    child
}

fn end(mut child: Child) {
    child.kill().expect("kill");
    child.wait().expect("the end");
}

#[test]
fn both_ways_find_the_same() {
    require!("root", "bpf", "python3");
    let ((a, a_id), (b, b_id), (_ours, ours)) = (map(), map(), map());
    let one = python(&a, &b, "");
    let two = python(&a, &a, "");
    let comm = "python3".to_owned();
    let mut both = vec![a_id, b_id];
    both.sort_unstable();
    let process = |child: &Child, maps: &[u32]| Process {
        pid: child.id(),
        comm: comm.clone(),
        maps: maps.to_vec(),
        programs: vec![],
    };
    let mut expected = vec![process(&one, &both), process(&two, &[a_id])];
    expected.sort_unstable_by_key(|process| process.pid);
    let ids = [a_id, b_id, ours];
    assert_eq!(of(processes().expect("/proc"), &ids), expected);
    assert_eq!(of(holders().expect("the files"), &ids), expected);
    end(one);
    assert_eq!(of(holders().expect("the files"), &[b_id]), []);
    assert_eq!(of(holders().expect("the files"), &[a_id]), [process(&two, &[a_id])]);
    end(two);
    assert_eq!(of(holders().expect("the files"), &ids), []);
}

/// A file of anybody's that is called as the kernel calls a map's is none.
#[test]
fn names_are_not_believed() {
    require!("root", "bpf", "python3");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("anon_inode:bpf-map");
    std::fs::File::create(&path).expect("a file").write_all(b"map_id:\t1\n").expect("a text");
    let file: OwnedFd = std::fs::File::open(&path).expect("a file").into();
    let child = python(&file, &file, "");
    let holds = |found: Processes| found.all.iter().any(|process| process.pid == child.id());
    let found = [processes(), holders()].map(|found| holds(found.expect("/proc")));
    end(child);
    assert_eq!(found, [false, false]);
}

/// The first descriptor is closed in the table that /proc shows, and open in that of a thread.
#[test]
fn a_threads_own_files_are_found() {
    require!("root", "bpf", "python3");
    let ((a, a_id), (b, _)) = (map(), map());
    let child = python(
        &a,
        &b,
        "
import ctypes, os, threading, time
apart = threading.Event()
def run():
    assert ctypes.CDLL(None).unshare(0x400) == 0
    apart.set()
    time.sleep(1000)
threading.Thread(target=run, daemon=True).start()
apart.wait()
os.close(0)",
    );
    let found = of(holders().expect("the files"), &[a_id]);
    let by_proc = of(processes().expect("/proc"), &[a_id]);
    let pid = child.id();
    end(child);
    let pids = |found: Vec<Process>| found.iter().map(|process| process.pid).collect::<Vec<_>>();
    assert_eq!((pids(found), pids(by_proc)), (vec![pid], vec![pid]));
}

/// The program of a descriptor, and of a link's, is known without a look into /proc: "one user has over 100,000
/// descriptors" only where what else a link holds must be looked up.
#[test]
fn programs_are_told_by_id() {
    require!("root", "bpf", "python3", "clang");
    let object = ObjectBuilder::default()
        .open_file(common::object::compile("links"))
        .and_then(|object| object.load())
        .expect("a program");
    let program = object.progs_mut().next().expect("one");
    let link = program.attach().expect("a link");
    let id = info::prog_info(program.as_fd()).expect("a program").id;
    let [program, link] =
        [program.as_fd(), link.as_fd()].map(|fd| fd.try_clone_to_owned().unwrap());
    // Of a user, whose /proc has it as such: that is what PR_SET_DUMPABLE is for.
    let code = "
import ctypes, os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (18_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for _ in range(17_000): os.dup(WHICH)
os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)";
    let mut by_proc = None;
    for of in ["0", "2"] {
        let children = [(); 6].map(|()| python(&program, &link, &code.replace("WHICH", of)));
        let Processes { all, more } = holders().expect("the files");
        by_proc.get_or_insert_with(|| processes().expect("/proc").more);
        let holds = |child: &Child| {
            all.iter()
                .any(|one| one.pid == child.id() && one.programs == [id] && one.maps.is_empty())
        };
        let all_hold = children.iter().all(holds);
        children.into_iter().for_each(end);
        assert!(all_hold && !more, "by {of}");
    }
    assert_eq!(by_proc, Some(true), "a look into /proc has an end");
}

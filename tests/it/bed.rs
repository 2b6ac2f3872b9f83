//! The tests' own ground: if this fails, the others say nothing.

use crate::common::require::require;
use crate::common::{Bed, Kind, eventually, key32, object};
use std::fs;
use std::io::Read;
use std::panic::catch_unwind;
use std::path::Path;

/// A bed has a bpffs of its own, on which maps live until it goes.
#[test]
fn leaves_nothing_behind() {
    require!("root", "bpf");
    let bed = Bed::idle();
    let map = bed.map("h", Kind::Hash, 4, 8, 10);
    map.set(&key32(7), &[1; 8]);
    assert_eq!(bed.open("h").get(&key32(7)), Some(vec![1; 8]));
    let dir = bed.dir.clone();
    drop(bed);
    assert!(!dir.exists(), "{} is still there", dir.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.to_str().unwrap()), "still mounted:\n{mounts}");
}

/// The same after a panic, with a process of the bed still running.
#[test]
fn leaves_nothing_behind_after_a_panic() {
    require!("root", "bpf");
    let (send, receive) = std::sync::mpsc::channel();
    let outcome = catch_unwind(move || {
        let bed = Bed::idle();
        let child = bed.spawn("sleep 100 & echo $!; wait");
        send.send((bed.dir.clone(), child)).unwrap();
        bed.fails("true");
    });
    assert!(outcome.is_err(), "a command that works must fail `fails`");
    let (dir, mut child) = receive.recv().unwrap();
    let mut sleeper = String::new();
    child.stdout.take().unwrap().read_to_string(&mut sleeper).unwrap();
    let sleeper = format!("/proc/{}", sleeper.trim());
    eventually("the grandchild is gone", || !Path::new(&sleeper).exists());
    assert!(!dir.exists(), "{} is still there", dir.display());
    assert!(!child.wait().unwrap().success(), "the process was not killed");
}

/// A private bed's bpffs and network are seen by its commands only.
#[test]
fn private_namespaces() {
    require!("root", "bpf", "ip", "bpftool");
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf; ip link add v0 type veth peer name v1");
    bed.ok("bpftool map create /sys/fs/bpf/only_here type hash key 4 value 4 entries 4 name h");
    assert_eq!(
        bed.ok("ls /sys/fs/bpf | grep only; ls /sys/class/net; ip -o link show v0 | wc -l")
            .lines()
            .next(),
        Some("only_here")
    );
    assert!(!Path::new("/sys/fs/bpf/only_here").exists(), "the pin is seen outside");
    bed.ok("ip link show v1");
}

/// A command that hangs is killed.
#[test]
fn commands_have_a_limit() {
    require!("root", "bpf");
    let bed = Bed::idle();
    let ran = bed.run_for(1, "sleep 20");
    assert!(ran.timed_out(), "{ran}");
}

/// Every program of tests/bpf compiles: once on this machine, whichever kernel runs it.
#[test]
fn programs_for_the_kernel_compile() {
    require!("clang");
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bpf")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = file.strip_suffix(".bpf.c") {
            assert!(object::compile(name).exists(), "{name}");
        }
    }
}

/// The compiled BPF object's maps are pinned, with their types.
#[test]
fn loads_objects() {
    require!("root", "bpf", "clang", "bpftool");
    let bed = Bed::idle();
    bed.load("maps");
    let shown = bed.ok("bpftool -j map show pinned bpf/hash_stats | jq -c '[.type, .bytes_value]'");
    assert_eq!(shown, "[\"hash\",16]\n");
}

//! `.unpin`: the pin goes, and nothing else does.

use crate::common::require::require;
use crate::common::{Bed, key32};

const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";

/// A map that somebody holds keeps its elements, and can still be reached by its id.
#[test]
fn elements_stay() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    let map = bed.hash("h");
    for n in 0..3 {
        map.set(&key32(n), &u64::from(n).to_ne_bytes());
    }
    let id = bed.ok("jq .id mnt/h/.info");
    bed.fails_with("rmdir mnt/h", "not empty");
    assert!(bed.errors().last().is_some_and(|line| line.contains("echo 1 > MAP/.unpin")));
    bed.fails_with("echo 2 > mnt/h/.unpin", "Invalid argument");
    bed.ok("echo 1 > mnt/h/.unpin");
    assert_eq!(bed.ok("ls -I '*.debug' bpf"), "");
    assert_eq!(map.keys().len(), 3);
    let by_id = format!("mnt/.id/{}", id.trim());
    assert_eq!(bed.ok(&format!("cat {by_id}/2")), "2\n");
    // There it has no pin that could be removed.
    bed.fails_with(&format!("echo 1 > {by_id}/.unpin"), "No such file");
    assert!(!bed.ok(&format!("cat {by_id}/.help")).contains(".unpin"));
}

/// A frozen map, an array and a map without keys are unpinned alike; of two pins one stays.
#[test]
fn every_kind() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    bed.ok("echo array key u32 value u64 entries 4 > mnt/a; echo hash key 4 value 8 entries 4 > mnt/f
        echo 1 > mnt/f/1; echo 1 > mnt/f/.freeze; echo queue value u32 entries 4 > mnt/q; echo 7 > mnt/q/.push
        bpftool map create bpf/r type ringbuf key 0 value 0 entries 65536 name r
        mkdir bpf/d; bpftool map pin pinned bpf/a bpf/d/a");
    bed.ok("for m in a f q r; do echo 1 > mnt/$m/.unpin; done");
    assert_eq!(bed.ok("ls -I '*.debug' bpf bpf/d"), "bpf:\nd\n\nbpf/d:\na\n");
    bed.ok("cat mnt/d/a/0; echo 1 > mnt/d/a/.unpin; rmdir mnt/d");
}

/// It takes what unlink(2) takes: the directory's mode, and in a sticky one the pin's owner.
#[test]
fn with_the_callers_rights() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    for name in ["theirs", "roots", "shut"] {
        bed.hash(name).set(&key32(1), &[0; 8]);
    }
    bed.ok("chmod 666 bpf/*; chown 65534 bpf/theirs; chmod 1777 bpf; mkdir bpf/dir; mv bpf/shut bpf/dir/");
    let unpin = |map: &str| format!("echo 1 | {NOBODY} tee mnt/{map}/.unpin");
    bed.fails_with(&unpin("roots"), "not permitted");
    bed.fails_with(&unpin("dir/shut"), "Permission denied");
    bed.ok(&unpin("theirs"));
    assert_eq!(bed.ok("ls -I '*.debug' bpf bpf/dir"), "bpf:\ndir\nroots\n\nbpf/dir:\nshut\n");
}

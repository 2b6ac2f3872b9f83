//! "An element's mtime and ctime are when its present value was first seen here", so that what compares
//! times notices what changed, and nothing else.

use crate::common::require::require;
use crate::common::{Bed, key32, patience};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// A bed with a map `h` whose element 1 is 42.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
    bed
}

/// Longer than the granularity of times in rsync and make.
fn a_second() {
    sleep(Duration::from_millis(1100));
}

fn changed(bed: &Bed, name: &str) -> SystemTime {
    let meta = fs::metadata(bed.at(name)).unwrap();
    let changed = meta.modified().unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    changed
}

/// The time stays as long as the value, changes with it, whoever changed it, and is that of a write.
#[test]
fn the_time_is_the_values() {
    require!("root", "bpf", "fuse");
    let bed = bed();
    let map = bed.open("h");
    let first = changed(&bed, "h/1");
    assert!(
        first.elapsed().unwrap() < Duration::from_secs(60) * patience(),
        "one never met has now"
    );
    sleep(Duration::from_millis(50));
    assert_eq!(changed(&bed, "h/1"), first);
    bed.ok("cat mnt/h/1; ls -l mnt/h; echo 42 > mnt/h/1; touch mnt/h/1");
    assert_eq!(changed(&bed, "h/1"), first, "the same value was written");
    // By another program, of the same length.
    map.set(&key32(1), &43_u64.to_ne_bytes());
    let second = changed(&bed, "h/1");
    assert!(second > first);
    // By the mount: when it was written, not when it was looked at.
    bed.ok("echo 44 > mnt/h/1");
    let written = SystemTime::now();
    a_second();
    let third = changed(&bed, "h/1");
    assert!(third > second && third <= written, "{third:?} {written:?}");
    // Through a view, and of a control.
    let entries = changed(&bed, "h/.entries");
    sleep(Duration::from_millis(20));
    assert_eq!((changed(&bed, "h/1"), changed(&bed, "h/.entries")), (third, entries));
    map.set(&key32(1), &45_u64.to_ne_bytes());
    assert!(changed(&bed, "h/.entries") > entries && changed(&bed, "h/.raw/01000000") > third);
    // The map's own is its pin's.
    bed.ok("touch -d 2001-01-01 mnt/h; [ $(stat -c %Y mnt/h) = $(date -d 2001-01-01 +%s) ]");
}

/// What comes and goes in the bpffs, or is mounted anywhere, changes no key's time: the kernel forgets names
/// by it.
#[test]
fn what_changes_elsewhere_changes_no_time() {
    require!("root", "bpf", "fuse");
    let bed = bed();
    let map = bed.open("h");
    (2..200).for_each(|n: u32| map.set(&key32(n), &7_u64.to_ne_bytes()));
    let all = || bed.ok("stat -c '%n %y' mnt/h/* mnt/h/.entries");
    // So often that the kernel keeps the directories.
    let before = [(); 5].map(|()| all());
    assert_eq!(before[0], before[4]);
    for change in [
        "mkdir bpf/d",
        "rmdir bpf/d",
        "mkdir m; mount -t tmpfs x m; umount m",
        "mkdir mnt/x; rmdir mnt/x",
    ] {
        bed.ok(change);
        for _ in 0..5 {
            assert_eq!(all(), before[0], "{change}");
            sleep(Duration::from_millis(20));
        }
    }
}

/// `rsync -a` and `cp -au` copy a value that changed from 42 to 43, and nothing that did not.
#[test]
fn copies_follow_changes() {
    require!("root", "bpf", "fuse", "rsync");
    let bed = bed();
    bed.ok(
        "echo 7 > mnt/h/2; rsync -a mnt/h/ r/; cp -a mnt/h c; tar cf t -g snap mnt/h 2> /dev/null",
    );
    assert_eq!(bed.ok("rsync -ai mnt/h/ r/ | grep '^>' || true; cp -auv mnt/h/. c"), "");
    a_second();
    bed.open("h").set(&key32(1), &43_u64.to_ne_bytes());
    assert_eq!(
        bed.ok("rsync -ai mnt/h/ r/ | grep '^>' | wc -l; cp -auv mnt/h/. c | wc -l"),
        "1\n1\n"
    );
    assert_eq!(bed.ok("cat r/1 c/1 r/2 c/2"), "43\n43\n7\n7\n");
    assert_eq!(bed.ok("rsync -ai mnt/h/ r/ | grep '^>' || true; cp -auv mnt/h/. c"), "");
}

/// git sees a change of the same length by the time alone.
#[test]
fn git_sees_changes() {
    require!("root", "bpf", "fuse", "git");
    let bed = bed();
    bed.ok("git init -q repo; git --git-dir=repo/.git --work-tree=mnt/h add -A");
    a_second();
    let g = "git --git-dir=repo/.git --work-tree=mnt/h";
    assert_eq!(bed.ok(&format!("{g} status -s")), "A  1\n");
    bed.open("h").set(&key32(1), &43_u64.to_ne_bytes());
    assert_eq!(bed.ok(&format!("{g} status -s")), "AM 1\n");
}

/// make builds what depends on a value when that has changed, without a word about clocks.
#[test]
fn make_builds_what_changed() {
    require!("root", "bpf", "fuse");
    let bed = bed();
    bed.ok("command -v make > /dev/null || exit 0
        printf 'out: mnt/h/1\\n\\tcat $< > $@\\n' > Makefile");
    if bed.run("make").stderr.contains("not found") {
        return;
    }
    assert!(bed.ok("make 2>&1").contains("up to date"));
    sleep(Duration::from_millis(50));
    bed.open("h").set(&key32(1), &43_u64.to_ne_bytes());
    assert_eq!(bed.ok("make 2>&1; cat out"), "cat mnt/h/1 > out\n43\n");
    assert!(bed.ok("make 2>&1").contains("up to date"));
}

/// An editor is not told of a change that was none: vim writes twice, the value being what it wrote.
#[test]
fn an_editor_does_not_complain() {
    require!("root", "bpf", "fuse", "vim");
    let bed = bed();
    let vim = "vim -es -u NONE -i NONE -n -c 'set nobackup nowritebackup autoread'";
    bed.ok(&format!("{vim} -c '%s/42/77/' -c w -c 'sleep 1200m' -c 'checktime' -c '%s/77/78/' -c w -c q mnt/h/1 < /dev/null > said 2>&1"));
    assert_eq!(bed.read("h/1"), "78\n");
    assert_eq!(bed.ok("grep -i changed said || true"), "");
}

/// Who may write a value and not read it learns nothing of it by its times.
#[test]
fn times_tell_writers_nothing() {
    require!("root", "bpf", "fuse");
    let bed = bed();
    bed.ok("chmod 602 bpf/h");
    let first = changed(&bed, "h/1");
    sleep(Duration::from_millis(20));
    assert!(changed(&bed, "h/1") > first, "now, each time");
}

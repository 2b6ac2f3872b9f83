//! What is mounted below the bpffs, or over it: another bpffs is shown, anything else is not entered.
//! A walk into our own mount would have the daemon wait for itself.

use crate::common::require::require;
use crate::common::{Bed, key32};

/// Refuses `script` within seconds, with `message`.
#[track_caller]
fn refused(bed: &Bed, script: &str, message: &str) {
    let ran = bed.run_for(5, script);
    assert!(!ran.timed_out(), "it hangs: {script}");
    let text = ran.fails();
    assert!(text.contains(message), "{script}: {text}");
}

/// No input, file name, map or concurrent change may crash or hang the daemon.
#[test]
fn mounts_below_are_not_entered() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[1; 8]);
    bed.hash("covered");
    bed.ok("mkdir bpf/sub bpf/d bpf/d/tmp; touch file
        mount --bind mnt bpf/sub; mount -t tmpfs tmpfs bpf/d/tmp; mkdir bpf/d/tmp/in
        mount --bind mnt/h/1 bpf/covered");
    for _ in 0..20 {
        // Often enough to be watched.
        refused(&bed, "ls mnt/sub", "No such file");
        refused(&bed, "ls mnt/sub/sub/sub", "No such file");
    }
    for script in [
        "cat mnt/sub/h/1",
        "stat mnt/covered",
        "ls mnt/d/tmp/in",
        "echo 7 > mnt/sub/sub/h/1",
        "mv mnt/sub mnt/other",
        "chmod 700 mnt/sub",
        "echo 'hash_of_maps key u32 entries 4 inner_map sub/sub/h' > mnt/new",
    ] {
        refused(&bed, script, "No such file");
    }
    assert_eq!(bed.list("d"), [] as [&str; 0]);
    let listed = bed.list("");
    let listed: Vec<_> = listed.iter().filter(|name| !name.ends_with(".debug")).collect();
    assert_eq!(listed, ["d", "h"]);
    assert_eq!(bed.ok("find mnt -name 1; jq .pins[] mnt/h/.info | wc -l"), "mnt/h/1\n1\n");
    bed.ok("umount bpf/sub bpf/covered bpf/d/tmp; ls mnt/sub mnt/covered mnt/d/tmp");
    assert_eq!(bed.list("d"), ["tmp"]);
}

/// The mount bound over its own bpffs.
#[test]
fn a_mount_over_it_is_not_entered() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[1; 8]);
    for mount in ["mount --bind mnt bpf", "mount -t tmpfs tmpfs bpf"] {
        bed.ok("cat mnt/h/1; ls mnt");
        bed.ok(mount);
        for _ in 0..3 {
            refused(&bed, "ls mnt", "No such device");
            refused(&bed, "cat mnt/h/1", "No such");
        }
        bed.ok("umount bpf; cat mnt/h/1");
    }
}

/// Another bpffs is, with what is mounted in it, and its listing has the right inode numbers.
#[test]
fn a_bpffs_below_is_shown() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("mkdir bpf/in; mount -t bpf bpf bpf/in; mkdir bpf/in/d bpf/in/d/e bpf/in/self
        mount -t bpf bpf bpf/in/d/e; mount --bind mnt bpf/in/self");
    bed.hash("in/d/e/h").set(&key32(1), &7_u64.to_ne_bytes());
    for _ in 0..20 {
        assert_eq!(bed.read("in/d/e/h/1"), "7\n");
    }
    bed.ok("echo 8 > mnt/in/d/e/h/1; mv mnt/in/d/e/h mnt/in/d/e/k; chmod 700 mnt/in/d");
    let found = bed.ok("find mnt/in ! -name '*.debug' | sort | tr '\\n' ' '");
    assert_eq!(found, "mnt/in mnt/in/d mnt/in/d/e mnt/in/d/e/k mnt/in/d/e/k/1 ");
    assert_eq!(
        bed.ok("jq -r .pins[] mnt/in/d/e/k/.info"),
        format!("{}\n", bed.shown("bpf/in/d/e/k"))
    );
    assert_eq!(bed.ok("ls -i mnt | grep in$ | sed 's,^ *,,'"), bed.ok("stat -c '%i in' mnt/in"));
    bed.ok("umount bpf/in/d/e; ls mnt/in/d/e");
}

/// What is mounted in a bpffs and is none is not entered: the daemon would wait for itself in its own
/// mount. Another bpffs is; and what was covered is there again once it is not.
#[test]
fn one_thread_does_not_wait_for_itself() {
    require!("root", "bpf", "fuse", "jq", "find");
    for threads in ["1", "4"] {
        let mut bed = Bed::idle();
        bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
        bed.ok("mkdir -p bpf/own/below bpf/tmpfs bpf/nested; bpftool map pin pinned bpf/h bpf/own/below/g
                mount -t tmpfs tmpfs bpf/tmpfs; echo x > bpf/tmpfs/file; mount -t bpf bpf bpf/nested
                mkdir bpf/nested/d; bpftool map pin pinned bpf/h bpf/nested/d/n");
        bed.start(&["--threads", threads]);
        bed.ok("mount --bind mnt bpf/own");
        let shown = "find mnt -mindepth 1 -not -name '*.debug' | sort | sed s/mnt.//";
        let script = format!(
            "{shown}; for i in $(seq 30); do ls mnt/own mnt/own/own/own mnt/tmpfs/file; done 2>&1 | sort -u
             jq -r '.pins[]' mnt/h/.info | sed \"s|$PWD/bpf/||\""
        );
        let ran = bed.run_for(20, &script);
        assert!(!ran.timed_out(), "{ran}");
        let none =
            |path: &str| format!("ls: cannot access 'mnt/{path}': No such file or directory\n");
        let expected = [
            "h\nh/1\nnested\nnested/d\nnested/d/n\nnested/d/n/1\n".to_owned(),
            none("own"),
            none("own/own/own"),
            none("tmpfs/file"),
            "h\nnested/d/n\n".to_owned(),
        ];
        assert_eq!(ran.stdout, expected.concat(), "{ran}");
        refused(&bed, "rmdir mnt/nested", "Device or resource busy");
        bed.ok("umount bpf/own bpf/tmpfs bpf/nested");
        assert_eq!(bed.read("own/below/g/1"), "42\n");
        // Over the whole bpffs.
        bed.ok("mount --bind mnt bpf");
        let ran = bed.run_for(
            20,
            "for i in $(seq 30); do ls mnt mnt/h; cat mnt/h/1; stat mnt; done 2>&1 | sort -u",
        );
        assert!(!ran.timed_out() && ran.stdout.contains("No such device"), "{ran}");
        bed.ok("umount bpf; cat mnt/h/1");
    }
}

/// What was shown can be unmounted at once, whatever has just changed in it: nobody looks at it unasked.
#[test]
fn what_is_shown_can_be_unmounted() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("mkdir bpf/in");
    for _ in 0..40 {
        bed.ok("mount -t bpf bpf bpf/in; for d in a b c d e f g h; do
                    mkdir -p bpf/in/$d/x; for i in 1 2 3 4 5; do ls mnt/in/$d/x; done
                done");
        bed.ok("rmdir bpf/in/*/x; umount bpf/in");
    }
}

/// A mount point that is a bpffs or lies in one is refused, and if the two arguments look swapped the
/// message says so.
#[test]
fn not_over_a_bpffs() {
    require!("root", "bpf", "fuse");
    let bed = Bed::idle();
    bed.ok("mkdir bpf/in other; mount -t bpf bpf other; mkdir other/in");
    for (arguments, reason) in [
        ("mnt bpf", "swap the two: bpffuse"),
        ("bpf other", "would hide"),
        ("bpf bpf", "would hide"),
        ("bpf bpf/in", "inside a bpffs"),
        ("bpf other/in", "inside a bpffs"),
    ] {
        let stderr = bed.fails(&format!("bpffuse {arguments}"));
        assert!(stderr.contains(reason), "{arguments}: {stderr}");
    }
    assert_eq!(bed.ok("grep -c \" $PWD\" /proc/self/mounts"), "2\n");
}

/// What is taken by reading is not taken through a read-only bind mount, which is how one hands the mount
/// to a container; where only writable ones are seen, it is.
#[test]
fn read_only_bind_mounts_take_nothing() {
    require!("root", "bpf", "fuse", "unshare");
    let bed = Bed::new();
    bed.ok("echo hash key u32 value u64 entries 4 > mnt/h; echo 7 > mnt/h/1; echo queue value u32 entries 4 > mnt/q
            echo 5 > mnt/q/.push; echo ringbuf entries 4096 > mnt/r; mkdir bound");
    let inside = |script: &str| {
        format!(
            "unshare -m sh -ec 'mount --bind mnt bound; mount -o remount,bind,ro bound; umount mnt; {script}'"
        )
    };
    for file in ["h/.pop/1", "q/.pop", "r/.stream"] {
        bed.fails_with(&inside(&format!("cat bound/{file}")), "Read-only file system");
    }
    // One of two is: which it was, nobody tells.
    bed.ok("mount --bind mnt bound; mount -o remount,bind,ro bound");
    bed.fails_with("cat mnt/q/.pop", "Read-only file system");
    bed.ok("umount bound");
    assert_eq!(bed.ok("cat mnt/h/.pop/1 mnt/q/.pop"), "7\n5\n");
}

/// A start at a terminal says how many maps are pinned, wherever in the bpffs, and follows no symlink.
#[test]
fn a_start_at_a_terminal_counts_pins() {
    require!("root", "bpf", "fuse", "python3", "bpftool");
    let bed = Bed::idle();
    bed.hash("h");
    bed.hash("other");
    bed.ok(
        "mkdir -p bpf/d/e outside; mount -t bpf bpf outside; mkdir bpf/in; mount -t bpf bpf bpf/in
            bpftool map pin pinned bpf/h bpf/d/e/same; ln -s ../outside bpf/link",
    );
    bed.hash("d/e/third");
    bed.hash("in/fourth");
    bed.ok("bpftool map create outside/far type array key 4 value 4 entries 1 name far");
    let said = bed.python(
        r#"
        import pty
        assert pty.spawn(["bpffuse", "bpf", "mnt"]) == 0
        "#,
    );
    assert!(said.contains("mnt: 4 pinned of "), "{said}");
    bed.ok("umount mnt outside bpf/in");
}

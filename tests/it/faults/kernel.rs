//! What the daemon shows goes away under it: bpffs, a directory, a pin, a link, a program.

use super::Base;
use crate::common::errno::open_with;
use crate::common::require::require;
use crate::common::{Bed, eventually, key32, object, refused};
use crate::kinds_common::Cgroup;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

fn text(mut file: &File) -> std::io::Result<String> {
    let mut text = String::new();
    file.read_to_string(&mut text).map(|_| text)
}

/// Bpffs unmounted under it: operations fail at once and clearly, what was read stays readable, and
/// a bpffs mounted anew is shown.
#[test]
fn bpffs_unmounted() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    for umount in ["umount bpf", "umount -l bpf"] {
        let map = bed.hash("h");
        map.set(&key32(1), &7_u64.to_ne_bytes());
        bed.ok("mkdir bpf/d");
        let base = Base::of(&bed, "h");
        let read = File::open(bed.at("h/1")).unwrap();
        let mut write = open_with(bed.at("h/1"), libc::O_CREAT).unwrap();
        let mut entries = open_with(bed.at("h/.entries"), 0).unwrap();
        let dir = File::open(bed.at("h")).unwrap();
        bed.ok(umount);
        assert_eq!(text(&read).unwrap(), "7\n", "it was read when it was opened");
        refused(write.write(b"8\n"), "ENOENT");
        refused(entries.write(b"{\"key\":1,\"value\":8}\n"), "ENOENT");
        let listed = fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        assert!(listed.is_err() || listed.unwrap().any(|entry| entry.is_err()), "it lists a ghost");
        for script in
            ["ls mnt", "ls mnt/h", "cat mnt/h/1", "echo 1 > mnt/h/1", "mkdir mnt/x", "rmdir mnt/d"]
        {
            let stderr = bed.run_for(5, script).fails();
            assert!(
                stderr.contains("No such device") || stderr.contains("No such file"),
                "{script}: {stderr}"
            );
        }
        assert_eq!(map.get(&key32(1)), Some(7_u64.to_ne_bytes().to_vec()));
        bed.ok("mount -t bpf bpf bpf");
        // The old pins went with their bpffs; the new one is shown.
        assert_eq!(bed.ok("ls -d mnt/h || mkdir mnt/h; echo 3 > mnt/h/1; cat mnt/h/1"), "3\n");
        refused(write.write(b"8\n"), "ENOENT");
        assert_eq!(bed.read("h/1"), "3\n", "a file of the old map wrote to the new one");
        drop((read, write, entries, dir));
        bed.ok("rm mnt/h/1; rmdir mnt/h");
        base.is_reached_again(&bed, 16 << 10);
    }
}

/// The pin's directory removed, and another map pinned at the same path.
#[test]
fn directory_removed() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let base = {
        bed.hash("base");
        Base::of(&bed, "base")
    };
    bed.ok("mkdir -p bpf/d/e");
    let old = bed.hash("d/e/h");
    old.set(&key32(1), &7_u64.to_ne_bytes());
    let mut write = open_with(bed.at("d/e/h/1"), libc::O_CREAT).unwrap();
    let mut new_key = open_with(bed.at("d/e/h/2"), libc::O_CREAT).unwrap();
    let mut clear = open_with(bed.at("d/e/h/.clear"), 0).unwrap();
    let inside = bed.spawn(
        "cd mnt/d/e/h && touch ../../../../ready
         while [ ! -e \"$BPFFUSE_TEST_BED/go\" ]; do sleep 0.02; done
         exec 2>&1; ls; cat 1; echo 5 > 3; rm 1; ls ..",
    );
    eventually("the shell is inside", || bed.dir.join("ready").exists());
    bed.ok("rm -r bpf/d; mkdir -p bpf/d/e");
    let new = bed.hash("d/e/h");
    new.set(&key32(1), &9_u64.to_ne_bytes());
    for file in [&mut write, &mut new_key] {
        refused(file.write(b"8\n"), "ENOENT");
    }
    refused(clear.write(b"1\n"), "ENOENT");
    drop((write, new_key, clear));
    fs::write(bed.dir.join("go"), "").unwrap();
    let told = inside.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    // The kernel has no way to walk anew from there.
    let ends = ["No such file or directory", "Stale file handle"];
    let refusals = told.lines().filter(|line| ends.iter().any(|end| line.ends_with(end))).count();
    assert_eq!((refusals, told.lines().count()), (5, 5), "{told}");
    assert_eq!(new.get(&key32(1)), Some(9_u64.to_ne_bytes().to_vec()));
    assert_eq!(new.keys().len(), 1);
    assert_eq!(old.get(&key32(1)), Some(7_u64.to_ne_bytes().to_vec()));
    assert_eq!(old.keys().len(), 1);
    assert_eq!(bed.ok("cat mnt/d/e/h/1"), "9\n");
    base.is_reached_again(&bed, 8 << 10);
}

/// A map unpinned while open: files that are open say so, and do not keep the map alive.
#[test]
fn unpinned_while_open() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&["--watch-interval", "50ms"]);
    let map = bed.hash("h");
    map.fill32(1000, &[1; 8]);
    bed.hash("other");
    let base = Base::of(&bed, "other");
    let names = ["h/1", "h/.entries", "h/.raw/01000000", "h/.info", "h/.watch", "h/.help"];
    let mut open: Vec<File> = names.iter().map(|name| File::open(bed.at(name)).unwrap()).collect();
    let mut one = [0; 1];
    for file in &mut open {
        assert_eq!(file.read(&mut one).unwrap(), 1);
    }
    let mut writers: Vec<File> = ["h/1", "h/.entries", "h/.freeze", "h/.raw/02000000"]
        .iter()
        .map(|name| open_with(bed.at(name), 0).unwrap())
        .collect();
    let id = map.info.id;
    drop(map);
    bed.ok("rm bpf/h");
    eventually("the map is freed", || {
        bpffuse::sys::object::map_by_id(id).is_err_and(|error| error.errno == libc::ENOENT)
    });
    for (file, name) in open.iter().zip(names) {
        match text(file) {
            // Rendered at open, or the end of a stream.
            Ok(_) => {}
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{name}"),
        }
    }
    for file in &mut writers {
        refused(file.write(b"1\n"), "ENOENT");
    }
    drop((open, writers));
    base.is_reached_again(&bed, 8 << 10);
}

/// A program unloaded while its file is open, and an iterator's link unpinned in mid-read.
#[test]
fn programs_and_iterators_unpinned_while_open() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    bed.hash("h");
    let base = Base::of(&bed, "h");
    let links = object::compile("links");
    bed.ok(&format!("bpftool prog load {} bpf/prog", links.display()));
    bed.ok(&format!("bpftool iter pin {} bpf/tasks", object::compile("objects").display()));
    let prog = File::open(bed.at("prog")).unwrap();
    let mut tasks = File::open(bed.at("tasks")).unwrap();
    let mut some = [0; 10];
    tasks.read_exact(&mut some).unwrap();
    bed.ok("rm bpf/prog bpf/tasks");
    assert!(text(&prog).unwrap().ends_with("}\n"));
    assert!(text(&tasks).unwrap().contains("task "), "the iterator goes on");
    for name in ["prog", "tasks"] {
        refused(fs::read(bed.at(name)), "ENOENT");
    }
    drop((prog, tasks));
    base.is_reached_again(&bed, 8 << 10);
}

/// A link detached, by hand or with its control group: its file goes on to say what is known.
#[test]
fn a_link_detached() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "jq");
    let bed = Bed::new();
    let opened = libbpf_rs::ObjectBuilder::default().open_file(object::compile("cgroup")).unwrap();
    let loaded = opened.load().expect("the kernel takes it");
    let prog = loaded.progs_mut().next().expect("a program");
    for detach in ["bpftool link detach pinned bpf/link", "rmdir \"$GROUP\""] {
        let group = Cgroup::new(&bed);
        let dir = File::open(&group.0).unwrap();
        let link = prog.attach_cgroup(dir.as_raw_fd()).and_then(|mut link| {
            link.pin(bed.pin("link"))?;
            Ok(link)
        });
        drop(link.expect("attached"));
        drop(dir);
        let before = bed.ok("jq -c '[.id, .type]' mnt/link; jq .cgroup_id mnt/link");
        let held = File::open(bed.at("link"));
        bed.ok(&detach.replace("$GROUP", &group.0.display().to_string()));
        let after = bed.ok("jq -c '[.id, .type]' mnt/link; jq .cgroup_id mnt/link");
        let ((before, attached), (after, left)) =
            (before.split_once('\n').unwrap(), after.split_once('\n').unwrap());
        assert!(before.contains("\"cgroup\""), "{before}");
        assert_eq!(after, before, "{detach}");
        assert_ne!(attached.trim(), "0");
        assert_eq!(left.trim(), "0", "{detach}: the kernel says 0 when it is detached");
        assert!(text(&held.unwrap()).unwrap().contains("cgroup"));
        bed.ok("rm mnt/link; ! test -e bpf/link");
    }
}

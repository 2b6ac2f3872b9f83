//! Nothing is shown that is no longer so, not even for a moment.
//!
//! What the driver asks for often it remembers until the kernel says that something has changed, so
//! each test first asks often, and looks again at once after the change.

use crate::common::require::require;
use crate::common::{Bed, eventually, key32};
use std::fs::{self, Permissions};
use std::io::Error;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Reads so often that every thread of the driver has seen the path.
fn read_often(path: &Path) -> String {
    let mut text = String::new();
    for _ in 0..200 {
        text = fs::read_to_string(path).unwrap();
    }
    text
}

fn errno(outcome: std::io::Result<impl Sized>) -> Option<i32> {
    outcome.err().as_ref().and_then(Error::raw_os_error)
}

/// A map with element 1, and the path by which the mount shows it.
fn element(bed: &Bed, pin: &str, value: u64) -> std::path::PathBuf {
    bed.hash(pin).set(&key32(1), &value.to_ne_bytes());
    bed.at(&format!("{pin}/1"))
}

/// Both with one thread, which surely remembers, and with several, of which one learns of a change
/// by itself.
fn beds() -> [Bed; 2] {
    [Bed::with(&["--threads", "1"]), Bed::new()]
}

/// A pin that was removed, or replaced by another map's, many times in a row.
#[test]
fn removed_and_replaced_pins() {
    require!("root", "bpf", "fuse");
    for bed in beds() {
        let shown = element(&bed, "h", 0);
        for n in 1..20 {
            assert_eq!(read_often(&shown), format!("{}\n", n - 1));
            element(&bed, "next", n);
            fs::rename(bed.pin("next"), bed.pin("h")).unwrap();
            assert_eq!(fs::read_to_string(&shown).unwrap(), format!("{n}\n"));
        }
        fs::remove_file(bed.pin("h")).unwrap();
        assert_eq!(errno(fs::read(&shown)), Some(libc::ENOENT));
        // The kernel keeps the directory until it is told.
        eventually("the map's directory is gone", || {
            errno(fs::metadata(bed.at("h"))) == Some(libc::ENOENT)
        });
        element(&bed, "h", 7);
        assert_eq!(fs::read_to_string(&shown).unwrap(), "7\n");
    }
}

/// Through a directory that was entered before: no look-up of the map's name comes first.
#[test]
fn removed_under_an_open_directory() {
    require!("root", "bpf", "fuse", "python3");
    for bed in beds() {
        element(&bed, "h", 1);
        bed.python(
            "
            import os
            d = os.open('mnt/h', os.O_RDONLY)
            for _ in range(200):
                os.stat('1', dir_fd=d)
            os.unlink('bpf/h')
            try:
                os.stat('1', dir_fd=d)
                raise SystemExit('still there')
            except FileNotFoundError:
                pass
            ",
        );
    }
}

/// Mode, owner and times, also when they are changed through a hard link in another directory.
#[test]
fn changed_attributes() {
    require!("root", "bpf", "fuse");
    for bed in beds() {
        let shown = element(&bed, "h", 1);
        fs::create_dir(bed.pin("d")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let chmod = |name: &str, mode| {
            fs::set_permissions(bed.pin(name), Permissions::from_mode(mode)).unwrap();
        };
        for bits in [0o640, 0o600, 0o644, 0o600] {
            read_often(&shown);
            chmod("h", bits);
            assert_eq!(mode(&shown), bits);
        }
        fs::hard_link(bed.pin("h"), bed.pin("d/link")).unwrap();
        for bits in [0o640, 0o600] {
            read_often(&shown);
            chmod("d/link", bits);
            assert_eq!(mode(&shown), bits);
        }
        read_often(&shown);
        chown(bed.pin("h"), Some(7), Some(8)).unwrap();
        let meta = fs::metadata(&shown).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (7, 8));
        // The root, which no look-up precedes: a new pin changes its time. The kernel keeps directories'
        // attributes until it is told.
        for n in 0..3 {
            for _ in 0..100 {
                fs::metadata(bed.at("")).unwrap();
            }
            element(&bed, &format!("new{n}"), 0);
            let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
            eventually("the root has its time", || time(&bed.at("")) == time(&bed.pin("")));
        }
    }
}

/// A directory above was renamed, or became a symlink to where it is now.
#[test]
fn renamed_directories() {
    require!("root", "bpf", "fuse");
    for bed in beds() {
        bed.ok("mkdir -p bpf/a/b");
        let shown = element(&bed, "a/b/h", 1);
        read_often(&shown);
        fs::rename(bed.pin("a"), bed.pin("c")).unwrap();
        assert_eq!(errno(fs::read(&shown)), Some(libc::ENOENT));
        assert_eq!(read_often(&bed.at("c/b/h/1")), "1\n");
        std::os::unix::fs::symlink("c", bed.pin("a")).unwrap();
        assert_eq!(read_often(&shown), "1\n");
        element(&bed, "c/b/next", 2);
        fs::rename(bed.pin("c/b/next"), bed.pin("c/b/h")).unwrap();
        assert_eq!(fs::read_to_string(&shown).unwrap(), "2\n");
    }
}

/// Something was mounted over the bpffs, and unmounted again; then the bpffs itself.
#[test]
fn mounts_over_and_under() {
    require!("root", "bpf", "fuse");
    for bed in beds() {
        let shown = element(&bed, "h", 1);
        read_often(&shown);
        bed.ok("mount -t tmpfs none bpf");
        assert!(errno(fs::read(&shown)).is_some(), "what is under a mount is not there");
        bed.ok("umount bpf");
        assert_eq!(read_often(&shown), "1\n");
        bed.ok("umount bpf");
        assert!(errno(fs::read(&shown)).is_some(), "no bpffs, no map");
    }
}

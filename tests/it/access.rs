//! Access, its basics: whose the mount is, and what `allow_other` opens.

use crate::common::require::require;
use crate::common::{Bed, RawMap, key32};

/// Runs what follows as a user without rights.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";

/// A bed with `allow_other`, whose map `open` others may read, and `closed` nobody but its owner.
fn shared() -> (Bed, RawMap) {
    let bed = Bed::with(&["-o", "allow_other"]);
    let map = bed.hash("open");
    map.set(&key32(1), &42u64.to_ne_bytes());
    bed.hash("closed").set(&key32(1), &[0; 8]);
    bed.ok("chmod o+r bpf/open");
    (bed, map)
}

/// The mount is its owner's alone by default.
#[test]
fn closed_to_others_by_default() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("chmod 666 bpf/h");
    for command in ["ls mnt", "cat mnt/h/1", "stat mnt/h", "cat mnt/.errors"] {
        bed.fails_with(&format!("{NOBODY} {command}"), "Permission denied");
    }
}

/// `chmod o+r /sys/fs/bpf/M` lets an unprivileged user read that map without CAP_BPF …
#[test]
fn o_r_lets_others_read() {
    require!("root", "bpf", "fuse", "setpriv");
    let (bed, _map) = shared();
    assert_eq!(bed.ok(&format!("{NOBODY} cat mnt/open/1")), "42\n");
    assert_eq!(bed.ok(&format!("{NOBODY} ls mnt/open")), "1\n");
    bed.ok(&format!("{NOBODY} stat mnt/open/1; {NOBODY} cat mnt/open/.info mnt/open/.help"));
    bed.ok(&format!("{NOBODY} od mnt/open/.raw/01000000"));
    // A key that is not there is ENOENT to a reader too.
    bed.fails_with(&format!("{NOBODY} cat mnt/open/2"), "No such file");
}

/// "… and nothing else."
#[test]
fn o_r_lets_others_do_nothing_else() {
    require!("root", "bpf", "fuse", "setpriv");
    let (bed, map) = shared();
    let denied = [
        "cat mnt/closed/1",
        "ls mnt/closed",
        "cat mnt/closed/.info",
        "od mnt/closed/.raw/01000000",
        "cat mnt/.errors",
        "ls mnt/.id",
    ];
    for command in denied {
        let text = bed.fails(&format!("{NOBODY} {command}"));
        assert!(text.contains("Permission denied") || command.contains(".id"), "{command}: {text}");
    }
    let denied = [
        "echo 5 > mnt/open/1",
        "echo 5 > mnt/open/2",
        "touch mnt/open/2",
        "rm -f mnt/open/1",
        "printf 12345678 > mnt/open/.raw/01000000",
        "echo 5 | dd of=mnt/open/1 conv=nocreat",
    ];
    for script in denied {
        bed.fails_with(&format!("{NOBODY} bash -c '{script}'"), "Permission denied");
    }
    for script in [
        "chmod 777 mnt/open",
        "chown 65534 mnt/open",
        "rmdir mnt/open",
        "rmdir mnt/closed",
        "mv mnt/open mnt/other",
        "mv mnt/closed mnt/other",
        "rm -rf mnt/open",
        "touch -d yesterday mnt/open",
    ] {
        bed.fails(&format!("{NOBODY} {script}"));
    }
    assert_eq!(map.get(&key32(1)), Some(42u64.to_ne_bytes().to_vec()));
    assert_eq!(map.keys().len(), 1);
    assert_eq!(bed.ok("stat -c '%a %u' bpf/open bpf/closed"), "604 0\n600 0\n");
}

/// w without r, r and w: what BPF_OBJ_GET would give for the same mode, for owner, group and other.
#[test]
fn the_modes_of_the_pin_decide() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let map = bed.hash("h");
    let users = [
        ("owner", "setpriv --reuid=1111 --regid=3333 --clear-groups --", 6),
        ("group", "setpriv --reuid=2222 --regid=1234 --clear-groups --", 3),
        ("other", "setpriv --reuid=2222 --regid=3333 --clear-groups --", 0),
    ];
    bed.ok("chown 1111:1234 bpf/h");
    for (who, user, shift) in users {
        for (mode, reads, writes) in
            [(0o6, true, true), (0o4, true, false), (0o2, false, true), (0o0, false, false)]
        {
            // The others have what this one lacks, so that the right bits are asked.
            let pin = (0o666 & !(0o7 << shift)) | (mode << shift);
            bed.ok(&format!("chmod {pin:o} bpf/h"));
            map.set(&key32(1), &[0; 8]);
            map.set(&key32(3), &[0; 8]);
            let does = |script: &str| {
                let script = script.replace('M', "mnt/h");
                bed.run(&format!("{user} bash -c '{script}' > out 2> err")).status.success()
            };
            let got = (
                does("cat M/1"),
                does("ls M"),
                does("echo 5 > M/1"),
                does("echo 6 > M/2"),
                does("rm -f M/3") && map.get(&key32(3)).is_none(),
            );
            assert_eq!(
                got,
                (reads, reads, writes, writes, writes),
                "{who} of a pin with mode {pin:o}: (cat, ls, echo, new key, rm)"
            );
            let _ = map.fd.delete(&key32(2));
        }
    }
}

/// Creating maps … is the mount owner's alone, EPERM for others whatever the modes say (bpffs's root
/// is 1777).
#[test]
fn mkdir_by_others_is_eperm() {
    require!("root", "bpf", "fuse", "setpriv");
    let (bed, _map) = shared();
    assert_eq!(bed.ok("stat -c %a bpf"), "1777\n");
    bed.ok("mkdir -m 777 bpf/d");
    for script in ["mkdir mnt/new", "mkdir mnt/d/new"] {
        bed.fails_with(&format!("{NOBODY} {script}"), "Operation not permitted");
    }
    bed.fails(&format!("{NOBODY} bash -c 'echo type hash key 4 value 4 entries 4 > mnt/new'"));
    bed.fails(&format!("{NOBODY} ln -s open mnt/new"));
    assert_eq!(bed.ok("ls bpf | grep -c new || true; ls -A bpf/d"), "0\n");
}

/// The size of a value's text says something of the value: who may only write learns none, nor the
/// size that somebody else was told a moment ago.
#[test]
fn sizes_tell_writers_nothing() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let map = bed.hash("h");
    map.set(&key32(1), &1234_u64.to_ne_bytes());
    let user = "setpriv --reuid=1111 --regid=1111 --clear-groups --";
    for (mode, size) in [("606", "5"), ("604", "5"), ("602", "73"), ("620", "73")] {
        bed.ok(&format!("chmod {mode} bpf/h; chgrp 1111 bpf/h; [ {mode} = 620 ] || chgrp 0 bpf/h"));
        for path in ["h/1", "h/.raw/01000000"] {
            // That of any value, and never 0, of which sendfile(2) would read nothing.
            let expected = if path.contains("raw") { "8" } else { size };
            let script = format!(
                "cat mnt/{path} > /dev/null; {user} stat -c %s mnt/{path};
                 stat -c %s mnt/{path} > own; {user} stat --cached=always -c %s mnt/{path}"
            );
            assert_eq!(bed.ok(&script), format!("{expected}\n{expected}\n"), "{mode} {path}");
        }
        assert_eq!(bed.read("h/1"), "1234\n");
    }
}

/// `/.errors` names the user who was refused.
#[test]
fn errors_name_the_user() {
    require!("root", "bpf", "fuse", "setpriv");
    let (bed, _map) = shared();
    bed.fails(&format!("{NOBODY} mkdir mnt/new"));
    let errors = bed.errors();
    let last = errors.last().expect("a line");
    assert!(last.contains("65534") && last.contains("new") && last.contains("EPERM"), "{last}");
}

/// A symlink in bpffs that leads out of it opens nothing that its reader could not open anyway, and
/// `..` ends at the mount point.
#[test]
fn no_way_out() {
    require!("root", "bpf", "fuse", "setpriv");
    let (bed, _map) = shared();
    bed.ok("echo secret > secret; chmod 600 secret; ln -s \"$PWD/secret\" bpf/out; ln -s ../secret bpf/up");
    for link in ["out", "up"] {
        bed.fails_with(&format!("{NOBODY} cat mnt/{link}"), "Permission denied");
    }
    assert_eq!(bed.ok("readlink mnt/up"), "../secret\n");
    // A directory of bpffs swapped for a symlink does not lead the daemon elsewhere.
    bed.ok("mkdir -p bpf/d other; echo x > other/file; ls mnt/d; rmdir bpf/d; ln -s \"$PWD/other\" bpf/d");
    assert_eq!(bed.ok("stat -c %F mnt/d"), "symbolic link\n");
}

/// The daemon holds no map open longer than a second past its last use, so it never keeps an
/// unpinned map alive.
#[test]
fn an_unpinned_map_is_freed() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for used in
        ["cat mnt/h/1", "ls -l mnt/h", "echo 1 > mnt/h/2", "cat mnt/h/.info mnt/h/.raw/01000000"]
    {
        let map = bed.hash("h");
        map.set(&key32(1), &[0; 8]);
        let id = map.info.id;
        drop(map);
        bed.ok(used);
        bed.ok("rm bpf/h");
        std::thread::sleep(std::time::Duration::from_millis(1200));
        let gone = bpffuse::sys::object::map_by_id(id).is_err_and(|e| e.errno == libc::ENOENT);
        assert!(gone, "after {used:?}, map {id} is still alive");
    }
}

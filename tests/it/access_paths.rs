//! Access: names and symlinks that somebody else made in bpffs lead nowhere.

use crate::common::require::require;
use crate::common::{Bed, shell};

/// A user without rights who owns `bpf/mine`, with a map, a symlink and directories of their own.
const SETUP: &str = "mkdir bpf/mine bpf/mine/sub secret; echo secret > secret/m; chmod 700 secret
    cp secret/m secret/m2; chmod 600 secret/*; touch -d 2001-01-01 secret/*
    bpftool map create bpf/mine/m type hash key 4 value 4 entries 4 name m
    for pin in mine/m2 mine/sub/m mine/sub/m2; do bpftool map pin pinned bpf/mine/m bpf/$pin; done
    ln -s \"$PWD/secret/m\" bpf/mine/link; ln -s \"$PWD/secret\" bpf/mine/dirlink
    chown -Rh 1111:1111 bpf/mine; find bpf/mine -type f -exec chmod 600 {} +";

const USER: &str = "setpriv --reuid=1111 --regid=1111 --clear-groups --bounding-set=-all \
    --inh-caps=-all --no-new-privs --";

/// Fails unless the files in `secret` are as [`SETUP`] made them.
#[track_caller]
fn secret_is_untouched(bed: &Bed) {
    let shown = bed.ok("stat -c '%n %a %u %Y' secret/m secret/m2; cat secret/m secret/m2");
    let year = bed.ok("date -d 2001-01-01 +%s");
    let year = year.trim();
    let expected = format!("secret/m 600 0 {year}\nsecret/m2 600 0 {year}\nsecret\nsecret\n");
    assert_eq!(shown, expected, "something was changed outside of bpffs");
}

/// A symlink's owner may do with the symlink what the kernel allows, never with its target.
#[test]
fn a_symlink_is_not_its_target() {
    require!("root", "bpf", "fuse", "bpftool", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.ok(SETUP);
    bed.ok("chown -h 1112:1112 mnt/mine/link; touch -h -d 2002-02-02 mnt/mine/link");
    assert_eq!(bed.ok("stat -c '%u %g' bpf/mine/link; date -r bpf/mine -Is > all"), "1112 1112\n");
    let times = bed.ok("stat -c %Y bpf/mine/link; date -d 2002-02-02 +%s");
    let times: Vec<&str> = times.lines().collect();
    assert_eq!(times[0], times[1], "the symlink's own time is not set");
    bed.ok("chown -h 1111:1111 bpf/mine/link");
    // What the target's owner forbids stays forbidden, with the same words.
    for path in ["link", "dirlink/m"] {
        for script in ["cat P", "ls -L P", "bash -c 'echo x > P'", "chmod 666 P", "touch P"] {
            let tried = script.replace('P', &format!("mnt/mine/{path}"));
            bed.fails_with(&format!("{USER} {tried}"), "Permission denied");
        }
    }
    // A mode of the symlink itself, as lchmod(3) sets it where the kernel lets it.
    let lchmod = "fd = os.open(\"mnt/mine/link\", os.O_PATH | os.O_NOFOLLOW)
errno_of(os.chmod, f\"/proc/self/fd/{fd}\", 0o666)";
    bed.python(lchmod);
    bed.ok(&format!("{USER} bash -c 'mv mnt/mine/link mnt/mine/other; rm mnt/mine/other'"));
    secret_is_untouched(&bed);
}

/// Symlinks to what only the daemon could open: it opens nothing for others through them.
#[test]
fn symlinks_out_of_bpffs() {
    require!("root", "bpf", "fuse", "bpftool", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.ok("mkdir second; mount -t bpf bpf second; chmod 755 second; chmod 1777 bpf
            bpftool map create second/closed type hash key 4 value 4 entries 4 name closed
            bpftool map create bpf/closed type hash key 4 value 4 entries 4 name closed
            bpftool map update pinned bpf/closed key 1 0 0 0 value 1 0 0 0");
    let pid = bed.pid();
    let targets = [
        "/etc/shadow".to_owned(),
        bed.shown("second/closed"),
        bed.shown("bpf/closed"),
        bed.shown("mnt/closed/1"),
        "closed/.info".to_owned(),
        "../mnt/.errors".to_owned(),
        ".id".to_owned(),
        format!("/proc/{pid}/environ"),
        format!("/proc/{pid}/fd/0"),
        format!("/proc/{pid}/root/etc/shadow"),
    ];
    for target in &targets {
        // Anybody may make symlinks in a bpffs's root.
        bed.ok(&format!("{USER} ln -sfn {target} bpf/out"));
        for script in ["cat mnt/out", "cat mnt/out/.info", "ls mnt/out/", "cat mnt/out/1"] {
            let ran = bed.run(&format!("{USER} {script}"));
            assert!(!ran.status.success(), "through a symlink to {target}: {ran}");
            assert_eq!(ran.stdout, "", "{target}");
        }
        // One that leads into the bpffs leads into the mount, where the modes are checked.
        let below = format!("{}/", bed.shown("bpf"));
        let shown = target.strip_prefix(&below).unwrap_or(target);
        assert_eq!(bed.ok("readlink mnt/out"), format!("{shown}\n"));
    }
    // One's own /proc is one's own, not the daemon's.
    bed.ok(&format!("{USER} ln -sfn /proc/self/status bpf/out"));
    assert!(bed.ok(&format!("{USER} cat mnt/out")).contains("Uid:\t1111\t"));
}

/// The owner of a directory who keeps swapping what is in it while the daemon is at work there, cannot
/// make it change, or tell, anything else.
#[test]
fn swapping_symlinks_wins_no_race() {
    require!("root", "bpf", "fuse", "bpftool", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.ok(SETUP);
    bed.ok("ln -s harmless secret/l; ln -s 'top secret' bpf/mine/l; cp -P secret/l bpf/mine/sub/l
            rm secret/l; ln -s 'top secret' secret/l; chown -h 1111 bpf/mine/sub/l");
    let script = "
        import ctypes, multiprocessing, time
        libc = ctypes.CDLL(None)
        EXCHANGE = 2
        end = time.time() + 1.5

        def swap(a, b):
            while time.time() < end:
                libc.renameat2(-100, a, -100, b, EXCHANGE)

        def attempt(function, *args, **kwargs):
            try: return function(*args, **kwargs)
            except OSError: pass

        swaps = [multiprocessing.Process(target=swap, args=args) for args in
                 [(b'bpf/mine/m', b'bpf/mine/link'), (b'bpf/mine/sub', b'bpf/mine/dirlink')]]
        for process in swaps: process.start()
        links = set()
        while time.time() < end:
            for m in 'mnt/mine/m', 'mnt/mine/sub/m':
                attempt(os.chmod, m, 0o666)
                attempt(os.utime, m)
                attempt(os.chown, m, 1111, 1111)
            attempt(os.rename, 'mnt/mine/sub/m', 'mnt/mine/sub/m3')
            attempt(os.rename, 'mnt/mine/sub/m3', 'mnt/mine/sub/m')
            links.add(attempt(os.readlink, 'mnt/mine/sub/l'))
            attempt(os.symlink, 'x', 'mnt/mine/sub/new')
        for process in swaps: process.join()
        print(sorted(filter(None, links)))
    ";
    let script = script.lines().map(|l| l.strip_prefix("        ").unwrap_or(l));
    let script: Vec<&str> = script.collect();
    std::fs::write(bed.dir.join("race.py"), format!("import os\n{}", script.join("\n"))).unwrap();
    let told = bed.ok(&format!("{USER} python3 race.py"));
    assert!(told == "['harmless']\n" || told == "[]\n", "it read a link elsewhere: {told}");
    secret_is_untouched(&bed);
    assert_eq!(bed.ok("ls secret"), "l\nm\nm2\n");
}

/// Any name that bpffs takes is shown as it is, and breaks no line of `/.errors`, of the log, or of
/// `.info`.
#[test]
fn hostile_names() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::with(&["-vv"]);
    bed.hash("plain");
    let out = bed.python(
        r#"
        names = [b'a\nb', b'forged\n2026-11-23T00:00:00Z pid=1 uid=0 open x EPERM: x', 'äß€'.encode(),
                 b'\xff\xfe', b'x' * 255, b'100%', b'%s%n', b'%2F', b'-rf', b' ', b'a\tb\r', b'\x1b[31mred',
                 b'*', b'$(reboot)', b'~', b'\\', b'"', b'#', b'\x7f', b'\xc3\x28']
        import subprocess
        for name in names:
            bpf, mnt = b'bpf/' + name, b'mnt/' + name
            subprocess.run([b'bpftool', b'map', b'pin', b'pinned', b'bpf/plain', bpf], check=True)
            assert name in os.listdir(b'mnt'), name
            assert os.path.isdir(mnt), name
            with open(mnt + b'/1', 'w') as f: f.write('5\n')
            assert os.listdir(mnt) == [b'1'], name
            info = open(mnt + b'/.info').read()
            assert info.count('\n') == 1 and json.loads(info)['pins'], info
            before = open('mnt/.errors').read().count('\n')
            fd = os.open(mnt + b'/1', os.O_WRONLY)
            assert errno_of(os.write, fd, b'nonsense\n') == 'EINVAL'
            os.close(fd)
            errors = open('mnt/.errors').read()
            assert before == 64 or errors.count('\n') == before + 1, (name, errors)
            last = errors.splitlines()[-1]
            assert 'EINVAL' in last and len(errors.splitlines()) == errors.count('\n'), last
            assert not any(ord(c) < 32 or ord(c) == 127 for c in last), last
            os.unlink(mnt + b'/1')
            moved = b'mnt/' + name[:254] + b'2'
            os.rename(mnt, moved)
            os.rmdir(moved)
        for name, error in [(b'x' * 256, 'ENAMETOOLONG'), (b'a.b', 'EPERM'), (b'..', 'EEXIST')]:
            assert errno_of(os.mkdir, b'mnt/' + name) == error, name
        print('done')
        "#,
    );
    assert_eq!(out, "done\n");
    let log = bed.log();
    assert!(
        log.contains("nonsense") || log.contains("EINVAL"),
        "refusals are not in the log: {log}"
    );
    let forged = log
        .lines()
        .filter(|line| line.starts_with("2026-11-23T00:00:00Z") || line.starts_with("b:"));
    assert_eq!(forged.count(), 0, "a name made a line of the log:\n{log}");
    assert!(!log.contains('\x1b'), "a name reached the terminal raw:\n{log}");
}

/// In a sticky directory nobody replaces or removes what is another's, not even what came there after
/// the kernel had looked.
#[test]
fn a_pin_that_came_meanwhile_is_not_replaced() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.hash("src");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access/sticky.py");
    let told = bed.ok(&format!("python3 {} \"$PWD\" 2", shell::quote(script)));
    assert_eq!(told, "0 taken, some left in peace: True\n");
}

/// `.info` names a map's pins only where the caller could list them.
#[test]
fn info_names_no_pin_in_a_closed_directory() {
    require!("root", "bpf", "fuse", "bpftool", "setpriv", "jq");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.ok("bpftool map create bpf/m type hash key 4 value 4 entries 4 name m; chmod 644 bpf/m
            mkdir -p bpf/closed/sub bpf/open bpf/group bpf/blind; chmod 700 bpf/closed; chmod 711 bpf/blind
            chgrp 2222 bpf/group; chmod 750 bpf/group
            for dir in closed closed/sub open group blind; do
                bpftool map pin pinned bpf/m bpf/$dir/secret_of_${dir##*/}; done
            chmod 644 bpf/*/secret*");
    let pins = |who: &str, at: &str| {
        bed.ok(&format!("{who} jq -r '.pins[]' mnt/{at}/.info | sed \"s|$PWD/bpf/||\""))
    };
    let all = "blind/secret_of_blind\nclosed/secret_of_closed\nclosed/sub/secret_of_sub\n\
               group/secret_of_group\nm\nopen/secret_of_open\n";
    assert_eq!(pins("", "m"), all);
    assert_eq!(pins(USER, "m"), "m\nopen/secret_of_open\n");
    // The one that is named by who asks is no secret.
    let blind = pins(USER, "blind/secret_of_blind");
    assert_eq!(blind, "blind/secret_of_blind\nm\nopen/secret_of_open\n");
    let member = USER.replace("--clear-groups", "--groups=2222");
    assert_eq!(pins(&member, "m"), "group/secret_of_group\nm\nopen/secret_of_open\n");
    // As it is at that moment.
    bed.ok(
        "rm bpf/open/secret*; mv bpf/closed/sub/secret_of_sub bpf/open/moved; chmod 755 bpf/group",
    );
    assert_eq!(pins(USER, "m"), "group/secret_of_group\nm\nopen/moved\n");
}

//! Who may change a pin's mode, owner and times: whoever may at that moment, on the inode as it is.

use crate::common::require::require;
use crate::common::{Bed, key32};

/// A user's descriptor outlives that the pin was theirs; what they may do with it does not. bpffs itself
/// says the same of its own descriptor.
#[test]
fn ownership_ends_with_chown() {
    require!("root", "bpf", "fuse", "setpriv", "python3");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.hash("h").set(&key32(1), &7_u64.to_ne_bytes());
    bed.ok("mkdir bpf/dir; chown 1111:1111 bpf/h bpf/dir; chmod 1777 bpf");
    let script = "
import os, sys, time
uid = 1111
os.setgroups([]); os.setgid(uid); os.setuid(uid)
opened = []
for root in 'mnt', 'bpf':
    for name in 'h', 'dir':
        for flags in (os.O_RDONLY | os.O_DIRECTORY, os.O_PATH):
            if (root, name) == ('bpf', 'h') and not flags & os.O_PATH: continue
            opened.append((f'{root}/{name}', flags, os.open(f'{root}/{name}', flags)))
print('open', flush=True)
sys.stdin.readline()
def attempt(what, act):
    try: act()
    except OSError: return
    print('gained', *what, flush=True)
for path, flags, fd in opened:
    name = f'/proc/self/fd/{fd}'
    for what, act in [
        ('chmod', lambda: os.chmod(name, 0o666)), ('fchmod', lambda: os.fchmod(fd, 0o666)),
        ('chown', lambda: os.chown(name, -1, uid)), ('fchown', lambda: os.fchown(fd, -1, uid)),
        ('utime', lambda: os.utime(name, (1, 1))), ('touch', lambda: os.utime(name)),
        ('futimens', lambda: os.utime(fd, (1, 1))), ('path', lambda: os.chmod(path, 0o666)),
        ('path', lambda: os.chown(path, -1, uid)), ('path', lambda: os.utime(path)),
    ]: attempt((what, path, flags), act)
print('done', flush=True)
";
    std::fs::write(bed.dir.join("keep.py"), script).unwrap();
    let told = bed.ok(
        "mkfifo go; python3 keep.py < go > told & exec 3> go; until grep -q open told; do sleep 0.05; done
         chown 0:0 bpf/h bpf/dir; chmod 600 bpf/h; chmod 700 bpf/dir; echo >&3; wait; cat told",
    );
    assert_eq!(told, "open\ndone\n");
    assert_eq!(bed.ok("stat -c '%a %u %g' bpf/h bpf/dir"), "600 0 0\n700 0 0\n");
}

/// What is one's own one may change: mode and times, and its group to one of one's own groups.
#[test]
fn ones_own_pin() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.hash("h").set(&key32(1), &7_u64.to_ne_bytes());
    bed.ok("chown 1111:1111 bpf/h; mkdir bpf/dir; chown 0:77 bpf/dir; chmod 770 bpf/dir");
    let user = "setpriv --reuid=1111 --regid=1111 --groups 77,88 --";
    bed.ok(&format!("{user} chmod 664 mnt/h; {user} chgrp 88 mnt/h; {user} touch -d @99 mnt/h"));
    assert_eq!(bed.ok("stat -c '%a %u %g %Y' bpf/h"), "664 1111 88 99\n");
    bed.fails_with(&format!("{user} chgrp 99 mnt/h"), "not permitted");
    bed.fails_with(&format!("{user} chown 0 mnt/h"), "not permitted");
    // Who may write may set the present time, and no other.
    bed.ok(&format!("{user} touch mnt/dir"));
    bed.fails_with(&format!("{user} touch -d @99 mnt/dir"), "not permitted");
    bed.fails_with(&format!("{user} chmod 777 mnt/dir"), "not permitted");
}

/// The mode that a program gives the file it writes a SPEC to is for what it made, and not for what has
/// that name by then.
#[test]
fn a_made_file_keeps_its_inode() {
    require!("root", "bpf", "fuse", "python3", "bpftool");
    let bed = Bed::new();
    bed.ok("mkdir bpf/aside");
    bed.python(
        "
        fd = os.open('mnt/new', os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(fd, b'hash key 4 value 8 entries 4\\n')
        os.rename('bpf/new', 'bpf/aside/new')
        os.system('bpftool map create bpf/new type array key 4 value 4 entries 1 name other')
        try: os.fchmod(fd, 0o666)
        except OSError: pass
        try: os.fchown(fd, 1111, 1111)
        except OSError: pass
        os.close(fd)",
    );
    assert_eq!(bed.ok("stat -c '%a %u' bpf/new"), "600 0\n");
}

/// What a pinned program's and link's files show is what the kernel would show the same user.
#[test]
fn programs_and_links_of_others() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "setpriv", "jq");
    let bed = Bed::with(&["-o", "allow_other"]);
    let object = crate::common::object::compile("links");
    bed.ok(&format!(
        "bpftool prog loadall {} bpf/progs; chmod 755 bpf/progs; chmod 644 bpf/progs/*",
        object.display()
    ));
    let file = bed.ok("ls -d mnt/progs/* | head -n 1");
    let file = file.trim();
    let sizes = "jq -c '[.bytes_xlated, .bytes_jited]'";
    assert_ne!(bed.ok(&format!("{sizes} {file}")), "[0,0]\n");
    let nobody = "setpriv --reuid=1111 --regid=1111 --clear-groups --";
    assert_eq!(bed.ok(&format!("{nobody} {sizes} {file}")), "[0,0]\n");
}

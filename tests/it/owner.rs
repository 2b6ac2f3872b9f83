//! The mount's owner: root, or the user who is named or who typed sudo.

use crate::common::require::require;
use crate::common::{Bed, RawMap, key32};

const USER: &str = "setpriv --reuid=1111 --regid=1111 --clear-groups --";
const OTHER: &str = "setpriv --reuid=2222 --regid=2222 --clear-groups --";

fn bed_of(options: &[&str]) -> (Bed, RawMap) {
    let bed = Bed::with(options);
    let map = bed.hash("h");
    map.set(&key32(1), &42_u64.to_ne_bytes());
    bed.hash("theirs").set(&key32(1), &[0; 8]);
    bed.ok("chown 2222 bpf/theirs; chmod 600 bpf/*; chmod 755 .");
    (bed, map)
}

/// What root may do through the mount, the owner may, without a capability; and root all the same.
#[test]
fn the_owner_gets_in() {
    require!("root", "bpf", "fuse", "setpriv", "jq");
    let (bed, map) = bed_of(&["--owner", "1111"]);
    assert_eq!(bed.ok(&format!("{USER} cat mnt/h/1")), "42\n");
    bed.ok(&format!(
        "echo 7 | {USER} tee mnt/h/1 mnt/h/2; {USER} rm mnt/h/1; {USER} ls mnt/h mnt/.id mnt/.name"
    ));
    assert_eq!(map.keys().len(), 1);
    bed.ok(&format!(
        "{USER} sh -ec 'cat mnt/h/.entries mnt/h/.info mnt/.maps mnt/.errors; mkdir mnt/new; echo 1 > mnt/new/1
         chmod 640 mnt/new; mv mnt/new mnt/new2; echo directory > mnt/dir; rmdir mnt/dir
         echo hash_of_maps key u32 entries 4 inner_map h > mnt/outer; ln -s ../h mnt/outer/1; echo 1 > mnt/new2/.unpin'"
    ));
    assert_eq!(
        bed.ok(&format!(
            "stat -c %u mnt/h mnt/h/2 mnt/.maps; {USER} jq .processes mnt/h/.info | head -c 1"
        )),
        "1111\n1111\n1111\n["
    );
    assert_eq!(bed.ok("cat mnt/h/2; stat -c %u bpf/outer"), "7\n0\n");
}

/// What the mount shows its owner names by the path of its pin, too, which `.info` prints: the pin is root's.
#[test]
fn the_owner_names_pins_by_their_paths() {
    require!("root", "bpf", "fuse", "setpriv", "jq");
    let (bed, _map) = bed_of(&["--owner", "1111"]);
    bed.ok(&format!(
        "{USER} sh -ec 'pin=$(jq -r .pins[0] mnt/h/.info)
         echo hash_of_maps key u32 entries 4 inner_map $pin > mnt/outer; ln -s $pin mnt/outer/1
         echo \"{{\\\"key\\\":2,\\\"value\\\":\\\"$pin\\\"}}\" > mnt/outer/.entries; cat mnt/outer/1/.count mnt/outer/2/.count'"
    ));
    bed.fails_with(&format!("{USER} ln -s $PWD/bpf/absent mnt/outer/3"), "No such file");
}

/// Nobody else gets in: not by a mode that would let them, nor by a name of `.`.
#[test]
fn nobody_else_gets_in() {
    require!("root", "bpf", "fuse", "setpriv");
    let (bed, _map) = bed_of(&["--owner", "1111"]);
    bed.ok("chmod 666 bpf/h; chmod 755 bpf");
    for command in
        ["ls mnt", "cat mnt/h/1", "stat mnt/h", "cat mnt/theirs/1", "ls -d mnt/.", "touch mnt/h/1"]
    {
        bed.fails_with(&format!("{OTHER} {command}"), "Permission denied");
    }
}

/// With `allow_other`, modes hold for others as they do without an owner.
#[test]
fn modes_hold_for_others() {
    require!("root", "bpf", "fuse", "setpriv");
    let (bed, _map) = bed_of(&["-o", "allow_other,owner=1111"]);
    bed.fails_with(&format!("{OTHER} cat mnt/h/1"), "Permission denied");
    bed.ok(&format!("{OTHER} cat mnt/theirs/1; chmod o+r bpf/h; {OTHER} cat mnt/h/1"));
    bed.fails_with(&format!("{OTHER} tee mnt/h/1 < /dev/null"), "Permission denied");
    bed.fails_with(&format!("{OTHER} mkdir mnt/new"), "ermi");
    bed.fails_with(&format!("{OTHER} ls mnt/.id"), "Permission denied");
    assert_eq!(bed.ok(&format!("{OTHER} stat -c %u mnt/theirs")), "2222\n");
}

/// Who typed sudo is the owner, unless somebody is named, or mount(8) mounts.
#[test]
fn by_sudo() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::idle();
    bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
    bed.ok("chmod 755 .");
    bed.ok(&format!("SUDO_UID=1111 bpffuse bpf mnt; {USER} cat mnt/h/1; umount mnt"));
    bed.ok("SUDO_UID=1111 bpffuse --owner root bpf mnt");
    bed.fails_with(&format!("{USER} cat mnt/h/1"), "Permission denied");
    bed.ok("umount mnt; ln -s $(command -v bpffuse) mount.fuse.bpffuse; SUDO_UID=1111 ./mount.fuse.bpffuse bpf mnt");
    bed.fails_with(&format!("{USER} cat mnt/h/1"), "Permission denied");
    bed.ok("umount mnt");
    let stderr = bed.fails("bpffuse --owner nosuchuser bpf mnt");
    assert!(stderr.contains("no such user"), "{stderr}");
}

/// In another user namespace the owner's uid is not the owner.
#[test]
fn not_in_another_user_namespace() {
    require!("root", "bpf", "fuse", "setpriv", "unshare");
    let (bed, _map) = bed_of(&["--owner", "1111"]);
    bed.ok(&format!("{USER} cat mnt/h/1"));
    bed.fails_with(&format!("{USER} unshare --user cat mnt/h/1"), "Permission denied");
    bed.fails_with(
        &format!("{USER} unshare --user --map-root-user cat mnt/h/1"),
        "Permission denied",
    );
}

/// What the daemon opens on the owner's word it opens with the owner's rights, not root's.
#[test]
fn references_are_opened_as_the_owner() {
    require!("root", "bpf", "fuse", "setpriv", "bpftool", "python3");
    let (bed, _map) = bed_of(&["--owner", "1111"]);
    bed.ok("mkdir closed; mount -t bpf bpf closed; mkdir closed/in; chmod 700 closed/in
            bpftool map create closed/in/m type hash key 4 value 8 entries 1000 name m
            echo hash_of_maps key u32 entries 4 inner_map h > mnt/outer
            bpftool map create bpf/sockets type sockmap key 4 value 8 entries 4 name s");
    let closed = bed.shown("closed/in/m");
    bed.fails_with(&format!("{USER} ln -s {closed} mnt/outer/1"), "");
    assert!(bed.errors().iter().any(|line| line.contains("outer/1")));
    assert_eq!(bed.list("outer").len(), 0);
    let mut sockets = bed.spawn(
        "exec python3 -c 'import socket, time, os
s = socket.create_server((\"127.0.0.1\", 0))
print(f\"{os.getpid()}:{s.fileno()}\", file=open(\"name.new\", \"w\")); os.rename(\"name.new\", \"name\"); time.sleep(100)'",
    );
    bed.ok("until [ -e name ]; do sleep 0.05; done");
    bed.fails_with(&format!("cat name | {USER} tee mnt/sockets/1"), "not permitted");
    bed.ok("cat name > mnt/sockets/1");
    super::faults::kill_all(&bed, &mut sockets);
}

//! Ordinary tools as backup, as `docs/backup.md` says, and removing maps.

use crate::common::require::require;
use crate::common::{Bed, key32};

/// A bed with a map `h` of three elements that its group may read.
fn bed() -> Bed {
    let bed = Bed::new();
    let map = bed.hash("h");
    for n in 1..=3_u32 {
        map.set(&key32(n), &u64::from(n * 10).to_ne_bytes());
    }
    bed.ok("chmod 640 bpf/h; mkdir bpf/d");
    bed
}

/// tar from one directory into another, mode and owner included; twice; and by way of a file.
#[test]
fn tar() {
    require!("root", "bpf", "fuse", "tar");
    let bed = bed();
    for _ in 0..2 {
        bed.ok("tar c -C mnt h | tar x -C mnt/d");
        bed.ok("diff -r mnt/h mnt/d/h");
        assert_eq!(bed.ok("stat -c '%a %u' mnt/d/h mnt/d/h/1"), "750 0\n640 0\n");
    }
    bed.ok("tar cf saved.tar -C mnt h; rm -r mnt/d/h; tar xf saved.tar -C mnt/d");
    bed.ok("diff -r mnt/h mnt/d/h");
}

/// cp -r and cp -a: to a new map, to one that is there, to a disk and back.
#[test]
fn cp() {
    require!("root", "bpf", "fuse");
    let bed = bed();
    bed.ok("cp -r mnt/h mnt/h2; diff -r mnt/h mnt/h2");
    bed.ok("echo 11 > mnt/h/1; rm mnt/h2/3; cp -r mnt/h/. mnt/h2; diff -r mnt/h mnt/h2");
    bed.ok("cp -a mnt/h mnt/h3; diff -r mnt/h mnt/h3");
    assert_eq!(bed.ok("stat -c %a mnt/h3 bpf/h3"), "750\n640\n");
    bed.ok("cp -a mnt/h disk; cp -a disk mnt/h4; diff -r mnt/h mnt/h4");
}

/// rsync -rc, with --inplace, carries over what differs, and with --delete what is gone.
#[test]
fn rsync() {
    require!("root", "bpf", "fuse", "rsync");
    let bed = bed();
    bed.ok("rsync -rc --inplace mnt/h/ mnt/h2/; diff -r mnt/h mnt/h2");
    bed.ok("echo 99 > mnt/h/2; rm mnt/h/3");
    let sent = bed.ok("rsync -rci --inplace --delete mnt/h/ mnt/h2/ | sort");
    assert_eq!(sent.lines().count(), 2, "what differs, and nothing else: {sent}");
    bed.ok("diff -r mnt/h mnt/h2; rsync -rc mnt/h/ disk/; diff -r mnt/h disk");
}

/// git with a copy of the tree, and with the map itself as its work tree.
#[test]
fn git() {
    require!("root", "bpf", "fuse", "git");
    let bed = bed();
    bed.ok("cp -r mnt/h copy; cd copy; git init -q .; git add .
            git -c user.name=a -c user.email=b@c commit -qm one
            test \"$(git ls-files | wc -l)\" = 3; git status -s | wc -l | grep -x 0");
    bed.ok("git init -q repo; g='git --git-dir=repo/.git --work-tree=mnt/h'; $g add -A
            $g -c user.name=a -c user.email=b@c commit -qm one
            echo 5 > mnt/h/1; test \"$($g status -s)\" = ' M 1'; $g checkout -qf .
            test \"$(cat mnt/h/1)\" = 10");
}

/// chmod of a key that would take access away is refused: it cannot be kept.
#[test]
fn a_keys_mode_is_not_taken_away() {
    require!("root", "bpf", "fuse");
    let bed = bed();
    bed.fails("chmod 600 mnt/h/1");
    bed.fails("chown 1234 mnt/h/1");
    assert_eq!(bed.ok("stat -c '%a %u' mnt/h/1"), "640 0\n");
}

/// cat a/.schema > b && cat a/.entries > b/.entries copies a map; a file of both is a backup.
#[test]
fn schema_and_entries() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    bed.load("maps");
    bed.write("hash_stats/1", r#"{"packets":1,"bytes":2}"#);
    bed.write("hash_stats/7", r#"{"packets":3,"bytes":4}"#);
    bed.ok("cat mnt/hash_stats/.schema > mnt/b && cat mnt/hash_stats/.entries > mnt/b/.entries");
    bed.ok("diff -r mnt/hash_stats mnt/b");
    bed.ok("cat mnt/hash_stats/.schema mnt/hash_stats/.entries > saved
            grep -v '^{\"key\"' saved > mnt/c; grep '^{\"key\"' saved > mnt/c/.entries");
    bed.ok("diff -r mnt/hash_stats mnt/c");
}

/// rm -r MAP deletes the entries and then the pin; a map in use by a program goes on without.
#[test]
fn removing() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = bed();
    bed.fails_with("rmdir mnt/h", "not empty");
    bed.ok("echo 1 > mnt/h/.clear; rmdir mnt/h; test ! -e bpf/h");
    bed.load("maps");
    // An array keeps its elements, so rmdir removes the pin at once.
    bed.fails("rm -r mnt/array_u64");
    bed.ok("rmdir mnt/array_u64; test ! -e bpf/array_u64");
    // In use: another pin stands for any user.
    let map = bed.open("hash_u64");
    map.set(&key32(1), &[1; 8]);
    bed.ok(
        "bpftool map pin pinned bpf/hash_u64 bpf/again; rm -r mnt/hash_u64; test ! -e bpf/hash_u64",
    );
    map.set(&key32(2), &[2; 8]);
    assert_eq!(bed.ok("ls mnt/again"), "2\n");
}

/// What docs/backup.md says of each kind: its `.schema` makes it anew, and what it has elements of in `.entries`
/// is set again by them.
#[test]
fn each_kind_is_saved_as_far_as_it_can_be() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    let saved = [
        ("hash", "key u32 value u64 entries 8", "echo 7 > M/1"),
        ("lru_hash", "key u32 value u64 entries 4096", "echo 7 > M/1"),
        ("array", "key u32 value u64 entries 3", "echo 7 > M/1"),
        ("percpu_hash", "key u32 value u64 entries 8", "echo 7 > M/1"),
        ("lru_percpu_hash", "key u32 value u64 entries 4096", "echo 7 > M/1"),
        ("percpu_array", "key u32 value u64 entries 3", "echo 7 > M/.cpu/0/1"),
        ("lpm_trie", "key 8 value 8 entries 8 flags no_prealloc", "echo 7 > M/10.0.0.0_8"),
        ("array_of_maps", "key u32 entries 3 inner_map hash", "ln -s hash M/1"),
        ("hash_of_maps", "key u32 entries 3 inner_map hash", "ln -s hash M/1"),
        ("devmap", "entries 4", "echo lo > M/1"),
        ("devmap_hash", "key u32 entries 4", "echo lo > M/1"),
        ("cpumap", "entries 2", "echo 64 > M/0"),
        ("prog_array", "entries 4", "true"),
    ];
    for (kind, spec, fill) in saved {
        let fill = fill.replace("M/", &format!("{kind}/"));
        bed.ok(&format!(
            "cd mnt; echo '{kind} {spec}' > {kind} && {{ {fill}; }} 2> ../why
             cat {kind}/.schema > ../schema && cat {kind}/.entries > ../entries || exit
             cat ../schema > new && cat ../entries > new/.entries || exit
             test \"$(jq -r .type new/.info)\" = {kind}
             diff <(sort ../entries) <(sort new/.entries) && echo 1 > new/.unpin"
        ));
        let lines = bed.ok("wc -l < entries");
        assert!(kind == "prog_array" || lines != "0\n", "{kind} has no elements");
    }
    for (kind, spec) in [
        ("queue", "value u32 entries 8"),
        ("stack", "value u32 entries 8"),
        ("bloom_filter", "value u32 entries 8"),
        ("ringbuf", "entries 4096"),
        ("user_ringbuf", "entries 4096"),
        ("perf_event_array", "entries 2"),
        ("xskmap", "entries 4"),
        ("cgroup_array", "entries 4"),
        ("task_storage", "value u64"),
        ("inode_storage", "value u64"),
        ("arena", "entries 2"),
    ] {
        let number = bpffuse::sys::map::kind::by_name(kind).expect("a kind");
        if crate::common::kernel::lacks_map(number) {
            continue;
        }
        bed.ok(&format!(
            "cd mnt; echo '{kind} {spec}' > {kind} && cat {kind}/.schema > new || exit
             test \"$(jq -r .type new/.info)\" = {kind} && test ! -e new/.entries && echo 1 > new/.unpin"
        ));
    }
}

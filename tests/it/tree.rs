//! The tree of pins, as directories.

use crate::common::require::require;
use crate::common::{Bed, Kind, RawMap, eventually, key32, object, refused};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// A directory of bpffs, and a map in it, at any depth: the same names, and nothing else.
#[test]
fn nested_directories() {
    require!("root", "bpf", "fuse", "find");
    let bed = Bed::new();
    bed.ok("mkdir -p bpf/a/b/c bpf/empty");
    bed.hash("top").set(&key32(1), &[0; 8]);
    bed.hash("a/b/c/deep").set(&key32(2), &[0; 8]);
    let found = bed.ok("cd mnt; find . -path './*.debug' -prune -o -print | sort");
    let expected =
        ". ./a ./a/b ./a/b/c ./a/b/c/deep ./a/b/c/deep/2 ./empty ./top ./top/1".replace(' ', "\n");
    assert_eq!(found.trim_end(), expected);
    // 100 levels.
    bed.ok("cd bpf; for i in $(seq 100); do mkdir d; cd d; done");
    bed.ok("cd mnt; for i in $(seq 100); do cd d || exit; done; ls -la; cd ../..; ls d");
}

/// The root shows what the root of the bpffs shows; `.` and `..` lead where they should.
#[test]
fn same_names_as_bpffs() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h");
    bed.ok("mkdir bpf/d; ln -s h bpf/l");
    let names = "ls -A -I '*.debug'";
    assert_eq!(bed.ok(&format!("{names} mnt")), bed.ok(&format!("{names} bpf")));
    assert_eq!(bed.ok(&format!("cd mnt/d/../h/..; {names}")), bed.ok(&format!("{names} bpf")));
    assert_eq!(bed.ok("ls -a mnt/d"), ".\n..\n");
    assert_eq!(bed.ok("stat -c %i mnt/h/.. mnt/h/. mnt mnt/h | sort | uniq -c | wc -l"), "2\n");
    bed.ok("ls -la mnt; find mnt -ls");
}

/// `ls -a` shows no control, at any level.
#[test]
fn listings_show_data_only() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.ok("mkdir bpf/d");
    assert_eq!(bed.ok("ls -a mnt/h"), ".\n..\n1\n");
    assert_eq!(bed.ok("ls -A mnt mnt/d mnt/h | grep '^\\.' | wc -l"), "0\n");
    assert_eq!(bed.ok("find mnt -name '.*' | wc -l"), "0\n");
}

/// `DIR/`: a bpffs directory: same name, owner, mode; times too.
#[test]
fn directories_have_the_attributes_of_bpffs() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("mkdir -m 0750 bpf/d; chown 12:34 bpf/d; touch -d '2001-02-03 04:05:06.789' bpf/d");
    let format = "stat -c '%F %a %u %g %.9Y'";
    assert_eq!(bed.ok(&format!("{format} mnt/d")), bed.ok(&format!("{format} bpf/d")));
    assert_eq!(bed.ok("stat -c '%F %a %u %g' mnt"), bed.ok("stat -c '%F %a %u %g' bpf"));
    // Changed elsewhere, seen at once.
    bed.ok("chmod 0700 bpf/d");
    assert_eq!(bed.ok("stat -c %a mnt/d"), "700\n");
}

/// `MAP/`: Owner = the pin's; mode = the pin's, with `x` wherever there is `r` or `w`;
/// `MAP/KEY`: Mode = the pin's without `x`.
#[test]
fn modes_of_maps_and_keys() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    let modes = [
        (0o600, 0o700, 0o600),
        (0o640, 0o750, 0o640),
        (0o644, 0o755, 0o644),
        (0o664, 0o775, 0o664),
        (0o666, 0o777, 0o666),
        (0o400, 0o500, 0o400),
        (0o200, 0o300, 0o200),
        (0o604, 0o705, 0o604),
        (0o062, 0o073, 0o062),
        (0o000, 0o000, 0o000),
    ];
    for (pin, dir, key) in modes {
        fs::set_permissions(bed.pin("h"), fs::Permissions::from_mode(pin)).unwrap();
        let shown =
            |name: &str| format!("{:o}", fs::metadata(bed.at(name)).unwrap().mode() & 0o7777);
        assert_eq!(shown("h/1"), format!("{key:o}"), "a key of a pin with mode {pin:o}");
        // The kernel keeps the directory until it is told.
        eventually(&format!("a map's directory has mode {dir:o}"), || {
            shown("h") == format!("{dir:o}")
        });
    }
    bed.ok("chown 12:34 bpf/h; touch -d '2001-02-03 04:05:06.789' bpf/h");
    eventually("the map's directory has owner and time", || {
        bed.ok("stat -c '%F %u %g %.3Y' mnt/h") == "directory 12 34 981173106.789\n"
    });
    assert_eq!(bed.ok("stat -c '%F %u %g %h' mnt/h/1"), "regular file 12 34 1\n");
}

/// `w` bits are dropped where user space cannot write (frozen).
#[test]
fn frozen_maps_have_no_write_bits() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.hash("h");
    map.set(&key32(1), &[0; 8]);
    bed.ok("chmod 666 bpf/h");
    assert_eq!(bed.ok("stat -c %a mnt/h/1"), "666\n");
    map.fd.freeze().unwrap();
    assert_eq!(bed.ok("stat -c %a mnt/h/1"), "444\n");
}

/// `chmod`, `chown` on a map directory change the pin.
#[test]
fn chmod_and_chown_change_the_pin() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h");
    let rw = || fs::metadata(bed.pin("h")).unwrap().mode() & 0o666;
    bed.ok("chmod o+r mnt/h");
    assert_eq!(format!("{:o}", rw()), "604");
    assert_eq!(bed.ok("stat -c %a mnt/h"), "705\n");
    bed.ok("chmod 0750 mnt/h");
    assert_eq!(format!("{:o}", rw()), "640");
    assert_eq!(bed.ok("stat -c %a mnt/h"), "750\n");
    bed.ok("chmod 0700 mnt/h");
    assert_eq!((format!("{:o}", rw()), bed.ok("stat -c %a mnt/h")), ("600".into(), "700\n".into()));
    bed.ok("chown 12:34 mnt/h");
    assert_eq!(bed.ok("stat -c %u:%g bpf/h mnt/h"), "12:34\n12:34\n");
    bed.ok("chgrp 56 mnt/h");
    assert_eq!(bed.ok("stat -c %u:%g bpf/h"), "12:56\n");
}

/// The same on a plain directory of bpffs.
#[test]
fn chmod_and_chown_of_directories() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("mkdir bpf/d; chmod 0710 mnt/d; chown 12:34 mnt/d");
    assert_eq!(bed.ok("stat -c '%a %u:%g' bpf/d mnt/d"), "710 12:34\n710 12:34\n");
}

/// `mv` of a map or directory renames the pin: the same map, its elements and all.
#[test]
fn mv_renames_the_pin() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.hash("h");
    map.set(&key32(1), &42u64.to_ne_bytes());
    bed.ok("mkdir bpf/d");
    bed.ok("mv mnt/h mnt/g");
    assert_eq!(bed.open("g").info.id, map.info.id, "another map");
    assert!(!bed.pin("h").exists());
    assert_eq!(bed.read("g/1"), "42\n");
    refused(fs::metadata(bed.at("h")), "ENOENT");
    // Into a directory, and with the directory.
    bed.ok("mv mnt/g mnt/d/ && mv mnt/d mnt/e");
    assert_eq!(bed.open("e/g").info.id, map.info.id);
    assert_eq!(bed.read("e/g/1"), "42\n");
    // bpffs takes no dots in a name, and the kernel's error passes through.
    refused(fs::rename(bed.at("e/g"), bed.at("a.b")), "EPERM");
    // Not into itself.
    refused(fs::rename(bed.at("e"), bed.at("e/f")), "EINVAL");
    assert_eq!(bed.open("e/g").info.id, map.info.id);
}

/// Who has a renamed map open, or is in it, goes on with it: also when the old name is another's by
/// then, and when it was a directory above that was renamed.
#[test]
fn mv_is_no_end() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.hash("h");
    map.set(&key32(1), &42u64.to_ne_bytes());
    bed.ok("mkdir -p bpf/d/e; bpftool map pin pinned bpf/h bpf/d/e/m");
    let value = || u64::from_ne_bytes(map.get(&key32(1)).unwrap().try_into().unwrap());
    for (old, moves) in [
        ("h", "mv mnt/h mnt/g"),
        ("g", "mv mnt/g mnt/tmp && mv mnt/tmp mnt/g && mv mnt/g mnt/d/h && mkdir mnt/g"),
        ("d/e/m", "mv mnt/d mnt/c && mkdir bpf/d"),
        ("c/e/m", "mv mnt/c/e mnt/c/f && mv mnt/c mnt/d/"),
    ] {
        let script = format!(
            "root=$PWD; cd mnt/{old}; exec 3<> 1; before=$(stat -c %i .)
             (cd $root; {moves})
             cat 1 ./.count; ls; echo 7 >&3; cat 1; echo 8 > 1; cat 1
             [ $(stat -c %i .) = $before ] || echo another inode
             bash -c 'cd ..; ls -d ${{OLDPWD##*/}}' > /dev/null || echo nowhere"
        );
        map.set(&key32(1), &42u64.to_ne_bytes());
        assert_eq!(bed.ok(&script), "42\n1\n1\n7\n8\n", "{old}");
        assert_eq!(value(), 8, "{old}");
    }
    // By its new name it is the same inode.
    assert_eq!(
        bed.ok("stat -c %i mnt/d/c/h > i; mv mnt/d/c/h mnt/h; stat -c %i mnt/h | diff - i"),
        ""
    );
}

/// A rename never destroys a map that has elements unseen: onto a present map it is refused or
/// replaces the pin as bpffs does, and the moved map is the one that is left.
#[test]
fn mv_onto_a_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let (a, b) = (bed.hash("a"), bed.hash("b"));
    a.set(&key32(1), &1u64.to_ne_bytes());
    b.set(&key32(1), &2u64.to_ne_bytes());
    match fs::rename(bed.at("a"), bed.at("b")) {
        Ok(()) => assert_eq!(bed.read("b/1"), "1\n"),
        Err(_) => assert_eq!((bed.read("a/1"), bed.read("b/1")), ("1\n".into(), "2\n".into())),
    }
    let left: Vec<u32> =
        ["a", "b"].iter().filter(|m| bed.pin(m).exists()).map(|m| bed.open(m).info.id).collect();
    assert!(left.contains(&a.info.id), "the moved map is gone");
    // mv of a map into a map's directory would make it a key: refused, and it stays.
    bed.hash("c");
    let err = bed.fails("mv mnt/c mnt/b/");
    assert!(bed.pin("c").exists(), "{err}");
}

/// `rmdir` of a map removes the pin if the map has no entries or is of a kind whose entries cannot
/// be deleted (arrays); otherwise ENOTEMPTY.
#[test]
fn rmdir_of_maps() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in Kind::ALL {
        let name = kind.name();
        let map = bed.map(name, kind, 4, 8, 4);
        if !kind.is_array() {
            map.set(&key32(1), &vec![0; map.fd.value_len()]);
            refused(fs::remove_dir(bed.at(name)), "ENOTEMPTY");
            assert!(bed.pin(name).exists(), "{name}: the pin went in spite of ENOTEMPTY");
            map.delete(&key32(1));
        }
        fs::remove_dir(bed.at(name)).unwrap_or_else(|e| panic!("rmdir {name}: {e}"));
        assert!(!bed.pin(name).exists(), "{name}: the pin is still there");
    }
    refused(fs::remove_dir(bed.at("hash")), "ENOENT");
}

/// A frozen map keeps its elements to the end: its pin can be removed all the same.
#[test]
fn rmdir_of_frozen_maps() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.hash("h");
    map.set(&key32(1), &[0; 8]);
    map.fd.freeze().unwrap();
    bed.fails_with("rm -r mnt/h", "Operation not permitted");
    bed.ok("grep 'unlink /h/1 EPERM: the map is frozen: rmdir removes its pin' mnt/.errors");
    bed.fails("cat mnt/h/.pop/1; exit 1");
    bed.ok("grep '/h/.pop/1 EPERM: the map is frozen$' mnt/.errors");
    bed.ok("rmdir mnt/h");
    assert!(!bed.pin("h").exists());
}

/// mv(1) copies and deletes where a rename is refused with EXDEV: only of elements may it do so.
#[test]
fn mv_empties_nothing() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let (map, other) = (bed.hash("h"), bed.hash("other"));
    map.set(&key32(1), &42u64.to_ne_bytes());
    bed.ok("mkdir bpf/sub && mount -t bpf bpf bpf/sub && mkdir bpf/sub/d");
    let id = map.info.id;
    for moved in [
        "mnt/h mnt/sub/h",
        "mnt/h mnt/sub/d/",
        "mnt/sub mnt/new",
        &format!("mnt/.id/{id} mnt/new"),
        "mnt/h/.raw mnt/new",
        "mnt/h/.field/1 mnt/new",
        "mnt/h/.entries mnt/new",
        "mnt/h mnt/other/2",
        "mnt/h/.pop/1 mnt/other/2",
        "mnt/.errors mnt/new",
    ] {
        bed.fails(&format!("mv {moved}"));
        assert_eq!((bed.read("h/1"), map.keys().len()), ("42\n".into(), 1), "mv {moved}");
        assert_eq!(bed.ok("ls mnt bpf/sub bpf/sub/d").matches("new").count(), 0, "mv {moved}");
    }
    refused(fs::rename(bed.at("h"), bed.at("sub/h")), "EPERM");
    refused(fs::rename(bed.at(&format!(".id/{id}")), bed.at("new")), "EPERM");
    bed.ok("mv mnt/h/1 mnt/other/2");
    assert_eq!((map.keys().len(), other.keys().len()), (0, 1));
    bed.ok("umount bpf/sub");
}

/// So `rm -r MAP` deletes the entries and then the pin.
#[test]
fn rm_r_of_maps() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 5000);
    map.fill32(5000, &[1; 8]);
    bed.ok("rm -r mnt/h");
    assert!(!bed.pin("h").exists(), "the pin is still there");
    assert_eq!(map.keys().len(), 0, "elements are left in the map");
    // A whole directory of maps.
    bed.ok("mkdir -p bpf/d/e");
    for name in ["d/one", "d/e/two"] {
        bed.hash(name).fill32(10, &[1; 8]);
    }
    bed.ok("rm -r mnt/d");
    assert!(!bed.pin("d").exists());
}

/// rmdir of plain directories, and mkdir's opposite: what is not empty stays.
#[test]
fn rmdir_of_directories() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("mkdir -p bpf/d/e");
    refused(fs::remove_dir(bed.at("d")), "ENOTEMPTY");
    fs::remove_dir(bed.at("d/e")).unwrap();
    fs::remove_dir(bed.at("d")).unwrap();
    assert!(!bed.pin("d").exists());
    // A map is a directory, so unlink(2) does not take it.
    bed.hash("h");
    refused(fs::remove_file(bed.at("h")), "EISDIR");
    assert!(bed.pin("h").exists());
}

/// Symlinks in bpffs: symlinks: shown as they are, followed by those who follow them.
#[test]
fn symlinks() {
    require!("root", "bpf", "fuse", "find");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &42u64.to_ne_bytes());
    bed.ok("mkdir bpf/d");
    for (target, name) in [("h", "l"), ("../h", "d/l"), ("d", "dir"), ("nowhere", "dangling")] {
        symlink(target, bed.pin(name)).unwrap();
        assert_eq!(fs::read_link(bed.at(name)).unwrap().to_str(), Some(target));
    }
    assert_eq!(bed.ok("cat mnt/l/1 mnt/d/l/1 mnt/dir/l/1; ls mnt/l"), "42\n42\n42\n1\n");
    assert_eq!(bed.ok("find mnt -type l | wc -l"), "4\n");
    assert_eq!(bed.ok("stat -c '%F %a' mnt/l"), bed.ok("stat -c '%F %a' bpf/l"));
    refused(fs::metadata(bed.at("dangling")), "ENOENT");
    // Changed elsewhere, seen at once; removed here, removed there, and the map stays.
    bed.ok("ln -sfn d bpf/l");
    assert_eq!(bed.ok("readlink mnt/l"), "d\n");
    bed.ok("rm mnt/l");
    assert!(fs::symlink_metadata(bed.pin("l")).is_err());
    assert_eq!(bed.read("h/1"), "42\n");
}

/// Every open shows the map as it is at that moment: a pin replaced by another map.
#[test]
fn a_replaced_pin_is_seen_at_once() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for n in 0..50u64 {
        // Other sizes, so that an old idea of the map would be wrong.
        let size = [1, 2, 4, 8][n as usize % 4];
        let _ = fs::remove_file(bed.pin("h"));
        let map = bed.map("h", Kind::Hash, 4, size, 10);
        map.set(&key32(1), &n.to_ne_bytes()[..size as usize]);
        assert_eq!(bed.read("h/1"), format!("{n}\n"));
        assert_eq!(bed.list("h"), ["1"]);
        let map = bed.map("other", Kind::Hash, 8, 8, 10);
        map.set(&n.to_ne_bytes(), &[0; 8]);
        fs::rename(bed.pin("other"), bed.pin("h")).unwrap();
        assert_eq!(bed.list("h"), [n.to_string()]);
        assert_eq!(bed.read(&format!("h/{n}")), "0\n");
        assert_eq!(fs::metadata(bed.at("h/1")).is_ok(), n == 1, "an element of the map before");
    }
}

/// A map's directory that is open when its pin is replaced never shows the one in the other's name:
/// what is written through the path reaches the map that is pinned there now.
#[test]
fn a_working_directory_in_a_replaced_map() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &1u64.to_ne_bytes());
    let out = bed.ok("bed=$PWD; cd mnt/h; cat 1
         rm $bed/bpf/h
         bpftool map create $bed/bpf/h type hash key 4 value 8 entries 4 name new
         echo 5 > $bed/mnt/h/2; cat $bed/mnt/h/2; ls $bed/mnt/h");
    assert_eq!(out, "1\n5\n2\n");
    assert_eq!(bed.open("h").get(&key32(2)), Some(5u64.to_ne_bytes().to_vec()));
}

/// A pin that goes, and one that comes, seen at once in look-ups and listings.
#[test]
fn pins_come_and_go() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let others = bed.list("");
    for n in 0..50u64 {
        let map = bed.hash("h");
        map.set(&key32(1), &n.to_ne_bytes());
        assert_eq!(bed.read("h/1"), format!("{n}\n"));
        assert_eq!(bed.list("").len(), others.len() + 1);
        fs::remove_file(bed.pin("h")).unwrap();
        refused(fs::read(bed.at("h/1")), "ENOENT");
        refused(fs::read_dir(bed.at("h")), "ENOENT");
        // The kernel keeps the directory until it is told.
        eventually("the map's directory is gone", || !bed.at("h").exists());
        assert_eq!(bed.list(""), others);
    }
    // A name that was a map becomes a directory, and the other way round.
    bed.hash("x");
    assert_eq!(bed.list("x"), Vec::<String>::new());
    bed.ok("rm bpf/x; mkdir bpf/x");
    bed.hash("x/y");
    assert_eq!(bed.list("x"), ["y"]);
    bed.ok("rm bpf/x/y; rmdir bpf/x");
    bed.hash("x").set(&key32(3), &[0; 8]);
    assert_eq!(bed.list("x"), ["3"]);
}

/// Names with spaces, newlines, UTF-8 and other bytes.
#[test]
fn odd_names() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let long = vec![b'n'; 255];
    let names: [&[u8]; 12] = [
        b"two words",
        b" ",
        b"line\nbreak",
        "größe-Σ-地図".as_bytes(),
        b"\xff\xfe",
        b"\x01\x7f",
        b"-rf",
        b"*",
        b"%2F",
        b"\\",
        b"$(id)'\"",
        &long,
    ];
    for name in names {
        let name = OsStr::from_bytes(name);
        let map = RawMap::create(
            &bed.bpf.join(name),
            &bpffuse::sys::map::NewMap {
                map_type: Kind::Hash.number(),
                key_size: 4,
                value_size: 8,
                max_entries: 4,
                ..Default::default()
            },
        );
        map.set(&key32(1), &42u64.to_ne_bytes());
        let read = fs::read_to_string(bed.mnt.join(name).join("1"));
        assert_eq!(read.unwrap_or_else(|e| panic!("{name:?}: {e}")), "42\n", "{name:?}");
        let listed = fs::read_dir(&bed.mnt).unwrap().any(|e| e.unwrap().file_name() == name);
        assert!(listed, "{name:?} is not listed");
        fs::rename(bed.mnt.join(name), bed.at("plain")).unwrap();
        fs::rename(bed.at("plain"), bed.mnt.join(name)).unwrap();
        map.delete(&key32(1));
        fs::remove_dir(bed.mnt.join(name)).unwrap_or_else(|e| panic!("rmdir {name:?}: {e}"));
        assert!(!bed.bpf.join(name).exists());
    }
    refused(fs::metadata(bed.at(&"n".repeat(256))), "ENAMETOOLONG");
}

/// Programs and links are at least listed as files: `PROG`, `LINK`.
#[test]
fn programs_and_links_are_files() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "find");
    let bed = Bed::new();
    let (maps, iterator) = (object::compile("maps"), object::compile("objects"));
    bed.ok(&format!(
        "bpftool prog loadall {} bpf/progs type classifier pinmaps bpf/maps
         bpftool iter pin {} bpf/link",
        maps.display(),
        iterator.display()
    ));
    bed.ok("test -f mnt/progs/count && test -f mnt/link");
    assert_eq!(
        bed.ok("find mnt '(' -name '*.debug' -o -name maps ')' -prune -o -type f -print | sort"),
        "mnt/link\nmnt/progs/count\n"
    );
    assert_eq!(bed.ok("stat -c %F mnt/maps/hash_u64"), "directory\n");
    // A read-only file: owner as the pin's, no w, no x.
    assert_eq!(bed.ok("stat -c '%a %u' mnt/progs/count"), "400 0\n");
    // rm removes the pin as it would in bpffs; mv renames it.
    bed.ok("mv mnt/progs/count mnt/progs/renamed; test -e bpf/progs/renamed; rm mnt/progs/renamed mnt/link");
    assert_eq!(bed.ok("ls bpf/progs; ls bpf | grep -c link || true"), "0\n");
}

/// A symlink whose target is an absolute path inside the bpffs reads as a relative one, so that it stays in
/// the mount: tc(8) makes such.
#[test]
fn symlinks_stay_in_the_mount() {
    require!("root", "bpf", "fuse", "tar");
    let bed = Bed::new();
    bed.ok("mkdir -p bpf/tc/globals bpf/other/deep");
    bed.hash("tc/globals/h").set(&key32(1), &7_u64.to_ne_bytes());
    let bpf = bed.bpf.display().to_string();
    for (link, target, seen) in [
        ("ip", format!("{bpf}/tc/"), "tc"),
        ("other/deep/l", format!("{bpf}/tc/globals"), "../../tc/globals"),
        ("outside", "/etc/passwd".to_owned(), "/etc/passwd"),
        ("up", format!("{bpf}/../log"), &*format!("{bpf}/../log")),
        ("plain", "tc/globals".to_owned(), "tc/globals"),
    ] {
        symlink(&target, bed.pin(link)).unwrap();
        assert_eq!(fs::read_link(bed.at(link)).unwrap().to_str(), Some(seen), "{link}");
        let size = fs::symlink_metadata(bed.at(link)).unwrap().len();
        assert_eq!(size, seen.len() as u64, "{link}");
    }
    assert_eq!(bed.ok("cat mnt/ip/globals/h/1 mnt/other/deep/l/h/1 mnt/plain/h/1"), "7\n7\n7\n");
    // What follows it meets this mount's files, and a copy's link leads to the copy.
    assert_eq!(
        bed.ok("stat -c %d mnt/ip/globals/h/1 | cmp - <(stat -c %d mnt/) && echo same"),
        "same\n"
    );
    bed.ok(
        "tar c -C mnt ip tc other | tar x -C . ; test \"$(readlink ip)\" = tc; cat ip/globals/h/1",
    );
    // It goes on to lead there from where it is moved to.
    bed.ok("mv mnt/ip mnt/other/deep/ip; cat mnt/other/deep/ip/globals/h/1");
}

/// The objects that the kernel lists but will not open (`maps.debug`) are not listed, so that what reads all
/// of the mount does not fail; by name they give the kernel's error.
#[test]
fn what_the_kernel_will_not_open() {
    require!("root", "bpf", "fuse", "tar");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &7_u64.to_ne_bytes());
    bed.ok("grep -r . mnt && tar c mnt > all.tar && cp -r mnt copy && diff -r mnt copy");
    let link = bpffuse::sys::object::obj_get(&bed.pin("maps.debug"));
    let is_listed = bed.list("").iter().any(|name| name == "maps.debug");
    if let Err(error) = &link {
        // bpffs itself says EPERM of any absent name with a dot.
        let is_there = fs::symlink_metadata(bed.pin("maps.debug")).is_ok();
        let expected = crate::common::errno::name(error.errno);
        let expected = if is_there { expected } else { "ENOENT".to_owned() };
        refused(fs::read(bed.at("maps.debug")), &expected);
    }
    assert_eq!(is_listed, link.is_ok());
}

/// Names that are no text are in `.info` and `.maps` as bytes: `printf %b` gives them back.
#[test]
fn pins_whose_names_are_no_text() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    bed.ok("mkdir $'bpf/d \\xff'");
    let name = OsStr::from_bytes(b"d \xff/caf\xe9\\x41 \xc3\xa9");
    bed.hash("h");
    bed.ok("bpftool map pin pinned bpf/h $'bpf/d \\xff/caf\\xe9\\\\x41 \\xc3\\xa9'");
    assert!(bed.bpf.join(name).exists());
    let pins = bed.ok("jq -r '.pins[]' mnt/h/.info");
    let expected =
        format!("{}/d \\xff/caf\\xe9\\x5cx41 \u{e9}\n{}/h\n", bed.shown("bpf"), bed.shown("bpf"));
    assert_eq!(pins, expected);
    bed.ok("jq -r '.pins[]' mnt/h/.info | while IFS= read -r pin; do test -e \"$(printf %b \"$pin\")\" || exit 1; done");
    let id = bed.ok("jq .id mnt/h/.info");
    let row = bed.ok(&format!("grep '^ *{} ' mnt/.maps", id.trim()));
    let pins = row.split_whitespace().nth(9).unwrap();
    assert_eq!(pins, expected.trim().replace('\n', ",").replace(' ', "\\x20"));
    bed.ok(&format!("printf %b '{pins}' | tr , '\\n' | while IFS= read -r pin; do test -e \"$pin\" || exit 1; done"));
}

/// "`statfs` answers."
#[test]
fn statfs() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    for path in ["mnt", "mnt/h", "mnt/h/1"] {
        bed.ok(&format!("stat -f {path}; df {path}"));
    }
}

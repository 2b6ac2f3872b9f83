//! Maps in maps as symlinks, the ways that programs make, follow and replace them.

use crate::common::require::require;
use crate::common::{Bed, RawMap, key32, refused};
use bpffuse::sys::map::{NewMap, kind as k};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

/// `inner` and `other`, alike; `wide`, whose keys are wider; and an outer map of each sort.
fn maps(bed: &Bed) -> [RawMap; 3] {
    let hash = |name: &str, key_size| {
        let new = NewMap {
            map_type: k::HASH,
            name: name.to_owned(),
            key_size,
            value_size: 4,
            max_entries: 10,
            ..NewMap::default()
        };
        RawMap::create(&bed.pin(name), &new)
    };
    let inner = [hash("inner", 4), hash("other", 4), hash("wide", 8)];
    for (name, map_type) in [("array", k::ARRAY_OF_MAPS), ("hash", k::HASH_OF_MAPS)] {
        let new = NewMap {
            map_type,
            name: name.to_owned(),
            key_size: 4,
            value_size: 4,
            max_entries: 8,
            inner_map: Some(inner[0].fd.as_fd()),
            ..NewMap::default()
        };
        RawMap::create(&bed.pin(name), &new);
    }
    inner
}

fn id_at(bed: &Bed, outer: &str, key: u32) -> Option<u32> {
    let value = bed.open(outer).get(&key32(key))?;
    Some(u32::from_ne_bytes(value.try_into().unwrap()))
}

/// `ln -s` sets a key that is not there, `ln -sfn` also one that is, at one stroke; neither lists
/// anything else meanwhile.
#[test]
fn ln_sets_and_replaces() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let [inner, other, _wide] = maps(&bed);
    for outer in ["array", "hash"] {
        let at = |key| id_at(&bed, outer, key);
        bed.ok(&format!("cd mnt && ln -s ../inner {outer}/3"));
        assert_eq!(at(3), Some(inner.info.id));
        bed.fails_with(&format!("cd mnt && ln -sT ../other {outer}/3"), "File exists");
        assert_eq!(at(3), Some(inner.info.id));
        for options in ["-sfn", "-sfT", "-sf -n"] {
            for (target, id) in [
                ("../other".to_owned(), other.info.id),
                (format!("../.id/{}", inner.info.id), inner.info.id),
                (bed.shown("mnt/other"), other.info.id),
                (bed.shown("bpf/inner"), inner.info.id),
            ] {
                bed.ok(&format!("cd mnt && ln {options} {target} {outer}/3"));
                assert_eq!(at(3), Some(id), "ln {options} {target}");
                let link = bed.ok(&format!("readlink mnt/{outer}/3"));
                assert_eq!(link, format!("../.id/{id}\n"));
                assert_eq!(bed.list(outer), ["3"]);
            }
        }
        // A new key too; and by Python's and mv's way to replace a link.
        bed.ok(&format!("cd mnt && ln -sfn ../other {outer}/4"));
        assert_eq!(at(4), Some(other.info.id));
        bed.python(&format!(
            "
            os.symlink('../inner', 'mnt/{outer}/.new')
            assert os.readlink('mnt/{outer}/.new') == '../.id/{0}'
            assert '.new' not in os.listdir('mnt/{outer}')
            os.replace('mnt/{outer}/.new', 'mnt/{outer}/4')
            assert not os.path.lexists('mnt/{outer}/.new')
            assert os.readlink('mnt/{outer}/4') == '../.id/{0}'
            ",
            inner.info.id
        ));
        assert_eq!(at(4), Some(inner.info.id));
        // What cannot be done changes nothing and leaves nothing.
        bed.fails_with(&format!("cd mnt && ln -sfn ../wide {outer}/3"), "Invalid argument");
        assert!(bed.errors().iter().any(|line| line.contains("outer map's template")));
        bed.fails_with(&format!("cd mnt && ln -sfn ../nonesuch {outer}/3"), "No such file");
        bed.fails_with(&format!("cd mnt && ln -sfn /etc/passwd {outer}/3"), "Invalid argument");
        bed.fails_with(&format!("cd mnt && ln -sfn ../inner {outer}/x"), "Invalid argument");
        // No file comes of a plain write, at open already.
        bed.fails_with(&format!("echo {} > mnt/{outer}/5", inner.info.id), "not permitted");
        assert!(bed.errors().last().unwrap().contains("EPERM: the elements of a map of maps are"));
        assert_eq!(at(5), None);
        assert_eq!(at(3), Some(inner.info.id));
        assert_eq!(bed.list(outer), ["3", "4"]);
        symlink("../other", bed.at(&format!("{outer}/.gone"))).unwrap();
        fs::remove_file(bed.at(&format!("{outer}/.gone"))).unwrap();
        refused(fs::read_link(bed.at(&format!("{outer}/.gone"))), "ENOENT");
        // Without -n, ln(1) means a name in the directory that the link leads to.
        bed.fails(&format!("cd mnt && ln -sf ../other {outer}/3"));
        assert_eq!(at(3), Some(inner.info.id));
        // Keys are renamed as little as ever.
        refused(fs::rename(bed.at(&format!("{outer}/3")), bed.at(&format!("{outer}/5"))), "EXDEV");
        assert_eq!(bed.list(outer), ["3", "4"]);
    }
}

/// What a link leads to is the inner map, for everything that follows links.
#[test]
fn links_are_followed() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let [inner, other, _wide] = maps(&bed);
    inner.set(&key32(7), &42_u32.to_ne_bytes());
    other.set(&key32(8), &43_u32.to_ne_bytes());
    for outer in ["array", "hash"] {
        bed.ok(&format!("cd mnt && ln -s ../inner {outer}/3 && ln -s ../other {outer}/0"));
        assert_eq!(bed.ok(&format!("ls mnt/{outer}/3/")), "7\n");
        assert_eq!(bed.ok(&format!("cat mnt/{outer}/3/7")), "42\n");
        assert_eq!(bed.ok(&format!("ls mnt/{outer}")), "0\n3\n");
        let found = bed.ok(&format!("find -L mnt/{outer} -type f | sort"));
        assert_eq!(found, format!("mnt/{outer}/0/8\nmnt/{outer}/3/7\n"));
        assert_eq!(bed.ok(&format!("find mnt/{outer} -type l | wc -l")), "2\n");
        assert_eq!(bed.ok(&format!("find mnt/{outer} -type f | wc -l")), "0\n");
        assert_eq!(bed.ok(&format!("grep -r . mnt/{outer}; true")), "", "grep -r follows none");
        assert_eq!(
            bed.ok(&format!("stat -c '%F %s' mnt/{outer}/3")).len(),
            bed.ok(&format!("printf 'symbolic link %s\n' $(readlink -n mnt/{outer}/3 | wc -c)"))
                .len()
        );
        bed.ok(&format!("echo 44 > mnt/{outer}/0/9 && jq -e .id mnt/{outer}/0/.info"));
        assert_eq!(other.get(&key32(9)), Some(44_u32.to_ne_bytes().to_vec()));
        other.delete(&key32(9));
        // tar and rsync copy them as the links that they are.
        let listed = bed.ok(&format!("tar c -C mnt {outer} | tar tv | grep -c -- '-> ../.id/'"));
        assert_eq!(listed, "2\n");
        let line = format!("{{\"key\":3,\"value\":{}}}\n", inner.info.id);
        assert!(bed.read(&format!("{outer}/.entries")).contains(&line));
        bed.ok(&format!("rm mnt/{outer}/3"));
        assert_eq!(id_at(&bed, outer, 3), None);
        bed.fails_with(&format!("rm mnt/{outer}/3"), "No such file");
        bed.fails_with(&format!("cat mnt/{outer}/3/7"), "No such file");
        bed.ok(&format!("rm -r mnt/{outer}"));
        assert!(!bed.pin(outer).exists());
    }
    assert_eq!(inner.get(&key32(7)), Some(42_u32.to_ne_bytes().to_vec()), "rm -r follows none");
}

/// Setting references … is the mount owner's alone, by renaming too.
#[test]
fn links_are_the_owners() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    maps(&bed);
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    for outer in ["array", "hash"] {
        bed.ok(&format!("chmod 777 mnt mnt/{outer} mnt/inner; ln -s ../inner mnt/{outer}/.new"));
        bed.fails_with(&format!("{nobody} ln -s ../inner mnt/{outer}/3"), "not permitted");
        bed.fails_with(&format!("{nobody} ln -s ../inner mnt/{outer}/.x"), "not permitted");
        bed.fails_with(&format!("{nobody} mv -T mnt/{outer}/.new mnt/{outer}/3"), "not permitted");
        assert_eq!(id_at(&bed, outer, 3), None);
        bed.ok(&format!("mv -T mnt/{outer}/.new mnt/{outer}/3"));
        assert!(id_at(&bed, outer, 3).is_some());
        // As the kernel has it: not over what is there.
        bed.ok(&format!(
            "ln -s ../other mnt/{outer}/.new; mv -nT mnt/{outer}/.new mnt/{outer}/3; true"
        ));
        assert_eq!(id_at(&bed, outer, 3), Some(bed.open("inner").info.id));
    }
}

/// `cat a/.schema > b && cat a/.entries > b/.entries` copies a map: one of maps too, which is then
/// of the same maps.
#[test]
fn entries_copy_maps_of_maps() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let [inner, other, wide] = maps(&bed);
    for outer in ["array", "hash"] {
        bed.ok(&format!("cd mnt/{outer} && ln -s ../inner 3 && ln -s ../other 7"));
        bed.ok(&format!(
            "cd mnt; cat {outer}/.schema > copy && cat {outer}/.entries > copy/.entries"
        ));
        let ids = [3, 7].map(|key| id_at(&bed, "copy", key));
        assert_eq!(ids, [Some(inner.info.id), Some(other.info.id)]);
        // What does not fit is refused with its line, and what came before it stands.
        let line = |key: u32, id: u32| format!("{{\"key\":{key},\"value\":{id}}}\n");
        let lines = line(0, inner.info.id) + &line(1, wide.info.id) + &line(2, inner.info.id);
        refused(fs::write(bed.at("copy/.entries"), lines), "EINVAL");
        let said = bed.errors().pop().unwrap();
        assert!(said.contains("line 2: ") && said.ends_with("; 1 element stored"), "{said}");
        assert_eq!([0, 1, 2].map(|key| id_at(&bed, "copy", key).is_some()), [true, false, false]);
        refused(fs::write(bed.at("copy/.entries"), line(0, u32::MAX)), "ENOENT");
        refused(fs::write(bed.at("array/.entries"), line(8, inner.info.id)), "EINVAL");
        // As with ln -s, it is the mount's owner who names maps.
        bed.ok("chmod 666 bpf/copy");
        let user = "setpriv --reuid=1111 --regid=1111 --clear-groups --";
        bed.fails_with(
            &format!("{user} bash -c ': > mnt/copy/.entries'"),
            "Operation not permitted",
        );
        bed.ok("rm -r mnt/copy");
    }
}

/// A symlink has no mode of its own: which map is in a map of maps is for those who may read it.
#[test]
fn links_are_for_readers() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let [inner, ..] = maps(&bed);
    bed.ok("cd mnt && ln -s ../inner hash/3");
    let target = format!("../.id/{}\n", inner.info.id);
    let user = "setpriv --reuid=1111 --regid=1111 --clear-groups";
    for (mode, groups, may) in [
        ("604", "", true),
        ("602", "", false),
        ("660", "--groups=2222", true),
        ("620", "--groups=2222", false),
    ] {
        bed.ok(&format!("chmod {mode} bpf/hash; chgrp 2222 bpf/hash"));
        let user = user
            .replace("--clear-groups", if groups.is_empty() { "--clear-groups" } else { groups });
        let read = format!("{user} -- readlink -v mnt/hash/3");
        if may {
            assert_eq!(bed.ok(&read), target, "{mode}");
        } else {
            bed.fails_with(&read, "Permission denied");
            assert_eq!(bed.ok(&format!("{user} -- stat -c %s mnt/hash/3")), "0\n", "{mode}");
        }
        assert_eq!(bed.ok("readlink mnt/hash/3"), target);
    }
}

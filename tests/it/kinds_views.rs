//! Controls and views of the kinds whose elements stand for something else.

use crate::common::kernel::{lacks_map, lacks_taking};
use crate::common::require::require;
use crate::common::{Bed, key32, refused, write_with};
use crate::kinds_common::{Holder, Programs, make, prog_id};
use bpffuse::sys::map::kind as k;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::time::Duration;

const ANY: i32 = libc::O_CREAT | libc::O_TRUNC;

/// The lines of a map's `.watch`, as they come.
fn watch(bed: &Bed, map: &str) -> impl Fn() -> String {
    let (send, lines) = std::sync::mpsc::channel();
    let file = BufReader::new(File::open(bed.at(&format!("{map}/.watch"))).unwrap());
    std::thread::spawn(move || {
        for line in file.lines() {
            if line.map(|line| send.send(line)).is_err() {
                return;
            }
        }
    });
    move || lines.recv_timeout(Duration::from_secs(10)).expect("a line within 10 seconds")
}

/// `.watch`: a stream of changes: of references as of data, in the form that reads have.
#[test]
fn references_are_watched() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::with(&["--watch-interval", "50ms"]);
    let programs = Programs::load(&bed, "kinds");
    let id = prog_id(&bed, "landing");
    bed.write("jumps/0", &id.to_string());
    let next = watch(&bed, "jumps");
    assert_eq!(next(), format!("{{\"op\":\"set\",\"key\":0,\"value\":{id}}}"));
    bed.write("jumps/2", &id.to_string());
    assert_eq!(next(), format!("{{\"op\":\"set\",\"key\":2,\"value\":{id}}}"));
    fs::remove_file(bed.at("jumps/0")).unwrap();
    assert_eq!(next(), "{\"op\":\"delete\",\"key\":0}");
    for (map, kind) in [("d", k::DEVMAP), ("dh", k::DEVMAP_HASH)] {
        make(&bed, map, kind);
        let next = watch(&bed, map);
        bed.write(&format!("{map}/3"), "lo");
        let lo = "{\"ifindex\":1,\"name\":\"lo\"}";
        assert_eq!(next(), format!("{{\"op\":\"set\",\"key\":3,\"value\":{lo}}}"));
        fs::remove_file(bed.at(&format!("{map}/3"))).unwrap();
        assert_eq!(next(), "{\"op\":\"delete\",\"key\":3}");
    }
    // As a map of maps shows its maps elsewhere: by their ids.
    for (map, kind) in [("am", k::ARRAY_OF_MAPS), ("hm", k::HASH_OF_MAPS)] {
        make(&bed, map, kind);
        let new = bpffuse::sys::map::NewMap {
            map_type: k::HASH,
            name: "like".to_owned(),
            key_size: 4,
            value_size: 4,
            max_entries: 10,
            ..Default::default()
        };
        let like = crate::common::RawMap::create(&bed.pin(&format!("{map}_like")), &new);
        let next = watch(&bed, map);
        symlink(format!("../{map}_like"), bed.at(&format!("{map}/1"))).unwrap();
        assert_eq!(next(), format!("{{\"op\":\"set\",\"key\":1,\"value\":{}}}", like.info.id));
        fs::remove_file(bed.at(&format!("{map}/1"))).unwrap();
        assert_eq!(next(), "{\"op\":\"delete\",\"key\":1}");
    }
    drop(programs);
}

/// No view and no control sets what only the owner may name: neither bytes, nor a member, nor the
/// zeros of touch(1); lines do, where what is read is a name.
#[test]
fn references_are_set_in_one_way() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in [
        k::PROG_ARRAY,
        k::ARRAY_OF_MAPS,
        k::HASH_OF_MAPS,
        k::DEVMAP,
        k::DEVMAP_HASH,
        k::CPUMAP,
        k::SOCKMAP,
        k::SOCKHASH,
        k::REUSEPORT_SOCKARRAY,
        k::XSKMAP,
        k::CGROUP_ARRAY,
        k::PERF_EVENT_ARRAY,
    ] {
        let name = k::name(kind).unwrap();
        let raw = make(&bed, name, kind);
        let at = |file: &str| bed.at(&format!("{name}/{file}"));
        let value = vec![1; raw.info.value_size as usize];
        refused(write_with(at(".raw/00000000"), ANY, &value), "EOPNOTSUPP");
        let line = b"{\"key\":0,\"value\":4294967295}\n";
        let refusal = match kind {
            k::PROG_ARRAY | k::ARRAY_OF_MAPS | k::HASH_OF_MAPS => "ENOENT",
            k::DEVMAP | k::DEVMAP_HASH => "EINVAL",
            k::CPUMAP => "errno 75",
            _ => "EOPNOTSUPP",
        };
        refused(write_with(at(".entries"), 0, line), refusal);
        let touched = bed.run(&format!("touch mnt/{name}/0"));
        if raw
            .fd
            .lookup(&key32(0), &mut vec![0; value.len()], 0)
            .is_err_and(|e| e.errno == libc::ENOENT)
        {
            assert!(!touched.status.success(), "{name}");
            assert!(bed.list(name).is_empty(), "{name}");
        }
        // A member of what is not there, and of what cannot be read.
        let member = fs::write(at(".field/0/a"), "1").unwrap_err().raw_os_error();
        assert!(
            matches!(member, Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENOTDIR | libc::EPERM)),
            "{name}: {member:?}"
        );
    }
}

/// "`.pop` … both": to take is to read and to write.
#[test]
fn taking_needs_both_rights() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    let queue = make(&bed, "q", k::QUEUE);
    let hash = make(&bed, "h", k::HASH);
    queue.set(&[], &key32(5));
    hash.set(&key32(1), &key32(6));
    for mode in ["604", "602", "660"] {
        bed.ok(&format!("chmod {mode} bpf/q bpf/h"));
        bed.fails_with(&format!("{nobody} cat mnt/q/.pop"), "Permission denied");
        bed.fails_with(&format!("{nobody} cat mnt/h/.pop/1"), "Permission denied");
    }
    bed.ok("chmod 604 bpf/q bpf/h");
    assert_eq!(bed.ok(&format!("{nobody} cat mnt/q/head mnt/h/1")), "5\n6\n");
    bed.fails_with(&format!("{nobody} bash -c 'echo 1 > mnt/q/.push'"), "Permission denied");
    bed.ok("chmod 606 bpf/q bpf/h");
    assert_eq!(bed.ok(&format!("{nobody} cat mnt/q/.pop")), "5\n");
    assert_eq!(queue.get(&[]), None);
    if !lacks_taking(&hash) {
        assert_eq!(bed.ok(&format!("{nobody} cat mnt/h/.pop/1")), "6\n");
        assert_eq!(hash.get(&key32(1)), None);
    }
    bed.ok(&format!("{nobody} bash -c 'echo 7 > mnt/q/.push'"));
    assert_eq!(queue.get(&[]), Some(key32(7).to_vec()));
}

/// An arena that a process has mapped: what it is, and the kernel's refusal to freeze it.
#[test]
fn an_arena_in_use() {
    require!("root", "bpf", "fuse", "python3");
    if lacks_map(k::ARENA) {
        return;
    }
    let bed = Bed::new();
    let raw = make(&bed, "a", k::ARENA);
    let (holder, _) = Holder::start(
        &bed,
        "
            import mmap
            m = mmap.mmap(bpf_get('bpf/a'), mmap.PAGESIZE, mmap.MAP_SHARED)
            m[0:4] = b'used'
            ready()
            time.sleep(100)
            ",
    );
    let info: serde_json::Value = serde_json::from_str(&bed.read("a/.info")).unwrap();
    assert_eq!((&info["type"], &info["max_entries"]), (&"arena".into(), &1.into()));
    assert_eq!(info["flags"], serde_json::json!(["mmapable"]));
    assert!(bed.list("a").is_empty());
    assert_eq!(raw.fd.freeze().unwrap_err().errno, libc::EBUSY);
    refused(write_with(bed.at("a/.freeze"), 0, b"1"), "EBUSY");
    assert_eq!(bed.read("a/.freeze"), "0\n");
    drop(holder);
    fs::remove_dir(bed.at("a")).unwrap();
    assert!(!bed.pin("a").exists());
}

/// Kinds without elements still mount, with `.info`.
#[test]
fn kinds_without_elements() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (name, kind) in [("r", k::RINGBUF), ("u", k::USER_RINGBUF), ("a", k::ARENA)] {
        if lacks_map(kind) {
            continue;
        }
        make(&bed, name, kind);
        assert!(bed.list(name).is_empty());
        refused(fs::read(bed.at(&format!("{name}/0"))), "ENOENT");
        refused(write_with(bed.at(&format!("{name}/0")), ANY, b"1"), "EINVAL");
        let info: serde_json::Value =
            serde_json::from_str(&bed.read(&format!("{name}/.info"))).unwrap();
        assert_eq!(info["type"], k::name(kind).unwrap());
        bed.ok(&format!("cat mnt/{name}/.help"));
        for control in [".stream", ".push", ".pop/0"].iter().filter(|_| kind == k::ARENA) {
            refused(File::open(bed.at(&format!("a/{control}"))), "EOPNOTSUPP");
        }
    }
}

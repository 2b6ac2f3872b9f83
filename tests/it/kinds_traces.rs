//! Stack traces, perf events and local storage: what the kernel records, and what belongs to a
//! descriptor.

use crate::common::kernel::{lacks, lacks_map};
use crate::common::require::require;
use crate::common::{Bed, host_order, key32, refused, write_with};
use crate::kinds_common::{Holder, Programs, freed, make};
use bpffuse::sys::map::kind as k;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const ANY: i32 = libc::O_CREAT | libc::O_TRUNC;

/// The frames of a stack as the mount has them.
fn frames(bed: &Bed, name: &str) -> Vec<Value> {
    let text = bed.read(name);
    assert!(text.ends_with("]\n") && text.lines().count() == 1, "{text:?}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Stack_trace shows addresses with kernel symbols where they can be known
#[test]
fn kernel_stacks() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    assert!(bed.list("stacks").is_empty());
    let id = programs.run_raw("kernel_stack", [0, 0], None);
    assert!(id >= 0, "no stack: {id}");
    assert_eq!(bed.list("stacks"), [id.to_string()]);
    let raw = bed.open("stacks");
    let bytes = raw.get(&id.to_ne_bytes()).unwrap();
    let addresses = bytes.chunks(8).map(|b| u64::from_ne_bytes(b.try_into().unwrap()));
    let addresses: Vec<u64> = addresses.take_while(|&address| address != 0).collect();
    assert!(addresses.len() > 3, "{addresses:x?}");
    let shown = frames(&bed, &format!("stacks/{id}"));
    assert_eq!(shown.len(), addresses.len());
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
    let starts = |name: &str| -> Vec<u64> {
        let lines = symbols.lines().filter(|line| line.split_whitespace().nth(2) == Some(name));
        lines.map(|line| u64::from_str_radix(&line[..16], 16).unwrap()).collect()
    };
    for (frame, address) in shown.iter().zip(&addresses) {
        let (number, symbol) = frame.as_str().unwrap().split_once(' ').expect("a symbol");
        assert_eq!(number, format!("{address:#x}"));
        let (name, offset) = symbol.split_once("+0x").expect("an offset");
        let offset = u64::from_str_radix(offset, 16).unwrap();
        assert!(starts(name).contains(&(address - offset)), "{frame} is not in /proc/kallsyms");
    }
    // The system call that runs the program is in every such stack.
    assert!(shown.iter().any(|frame| frame.as_str().unwrap().contains(" __sys_bpf+0x")));
    let entries = bed.read("stacks/.entries");
    assert_eq!(entries, format!("{{\"key\":{id},\"value\":{}}}\n", Value::from(shown)));
    assert_eq!(fs::read(bed.at("stacks/.raw").join(hex(id))).unwrap(), bytes);
    // Only the kernel records, and what it recorded can be deleted.
    assert_eq!(raw.fd.update(&id.to_ne_bytes(), &bytes, 0).unwrap_err().errno, libc::EINVAL);
    for flags in [0, ANY] {
        refused(write_with(bed.at(&format!("stacks/{id}")), flags, b"[]"), "EOPNOTSUPP");
    }
    fs::remove_file(bed.at(&format!("stacks/{id}"))).unwrap();
    assert_eq!(raw.get(&id.to_ne_bytes()), None);
    refused(fs::remove_file(bed.at(&format!("stacks/{id}"))), "ENOENT");
    let again = programs.run_raw("kernel_stack", [0, 0], None);
    let absent = if again == 0 { 1_i32 } else { 0 };
    let probe = raw.fd.take(&absent.to_ne_bytes(), &mut vec![0; bytes.len()], 0).unwrap_err();
    if lacks("BPF_MAP_LOOKUP_AND_DELETE_ELEM of stack traces", probe.errno != libc::EOPNOTSUPP) {
        refused(fs::read(bed.at(&format!("stacks/.pop/{again}"))), "EOPNOTSUPP");
        assert!(raw.get(&again.to_ne_bytes()).is_some(), "refused, and yet taken");
        return;
    }
    let taken = frames(&bed, &format!("stacks/.pop/{again}"));
    assert!(taken.len() > 3);
    refused(fs::read(bed.at(&format!("stacks/.pop/{again}"))), "ENOENT");
    assert_eq!(raw.get(&again.to_ne_bytes()), None);
}

fn hex(key: i32) -> String {
    key.to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// User space's frames: addresses without a symbol, or build ids and offsets in their files.
#[test]
fn user_stacks() {
    require!("root", "bpf", "fuse", "clang", "readelf");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    let id = programs.run_raw("user_stack", [0, 0], None);
    let shown = frames(&bed, &format!("stacks/{id}"));
    let bytes = bed.open("stacks").get(&id.to_ne_bytes()).unwrap();
    let first = u64::from_ne_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(shown[0], format!("{first:#x}"));
    // It is where this process called the kernel: in its C library.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mapping = maps.lines().find(|line| {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let at = |text| u64::from_str_radix(text, 16).unwrap();
        (at(from)..at(to)).contains(&first)
    });
    let file = mapping.expect("a mapping").split_whitespace().nth(5).expect("a file").to_owned();
    let id = programs.run_raw("user_build_ids", [0, 0], None);
    assert!(id >= 0, "no stack: {id}");
    let shown = frames(&bed, &format!("build_ids/{id}"));
    let bytes = bed.open("build_ids").get(&id.to_ne_bytes()).unwrap();
    let frame = &bytes[..32];
    assert_eq!(frame[..4], 1_i32.to_ne_bytes(), "BPF_STACK_BUILD_ID_VALID");
    let build_id: String = frame[4..24].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown[0]["build_id"], build_id);
    assert_eq!(shown[0]["offset"], u64::from_ne_bytes(frame[24..32].try_into().unwrap()));
    let notes = bed.ok(&format!("readelf -n {file} 2> /dev/null"));
    assert!(notes.contains(&format!("Build ID: {build_id}")), "{file}: {notes}");
    let valid = bytes.chunks(32).take_while(|frame| frame[..4] != [0; 4]).count();
    assert_eq!(shown.len(), valid);
    assert_eq!(bed.list("build_ids"), [id.to_string()]);
}

/// perf_event_array with BPF_F_PRESERVE_ELEMS: an event set through the mount stays when the daemon
/// lets the map go, and is never read back.
#[test]
fn perf_events_that_stay() {
    require!("root", "bpf", "fuse", "clang", "python3");
    let mut bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    let id = bed.open("kept").info.id;
    let info: Value = serde_json::from_str(&bed.read("kept/.info")).unwrap();
    assert_eq!(info["flags"], serde_json::json!(["preserve_elems"]));
    let (mut holder, fd) = Holder::start(
        &bed,
        "
            import mmap
            attr = ctypes.create_string_buffer(struct.pack('=IIQQQQQIIQ', 1, 64, 10, 1, 1 << 10, 0, 0, 1, 0, 0))
            fd = check(libc.syscall(298, attr, -1, 0, -1, 0))
            ring = mmap.mmap(fd, 2 * mmap.PAGESIZE)
            ready(fd)
            for line in open(bell, 'r'):
                print('data' if struct.unpack_from('=Q', ring, 1024)[0] else 'none', flush=True)
            ",
    );
    let output = || programs.run_raw("to_kept", [7, 0], Some(0));
    assert_eq!(output(), -libc::ENOENT, "nothing set");
    assert_eq!(holder.ring(""), "none");
    bed.write("kept/0", &holder.fd(&fd));
    assert_eq!(output(), 0);
    assert_eq!(holder.ring(""), "data");
    bed.stop();
    assert_eq!(output(), 0, "it stays without the daemon");
    bed.start(&[]);
    refused(fs::read(bed.at("kept/0")), "EOPNOTSUPP");
    let raw = bed.open("kept");
    assert_eq!(raw.fd.lookup(&key32(0), &mut [0; 4], 0).unwrap_err().errno, libc::EOPNOTSUPP);
    drop(raw);
    assert!(bed.list("kept").is_empty());
    fs::remove_file(bed.at("kept/0")).unwrap();
    assert_eq!(output(), -libc::ENOENT);
    refused(fs::remove_file(bed.at("kept/0")), "ENOENT");
    // Something that is no perf event; a place past the end.
    refused(write_with(bed.at("kept/0"), ANY, holder.fd("0").as_bytes()), "EINVAL");
    refused(write_with(bed.at("kept/2"), ANY, holder.fd(&fd).as_bytes()), "EINVAL");
    // A stream takes its own events out again, which the kernel would keep here.
    let reader = bed.spawn("head -n 1 mnt/kept/.stream");
    crate::common::eventually("the stream is open", || output() == 0);
    let text = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
    // Perf pads its records.
    let first = host_order("\"0x0700000000000000", "\"0x0000000000000007");
    assert!(text.starts_with(first), "{text}");
    crate::common::eventually("its events are gone", || output() == -libc::ENOENT);
    bed.write("kept/0", &holder.fd(&fd));
    bed.write("kept/.clear", "1");
    assert_eq!(output(), -libc::ENOENT);
    bed.write("kept/0", &holder.fd(&fd));
    drop(programs);
    bed.ok("rm -r bpf/kept bpf/p");
    freed(id);
}

/// Local storage: a name of the right form that leads to something of another sort is no key.
#[test]
fn storage_of_something_else() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let file = bed.dir.join("file");
    fs::write(&file, "").unwrap();
    let own = std::process::id();
    let opened = fs::File::open(&file).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&opened);
    bed.ok("mkdir -p cg; mount -t cgroup2 none cg");
    // The id of a cgroup's file, which is no cgroup's.
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let id = inode(bed.dir.join("cg/cgroup.procs"));
    let cases = [
        (k::TASK_STORAGE, vec!["0".to_owned(), "2147483647".to_owned()], Some(libc::EBADF)),
        (k::SK_STORAGE, vec![format!("{own}:{fd}")], Some(libc::ENOTSOCK)),
        (k::CGRP_STORAGE, vec!["%2Fetc".to_owned(), id.to_string()], Some(libc::EBADF)),
        (k::INODE_STORAGE, vec!["%2Fno%2Fsuch".to_owned()], None),
    ];
    for (kind, names, errno) in cases {
        if lacks_map(kind) {
            continue;
        }
        let name = k::name(kind).unwrap();
        let raw = make(&bed, name, kind);
        if let Some(errno) = errno {
            let found = raw.fd.lookup(&fd.to_ne_bytes(), &mut [0; 4], 0);
            assert_eq!(found.unwrap_err().errno, errno, "{name}");
        }
        for key in names {
            let path = bed.at(name).join(&key);
            refused(fs::read(&path), "ENOENT");
            refused(fs::remove_file(&path), "ENOENT");
            refused(write_with(&path, 0, b"1"), "ENOENT");
            let created = write_with(&path, ANY, b"1").unwrap_err().raw_os_error();
            assert!(matches!(created, Some(libc::ENOENT | libc::EINVAL)), "{name}/{key}");
        }
        fs::set_permissions(bed.pin(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

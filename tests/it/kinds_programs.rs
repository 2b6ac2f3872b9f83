//! Maps that programs are put into, or that programs bring with them: tail calls, devices, CPUs,
//! cgroups, struct_ops. What is set through the mount must take effect in the programs.

use crate::common::kernel::lacks;
use crate::common::require::require;
use crate::common::{Bed, eventually, key32, object, refused, write_with};
use crate::kinds_common::{Cgroup, Holder, Programs, freed, prog_id};
use bpffuse::fs::base::error::errno_name;
use bpffuse::sys::{info, object as sys_object};
use libbpf_rs::{MapCore, ObjectBuilder};
use serde_json::{Value, json};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};

const ANY: i32 = libc::O_CREAT | libc::O_TRUNC;
const NOEXIST: i32 = libc::O_CREAT | libc::O_EXCL;

fn json_at(bed: &Bed, name: &str) -> Value {
    serde_json::from_str(&bed.read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// prog_array: the tail call goes where the mount says, and nowhere once it is deleted.
#[test]
fn tail_calls() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    assert_eq!(programs.run_packet("jump"), 7, "nothing to jump to");
    let id = prog_id(&bed, "landing");
    bed.write("jumps/1", "../p/landing");
    assert_eq!(bed.read("jumps/1"), format!("{id}\n"));
    assert_eq!(programs.run_packet("jump"), 42);
    assert_eq!(bed.read("jumps/.entries"), format!("{{\"key\":1,\"value\":{id}}}\n"));
    // A program that this array's users cannot call.
    let other = prog_id(&bed, "to_device");
    refused(write_with(bed.at("jumps/1"), ANY, other.to_string().as_bytes()), "EINVAL");
    assert!(bed.errors().last().unwrap().contains("another type"), "{:?}", bed.errors().last());
    assert_eq!(programs.run_packet("jump"), 42, "unchanged");
    fs::remove_file(bed.at("jumps/1")).unwrap();
    assert_eq!(programs.run_packet("jump"), 7);
    bed.write("jumps/1", &format!("{id:#x}"));
    assert_eq!(programs.run_packet("jump"), 42);
    bed.write("jumps/.clear", "1");
    assert_eq!(programs.run_packet("jump"), 7);
}

/// cgroup_array: a program asks whether the task is in the cgroup that was set.
#[test]
fn cgroups_in_an_array() {
    require!("root", "bpf", "fuse", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    let (other, root) = (Cgroup::new(&bed), bed.dir.join("cg"));
    let is_in = || programs.run_raw("am_i_in", [1, 0], None);
    assert_eq!(is_in(), -libc::EAGAIN, "not set");
    bed.write("groups/1", other.0.to_str().unwrap());
    assert_eq!(is_in(), 0);
    bed.write("groups/1", root.to_str().unwrap());
    assert_eq!(is_in(), 1, "every task is below the root");
    bed.write("groups/1", &other.id().to_string());
    assert_eq!(is_in(), 0);
    // Never a wrong value: what is set cannot be read.
    refused(fs::read(bed.at("groups/1")), "EOPNOTSUPP");
    let raw = bed.open("groups");
    assert_eq!(raw.fd.lookup(&key32(1), &mut [0; 4], 0).unwrap_err().errno, libc::EOPNOTSUPP);
    // A file of a cgroup is none, by path or by id.
    let file = other.0.join("cgroup.procs");
    let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap());
    refused(write_with(bed.at("groups/1"), ANY, id.to_string().as_bytes()), "ENOENT");
    assert_eq!(is_in(), 0);
    fs::remove_file(bed.at("groups/1")).unwrap();
    assert_eq!(is_in(), -libc::EAGAIN);
    refused(fs::remove_file(bed.at("groups/1")), "ENOENT");
}

/// devmap, devmap_hash and cpumap with values of eight bytes: a program runs on what is redirected
/// there, and devmap shows the interface's name beside its index.
#[test]
fn programs_at_devices_and_cpus() {
    require!("root", "bpf", "fuse", "clang", "ip", "python3");
    let mut bed = Bed::private(
        "ip link add v0 type veth peer name v1; ip link add w0 type veth peer name w1
         for i in v0 v1 w0 w1; do ip link set $i up; done",
    );
    bed.start(&[]);
    let programs = Programs::load(&bed, "kinds");
    let index: u32 = bed
        .ok("cat /sys/class/net/w0/ifindex || ip -o link show w0 | cut -d: -f1")
        .trim()
        .parse()
        .unwrap();
    let on_device = prog_id(&bed, "on_device");
    for (map, program) in [("dev8", "to_device"), ("devhash8", "to_devhash")] {
        let raw = bed.open(map);
        let at = |key: &str| bed.at(&format!("{map}/{key}"));
        let shown = |prog: Value| json!({"ifindex": index, "name": "w0", "prog_id": prog});
        bed.write(&format!("{map}/1"), "w0");
        assert_eq!(json_at(&bed, &format!("{map}/1")), shown(Value::Null));
        assert_eq!(raw.get(&key32(1)).unwrap(), [key32(index), key32(0)].concat());
        let counts = redirect(&bed, program);
        assert!(counts[0] > 0 && counts[1] == 0, "{counts:?}");
        bed.write(&format!("{map}/1"), &format!("{{\"name\":\"w0\",\"prog_id\":{on_device}}}"));
        let text = bed.read(&format!("{map}/1"));
        assert_eq!(
            text,
            format!("{{\"ifindex\":{index},\"name\":\"w0\",\"prog_id\":{on_device}}}\n")
        );
        assert_eq!(raw.get(&key32(1)).unwrap(), [key32(index), key32(on_device)].concat());
        let counts = redirect(&bed, program);
        assert!(counts[0] > 0 && counts[1] >= counts[0], "{counts:?}");
        // What is printed is accepted; what is left out stays.
        bed.write(&format!("{map}/1"), &text);
        bed.write(&format!("{map}/1"), "{\"name\":\"v0\"}");
        assert_eq!(json_at(&bed, &format!("{map}/1"))["prog_id"], on_device);
        bed.write(&format!("{map}/1"), "{\"prog_id\":null}");
        assert_eq!(json_at(&bed, &format!("{map}/1"))["prog_id"], Value::Null);
        assert_eq!(json_at(&bed, &format!("{map}/1"))["name"], "v0");
        // A program of another sort, or none.
        for id in [prog_id(&bed, "on_cpu"), prog_id(&bed, "landing")] {
            let text = format!("{{\"name\":\"w0\",\"prog_id\":{id}}}");
            refused(write_with(at("1"), ANY, text.as_bytes()), "EINVAL");
        }
        let text = "{\"name\":\"w0\",\"prog_id\":2147483647}";
        refused(write_with(at("1"), ANY, text.as_bytes()), "ENOENT");
        assert_eq!(json_at(&bed, &format!("{map}/1"))["name"], "v0", "unchanged");
        fs::remove_file(at("1")).unwrap();
        assert_eq!(raw.get(&key32(1)), None);
        bed.write(&format!("{map}/1"), "w0");
        assert_eq!(bed.list(map), ["1"]);
        bed.write(&format!("{map}/.clear"), "1");
        assert!(bed.list(map).is_empty());
    }
    let on_cpu = prog_id(&bed, "on_cpu");
    let raw = bed.open("cpu8");
    bed.write("cpu8/0", &format!("{{\"qsize\":64,\"prog_id\":{on_cpu}}}"));
    assert_eq!(bed.read("cpu8/0"), format!("{{\"qsize\":64,\"prog_id\":{on_cpu}}}\n"));
    assert_eq!(raw.get(&key32(0)).unwrap(), [key32(64), key32(on_cpu)].concat());
    let counts = redirect(&bed, "to_cpu");
    assert!(counts[0] >= 20 && counts[2] > 0, "{counts:?}");
    let text = format!("{{\"qsize\":64,\"prog_id\":{on_device}}}");
    // The kernel's own answer to a program that is not for CPU maps, with a reason.
    let wrong = sys_object::prog_by_id(on_device).unwrap();
    let value = [key32(64), key32(wrong.as_raw_fd() as u32)].concat();
    let answer = raw.fd.update(&key32(0), &value, 0).unwrap_err();
    assert!([libc::ENOMEM, libc::EINVAL].contains(&answer.errno), "{answer}");
    refused(write_with(bed.at("cpu8/0"), ANY, text.as_bytes()), &errno_name(answer.errno));
    assert!(bed.errors().last().unwrap().contains("xdp/cpumap"), "{:?}", bed.errors().last());
    bed.write("cpu8/0", "192");
    assert_eq!(bed.read("cpu8/0"), "{\"qsize\":192,\"prog_id\":null}\n");
    drop(programs);
}

/// Attaches `program` to v0, has v1 send packets until they all were counted, and gives how often
/// the redirecting, the device's and the CPU's program ran.
fn redirect(bed: &Bed, program: &str) -> [u64; 3] {
    let seen = bed.open("seen");
    for n in 0..3 {
        seen.set(&key32(n), &[0; 8]);
    }
    bed.ok(&format!("ip link set v0 xdpgeneric pinned bpf/p/{program}"));
    bed.python(
        "
        import socket
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind(('v1', 0))
        for _ in range(20): s.send(b'\\xff' * 6 + b'\\x02' * 6 + b'\\x88\\xb5' + bytes(60))
        ",
    );
    let count = |n| u64::from_ne_bytes(seen.get(&key32(n)).unwrap().try_into().unwrap());
    // A busy machine takes them from its backlog later.
    eventually("the packets arrive", || count(0) >= 20);
    // A CPU map's program runs a moment later, in a thread of its own; the kernel may lose packets on
    // the way there.
    if program == "to_cpu" {
        eventually("packets arrive at the CPU", || count(2) > 0);
    }
    bed.ok("ip link set v0 xdpgeneric off");
    [count(0), count(1), count(2)]
}

/// Storage of cgroup programs: typed keys and values that come with the attachment; programs and
/// the mount see each other's writes.
#[test]
fn cgroup_storages() {
    require!("root", "bpf", "fuse", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    let cgroup = Cgroup::new(&bed);
    let directory = fs::File::open(&cgroup.0).unwrap();
    let prog = |name: &str| programs.0.progs_mut().find(|prog| prog.name() == name).unwrap();
    let fd = directory.as_raw_fd();
    let absent = format!("cgroup_inode_id={},attach_type=1", cgroup.id());
    for map in ["storage", "percpu_storage"] {
        // Elements come with an attachment, so that none can be made here.
        refused(write_with(bed.at(map).join(&absent), ANY, b"{}"), "ENOENT");
        refused(fs::read(bed.at(map).join(&absent)), "ENOENT");
        assert!(bed.list(map).is_empty());
    }
    let link = prog("count_packets").attach_cgroup(fd).expect("attached");
    let shared = prog("count_shared").attach_cgroup(fd).expect("attached");
    let (mut holder, _) = Holder::start(
        &bed,
        "
            ready()
            for line in open(bell, 'r'):
                # It belongs to the cgroup in which it is made.
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                for _ in range(int(line)): s.sendto(b'x', ('127.0.0.1', 9))
                print('sent', flush=True)
            ",
    );
    cgroup.take_in(holder.pid());
    assert_eq!(holder.ring("5"), "sent");
    let id = cgroup.id();
    let names = bed.list("storage");
    let [key] = &names[..] else { panic!("{names:?}") };
    // BPF_CGROUP_INET_EGRESS is 1.
    assert!(key.starts_with(&format!("cgroup_inode_id={id},attach_type=")), "{key}");
    let file = format!("storage/{key}");
    let raw = bed.open("storage");
    let bytes = |attach: u32| [&id.to_ne_bytes()[..], &attach.to_ne_bytes(), &[0; 4]].concat();
    assert_eq!(raw.keys().into_iter().collect::<Vec<_>>(), [bytes(1)]);
    assert_eq!(bed.read(&file), "{\"packets\":5,\"mark\":0}\n");
    assert_eq!(raw.get(&bytes(1)).unwrap()[..8], 5_u64.to_ne_bytes());
    // A member that is left out keeps what the program has counted.
    bed.write(&file, "{\"mark\":77}");
    assert_eq!(holder.ring("2"), "sent");
    assert_eq!(bed.read(&file), "{\"packets\":7,\"mark\":77}\n");
    bed.write(&format!("storage/.field/{key}/packets"), "1000");
    assert_eq!(holder.ring("1"), "sent");
    assert_eq!(raw.get(&bytes(1)).unwrap()[..8], 1001_u64.to_ne_bytes());
    let entry = format!("{{\"key\":{{\"cgroup_inode_id\":{id},\"attach_type\":");
    assert!(bed.read("storage/.entries").starts_with(&entry), "{}", bed.read("storage/.entries"));
    assert_eq!(bed.read("storage/.count"), "1\n");
    refused(write_with(bed.at(&file), NOEXIST, b"{\"mark\":1}"), "EEXIST");
    write_with(bed.at(&file), 0, b"{\"packets\":0,\"mark\":1}").unwrap();
    // "Deleting": the kernel does not, and no file promises it.
    assert_eq!(raw.fd.delete(&bytes(1)).unwrap_err().errno, libc::EINVAL);
    refused(fs::remove_file(bed.at(&file)), "EPERM");
    refused(write_with(bed.at("storage/.clear"), 0, b"1"), "EOPNOTSUPP");
    // Per CPU: the sum is all packets, and a CPU's line can be set alone.
    let key = format!("percpu_storage/{}", bed.list("percpu_storage")[0]);
    let name = key.split_once('/').unwrap().1;
    assert_eq!(bed.read(&format!("percpu_storage/.sum/{name}")), "{\"packets\":8,\"mark\":0}\n");
    bed.write(&format!("percpu_storage/.cpu/0/{name}"), "{\"packets\":100,\"mark\":5}");
    assert_eq!(bed.read(&key).lines().next(), Some("{\"packets\":100,\"mark\":5}"));
    bed.write(&key, "{\"packets\":0,\"mark\":3}\n");
    let cpus = bpffuse::sys::map::possible_cpus().unwrap();
    assert_eq!(bed.read(&key), "{\"packets\":0,\"mark\":3}\n".repeat(cpus));
    assert_eq!(holder.ring("4"), "sent");
    let sum = format!("{{\"packets\":4,\"mark\":{}}}\n", 3 * cpus);
    assert_eq!(bed.read(&format!("percpu_storage/.sum/{name}")), sum);
    refused(fs::remove_file(bed.at(&key)), "EPERM");
    // A shared storage's key is the cgroup's id.
    assert_eq!(bed.list("shared_storage"), [id.to_string()]);
    assert_eq!(bed.read(&format!("shared_storage/{id}")), "12\n");
    bed.write(&format!("shared_storage/{id}"), "1");
    assert_eq!(holder.ring("1"), "sent");
    assert_eq!(bed.read(&format!("shared_storage/{id}")), "2\n");
    // The element goes with the attachment.
    drop(holder);
    drop((link, shared));
    drop(cgroup);
    eventually("the elements are gone", || {
        bed.list("storage").is_empty() && bed.list("shared_storage").is_empty()
    });
    refused(fs::read(bed.at(&file)), "ENOENT");
}

/// struct_ops: the kernel's structure with program ids in place of functions; registered by its
/// element or by a link; only read.
#[test]
fn struct_ops() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    let mut opened = ObjectBuilder::default().open_file(object::compile("struct_ops")).unwrap();
    // The kernel has one name space for these.
    let names = ["plain", "linked"].map(|map| format!("{map:.3}_{}", std::process::id()));
    for mut map in opened.maps_mut() {
        let which = usize::from(map.name() == "linked");
        let value = map.initial_value_mut().expect("an initial value");
        value[24..40].fill(0);
        value[24..24 + names[which].len()].copy_from_slice(names[which].as_bytes());
    }
    let loaded = opened.load();
    // Before 6.4, only the element registers, and an object with a map for a link is refused as a
    // whole. Without that map it must load, or something else is wrong.
    if loaded.as_ref().is_err_and(|e| e.kind() == libbpf_rs::ErrorKind::InvalidInput) {
        let mut rest = ObjectBuilder::default().open_file(object::compile("struct_ops")).unwrap();
        let mut linked = rest.maps_mut().find(|map| map.name() == "linked").expect("the map");
        linked.set_autocreate(false).unwrap();
        rest.load().expect("the kernel takes what needs no link");
        lacks("struct_ops that are registered by links", false);
        return;
    }
    let mut loaded = loaded.expect("the kernel takes it");
    for mut map in loaded.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        map.pin(bed.pin(&name)).unwrap();
    }
    let id_of = |name: &str| {
        let prog = loaded.progs().find(|prog| prog.name() == name).unwrap();
        info::prog_info(prog.as_fd()).unwrap().id
    };
    let ids = ["threshold", "avoid", "undo"].map(id_of);
    let registered = |name: &str| {
        fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
            .unwrap()
            .split_whitespace()
            .any(|one| one == name)
    };
    let check = |map: &str, name: &str, state: &str| {
        let value = json_at(&bed, &format!("{map}/0"));
        assert_eq!(value["common"]["state"], state, "{map}");
        let data = &value["data"];
        if state == "BPF_STRUCT_OPS_STATE_INIT" {
            return;
        }
        assert_eq!(data["name"], name);
        let shown = ["ssthresh", "cong_avoid", "undo_cwnd"].map(|member| data[member].clone());
        assert_eq!(shown, ids.map(|id| Value::from(format!("{id:#x}"))), "the programs' ids");
        // And as bpftool and the raw call have it.
        let raw = bed.open(map).get(&key32(0)).unwrap();
        let dump: Value = serde_json::from_str(
            &bed.ok(&format!("bpftool -j map lookup pinned bpf/{map} key 0 0 0 0")),
        )
        .unwrap();
        let theirs: Vec<u8> = dump["value"]
            .as_array()
            .map(|bytes| {
                let byte = |b: &Value| u8::from_str_radix(&b.as_str().unwrap()[2..], 16).unwrap();
                bytes.iter().map(byte).collect()
            })
            .unwrap_or_default();
        assert_eq!(raw, theirs, "the raw bytes");
        assert_eq!(fs::read(bed.at(&format!("{map}/.raw/00000000"))).unwrap(), raw);
    };
    for (map, name) in ["plain", "linked"].into_iter().zip(&names) {
        assert_eq!(json_at(&bed, &format!("{map}/.info"))["type"], "struct_ops");
        let schema = bed.read(&format!("{map}/.schema"));
        assert!(schema.contains("BPF_MAP_TYPE_STRUCT_OPS"), "{schema}");
        assert_eq!(bed.list(map), ["0"]);
        check(map, name, "BPF_STRUCT_OPS_STATE_INIT");
        assert!(!registered(name));
    }
    let mut links = Vec::new();
    for mut map in loaded.maps_mut() {
        links.push(map.attach_struct_ops().expect("registered"));
    }
    links[1].pin(bed.pin("link")).unwrap();
    check("plain", &names[0], "BPF_STRUCT_OPS_STATE_INUSE");
    check("linked", &names[1], "BPF_STRUCT_OPS_STATE_READY");
    let link = json_at(&bed, "link");
    assert_eq!(link["type"], "struct_ops");
    assert_eq!(link["map_id"], bed.open("linked").info.id);
    for (map, name) in ["plain", "linked"].into_iter().zip(&names) {
        assert!(registered(name), "{name}");
        // Written by programs' loaders alone, whatever the flag.
        let text = bed.read(&format!("{map}/0"));
        for flags in [0, ANY] {
            refused(write_with(bed.at(&format!("{map}/0")), flags, text.as_bytes()), "EOPNOTSUPP");
        }
        refused(write_with(bed.at(&format!("{map}/0")), NOEXIST, b"{}"), "EEXIST");
        refused(write_with(bed.at(&format!("{map}/1")), ANY, b"{}"), "EOPNOTSUPP");
        refused(fs::read(bed.at(&format!("{map}/1"))), "ENOENT");
        for name in [".stream", ".push", ".pop/0"] {
            refused(fs::read(bed.at(&format!("{map}/{name}"))), "EOPNOTSUPP");
        }
        assert_eq!(bed.read(&format!("{map}/.field/0/data/name")), format!("\"{name}\"\n"));
        let member = bed.at(&format!("{map}/.field/0/data/name"));
        refused(write_with(member, 0, b"\"other\""), "EOPNOTSUPP");
        let raw = fs::write(bed.at(&format!("{map}/.raw/00000000")), [0; 8]);
        refused(raw, "EOPNOTSUPP");
        let line = format!("{{\"key\":0,\"value\":{}}}\n", text.trim_end());
        assert_eq!(bed.read(&format!("{map}/.entries")), line);
        refused(write_with(bed.at(&format!("{map}/.entries")), 0, line.as_bytes()), "EOPNOTSUPP");
    }
    // rm unregisters what its element registered, and what a link holds stays.
    refused(fs::remove_file(bed.at("linked/0")), "EOPNOTSUPP");
    assert_eq!(bed.open("linked").fd.delete(&key32(0)).unwrap_err().errno, libc::EOPNOTSUPP);
    assert!(registered(&names[1]));
    refused(fs::remove_dir(bed.at("plain")), "ENOTEMPTY");
    fs::remove_file(bed.at("plain/0")).unwrap();
    assert!(!registered(&names[0]));
    refused(fs::remove_file(bed.at("plain/0")), "ENOENT");
    bed.write("plain/.clear", "1");
    check("plain", &names[0], "BPF_STRUCT_OPS_STATE_TOBEFREE");
    let map_ids = ["plain", "linked"].map(|map| bed.open(map).info.id);
    // The element stays to be seen, and does not keep the pin.
    bed.ok("rmdir mnt/plain");
    // The pinned link goes by rm, and with it the registration.
    let second = links.pop().unwrap();
    drop(second);
    assert!(registered(&names[1]), "the pin holds it");
    bed.ok("rm mnt/link");
    eventually("unregistered", || !registered(&names[1]));
    bed.ok("rmdir mnt/linked");
    drop(links);
    drop(loaded);
    for id in map_ids {
        freed(id);
    }
    assert!(sys_object::map_by_id(map_ids[0]).is_err());
}

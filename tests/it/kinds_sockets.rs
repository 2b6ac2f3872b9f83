//! Socket maps with real sockets of another process: what a write takes, what a read gives, and that
//! packets go where the mount says.

use crate::common::require::require;
use crate::common::{Bed, key32, refused, write_with};
use crate::kinds_common::{Holder, Programs, make};
use bpffuse::sys::map::kind as k;
use std::fs;

const ANY: i32 = libc::O_CREAT | libc::O_TRUNC;
const NOEXIST: i32 = libc::O_CREAT | libc::O_EXCL;

/// reuseport_sockarray: "the same form" as sockmap, and the kernel's own conditions.
#[test]
fn reuseport_sockets() {
    require!("root", "bpf", "fuse", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    // Two sockets of one group, a program that gives every datagram to the one at index 1, and one
    // socket that is of no group.
    let (mut holder, words) = Holder::start(
        &bed,
        "
            group = []
            for _ in range(2):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                s.bind(('127.0.0.1', group[0].getsockname()[1] if group else 0))
                s.settimeout(10)
                group.append(s)
            group[0].setsockopt(socket.SOL_SOCKET, 52, bpf_get('bpf/p/choose'))
            alone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ready(*[s.fileno() for s in group + [alone]], *map(cookie, group))
            for line in open(bell, 'r'):
                alone.sendto(line.encode(), group[0].getsockname())
                print(group[int(line)].recv(99).decode().strip(), flush=True)
            ",
    );
    let words: Vec<&str> = words.split(' ').collect();
    let [a, b, alone, a_cookie, b_cookie] = words[..] else { panic!("{words:?}") };
    let raw = bed.open("ports");
    assert!(bed.list("ports").is_empty());
    for (fd, cookie, which) in [(b, b_cookie, "1"), (a, a_cookie, "0")] {
        write_with(bed.at("ports/1"), NOEXIST, holder.fd(fd).as_bytes()).unwrap();
        assert_eq!(bed.read("ports/1"), format!("{cookie}\n"), "the socket's own cookie");
        let bytes = raw.get(&key32(1)).unwrap();
        assert_eq!(bytes, cookie.parse::<u64>().unwrap().to_ne_bytes());
        assert_eq!(bed.list("ports"), ["1"]);
        assert_eq!(bed.read("ports/.entries"), format!("{{\"key\":1,\"value\":{cookie}}}\n"));
        refused(write_with(bed.at("ports/1"), NOEXIST, holder.fd(fd).as_bytes()), "EEXIST");
        // A socket is in one place of one such map.
        refused(write_with(bed.at("ports/2"), ANY, holder.fd(fd).as_bytes()), "EBUSY");
        // The program finds it.
        assert_eq!(holder.ring(which), which);
        fs::remove_file(bed.at("ports/1")).unwrap();
        assert_eq!(raw.get(&key32(1)), None);
        refused(fs::remove_file(bed.at("ports/1")), "ENOENT");
    }
    refused(write_with(bed.at("ports/1"), 0, holder.fd(a).as_bytes()), "ENOENT");
    refused(write_with(bed.at("ports/4"), ANY, holder.fd(a).as_bytes()), "EINVAL");
    refused(write_with(bed.at("ports/1"), ANY, holder.fd(alone).as_bytes()), "EINVAL");
    refused(write_with(bed.at("ports/1"), ANY, holder.fd("0").as_bytes()), "errno 88");
    refused(write_with(bed.at("ports/1"), ANY, holder.fd("999").as_bytes()), "ENOENT");
    // With values of four bytes there is no room for a cookie.
    let four = make_four(&bed, "four", k::REUSEPORT_SOCKARRAY);
    bed.write("four/1", &holder.fd(a));
    assert_eq!(four.fd.lookup(&key32(1), &mut [0; 4], 0).unwrap_err().errno, libc::ENOSPC);
    refused(fs::read(bed.at("four/1")), "EOPNOTSUPP");
    refused(fs::read(bed.at("four/.entries")), "EOPNOTSUPP");
    // It goes with its socket.
    bed.write("ports/1", &holder.fd(b));
    drop(holder);
    crate::common::eventually("the element is gone", || bed.list("ports").is_empty());
    refused(fs::read(bed.at("ports/1")), "ENOENT");
    drop(programs);
}

fn make_four(bed: &Bed, name: &str, map_type: u32) -> crate::common::RawMap {
    let new = bpffuse::sys::map::NewMap {
        map_type,
        name: name.to_owned(),
        key_size: 4,
        value_size: 4,
        max_entries: 4,
        ..Default::default()
    };
    crate::common::RawMap::create(&bed.pin(name), &new)
}

/// sockmap and sockhash: what goes into the socket of index 0 comes out of the one of index 1.
#[test]
fn sockets_are_joined() {
    require!("root", "bpf", "fuse", "clang", "python3", "bpftool");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "kinds");
    for (map, program, four) in
        [("flows", "forward", k::SOCKMAP), ("flowhash", "forward_hash", k::SOCKHASH)]
    {
        let (mut holder, words) = Holder::start(
            &bed,
            "
            server = socket.create_server(('127.0.0.1', 0))
            def pair():
                out = socket.create_connection(server.getsockname())
                return out, server.accept()[0]
            (a, inside_a), (b, inside_b) = pair(), pair()
            b.settimeout(10)
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ready(inside_a.fileno(), inside_b.fileno(), udp.fileno(), cookie(inside_a), cookie(inside_b))
            for line in open(bell, 'r'):
                a.send(line.encode())
                print(b.recv(99).decode().strip(), flush=True)
            ",
        );
        let words: Vec<&str> = words.split(' ').collect();
        let [a, b, udp, a_cookie, b_cookie] = words[..] else { panic!("{words:?}") };
        let raw = bed.open(map);
        let at = |key: &str| bed.at(&format!("{map}/{key}"));
        refused(write_with(at("0"), 0, holder.fd(a).as_bytes()), "ENOENT");
        write_with(at("0"), NOEXIST, holder.fd(a).as_bytes()).unwrap();
        write_with(at("1"), NOEXIST, holder.fd(b).as_bytes()).unwrap();
        write_with(at("1"), 0, holder.fd(b).as_bytes()).unwrap();
        refused(write_with(at("0"), NOEXIST, holder.fd(b).as_bytes()), "EEXIST");
        for (key, cookie) in [("0", a_cookie), ("1", b_cookie)] {
            assert_eq!(fs::read_to_string(at(key)).unwrap(), format!("{cookie}\n"));
            let number: u32 = key.parse().unwrap();
            let bytes = raw.get(&key32(number)).unwrap();
            assert_eq!(bytes, cookie.parse::<u64>().unwrap().to_ne_bytes());
        }
        assert_eq!(bed.list(map), ["0", "1"]);
        bed.write(&format!("{map}/.clear"), "1");
        assert!(bed.list(map).is_empty());
        // Sockets get the program as they are put in.
        bed.ok(&format!(
            "bpftool prog attach pinned bpf/p/{program} sk_skb_stream_verdict pinned bpf/{map}"
        ));
        write_with(at("0"), NOEXIST, holder.fd(a).as_bytes()).unwrap();
        write_with(at("1"), NOEXIST, holder.fd(b).as_bytes()).unwrap();
        assert_eq!(holder.ring("through"), "through");
        // The kernel's conditions, as they are.
        refused(write_with(at("2"), ANY, holder.fd(udp).as_bytes()), "EOPNOTSUPP");
        refused(write_with(at("2"), ANY, holder.fd("0").as_bytes()), "errno 88");
        refused(write_with(at("2"), ANY, b"1:x"), "EINVAL");
        fs::remove_file(at("1")).unwrap();
        assert_eq!(raw.get(&key32(1)), None);
        refused(fs::remove_file(at("1")), "ENOENT");
        // Four bytes: set and deleted, but not read.
        let name = format!("{map}4");
        let small = make_four(&bed, &name, four);
        bed.write(&format!("{name}/1"), &holder.fd(a));
        assert_eq!(small.fd.lookup(&key32(1), &mut [0; 4], 0).unwrap_err().errno, libc::ENOSPC);
        refused(fs::read(bed.at(&format!("{name}/1"))), "EOPNOTSUPP");
        // A hash tells its keys; which indices of an array are set, only a look-up could.
        let listed: &[&str] = if four == k::SOCKHASH { &["1"] } else { &[] };
        assert_eq!(bed.list(&name), listed);
        if four == k::SOCKHASH {
            assert_eq!(bed.read(&format!("{name}/.count")), "1\n");
            bed.ok(&format!("test -e mnt/{name}/1"));
            bed.fails(&format!("test -e mnt/{name}/2"));
        } else {
            refused(fs::read(bed.at(&format!("{name}/.count"))), "EOPNOTSUPP");
        }
        fs::remove_file(bed.at(&format!("{name}/1"))).unwrap();
        assert!(small.fd.delete(&key32(1)).is_err(), "it was deleted");
        drop(holder);
        crate::common::eventually("the element is gone", || bed.list(map).is_empty());
    }
    drop(programs);
}

/// xskmap: an AF_XDP socket on a veth pair gets the packets once the mount has set it.
#[test]
fn af_xdp_sockets() {
    require!("root", "bpf", "fuse", "clang", "python3", "ip");
    let mut bed =
        Bed::private("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up");
    bed.start(&[]);
    let programs = Programs::load(&bed, "kinds");
    bed.ok("ip link set v0 xdpgeneric pinned bpf/p/to_socket");
    let (mut holder, words) = Holder::start(
        &bed,
        "
            import mmap
            SOL_XDP, FRAMES, FRAME = 283, 64, 2048
            class Addr(ctypes.Structure):
                _fields_ = [(n, t) for n, t in zip(
                    ('family', 'flags', 'ifindex', 'queue', 'umem'),
                    (ctypes.c_uint16, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32))]
            umem = mmap.mmap(-1, FRAMES * FRAME)
            s = socket.socket(44, socket.SOCK_RAW, 0)
            start = ctypes.addressof(ctypes.c_char.from_buffer(umem))
            s.setsockopt(SOL_XDP, 4, struct.pack('=QQIII4x', start, len(umem), FRAME, 0, 0))
            for option in (2, 5, 6): s.setsockopt(SOL_XDP, option, struct.pack('=I', FRAMES))
            offsets = struct.unpack('=16Q', s.getsockopt(SOL_XDP, 1, 128))
            rx, fill = offsets[0:4], offsets[8:12]
            page = lambda ring, entry: ring[2] + FRAMES * entry
            rx_map = mmap.mmap(s.fileno(), page(rx, 16), offset=0)
            fill_map = mmap.mmap(s.fileno(), page(fill, 8), offset=0x100000000)
            for i in range(FRAMES): struct.pack_into('=Q', fill_map, fill[2] + 8 * i, i * FRAME)
            struct.pack_into('=I', fill_map, fill[0], FRAMES)
            addr = Addr(44, 2, socket.if_nametoindex('v0'), 0, 0)
            check(libc.bind(s.fileno(), ctypes.byref(addr), 16))
            out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            out.bind(('v1', 0))
            ready(s.fileno(), out.fileno())
            def received(mark):
                for _ in range(100):
                    head, tail = (struct.unpack_from('=I', rx_map, at)[0] for at in rx[0:2])
                    for i in range(tail, head):
                        address, length = struct.unpack_from('=QI', rx_map, rx[2] + 16 * (i % FRAMES))
                        struct.pack_into('=I', rx_map, rx[1], i + 1)
                        if mark in umem[address:address + length]: return 'yes'
                    time.sleep(0.01)
                return 'no'
            for line in open(bell, 'r'):
                mark = line.strip().encode()
                out.send(b'\\xff' * 6 + b'\\x02' * 6 + b'\\x88\\xb5' + mark.ljust(60, b'.'))
                print(received(mark), flush=True)
            ",
    );
    let words: Vec<&str> = words.split(' ').collect();
    let [xsk, packet] = words[..] else { panic!("{words:?}") };
    let raw = bed.open("xsks");
    let xsk = holder.fd(xsk);
    assert_eq!(holder.ring("before"), "no");
    // "what it cannot answers EOPNOTSUPP, never a wrong value"
    let unread = |raw: &crate::common::RawMap| raw.fd.lookup(&key32(1), &mut [0; 4], 0);
    assert_eq!(unread(&raw).unwrap_err().errno, libc::EOPNOTSUPP);
    refused(fs::read(bed.at("xsks/1")), "EOPNOTSUPP");
    refused(write_with(bed.at("xsks/1"), 0, xsk.as_bytes()), "ENOENT");
    bed.write("xsks/1", &xsk);
    assert_eq!(holder.ring("one"), "yes");
    refused(fs::read(bed.at("xsks/1")), "EOPNOTSUPP");
    assert_eq!(unread(&raw).unwrap_err().errno, libc::EOPNOTSUPP);
    assert!(bed.list("xsks").is_empty());
    write_with(bed.at("xsks/1"), 0, xsk.as_bytes()).unwrap();
    refused(write_with(bed.at("xsks/1"), NOEXIST, xsk.as_bytes()), "EEXIST");
    refused(write_with(bed.at("xsks/4"), ANY, xsk.as_bytes()), "EINVAL");
    refused(write_with(bed.at("xsks/2"), ANY, holder.fd(packet).as_bytes()), "EOPNOTSUPP");
    refused(write_with(bed.at("xsks/2"), ANY, holder.fd("0").as_bytes()), "errno 88");
    refused(write_with(bed.at("xsks/2"), ANY, b"v0"), "EINVAL");
    fs::remove_file(bed.at("xsks/1")).unwrap();
    assert_eq!(holder.ring("two"), "no");
    bed.write("xsks/1", &xsk);
    assert_eq!(holder.ring("three"), "yes");
    bed.write("xsks/.clear", "1");
    assert_eq!(holder.ring("four"), "no");
    drop(programs);
}

/// Only the mount's owner may name descriptors, which the daemon takes with its own rights.
#[test]
fn descriptors_are_the_owners() {
    require!("root", "bpf", "fuse", "python3", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let (holder, fd) = Holder::start(
        &bed,
        "
            server = socket.create_server(('127.0.0.1', 0))
            s = socket.create_connection(server.getsockname())
            ready(s.fileno())
            time.sleep(100)
            ",
    );
    for (name, kind) in [("m", k::SOCKMAP), ("h", k::SOCKHASH), ("x", k::XSKMAP)] {
        let raw = make(&bed, name, kind);
        bed.ok(&format!("chmod 666 bpf/{name}"));
        let command = format!(
            "setpriv --reuid=65534 --regid=65534 --clear-groups -- bash -c 'echo {} > mnt/{name}/1'",
            holder.fd(&fd)
        );
        bed.fails_with(&command, "Operation not permitted");
        assert!(raw.fd.delete(&key32(1)).is_err() || kind == k::XSKMAP);
    }
}

//! A real program's maps: Debian's xdp-filter on one end of a veth pair, in namespaces of its own.
//! It pins per-CPU hashes keyed by IPv4, IPv6 and MAC address, a per-CPU array of 65,536 ports and a
//! per-CPU array of statistics below /sys/fs/bpf/xdp-filter.

use crate::common::require::require;
use crate::common::{Bed, eventually};
use std::fs;

/// xdp-filter loaded on `v0` (10.99.0.1), whose peer `v1` (10.99.0.2) is in the namespace `peer`, and
/// the whole of /sys/fs/bpf mounted at /mnt/maps.
fn filter() -> Bed {
    let mut bed = Bed::private(
        "mount -t bpf bpf /sys/fs/bpf
         mkdir /run/netns /mnt/maps
         ip netns add peer
         ip link add v0 type veth peer name v1
         ip link set v1 netns peer
         ip addr add 10.99.0.1/24 dev v0
         ip link set v0 up
         ip netns exec peer ip addr add 10.99.0.2/24 dev v1
         ip netns exec peer ip link set v1 up",
    );
    bed.ok("xdp-filter load -m skb v0");
    let point = reach(&bed, "");
    bed.start_on(&point, &["/mnt/maps"]);
    bed
}

/// A path of the mount as this process reaches it.
fn reach(bed: &Bed, name: &str) -> std::path::PathBuf {
    let root = bed.mnt.ancestors().find(|path| path.ends_with("root")).unwrap();
    root.join("mnt/maps").join(name)
}

/// Has the peer send `count` UDP packets to `v0` from the address `from`.
fn send(bed: &Bed, from: &str, count: usize) {
    bed.ok(&format!(
        "ip netns exec peer python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\"{from}\", 0))
for i in range({count}): s.sendto(b\"x\", (\"10.99.0.1\", 9))'"
    ));
}

/// The sum of the lines of a per-CPU file.
fn sum(bed: &Bed, name: &str) -> u64 {
    let text = fs::read_to_string(reach(bed, name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    text.lines().map(|line| line.parse::<u64>().unwrap()).sum()
}

/// Its five pinned maps (…) listed and read.
#[test]
fn maps_are_listed_and_read() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "jq", "python3");
    let bed = filter();
    let listed = bed.ok("cd /mnt/maps/xdp-filter; ls");
    let names = [
        "filter_ethernet",
        "filter_ipv4",
        "filter_ipv6",
        "filter_ports",
        "programs",
        "xdp_stats_map",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    let kinds = bed.ok("cd /mnt/maps/xdp-filter; jq -r '[.name[:12], .type, .key_size, .value_size, .max_entries, .btf_value_type] | join(\" \")' filter*/.info xdp*/.info");
    assert_eq!(
        kinds,
        "filter_ether percpu_hash 6 8 10000 __u64\n\
         filter_ipv4 percpu_hash 4 8 10000 __u64\n\
         filter_ipv6 percpu_hash 16 8 10000 __u64\n\
         filter_ports percpu_array 4 8 65536 __u64\n\
         xdp_stats_ma percpu_array 4 16 5 struct xdp_stats_record\n"
    );
    // Empty filters, all 65,536 ports once each, five statistics that are JSON objects.
    assert_eq!(bed.ok("cd /mnt/maps/xdp-filter; ls filter_ipv4 filter_ipv6 filter_ethernet | grep -v : | grep -c . || true"), "0\n");
    assert_eq!(
        bed.ok("ls -v /mnt/maps/xdp-filter/filter_ports | cmp - <(seq 0 65535) && echo same"),
        "same\n"
    );
    assert_eq!(bed.ok("ls /mnt/maps/xdp-filter/xdp_stats_map | wc -l"), "5\n");
    bed.ok("cd /mnt/maps/xdp-filter/xdp_stats_map; jq -e 'type == \"object\"' 0 1 2 3 4");
    // The program that it attached is a file.
    bed.ok("test -f /mnt/maps/xdp-filter/programs/v0/xdpfilt_alw_all");
    // Everything can be read by a tool that knows nothing.
    bed.ok("cd /mnt/maps/xdp-filter; tar c filter_ipv4 filter_ethernet xdp_stats_map > /dev/null");
}

/// `xdp-filter ip 10.11.12.13` seen in the listing; the entry removed with `rm` and gone in
/// `xdp-filter status`.
#[test]
fn an_address_comes_and_goes() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "python3");
    let bed = filter();
    bed.ok("xdp-filter ip 10.11.12.13; xdp-filter ip fd00::1; xdp-filter ether 00:11:22:33:44:55");
    // The program says __u32, so the name is that number; the address is understood all the same.
    let number = u32::from_ne_bytes([10, 11, 12, 13]).to_string();
    assert_eq!(bed.ok("ls /mnt/maps/xdp-filter/filter_ipv4"), format!("{number}\n"));
    bed.ok("test -e /mnt/maps/xdp-filter/filter_ipv4/10.11.12.13");
    assert_eq!(bed.ok("ls /mnt/maps/xdp-filter/filter_ipv6"), "fd00::1\n");
    let ether = bed.ok("ls /mnt/maps/xdp-filter/filter_ethernet");
    assert_eq!(ether, "00:11:22:33:44:55\n");
    bed.ok("test -e /mnt/maps/xdp-filter/filter_ethernet/addr=001122334455");
    // A set of flags and a count, in each CPU's line.
    let cpus = bpffuse::sys::map::possible_cpus().unwrap();
    let text = bed.ok("cat /mnt/maps/xdp-filter/filter_ipv4/10.11.12.13");
    assert_eq!(text.lines().count(), cpus, "{text}");
    assert!(bed.ok("xdp-filter status").contains("10.11.12.13"));
    bed.ok("rm /mnt/maps/xdp-filter/filter_ipv4/10.11.12.13");
    assert!(!bed.ok("xdp-filter status").contains("10.11.12.13"), "it is still filtered");
    bed.ok(
        "rm /mnt/maps/xdp-filter/filter_ipv6/fd00::1; rm /mnt/maps/xdp-filter/filter_ethernet/*",
    );
    let status = bed.ok("xdp-filter status");
    assert!(!status.contains("fd00::1") && !status.contains("00:11:22"), "{status}");
}

/// One added through the mount, and a packet counted by it; and the same for a port, and statistics
/// that are set back to zero.
#[test]
fn an_entry_made_here_filters_packets() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "python3");
    let bed = filter();
    // Bit 0: match the source, bit 1: the destination (xdp-filter's own encoding, as it writes it
    // itself); the count is in the bits above.
    bed.ok("xdp-filter ip -m src 10.11.12.13
            cat /mnt/maps/xdp-filter/filter_ipv4/10.11.12.13 > flags
            rm /mnt/maps/xdp-filter/filter_ipv4/10.11.12.13");
    let flags: u64 = bed.ok("head -n 1 flags").trim().parse().unwrap();
    let entry = "xdp-filter/filter_ipv4/10.99.0.2";
    bed.ok(&format!("cat flags > /mnt/maps/{entry}"));
    let status = bed.ok("xdp-filter status");
    assert!(status.lines().any(|l| l.contains("10.99.0.2") && l.contains("src")), "{status}");
    let before = sum(&bed, entry);
    let cpus = bpffuse::sys::map::possible_cpus().unwrap() as u64;
    assert_eq!(before, flags * cpus, "no packet is counted yet");
    send(&bed, "10.99.0.2", 3);
    let counted = || {
        let status = bed.ok("xdp-filter status");
        let line = status.lines().find(|l| l.contains("10.99.0.2")).unwrap_or_default().to_owned();
        line.split_whitespace().last().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("xdp-filter counts the packets", || counted() >= 3);
    assert!(sum(&bed, entry) > before, "the mount does not show the count");
    // The dropped packets are in the statistics too: XDP_DROP is 1.
    let drops =
        bed.ok("jq -s 'map(to_entries[0].value) | add' /mnt/maps/xdp-filter/xdp_stats_map/1");
    assert!(drops.trim().parse::<u64>().unwrap() >= 3, "{drops}");
    bed.ok("echo '{}' > /dev/null; for k in 0 1 2 3 4; do printf '\"0x%032d\"\\n' 0 > /mnt/maps/xdp-filter/xdp_stats_map/$k; done");
    // Removed here, packets pass again.
    bed.ok(&format!("rm /mnt/maps/{entry}"));
    send(&bed, "10.99.0.2", 2);
    let status = bed.ok("xdp-filter status");
    let drop = status.lines().find(|l| l.contains("XDP_DROP")).unwrap();
    assert_eq!(drop.split_whitespace().nth(1), Some("0"), "{status}");
}

/// xdp-filter's own unload works under the mount, and its maps are gone from it at once.
#[test]
fn unload_is_seen() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "python3");
    let bed = filter();
    assert!(reach(&bed, "xdp-filter/filter_ipv4").exists());
    bed.ok("xdp-filter unload v0");
    assert_eq!(bed.ok("ls -I '*.debug' /sys/fs/bpf"), bed.ok("ls /mnt/maps"));
    assert!(!reach(&bed, "xdp-filter/filter_ipv4").exists());
}

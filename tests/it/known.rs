//! What is known to be an address or a string, in maps as the big projects have them.

use crate::common::Bed;
use crate::common::require::require;

/// The union member that shows all bytes: an address first, names are accepted with any union member,
/// without padding members, in any order
#[test]
fn virtual_addresses_of_either_sort() {
    require!("root", "bpf", "fuse", "xxd");
    let bed = Bed::new();
    bed.ok("echo \"hash key 'struct { union { __be32 vip; __be32 vipv6[4]; }; __u16 port; __u8 proto; __u8 pad; }' value 'struct { __u32 flags; __u8 mac[6]; }' entries 8\" > mnt/vips
        echo '{\"flags\":1,\"mac\":\"00:11:22:33:44:55\"}' > mnt/vips/vip=10.200.1.1,port=80,proto=6
        echo '{\"flags\":2}' > mnt/vips/proto=17,vipv6=fd00::1,port=53");
    assert_eq!(
        bed.ok("cd mnt/vips; ls; cat .entries | sort"),
        "vip=10.200.1.1,port=80,proto=6,pad=0\n\
         vipv6=fd00::1,port=53,proto=17,pad=0\n\
         {\"key\":{\"vip\":\"10.200.1.1\",\"port\":80,\"proto\":6,\"pad\":0},\"value\":{\"flags\":1,\"mac\":\"00:11:22:33:44:55\"}}\n\
         {\"key\":{\"vipv6\":\"fd00::1\",\"port\":53,\"proto\":17,\"pad\":0},\"value\":{\"flags\":2,\"mac\":\"00:00:00:00:00:00\"}}\n"
    );
    // What was read is written back bit for bit.
    bed.ok("cd mnt/vips; cat .entries > ../../saved; for f in .raw/*; do xxd $f; done > ../../raw
        rm vip*; cat ../../saved > .entries; for f in .raw/*; do xxd $f; done | cmp - ../../raw");
    assert_eq!(
        bed.ok("xxd -p mnt/vips/.raw/0ac8010100000000000000000000000050000600"),
        "010000000011223344550000\n"
    );
    let error = bed.fails("cat mnt/vips/port=80,proto=6");
    assert!(error.contains("No such file"), "{error}");
}

/// `char[N]` with bytes behind the NUL, as `task->comm` copied raw has them.
#[test]
fn strings_with_residue() {
    require!("root", "bpf", "fuse", "xxd");
    let bed = Bed::new();
    bed.ok("echo \"hash key u32 value 'struct { char comm[16]; }' entries 8\" > mnt/t
        touch mnt/t/1
        printf 'sort\\0il-dir\\0\\0\\0\\0\\0' > mnt/t/.raw/01000000");
    assert_eq!(bed.read("t/1"), "{\"comm\":\"sort\\u0000il-dir\"}\n");
    bed.ok("cat mnt/t/1 > copy; echo '{\"comm\":\"x\"}' > mnt/t/1; cat copy > mnt/t/1");
    assert_eq!(bed.ok("xxd -p mnt/t/.raw/01000000"), "736f727400696c2d6469720000000000\n");
}

/// For a struct with one member only, that member alone
#[test]
fn keys_of_one_member() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo \"hash key 'struct { __u8 addr[6]; }' value u32 entries 8\" > mnt/macs
        echo 1 > mnt/macs/aa:bb:cc:dd:ee:ff
        echo 2 > mnt/macs/addr=001122334455
        echo 3 > mnt/macs/AABBCCDDEEFF");
    assert_eq!(bed.ok("cd mnt/macs; grep . *"), "00:11:22:33:44:55:2\naa:bb:cc:dd:ee:ff:3\n");
}

/// `.field/KEY/…/.value`, that part as one text
#[test]
fn parts_as_one_text() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo \"hash key u32 value 'struct { u32 a; struct { u32 b; __be32 src; } in; }' entries 8\" > mnt/p
        echo '{\"a\":1,\"in\":{\"b\":2,\"src\":\"10.0.0.1\"}}' > mnt/p/5");
    assert_eq!(
        bed.ok("cd mnt/p/.field/5; cat in/.value .value; ls -A . in"),
        "{\"b\":2,\"src\":\"10.0.0.1\"}\n{\"a\":1,\"in\":{\"b\":2,\"src\":\"10.0.0.1\"}}\n.:\na\nin\n\nin:\nb\nsrc\n"
    );
    bed.ok("echo '{\"src\":\"10.0.0.2\"}' > mnt/p/.field/5/in/.value");
    assert_eq!(bed.read("p/5"), "{\"a\":1,\"in\":{\"b\":2,\"src\":\"10.0.0.2\"}}\n");
    bed.fails("cat mnt/p/.field/5/a/.value");
    let error = bed.fails("rm mnt/p/.field/5/in/.value");
    assert!(error.contains("not permitted"), "{error}");
}

//! Types from whoever knows better: `--types FILE` and `.type`.

use crate::common::require::require;
use crate::common::{Bed, host_order};
use crate::kinds_common::Programs;
use std::fs;
use std::path::Path;

/// A file of the documents.
fn document(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types").join(name).display().to_string()
}

/// Writing one … sets it for that map until … `btf` is written; key names, values, `.entries`,
/// `.field`, `.sum` all follow.
#[test]
fn a_map_takes_types() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    let sizes = host_order("16777226\nsizes\n", "167772161\nsizes\n");
    bed.ok("echo 'hash key 4 value 8 entries 8' > mnt/h; echo 5 > mnt/h/10.0.0.1");
    assert_eq!(bed.ok("ls mnt/h; jq -r .types mnt/h/.info"), sizes);
    assert_eq!(
        bed.read("h/.type"),
        "/* from sizes */\nstruct {\n\t__uint(key_size, 4);\n\t__uint(value_size, 8);\n} h SEC(\".maps\");\n"
    );
    bed.ok("echo \"key ipv4_t value 'struct { u32 packets; hex32_t flags; }'\" > mnt/h/.type");
    assert_eq!(
        bed.ok(
            "ls mnt/h; cat mnt/h/.entries mnt/h/.field/10.0.0.1/packets; jq -r .types mnt/h/.info"
        ),
        host_order(
            "10.0.0.1\n{\"key\":\"10.0.0.1\",\"value\":{\"packets\":5,\"flags\":\"0x0\"}}\n5\n.type\n",
            "10.0.0.1\n{\"key\":\"10.0.0.1\",\"value\":{\"packets\":0,\"flags\":\"0x5\"}}\n0\n.type\n"
        )
    );
    bed.ok("echo '{\"flags\":\"0x1f\"}' > mnt/h/10.0.0.1");
    assert_eq!(
        bed.read("h/10.0.0.1"),
        host_order("{\"packets\":5,\"flags\":\"0x1f\"}\n", "{\"packets\":0,\"flags\":\"0x1f\"}\n")
    );
    // What is read can be written: here, and to another map.
    let text = bed.read("h/.type");
    assert!(text.starts_with("/* from .type */\n") && text.contains("ipv4_t"), "{text}");
    bed.ok("echo 'hash key 4 value 8 entries 8' > mnt/g; echo 7 > mnt/g/1
            cat mnt/h/.type > mnt/g/.type");
    assert_eq!(
        bed.ok("cd mnt/g; grep -H . *"),
        host_order(
            "1.0.0.0:{\"packets\":7,\"flags\":\"0x0\"}\n",
            "0.0.0.1:{\"packets\":0,\"flags\":\"0x7\"}\n"
        )
    );
    // A part alone: the other is as it was.
    bed.ok("echo 'value hex64_t' > mnt/g/.type");
    assert_eq!(bed.ok("cd mnt/g; grep -H . *"), "1:\"0x7\"\n");
    bed.ok("echo btf > mnt/h/.type");
    assert_eq!(bed.ok("ls mnt/h; jq -r .types mnt/h/.info"), sizes);
}

/// Sizes that disagree are EINVAL and change nothing.
#[test]
fn types_that_do_not_fit() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo 'hash key u32 value u64 entries 8' > mnt/h; echo 5 > mnt/h/1");
    for (text, why) in [
        ("key u64", "the type of the key has 8 bytes, but the map says 4"),
        ("value 'char[9]'", "the type of the value has 9 bytes, but the map says 8"),
        ("key no_such_t", "unknown type `no_such_t`"),
        ("key 'struct no_such'", "a type is not defined"),
        ("event u32", "a hash has no events"),
        ("hash", "write `key TYPE value TYPE`"),
        ("$UNSET", "write `key TYPE value TYPE`"),
        ("key u32 valu u64", "did you mean `value`?"),
    ] {
        let error = bed.fails(&format!("echo \"{text}\" > mnt/h/.type"));
        assert!(error.contains("Invalid argument"), "{error}");
        let last = bed.errors().pop().unwrap();
        assert!(last.contains(why), "{last}");
    }
    assert_eq!(bed.ok("cd mnt/h; grep -H . *; head -n 1 .type"), "1:5\n/* from btf */\n");
    // A text without its end: close tells.
    let last = || bed.errors().pop().unwrap();
    bed.ok("printf 'struct {' > mnt/h/.type");
    assert!(last().contains("/h/.type EINVAL"), "{}", last());
}

/// "The owner's alone".
#[test]
fn types_are_the_owners_to_give() {
    require!("root", "bpf", "fuse", "setpriv");
    const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.ok("chmod 755 . bpf; echo 'hash key u32 value u64 entries 8' > mnt/h; chmod 666 mnt/h");
    assert!(bed.ok(&format!("{NOBODY} cat mnt/h/.type")).starts_with("/* from btf */"));
    let error = bed.fails(&format!("{NOBODY} sh -c 'echo \"value hex64_t\" > mnt/h/.type'"));
    assert!(error.contains("not permitted"), "{error}");
}

/// Types that a text does not define are looked for in the kernel's own BTF.
#[test]
fn the_kernel_s_own_types() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo 'hash key 14 value 4 entries 8' > mnt/h; touch mnt/h/$(printf '01%.0s' 1 2 3 4 5 6)$(printf '02%.0s' 1 2 3 4 5 6)0800
        echo \"key 'struct ethhdr' value 'enum bpf_map_type'\" > mnt/h/.type");
    assert_eq!(
        bed.ok("cat mnt/h/.entries"),
        "{\"key\":{\"h_dest\":\"01:01:01:01:01:01\",\"h_source\":\"02:02:02:02:02:02\",\"h_proto\":2048},\"value\":\"BPF_MAP_TYPE_UNSPEC\"}\n"
    );
    bed.ok("echo BPF_MAP_TYPE_HASH > mnt/h/h_proto=2048,h_dest=01:01:01:01:01:01,h_source=02:02:02:02:02:02");
    assert_eq!(bed.ok("cat mnt/h/*"), "\"BPF_MAP_TYPE_HASH\"\n");
}

/// Each map definition in it applies to every map of that kernel name (made fit to 15 characters) whose
/// key and value sizes are equal; one that does not fit a map is not used for it, and `.info` says why.
#[test]
fn files_of_types() {
    require!("root", "bpf", "fuse", "jq");
    let mut bed = Bed::idle();
    let file = bed.dir.join("types.c");
    fs::write(
        &file,
        "struct flow { ipv4_t from; port_t port; __u16 zone; };\n\
         struct { __type(key, struct flow); } a_rather_long_name_of SEC(\".maps\");\n\
         struct { __type(key, hex32_t); } other SEC(\".maps\");\n",
    )
    .unwrap();
    let shown = file.display().to_string();
    bed.start(&["--types", &shown]);
    bed.ok("echo 'hash key 8 value u64 entries 8' > mnt/a_rather_long_name_of; echo 'hash key u64 value u64 entries 8' > mnt/other
        echo 1 > mnt/a_rather_long_name_of/from=10.0.0.1,port=80,zone=0; echo 2 > mnt/other/31");
    assert_eq!(
        bed.ok("ls mnt/a_rather_long_name_of mnt/other | grep ."),
        "mnt/a_rather_long_name_of:\nfrom=10.0.0.1,port=80,zone=0\nmnt/other:\n31\n"
    );
    assert_eq!(
        bed.ok("jq -r '.types, .types_unused' mnt/*/.info"),
        format!(
            "{shown}:2\nnull\nbtf\n{shown}:3: the type of the key has 4 bytes, but the map says 8\n"
        )
    );
    // What is written to the map itself comes first.
    bed.ok("echo 'key hex64_t' > mnt/other/.type");
    assert_eq!(bed.ok("ls mnt/other"), "0x1f\n");
    bed.stop();
    bed.start(&["-o", &format!("types={shown}")]);
    assert_eq!(
        bed.ok("ls mnt/a_rather_long_name_of mnt/other | grep ="),
        "from=10.0.0.1,port=80,zone=0\n"
    );
}

/// One that cannot be parsed is refused at start with its line.
#[test]
fn files_that_are_no_types() {
    require!("root", "bpf", "fuse");
    let bed = Bed::idle();
    fs::write(bed.dir.join("bad.c"), "struct {\n __type(kex, u32);\n} a SEC(\".maps\");\n")
        .unwrap();
    let error = bed.fails("bpffuse --types bad.c bpf mnt");
    assert!(error.contains("--types bad.c: line 2: `kex` is none of"), "{error}");
    let error = bed.fails("bpffuse --types none.c bpf mnt");
    assert!(error.contains("--types none.c: No such file"), "{error}");
}

/// `.watch` goes on in the new types, and open files keep the text that they had.
#[test]
fn who_is_at_work_goes_on() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&["--watch-interval", "50ms"]);
    bed.ok("echo 'hash key 4 value 4 entries 8' > mnt/h; echo 1 > mnt/h/10.0.0.1");
    let number = host_order("16777226", "167772161");
    let seen = bed.ok(&format!(
        "
        cat mnt/h/.watch > watched & watcher=$!
        exec 3< mnt/h/10.0.0.1
        until grep -q {number} watched; do sleep 0.05; done
        echo 'key ipv4_t value hex32_t' > mnt/h/.type
        echo 2 > mnt/h/10.0.0.2
        until grep -q 10.0.0.2 watched; do sleep 0.05; done
        cat <&3
        kill $watcher; cat watched"
    ));
    assert_eq!(
        seen,
        format!(
            "1\n{{\"op\":\"set\",\"key\":{number},\"value\":1}}\n\
             {{\"op\":\"set\",\"key\":\"10.0.0.2\",\"value\":\"0x2\"}}\n"
        )
    );
}

/// xdp-filter with docs/types/xdp-filter.c: ports and addresses as a person knows them.
#[test]
fn xdp_filter_in_its_own_words() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip");
    let bed = Bed::private(
        "mount -t bpf bpf /sys/fs/bpf
         mkdir /run/netns /mnt/maps
         ip link add v0 type veth peer name v1
         ip link set v0 up; ip link set v1 up",
    );
    bed.ok(&format!(
        "xdp-filter load -m skb v0
         bpffuse --types {} /mnt/maps
         xdp-filter ip 10.11.12.13; xdp-filter ip fd00::1; xdp-filter ether 00:11:22:33:44:55
         xdp-filter port 80",
        document("xdp-filter.c")
    ));
    assert_eq!(
        bed.ok("cd /mnt/maps/xdp-filter; ls filter_ipv4 filter_ipv6 filter_ethernet | grep -v ':$' | grep ."),
        "00:11:22:33:44:55\n10.11.12.13\nfd00::1\n"
    );
    assert_ne!(bed.ok("cat /mnt/maps/xdp-filter/filter_ports/.sum/port=80"), "0\n");
    assert_eq!(bed.ok("cat /mnt/maps/xdp-filter/filter_ports/.sum/port=81"), "0\n");
    bed.ok("cd /mnt/maps/xdp-filter/filter_ports; test $(ls | wc -l) = 65536; ls | grep -q '^port=443$'");
    bed.ok("xdp-filter unload v0; umount /mnt/maps");
}

/// The files of the documents, each with maps of its shapes: all that is in them is used.
#[test]
fn the_documents_files_fit() {
    require!("root", "bpf", "fuse", "jq");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types");
    let mut files: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    let mut bed = Bed::idle();
    let args: Vec<&str> = files.iter().flat_map(|file| ["--types", file.as_str()]).collect();
    bed.start(&args);
    // Each definition of a file is taken by a map of its name and sizes.
    for (name, key, value, origin) in [
        ("AT_", 16, 8, "bpftrace.c:10"),
        ("AT_", 8, 8, "bpftrace.c:12"),
        ("AT_", 24, 8, "bpftrace.c:15"),
        ("AT_start", 8, 8, "bpftrace.c:19"),
        ("counts", 40, 8, "bcc.c:11"),
        ("counts", 8, 8, "bcc.c:15"),
        ("dist", 4, 8, "bcc.c:18"),
        ("timer_starts_to", 8, 8, "ebpf_exporter.c:3"),
        ("filter_ports", 4, 8, "xdp-filter.c:8"),
        ("filter_ethernet", 6, 8, "xdp-filter.c:11"),
    ] {
        bed.ok(&format!("echo 'hash key {key} value {value} entries 8 name {name}' > mnt/m"));
        let from = bed.ok("jq -r .types mnt/m/.info; echo 1 > mnt/m/.unpin");
        assert!(from.trim().ends_with(&format!("/{origin}")), "{name} {key} {value}: {from}");
    }
}

/// `ksym_t` (8 bytes: `0x… name+0x…"`, as in stacks)", in keys and values, and back.
#[test]
fn symbols_of_the_kernel() {
    require!("root", "bpf", "fuse", "xxd");
    let bed = Bed::new();
    let function = "vfs_read";
    let address = bed.ok(&format!("grep ' T {function}$' /proc/kallsyms | cut -d ' ' -f 1"));
    let address = u64::from_str_radix(address.trim(), 16).unwrap();
    bed.ok(&format!(
        "echo 'hash key ksym_t value ksym_t entries 8' > mnt/s
         echo {:#x} > mnt/s/{address:#x}; echo 0 > mnt/s/1",
        address + 0x10
    ));
    assert_eq!(
        bed.ok("cd mnt/s; grep -H . *"),
        format!(
            "0x1:\"0x0\"\n{address:#x}:{function}+0x0:\"{:#x} {function}+0x10\"\n",
            address + 0x10
        )
    );
    bed.ok(&format!(
        "cat mnt/s/{address:#x} > text; cat text > mnt/s/1; cat mnt/s/.entries > lines
        echo 1 > mnt/s/.clear; cat lines > mnt/s/.entries"
    ));
    assert_eq!(bed.ok("cmp text mnt/s/0x1; ls mnt/s | wc -l"), "2\n");
    // bcc's members, by docs/types/bcc.c.
    bed.ok("echo 'hash key 40 value 8 entries 8 name counts' > mnt/counts");
    let types = fs::read_to_string(document("bcc.c")).unwrap();
    let first = types.split("/* funccount").next().unwrap();
    fs::write(bed.at("counts/.type"), first).unwrap();
    bed.ok(&format!("echo 7 > mnt/counts/pid=1,kernel_ip={address:#x},user_stack_id=-1,kernel_stack_id=3,name=cat"));
    assert_eq!(
        bed.ok("ls mnt/counts"),
        format!(
            "pid=1,kernel_ip={address:#x}:{function}+0x0,user_stack_id=-1,kernel_stack_id=3,name=cat\n"
        )
    );
}

/// `__type(event, struct e)` types a stream: what a program sends, with more behind it or less.
#[test]
fn a_stream_takes_a_type() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    bed.ok("echo \"event 'struct { u64 at; hex32_t flags; char who[8]; }'\" > mnt/events/.type");
    programs.run_raw("to_ring", [5, 1], None);
    assert_eq!(
        bed.ok("head -n 1 mnt/events/.stream"),
        "{\"at\":5,\"flags\":\"0xa\",\"who\":\"tester\"}\n"
    );
    let text = bed.read("events/.type");
    assert!(
        text.starts_with("/* from .type */") && text.contains("__type(event, struct"),
        "{text}"
    );
    bed.ok("echo btf > mnt/events/.type");
    programs.run_raw("to_ring", [5, 1], None);
    let first = host_order("\"0x0500000000000000", "\"0x0000000000000005");
    assert!(bed.ok("head -n 1 mnt/events/.stream").starts_with(first));
}

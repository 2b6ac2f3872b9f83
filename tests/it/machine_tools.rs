//! The maps of programs that know nothing of bpffuse, found in the second command: bpftrace, Debian's
//! libbpf-tools, bcc, xdp-filter.

use crate::common::require::require;
use crate::common::{Bed, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Child;

/// A program of others' that pins nothing, in the background, and its pid.
fn tool(bed: &Bed, command: &str) -> (Child, u32) {
    let mut tool = bed.spawn(&format!("echo $$; exec {command}"));
    let mut line = String::new();
    BufReader::new(tool.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("its pid");
    (tool, line.trim().parse().expect("its pid"))
}

/// Waits until the process has maps with these words in their names.
fn wait_for_maps(bed: &Bed, pid: u32, wanted: &[&str]) {
    eventually(&format!("there are maps {wanted:?}"), || {
        let names = std::fs::read_dir(bed.at(&format!(".pid/{pid}"))).into_iter().flatten();
        let names: Vec<_> = names.flatten().map(|name| name.file_name()).collect();
        let has = |wanted: &&str| names.iter().any(|name| name.to_string_lossy().contains(wanted));
        wanted.iter().all(has)
    });
}

/// Ends it, and looks that it is not there any more.
fn end(bed: &Bed, (mut tool, pid): (Child, u32)) {
    crate::common::bed::signal("INT", pid);
    tool.wait().expect("its end");
    eventually("its maps are gone", || !bed.at(&format!(".pid/{pid}")).exists());
}

/// bpftrace pins nothing: its maps are found by its process, in the second command.
#[test]
fn the_maps_of_bpftrace() {
    require!("root", "bpf", "fuse", "bpftrace");
    let bed = Bed::new();
    let tracer = tool(
        &bed,
        "bpftrace -e 'BEGIN { @starts = count(); @seen[7] = 42; @sizes = hist(9); }
         interval:s:1000 { exit(); }'",
    );
    wait_for_maps(&bed, tracer.1, &["starts", "seen", "sizes"]);
    let seen = format!("cat mnt/.pid/{}/*seen*/.entries", tracer.1);
    eventually("BEGIN has run", || bed.run(&seen).stdout.contains("\"key\":"));
    // All of them at once, and how full each is.
    let all = bed.ok(&format!("grep . mnt/.pid/{}/*AT_*/.count", tracer.1));
    assert_eq!(all.lines().count(), 3, "{all}");
    let rows = bed.ok(&format!("grep ' {}:bpftrace' mnt/.maps", tracer.1));
    let row = rows.lines().find(|row| row.contains("seen")).expect("a line");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((words[1], words[5], words[7]), ("hash", "1", "0"), "{row}");
    end(&bed, tracer);
}

/// Debian's libbpf-tools keep what they count in maps that they do not pin either.
#[test]
fn the_maps_of_libbpf_tools() {
    require!("root", "bpf", "fuse", "runqlat", "softirqs", "jq");
    let bed = Bed::new();
    let tools = [("runqlat 1000", "hists"), ("softirqs 1000", "bss")];
    let tools = tools.map(|(command, wanted)| {
        let tool = tool(&bed, command);
        wait_for_maps(&bed, tool.1, &[wanted]);
        (tool, command.split(' ').next().expect("a word"))
    });
    for (tool, name) in &tools {
        let dir = format!(".pid/{}", tool.1);
        for map in bed.list(&dir) {
            let info: Value =
                serde_json::from_str(&bed.read(&format!("{dir}/{map}/.info"))).unwrap();
            let holder = serde_json::json!({"pid": tool.1, "comm": name});
            assert!(info["processes"].as_array().expect("a list").contains(&holder), "{info}");
        }
        // Its programs use its maps.
        let told = bed.ok(&format!(
            "cd mnt/{dir}; for map in *; do jq -r '.programs[].name' $map/.info; done"
        ));
        assert!(told.lines().count() >= 2, "{name}: {told:?}");
    }
    tools.into_iter().for_each(|(tool, _)| end(&bed, tool));
}

/// What bcc wants of a kernel's sources, for a program that needs none of them.
const SOURCES: &str = "mkdir -p src/include/linux src/include/uapi/linux src/include/asm
    cd src/include
    echo '#define CONFIG_BPF_SYSCALL 1' > linux/kconfig.h
    echo '#include_next <linux/types.h>
    typedef __u64 u64; typedef __u32 u32; typedef __u16 u16; typedef __u8 u8; typedef __s64 s64;
    typedef __s32 s32; typedef _Bool bool; typedef unsigned long size_t, uintptr_t;' > linux/types.h
    touch linux/log2.h asm/page.h uapi/linux/bpf.h uapi/linux/if_packet.h";

/// A program in bcc's manner.
const BCC: &str = r#"
import os, time
from bcc import BPF
flags = ['-I/usr/include', '-I/usr/include/%s-linux-gnu' % os.uname().machine]
bpf = BPF(text='''
struct who { u32 pid; char comm[16]; };
BPF_HASH(bcc_seen, struct who, u64);
BPF_ARRAY(bcc_total, u64, 1);
int count(void *context) {
    struct who who = {.pid = 1, .comm = "me"};
    bcc_seen.increment(who);
    bcc_total.increment(0);
    return 0;
}''', cflags=flags)
count = bpf.load_func('count', BPF.SOCKET_FILTER)
seen = bpf['bcc_seen']
seen[seen.Key(7, b'me')] = seen.Leaf(42)
time.sleep(1000)
"#;

/// bcc's maps, as its Python makes them: two programs of it have maps of one name.
#[test]
fn the_maps_of_bcc() {
    require!("root", "bpf", "fuse", "jq", "execsnoop-bpfcc");
    let bed = Bed::new();
    bed.ok(SOURCES);
    std::fs::write(bed.dir.join("tool.py"), BCC).expect("a script");
    let start = "env BCC_KERNEL_SOURCE=$PWD/src /usr/bin/python3 tool.py 2> errors";
    let tools = [(); 2].map(|()| tool(&bed, start));
    for tool in &tools {
        wait_for_maps(&bed, tool.1, &["bcc_seen", "bcc_total"]);
        let entry = format!("cat mnt/.pid/{}/bcc_seen*/.entries", tool.1);
        eventually("it has an element", || bed.run(&entry).stdout.contains("42"));
        assert_eq!(
            bed.ok(&entry),
            "{\"key\":{\"pid\":7,\"comm\":\"me\"},\"value\":42}\n",
            "typed, as bcc tells the kernel"
        );
        let program = bed.ok(&format!("jq '.programs[0].id' mnt/.pid/{}/bcc_seen*/.info", tool.1));
        let uses = bed.list(&format!(".prog/{}", program.trim()));
        assert!(uses.iter().any(|name| name.starts_with("bcc_seen:")), "{uses:?}");
    }
    assert_eq!(bed.ok("ls mnt/.name | grep -c '^bcc_seen:'"), "2\n");
    bed.ok("cat mnt/.name/bcc_seen/.entries");
    tools.into_iter().for_each(|tool| end(&bed, tool));
}

/// xdp-filter pins its maps, and no process holds them: they are found by name, by program, by pin.
#[test]
fn the_maps_of_xdp_filter() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "jq");
    let bed = Bed::private(
        "mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps
         ip link add v0 type veth peer name v1; ip link set v0 up",
    );
    bed.ok("xdp-filter load -m skb v0; xdp-filter ip 10.11.12.13; bpffuse /mnt/maps");
    let pin = "/sys/fs/bpf/xdp-filter/filter_ipv4";
    let row = bed.ok(&format!("grep ' {pin} ' /mnt/maps/.maps"));
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[1], "percpu_hash", "{row}");
    assert_eq!(words[5..8], ["1", "10000", "0"], "{row}");
    let program = bed.ok("jq .id /mnt/maps/xdp-filter/programs/v0/*");
    let program = program.trim();
    assert_eq!(words[10..], [&*format!("{program}:xdpfilt_alw_all"), "-"], "{row}");
    let id = words[0];
    let links = "readlink /mnt/maps/.prog/PROGRAM/* /mnt/maps/.name/* | grep -c '/.id/ID$'";
    let links = links.replace("PROGRAM", program).replace("ID$", &format!("{id}$"));
    // The names of others' maps come and go while they are listed.
    eventually("both links are seen", || bed.run(&links).stdout == "2\n");
    bed.ok("umount /mnt/maps; xdp-filter unload v0");
}

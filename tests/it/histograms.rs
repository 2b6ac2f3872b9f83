//! `.hist`, `.lhist` and `.sum/.entries`.

use crate::common::Bed;
use crate::common::require::require;
use std::fs;
use std::path::Path;

const BAR: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";

/// `.hist/KEY` draws the first array of at least four integers in the value; per-CPU values are
/// added up. Leading and trailing empty buckets are left out.
#[test]
fn an_array_is_drawn() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo \"percpu_hash key u32 value 'struct { u32 n; char who[8]; u64 few[3]; u32 slots[16]; }' entries 8\" > mnt/h
        echo '{\"slots\":[0,0,0,2,0,1,0,0,0,0,0,0,0,0,0,0]}' > mnt/h/1
        touch mnt/h/2");
    let cpus = bpffuse::sys::map::possible_cpus().unwrap();
    let half = &BAR[..26];
    let (two, one) = (2 * cpus, cpus);
    let width = two.to_string().len();
    let blank = " ".repeat(52);
    assert_eq!(
        bed.ok("cat mnt/h/.hist/1 mnt/h/.hist/2"),
        format!(
            "[8, 16)  {two} |{BAR}|\n[16, 32) {:>width$} |{blank}|\n[32, 64) {one:>width$} |{half:<52}|\n",
            0
        )
    );
    assert_eq!(
        bed.ok("cat mnt/h/.lhist/1"),
        format!(
            "[3, 4) {two} |{BAR}|\n[4, 5) {:>width$} |{blank}|\n[5, 6) {one:>width$} |{half:<52}|\n",
            0
        )
    );
    assert_eq!(bed.ok("ls -A mnt/h/.hist"), "1\n2\n");
    for command in ["cat mnt/h/.hist/3", "echo 1 > mnt/h/.hist/1", "rm mnt/h/.hist/1"] {
        bed.fails(command);
    }
    // A value without such an array, and keys that are no integers.
    bed.ok("echo \"hash key 'char[8]' value u64 entries 8\" > mnt/g; echo 1 > mnt/g/x");
    bed.fails_with("ls mnt/g/.hist", "not supported");
    bed.fails_with("cat mnt/g/.lhist/.map", "not supported");
}

/// `.hist/.map` and `.lhist/.map` the whole map, its integer keys as buckets.
#[test]
fn a_map_is_drawn() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo 'hash key 4 value 8 entries 6000' > mnt/h
        echo 18446744073709551615 > mnt/h/10; echo 1 > mnt/h/11; echo 0 > mnt/h/12; echo 0 > mnt/h/1");
    let shown = bed.ok("cat mnt/h/.hist/.map");
    assert_eq!(
        shown,
        format!(
            "[1K, 2K) 18446744073709551615 |{BAR}|\n[2K, 4K)                    1 |{:<52}|\n",
            "@"
        )
    );
    assert!(bed.ok("cat mnt/h/.lhist/.map").starts_with("[10, 11) 18446744073709551615 |@"));
    assert_eq!(bed.ok("echo 1 > mnt/h/.clear; cat mnt/h/.hist/.map"), "");
    let line = |n: u32| format!("{{\"key\":{n},\"value\":1}}\n");
    fs::write(bed.dir.join("lines"), (1..=5000).map(line).collect::<String>()).unwrap();
    bed.ok("cat lines > mnt/h/.entries");
    bed.fails_with("cat mnt/h/.lhist/.map", "File too large");
    assert_eq!(bed.ok("ls -A mnt/h/.hist | wc -l"), "5000\n");
}

/// `.sum/.entries` those of all elements, lines as in `.entries`.
#[test]
fn sums_of_all_elements() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    bed.ok("echo \"percpu_hash key ipv4_t value 'struct { u64 packets; u64 bytes; }' entries 20000\" > mnt/p
        echo '{\"packets\":1,\"bytes\":2}' > mnt/p/10.0.0.1");
    let cpus = bpffuse::sys::map::possible_cpus().unwrap();
    assert_eq!(
        bed.ok("cat mnt/p/.sum/.entries"),
        format!(
            "{{\"key\":\"10.0.0.1\",\"value\":{{\"packets\":{cpus},\"bytes\":{}}}}}\n",
            2 * cpus
        )
    );
    // As one by one, for more than a batch of them.
    let values: Vec<_> = (1..=cpus).map(|n| format!("{{\"packets\":{n}}}")).collect();
    let line = |n: u32| format!("{{\"key\":{n},\"values\":[{}]}}\n", values.join(","));
    fs::write(bed.dir.join("lines"), (1..=10_000).map(line).collect::<String>()).unwrap();
    bed.ok("cat lines > mnt/p/.entries");
    assert_eq!(bed.ok("wc -l < mnt/p/.sum/.entries"), "10001\n");
    let sum: usize = (1..=cpus).sum();
    assert_eq!(
        bed.ok("jq -r 'select(.key != \"10.0.0.1\").value.packets' mnt/p/.sum/.entries | sort -u"),
        format!("{sum}\n")
    );
    bed.fails("echo > mnt/p/.sum/.entries");
    assert!(!bed.ok("ls -A mnt/p/.sum | head -n 3").contains(".entries"));
    bed.fails("cat mnt/p/.raw/.entries");
}

/// runqlat of libbpf-tools, while it runs: its histogram is the one that it draws itself.
#[test]
fn runqlat_s_histogram() {
    require!("root", "bpf", "fuse", "runqlat");
    let bed = Bed::new();
    let shown = bed.ok("
        runqlat 30 1 > /dev/null 2>&1 & pid=$!
        for try in $(seq 100); do ls mnt/.pid/$pid/hists/ 2> /dev/null | grep -q . && break; sleep 0.1; done
        sleep 1
        for key in $(ls mnt/.pid/$pid/hists/); do cat mnt/.pid/$pid/hists/.hist/$key; done
        kill $pid");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        !lines.is_empty() && lines.iter().all(|l| l.starts_with('[') && l.ends_with('|')),
        "{shown}"
    );
    assert!(shown.contains("@@@@@@@@@@"), "{shown}");
}

/// A prefix is no number: neither where nothing but its size is known, nor where it is typed.
#[test]
fn a_trie_is_no_histogram() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok(
        "cd mnt; echo 'lpm_trie key 8 value 8 entries 8' > plain; echo 4 > plain/10.0.0.0_8
        echo \"lpm_trie key 'struct { __u32 prefixlen; __be32 to; }' value u64 entries 8\" > typed",
    );
    for map in ["plain", "typed"] {
        for view in [".hist", ".lhist"] {
            bed.fails_with(&format!("cat mnt/{map}/{view}/.map"), "Operation not supported");
        }
    }
}

/// bpftrace's maps have no types: docs/types/bpftrace.c gives them.
#[test]
fn bpftrace_in_its_own_words() {
    require!("root", "bpf", "fuse", "bpftrace");
    let types = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types/bpftrace.c");
    let bed = Bed::private(
        "mount -t bpf bpf /sys/fs/bpf
         mkdir /mnt/maps
         mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
         mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug",
    );
    bed.ok(&format!("bpffuse --types {} /mnt/maps", types.display()));
    let shown = bed.ok("
        bpftrace -e 'tracepoint:sched:sched_switch { @count[comm] = count(); @cpus = lhist(cpu, 0, 256, 1); }' > /dev/null 2>&1 & pid=$!
        for try in $(seq 300); do ls /mnt/maps/.pid/$pid/AT_count/ 2> /dev/null | grep -q . && break; sleep 0.1; done
        sleep 1
        cd /mnt/maps/.pid/$pid
        head -n 1 AT_count/.sum/.entries; echo ---; cat AT_cpus/.lhist/.map
        kill $pid");
    let (entries, histogram) = shown.split_once("---\n").unwrap();
    assert!(entries.starts_with("{\"key\":\"") && entries.contains("\",\"value\":"), "{shown}");
    assert!(histogram.starts_with('[') && histogram.contains("|@"), "{shown}");
    bed.ok("umount /mnt/maps");
}

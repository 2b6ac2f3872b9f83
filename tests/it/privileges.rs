//! What the daemon keeps of root's rights, by the kernel's own account.

use crate::common::require::require;
use crate::common::{Bed, eventually, key32};
use std::fs;

/// Name, number in `linux/capability.h`, of what stays.
pub(super) const KEPT: &[(&str, u32)] = &[
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_FOWNER", 3),
    ("CAP_FSETID", 4),
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYSLOG", 34),
];

/// A field of proc_pid_status(5).
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(&format!("{name}:")));
    line.and_then(|line| line.split_whitespace().nth(1)).expect("the field")
}

fn set(status: &str, name: &str) -> u64 {
    u64::from_str_radix(field(status, name), 16).expect("hex")
}

/// The capabilities that `names` are without.
fn kept_but(left_out: &[&str]) -> u64 {
    let kept = KEPT.iter().filter(|(name, _)| !left_out.contains(name));
    kept.fold(0, |mask, (_, number)| mask | 1 << number)
}

/// Fails unless each thread of the daemon has `kept`, as far as this process has it, and no more.
#[track_caller]
fn assert_has(pid: u32, kept: u64) {
    let ours = set(&fs::read_to_string("/proc/self/status").unwrap(), "CapPrm");
    let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).unwrap().collect();
    assert!(threads.len() > 2, "threads were expected");
    for thread in threads {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for name in ["CapEff", "CapPrm", "CapBnd"] {
            let is = set(&status, name);
            assert_eq!(is, kept & ours, "{name} is {is:#x}, not {:#x}:\n{status}", kept & ours);
        }
        assert_eq!(set(&status, "CapInh") | set(&status, "CapAmb"), 0, "{status}");
        assert_eq!(field(&status, "NoNewPrivs"), "1");
    }
}

/// The daemon drops every capability that it does not need, sets no_new_privs: in the foreground
/// and in the background, and in the threads that come later.
#[test]
fn few_rights_remain() {
    require!("root", "bpf", "fuse");
    let mut bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    assert_has(bed.pid(), kept_but(&[]));
    bed.ok("head -n 1 mnt/h/.watch; cat mnt/h/.entries");
    assert_has(bed.pid(), kept_but(&[]));
    bed.stop();
    bed.ok("bpffuse bpf mnt");
    let [pid] = bed.daemons()[..] else { panic!("one daemon was expected") };
    assert_has(pid, kept_but(&[]));
}

/// Locked memory is limited no more than it must be: to lift the limit takes a right that is given up.
#[test]
fn locked_memory_is_unlimited() {
    require!("root", "bpf", "fuse", "prlimit");
    let bed = Bed::idle();
    let script = "ulimit -S -l 64; bpffuse bpf mnt; ulimit -H -l";
    let hard = bed.ok(script);
    let [pid] = bed.daemons()[..] else { panic!("one daemon was expected") };
    let limits = bed.ok(&format!("prlimit --memlock --noheadings --raw -o SOFT,HARD -p {pid}"));
    let ours = set(&fs::read_to_string("/proc/self/status").unwrap(), "CapPrm");
    let sys_resource = ours >> 24 & 1 == 1;
    let expected = match hard.trim().parse::<u64>() {
        Ok(kilobytes) if !sys_resource => format!("{0} {0}\n", kilobytes * 1024),
        _ => "unlimited unlimited\n".to_owned(),
    };
    assert_eq!(limits, expected);
}

/// The reference states what remains.
#[test]
fn the_reference_says_what_remains() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
    let reference = fs::read_to_string(reference).unwrap();
    let (_, access) = reference.split_once("\n## The daemon's rights\n").expect("the section");
    let access = access.split("\n## ").next().unwrap();
    let row = |line: &&str| line.starts_with("| `CAP_");
    let mut said: Vec<&str> =
        access.lines().filter(row).flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    said.retain(|word| word.starts_with("CAP_"));
    said.sort_unstable();
    let mut kept: Vec<&str> = KEPT.iter().map(|(name, _)| *name).collect();
    kept.sort_unstable();
    assert_eq!(said, kept);
}

/// Each right that stays is one that something needs; without it, that alone is refused, and all
/// else works.
#[test]
fn each_remaining_right_is_needed() {
    require!("root", "bpf", "fuse", "setpriv", "bpftool");
    let bed = Bed::idle();
    bed.ok("bpftool map create bpf/cgroups type cgroup_array key 4 value 4 entries 4 name c
            bpftool map create bpf/sockets type sockmap key 4 value 8 entries 4 name s
            mkdir cg; mount -t cgroup2 none cg");
    // What is to be refused, and with what; it works otherwise. The pins are another user's: `h` for
    // its owner alone, `shut` for nobody.
    let cases = [
        ("CAP_CHOWN", "chown 12 mnt/h", "Operation not permitted"),
        ("CAP_FOWNER", "chmod 640 mnt/h", "Operation not permitted"),
        ("CAP_DAC_OVERRIDE", "cat mnt/shut/1", "Not a directory"),
        ("CAP_FSETID", "chmod 2755 mnt/dir; test -g bpf/dir || echo no >&2; test -g bpf/dir", "no"),
        (
            "CAP_SETUID",
            "cd mnt; mkdir ../bpf/theirs; chown 65534 ../bpf/theirs
            setpriv --reuid=65534 --clear-groups rmdir theirs || { rmdir ../bpf/theirs; exit 1; }",
            "Operation not permitted",
        ),
        (
            "CAP_SETGID",
            "mkdir bpf/group; chown 65534 bpf/group
            setpriv --reuid=65534 --regid=65534 --groups 77 chgrp 77 mnt/group; code=$?
            rmdir bpf/group; exit $code",
            "Operation not permitted",
        ),
        ("CAP_DAC_READ_SEARCH", "stat -c %i cg > mnt/cgroups/1", "Operation not permitted"),
        (
            "CAP_SYS_PTRACE",
            // Not even a socket: with the right, that is what is wrong with it.
            "echo $$:0 > mnt/sockets/1; tail -n 1 mnt/.errors | grep -v EPERM || { echo no >&2; exit 1; }",
            "no",
        ),
    ];
    for (lacking, _, _) in [("CAP_NET_ADMIN", "", ""), ("", "", "")].iter().chain(&cases) {
        bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
        bed.hash("shut").set(&key32(1), &42_u64.to_ne_bytes());
        bed.ok("chown 65534:65534 bpf/h bpf/shut; chmod 600 bpf/h; chmod 0 bpf/shut
                mkdir -m 755 bpf/dir; chown 0:65534 bpf/dir");
        let without = match lacking.strip_prefix("CAP_").unwrap_or_default().to_lowercase() {
            none if none.is_empty() => String::new(),
            some => format!("setpriv --inh-caps=-{some} --bounding-set=-{some} --"),
        };
        bed.ok(&format!("{without} bpffuse -o allow_other bpf mnt"));
        let [pid] = bed.daemons()[..] else { panic!("one daemon was expected") };
        assert_has(pid, kept_but(&[lacking]));
        for (needed, script, message) in &cases {
            let ran = bed.run(script);
            // To act in a user's group is to act as the user.
            let needs_both = (*needed, *lacking) == ("CAP_SETGID", "CAP_SETUID");
            if needed == lacking || needs_both {
                assert!(!ran.status.success(), "{lacking} is not needed:\n{ran}");
                assert!(ran.stderr.contains(message), "{ran}");
            } else {
                assert!(ran.status.success(), "without {lacking}:\n{ran}");
            }
        }
        bed.ok("umount mnt; rm bpf/h bpf/shut; rmdir bpf/dir");
        eventually("the daemon has ended", || bed.daemons().is_empty());
    }
}

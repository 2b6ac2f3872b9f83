//! What a test needs of the machine; a test that lacks it is skipped loudly, never passed silently.
//!
//! `scripts/test` names a file in `BPFFUSE_RAN`; each test adds a line to it, `RAN name` or
//! `SKIPPED name: reason`, and `PARTLY name: reason` if it leaves out a part, so that the script can count what was skipped and fail if nothing that
//! needs root ran at all.

use bpffuse::sys::map::kind as map_kind;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::thread;

/// Skips the test, saying why, unless the machine has everything named: `root`, `bpf`, `fuse`,
/// `hotplug` (a CPU may be taken offline), `callbacks` (of BPF programs),
/// `users` (may ask the kernel for what a pin's mode gives them),
/// `kernel types` (its own BTF), `compiler` (clang, to be run here, with libbpf's headers; `clang` may have run elsewhere), a kind of map as in `arena maps`, or the name of a command.
macro_rules! require {
    ($($need:expr),+ $(,)?) => {
        if !$crate::common::require::met(&[$($need),+]) {
            return;
        }
    };
}
pub(crate) use require;

/// Whether all of `needs` are there; records the answer.
pub(crate) fn met(needs: &[&str]) -> bool {
    let missing = needs.iter().find_map(|need| missing(need));
    let name = test_name();
    match &missing {
        Some(reason) => {
            // Not eprintln!, which the harness keeps to itself when a test passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {reason}");
            record(&format!("SKIPPED {name}: {reason}"));
        }
        None => record(&format!("RAN {name}")),
    }
    missing.is_none()
}

/// Says that a part of the test is left out, and why.
pub(crate) fn partly(reason: &str) {
    let name = test_name();
    let _ = writeln!(std::io::stderr(), "PARTLY: {name}: {reason}");
    record(&format!("PARTLY {name}: {reason}"));
}

/// Why `need` is not met, or `None`.
fn missing(need: &str) -> Option<String> {
    let (is_there, reason) = match need {
        "root" => (bpffuse::sys::os::effective_uid() == 0, "needs root".to_owned()),
        "bpf" => (kernel_has("bpf"), "needs a kernel with bpffs".to_owned()),
        "fuse" => (
            Path::new("/dev/fuse").exists() && kernel_has("fuse"),
            "needs /dev/fuse (modprobe fuse)".to_owned(),
        ),
        // Every other program on the machine feels it.
        "hotplug" => (
            std::env::var_os("BPFFUSE_TEST_HOTPLUG").is_some()
                && Path::new("/sys/devices/system/cpu/cpu1/online").exists(),
            "takes a CPU offline: only if BPFFUSE_TEST_HOTPLUG is set".to_owned(),
        ),
        "callbacks" => {
            (super::kernel::calls_back(), "this kernel has no programs that call back".to_owned())
        }
        "users" => (
            super::kernel::users_may_ask(),
            "this kernel refuses bpf(2) to users, whatever a pin's mode says".to_owned(),
        ),
        "kernel types" => (
            Path::new("/sys/kernel/btf/vmlinux").exists(),
            "this kernel has no BTF of its own".to_owned(),
        ),
        "compiler" => (can_compile(), "needs the command clang and libbpf's headers".to_owned()),
        kind if kind.ends_with(" maps") => {
            let name = kind.trim_end_matches(" maps");
            let known = map_kind::by_name(name).and_then(map_kind::is_supported);
            (known != Some(false), format!("this kernel has no {kind}"))
        }
        size if size.ends_with(" GiB") => {
            let needed: u64 = size.trim_end_matches(" GiB").parse().expect("a number of GiB");
            (available_memory() >= needed << 30, format!("needs {size} of free memory"))
        }
        // Another machine has compiled the programs.
        "clang" if std::env::var_os("BPFFUSE_TEST_OBJECTS").is_some() => (true, String::new()),
        command => (is_command(command), format!("needs the command {command}")),
    };
    (!is_there).then_some(reason)
}

/// Bytes that the machine could give now.
fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn kernel_has(fs_type: &str) -> bool {
    fs::read_to_string("/proc/filesystems")
        .is_ok_and(|list| list.lines().any(|line| line.split_whitespace().last() == Some(fs_type)))
}

/// Whether programs for the kernel can be compiled here and now.
pub(crate) fn can_compile() -> bool {
    is_command("clang") && Path::new("/usr/include/bpf/bpf_helpers.h").exists()
}

/// Whether `command` is on the path that tests use.
pub(crate) fn is_command(command: &str) -> bool {
    super::shell::SYSTEM_PATH.split(':').any(|dir| Path::new(dir).join(command).exists())
}

/// The running test's name; the test harness names its threads so.
pub(crate) fn test_name() -> String {
    match thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => std::env::var("NEXTEST_TEST_NAME").unwrap_or_else(|_| "unnamed".to_owned()),
    }
}

fn record(line: &str) {
    let Some(path) = std::env::var_os("BPFFUSE_RAN") else { return };
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .expect("BPFFUSE_RAN names a file that can be written");
}

//! Faults around the daemon: it, its kernel objects or its clients go away or run out of something.
//! After each, pins and data are intact, errors are clear, nothing hangs, and nothing leaks.

mod clients;
mod daemon;
mod kernel;
mod readers;
mod shortage;

use crate::common::bed::{open_files, signal};
use crate::common::{Bed, eventually};
use std::fs;
use std::process::Child;

/// The daemon's resident memory in KiB.
fn resident(bed: &Bed) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", bed.pid())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// The daemon's open files and memory when nobody uses it, to compare with later.
struct Base {
    files: usize,
    memory: usize,
}

impl Base {
    /// Uses `map` once, so that all that stays has come, and waits until maps in use are closed.
    #[track_caller]
    fn of(bed: &Bed, map: &str) -> Self {
        bed.ok(&format!(
            "ls mnt/{map} mnt/{map}/.raw > all; cat mnt/{map}/.info mnt/.errors > all"
        ));
        let mut files = usize::MAX;
        eventually("the open files settle", || {
            std::thread::sleep(std::time::Duration::from_millis(700));
            let now = open_files(bed.pid());
            std::mem::replace(&mut files, now) == now
        });
        Self { files, memory: resident(bed) }
    }

    /// Fails unless the daemon is back to it: descriptors exactly, memory but for `slack` KiB that
    /// its allocator keeps.
    #[track_caller]
    fn is_reached_again(&self, bed: &Bed, slack: usize) {
        eventually("the daemon's descriptors are closed", || open_files(bed.pid()) <= self.files);
        let most = self.memory + slack;
        eventually("the daemon's memory is given back", || resident(bed) <= most);
    }
}

/// The maps and directories in the mount and in bpffs, but for those that the kernel may put there.
#[track_caller]
fn names(bed: &Bed) -> String {
    bed.ok("ls mnt bpf | grep -v 'debug$'")
}

/// Kills all processes of a command that [`Bed::spawn`] started, at once.
pub(crate) fn kill_all(bed: &Bed, client: &mut Child) {
    // timeout(1), which it runs under, has made a process group.
    bed.run(&format!("kill -KILL -- -{}", client.id()));
    let _ = client.wait();
}

/// Ends the daemon as a crash does, starts another on the dead mount and waits until it answers.
#[track_caller]
fn kill_and_start_again(bed: &mut Bed) {
    signal("KILL", bed.pid());
    bed.wait_for_end();
    start_again(bed);
}

/// Starts a daemon where another one died.
#[track_caller]
fn start_again(bed: &mut Bed) {
    bed.start(&[]);
    eventually("the new mount answers", || bed.at(".help").exists());
}

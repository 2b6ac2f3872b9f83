//! What a user without rights may try, SECURITY.md's table: a small form of each attack of
//! `scripts/attack`, which measures how long root waits. Here only what may never be.

mod holding;
mod rights;
mod working;

use crate::common::{Bed, shell};
use std::process::Command;

/// A daemon that answers everybody, with root's map `root`, whose key 1 is 42.
fn attacked(args: &[&str]) -> Bed {
    let args: Vec<&str> = ["-o", "allow_other"].iter().chain(args).copied().collect();
    let bed = Bed::with(&args);
    fill(&bed);
    bed
}

fn fill(bed: &Bed) {
    let map = bed.hash("root");
    map.set(&crate::common::key32(1), &42_u64.to_ne_bytes());
}

/// Runs a Python script with what `scripts/attack` and `tests/access/users.py` have, as root; `pid` is
/// the daemon's. It works, or the test fails. A mount that hangs is ended.
#[track_caller]
fn attack(bed: &Bed, pid: u32, script: &str) -> String {
    let top = env!("CARGO_MANIFEST_DIR");
    let ends = Ends { bed, connection: connection(bed) };
    let script = format!(
        "import ctypes, errno, json, os, select, signal, struct, sys, time\n\
         sys.dont_write_bytecode = True\n\
         sys.path[:0] = ['{top}/scripts/attack-files', '{top}/tests/access']\n\
         import bpf\n\
         from users import *\n\
         pid = {pid}\n\
         {}",
        dedent(script)
    );
    let told = bed.run_for(100, &format!("python3 - <<'END OF SCRIPT'\n{script}\nEND OF SCRIPT"));
    drop(ends);
    told.ok()
}

/// `text` without the indentation of its first line.
fn dedent(text: &str) -> String {
    let text = text.trim_start_matches('\n');
    let indent = text.len() - text.trim_start_matches(' ').len();
    let lines = text.lines().map(|line| line.get(indent..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The number of the bed's FUSE connection.
fn connection(bed: &Bed) -> String {
    let words =
        bed.ok("grep \" $PWD/mnt \" /proc/self/mountinfo | cut -d ' ' -f 3 | cut -d : -f 2");
    words.trim().to_owned()
}

/// Aborts the connection if the mount does not answer: else the daemon waits for itself, and no signal
/// ends it.
struct Ends<'a> {
    bed: &'a Bed,
    connection: String,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        // Not the bed's own way to run commands: a command that hangs cannot be waited for.
        let asks = format!("timeout -s KILL 10 stat -f {} > /dev/null & p=$!
            for i in $(seq 110); do kill -0 $p 2> /dev/null || break; sleep 0.1; done
            if kill -0 $p 2> /dev/null || ! wait $p; then
                mkdir ctl; mount -t fusectl fusectl ctl; echo 1 > ctl/{}/abort; umount ctl; rmdir ctl
            fi", shell::quote(&self.bed.mnt.display().to_string()), self.connection);
        let _ = Command::new("bash").args(["-c", &asks]).current_dir(&self.bed.dir).status();
    }
}

//! The other process: `tests/bpf/outsider.c` changes the shared keys by bpf(2).

use super::WORKERS;
use super::keys::Ledger;
use super::plan::{Plan, Sort};
use crate::common::Bed;
use crate::common::shell;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that changes maps until it is told to end.
pub(super) struct Outsider(Child);

impl Outsider {
    /// Compiles and starts it on all common maps.
    pub(super) fn start(bed: &Bed, plan: &Plan) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bpf/outsider.c");
        let program = bed.dir.join("outsider");
        let made = Command::new("clang")
            .args(["-O2", "-Wall", "-Werror", "-o"])
            .args([&program, &source])
            .arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH))
            .status()
            .expect("clang starts");
        assert!(made.success(), "clang does not compile outsider.c");
        let mut command = Command::new(program);
        for map in plan.common() {
            let keys = map.keys(WORKERS).into_iter().enumerate();
            let keys: Vec<_> =
                keys.filter(|(at, _)| !Ledger::has(map, *at)).map(|(_, key)| key.hex()).collect();
            command
                .arg(bed.pin(&map.name))
                .arg(if map.sort == Sort::Array { "-" } else { "d" })
                .arg(map.value_len().to_string())
                .arg(map.shape.size().to_string())
                .arg(keys.join(","));
        }
        let child = command
            .env(shell::BED, &bed.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the other process starts");
        Self(child)
    }

    /// Ends it, and gives the number of its calls.
    pub(super) fn end(self) -> u64 {
        // Waiting closes its standard input first.
        let out = self.0.wait_with_output().expect("wait");
        assert!(out.status.success(), "the other process failed: {}", out.status);
        String::from_utf8_lossy(&out.stdout).trim().parse().expect("a number")
    }
}

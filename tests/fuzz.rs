//! The fuzz targets for a few seconds each: their seeds, and random changes of them. No further
//! tool is needed; `scripts/fuzz` looks longer and by coverage.
//!
//! `BPFFUSE_FUZZ_SECONDS` says how long, `BPFFUSE_FUZZ_SEED` repeats a run. An input that fails is
//! kept, and its file named.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

/// Seconds for each target, unless the environment says otherwise.
const SECONDS: u64 = 5;

/// Longer inputs are for libFuzzer.
const LONGEST: usize = 4096;

/// How long one input may take before the test counts as hanging.
const HANGS: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// xorshift64*: all that random changes need.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % n.max(1)
    }

    fn byte(&mut self) -> u8 {
        const LIKELY: &[u8] = b"\0\x01\x7f\x80\xff0179afx.:,=_-%{}[]()\"\\ \n/;*";
        match self.below(3) {
            0 => self.below(256) as u8,
            _ => LIKELY[self.below(LIKELY.len())],
        }
    }

    /// A part of an input.
    fn part<'a>(&mut self, of: &'a [u8]) -> &'a [u8] {
        let start = self.below(of.len() + 1);
        let len = self.below(of.len() - start + 1).min(64);
        &of[start..start + len]
    }

    /// A few changes: bytes set, flipped, put in and taken out, parts repeated or from another input.
    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            match self.below(6) {
                0 if at < input.len() => input[at] = self.byte(),
                1 if at < input.len() => input[at] ^= 1 << self.below(8),
                2 => input.insert(at, self.byte()),
                3 => drop(input.drain(at..(at + self.below(8)).min(input.len()))),
                4 => {
                    let part = self.part(&input.clone()).to_vec();
                    input.splice(at..at, part);
                }
                _ => drop(input.splice(at..at, self.part(other).iter().copied())),
            }
        }
        input.truncate(LONGEST);
    }
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds in {}", dir.display());
    files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Runs `target` on all seeds, then on changes of them until the time is over.
fn fuzz(target: &'static str) {
    let seeds = seeds(target);
    let seconds = number("BPFFUSE_FUZZ_SECONDS").unwrap_or(SECONDS);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("BPFFUSE_FUZZ_SEED").unwrap_or(clock) | 1;
    println!("BPFFUSE_FUZZ_SEED={seed}");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("fuzz-{target}-{}", std::process::id()));
    // Ends the process if one input hangs: nothing else could.
    let (alive, is_alive) = channel();
    let input_file = kept.clone();
    let watchdog = std::thread::spawn(move || {
        let mut last: Vec<u8> = Vec::new();
        loop {
            match is_alive.recv_timeout(HANGS) {
                Ok(input) => last = input,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = fs::write(&input_file, &last);
                    eprintln!("{target} hangs soon after {}", input_file.display());
                    std::process::exit(101);
                }
            }
        }
    });
    let try_one = |input: &[u8], name: &Path| {
        if catch_unwind(AssertUnwindSafe(|| targets::run(target, input))).is_err() {
            fs::write(&kept, input).expect("keep the input");
            panic!(
                "{target} fails on a change of {}; the input is {}",
                name.display(),
                kept.display()
            );
        }
    };
    for (name, input) in &seeds {
        alive.send(input.clone()).expect("the watchdog");
        try_one(input, name);
    }
    let mut random = Random(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0_u64;
    while Instant::now() < end {
        let (name, input) = &seeds[random.below(seeds.len())];
        let mut input = input.clone();
        let other = &seeds[random.below(seeds.len())].1;
        random.change(&mut input, other);
        if runs.is_multiple_of(64) {
            alive.send(input.clone()).expect("the watchdog");
        }
        try_one(&input, name);
        runs += 1;
    }
    drop(alive);
    watchdog.join().expect("the watchdog");
    println!("{target}: {} seeds, {runs} changes of them", seeds.len());
    assert!(runs > 0 || seconds == 0, "no change was tried");
}

#[test]
fn spec_words() {
    fuzz("spec_words");
}

#[test]
fn spec_c() {
    fuzz("spec_c");
}

#[test]
fn value_text() {
    fuzz("value_text");
}

#[test]
fn key_name() {
    fuzz("key_name");
}

#[test]
fn entries_line() {
    fuzz("entries_line");
}

#[test]
fn btf_blob() {
    fuzz("btf_blob");
}

/// A target that nobody calls finds nothing.
#[test]
fn every_target_has_a_test_and_a_program() {
    let here =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz.rs")).unwrap();
    for (name, _) in targets::TARGETS {
        assert!(here.contains(&format!("fuzz(\"{name}\")")), "{name}");
        let program = format!("fuzz/fuzz_targets/{name}.rs");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(program).exists(), "{name}");
    }
}

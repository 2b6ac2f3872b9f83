//! The daemon's memory and open files through time.

use crate::common::bed::{eventually, open_files};
use std::fs;
use std::time::{Duration, Instant};

/// Memory may vary by so many KiB, whatever it was after the first tenth of the run: allocators keep
/// pages, the kernel keeps inodes. A leak of 10 bytes an operation is more in a million.
const MARGIN_KIB: u64 = 6 * 1024;

/// Samples that are kept: then every second is dropped, and half as many are taken.
const SAMPLES: usize = 4096;

#[derive(Clone, Copy)]
struct Sample {
    at: Duration,
    rss_kib: u64,
    files: usize,
    threads: u64,
}

/// What was seen of one process.
pub(super) struct Vitals {
    pid: u32,
    start: Instant,
    idle: Sample,
    every: Duration,
    samples: Vec<Sample>,
}

impl Vitals {
    /// Of an idle daemon.
    pub(super) fn of(pid: u32) -> Self {
        let start = Instant::now();
        let idle = take(pid, start);
        Self { pid, start, idle, every: Duration::from_millis(100), samples: Vec::new() }
    }

    /// Adds a sample, if it is time for one.
    pub(super) fn sample(&mut self) {
        let next = self.samples.last().map_or(Duration::ZERO, |last| last.at + self.every);
        if self.start.elapsed() >= next {
            self.samples.push(take(self.pid, self.start));
        }
        if self.samples.len() >= SAMPLES {
            let mut odd = true;
            self.samples.retain(|_| {
                odd = !odd;
                odd
            });
            self.every *= 2;
        }
    }

    /// Prints the table, and fails if memory or open files grew.
    pub(super) fn settle(self) {
        let Self { pid, start, idle, samples, .. } = self;
        // The daemon keeps a map open for less than a second.
        let mut last = take(pid, start);
        eventually("the daemon has as many files open as before", || {
            last = take(pid, start);
            last.files <= idle.files
        });
        println!("{:>8} {:>10} {:>6} {:>8}", "seconds", "RSS in KiB", "files", "threads");
        let step = (samples.len() / 12).max(1);
        let shown = samples.iter().step_by(step).chain([&last]);
        for Sample { at, rss_kib, files, threads } in [&idle].into_iter().chain(shown) {
            println!("{:>8.1} {rss_kib:>10} {files:>6} {threads:>8}", at.as_secs_f64());
        }
        // The most of the second tenth, against the least of the last: what only varies is no growth.
        let tenth = samples.len() / 10;
        let of = |range: std::ops::Range<usize>| samples[range].iter().map(|sample| sample.rss_kib);
        let Some(warm) = of(tenth..(2 * tenth).max(tenth + 1).min(samples.len())).max() else {
            return;
        };
        let end = of(samples.len() - tenth.max(1)..samples.len()).min().unwrap_or(0);
        assert!(end <= warm + MARGIN_KIB, "the daemon grew from {warm} to {end} KiB");
        let threads = samples[tenth].threads;
        assert!(last.threads <= threads + 1, "{threads} threads became {}", last.threads);
    }
}

fn take(pid: u32, start: Instant) -> Sample {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon lives");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    let files = open_files(pid);
    Sample { at: start.elapsed(), rss_kib: field("VmRSS:"), files, threads: field("Threads:") }
}

//! A million operations on keys, and on views of them, against a model.
//!
//! Four threads use the mount as programs do. Each has keys of its own in every map, of which it
//! knows exactly what they hold: each result, text and errno must be the model's, and the map as
//! bpf(2) shows it too. Beside these are keys that all threads and another process change at once;
//! of them every outcome must be one that some order of the operations gives.
//!
//! `BPFFUSE_MODEL_SEED` repeats a run, `BPFFUSE_MODEL_OPS` says how many operations; a million:
//!
//! ```sh
//! BPFFUSE_MODEL_OPS=1000000 BPFFUSE_TEST_WATCHDOG=1800 cargo test --release --test it model::operations
//! ```
//!
//! `scripts/soak` runs [`soak`] for as long as wanted.

mod contest;
mod disturb;
mod elements;
mod keys;
mod outsider;
mod plan;
mod random;
mod shared;
mod texts;
mod tree;
mod vitals;
mod whole;
mod worker;

use crate::common::Bed;
use crate::common::bed::signal;
use crate::common::require::require;
use disturb::Disturber;
use keys::Ledger;
use outsider::Outsider;
use plan::Plan;
use random::Random;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tree::Gone;
use vitals::Vitals;
use worker::Worker;

/// Threads with keys of their own.
const WORKERS: usize = 4;

/// Operations in every test run; a million take minutes.
const OPERATIONS: u64 = 60_000;

/// Seconds that `soak` takes in every test run.
const SOAK_SECONDS: u64 = 15;

/// Nothing may take that long: an operation takes well under a millisecond.
const HANGS: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// When to stop.
#[derive(Clone, Copy)]
enum End {
    After(u64),
    At(Instant),
}

/// What the threads share.
struct Run {
    bed: Bed,
    plan: Plan,
    ledger: Ledger,
    end: End,
    done: AtomicU64,
    stop: AtomicBool,
    /// What each worker, and last the disturber, does just now.
    now: Vec<Mutex<String>>,
    gone: Gone,
}

impl Run {
    /// Whether a worker is to go on, counting one more operation if so.
    fn goes_on(&self) -> bool {
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        !self.stop.load(Ordering::Relaxed)
            && match self.end {
                End::After(count) => done < count,
                End::At(_) => !self.is_over(),
            }
    }

    /// Notes what a thread does just now, for messages.
    fn doing(&self, thread: usize, what: String) {
        *self.now[thread].lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Whether the time or the operations are used up.
    fn is_over(&self) -> bool {
        match self.end {
            End::After(count) => self.done.load(Ordering::Relaxed) >= count,
            End::At(end) => Instant::now() >= end,
        }
    }
}

/// Ends the run when a thread fails, so that the others do not go on for minutes.
struct StopOnPanic<'r> {
    run: &'r Run,
    worker: Option<usize>,
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.run.stop.store(true, Ordering::Relaxed);
            if let Some(now) = self.worker.and_then(|worker| self.run.now.get(worker)) {
                let now = now.lock().unwrap_or_else(PoisonError::into_inner);
                println!("failed in operation {now}");
            }
        }
    }
}

/// Runs the workers until the end, beside them the other process and, if wanted, disturbances.
fn run(bed: Bed, end: End, disturbed: bool) {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("BPFFUSE_MODEL_SEED").unwrap_or(clock);
    println!("BPFFUSE_MODEL_SEED={seed}");
    let mut vitals = Vitals::of(bed.pid());
    let plan = Plan::create(&bed);
    let now = (0..=WORKERS).map(|_| Mutex::default()).collect();
    let ledger = Ledger::new(&plan);
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let run = Run { bed, plan, ledger, end, done, stop, now, gone: Gone::default() };
    std::fs::create_dir(run.bed.pin("dir")).expect("a directory in the bpffs");
    let outsider = Outsider::start(&run.bed, &run.plan);
    let start = Instant::now();
    let workers: Vec<Worker<'_>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let mut worker = Worker::new(&run, number, Random::new(seed, number as u64));
                let run = &run;
                scope.spawn(move || {
                    let _stop = StopOnPanic { run, worker: Some(number) };
                    while run.goes_on() {
                        worker.step();
                    }
                    run.doing(number, format!("nothing: worker {number} has ended"));
                    worker
                })
            })
            .collect();
        let disturber = disturbed.then(|| {
            let run = &run;
            scope.spawn(move || {
                let _stop = StopOnPanic { run, worker: None };
                Disturber::new(run, Random::new(seed, 99)).until_the_end();
            })
        });
        let mut last = (0, Instant::now());
        let goes_on = || {
            workers.iter().any(|worker| !worker.is_finished())
                || disturber.as_ref().is_some_and(|disturber| !disturber.is_finished())
        };
        while goes_on() {
            thread::sleep(Duration::from_millis(50));
            vitals.sample();
            let done = run.done.load(Ordering::Relaxed);
            if done != last.0 {
                last = (done, Instant::now());
            } else if last.1.elapsed() > HANGS {
                for now in &run.now {
                    println!(
                        "in the midst of: {}",
                        now.lock().unwrap_or_else(PoisonError::into_inner)
                    );
                }
                run.stop.store(true, Ordering::Relaxed);
                // Ends every call that waits for it.
                signal("KILL", run.bed.pid());
                panic!("no operation ended for {HANGS:?}");
            }
        }
        if let Some(disturber) = disturber {
            disturber.join().expect("the disturbances end well");
        }
        workers.into_iter().map(|worker| worker.join().expect("a worker ends well")).collect()
    });
    let took = start.elapsed();
    let calls = outsider.end();
    let done: u64 = workers.iter().map(|worker| worker.done).sum();
    let each = took.as_micros() as u64 / done.max(1);
    println!("{done} operations in {took:.1?}, {each} us each; {calls} calls by another process");
    assert!(calls > 0, "the other process did nothing");
    workers.iter().for_each(|worker| worker.check_all());
    run.ledger.check(&run.plan);
    drop(workers);
    vitals.settle();
    tree::nothing_lingers(run);
}

/// Random operations by four threads and another process: no difference from the model, no hang,
/// no growth.
#[test]
fn operations_are_as_the_model_says() {
    require!("root", "bpf", "fuse", "clang");
    let end = End::After(number("BPFFUSE_MODEL_OPS").unwrap_or(OPERATIONS));
    run(Bed::new(), end, false);
}

/// The same while clients are killed, maps come and go, other mounts of the same bpffs too, streams
/// and watches are read and left.
#[test]
fn soak() {
    require!("root", "bpf", "fuse", "clang");
    let seconds = number("BPFFUSE_SOAK_MINUTES").map_or(SOAK_SECONDS, |minutes| 60 * minutes);
    run(Bed::new(), End::At(Instant::now() + Duration::from_secs(seconds)), true);
}

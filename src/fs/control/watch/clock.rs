//! When which watched map is looked at next: one thread for all of them, however many users watch. It
//! does nothing itself; the looking is done beside the threads that answer, on a watcher's account.

use super::hub::{Hub, PRESENCE};
use crate::fs::base::caller::Caller;
use crate::fs::base::pool::Pool;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// The thread, and what it waits for.
#[derive(Debug)]
pub(super) struct Clock {
    pool: Arc<Pool>,
    times: Mutex<Times>,
    called: Condvar,
}

#[derive(Debug, Default)]
struct Times {
    hubs: HashMap<u64, Timed>,
    last: u64,
    is_running: bool,
}

#[derive(Debug)]
struct Timed {
    hub: Arc<Hub>,
    caller: Caller,
    next: Instant,
    /// Whether it is being looked at, and is to be at once again.
    is_busy: bool,
    again: bool,
}

impl Clock {
    /// A clock without a thread yet: it has one while a map is watched.
    pub(super) fn new(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { pool, times: Mutex::default(), called: Condvar::new() })
    }

    /// A number for another hub.
    pub(super) fn number(&self) -> u64 {
        let mut times = self.times.lock();
        times.last += 1;
        times.last
    }

    /// Begins to look at a hub, on the account of who watches it first.
    ///
    /// # Errors
    /// EAGAIN if no thread can be started.
    pub(super) fn add(self: &Arc<Self>, hub: Arc<Hub>, caller: Caller) -> std::io::Result<()> {
        let mut times = self.times.lock();
        if !times.is_running {
            let clock = Arc::clone(self);
            thread::Builder::new().name("watch".into()).spawn(move || clock.run())?;
            times.is_running = true;
        }
        // A hub outlives the program that watched it first.
        let caller = Caller { pid: 0, beside: true, ..caller };
        let timed = Timed {
            caller,
            next: Instant::now(),
            is_busy: false,
            again: false,
            hub: Arc::clone(&hub),
        };
        times.hubs.insert(hub.number, timed);
        self.called.notify_one();
        Ok(())
    }

    /// A hub is to be looked at now.
    pub(super) fn call(&self, number: u64) {
        if let Some(timed) = self.times.lock().hubs.get_mut(&number) {
            timed.next = Instant::now();
            timed.again = timed.is_busy;
            self.called.notify_one();
        }
    }

    fn done(&self, number: u64, next: Option<Instant>) {
        let mut times = self.times.lock();
        match (next, times.hubs.get_mut(&number)) {
            (Some(next), Some(timed)) => {
                timed.next = if timed.again { Instant::now() } else { next };
                (timed.is_busy, timed.again) = (false, false);
            }
            _ => _ = times.hubs.remove(&number),
        }
        self.called.notify_one();
    }

    fn run(self: &Arc<Self>) {
        let mut times = self.times.lock();
        while !times.hubs.is_empty() {
            let now = Instant::now();
            let due = times.hubs.values_mut().filter(|timed| !timed.is_busy && timed.next <= now);
            let due: Vec<_> = due
                .map(|timed| {
                    timed.is_busy = true;
                    (Arc::clone(&timed.hub), timed.caller)
                })
                .collect();
            if due.is_empty() {
                let waiting = times.hubs.values().filter(|timed| !timed.is_busy);
                match waiting.map(|timed| timed.next).min() {
                    Some(next) => _ = self.called.wait_until(&mut times, next),
                    None => self.called.wait(&mut times),
                }
                continue;
            }
            drop(times);
            for (hub, caller) in due {
                let clock = Arc::clone(self);
                self.pool.run(caller, move |go| {
                    let next = match go {
                        Ok(()) => hub.step(),
                        // Too much waits; later, then.
                        Err(_) => Some(Instant::now() + PRESENCE),
                    };
                    clock.done(hub.number, next);
                });
            }
            times = self.times.lock();
        }
        times.is_running = false;
    }
}

//! Work that may take long, beside the threads that answer everybody: few threads of a lower priority,
//! of which nobody gets all, however much they ask for.

use super::caller::Caller;
use super::error::{Error, Result};
use super::held;
use crate::sys::os;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Threads at most.
const ALL: usize = 8;
/// Threads that do work of others than the mount's owner at most: however many users ask, the owner
/// finds one.
const OTHERS: usize = 6;
/// Threads that do one user's work at most.
const EACH: usize = 4;
/// What may wait for each user. A program waits for each piece, so this many threads of theirs do.
const WAITING: usize = 4096;
/// How much nicer these threads are than those that answer. Not by much: they hold locks for moments,
/// and must not be kept from letting go of one by whoever else is busy.
const NICE: i32 = 5;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(1);

/// A piece of work; told why, if it is not to be done.
type Job = Box<dyn FnOnce(Result<()>) + Send>;

/// The threads, and what waits for them.
#[derive(Debug)]
pub struct Pool {
    queues: Mutex<Queues>,
    called: Condvar,
}

#[derive(Default)]
struct Queues {
    /// Of each user who has something running or waiting.
    users: BTreeMap<Who, User>,
    /// Whose work was begun last; the next one's is begun next.
    turn: Who,
    /// Pieces of work that wait.
    waiting: usize,
    /// Threads, and how many of them have no work.
    threads: usize,
    idle: usize,
    /// How many work for others than the owner.
    others: usize,
}

/// A user: whether it is the mount's owner, and the uid.
type Who = (bool, u32);

#[derive(Default)]
struct User {
    waiting: VecDeque<(Caller, Job)>,
    running: usize,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} threads, {} idle, {} users", self.threads, self.idle, self.users.len())
    }
}

impl Queues {
    /// The next piece of work whose user has a thread left, fairly between users.
    fn next(&mut self) -> Option<(Caller, Job)> {
        let others = self.others;
        let may = |(is_owner, _): Who, user: &User| {
            !user.waiting.is_empty() && user.running < EACH && (is_owner || others < OTHERS)
        };
        let behind = (Bound::Excluded(self.turn), Bound::Unbounded);
        let round = self.users.range(behind).chain(self.users.range(..=self.turn));
        let who = round.into_iter().find(|(who, user)| may(**who, user)).map(|(who, _)| *who)?;
        let user = self.users.get_mut(&who)?;
        let next = user.waiting.pop_front()?;
        user.running += 1;
        self.waiting -= 1;
        self.others += usize::from(!who.0);
        self.turn = who;
        Some(next)
    }

    fn done(&mut self, who: Who) {
        self.others -= usize::from(!who.0);
        if let Some(user) = self.users.get_mut(&who) {
            user.running -= 1;
            if user.running == 0 && user.waiting.is_empty() {
                self.users.remove(&who);
            }
        }
    }
}

impl Pool {
    /// A pool without a thread yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { queues: Mutex::default(), called: Condvar::new() })
    }

    /// Does `job` for a caller when it is their turn. It is called in any case: with EAGAIN at once
    /// if too much waits already or there is no thread, with EINTR if its caller is gone by then.
    pub fn run(self: &Arc<Self>, caller: Caller, job: impl FnOnce(Result<()>) + Send + 'static) {
        if let Err((job, error)) = self.add(caller, Box::new(job)) {
            job(Err(error));
        }
    }

    fn add(self: &Arc<Self>, caller: Caller, job: Job) -> std::result::Result<(), (Job, Error)> {
        let mut queues = self.queues.lock();
        let who = (caller.is_owner, caller.uid);
        let user = queues.users.entry(who).or_default();
        if user.waiting.len() >= WAITING {
            let reason = format!("{WAITING} requests of uid {} wait already", caller.uid);
            return Err((job, Error::new(libc::EAGAIN, reason)));
        }
        user.waiting.push_back((caller, job));
        queues.waiting += 1;
        self.called.notify_one();
        if queues.waiting <= queues.idle || queues.threads == ALL {
            return Ok(());
        }
        let pool = Arc::clone(self);
        match thread::Builder::new().name("beside".into()).spawn(move || pool.work()) {
            Ok(_) => queues.threads += 1,
            // The others do it in their time.
            Err(_) if queues.threads > 0 => {}
            Err(error) => {
                // Without a thread nothing else waits.
                queues.waiting = 0;
                let user = queues.users.remove(&who);
                if let Some((_, job)) = user.and_then(|mut user| user.waiting.pop_back()) {
                    return Err((job, error.into()));
                }
            }
        }
        Ok(())
    }

    fn work(&self) {
        if let Err(error) = os::be_nice(NICE) {
            log::debug!("a thread keeps its priority: {error}");
        }
        let mut queues = self.queues.lock();
        loop {
            let Some((caller, job)) = queues.next() else {
                queues.idle += 1;
                let late = self.called.wait_for(&mut queues, IDLE).timed_out();
                queues.idle -= 1;
                // What waits is for users who have all of their threads.
                if late && queues.waiting == 0 {
                    queues.threads -= 1;
                    return;
                }
                continue;
            };
            drop(queues);
            held::asks(&caller);
            // Nobody may wait for it any more, long as it had to.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                job(caller.go_on());
            }));
            if done.is_err() {
                log::error!("a piece of work failed: what it was to answer is EIO");
            }
            queues = self.queues.lock();
            queues.done((caller.is_owner, caller.uid));
            // A user whose last thread this was may go on.
            self.called.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    fn by(uid: u32) -> Caller {
        Caller { pid: 0, uid, gid: 0, is_owner: uid == 0, beside: false }
    }

    /// Work that says that it began, and ends when told to.
    fn add(pool: &Arc<Pool>, uid: u32, began: &Sender<u32>) -> Sender<()> {
        let (end, ended): (_, Receiver<()>) = channel();
        let began = began.clone();
        pool.run(by(uid), move |outcome| {
            assert!(outcome.is_ok());
            began.send(uid).unwrap();
            let _ = ended.recv();
        });
        end
    }

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(50);

    #[test]
    fn nobody_gets_all_threads() {
        let pool = Pool::new();
        let (began, begun) = channel();
        // Three users fill what there is for others.
        let mut ends: Vec<_> = (0..60).map(|n| add(&pool, 1000 + n % 3, &began)).collect();
        let first: Vec<u32> = (0..OTHERS).map(|_| begun.recv_timeout(SOON).unwrap()).collect();
        assert!(begun.recv_timeout(NEVER).is_err(), "more than {OTHERS} threads for others");
        for uid in 1000..1003 {
            assert!(first.iter().filter(|one| **one == uid).count() <= EACH);
        }
        let owners = [add(&pool, 0, &began), add(&pool, 0, &began)];
        assert_eq!(begun.recv_timeout(SOON), Ok(0));
        assert_eq!(begun.recv_timeout(SOON), Ok(0));
        drop(owners);
        ends.clear();
        (0..54).for_each(|_| assert!(begun.recv_timeout(SOON).is_ok()));
        assert!(pool.queues.lock().threads <= ALL);
    }

    #[test]
    fn one_user_gets_few_and_another_is_next() {
        let pool = Pool::new();
        let (began, begun) = channel();
        let mut ends: Vec<_> = (0..20).map(|_| add(&pool, 1000, &began)).collect();
        (0..EACH).for_each(|_| assert_eq!(begun.recv_timeout(SOON), Ok(1000)));
        assert!(begun.recv_timeout(NEVER).is_err());
        ends.push(add(&pool, 1001, &began));
        assert_eq!(begun.recv_timeout(SOON), Ok(1001));
    }

    #[test]
    fn too_much_is_refused() {
        let pool = Pool::new();
        let (began, begun) = channel();
        let _ends: Vec<_> = (0..EACH).map(|_| add(&pool, 1, &began)).collect();
        (0..EACH).for_each(|_| assert_eq!(begun.recv_timeout(SOON), Ok(1)));
        for _ in 0..WAITING {
            pool.run(by(1), |_| {});
        }
        let (told, tell) = channel();
        pool.run(by(1), move |outcome| told.send(outcome.unwrap_err().errno).unwrap());
        assert_eq!(tell.recv_timeout(SOON), Ok(libc::EAGAIN));
    }

    #[test]
    fn who_is_gone_gets_nothing() {
        let pool = Pool::new();
        let (told, tell) = channel();
        let caller = Caller { pid: u32::MAX, ..by(1) };
        pool.run(caller, move |outcome| told.send(outcome.unwrap_err().errno).unwrap());
        assert_eq!(tell.recv_timeout(SOON), Ok(libc::EINTR));
    }
}

//! Programs that wait for a stream: for a read's reply, or by poll(2). However many they are, one
//! thread looks after them; what there is to read is then read beside the threads that answer.
//!
//! A reader waits for as long as there is nothing. EINTR is its answer when the kernel says that it is
//! interrupted: by a signal that it does not ignore, by a debugger, or by a freezer.

use super::reply::{self, try_read};
use super::{log, ours};
use crate::fs::base::handles::Handle;
use crate::fs::base::open_file::OpenFile;
use crate::fs::{Caller, Error, Fs, Op, Result};
use crate::sys::interrupts;
use fuser::{Errno, INodeNo, PollNotifier, ReplyData};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How often all are looked at: a program may tell a ring not to wake anybody up, and CPUs come.
const LOOK: Duration = Duration::from_millis(200);

/// Interrupts kept of requests that are not known here: most will never be, a few are a moment late.
const EARLY: usize = 256;

/// What the thread's own wake-up is called among the sources.
const CALLED: u64 = 0;

/// A request's number.
type Number = u64;

/// A read of a stream.
#[derive(Debug)]
pub(super) struct StreamRead {
    pub(super) number: Number,
    pub(super) ino: INodeNo,
    pub(super) file: Arc<dyn OpenFile>,
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) caller: Caller,
    pub(super) reply: ReplyData,
}

#[derive(Debug)]
enum Read {
    /// It is being done.
    Running { interrupted: bool },
    /// Until its source, whose number is given, has something.
    Waiting(u64, StreamRead),
}

/// Who polls, on whose behalf the kernel is told once.
#[derive(Debug)]
struct Polled {
    source: u64,
    file: Weak<dyn OpenFile>,
    notifier: PollNotifier,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Waiter {
    Read(Number),
    Poll(Handle),
}

/// Descriptors that become readable, and who waits for that.
#[derive(Debug)]
struct Source {
    fds: Arc<[OwnedFd]>,
    waiters: BTreeSet<Waiter>,
}

#[derive(Debug, Default)]
struct State {
    sources: HashMap<u64, Source>,
    last_source: u64,
    reads: HashMap<Number, Read>,
    /// At most one for each handle, however often a program polls in vain.
    polled: HashMap<Handle, Polled>,
    early: VecDeque<Number>,
    /// Whether the thread runs: from the first who waits on.
    is_looked_after: bool,
}

/// All who wait.
#[derive(Debug)]
pub(super) struct Waiting {
    fs: Arc<Fs>,
    epoll: Epoll,
    called: EventFd,
    state: Mutex<State>,
}

impl Waiting {
    /// Listens for interrupts.
    ///
    /// # Errors
    /// EMFILE.
    pub(super) fn start(fs: Arc<Fs>) -> io::Result<Arc<Self>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let called = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&called, EpollEvent::new(EpollFlags::EPOLLIN, CALLED))?;
        let waiting = Arc::new(Self { fs, epoll, called, state: Mutex::default() });
        let told = Arc::clone(&waiting);
        interrupts::listen(move |number| told.interrupted(number));
        Ok(waiting)
    }

    /// Reads a stream, now or when it has something.
    pub(super) fn read(self: &Arc<Self>, read: StreamRead) {
        let mut state = self.state.lock();
        let interrupted = state.early.contains(&read.number);
        state.reads.insert(read.number, Read::Running { interrupted });
        drop(state);
        self.run(read);
    }

    fn run(self: &Arc<Self>, read: StreamRead) {
        let waiting = Arc::clone(self);
        self.fs.pool.run(read.caller, move |go| waiting.try_read(read, go));
    }

    fn try_read(self: &Arc<Self>, read: StreamRead, go: Result<()>) {
        let StreamRead { number, ino, file, offset, size, caller, reply } = read;
        match try_read(&*file, (offset, size), go, reply) {
            (Err(error), Some(reply)) if error.errno == libc::EAGAIN => {
                self.wait(StreamRead { number, ino, file, offset, size, caller, reply });
            }
            (outcome, reply) => {
                self.state.lock().reads.remove(&number);
                match (outcome, reply) {
                    (Err(error), Some(reply)) => self.refuse(caller, ino, &error, reply),
                    _ => log::done(&self.fs, Op::Read, caller, ours(ino), None),
                }
            }
        }
    }

    /// Lets a read wait, unless it was interrupted meanwhile.
    fn wait(self: &Arc<Self>, read: StreamRead) {
        let number = read.number;
        let file = Arc::clone(&read.file);
        let fds = file.descriptors();
        let mut state = self.state.lock();
        let interrupted =
            matches!(state.reads.get(&number), Some(Read::Running { interrupted: true }));
        let source = match fds {
            _ if interrupted => Err(Error::new(libc::EINTR, "interrupted")),
            Ok(fds) => self.join(&mut state, fds, Waiter::Read(number)),
            Err(error) => Err(error),
        };
        match source {
            Ok(source) => {
                state.reads.insert(number, Read::Waiting(source, read));
                drop(state);
                self.call();
                // It may have become ready before it was waited for.
                if file.is_ready() {
                    self.look(source);
                }
            }
            Err(error) => {
                state.reads.remove(&number);
                drop(state);
                self.refuse(read.caller, read.ino, &error, read.reply);
            }
        }
    }

    fn refuse(&self, caller: Caller, ino: INodeNo, error: &Error, reply: ReplyData) {
        // Who is interrupted is refused nothing.
        if error.errno == libc::EINTR {
            return reply.error(Errno::EINTR);
        }
        reply.error(reply::refuse(&self.fs, Op::Read, caller, ino, None, error));
    }

    /// What a file is ready for is told to the kernel once that is so.
    pub(super) fn poll(
        self: &Arc<Self>,
        file: &Arc<dyn OpenFile>,
        handle: Handle,
        notifier: PollNotifier,
    ) {
        let joined = file.descriptors().and_then(|fds| {
            let mut state = self.state.lock();
            if state.polled.contains_key(&handle) {
                return Ok(None);
            }
            let source = self.join(&mut state, fds, Waiter::Poll(handle))?;
            let polled = Polled { source, file: Arc::downgrade(file), notifier };
            state.polled.insert(handle, polled);
            Ok(Some(source))
        });
        match joined {
            Ok(Some(source)) => {
                self.call();
                if file.is_ready() {
                    self.look(source);
                }
            }
            Ok(None) => {}
            Err(error) => ::log::error!("a poll cannot wait: {}", error.reason),
        }
    }

    /// A file was closed: nobody polls it any more.
    pub(super) fn forget(&self, handle: Handle) {
        let mut state = self.state.lock();
        if let Some(polled) = state.polled.remove(&handle) {
            self.part(&mut state, polled.source, Waiter::Poll(handle));
        }
    }

    /// Waits for the descriptors on a waiter's behalf: the source's number. Files of one map share
    /// theirs.
    fn join(
        self: &Arc<Self>,
        state: &mut State,
        fds: Arc<[OwnedFd]>,
        waiter: Waiter,
    ) -> Result<u64> {
        if !state.is_looked_after {
            let looks = Arc::clone(self);
            thread::Builder::new().name("streams".into()).spawn(move || looks.look_after())?;
            state.is_looked_after = true;
        }
        let shared = state.sources.iter_mut().find(|(_, source)| Arc::ptr_eq(&source.fds, &fds));
        if let Some((number, source)) = shared {
            source.waiters.insert(waiter);
            return Ok(*number);
        }
        state.last_source += 1;
        let number = state.last_source;
        // Each change anew, and not once more while it has not been read.
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, number);
        for fd in fds.iter() {
            self.epoll.add(fd, event).map_err(io::Error::from)?;
        }
        state.sources.insert(number, Source { fds, waiters: BTreeSet::from([waiter]) });
        Ok(number)
    }

    fn part(&self, state: &mut State, number: u64, waiter: Waiter) {
        let Some(source) = state.sources.get_mut(&number) else { return };
        source.waiters.remove(&waiter);
        if source.waiters.is_empty()
            && let Some(source) = state.sources.remove(&number)
        {
            for fd in source.fds.iter() {
                let _ = self.epoll.delete(fd);
            }
        }
    }

    /// The kernel interrupts a request: if it waits here, it is answered.
    fn interrupted(&self, number: Number) {
        let mut state = self.state.lock();
        match state.reads.remove(&number) {
            Some(Read::Waiting(source, read)) => {
                self.part(&mut state, source, Waiter::Read(number));
                drop(state);
                read.reply.error(Errno::EINTR);
            }
            Some(Read::Running { .. }) => {
                state.reads.insert(number, Read::Running { interrupted: true });
            }
            None => {
                state.early.truncate(EARLY - 1);
                state.early.push_front(number);
            }
        }
    }

    /// Lets go who waits for a source and is ready.
    fn look(self: &Arc<Self>, number: u64) {
        let waiters: Vec<Waiter> = match self.state.lock().sources.get(&number) {
            Some(source) => source.waiters.iter().copied().collect(),
            None => return,
        };
        for waiter in waiters {
            let mut state = self.state.lock();
            let file = match waiter {
                Waiter::Read(number) => match state.reads.get(&number) {
                    Some(Read::Waiting(_, read)) => Some(Arc::clone(&read.file)),
                    Some(Read::Running { .. }) | None => continue,
                },
                Waiter::Poll(handle) => match state.polled.get(&handle) {
                    Some(polled) => polled.file.upgrade(),
                    None => continue,
                },
            };
            drop(state);
            if file.is_some_and(|file| !file.is_ready()) {
                continue;
            }
            state = self.state.lock();
            match waiter {
                Waiter::Read(request) => {
                    let running = Read::Running { interrupted: false };
                    match state.reads.insert(request, running) {
                        Some(Read::Waiting(source, read)) => {
                            self.part(&mut state, source, waiter);
                            drop(state);
                            self.run(read);
                        }
                        // Answered, or begun, meanwhile.
                        Some(running) => _ = state.reads.insert(request, running),
                        None => _ = state.reads.remove(&request),
                    }
                }
                Waiter::Poll(handle) => {
                    // Before the kernel is told: a poll that comes later waits anew.
                    let Some(polled) = state.polled.remove(&handle) else { continue };
                    self.part(&mut state, polled.source, waiter);
                    drop(state);
                    if let Err(error) = polled.notifier.notify() {
                        ::log::debug!("poll: {error}");
                    }
                }
            }
        }
    }

    fn call(&self) {
        let _ = self.called.write(1);
    }

    fn look_after(self: &Arc<Self>) {
        let mut events = [EpollEvent::empty(); 64];
        let mut looked = Instant::now();
        let often = EpollTimeout::try_from(LOOK).unwrap_or(EpollTimeout::NONE);
        loop {
            let is_idle = self.state.lock().sources.is_empty();
            let timeout = if is_idle { EpollTimeout::NONE } else { often };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(error) => return ::log::error!("streams are waited for no more: {error}"),
            };
            for event in events.iter().take(count) {
                match event.data() {
                    CALLED => _ = self.called.read(),
                    source => self.look(source),
                }
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let all: Vec<u64> = self.state.lock().sources.keys().copied().collect();
                all.into_iter().for_each(|source| self.look(source));
            }
        }
    }
}

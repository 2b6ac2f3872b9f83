//! Whether anything has changed: inotify(7) on chosen paths, and the mount table.

use super::{Call, Error, Result, named};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// What may make a path mean something else, or change its attributes.
const MASK: AddWatchFlags = AddWatchFlags::IN_ATTRIB
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_MOVE_SELF);

/// Reads of events in one go: with more waiting, the next question gets the rest.
const DRAIN: usize = 16;

/// A question that can be asked again and again: has anything changed since the last time?
#[derive(Debug)]
pub struct Changes {
    /// The two below. The kernel puts what is ready on its list, so asking costs a third of poll(2).
    ready: Epoll,
    /// Open, so that the mount table is watched.
    _mounts: File,
    /// Closed last, since that may take the kernel a while.
    events: Inotify,
}

/// What epoll tells of the events, of the mount table, and of who ends a wait.
const EVENTS: u64 = 0;
const MOUNTS: u64 = 1;
const WAKER: u64 = 2;

/// Ends another thread's [`Changes::wait`].
#[derive(Debug)]
pub struct Waker(EventFd);

impl Waker {
    /// One for any number of [`Changes`].
    ///
    /// # Errors
    /// EMFILE.
    pub fn new() -> Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(named(Call::EventFd, EventFd::from_flags(flags))?))
    }

    /// Ends the wait, or the next one if nobody waits.
    pub fn wake(&self) {
        // It fails only where more wakes are pending than a u64 counts.
        let _ = self.0.write(1);
    }
}

impl Changes {
    /// Watches the mount table, and no path yet.
    ///
    /// # Errors
    /// EMFILE if the user has too many inotify instances (`fs.inotify.max_user_instances`).
    pub fn new() -> Result<Self> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let events = named(Call::InotifyInit, Inotify::init(flags))?;
        let mounts =
            File::open("/proc/self/mountinfo").map_err(|error| Error::of(Call::Open, &error))?;
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let ready = named(Call::EpollCreate, ready)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, EVENTS);
        named(Call::EpollCtl, ready.add(&events, event))?;
        let event = EpollEvent::new(EpollFlags::EPOLLPRI, MOUNTS);
        named(Call::EpollCtl, ready.add(&mounts, event))?;
        Ok(Self { ready, _mounts: mounts, events })
    }

    /// Watches an open inode: its attributes, what comes and goes in it if it is a directory, and its
    /// end.
    ///
    /// # Errors
    /// ENOENT; ENOSPC if the user has too many watches (`fs.inotify.max_user_watches`).
    pub fn watch(&self, inode: &File) -> Result<()> {
        // inotify_add_watch(2) takes a path alone, and this one leads to the inode itself.
        let path = format!("/proc/self/fd/{}", inode.as_raw_fd());
        named(Call::InotifyAddWatch, self.events.add_watch(&*path, MASK)).map(drop)
    }

    /// Lets `waker` end a [`Self::wait`].
    ///
    /// # Errors
    /// ENOMEM.
    pub fn woken_by(&self, waker: &Waker) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, WAKER);
        named(Call::EpollCtl, self.ready.add(&waker.0, event))
    }

    /// Waits until something has changed, or somebody ends the wait; false if `most` is over before.
    pub fn wait(&self, waker: &Waker, most: Duration) -> bool {
        let mut ready = [EpollEvent::empty(); 3];
        // No longer than an i32 of milliseconds has room for.
        let most = EpollTimeout::try_from(most).unwrap_or(EpollTimeout::MAX);
        let count = self.ready.wait(&mut ready, most).unwrap_or(0);
        for event in &ready[..count] {
            match event.data() {
                EVENTS => self.drain(),
                WAKER => _ = waker.0.read(),
                _ => {}
            }
        }
        count != 0
    }

    /// Whether anything watched, or the mount table, has changed since this was asked last. A change
    /// is seen as soon as the call that made it has returned: the kernel queues its event inside.
    pub fn any(&self) -> bool {
        let mut ready = [EpollEvent::empty(); 2];
        // A question that fails is no answer: then, too, everything is looked at anew.
        let Ok(count) = self.ready.wait(&mut ready, EpollTimeout::ZERO) else { return true };
        if ready.iter().take(count).any(|event| event.data() == EVENTS) {
            self.drain();
        }
        count != 0
    }

    fn drain(&self) {
        for _ in 0..DRAIN {
            match self.events.read_events() {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

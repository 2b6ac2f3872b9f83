//! Whether anything has changed: inotify(7) on chosen paths, and the mount table.

use super::{Call, Error, Result, c_path, check_libc, own_libc};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// What may make a path mean something else, or change its attributes.
const MASK: u32 = libc::IN_ATTRIB
    | libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE
    | libc::IN_MOVE_SELF
    | libc::IN_DONT_FOLLOW;

/// Reads of events in one go: with more waiting, the next question gets the rest.
const DRAIN: usize = 16;

/// A question that can be asked again and again: has anything changed since the last time?
#[derive(Debug)]
pub struct Changes {
    /// The two below. The kernel puts what is ready on its list, so asking costs a third of poll(2).
    ready: OwnedFd,
    /// Open, so that the mount table is watched.
    _mounts: File,
    /// Closed last, since that may take the kernel a while.
    events: File,
}

/// What epoll tells of the events; the mount table's has another number.
const EVENTS: u64 = 0;
const MOUNTS: u64 = 1;

impl Changes {
    /// Watches the mount table, and no path yet.
    ///
    /// # Errors
    /// EMFILE if the user has too many inotify instances (`fs.inotify.max_user_instances`).
    pub fn new() -> Result<Self> {
        const CALL: Call = Call::InotifyInit;
        // SAFETY: no pointer is passed.
        let events = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        let events: OwnedFd = own_libc(CALL, events)?;
        let mounts = File::open("/proc/self/mountinfo")
            .map_err(|error| Error::new(Call::Open, error.raw_os_error().unwrap_or(libc::EIO)))?;
        // SAFETY: no pointer is passed.
        let ready =
            own_libc(Call::EpollCreate, unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        for (file, number, wanted) in [
            (events.as_raw_fd(), EVENTS, libc::EPOLLIN),
            (mounts.as_raw_fd(), MOUNTS, libc::EPOLLPRI),
        ] {
            let mut event = libc::epoll_event { events: wanted as u32, u64: number };
            // SAFETY: `event` is only read, and all descriptors are open.
            let rc = unsafe {
                libc::epoll_ctl(ready.as_raw_fd(), libc::EPOLL_CTL_ADD, file, &raw mut event)
            };
            check_libc(Call::EpollCtl, rc)?;
        }
        Ok(Self { ready, _mounts: mounts, events: events.into() })
    }

    /// Watches a path: its attributes, what comes and goes in it if it is a directory, and its end.
    ///
    /// # Errors
    /// ENOENT; ENOSPC if the user has too many watches (`fs.inotify.max_user_watches`).
    pub fn watch(&self, path: &Path) -> Result<()> {
        const CALL: Call = Call::InotifyAddWatch;
        let c = c_path(CALL, path)?;
        // SAFETY: the path is NUL-terminated.
        let rc = unsafe { libc::inotify_add_watch(self.events.as_raw_fd(), c.as_ptr(), MASK) };
        check_libc(CALL, rc).map(drop)
    }

    /// Whether anything watched, or the mount table, has changed since this was asked last. A change
    /// is seen as soon as the call that made it has returned: the kernel queues its event inside.
    pub fn any(&self) -> bool {
        let mut ready = [libc::epoll_event { events: 0, u64: 0 }; 2];
        // SAFETY: `ready` is an array of that many entries; no time is waited.
        let count = unsafe {
            let room = ready.len() as libc::c_int;
            libc::epoll_wait(self.ready.as_raw_fd(), ready.as_mut_ptr(), room, 0)
        };
        if ready.iter().take(count.max(0) as usize).any(|event| event.u64 == EVENTS) {
            self.drain();
        }
        // A question that fails is no answer: then, too, everything is looked at anew.
        count != 0
    }

    fn drain(&self) {
        let mut events = [0; 4096];
        for _ in 0..DRAIN {
            match (&self.events).read(&mut events) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

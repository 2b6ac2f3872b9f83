//! Whether anything has changed: inotify(7) on chosen paths, and the mount table.

use super::{Error, Result, c_path, check_libc, own_libc};
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
    events: File,
    mounts: File,
}

impl Changes {
    /// Watches the mount table, and no path yet.
    ///
    /// # Errors
    /// EMFILE if the user has too many inotify instances (`fs.inotify.max_user_instances`).
    pub fn new() -> Result<Self> {
        const CALL: &str = "inotify_init1";
        // SAFETY: no pointer is passed.
        let events = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        let events: OwnedFd = own_libc(CALL, events)?;
        let mounts = File::open("/proc/self/mountinfo")
            .map_err(|error| Error::new("open", error.raw_os_error().unwrap_or(libc::EIO)))?;
        Ok(Self { events: events.into(), mounts })
    }

    /// Watches a path: its attributes, what comes and goes in it if it is a directory, and its end.
    ///
    /// # Errors
    /// ENOENT; ENOSPC if the user has too many watches (`fs.inotify.max_user_watches`).
    pub fn watch(&self, path: &Path) -> Result<()> {
        const CALL: &str = "inotify_add_watch";
        let c = c_path(CALL, path)?;
        // SAFETY: the path is NUL-terminated.
        let rc = unsafe { libc::inotify_add_watch(self.events.as_raw_fd(), c.as_ptr(), MASK) };
        check_libc(CALL, rc).map(drop)
    }

    /// Whether anything watched, or the mount table, has changed since this was asked last. A change
    /// is seen as soon as the call that made it has returned: the kernel queues its event inside.
    pub fn any(&self) -> bool {
        let watch = |file: &File, events| libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
        let mut files = [watch(&self.events, libc::POLLIN), watch(&self.mounts, libc::POLLPRI)];
        // SAFETY: `files` is an array of that many entries; no time is waited.
        let ready = unsafe { libc::poll(files.as_mut_ptr(), files.len() as libc::nfds_t, 0) };
        if files[0].revents != 0 {
            self.drain();
        }
        ready != 0
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

//! What this thread has seen in bpffs, as long as it is still so.
//!
//! Every operation looks whether its pin is still there, and a walk over its path costs more than
//! most operations on the map. So a path that is asked for often is watched, and then one cheap
//! question to the kernel, before each use, tells whether anything has changed ([`Changes`]). Each
//! thread asks for itself: what one has drained, another has not missed. Only threads that answer
//! callers do so, and few of them: a user has 128 inotify instances on the whole machine, root too.

use super::Stat;
use super::watch::{self, AskedPaths, PathHash};
use crate::sys::changes::Changes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{File, FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Paths known at a time: beyond, all are forgotten.
const KNOWN_MAX: usize = 256;
/// Watches that one inotify instance gets before it is replaced.
const WATCHES_MAX: usize = 4096;
/// Paths remembered as asked for.
const ASKED: usize = 64;
/// Threads that may have an inotify instance.
const INSTANCES_MAX: usize = 16;
/// A path that is asked for so many times, before another takes its place, is watched.
const OFTEN: u8 = 16;

/// What is at a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) ino: u64,
    pub(super) file_type: FileType,
    pub(super) stat: Stat,
}

impl Seen {
    fn of(meta: &Metadata) -> Self {
        Self { ino: meta.ino(), file_type: meta.file_type(), stat: Stat::of(meta) }
    }
}

/// What is at `path`, which is `root` or below it: known, or as `reach` finds it, which opens a path's
/// own inode (O_PATH) without following any symlink or leaving bpffs.
///
/// # Errors
/// Those of `reach`.
pub(super) fn look(
    root: &Path,
    path: &Path,
    reach: impl Fn(&Path) -> io::Result<File>,
) -> io::Result<Seen> {
    SIGHT.with_borrow_mut(|sight| sight.look(root, path, reach))
}

/// Threads that have an inotify instance now.
static INSTANCES: AtomicUsize = AtomicUsize::new(0);

/// One of [`INSTANCES_MAX`].
struct Place(());

impl Place {
    fn take() -> Option<Self> {
        let more = |taken| (taken < INSTANCES_MAX).then_some(taken + 1);
        INSTANCES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        INSTANCES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// This thread answers callers, and may watch what they ask for.
pub fn answers() {
    ANSWERS.set(true);
}

thread_local! {
    static ANSWERS: Cell<bool> = const { Cell::new(false) };
    static SIGHT: RefCell<Sight> = RefCell::new(Sight::default());
}

#[derive(Default)]
struct Sight {
    asked: AskedPaths<ASKED>,
    watched: Option<Watched>,
}

struct Watched {
    changes: Changes,
    /// Given back after the instance is closed.
    _place: Place,
    watches: usize,
    known: HashMap<Box<[u8]>, Seen, PathHash>,
}

impl Sight {
    fn look(
        &mut self,
        root: &Path,
        path: &Path,
        reach: impl Fn(&Path) -> io::Result<File>,
    ) -> io::Result<Seen> {
        let ask = || reach(path)?.metadata();
        let bytes = path.as_os_str().as_bytes();
        if let Some(watched) = &mut self.watched {
            if watched.changes.any() {
                watched.known.clear();
            } else if let Some(seen) = watched.known.get(bytes) {
                return Ok(*seen);
            }
        }
        let often = self.asked.is_often(path, OFTEN);
        let seen = Seen::of(&ask()?);
        if often && self.watch(root, path, &reach).is_some() {
            // Watched first, looked at then: what changes in between is an event.
            let seen = Seen::of(&ask()?);
            if let Some(watched) = &mut self.watched {
                watched.known.insert(bytes.into(), seen);
            }
            return Ok(seen);
        }
        Ok(seen)
    }

    /// Watches what leads to a path, if this thread may.
    fn watch(
        &mut self,
        root: &Path,
        path: &Path,
        reach: &impl Fn(&Path) -> io::Result<File>,
    ) -> Option<()> {
        if !ANSWERS.get() {
            return None;
        }
        if self.watched.as_ref().is_none_or(Watched::is_full) {
            self.watched = None;
            let place = Place::take()?;
            let changes = Changes::new().ok()?;
            let known = HashMap::default();
            self.watched = Some(Watched { changes, _place: place, watches: 0, known });
        }
        let watched = self.watched.as_mut()?;
        watch::watch((&watched.changes, &mut watched.watches), root, path, reach)
    }
}

impl Watched {
    fn is_full(&self) -> bool {
        self.known.len() >= KNOWN_MAX || self.watches >= WATCHES_MAX
    }
}

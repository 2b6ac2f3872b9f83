//! What this thread has seen in bpffs, as long as it is still so.
//!
//! Every operation looks whether its pin is still there, and a walk over its path costs more than
//! most operations on the map. So a path that is asked for often is watched, and then one cheap
//! question to the kernel, before each use, tells whether anything has changed ([`Changes`]). Each
//! thread asks for itself: what one has drained, another has not missed.

use super::Stat;
use crate::sys::changes::Changes;
use siphasher::sip::SipHasher13;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, FileType, Metadata};
use std::hash::{BuildHasher, BuildHasherDefault};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Paths known at a time: beyond, all are forgotten.
const KNOWN_MAX: usize = 256;
/// Watches that one inotify instance gets before it is replaced.
const WATCHES_MAX: usize = 4096;
/// Paths remembered as asked for.
const ASKED: usize = 64;
/// A path that is asked for so many times, before another takes its place, is watched. A thread that
/// lives for one operation asks less often: the kernel takes its time to end an inotify instance, and
/// a user has 128 of them.
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

/// The calling thread watches nothing from now on, and looks each time: inotify instances are few, and
/// for those threads alone that answer often.
pub fn watch_nothing() {
    SIGHT.with_borrow_mut(|sight| sight.is_blind = true);
}

thread_local! {
    static SIGHT: RefCell<Sight> = RefCell::new(Sight::default());
}

type Fast = BuildHasherDefault<SipHasher13>;

struct Sight {
    asked: [Asked; ASKED],
    watched: Option<Watched>,
    is_blind: bool,
}

impl Default for Sight {
    fn default() -> Self {
        Self { asked: [Asked::default(); ASKED], watched: None, is_blind: false }
    }
}

/// A path's hash, and how often it was asked for.
#[derive(Clone, Copy, Default)]
struct Asked {
    hash: u64,
    times: u8,
}

impl Asked {
    /// Counts once more; true if that is often.
    fn again(&mut self, hash: u64) -> bool {
        let times = if self.hash == hash { self.times.saturating_add(1) } else { 1 };
        *self = Self { hash, times };
        times >= OFTEN
    }
}

struct Watched {
    changes: Changes,
    watches: usize,
    known: HashMap<Box<[u8]>, Seen, Fast>,
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
        let hash = Fast::default().hash_one(bytes);
        let often = self.asked[hash as usize % ASKED].again(hash);
        let seen = Seen::of(&ask()?);
        if often && !self.is_blind && self.watch(root, path, &reach).is_some() {
            // Watched first, looked at then: what changes in between is an event.
            let seen = Seen::of(&ask()?);
            if let Some(watched) = &mut self.watched {
                watched.known.insert(bytes.into(), seen);
            }
            return Ok(seen);
        }
        Ok(seen)
    }

    /// Watches the directories that lead to a path, from `root` on, and what is there; `None` if that
    /// cannot be. The inodes are watched, never the path: whoever owns a directory in it may put a
    /// symlink in its place at any moment, even one into our own mount, where we would wait for ourselves.
    fn watch(
        &mut self,
        root: &Path,
        path: &Path,
        reach: &impl Fn(&Path) -> io::Result<File>,
    ) -> Option<()> {
        if self.watched.as_ref().is_none_or(Watched::is_full) {
            let changes = Changes::new().ok()?;
            self.watched = Some(Watched { changes, watches: 0, known: HashMap::default() });
        }
        let watched = self.watched.as_mut()?;
        let on_the_way: Vec<&Path> = path.ancestors().take_while(|dir| *dir != root).collect();
        // From the root on: what is exchanged below a directory that is watched already is an event.
        for path in [root].into_iter().chain(on_the_way.into_iter().rev()) {
            watched.changes.watch(&reach(path).ok()?).ok()?;
            watched.watches += 1;
        }
        Some(())
    }
}

impl Watched {
    fn is_full(&self) -> bool {
        self.known.len() >= KNOWN_MAX || self.watches >= WATCHES_MAX
    }
}

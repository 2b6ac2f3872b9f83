//! One directory that the kernel keeps: what it was told of it, and whom it may have let in by that.

use crate::bpffs::watch::PathHash;
use crate::bpffs::{Bpffs, Stat};
use crate::node::Ino;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may keep attributes: of the root, and of a directory that is open, no change is told.
pub const ATTR_KEPT: Duration = Duration::from_secs(1);
/// Pictures that the kernel may have of one directory at a time.
const PICTURES: usize = 4;
/// How often a walk asks for one name: to see whether what it keeps is so, and again if it is not.
pub const ASKS: u8 = 2;
/// How long a program that was let in by a wrong picture may take from there to its request, on a machine
/// that is very busy.
const ON_ITS_WAY: Duration = Duration::from_secs(60);
/// Threads remembered for each directory that were told to walk anew.
const TOLD_MOST: usize = 1 << 16;

/// What the kernel can be told to forget. None of these waits for a request of the file system, but for
/// the last.
pub trait KernelCache: Debug + Send + Sync {
    /// An inode's attributes, also those in answers that it has asked for already. False if it has no such
    /// inode.
    fn forget_attributes(&self, ino: Ino) -> bool;
    /// Every name. False if it can not (before Linux 6.16).
    fn forget_names(&self) -> bool;
    /// A name in a directory. Waits for whoever has that directory locked.
    fn forget_name(&self, dir: Ino, name: &OsStr);
}

/// What is at a path at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    ino: u64,
    stat: Stat,
}

impl Picture {
    pub(super) fn of(bpffs: &Bpffs, path: &Path) -> Option<Self> {
        bpffs.look(path).ok().map(|(ino, stat)| Self::new(ino, stat))
    }

    /// Without the time of access, of which nobody is told.
    pub(super) fn new(ino: u64, stat: Stat) -> Self {
        Self { ino, stat: Stat { atime: stat.mtime, ..stat } }
    }

    /// Whether it is the same directory and lets in the same users.
    fn lets_in_as(self, now: Self) -> bool {
        let rights =
            |picture: Self| (picture.ino, picture.stat.mode, picture.stat.uid, picture.stat.gid);
        rights(now) == rights(self)
    }
}

/// A picture that the kernel may have.
#[derive(Debug)]
struct Shown {
    picture: Picture,
    /// When it was told last.
    told: Instant,
}

impl Shown {
    /// Whether the kernel may have it still.
    fn lasts(&self) -> bool {
        self.told.elapsed() < ATTR_KEPT + ON_ITS_WAY
    }

    /// Whether the kernel may have let in others by it than `now` does.
    fn is_other(&self, now: Picture) -> bool {
        self.lasts() && !self.picture.lets_in_as(now)
    }
}

/// A directory that the kernel may keep.
#[derive(Debug)]
pub(super) struct KeptDir {
    pub(super) number: Ino,
    /// By which directory and name it was found; the root has none.
    pub(super) name: Option<(Ino, OsString)>,
    /// Whether it is watched, and what leads to it.
    pub(super) is_watched: bool,
    shown: Vec<Shown>,
    /// When the kernel had to forget whom it had let in.
    forgotten: Option<Instant>,
    /// How often a thread was told to walk anew since. No walk comes back so often as [`ASKS`] by what it
    /// learned before, nor does one that has asked for the directory since.
    told: HashMap<u32, u8, PathHash>,
}

impl KeptDir {
    pub(super) fn new(number: Ino) -> Self {
        let (shown, told) = (Vec::new(), HashMap::default());
        Self { number, name: None, is_watched: false, shown, forgotten: None, told }
    }

    /// Notes that the kernel is told `picture`; false if it may have too many. One of those that let in the
    /// same users is enough.
    pub(super) fn show(&mut self, picture: Picture) -> bool {
        let new = Shown { picture, told: Instant::now() };
        self.shown.retain(|shown| shown.lasts() && !shown.picture.lets_in_as(picture));
        self.shown.push(new);
        self.shown.len() <= PICTURES
    }

    /// Whether the kernel may have let in others than `now` does.
    pub(super) fn may_let_in_others(&self, now: Picture) -> bool {
        self.has_let_in() || self.shown.iter().any(|shown| shown.is_other(now))
    }

    /// Has the kernel forget whom it lets in. An inode that it does not know, yet or any more, has led
    /// nobody anywhere.
    pub(super) fn forget(&mut self, kernel: &dyn KernelCache) {
        if kernel.forget_attributes(self.number) {
            self.shown.clear();
            self.told.clear();
            self.forgotten = Some(Instant::now());
        }
    }

    /// Has the kernel forget whom it lets in, if it may be others than `now` does.
    pub(super) fn forget_others(&mut self, kernel: &dyn KernelCache, now: Picture) {
        if self.shown.iter().any(|shown| shown.is_other(now)) {
            self.forget(kernel);
        }
    }

    /// Tells a thread to walk anew, unless it comes by what it was told since.
    pub(super) fn tell(&mut self, thread: u32) -> bool {
        // Of one that /proc does not show nobody knows.
        if thread == 0 || (self.told.len() >= TOLD_MOST && !self.told.contains_key(&thread)) {
            return true;
        }
        let times = self.told.entry(thread).or_default();
        *times += u8::from(*times <= ASKS);
        *times <= ASKS
    }

    /// Notes that a thread has asked for the directory, and knows what it is.
    pub(super) fn asked_by(&mut self, thread: u32) {
        if self.has_let_in() && self.told.len() < TOLD_MOST {
            self.told.insert(thread, ASKS + 1);
        }
    }

    /// Whether a program that a wrong picture has let in may be on its way.
    pub(super) fn has_let_in(&self) -> bool {
        self.forgotten.is_some_and(|forgotten| forgotten.elapsed() < ON_ITS_WAY)
    }

    /// Whether anything need be known of it still.
    pub(super) fn counts(&self) -> bool {
        self.has_let_in() || self.shown.iter().any(Shown::lasts)
    }

    /// Whether the kernel was told that it looks so.
    pub(super) fn has_shown(&self, picture: Picture) -> bool {
        self.shown.iter().any(|shown| shown.picture == picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// A kernel that has the inode, or not.
    #[derive(Debug)]
    struct Cache(bool);

    impl KernelCache for Cache {
        fn forget_attributes(&self, _: Ino) -> bool {
            self.0
        }
        fn forget_names(&self) -> bool {
            true
        }
        fn forget_name(&self, _: Ino, _: &OsStr) {}
    }

    fn picture(ino: u64, mode: u32) -> Picture {
        let time = SystemTime::UNIX_EPOCH;
        let stat = Stat { mode, uid: 0, gid: 0, nlink: 2, atime: time, mtime: time, ctime: time };
        Picture::new(ino, stat)
    }

    fn kept(shown: &[Picture]) -> KeptDir {
        let mut dir = KeptDir::new(Ino(7));
        shown.iter().for_each(|picture| assert!(dir.show(*picture)));
        dir
    }

    #[test]
    fn who_was_let_in_before_is_told_to_walk_anew() {
        let (open, closed) = (picture(1, 0o755), picture(1, 0o700));
        let mut dir = kept(&[open]);
        assert!(!dir.may_let_in_others(open));
        assert!(dir.may_let_in_others(closed) && dir.may_let_in_others(picture(2, 0o755)));
        dir.forget(&Cache(true));
        assert!(dir.shown.is_empty());
        // Some may be on their way: each asks twice before it walks anew.
        assert!(dir.may_let_in_others(closed));
        for thread in [10, 11] {
            assert_eq!([(); 4].map(|()| dir.tell(thread)), [true, true, false, false], "{thread}");
        }
        assert_eq!([(); 4].map(|()| dir.tell(0)), [true; 4], "nobody knows which");
        // What was told is of the time before.
        dir.show(open);
        dir.forget(&Cache(true));
        assert!(dir.tell(10));
    }

    #[test]
    fn what_the_kernel_does_not_know_is_not_forgotten() {
        let mut dir = kept(&[picture(1, 0o755)]);
        dir.forget(&Cache(false));
        assert!(!dir.has_let_in() && dir.may_let_in_others(picture(1, 0o700)));
    }

    #[test]
    fn each_picture_counts_that_the_kernel_may_have() {
        let mut dir = kept(&[0o700, 0o755, 0o700].map(|mode| picture(1, mode)));
        assert_eq!(dir.shown.len(), 2);
        assert!(dir.may_let_in_others(picture(1, 0o700)));
        assert!(dir.show(picture(1, 0o750)) && dir.show(picture(1, 0o711)));
        assert!(!dir.show(picture(1, 0o600)), "too many to be kept");
    }
}

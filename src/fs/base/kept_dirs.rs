//! The directories that the kernel keeps, with their names and attributes, so that a path costs it no
//! question for each directory in it.
//!
//! What the kernel keeps decides nothing. Whoever asks for a name below a directory is checked against the
//! pin as it is (`fs::op::stale`): the kernel may take it for what it is no more, or let in whom it lets in
//! no more. Then the answer is ESTALE, upon which the kernel walks anew and asks for each directory. What
//! it shows of a directory itself is forgotten by a thread, as soon as bpffs tells of a change.
//!
//! Here is what the kernel was told. An answer may be on its way to it while another is made, so there may
//! be more than one picture of a directory that it has; each of them counts until its time is over. It is
//! told to forget attributes only by whoever is sent back to walk anew: the kernel drops answers that it
//! has asked for before, and goes by what it had.

use crate::bpffs::{Bpffs, Pin, Stat};
use crate::node::Ino;
use crate::sys::changes::{Changes, Waker};
use parking_lot::{Mutex, RwLock};
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Directories kept at most, and watches on them and those that lead to them: beyond, all are forgotten.
const MOST: usize = 1024;
const WATCHES_MAX: usize = 4 * MOST;
/// How long the kernel may keep a name, if nothing changes.
pub const NAME_KEPT: Duration = Duration::from_secs(5);
/// How long it may keep attributes: of the root, and of a directory that is open, no change is told.
pub const ATTR_KEPT: Duration = Duration::from_secs(1);
/// Pictures that the kernel may have of one directory at a time.
const PICTURES: usize = 4;
/// How often a walk asks for one name: to see whether what it keeps is so, and again if it is not.
pub const ASKS: u8 = 2;
/// How often a directory is asked for before it is kept: one that is asked for once is not worth it.
const OFTEN: u8 = 3;
/// Paths remembered as asked for.
const ASKED: usize = 256;
/// How long a program that was let in by a wrong picture may take from there to its request, on a machine
/// that is very busy.
const ON_ITS_WAY: Duration = Duration::from_secs(60);
/// Threads remembered for each directory that were told to walk anew.
const TOLD_MOST: usize = 1 << 16;
/// The thread rests so many times as long as it has worked, and no less than this, so that whoever changes
/// bpffs without end takes no CPU by it.
const RESTS: u32 = 10;
const REST: Duration = Duration::from_millis(1);

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
struct Picture {
    ino: u64,
    stat: Stat,
}

impl Picture {
    fn of(bpffs: &Bpffs, path: &Path) -> Option<Self> {
        bpffs.look(path).ok().map(|(ino, stat)| Self::new(ino, stat))
    }

    /// Without the time of access, of which nobody is told.
    fn new(ino: u64, stat: Stat) -> Self {
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
    /// Whether it was found to be wrong, and the names forgotten by which it is shown.
    is_wrong: bool,
}

impl Shown {
    /// Whether the kernel may have it still.
    fn lasts(&self) -> bool {
        self.told.elapsed() < ATTR_KEPT + ON_ITS_WAY
    }
}

/// A directory that the kernel may keep.
#[derive(Debug)]
struct KeptDir {
    number: Ino,
    /// By which directory and name it was found; the root has none.
    name: Option<(Ino, OsString)>,
    /// The inode that it stands for.
    ino: u64,
    shown: Vec<Shown>,
    /// When the kernel had to forget whom it had let in.
    forgotten: Option<Instant>,
    /// How often a thread was told to walk anew since. No walk comes back so often as [`ASKS`] by what it
    /// learned before, nor does one that has asked for the directory since.
    told: HashMap<u32, u8, Fast>,
}

impl KeptDir {
    fn new(number: Ino, ino: u64) -> Self {
        let (shown, told) = (Vec::new(), HashMap::default());
        Self { number, name: None, ino, shown, forgotten: None, told }
    }

    /// Notes that the kernel is told `picture`; false if it may have too many. One of those that let in the
    /// same users is enough.
    fn show(&mut self, picture: Picture) -> bool {
        let new = Shown { picture, told: Instant::now(), is_wrong: false };
        self.shown.retain(|shown| shown.lasts() && !shown.picture.lets_in_as(picture));
        self.shown.push(new);
        self.shown.len() <= PICTURES
    }

    /// Whether the kernel may have let in others than `now` does.
    fn may_let_in_others(&self, now: Picture) -> bool {
        let is_wrong = |shown: &Shown| shown.lasts() && !shown.picture.lets_in_as(now);
        self.has_let_in() || self.shown.iter().any(is_wrong)
    }

    /// Has the kernel forget whom it lets in. An inode that it does not know, yet or any more, has led
    /// nobody anywhere.
    fn forget(&mut self, kernel: &dyn KernelCache) {
        if kernel.forget_attributes(self.number) {
            self.shown.clear();
            self.told.clear();
            self.forgotten = Some(Instant::now());
        }
    }

    /// Tells a thread to walk anew, unless it comes by what it was told since.
    fn tell(&mut self, thread: u32) -> bool {
        // Of one that /proc does not show nobody knows.
        if thread == 0 || (self.told.len() >= TOLD_MOST && !self.told.contains_key(&thread)) {
            return true;
        }
        let times = self.told.entry(thread).or_default();
        *times += u8::from(*times <= ASKS);
        *times <= ASKS
    }

    /// Whether a program that a wrong picture has let in may be on its way.
    fn has_let_in(&self) -> bool {
        self.forgotten.is_some_and(|forgotten| forgotten.elapsed() < ON_ITS_WAY)
    }

    /// Compares with what is there now; tells whether the kernel is to forget its name, by which it asks
    /// anew. It is not told to forget attributes: somebody may be waiting for them.
    fn is_wrong(&mut self, now: Option<Picture>) -> bool {
        self.shown.retain(Shown::lasts);
        let mut is_new = now.is_none_or(|now| now.ino != self.ino);
        for shown in self.shown.iter_mut().filter(|shown| Some(shown.picture) != now) {
            is_new |= !shown.is_wrong;
            shown.is_wrong = true;
        }
        is_new
    }
}

type Fast = BuildHasherDefault<SipHasher13>;

#[derive(Debug)]
struct Dirs {
    /// By their paths. A map's directory and those of its views have one.
    kept: HashMap<Box<[u8]>, Vec<KeptDir>, Fast>,
    paths: HashMap<Ino, Box<[u8]>, Fast>,
    /// Tells when to look at them again, while the kernel keeps any name.
    watch: Option<Arc<Watch>>,
    watches: usize,
    /// All are to be forgotten.
    is_full: bool,
    /// When the kernel was told of one last.
    last: Instant,
}

/// What the thread waits for.
#[derive(Debug)]
struct Watch {
    changes: Changes,
    waker: Waker,
}

impl Watch {
    fn new() -> io::Result<Arc<Self>> {
        let (changes, waker) = (Changes::new()?, Waker::new()?);
        changes.woken_by(&waker)?;
        Ok(Arc::new(Self { changes, waker }))
    }
}

impl Dirs {
    /// Watches with `watch` from now on: nothing is watched by it yet.
    fn renew(&mut self, watch: Arc<Watch>) {
        (self.watch, self.watches, self.is_full) = (Some(watch), 0, false);
        for at in self.kept.values_mut() {
            at.retain(|dir| dir.has_let_in() || dir.shown.iter().any(Shown::lasts));
            at.iter_mut().for_each(|dir| dir.ino = 0);
        }
        self.kept.retain(|_, at| !at.is_empty());
        let at = self.kept.iter();
        let known = at.flat_map(|(path, at)| at.iter().map(|dir| (dir.number, path.clone())));
        self.paths = known.collect();
    }

    fn wake(&self) {
        if let Some(watch) = &self.watch {
            watch.waker.wake();
        }
    }

    fn at(&self, path: &Path) -> &[KeptDir] {
        self.kept.get(path.as_os_str().as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// Watches a path and all that leads to it, the root first: what is exchanged below a directory that
    /// is watched already is a change. `None` if that cannot be.
    fn watch(&mut self, bpffs: &Bpffs, path: &Path) -> Option<()> {
        for path in below(bpffs, path).collect::<Vec<_>>().into_iter().rev() {
            self.watch.as_ref()?.changes.watch(&bpffs.reach(path).ok()?).ok()?;
            self.watches += 1;
        }
        Some(())
    }

    fn remove(&mut self, number: Ino) {
        let Some(path) = self.paths.remove(&number) else { return };
        if let Some(at) = self.kept.get_mut(&path) {
            at.retain(|dir| dir.number != number || dir.has_let_in());
            if at.is_empty() {
                self.kept.remove(&path);
            }
        }
    }
}

/// A path and all that leads to it, down to the root.
fn below<'a>(bpffs: &Bpffs, path: &'a Path) -> impl Iterator<Item = &'a Path> {
    let root = bpffs.path().as_os_str().len();
    path.ancestors().take_while(move |path| path.as_os_str().len() >= root)
}

/// The hashes of paths, and how often they were asked for.
#[derive(Debug)]
struct Asked([(u64, u8); ASKED]);

impl Asked {
    /// Whether a path was asked for often, this time included.
    fn is_often(&mut self, path: &Path) -> bool {
        let hash = Fast::default().hash_one(path.as_os_str().as_bytes());
        let (asked, times) = &mut self.0[hash as usize % ASKED];
        *times = if *asked == hash { times.saturating_add(1) } else { 1 };
        *asked = hash;
        *times >= OFTEN
    }
}

/// The directories that the kernel keeps.
#[derive(Debug)]
pub struct KeptDirs {
    bpffs: Arc<Bpffs>,
    kernel: Arc<dyn KernelCache>,
    asked: Mutex<Asked>,
    dirs: RwLock<Dirs>,
    /// Whether there are any: else nothing need be locked.
    any: AtomicBool,
}

impl KeptDirs {
    /// Has `kernel` forget what changes in `bpffs`.
    pub fn new(bpffs: Arc<Bpffs>, kernel: Arc<dyn KernelCache>) -> Arc<Self> {
        let asked = Mutex::new(Asked([(0, 0); ASKED]));
        let dirs = Dirs {
            kept: HashMap::default(),
            paths: HashMap::default(),
            watch: None,
            watches: 0,
            is_full: false,
            last: Instant::now(),
        };
        Arc::new(Self {
            bpffs,
            kernel,
            asked,
            dirs: RwLock::new(dirs),
            any: AtomicBool::new(false),
        })
    }

    /// Whether the kernel may keep a directory that it is told of now, with the attributes that the pin
    /// has: `stat` is what it is told. `name` is by which directory and name the thread has found it.
    pub fn keep(
        self: &Arc<Self>,
        (pin, stat): (&Pin, Stat),
        number: Ino,
        name: Option<(Ino, &OsStr)>,
        thread: u32,
    ) -> bool {
        let pin = &*self.bpffs.current(pin);
        let ino = match pin.ino {
            // The root's.
            0 => match self.bpffs.look(&pin.path) {
                Ok((ino, _)) => ino,
                Err(_) => return false,
            },
            ino => ino,
        };
        let picture = Picture::new(ino, stat);
        if self.note(&pin.path, (picture, number, name, thread)).is_none() {
            return false;
        }
        // Noted and watched first, looked at then: what changes from now on is noticed.
        let is_now = Picture::of(&self.bpffs, &pin.path) == Some(picture);
        if !is_now {
            self.compare_soon();
        }
        is_now
    }

    /// Notes that the kernel may have a picture of a directory from now on; `None` if it is not to.
    fn note(
        self: &Arc<Self>,
        path: &Path,
        (picture, number, name, thread): (Picture, Ino, Option<(Ino, &OsStr)>, u32),
    ) -> Option<()> {
        let bytes = path.as_os_str().as_bytes();
        let mut dirs = self.dirs.write();
        if !dirs.kept.contains_key(bytes) && !self.asked.lock().is_often(path) {
            return None;
        }
        if dirs.watch.is_none() {
            let watch = Watch::new().ok()?;
            let kept = Arc::clone(self);
            thread::Builder::new()
                .name("kept-dirs".into())
                .spawn(move || kept.forget_changed())
                .ok()?;
            // It begins when it gets the lock.
            dirs.renew(watch);
            dirs.last = Instant::now();
            self.any.store(true, Ordering::Release);
        }
        if dirs.is_full {
            return None;
        }
        if dirs.paths.len() >= MOST || dirs.watches >= WATCHES_MAX {
            dirs.is_full = true;
            dirs.wake();
            return None;
        }
        let is_told = |dir: &KeptDir| {
            let is_shown = |shown: &Shown| shown.picture == picture;
            dir.number == number && dir.ino == picture.ino && dir.shown.iter().any(is_shown)
        };
        if !dirs.at(path).iter().any(is_told) {
            // Also what was watched before: another directory may lead to it by now.
            dirs.watch(&self.bpffs, path)?;
        }
        dirs.last = Instant::now();
        // It may have been known by another path.
        if dirs.paths.get(&number).is_some_and(|old| **old != *bytes) {
            dirs.remove(number);
        }
        dirs.paths.insert(number, bytes.into());
        let at = dirs.kept.entry(bytes.into()).or_default();
        let n = at.iter().position(|dir| dir.number == number).unwrap_or_else(|| {
            at.push(KeptDir::new(number, picture.ino));
            at.len() - 1
        });
        let dir = &mut at[n];
        dir.ino = picture.ino;
        dir.name = name.map(|(parent, name)| (parent, name.to_owned())).or(dir.name.take());
        if !dir.show(picture) {
            return None;
        }
        if name.is_some() && dir.has_let_in() && dir.told.len() < TOLD_MOST {
            dir.told.insert(thread, ASKS + 1);
        }
        Some(())
    }

    /// Whether the kernel can have let in only whom what is at a path `now` lets in.
    pub fn is_known(&self, path: &Path, (ino, stat): (u64, Stat)) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return true;
        }
        let now = Picture::new(ino, stat);
        !self.dirs.read().at(path).iter().any(|dir| dir.may_let_in_others(now))
    }

    /// Has the kernel forget whom a directory that is now so let in before. Whether the thread is to walk
    /// anew: not if it has, since then.
    pub fn is_to_walk(&self, path: &Path, (ino, stat): (u64, Stat), thread: u32) -> bool {
        let now = Picture::new(ino, stat);
        let mut dirs = self.dirs.write();
        let mut is_to_walk = false;
        for dir in dirs.kept.get_mut(path.as_os_str().as_bytes()).into_iter().flatten() {
            if dir.shown.iter().any(|shown| shown.lasts() && !shown.picture.lets_in_as(now)) {
                dir.forget(&*self.kernel);
            }
            is_to_walk |= dir.has_let_in() && dir.tell(thread);
        }
        is_to_walk
    }

    /// Something is not as the kernel takes it to be.
    pub fn compare_soon(&self) {
        self.dirs.read().wake();
    }

    /// We have changed something: whoever comes next is to see it, not only whoever comes later.
    pub fn changed_here(&self) {
        if self.any.load(Ordering::Acquire) && !self.kernel.forget_names() {
            // Each name by itself waits for locks, which a request may hold that waits for us.
            self.compare_soon();
        }
    }

    /// The kernel has forgotten an inode, unless `is_known` says that it has asked for it again.
    pub fn forgotten(&self, number: Ino, is_known: impl Fn() -> bool) {
        if self.any.load(Ordering::Acquire) && self.dirs.read().paths.contains_key(&number) {
            let mut dirs = self.dirs.write();
            if !is_known() {
                dirs.remove(number);
            }
        }
    }

    /// Has the kernel forget all directories: what they are, or what they have, follows another rule now.
    pub fn forget_all(&self) {
        let mut dirs = self.dirs.write();
        for dir in dirs.kept.values_mut().flatten() {
            dir.forget(&*self.kernel);
            // By this, its name is forgotten as well.
            dir.ino = 0;
        }
        dirs.wake();
        drop(dirs);
        self.changed_here();
    }

    /// Compares all, and has the kernel forget what is not so any more.
    fn compare(&self) {
        let paths: Vec<Box<[u8]>> = self.dirs.read().kept.keys().cloned().collect();
        let mut names = Vec::new();
        for path in paths {
            let now = Picture::of(&self.bpffs, Path::new(OsStr::from_bytes(&path)));
            let mut dirs = self.dirs.write();
            let Dirs { kept, paths, is_full, .. } = &mut *dirs;
            let Some(at) = kept.get_mut(&path) else { continue };
            at.retain_mut(|dir| {
                if *is_full {
                    dir.forget(&*self.kernel);
                }
                let is_same = !*is_full && now.is_some_and(|now| now.ino == dir.ino);
                if dir.is_wrong(now) || *is_full {
                    names.extend(dir.name.clone());
                }
                if !is_same {
                    dir.name = None;
                }
                let is_known = paths.contains_key(&dir.number);
                let stays = (is_same && is_known) || !dir.shown.is_empty() || dir.has_let_in();
                if !stays {
                    paths.remove(&dir.number);
                }
                stays
            });
            if at.is_empty() {
                kept.remove(&path);
            }
        }
        // Without the lock: a request that needs it may hold the directory's.
        if !names.is_empty() && !self.kernel.forget_names() {
            names.iter().for_each(|(dir, name)| self.kernel.forget_name(*dir, name));
        }
    }

    /// Until the kernel keeps no name any more.
    fn forget_changed(&self) {
        loop {
            let (watch, left) = {
                let mut dirs = self.dirs.write();
                if dirs.is_full
                    && let Ok(watch) = Watch::new()
                {
                    dirs.renew(watch);
                }
                let left = NAME_KEPT.saturating_sub(dirs.last.elapsed());
                match &dirs.watch {
                    Some(watch) if !left.is_zero() => (Arc::clone(watch), left),
                    _ => return dirs.watch = None,
                }
            };
            watch.changes.wait(&watch.waker, left);
            let start = Instant::now();
            self.compare();
            thread::sleep(REST.max(RESTS * start.elapsed()));
        }
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
        let mut dir = KeptDir::new(Ino(7), 1);
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

    #[test]
    fn a_name_is_forgotten_once_for_each_change() {
        let mut dir = kept(&[picture(1, 0o755)]);
        assert!(!dir.is_wrong(Some(picture(1, 0o755))));
        assert!(dir.is_wrong(Some(picture(1, 0o700))));
        assert!(!dir.is_wrong(Some(picture(1, 0o700))), "told already");
        assert!(dir.is_wrong(Some(picture(2, 0o755))), "another inode");
        assert!(dir.is_wrong(None), "gone");
    }
}

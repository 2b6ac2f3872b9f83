//! The directories that the kernel keeps, with their names and attributes, so that a path costs it no
//! question for each directory in it.
//!
//! What the kernel keeps decides nothing. Whoever asks for a name below a directory is checked against the
//! pin as it is (`fs::op::ways`): the kernel may take it for what it is no more, or let in whom it lets in
//! no more. Then the answer is ESTALE, upon which the kernel walks anew and asks for each directory. What
//! it shows of a directory itself is forgotten by a thread, as soon as bpffs tells of a change.
//!
//! Here is what the kernel was told. An answer may be on its way to it while another is made, so there may
//! be more than one picture of a directory that it has; each of them counts until its time is over. It is
//! told to forget attributes only by whoever is sent back to walk anew: the kernel drops answers that it
//! has asked for before, and goes by what it had.

mod dir;

pub use dir::{ASKS, ATTR_KEPT, KernelCache};

use crate::bpffs::watch::{AskedPaths, PathHash};
use crate::bpffs::{Bpffs, Pin, Stat};
use crate::node::Ino;
use crate::sys::changes::{Changes, Waker};
use dir::{KeptDir, Picture};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::ffi::OsStr;
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
/// How often a directory is asked for before it is kept: one that is asked for once is not worth it.
const OFTEN: u8 = 3;
/// Paths remembered as asked for.
const ASKED: usize = 256;
/// The thread rests so long after a change, and each time twice as long while changes go on, so that whoever
/// changes bpffs without end takes no CPU by it, nor their names from the others.
const REST: Duration = Duration::from_millis(1);
const REST_MOST: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Dirs {
    /// By their paths. A map's directory and those of its views have one.
    kept: HashMap<Box<[u8]>, Vec<KeptDir>, PathHash>,
    paths: HashMap<Ino, Box<[u8]>, PathHash>,
    /// Tells when something changes, while the kernel keeps any name.
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
            at.retain(KeptDir::counts);
            at.iter_mut().for_each(|dir| dir.is_watched = false);
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

    fn watch(&mut self, bpffs: &Bpffs, path: &Path) -> Option<()> {
        let watch = self.watch.as_ref()?;
        bpffs.watch(&watch.changes, &mut self.watches, path)
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

/// The directories that the kernel keeps.
#[derive(Debug)]
pub struct KeptDirs {
    bpffs: Arc<Bpffs>,
    kernel: Arc<dyn KernelCache>,
    asked: Mutex<AskedPaths<ASKED>>,
    dirs: RwLock<Dirs>,
    /// Whether there are any: else nothing need be locked.
    any: AtomicBool,
}

impl KeptDirs {
    /// Has `kernel` forget what changes in `bpffs`.
    pub fn new(bpffs: Arc<Bpffs>, kernel: Arc<dyn KernelCache>) -> Arc<Self> {
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
            asked: Mutex::default(),
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
        Picture::of(&self.bpffs, &pin.path) == Some(picture)
    }

    /// Notes that the kernel may have a picture of a directory from now on; `None` if it is not to.
    fn note(
        self: &Arc<Self>,
        path: &Path,
        (picture, number, name, thread): (Picture, Ino, Option<(Ino, &OsStr)>, u32),
    ) -> Option<()> {
        let bytes = path.as_os_str().as_bytes();
        let mut dirs = self.dirs.write();
        if !dirs.kept.contains_key(bytes) && !self.asked.lock().is_often(path, OFTEN) {
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
        let is_watched =
            |dir: &KeptDir| dir.number == number && dir.is_watched && dir.has_shown(picture);
        if !dirs.at(path).iter().any(is_watched) {
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
            at.push(KeptDir::new(number));
            at.len() - 1
        });
        let dir = &mut at[n];
        dir.is_watched = true;
        dir.name = name.map(|(parent, name)| (parent, name.to_owned())).or(dir.name.take());
        if !dir.show(picture) {
            return None;
        }
        if name.is_some() {
            dir.asked_by(thread);
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
            dir.forget_others(&*self.kernel, now);
            is_to_walk |= dir.has_let_in() && dir.tell(thread);
        }
        is_to_walk
    }

    /// We have changed something: whoever comes next is to see it, not only whoever comes later.
    pub fn changed_here(&self) {
        if self.any.load(Ordering::Acquire) && !self.kernel.forget_names() {
            // Each name by itself waits for locks, which a request may hold that waits for us.
            self.dirs.read().wake();
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
        }
        drop(dirs);
        self.changed_here();
    }

    /// Has the kernel forget all names. Nothing is looked at for that: a look holds the file system that it
    /// goes to, which whoever made the change may be about to unmount.
    fn forget_names(&self) {
        let mut names = Vec::new();
        {
            let mut dirs = self.dirs.write();
            let Dirs { kept, paths, .. } = &mut *dirs;
            kept.retain(|_, at| {
                at.retain_mut(|dir| {
                    names.extend(dir.name.take());
                    // What leads to it may be another directory by now, which is not watched.
                    dir.is_watched = false;
                    paths.contains_key(&dir.number) || dir.counts()
                });
                !at.is_empty()
            });
        }
        // Without the lock: a request that needs it may hold the directory's.
        if !self.kernel.forget_names() {
            names.iter().for_each(|(dir, name)| self.kernel.forget_name(*dir, name));
        }
    }

    /// Until the kernel keeps no name any more.
    fn forget_changed(&self) {
        let mut rest = REST;
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
            let asked = Instant::now();
            if !watch.changes.wait(&watch.waker, left) {
                continue;
            }
            let is_quiet = asked.elapsed() > REST_MOST;
            rest = if is_quiet { REST } else { REST_MOST.min(2 * rest) };
            self.forget_names();
            thread::sleep(rest);
        }
    }
}

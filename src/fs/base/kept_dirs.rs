//! The directories that the kernel keeps, with their names and attributes, so that a path costs it no
//! question for each directory in it.
//!
//! What the kernel keeps decides nothing. Whoever asks for a name below a directory is checked against the
//! pin as it is (`fs::op::stale`): the kernel may take it for what it is no more, or let in whom it lets in
//! no more. Then the answer is ESTALE, upon which the kernel walks anew and asks for each directory. What
//! it shows of a directory itself is forgotten by a thread, as soon as bpffs tells of a change.
//!
//! Here is what the kernel was told. An answer may be on its way to it while another is made, so there may
//! be more than one picture of a directory that it has; all but the present one are wrong. They are
//! forgotten together with the kernel's attributes, by which it drops also what it has asked for before.

use crate::bpffs::{Bpffs, Pin, Stat};
use crate::node::Ino;
use crate::sys::changes::{Changes, Waker};
use parking_lot::RwLock;
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::hash::BuildHasherDefault;
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
/// Pictures that the kernel may have of one directory at a time.
const PICTURES: usize = 4;
/// How often a walk asks for one name: to see whether what it keeps is so, and again if it is not.
pub const ASKS: u8 = 2;
/// How often a directory is asked for before it is kept: one that is asked for once is not worth it.
const OFTEN: u8 = 3;
/// Paths remembered as asked for.
const ASKED: usize = 256;
/// How long a program that was let in by a wrong picture may take from there to its request.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
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

/// A directory that the kernel may keep.
#[derive(Debug)]
struct KeptDir {
    number: Ino,
    /// By which directory and name it was found; the root has none.
    name: Option<(Ino, OsString)>,
    /// The inode that it stands for.
    ino: u64,
    pictures: Vec<Picture>,
    /// When the kernel had to forget a wrong picture.
    forgotten: Option<Instant>,
    /// How often a thread was told to walk anew since. No walk comes back so often as [`ASKS`] by what it
    /// learned before, nor does one that has asked for the directory since.
    told: HashMap<u32, u8, Fast>,
}

impl KeptDir {
    fn new(number: Ino, ino: u64) -> Self {
        let (pictures, told) = (Vec::new(), HashMap::default());
        Self { number, name: None, ino, pictures, forgotten: None, told }
    }

    /// Has the kernel forget the attributes if it may have any by which `is_right` does not hold. An inode
    /// that it does not know, yet or any more, has led nobody anywhere.
    fn forget_wrong(&mut self, kernel: &dyn KernelCache, is_right: impl Fn(&Picture) -> bool) {
        if !self.pictures.iter().all(is_right) && kernel.forget_attributes(self.number) {
            self.pictures.clear();
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
}

type Fast = BuildHasherDefault<SipHasher13>;

#[derive(Debug)]
struct Dirs {
    /// By their paths. A map's directory and those of its views have one.
    kept: HashMap<Box<[u8]>, Vec<KeptDir>, Fast>,
    paths: HashMap<Ino, Box<[u8]>, Fast>,
    /// Tells when to look at them again.
    changes: Arc<Changes>,
    watches: usize,
    /// The hashes of paths, and how often they were asked for.
    asked: Box<[(u64, u8); ASKED]>,
    /// All are to be forgotten.
    is_full: bool,
}

impl Dirs {
    fn new(changes: Arc<Changes>) -> Self {
        Self {
            kept: HashMap::default(),
            paths: HashMap::default(),
            changes,
            watches: 0,
            asked: Box::new([(0, 0); ASKED]),
            is_full: false,
        }
    }

    /// Whether a path was asked for often, this time included.
    fn is_often(&mut self, path: &[u8]) -> bool {
        let hash = std::hash::BuildHasher::hash_one(&Fast::default(), path);
        let (asked, times) = &mut self.asked[hash as usize % ASKED];
        *times = if *asked == hash { times.saturating_add(1) } else { 1 };
        *asked = hash;
        *times >= OFTEN
    }

    /// Watches a path and all that leads to it, the root first: what is exchanged below a directory that
    /// is watched already is a change. `None` if that cannot be.
    fn watch(&mut self, bpffs: &Bpffs, path: &Path) -> Option<()> {
        for path in below(bpffs, path).collect::<Vec<_>>().into_iter().rev() {
            self.changes.watch(&bpffs.reach(path).ok()?).ok()?;
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

/// The directories that the kernel keeps.
#[derive(Debug)]
pub struct KeptDirs {
    kernel: Arc<dyn KernelCache>,
    waker: Waker,
    dirs: RwLock<Dirs>,
    /// Whether there have been any: else nothing need be locked.
    any: AtomicBool,
}

impl KeptDirs {
    /// Tells `kernel` which directories of `bpffs` it may keep, and forgets what has changed from a thread of its own.
    ///
    /// # Errors
    /// EMFILE if root has no inotify instance left; EAGAIN if no thread can be started.
    pub fn start(bpffs: Arc<Bpffs>, kernel: Arc<dyn KernelCache>) -> io::Result<Arc<Self>> {
        let dirs = Self::new(kernel)?;
        let kept = Arc::clone(&dirs);
        let thread = thread::Builder::new().name("kept-dirs".into());
        thread.spawn(move || forget_changed(&kept, &bpffs))?;
        Ok(dirs)
    }

    fn new(kernel: Arc<dyn KernelCache>) -> io::Result<Arc<Self>> {
        let waker = Waker::new()?;
        let changes = watched_by(&waker)?;
        let dirs = RwLock::new(Dirs::new(changes));
        Ok(Arc::new(Self { kernel, waker, dirs, any: AtomicBool::new(false) }))
    }

    /// Whether the kernel may keep a directory that it is told of now, with the attributes that the pin
    /// has: `stat` is what it is told. `name` is by which directory and name the thread has found it.
    pub fn keep(
        &self,
        bpffs: &Bpffs,
        (pin, stat): (&Pin, Stat),
        number: Ino,
        name: Option<(Ino, &OsStr)>,
        thread: u32,
    ) -> bool {
        let pin = &*bpffs.current(pin);
        let path = pin.path.as_os_str().as_bytes();
        let ino = match pin.ino {
            // The root's.
            0 => match bpffs.look(&pin.path) {
                Ok((ino, _)) => ino,
                Err(_) => return false,
            },
            ino => ino,
        };
        let picture = Picture::new(ino, stat);
        let is_told = self.dirs.read().kept.get(path).is_some_and(|at| {
            let is_own = |dir: &&KeptDir| dir.number == number;
            at.iter()
                .find(is_own)
                .is_some_and(|dir| *dir.pictures == [picture] && !dir.has_let_in())
        });
        let new = (picture, number, name, thread);
        if !is_told && self.note(bpffs, &pin.path, new).is_none() {
            return false;
        }
        // Noted and watched first, looked at then: what changes from now on is noticed.
        let is_now = Picture::of(bpffs, &pin.path) == Some(picture);
        if !is_now {
            self.waker.wake();
        }
        is_now
    }

    /// Notes that the kernel may have a picture of a directory from now on; `None` if it is not to.
    fn note(
        &self,
        bpffs: &Bpffs,
        path: &Path,
        (picture, number, name, thread): (Picture, Ino, Option<(Ino, &OsStr)>, u32),
    ) -> Option<()> {
        let bytes = path.as_os_str().as_bytes();
        let mut dirs = self.dirs.write();
        if dirs.is_full || (!dirs.kept.contains_key(bytes) && !dirs.is_often(bytes)) {
            return None;
        }
        if dirs.paths.len() >= MOST || dirs.watches >= WATCHES_MAX {
            dirs.is_full = true;
            self.waker.wake();
            return None;
        }
        // Also what was watched before: another directory may lead to it by now.
        dirs.watch(bpffs, path)?;
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
        dir.forget_wrong(&*self.kernel, |known| *known == picture);
        if dir.pictures.len() >= PICTURES {
            return None;
        }
        if !dir.pictures.contains(&picture) {
            dir.pictures.push(picture);
        }
        if name.is_some() && dir.has_let_in() && dir.told.len() < TOLD_MOST {
            dir.told.insert(thread, ASKS + 1);
        }
        self.any.store(true, Ordering::Release);
        Some(())
    }

    /// Whether the kernel can have let in only whom what is at a path `now` lets in.
    pub fn is_known(&self, path: &Path, (ino, stat): (u64, Stat)) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return true;
        }
        let is_right = |picture: &Picture| picture.lets_in_as(Picture::new(ino, stat));
        self.dirs.read().kept.get(path.as_os_str().as_bytes()).is_none_or(|at| {
            at.iter().all(|dir| !dir.has_let_in() && dir.pictures.iter().all(is_right))
        })
    }

    /// Has the kernel forget whom a directory that is now so let in before. Whether the thread is to walk
    /// anew: not if it has, since then.
    pub fn is_to_walk(&self, path: &Path, (ino, stat): (u64, Stat), thread: u32) -> bool {
        let is_right = |picture: &Picture| picture.lets_in_as(Picture::new(ino, stat));
        let mut dirs = self.dirs.write();
        let mut is_to_walk = false;
        for dir in dirs.kept.get_mut(path.as_os_str().as_bytes()).into_iter().flatten() {
            dir.forget_wrong(&*self.kernel, is_right);
            is_to_walk |= dir.has_let_in() && dir.tell(thread);
        }
        is_to_walk
    }

    /// Something is not as the kernel takes it to be.
    pub fn compare_soon(&self) {
        self.waker.wake();
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
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut dirs = self.dirs.write();
        for dir in dirs.kept.values_mut().flatten() {
            dir.forget_wrong(&*self.kernel, |_| false);
            // By this, its name is forgotten as well.
            dir.ino = 0;
        }
        self.waker.wake();
    }

    /// Compares all, and has the kernel forget what is not so any more.
    fn compare(&self, bpffs: &Bpffs) {
        let paths: Vec<Box<[u8]>> = self.dirs.read().kept.keys().cloned().collect();
        let mut names = Vec::new();
        for path in paths {
            let now = Picture::of(bpffs, Path::new(OsStr::from_bytes(&path)));
            let mut dirs = self.dirs.write();
            let Dirs { kept, paths, is_full, .. } = &mut *dirs;
            let Some(at) = kept.get_mut(&path) else { continue };
            at.retain_mut(|dir| {
                dir.forget_wrong(&*self.kernel, |picture| !*is_full && Some(*picture) == now);
                let is_same = !*is_full && now.is_some_and(|now| now.ino == dir.ino);
                if !is_same {
                    names.extend(dir.name.take());
                }
                let stays = is_same || !dir.pictures.is_empty() || dir.has_let_in();
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

    /// Begins anew if there were too many.
    fn renew(&self) {
        let mut dirs = self.dirs.write();
        // Watches end with what they are set on, or here.
        if dirs.is_full
            && let Ok(changes) = watched_by(&self.waker)
        {
            dirs.changes = changes;
            (dirs.watches, dirs.is_full) = (0, false);
        }
    }
}

fn watched_by(waker: &Waker) -> io::Result<Arc<Changes>> {
    let changes = Changes::new()?;
    changes.woken_by(waker)?;
    Ok(Arc::new(changes))
}

fn forget_changed(dirs: &KeptDirs, bpffs: &Bpffs) {
    loop {
        let changes = Arc::clone(&dirs.dirs.read().changes);
        changes.wait(&dirs.waker);
        let start = Instant::now();
        dirs.compare(bpffs);
        dirs.renew();
        thread::sleep(REST.max(RESTS * start.elapsed()));
    }
}

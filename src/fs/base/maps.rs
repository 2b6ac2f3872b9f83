//! Open maps, kept for a moment: a burst of operations on one map opens it once.
//!
//! Whoever uses a map asks here each time and lets go at the end, so that a map which another
//! program unpins is freed by the kernel within a second of its last use here.

use super::caller::Caller;
use super::error::{Error, Result};
use super::kept::KeptFiles;
use super::kept_dirs::{KeptDirs, KernelCache};
use super::open_file::OpenFile;
use super::owner::Owner;
use crate::bpffs::{Bpffs, Stat};
use crate::map::Map;
use crate::map::typing::{GivenTypes, TypeBook};
use crate::node::{MapRef, Node};
use crate::sys::acting::acting_as;
use crate::sys::object::{self, ObjectKind};
use crate::sys::{limits, mounts};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

/// A map that was not used for this long is closed.
const IDLE: Duration = Duration::from_millis(400);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Kept {
    map: Arc<Map>,
    opened: Instant,
    last_use: Instant,
}

impl Kept {
    /// Whether it is to be closed: a pin holds its map itself, but one that was reached by its id may be
    /// alive by us alone, and must end even if somebody asks for it again and again.
    fn is_over(&self, at: &MapRef) -> bool {
        let since = match at {
            MapRef::Pin(_) => self.last_use,
            MapRef::Id(_) => self.opened,
        };
        since.elapsed() > IDLE
    }
}

/// The maps in use.
#[derive(Debug)]
pub struct Maps {
    /// The bpffs that the pins are in.
    pub bpffs: Arc<Bpffs>,
    /// The directories of it that the kernel keeps, if it keeps any.
    pub dirs: OnceLock<Arc<KeptDirs>>,
    open: Mutex<HashMap<MapRef, Kept>>,
    /// What was opened to tell its size.
    pub files: KeptFiles,
    /// Closes what is idle and gives memory back; sleeps while there is neither.
    closer: OnceLock<Thread>,
    started: SystemTime,
    /// Where the mount is.
    pub mountpoint: PathBuf,
    /// Whether it was to be read-only from the start.
    read_only: bool,
    /// Whose the mount is.
    pub owner: Owner,
    /// Types that somebody gave for maps.
    pub types: TypeBook,
}

impl Maps {
    /// Keeps maps of `bpffs`, and closes them from a thread of its own.
    ///
    /// # Errors
    /// EAGAIN if no thread can be started.
    pub fn new(
        bpffs: Bpffs,
        mountpoint: PathBuf,
        read_only: bool,
        owner: Owner,
        types: TypeBook,
    ) -> std::io::Result<Arc<Self>> {
        let maps = Arc::new(Self {
            bpffs: Arc::new(bpffs),
            dirs: OnceLock::new(),
            open: Mutex::default(),
            files: KeptFiles::default(),
            closer: OnceLock::new(),
            started: SystemTime::now(),
            mountpoint,
            read_only,
            owner,
            types,
        });
        let weak = Arc::downgrade(&maps);
        let closer = thread::Builder::new().name("close-idle".into());
        let closer = closer.spawn(move || close_idle(&weak))?;
        let _ = maps.closer.set(closer.thread().clone());
        Ok(maps)
    }

    /// The map and its pin's attributes, as they are now.
    ///
    /// # Errors
    /// ENOENT if the pin was removed or replaced; the kernel's errno if the map cannot be opened.
    pub fn open(&self, at: &MapRef) -> Result<(Arc<Map>, Stat)> {
        let stat = self.stat(at)?;
        if let Some(kept) = self.open.lock().get_mut(at) {
            kept.last_use = Instant::now();
            return Ok((Arc::clone(&kept.map), stat));
        }
        let map = Arc::new(self.open_once(at)?);
        let now = Instant::now();
        let kept = Kept { map: Arc::clone(&map), opened: now, last_use: now };
        let mut open = self.open.lock();
        if open.is_empty() {
            self.wake_closer();
        }
        open.insert(at.clone(), kept);
        Ok((map, stat))
    }

    /// A file or directory was closed: the memory that it held goes back to the system once there
    /// is nothing else to do.
    pub fn file_closed(&self) {
        self.wake_closer();
    }

    /// Keeps a file that was opened to tell its size, for the open that follows at once.
    pub fn keep_file(&self, caller: Caller, node: &Node, file: &Arc<dyn OpenFile>) {
        self.files.keep(caller, node, file);
        self.wake_closer();
    }

    /// The same where the look-up was just before.
    pub fn keep_file_again(&self, caller: Caller, node: &Node, file: &Arc<dyn OpenFile>) {
        self.files.keep_again(caller, node, file);
    }

    fn wake_closer(&self) {
        if let Some(closer) = self.closer.get() {
            closer.unpark();
        }
    }

    /// The map for this use alone: it is closed when the caller drops it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_once(&self, at: &MapRef) -> Result<Map> {
        let fd = match at {
            MapRef::Pin(pin) => self.bpffs.open(pin)?,
            MapRef::Id(id) => object::map_by_id(*id)?,
        };
        if object::object_kind(fd.as_fd()) != ObjectKind::Map {
            return Err(Error::new(libc::ENOENT, "the pin is no longer a map"));
        }
        Ok(Map::open_typed(fd, &self.types)?)
    }

    /// Gives types to a map, or takes them back: who opens it from now on sees them.
    pub fn give_types(&self, id: u32, types: Option<Arc<GivenTypes>>) {
        self.types.set(id, types);
        self.open.lock().retain(|_, kept| kept.map.info.id != id);
        // A map has other views with types than without.
        if let Some(dirs) = self.dirs.get() {
            dirs.forget_all();
        }
    }

    /// Lets the kernel keep directories, which `kernel` tells what to forget.
    pub fn keep_dirs(&self, kernel: Arc<dyn KernelCache>) {
        // Whom the kernel would let in that we do not, is shown nothing.
        if self.owner.is_the_kernels() {
            let _ = self.dirs.set(KeptDirs::new(Arc::clone(&self.bpffs), kernel));
        }
    }

    /// Owner, mode and times of a map: its pin's, or for one reached by id root's.
    ///
    /// # Errors
    /// ENOENT if the pin was removed or replaced.
    pub fn stat(&self, at: &MapRef) -> Result<Stat> {
        match at {
            MapRef::Pin(pin) => self.bpffs.stat(pin).map_err(|error| match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENODEV) => {
                    Error::missing("the map is no longer pinned here")
                }
                _ => error.into(),
            }),
            MapRef::Id(_) => Ok(Stat {
                mode: 0o600,
                uid: 0,
                gid: 0,
                nlink: 1,
                atime: self.started,
                mtime: self.started,
                ctime: self.started,
            }),
        }
    }

    /// Refuses, in a mount that is read-only now, to open what is changed by being read: the kernel
    /// takes such an open for a harmless one. A bind mount may be read-only while others are not; the
    /// kernel does not tell which of those that the caller sees it came through.
    ///
    /// # Errors
    /// EROFS; EMFILE and the like if that could not be looked at.
    pub fn check_writable(&self, caller: Caller) -> Result<()> {
        let own = mounts::at(&self.mountpoint)?;
        let is_ours =
            |mount: &mounts::Mount| own.as_ref().is_some_and(|own| own.device == mount.device);
        let mut seen = mounts::of_process(caller.pid)?.into_iter().filter(is_ours).peekable();
        let is_read_only = match seen.peek() {
            Some(_) => seen.any(|mount| mount.read_only),
            None => own.as_ref().map_or(self.read_only, |mount| mount.read_only),
        };
        if is_read_only {
            let reason = "to read this takes away, and the mount is read-only, or one of the same that you see";
            return Err(Error::new(libc::EROFS, reason));
        }
        Ok(())
    }

    /// Removes or renames for the caller. The kernel has checked what was there when it looked; in a
    /// sticky directory, such as bpffs's root, another user's pin may be there by now.
    ///
    /// # Errors
    /// EPERM if it is not theirs; those of `act`.
    pub fn as_caller(&self, caller: Caller, act: impl FnOnce() -> Result<()>) -> Result<()> {
        if caller.is_owner { act() } else { acting_as(caller.uid, act)? }
    }

    /// Lets go of a map at once, since it was unpinned here.
    pub fn close(&self, at: &MapRef) {
        self.open.lock().remove(at);
        if let Some(dirs) = self.dirs.get() {
            dirs.changed_here();
        }
    }
}

impl Drop for Maps {
    fn drop(&mut self) {
        self.wake_closer();
    }
}

fn close_idle(maps: &Weak<Maps>) {
    loop {
        // Until a map is opened, or a file closed.
        thread::park();
        loop {
            thread::sleep(SWEEP);
            let Some(maps) = maps.upgrade() else { return };
            let (idle, none_left) = {
                let mut open = maps.open.lock();
                let idle = open.extract_if(|at, kept| kept.is_over(at));
                let idle: Vec<Kept> = idle.map(|(_, kept)| kept).collect();
                (idle, open.is_empty())
            };
            let none_left = maps.files.sweep() && none_left;
            // Closed without the lock: the kernel may take its time to free a map.
            drop(idle);
            if none_left {
                break;
            }
        }
        limits::trim_memory();
    }
}

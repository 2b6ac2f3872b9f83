//! Whether the way on which the kernel came to a directory is what is there now.
//!
//! It walks by the directories that it keeps (`fs::base::kept_dirs`): one may have been replaced, or its
//! rights taken away, a moment ago. Then it is told ESTALE, walks anew and asks for each; the program
//! hears nothing of that. Some calls do not walk anew, and so does nobody who comes from a working
//! directory. So a thread is told once; after that, and in those calls, it is decided here what it finds.

use super::attr::map_dir_mode;
use super::lookup::pin_node;
use crate::bpffs::{Pin, PinKind, Stat};
use crate::fs::Fs;
use crate::fs::base::attr::dir_mode;
use crate::fs::base::caller::{Caller, Groups};
use crate::fs::base::error::{Error, Result};
use crate::fs::base::kept_dirs::ASKS;
use crate::node::{Ino, MapRef, Node};
use crate::sys::object::ObjectKind;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the mode of a directory must let a caller do to list it, to search it, and to make or remove a
/// name in it.
pub(super) const LIST: u32 = 0o4;
const SEARCH: u32 = 0o1;
pub(super) const CHANGE: u32 = 0o3;

/// How long the walk anew may take.
const WALK: Duration = Duration::from_millis(50);
/// Threads remembered at most: what was told to others is told to them again.
const THREADS: usize = 256;

/// Where a thread was told to walk anew, how often, and when first.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: Ino,
    times: u8,
    since: Instant,
}

/// The threads that were told to walk anew just now.
#[derive(Debug, Default)]
pub struct Ways(Mutex<HashMap<u32, Told>>);

impl Ways {
    /// Where a thread was told so just now.
    fn told(&self, thread: u32) -> Option<Told> {
        let told = self.0.lock();
        told.get(&thread).filter(|told| told.since.elapsed() < WALK).copied()
    }

    /// Tells a thread to.
    fn tell(&self, thread: u32, ino: Ino) -> Error {
        let mut told = self.0.lock();
        if told.len() >= THREADS {
            told.retain(|_, told| told.since.elapsed() < WALK);
        }
        let new = Told { at: ino, times: 0, since: Instant::now() };
        if thread != 0 && (told.len() < THREADS || told.contains_key(&thread)) {
            let told = told.entry(thread).or_insert(new);
            if told.at != ino || told.since.elapsed() >= WALK {
                *told = new;
            }
            told.times = told.times.saturating_add(1);
        }
        Error::stale()
    }

    /// A node was found, and so is not what somebody was sent away from.
    pub(super) fn found(&self, ino: Ino) {
        let mut told = self.0.lock();
        if !told.is_empty() {
            told.retain(|_, told| told.at != ino);
        }
    }
}

/// A directory's path, and what is there.
type Seen<'a> = (&'a Path, (u64, Stat));

/// Why a way is not the one that the kernel took it for.
enum Wrong {
    /// There is something else by now.
    Elsewhere,
    /// A directory that may have let the caller in before, and does not now.
    Closed,
}

/// What is where a pin was.
enum Own {
    /// The same.
    Same((u64, Stat)),
    Elsewhere,
    /// It cannot be told, or nothing is there: whoever goes on meets the error.
    Unknown,
}

impl Fs {
    /// The directory by whose number the kernel asks, as long as it is what the kernel took it for, and
    /// lets the caller do `bits`.
    ///
    /// # Errors
    /// ESTALE: the kernel is to walk anew; EACCES, ENOENT if it has; [`Error::later`].
    pub(super) fn dir(&self, ino: Ino, bits: u32, caller: Caller) -> Result<Arc<Node>> {
        let node = self.node(ino)?;
        match self.wrong(&node, bits, caller, || Ok(()))? {
            None => Ok(node),
            Some(wrong) => Err(self.tell(wrong, ino, 1, caller)),
        }
    }

    /// The directory in which to look a name up.
    ///
    /// # Errors
    /// As for [`Self::dir`].
    pub(super) fn dir_to_search(&self, ino: Ino, caller: Caller) -> Result<Arc<Node>> {
        let node = self.node(ino)?;
        let mut makes_name = false;
        let ask = || {
            makes_name = caller.makes_name()?;
            Ok(())
        };
        let wrong = self.wrong(&node, SEARCH, caller, ask)?;
        let told = self.ways.told(caller.pid);
        match wrong {
            None => Ok(node),
            Some(Wrong::Elsewhere) if makes_name || told.is_some_and(|told| told.at != ino) => {
                self.now_at(&node, caller)
            }
            Some(Wrong::Closed) if makes_name => Err(closed()),
            Some(wrong) => Err(self.tell(wrong, ino, ASKS, caller)),
        }
    }

    /// Tells a thread to walk anew, or, if it was told so often as one walk asks, what it would find.
    fn tell(&self, wrong: Wrong, ino: Ino, asks: u8, caller: Caller) -> Error {
        match (wrong, self.ways.told(caller.pid)) {
            // It comes from a directory that was removed.
            (Wrong::Elsewhere, Some(told)) if told.at == ino && told.times >= asks => removed(),
            (Wrong::Closed, Some(told)) if told.times >= ASKS => closed(),
            (Wrong::Elsewhere | Wrong::Closed, _) => self.ways.tell(caller.pid, ino),
        }
    }

    /// Refuses a node whose directory is another by now. Attributes are shown to whom the kernel let in.
    ///
    /// # Errors
    /// ESTALE; ENOENT if the kernel has walked anew.
    pub(super) fn check_same(&self, ino: Ino, node: &Node, caller: Caller) -> Result<()> {
        let (Some(pin), true) = (dir_pin(node), self.maps.dirs.get().is_some()) else {
            return Ok(());
        };
        match self.own(&self.maps.bpffs.current(pin)) {
            Own::Elsewhere => Err(self.tell(Wrong::Elsewhere, ino, 1, caller)),
            Own::Same(..) | Own::Unknown => Ok(()),
        }
    }

    /// What is where a pin was.
    fn own(&self, pin: &Pin) -> Own {
        match self.maps.bpffs.look(&pin.path) {
            Ok(now) if pin.ino == 0 || now.0 == pin.ino => Own::Same(now),
            Ok(_) => Own::Elsewhere,
            // A symlink or a file on the way.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)) => {
                Own::Elsewhere
            }
            Err(_) => Own::Unknown,
        }
    }

    /// Whether the kernel may keep what the caller is told of a directory whose pin is `stat`; `name` is by
    /// which directory and name it was found.
    pub(super) fn keep(
        &self,
        node: &Node,
        ino: Ino,
        stat: Stat,
        name: Option<(Ino, &OsStr)>,
        caller: Caller,
    ) -> bool {
        let (Some(dirs), Some(pin)) = (self.maps.dirs.get(), dir_pin(node)) else { return false };
        dirs.keep((pin, stat), ino, name, caller.pid)
    }

    /// Has the kernel forget all directories.
    pub(super) fn forget_dirs(&self) {
        if let Some(dirs) = self.maps.dirs.get() {
            dirs.forget_all();
        }
    }

    /// What is wrong with the way to a directory, if anything is. `ask` is called before anything is noted of
    /// that.
    fn wrong(
        &self,
        node: &Node,
        bits: u32,
        caller: Caller,
        ask: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Wrong>> {
        let (Some(dirs), Some(pin)) = (self.maps.dirs.get(), dir_pin(node)) else {
            return Ok(None);
        };
        let pin = &*self.maps.bpffs.current(pin);
        let own = match self.own(pin) {
            Own::Same(own) => own,
            Own::Elsewhere => {
                ask()?;
                return Ok(Some(Wrong::Elsewhere));
            }
            Own::Unknown => return Ok(None),
        };
        if caller.is_owner {
            return Ok(None);
        }
        let closed = self.closed_on(&pin.path, own, node, bits, caller)?;
        if closed.is_empty() {
            return Ok(None);
        }
        ask()?;
        let mut is_closed = false;
        for (path, now) in closed {
            is_closed |= dirs.is_to_walk(path, now, caller.pid);
        }
        Ok(is_closed.then_some(Wrong::Closed))
    }

    /// The directories on a path that do not let the caller in, or do `bits` in the last one, and of which
    /// the kernel may think otherwise.
    fn closed_on<'a>(
        &self,
        path: &'a Path,
        own: (u64, Stat),
        node: &Node,
        bits: u32,
        caller: Caller,
    ) -> Result<Vec<Seen<'a>>> {
        let (bpffs, groups) = (&self.maps.bpffs, Groups::new());
        let mut closed = Vec::new();
        for dir in bpffs.way(path) {
            let is_own = *dir == *path;
            // Who meets an error here meets it anew.
            let now = if is_own { Ok(own) } else { bpffs.look(dir) };
            let Ok(now) = now else { continue };
            if self.maps.dirs.get().is_some_and(|dirs| dirs.is_known(dir, now)) {
                continue;
            }
            let mode = match node.in_map() {
                Some((_, place)) if is_own => map_dir_mode(place, now.1.mode),
                Some(_) | None => now.1.mode,
            };
            let bits = if is_own { bits } else { SEARCH };
            if !caller.may(&Stat { mode, ..now.1 }, bits, &groups)? {
                closed.push((dir, now));
            }
        }
        Ok(closed)
    }

    /// The directory that is now where the kernel took `node` to be, for who may go there.
    fn now_at(&self, node: &Node, caller: Caller) -> Result<Arc<Node>> {
        let Some(pin) = dir_pin(node) else { return Err(Error::stale()) };
        let groups = Groups::new();
        let may_search = |stat: &Stat, mode: u32| {
            if caller.may(&Stat { mode, ..*stat }, SEARCH, &groups)? {
                Ok(())
            } else {
                Err(closed())
            }
        };
        let mut at = self.maps.bpffs.root();
        let mut stat = self.maps.bpffs.stat(&at)?;
        let mut kind = PinKind::Dir;
        let path = self.maps.bpffs.current(pin).path.clone();
        for name in path.strip_prefix(self.maps.bpffs.path()).unwrap_or(Path::new("")) {
            if kind != PinKind::Dir {
                break;
            }
            may_search(&stat, stat.mode)?;
            (at, kind, stat) = self.child(&at, name)?;
        }
        match (node, kind) {
            (Node::In(_, place), PinKind::Object(ObjectKind::Map)) => {
                may_search(&stat, dir_mode(stat.mode))?;
                Ok(Arc::new(Node::In(MapRef::Pin(at), place.clone())))
            }
            (_, PinKind::Dir) | (Node::Dir(_), PinKind::Object(ObjectKind::Map)) => {
                let mode = if kind == PinKind::Dir { stat.mode } else { dir_mode(stat.mode) };
                may_search(&stat, mode)?;
                Ok(Arc::new(pin_node(at, kind)))
            }
            // Whoever makes a name is told ESTALE then, and comes to what the symlink leads to.
            (_, PinKind::Symlink | PinKind::Object(_)) => Err(removed()),
        }
    }
}

/// The pin of a directory that the kernel may keep, or that is in one.
fn dir_pin(node: &Node) -> Option<&Pin> {
    if let Node::Dir(pin) = node {
        return Some(pin);
    }
    let (MapRef::Pin(pin), place) = node.in_map()? else { return None };
    place.has_names().then_some(pin)
}

fn removed() -> Error {
    Error::missing("the directory was removed or replaced")
}

fn closed() -> Error {
    Error::new(libc::EACCES, "a directory on the way does not let you in any more")
}

//! Listings: a bpffs directory as it is when it is opened, a map's keys as they are walked.

use super::lookup::pin_node;
use super::machine;
use super::open_dir::{DirListing, Listed, OpenDir, WholeListing};
use super::ways::LIST;
use crate::bpffs::Pin;
use crate::fs::Fs;
use crate::fs::base::attr::FileKind;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::handles::Handle;
use crate::fs::base::listing::{DOTS, ListEntry, Sink};
use crate::fs::base::quota;
use crate::fs::control::stream::event::EventCodec;
use crate::fs::element::walk::KeyListing;
use crate::fs::element::{member, view};
use crate::fs::tree::ids;
use crate::node::{Ino, Machine, MapRef, MemberPath, Node, NodeTable, Place, View};
use parking_lot::Mutex;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

impl Fs {
    /// Opens a directory.
    ///
    /// # Errors
    /// ENOENT if it is gone.
    pub fn opendir(&self, ino: Ino, caller: Caller) -> Result<Handle> {
        self.admit(caller)?;
        quota::OPEN.check()?;
        let node = self.dir(ino, LIST, caller)?;
        // The kernel may have kept one that is gone.
        if let Node::Dir(pin) = &*node {
            self.maps.bpffs.stat(pin)?;
        } else if let Some((at, _)) = node.in_map() {
            self.maps.stat(at)?;
        }
        let listing = match &*node {
            Node::Dir(_)
            | Node::Ids
            | Node::Machine(Machine::List(_) | Machine::Programs | Machine::Processes)
            | Node::In(_, Place::Cpus | Place::EventTypes)
            | Node::In(_, Place::Element(View::Field(_), _)) => {
                DirListing::Whole(WholeListing::default())
            }
            Node::In(at, Place::Root) => DirListing::Keys(KeyListing::new(at.clone(), View::Text)),
            Node::In(_, Place::View(view)) if !view::allows(view).list => {
                DirListing::Whole(WholeListing::default())
            }
            Node::In(at, Place::View(view)) => {
                DirListing::Keys(KeyListing::new(at.clone(), view.clone()))
            }
            Node::Machine(
                Machine::Metrics
                | Machine::Table
                | Machine::Json
                | Machine::Link(..)
                | Machine::ProgramInfo(_)
                | Machine::MoreProcesses,
            )
            | Node::Symlink(_)
            | Node::Object(..)
            | Node::New(..)
            | Node::Errors
            | Node::Help(_)
            | Node::In(
                _,
                Place::Control(_)
                | Place::Events(_)
                | Place::Whole(_)
                | Place::Element(..)
                | Place::Link(_),
            ) => return Err(no_directory()),
        };
        let parent = parent_number(&node);
        let dir = OpenDir { node, own: ino, parent, listing: Mutex::new(listing) };
        Ok(self.dirs.add(Arc::new(dir)))
    }

    /// Lists from `offset` on until `sink` is full.
    ///
    /// # Errors
    /// ENOENT if the directory is gone; EINVAL for a place that no read has come to yet; the kernel's
    /// for a map that cannot be listed.
    pub fn readdir(
        &self,
        handle: Handle,
        offset: u64,
        caller: Caller,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let dir = self.dirs.get(handle)?;
        let mut listing = dir.listing.lock();
        if offset == 0 {
            // Also rewinddir(3), which asks for the directory as it is now.
            match &mut *listing {
                DirListing::Whole(whole) => whole.rewind(),
                DirListing::Keys(keys) => keys.rewind(),
            }
        }
        match &*listing {
            // Users make as many pins as they like.
            DirListing::Whole(whole)
                if !whole.is_read()
                    && matches!(*dir.node, Node::Dir(_) | Node::Ids | Node::Machine(_)) =>
            {
                caller.long_work()?;
            }
            DirListing::Whole(_) => {}
            DirListing::Keys(keys) if keys.is_long(&self.maps)? => caller.long_work()?,
            DirListing::Keys(_) => {}
        }
        for (n, ino, name) in [(0, dir.own, "."), (1, dir.parent, "..")] {
            let kind = FileKind::Dir;
            let entry = ListEntry { ino, next: n + 1, kind, name: OsStr::new(name) };
            if offset <= n && sink(entry) {
                return Ok(());
            }
        }
        let from = offset.saturating_sub(DOTS);
        match &mut *listing {
            DirListing::Whole(whole) => {
                let entries = whole.read(|| self.list_whole(&dir.node))?;
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                for (n, entry) in entries.iter().enumerate().skip(from) {
                    let Listed { ino, kind, name } = entry;
                    let next = n as u64 + DOTS + 1;
                    if sink(ListEntry { ino: *ino, next, kind: *kind, name }) {
                        break;
                    }
                }
                Ok(())
            }
            DirListing::Keys(keys) => keys.list(&self.maps, from, caller, sink),
        }
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        self.dirs.remove(handle);
        self.maps.file_closed();
    }

    fn list_whole(&self, node: &Node) -> Result<Vec<Listed>> {
        match node {
            Node::Dir(pin) => self.list_pins(pin),
            Node::Machine(dir) => machine::list(&self.names, dir),
            Node::Ids => {
                let entry = |id: u32| {
                    let node = Node::In(MapRef::Id(id), Place::Root);
                    listed(&node, FileKind::Dir, id.to_string())
                };
                Ok(ids::list()?.into_iter().map(entry).collect())
            }
            Node::In(at, Place::Cpus) => {
                let (map, _) = self.maps.open(at)?;
                let entry = |cpu: u32| {
                    let node = Node::In(at.clone(), Place::View(View::Cpu(cpu)));
                    listed(&node, FileKind::Dir, cpu.to_string())
                };
                Ok((0..map.cpus() as u32).map(entry).collect())
            }
            Node::In(at, Place::Element(View::Field(path), key)) => {
                self.list_members(at, path, key)
            }
            Node::In(at, Place::EventTypes) => {
                let (map, _) = self.maps.open(at)?;
                let entry = |name: String| {
                    let node = Node::In(at.clone(), Place::Events(name.as_str().into()));
                    listed(&node, FileKind::File, name)
                };
                Ok(EventCodec::names(&map)?.into_iter().map(entry).collect())
            }
            // A view that is not listed (`.pop`): its keys are found by name alone.
            Node::In(_, Place::View(_)) => Ok(Vec::new()),
            Node::Symlink(_)
            | Node::Object(..)
            | Node::New(..)
            | Node::Errors
            | Node::Help(_)
            | Node::In(
                _,
                Place::Root
                | Place::Control(_)
                | Place::Events(_)
                | Place::Whole(_)
                | Place::Element(..)
                | Place::Link(_),
            ) => Err(no_directory()),
        }
    }

    fn list_members(&self, at: &MapRef, path: &MemberPath, key: &Arc<[u8]>) -> Result<Vec<Listed>> {
        let (map, _) = self.maps.open(at)?;
        let names = member::names(&map, path).unwrap_or_default();
        let entry = |name: Vec<u8>| {
            let path = member::below(&map, path, &name)?;
            let is_dir = member::has_members(&map, &path);
            let kind = if is_dir { FileKind::Dir } else { FileKind::File };
            let node = Node::In(at.clone(), Place::Element(View::Field(path), Arc::clone(key)));
            Ok(listed(&node, kind, OsString::from_vec(name)))
        };
        names.into_iter().map(entry).collect()
    }

    fn list_pins(&self, pin: &Pin) -> Result<Vec<Listed>> {
        let entries = self.maps.bpffs.list(pin, |pin| self.known_kind(pin))?;
        let entries = entries.into_iter().map(|entry| {
            let node = pin_node(entry.pin, entry.kind);
            let kind = match node {
                Node::Symlink(_) => FileKind::Symlink,
                Node::Object(..) => FileKind::File,
                Node::Dir(_)
                | Node::New(..)
                | Node::In(..)
                | Node::Ids
                | Node::Machine(_)
                | Node::Errors
                | Node::Help(_) => FileKind::Dir,
            };
            listed(&node, kind, entry.name)
        });
        Ok(entries.collect())
    }
}

fn listed(node: &Node, kind: FileKind, name: impl Into<OsString>) -> Listed {
    Listed { ino: NodeTable::number(node), kind, name: name.into() }
}

fn no_directory() -> Error {
    Error::new(libc::ENOTDIR, "not a directory")
}

/// The inode number of `..`: what is known without asking.
fn parent_number(node: &Node) -> Ino {
    let parent = node.in_map().and_then(|(at, place)| Some(Node::In(at.clone(), place.parent()?)));
    parent.map_or(Ino::ROOT, |parent| NodeTable::number(&parent))
}

//! Listings: a bpffs directory as it is when it is opened, a map's keys as they are walked.

use super::attr::FileKind;
use super::error::{Error, Result};
use super::held::{self, Share};
use super::lookup::pin_node;
use super::maps::Maps;
use super::{Fs, ids, refs, view};
use crate::bpffs::Pin;
use crate::map::cursor::{Batch, Cursor};
use crate::node::{MapRef, Node, NodeTable, View};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, Mutex, PoisonError};

/// A name in a listing.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The number that a look-up of the name will give.
    pub ino: u64,
    /// Where the next read goes on after this entry.
    pub next: u64,
    /// Directory, file or symlink.
    pub kind: FileKind,
    /// The name.
    pub name: &'a OsStr,
}

/// Takes entries; true if one did not fit any more.
pub type Sink<'a> = dyn FnMut(Entry<'_>) -> bool + 'a;

/// An open directory.
#[derive(Debug)]
pub struct OpenDir {
    node: Arc<Node>,
    own: u64,
    parent: u64,
    listing: Mutex<Listing>,
}

#[derive(Debug)]
enum Listing {
    /// Few names, read at once.
    Whole(Option<Vec<(u64, FileKind, OsString)>>),
    Keys(Keys),
}

/// Bytes in a name that the kernel passes on; before Linux 6.14, a quarter of it.
const NAME_MAX: usize = libc::PATH_MAX as usize - 1;
const NO_NAME: &str = "a key's name is longer than any path may be; .entries has the element";

/// Entries before the first listed one: `.` and `..`.
const DOTS: u64 = 2;

impl Fs {
    /// Opens a directory.
    ///
    /// # Errors
    /// ENOENT if it is gone.
    pub fn opendir(&self, ino: u64) -> Result<u64> {
        let node = self.node(ino)?;
        let listing = match &*node {
            Node::Dir(_)
            | Node::Ids
            | Node::Map(_, View::Cpus | View::Pop | View::Stream)
            | Node::Element(_, View::Field(_), _) => Listing::Whole(None),
            Node::Map(at, view) => Listing::Keys(Keys::new(at.clone(), view.clone())),
            _ => return Err(Error::new(libc::ENOTDIR, "not a directory")),
        };
        let parent = self.parent_number(&node);
        let dir = OpenDir { node, own: ino, parent, listing: Mutex::new(listing) };
        Ok(self.dirs.add(Arc::new(dir)))
    }

    /// Lists from `offset` on until `sink` is full.
    ///
    /// # Errors
    /// ENOENT if the directory is gone; the kernel's for a map that cannot be listed.
    pub fn readdir(&self, handle: u64, offset: u64, sink: &mut Sink<'_>) -> Result<()> {
        let dir = self.dirs.get(handle)?;
        let mut listing = dir.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            // Also rewinddir(3), which asks for the directory as it is now.
            match &mut *listing {
                Listing::Whole(entries) => *entries = None,
                Listing::Keys(keys) => keys.rewind(),
            }
        }
        for (n, ino, name) in [(0, dir.own, "."), (1, dir.parent, "..")] {
            let kind = FileKind::Dir;
            let entry = Entry { ino, next: n + 1, kind, name: OsStr::new(name) };
            if offset <= n && sink(entry) {
                return Ok(());
            }
        }
        let from = offset.saturating_sub(DOTS);
        match &mut *listing {
            Listing::Whole(entries) => {
                let entries = match entries {
                    Some(entries) => entries,
                    None => entries.insert(self.list_whole(&dir.node)?),
                };
                for (n, (ino, kind, name)) in (0_u64..).zip(entries.iter()).skip(from as usize) {
                    if sink(Entry { ino: *ino, next: n + DOTS + 1, kind: *kind, name }) {
                        break;
                    }
                }
                Ok(())
            }
            Listing::Keys(keys) => keys.list(&self.maps, from, sink),
        }
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: u64) {
        self.dirs.remove(handle);
        self.maps.file_closed();
    }

    fn list_whole(&self, node: &Node) -> Result<Vec<(u64, FileKind, OsString)>> {
        match node {
            Node::Dir(pin) => self.list_pins(pin),
            Node::Ids => ids::list(),
            // What takes something away when it is read is found by name alone.
            Node::Map(_, View::Pop | View::Stream) => Ok(Vec::new()),
            Node::Map(at, View::Cpus) => {
                let (map, _) = self.maps.open(at)?;
                let entry = |cpu: u32| {
                    let node = Node::Map(at.clone(), View::Cpu(cpu));
                    (NodeTable::number(&node), FileKind::Dir, cpu.to_string().into())
                };
                Ok((0..map.cpus() as u32).map(entry).collect())
            }
            Node::Element(at, View::Field(path), key) => {
                let (map, _) = self.maps.open(at)?;
                let names = view::members(&map, path).unwrap_or_default();
                let entry = |name: Vec<u8>| {
                    let path = view::member_below(&map, path, &name)?;
                    let kind =
                        if view::has_members(&map, &path) { FileKind::Dir } else { FileKind::File };
                    let node = Node::Element(at.clone(), View::Field(path), Arc::clone(key));
                    Ok((NodeTable::number(&node), kind, OsString::from_vec(name)))
                };
                names.into_iter().map(entry).collect()
            }
            _ => Err(Error::new(libc::ENOTDIR, "not a directory")),
        }
    }

    fn list_pins(&self, pin: &Pin) -> Result<Vec<(u64, FileKind, OsString)>> {
        let entries = self.maps.bpffs.list(pin, |pin| self.known_kind(pin))?;
        let entries = entries.into_iter().map(|entry| {
            let node = pin_node(entry.pin, entry.kind);
            let kind = match node {
                Node::Symlink(_) => FileKind::Symlink,
                Node::Object(..) => FileKind::File,
                _ => FileKind::Dir,
            };
            (NodeTable::number(&node), kind, entry.name)
        });
        Ok(entries.collect())
    }
}

/// A walk over a map's keys that can go back as far as the kernel may ask: to where the last read
/// began, since a caller's buffer may have been smaller than ours.
#[derive(Debug)]
struct Keys {
    at: MapRef,
    view: View,
    cursor: Option<Cursor>,
    window: VecDeque<Batch>,
    /// How many keys came before the window.
    before: u64,
    end: bool,
    held: Share,
}

impl Keys {
    fn new(at: MapRef, view: View) -> Self {
        Self {
            at,
            view,
            cursor: None,
            window: VecDeque::new(),
            before: 0,
            end: false,
            held: Share::default(),
        }
    }

    fn rewind(&mut self) {
        *self = Self::new(self.at.clone(), self.view.clone());
    }

    fn list(&mut self, maps: &Maps, from: u64, sink: &mut Sink<'_>) -> Result<()> {
        let (map, _) = maps.open(&self.at)?;
        if from < self.before {
            // seekdir(3) to long ago: the walk starts again and passes that many keys.
            self.rewind();
        }
        if self.cursor.is_none() {
            held::check_walk(&map)?;
        }
        let cursor = self.cursor.get_or_insert_with(|| Cursor::new(&map, false));
        // What lies before the place asked for will not be asked for again.
        while let Some(first) = self.window.front()
            && from >= self.before + first.count as u64
        {
            self.before += first.count as u64;
            self.window.pop_front();
        }
        let key_size = map.info.key_size as usize;
        let kind = match &self.view {
            View::Field(path) if view::has_members(&map, path) => FileKind::Dir,
            view if refs::is_link(&map, view) => FileKind::Symlink,
            _ => FileKind::File,
        };
        let mut name = Vec::new();
        let mut position = self.before;
        let mut batch_index = 0;
        loop {
            if batch_index == self.window.len() {
                if self.end {
                    return Ok(());
                }
                let mut batch = Batch::default();
                cursor.next(&map, &mut batch)?;
                if batch.count == 0 {
                    self.end = true;
                    return Ok(());
                }
                batch.values = Vec::new();
                self.window.push_back(batch);
                let window: usize = self.window.iter().map(Batch::allocated).sum();
                self.held.set(window + cursor.allocated());
            }
            let batch = &self.window[batch_index];
            for key in (0..batch.count).map(|n| &batch.keys[n * key_size..(n + 1) * key_size]) {
                if position >= from {
                    name.clear();
                    view::append_name(&map, &self.view, key, &mut name);
                    if name.len() > NAME_MAX {
                        return Err(Error::new(libc::ENAMETOOLONG, NO_NAME));
                    }
                    let node = Node::Element(self.at.clone(), self.view.clone(), Arc::from(key));
                    let entry = Entry {
                        ino: NodeTable::number(&node),
                        next: position + DOTS + 1,
                        kind,
                        name: OsStr::from_bytes(&name),
                    };
                    if sink(entry) {
                        return Ok(());
                    }
                }
                position += 1;
            }
            batch_index += 1;
            // A seek may pass many batches: they are not kept.
            while position <= from && self.window.len() > 1 {
                if let Some(passed) = self.window.pop_front() {
                    self.before += passed.count as u64;
                    batch_index -= 1;
                }
            }
        }
    }
}

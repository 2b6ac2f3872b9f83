//! Open files: what each kind answers, and opening, reading, writing and closing by handle.

use super::caller::Caller;
use super::element::{Access, Element, ElementFile};
use super::error::{Error, Result};
use super::held::Held;
use super::lookup::Found;
use super::{Fs, object, queue, view};
use crate::map::Map;
use crate::node::{Control, MapRef, Node, View};
use std::ffi::OsStr;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// An open file.
pub trait OpenFile: Debug + Send + Sync {
    /// Up to `size` bytes from `offset`; none at the end. Never waits.
    ///
    /// # Errors
    /// EAGAIN if a stream has nothing yet: [`OpenFile::wait`] tells when to ask again.
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// Waits at most this long until a read has something to give, its end included. True if so.
    /// Only streams wait; they must not hold a lock meanwhile that a read or write needs.
    fn wait(&self, _timeout: Duration) -> bool {
        true
    }

    /// Takes bytes; gives how many were taken.
    ///
    /// # Errors
    /// EINVAL, ERANGE for text that is no value; those of the map.
    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(Error::new(libc::EOPNOTSUPP, "this file cannot be written"))
    }

    /// Whether the last close has nothing to do or say.
    fn is_at_rest(&self) -> bool {
        true
    }

    /// The last descriptor is closed, as far as can be seen; and once more when it surely is, perhaps
    /// by the end of its process.
    ///
    /// # Errors
    /// EINVAL, once, if what was written is not complete; those of the map.
    fn release(&self) -> Result<()> {
        Ok(())
    }
}

/// Text that was rendered when the file was opened.
#[derive(Debug)]
pub struct Snapshot(Held);

impl Snapshot {
    /// Opens this text.
    pub fn new(text: Vec<u8>) -> Self {
        Self(Held::new(text))
    }
}

impl OpenFile for Snapshot {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        reply(part(&self.0, offset, size));
        Ok(())
    }
}

/// The bytes of `text` that a read asks for.
pub fn part(text: &[u8], offset: u64, size: usize) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    let end = start.saturating_add(size).min(text.len());
    &text[start..end]
}

/// A file, and who opened it by which inode number: so that closing it can be told from closing a
/// duplicate.
#[derive(Debug)]
pub struct OpenedFile {
    file: Arc<dyn OpenFile>,
    ino: u64,
    opener: Caller,
}

/// Text that ends in the middle of a value.
pub fn unfinished() -> Error {
    Error::new(libc::EINVAL, "the text ends before the value is complete")
}

/// A freshly opened file.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// The handle for further calls.
    pub handle: u64,
    /// Whether closing matters: what is only read needs no flush.
    pub flush: bool,
}

impl Fs {
    /// Opens a file that exists, with the flags of open(2).
    ///
    /// # Errors
    /// ENOENT if it is gone by now; EPERM to write a frozen map; EOPNOTSUPP.
    pub fn open(&self, ino: u64, flags: i32, caller: Caller) -> Result<Opened> {
        let access = Access::of(flags);
        let node = self.node(ino)?;
        if let Node::Element(_, View::Pop, _)
        | Node::Control(_, Control::Pop | Control::Stream)
        | Node::TypedStream(..) = &*node
        {
            self.maps.check_writable()?;
        }
        let file: Arc<dyn OpenFile> = match &*node {
            Node::Element(_, View::Sum, _) if access.write => {
                return Err(Error::new(libc::EACCES, "a sum can only be read"));
            }
            Node::Element(map, View::Pop, key) => {
                queue::open_taken(&self.maps.open(map)?.0, key, access)?
            }
            Node::Element(map, view, key) => {
                let (open, _) = self.maps.open(map)?;
                self.check_element(&open, view, access, caller)?;
                let creat = access.write.then(|| caller.opens_with_creat()).flatten();
                // Unknown only to a caller that /proc does not show: most who truncate create.
                let creat = creat.unwrap_or(flags & (libc::O_TRUNC | libc::O_APPEND) != 0);
                let element = self.element_at(map, view, key, caller);
                Arc::new(ElementFile::open(element, &open, access, creat)?)
            }
            Node::Control(map, control) => self.open_control(map, *control, access, caller)?,
            Node::TypedStream(map, name) => self.open_stream(map, Some(name), access, caller)?,
            Node::New(..) => return Err(Error::new(libc::ENOENT, "not a map yet")),
            _ if access.write => {
                return Err(Error::new(libc::EACCES, "this file cannot be written"));
            }
            Node::Errors => Arc::new(Snapshot::new(self.refusals.render())),
            Node::Help(dir) => Arc::new(Snapshot::new(self.help(dir)?)),
            Node::Object(pin, kind) => object::open(&self.maps.bpffs, pin, *kind)?,
            Node::Dir(_) | Node::Symlink(_) | Node::Link(..) | Node::Map(..) | Node::Ids => {
                return Err(Error::new(libc::EISDIR, "not a file"));
            }
        };
        Ok(self.opened(file, ino, caller, access.write))
    }

    /// Creates an element's file and opens it: the element comes with the first complete write.
    ///
    /// # Errors
    /// EINVAL for a name that is no key; EPERM in a frozen map; EOPNOTSUPP elsewhere.
    pub fn create(
        &self,
        parent: u64,
        name: &OsStr,
        flags: i32,
        caller: Caller,
    ) -> Result<(Found, Opened)> {
        let dir = self.node(parent)?;
        let Node::Map(at, view) = &*dir else {
            return self.create_spec(parent, name, caller);
        };
        view::check_new(view)?;
        let (map, stat) = self.maps.open(at)?;
        let view = &view::of_name(&map, view, name);
        let key: Arc<[u8]> = self.new_key(&map, view, name)?.into();
        self.check_element(&map, view, Access { read: false, write: true }, caller)?;
        if map.is_frozen() {
            return Err(Error::new(libc::EPERM, "the map is frozen"));
        }
        let attr = self.element_attr(&map, stat, 0);
        let ino = self.intern(Node::Element(at.clone(), view.clone(), Arc::clone(&key)));
        let element = self.element_at(at, view, &key, caller);
        let file = Arc::new(ElementFile::create(element, flags));
        if let Err(error) = self.promise(&map, &key, ino, &file) {
            drop(file);
            self.promises.clean(ino);
            self.nodes.forget(ino, 1);
            return Err(error);
        }
        self.refusals.created(caller.pid, &self.path(parent, Some(name)));
        let opened = self.opened(file, ino, caller, true);
        Ok((Found { ino, attr: super::Attr { ino, ..attr } }, opened))
    }

    pub(super) fn opened(
        &self,
        file: Arc<dyn OpenFile>,
        ino: u64,
        opener: Caller,
        flush: bool,
    ) -> Opened {
        let file = OpenedFile { file, ino, opener };
        Opened { handle: self.files.add(Arc::new(file)), flush }
    }

    /// An open file, to read from or to wait for.
    ///
    /// # Errors
    /// EBADF for an unknown handle.
    pub fn file(&self, handle: u64) -> Result<Arc<dyn OpenFile>> {
        Ok(Arc::clone(&self.files.get(handle)?.file))
    }

    /// Writes to an open file.
    ///
    /// # Errors
    /// The file's own; EBADF for an unknown handle.
    pub fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<usize> {
        self.files.get(handle)?.file.write(offset, data)
    }

    /// One descriptor of an open file was closed.
    ///
    /// # Errors
    /// The file's own: what `close` returns.
    pub fn flush(&self, handle: u64, caller: Caller) -> Result<()> {
        let open = self.files.get(handle)?;
        // A shell closes a duplicate before it writes, a child what it inherited.
        if open.file.is_at_rest() || !caller.closes_last(open.ino, open.opener) {
            return Ok(());
        }
        open.file.release()
    }

    /// The last descriptor of an open file was closed.
    ///
    /// # Errors
    /// The file's own, for `/.errors`.
    pub fn release(&self, ino: u64, handle: u64) -> Result<()> {
        let Some(open) = self.files.remove(handle) else { return Ok(()) };
        let outcome = open.file.release();
        drop(open);
        self.maps.file_closed();
        self.promises.clean(ino);
        outcome
    }

    /// Notes that a file promises the element with this key.
    ///
    /// # Errors
    /// EEXIST under O_EXCL, if it is there by now or promised by another such file.
    fn promise(&self, map: &Map, key: &[u8], ino: u64, file: &Arc<ElementFile>) -> Result<()> {
        self.promises.add(ino, file)?;
        // Made, perhaps, since the kernel looked: by the file that had promised it until now.
        if file.is_exclusive() && map.is_readable() && map.has(key)? {
            return Err(Error::new(libc::EEXIST, "the element was made meanwhile"));
        }
        Ok(())
    }

    fn element_at(&self, map: &MapRef, view: &View, key: &Arc<[u8]>, opener: Caller) -> Element {
        let maps = Arc::clone(&self.maps);
        Element { maps, map: map.clone(), view: view.clone(), key: Arc::clone(key), opener }
    }

    /// The key that a name not yet there stands for.
    pub(super) fn new_key(&self, map: &Map, view: &View, name: &OsStr) -> Result<Vec<u8>> {
        let key = view::parse_name(map, view, name)?;
        let index = key.first_chunk::<4>().map(|index| u32::from_ne_bytes(*index));
        match index {
            Some(index) if map.kind.is_indexed() && index >= map.info.max_entries => {
                let last = map.info.max_entries.saturating_sub(1);
                Err(Error::new(libc::EINVAL, format!("index {index} is past the last one, {last}")))
            }
            _ => Ok(key),
        }
    }
}

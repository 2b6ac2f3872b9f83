//! Opening, reading, writing and closing files, by handle.

use super::lookup::Found;
use super::ways::CHANGE;
use crate::fs::Fs;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::handles::Handle;
use crate::fs::base::open_file::{Access, Change, OpenFile, TextFile, has_large_values, is_large};
use crate::fs::base::opened::{Opened, OpenedFile};
use crate::fs::base::quota;
use crate::fs::control::row::{Opening, Rights};
use crate::fs::control::{self, entries, stream};
use crate::fs::element::access::{self, Told};
use crate::fs::element::file::{Creat, ElementFile};
use crate::fs::element::target::ElementRef;
use crate::fs::element::{histogram, name as key_name, take, view};
use crate::fs::tree::object;
use crate::map::Map;
use crate::node::{Ino, MapRef, Node, Place, View, WholeText};
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Instant;

impl Fs {
    /// Opens a file that exists, with the flags of open(2).
    ///
    /// # Errors
    /// ENOENT if it is gone by now; EPERM to write a frozen map; EOPNOTSUPP.
    pub fn open(&self, ino: Ino, flags: i32, caller: Caller) -> Result<Opened> {
        let node = self.node(ino)?;
        self.admit_to(&node, None, caller)?;
        quota::OPEN.check()?;
        let access = Access::of(flags);
        if takes(&node) {
            // The caller's mount table may be long.
            caller.long_work()?;
            self.maps.check_writable(caller)?;
        }
        // The look-up that belongs to this open has told a size.
        let kept = self.maps.files.take(caller, &node).filter(|_| !access.write);
        let file = match kept {
            Some(file) => file,
            None => self.open_node(&node, flags, caller)?,
        };
        Ok(self.opened(file, ino, caller, access.write))
    }

    /// Opens what a node is.
    pub(super) fn open_node(
        &self,
        node: &Node,
        flags: i32,
        caller: Caller,
    ) -> Result<Arc<dyn OpenFile>> {
        let access = Access::of(flags);
        let no_file = || Error::new(libc::EISDIR, "not a file");
        Ok(match node {
            Node::In(at, place) => match place {
                Place::Element(view, key) => self.open_element(at, view, key, flags, caller)?,
                Place::Control(name) => {
                    let control = control::named(OsStr::new(name))
                        .ok_or_else(|| Error::new(libc::ENOENT, "no such control"))?;
                    let (map, _) = self.maps.open(at)?;
                    control.open(&self.opening(at, &map, access, caller))?
                }
                Place::Events(name) => {
                    let (map, _) = self.maps.open(at)?;
                    stream::open_typed(&self.opening(at, &map, access, caller), name)?
                }
                Place::Whole(_) if access.write => {
                    return Err(Error::new(libc::EACCES, "it can only be read"));
                }
                Place::Whole(whole) => {
                    // All elements are walked.
                    caller.long_work()?;
                    let (map, _) = self.maps.open(at)?;
                    match whole {
                        WholeText::Histogram(scale) => {
                            let text = histogram::of_map(&map, *scale, caller)?;
                            Arc::new(TextFile::new(text))
                        }
                        WholeText::Sums => {
                            entries::open_sums(&self.opening(at, &map, access, caller))?
                        }
                    }
                }
                Place::Root | Place::View(_) | Place::Cpus | Place::EventTypes | Place::Link(_) => {
                    return Err(no_file());
                }
            },
            Node::New(..) => return Err(Error::new(libc::ENOENT, "not a map yet")),
            Node::Errors | Node::Help(_) | Node::Object(..) | Node::Machine(_) if access.write => {
                return Err(Error::new(libc::EACCES, "this file cannot be written"));
            }
            Node::Errors => Arc::new(TextFile::new(self.refusals.render())),
            Node::Help(dir) => Arc::new(TextFile::new(self.help(dir)?)),
            Node::Machine(machine) => {
                caller.long_work()?;
                Arc::new(self.machine_text(machine, caller)?)
            }
            Node::Object(pin, kind) => object::open(&self.maps.bpffs, pin, *kind, caller)?,
            Node::Dir(_) | Node::Symlink(_) | Node::Ids => return Err(no_file()),
        })
    }

    fn opening<'a>(
        &'a self,
        at: &'a MapRef,
        map: &'a Arc<Map>,
        access: Access,
        caller: Caller,
    ) -> Opening<'a> {
        Opening { maps: &self.maps, at, map, access, caller, state: &self.controls }
    }

    fn open_element(
        &self,
        at: &MapRef,
        view: &View,
        key: &Arc<[u8]>,
        flags: i32,
        caller: Caller,
    ) -> Result<Arc<dyn OpenFile>> {
        let asked = Access::of(flags);
        let (map, _) = self.maps.open(at)?;
        access::check(&self.maps, &map, view, asked, caller)?;
        if has_large_values(&map) {
            caller.long_work()?;
        }
        if *view == View::Pop {
            return take::open(&map, key);
        }
        let creat = if asked.write { caller.opens_with_creat()? } else { Some(false) };
        // Unknown only of a caller that /proc does not show: most who append or truncate create. The
        // kernel tells of O_TRUNC only when the file is open.
        let creat = match creat {
            None if flags & libc::O_APPEND != 0 => Creat::Yes,
            None => Creat::IfTruncated,
            Some(true) => Creat::Yes,
            Some(false) => Creat::No,
        };
        let element = self.element(at, view, key, caller);
        Ok(Arc::new(ElementFile::open(element, &map, asked, creat)?))
    }

    fn element(&self, at: &MapRef, view: &View, key: &Arc<[u8]>, opener: Caller) -> ElementRef {
        let maps = Arc::clone(&self.maps);
        ElementRef { maps, map: at.clone(), view: view.clone(), key: Arc::clone(key), opener }
    }

    /// Whether to read a file takes something away.
    pub fn takes(&self, ino: Ino) -> bool {
        self.nodes.get(ino).is_some_and(|node| takes(&node))
    }

    /// Creates an element's file and opens it: the element comes with the first complete write.
    ///
    /// # Errors
    /// EINVAL for a name that is no key; EPERM in a frozen map; EOPNOTSUPP elsewhere.
    pub fn create(
        &self,
        parent: Ino,
        name: &OsStr,
        flags: i32,
        caller: Caller,
    ) -> Result<(Found, Opened)> {
        self.admit(caller)?;
        quota::OPEN.check()?;
        let dir = self.dir(parent, CHANGE, caller)?;
        let Node::In(at, place) = &*dir else {
            return self.create_spec(parent, name, caller);
        };
        let Some(view) = place.keys() else {
            return Err(not_here(place));
        };
        if control::named(name).is_some() {
            // It was looked up in vain: this map has it not.
            self.find_control(at, name)?;
        }
        if !view::allows(&view).create {
            let reason = "elements are created in the map's own directory";
            return Err(Error::new(libc::EPERM, reason));
        }
        let (map, stat) = self.maps.open(at)?;
        let view = view::of_name(&map, &view, name);
        let key: Arc<[u8]> = key_name::parse_new(&map, &view, name)?.into();
        let written = Access { read: false, write: true };
        access::check(&self.maps, &map, &view, written, caller)?;
        if map.is_frozen() {
            return Err(Error::new(libc::EPERM, "the map is frozen"));
        }
        if has_large_values(&map) {
            caller.long_work()?;
        }
        let attr = access::attr(&map, &View::Text, stat, Told::PROMISED);
        let node = Node::In(at.clone(), Place::Element(view.clone(), Arc::clone(&key)));
        let ino = self.intern(node);
        let file =
            Arc::new(ElementFile::create(self.element(at, &view, &key, caller), &map, flags));
        if let Err(error) = self.promise(&map, &key, ino, &file) {
            drop(file);
            self.promises.clean(ino);
            self.nodes.forget(ino, 1);
            return Err(error);
        }
        let opened = self.opened(file, ino, caller, true);
        Ok((self.found(ino, attr), opened))
    }

    pub(super) fn opened(
        &self,
        file: Arc<dyn OpenFile>,
        ino: Ino,
        opener: Caller,
        flush: bool,
    ) -> Opened {
        let file = Arc::new(OpenedFile { file, ino, opener, since: Instant::now() });
        self.opened.push(ino, &file);
        Opened { handle: self.files.add(file), flush }
    }

    /// Notes that a file promises the element with this key.
    ///
    /// # Errors
    /// EEXIST under O_EXCL, if it is there by now or promised by another such file.
    fn promise(&self, map: &Map, key: &[u8], ino: Ino, file: &Arc<ElementFile>) -> Result<()> {
        self.promises.add(ino, file)?;
        // Made, perhaps, since the kernel looked: by the file that had promised it until now.
        if file.is_exclusive() && map.is_readable() && map.has(key)? {
            return Err(Error::new(libc::EEXIST, "the element was made meanwhile"));
        }
        Ok(())
    }

    /// An open file, to read from or to wait for.
    ///
    /// # Errors
    /// EBADF for an unknown handle.
    pub fn file(&self, handle: Handle) -> Result<Arc<dyn OpenFile>> {
        Ok(Arc::clone(&self.files.get(handle)?.file))
    }

    /// Whether all of an open file's text is in one page, so that a page is of one moment.
    pub fn is_one_page(&self, handle: Handle) -> bool {
        let size = self.files.get(handle).ok().and_then(|open| open.file.size());
        size.is_some_and(|size| size <= PAGE)
    }

    /// Whether a write, up to so far in the file, may take longer than a few milliseconds.
    pub fn writes_long(&self, handle: Handle, offset: u64, len: usize) -> bool {
        let is_long = |open: Arc<OpenedFile>| open.file.is_long();
        is_large(offset.saturating_add(len as u64)) || self.files.get(handle).is_ok_and(is_long)
    }

    /// Who opened a file that is not closed in a moment.
    pub fn long_opener(&self, handle: Handle) -> Option<Caller> {
        let open = self.files.get(handle).ok()?;
        open.file.is_long().then_some(open.opener)
    }

    /// Writes to an open file.
    ///
    /// # Errors
    /// The file's own; EBADF for an unknown handle.
    pub fn write(&self, handle: Handle, offset: u64, data: &[u8]) -> Result<usize> {
        let open = self.files.get(handle)?;
        let taken = open.file.write(offset, data)?;
        self.nodes.written(open.ino);
        Ok(taken)
    }

    /// What the last write to an open file has replaced by what, if that is logged.
    pub fn take_change(&self, handle: Handle) -> Option<Change> {
        if log::max_level() < log::LevelFilter::Info {
            return None;
        }
        self.files.get(handle).ok()?.file.take_change()
    }

    /// The open that the caller is in has O_TRUNC, or it cuts a file by truncate(2): a write replaces the
    /// whole value in any case.
    pub fn truncated(&self, ino: Ino, caller: Caller) {
        self.opened.newest(ino, |open: &OpenedFile| {
            (open.opener.pid == caller.pid).then(|| open.file.truncated())
        });
    }

    /// One descriptor of an open file was closed.
    ///
    /// # Errors
    /// The file's own: what `close` returns.
    pub fn flush(&self, handle: Handle, caller: Caller) -> Result<()> {
        let open = self.files.get(handle)?;
        if open.file.is_long() {
            caller.long_work()?;
        }
        // A shell closes a duplicate before it writes, a child what it inherited.
        if open.file.is_at_rest() || !caller.closes_last(open.ino, open.opener)? {
            return Ok(());
        }
        open.file.release()
    }

    /// The last descriptor of an open file was closed; gives what that stored, if it is logged.
    ///
    /// # Errors
    /// The file's own, for `/.errors`.
    pub fn release(&self, ino: Ino, handle: Handle) -> Result<Option<Change>> {
        let Some(open) = self.files.remove(handle) else { return Ok(None) };
        let outcome = open.file.release().map(|()| open.file.take_change());
        drop(open);
        self.opened.clean(ino);
        self.maps.file_closed();
        self.promises.clean(ino);
        self.made.clean(ino);
        outcome
    }
}

/// Bytes of a page.
const PAGE: u64 = 4096;

/// The rights that opening a file of a map asks for, if its row says so.
fn rights(node: &Node) -> Option<Rights> {
    match node {
        Node::In(_, Place::Control(name)) => {
            control::named(OsStr::new(name)).map(|control| control.rights)
        }
        Node::In(_, Place::Events(_)) => Some(Rights::Stream),
        Node::In(_, Place::Element(View::Pop, _)) => Some(Rights::Take),
        Node::In(
            _,
            Place::Root
            | Place::View(_)
            | Place::Cpus
            | Place::EventTypes
            | Place::Whole(_)
            | Place::Element(..)
            | Place::Link(_),
        )
        | Node::Dir(_)
        | Node::Symlink(_)
        | Node::Object(..)
        | Node::New(..)
        | Node::Ids
        | Node::Machine(_)
        | Node::Errors
        | Node::Help(_) => None,
    }
}

fn takes(node: &Node) -> bool {
    rights(node).is_some_and(Rights::takes)
}

/// Why nothing is made in a place of a map that has no keys.
pub(super) fn not_here(place: &Place) -> Error {
    match place {
        Place::Element(..) => Error::new(libc::ENOENT, "the value has no such member or index"),
        Place::Root
        | Place::View(_)
        | Place::Cpus
        | Place::EventTypes
        | Place::Control(_)
        | Place::Events(_)
        | Place::Whole(_)
        | Place::Link(_) => {
            Error::new(libc::EPERM, "elements are created in the map's own directory")
        }
    }
}

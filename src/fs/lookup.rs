//! From names to nodes, and nodes' attributes.

use super::attr::{Attr, FileKind, both_mode, dir_mode, file_mode, lets_in_blind, read_mode};
use super::caller::Caller;
use super::error::{Error, Result};
use super::help::{self, Facts};
use super::{Fs, refs, view};
use crate::bpffs::{Pin, PinKind, Stat};
use crate::map::{Keys, Map};
use crate::node::table::ROOT;
use crate::node::{Control, MapRef, MemberPath, Node, View};
use crate::sys::object::ObjectKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A name that was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The node's number, counted as one look-up.
    pub ino: u64,
    /// Its attributes at this moment.
    pub attr: Attr,
}

impl Fs {
    /// Finds `name` in the directory `parent`.
    ///
    /// # Errors
    /// ENOENT if there is nothing of that name, or the directory itself is gone.
    pub fn lookup(&self, parent: u64, name: &OsStr, caller: Caller) -> Result<Found> {
        let dir = self.node(parent)?;
        let (node, attr) = match &*dir {
            Node::Dir(pin) if name.as_bytes().starts_with(b".") => {
                let node = self.dir_control(&dir, pin, name)?;
                let attr = self.attr(&node)?;
                (node, attr)
            }
            Node::Dir(pin) => self.lookup_pin(pin, name)?,
            Node::Map(at, View::Text) if self.links.get(at, name).is_some() => {
                let node = Node::Link(at.clone(), name.into());
                let attr = self.attr(&node)?;
                (node, attr)
            }
            Node::Map(map, View::Text) if name.as_bytes().starts_with(b".") => {
                let node = self.map_control(&dir, map, name, caller)?;
                let attr = self.attr(&node)?;
                (node, attr)
            }
            // No key's name starts with a dot.
            Node::Map(..) | Node::Ids | Node::Element(_, View::Field(_), _) if name == ".help" => {
                let node = Node::Help(Arc::clone(&dir));
                let attr = self.attr(&node)?;
                (node, attr)
            }
            Node::Ids => self.lookup_id(name)?,
            Node::Map(map, View::Stream) => self.lookup_stream(map, name)?,
            Node::Map(map, View::Cpus) => self.lookup_cpu(map, name)?,
            Node::Map(map, view) => self.lookup_key(map, view, name, caller)?,
            Node::Element(map, View::Field(path), key) => {
                self.lookup_member(map, path, key, name)?
            }
            _ => return Err(Error::new(libc::ENOTDIR, "not a directory")),
        };
        let ino = self.intern(node);
        Ok(Found { ino, attr: Attr { ino, ..attr } })
    }

    fn dir_control(&self, dir: &Arc<Node>, pin: &Pin, name: &OsStr) -> Result<Node> {
        match name.as_bytes() {
            b".help" => Ok(Node::Help(Arc::clone(dir))),
            b".errors" if *pin == self.maps.bpffs.root() => Ok(Node::Errors),
            b".id" if *pin == self.maps.bpffs.root() => Ok(Node::Ids),
            _ => Err(no_control()),
        }
    }

    fn lookup_pin(&self, dir: &Pin, name: &OsStr) -> Result<(Node, Attr)> {
        let (pin, kind, stat) = self.maps.bpffs.child(dir, name, |pin| self.known_kind(pin))?;
        let node = pin_node(pin, kind);
        let attr = self.pin_attr(&node, stat)?;
        Ok((node, attr))
    }

    /// What the kernel, and so this table, knows a pin's inode to hold: that never changes.
    pub(super) fn known_kind(&self, pin: &Pin) -> Option<ObjectKind> {
        let map = Node::Map(MapRef::Pin(pin.clone()), View::Text);
        self.nodes.knows(&map).then_some(ObjectKind::Map)
    }

    fn lookup_key(
        &self,
        at: &MapRef,
        view: &View,
        name: &OsStr,
        caller: Caller,
    ) -> Result<(Node, Attr)> {
        let (map, stat) = self.maps.open(at)?;
        if let Keys::Handle(_) = map.kind.keys {
            // To find the element, we open what the name says with our own rights.
            self.owner_only(caller, "naming tasks, sockets, files and cgroups")?;
        }
        let key: Arc<[u8]> = view::parse_name(&map, view, name)
            .map_err(|error| Error { errno: libc::ENOENT, ..error })?
            .into();
        let view = &view::of_name(&map, view, name);
        let node = Node::Element(at.clone(), view.clone(), Arc::clone(&key));
        match self.element_size(at, &map, view, &key)? {
            Some(size) => {
                let attr = self.view_attr(&map, view, stat, size);
                Ok((node, attr))
            }
            None => Err(Error::new(libc::ENOENT, "no such key")),
        }
    }

    fn map_control(
        &self,
        dir: &Arc<Node>,
        at: &MapRef,
        name: &OsStr,
        caller: Caller,
    ) -> Result<Node> {
        if let Some(control) = Control::named(name) {
            let (map, _) = self.maps.open(at)?;
            if control == Control::Stream && caller.walks_through(b".stream/") {
                return Ok(Node::Map(at.clone(), View::Stream));
            }
            if control.check_kind(&map)? {
                return Ok(Node::Control(at.clone(), control));
            }
        }
        if let Some(view) = view::named(name) {
            let (map, _) = self.maps.open(at)?;
            view::check_kind(&map, &view)?;
            return Ok(Node::Map(at.clone(), view));
        }
        match name.as_bytes() {
            b".help" => Ok(Node::Help(Arc::clone(dir))),
            _ => Err(no_control()),
        }
    }

    fn lookup_cpu(&self, at: &MapRef, name: &OsStr) -> Result<(Node, Attr)> {
        let (map, _) = self.maps.open(at)?;
        let cpu = view::parse_cpu(&map, name)?;
        let node = Node::Map(at.clone(), View::Cpu(cpu));
        let attr = self.attr(&node)?;
        Ok((node, attr))
    }

    fn lookup_member(
        &self,
        at: &MapRef,
        path: &MemberPath,
        key: &Arc<[u8]>,
        name: &OsStr,
    ) -> Result<(Node, Attr)> {
        let (map, _) = self.maps.open(at)?;
        let path = view::member_below(&map, path, name.as_bytes())?;
        let node = Node::Element(at.clone(), View::Field(path), Arc::clone(key));
        let attr = self.attr(&node)?;
        Ok((node, attr))
    }

    /// The bytes of an element's text at this moment; `None` if there is no element.
    pub(super) fn element_size(
        &self,
        at: &MapRef,
        map: &Map,
        view: &View,
        key: &[u8],
    ) -> Result<Option<u64>> {
        if refs::is_link(map, view) {
            let target = self.link_target(at, map, key)?;
            return Ok(target.map(|target| target.as_os_str().len() as u64));
        }
        if !map.is_readable() {
            return Ok(refs::may_exist(map, key)?.then_some(0));
        }
        let mut value = Vec::new();
        if !view::lookup(map, view, key, &mut value)? {
            return Ok(None);
        }
        let mut text = Vec::new();
        view::render(map, view, &value, &mut text);
        Ok(Some(text.len() as u64))
    }

    /// Attributes of an element's file; the inode number is the caller's to set.
    pub(super) fn element_attr(&self, map: &Map, stat: Stat, size: u64) -> Attr {
        let frozen = if map.is_frozen() { 0o222 } else { 0 };
        let size = if lets_in_blind(stat.mode) { 0 } else { size };
        let stat = Stat { mode: file_mode(stat.mode) & !frozen, nlink: 1, ..stat };
        Attr { ino: 0, kind: FileKind::File, size, stat }
    }

    /// Attributes of an element in a view: a part that has parts is a directory, a sum only read.
    fn view_attr(&self, map: &Map, view: &View, stat: Stat, size: u64) -> Attr {
        let attr = self.element_attr(map, stat, size);
        let mode = attr.stat.mode & refs::mode_mask(map, view);
        let attr = Attr { stat: Stat { mode, ..attr.stat }, ..attr };
        match view {
            _ if refs::is_link(map, view) => {
                let stat = Stat { mode: 0o777, ..attr.stat };
                Attr { kind: FileKind::Symlink, stat, ..attr }
            }
            View::Pop => Attr { stat: Stat { mode: both_mode(stat.mode), ..attr.stat }, ..attr },
            View::Sum => Attr { stat: Stat { mode: read_mode(mode), ..attr.stat }, ..attr },
            View::Field(path) if view::has_members(map, path) => {
                let stat = Stat { mode: dir_mode(read_mode(mode)), nlink: 2, ..attr.stat };
                Attr { kind: FileKind::Dir, size: 0, stat, ..attr }
            }
            _ => attr,
        }
    }

    /// Attributes of a directory, symlink or object in bpffs.
    fn pin_attr(&self, node: &Node, stat: Stat) -> Result<Attr> {
        let (kind, size, mode) = match node {
            Node::Symlink(pin) => {
                let target = self.maps.bpffs.readlink(pin)?;
                (FileKind::Symlink, target.as_os_str().len() as u64, stat.mode)
            }
            Node::Object(..) => (FileKind::File, 0, read_mode(stat.mode)),
            // Nothing is created or deleted in a view of parts.
            Node::Map(_, View::Pop | View::Stream | View::Sum | View::Cpus | View::Field(_)) => {
                (FileKind::Dir, 0, dir_mode(read_mode(stat.mode)))
            }
            Node::Map(..) => (FileKind::Dir, 0, dir_mode(stat.mode)),
            _ => (FileKind::Dir, 0, stat.mode),
        };
        let nlink = if kind == FileKind::Dir { stat.nlink.max(2) } else { stat.nlink };
        Ok(Attr { ino: 0, kind, size, stat: Stat { mode, nlink, ..stat } })
    }

    /// The text of a directory's `.help`.
    pub(super) fn help(&self, dir: &Node) -> Result<Vec<u8>> {
        let is_root = *dir == Node::Dir(self.maps.bpffs.root());
        let map = match dir {
            Node::Map(map, _) | Node::Element(map, ..) => Some(Facts::of(&self.maps.open(map)?.0)),
            _ => None,
        };
        Ok(help::render(dir, is_root, map.as_ref()))
    }

    /// A node's attributes, the inode number left 0.
    pub(super) fn attr(&self, node: &Node) -> Result<Attr> {
        let file = |mode, size, stat: Stat| Attr {
            ino: 0,
            kind: FileKind::File,
            size,
            stat: Stat { mode, nlink: 1, ..stat },
        };
        match node {
            Node::Dir(pin) | Node::Symlink(pin) | Node::Object(pin, _) => {
                let stat = self.maps.bpffs.stat(pin)?;
                self.pin_attr(node, stat)
            }
            Node::Map(map, _) => {
                let stat = self.maps.stat(map)?;
                self.pin_attr(node, stat)
            }
            Node::Element(at, view, key) => {
                let (map, stat) = self.maps.open(at)?;
                match self.element_size(at, &map, view, key)? {
                    Some(size) => Ok(self.view_attr(&map, view, stat, size)),
                    // Who opened it has it: cat asks for the size only then.
                    None if *view == View::Pop => Ok(self.view_attr(&map, view, stat, 0)),
                    None => Err(Error::new(libc::ENOENT, "the key is gone")),
                }
            }
            Node::Control(map, control) => {
                let stat = self.maps.stat(map)?;
                Ok(file(control.mode(stat.mode), 0, stat))
            }
            Node::TypedStream(map, _) => {
                let stat = self.maps.stat(map)?;
                Ok(file(Control::Stream.mode(stat.mode), 0, stat))
            }
            Node::Link(at, name) => {
                let stat = Stat { mode: 0o777, nlink: 1, ..self.maps.stat(at)? };
                let size = self.kept_target(at, name)?.as_os_str().len() as u64;
                Ok(Attr { ino: 0, kind: FileKind::Symlink, size, stat })
            }
            Node::Ids => {
                let stat = self.maps.stat(&MapRef::Id(0))?;
                Ok(Attr {
                    ino: 0,
                    kind: FileKind::Dir,
                    size: 0,
                    stat: Stat { mode: 0o700, uid: self.owner, nlink: 2, ..stat },
                })
            }
            Node::New(dir, _) => self.new_attr(dir),
            Node::Errors => {
                let stat = self.maps.bpffs.stat(&self.maps.bpffs.root())?;
                Ok(file(0o400, 0, Stat { uid: self.owner, ..stat }))
            }
            Node::Help(dir) => {
                let stat = self.attr(dir)?.stat;
                Ok(file(read_mode(stat.mode), self.help(dir)?.len() as u64, stat))
            }
        }
    }

    /// The attributes of a node that the kernel knows.
    ///
    /// # Errors
    /// ENOENT if what it stood for is gone.
    pub fn getattr(&self, ino: u64, caller: Caller) -> Result<Attr> {
        let node = self.node(ino)?;
        match self.attr(&node) {
            Ok(attr) => Ok(Attr { ino, ..attr }),
            // Gone since it was looked up: as a file that was unlinked, empty, for those who hold it
            // open. Nor must `echo v > k` fail because somebody deleted k while it was opened. Or
            // created by open(2) and not yet written.
            Err(error) if error.errno == libc::ENOENT => {
                let Node::Element(at, view, _) = &*node else { return Err(error) };
                let (map, stat) = self.maps.open(at)?;
                let mut attr = self.view_attr(&map, view, stat, 0);
                if self.promises.open(ino, caller).is_none() {
                    attr.stat.nlink = 0;
                }
                Ok(Attr { ino, ..attr })
            }
            Err(error) => Err(error),
        }
    }

    /// A symlink's target.
    ///
    /// # Errors
    /// EINVAL if it is no symlink; ENOENT if it is gone; EACCES for who may not read the map.
    pub fn readlink(&self, ino: u64, caller: Caller) -> Result<PathBuf> {
        match &*self.node(ino)? {
            Node::Symlink(pin) => Ok(self.maps.bpffs.readlink(pin)?),
            Node::Link(at, name) => self.kept_target(at, name),
            Node::Element(at, view @ View::Text, key) => {
                let (map, stat) = self.maps.open(at)?;
                if !refs::is_link(&map, view) {
                    return Err(Error::new(libc::EINVAL, "not a symbolic link"));
                }
                // The kernel asks for no right to read a symlink; this one is an element.
                if !caller.may(&stat, 0o4) {
                    return Err(Error::new(libc::EACCES, "the map's mode forbids to read it"));
                }
                let target = self.link_target(at, &map, key)?;
                target.ok_or_else(|| Error::new(libc::ENOENT, "the key is gone"))
            }
            _ => Err(Error::new(libc::EINVAL, "not a symbolic link")),
        }
    }

    /// Bytes in a name that is no key's hex at most, for statfs(2).
    pub fn name_max(&self) -> u32 {
        1023
    }

    /// The inode number of `..`: what is known without asking.
    pub(super) fn parent_number(&self, node: &Node) -> u64 {
        let parent = match node {
            Node::Map(map, View::Cpu(_)) => Node::Map(map.clone(), View::Cpus),
            Node::Map(map, view) if *view != View::Text => Node::Map(map.clone(), View::Text),
            Node::Element(map, View::Field(path), key) => match path.split_last() {
                Some((_, outer)) => {
                    Node::Element(map.clone(), View::Field(outer.into()), Arc::clone(key))
                }
                None => Node::Map(map.clone(), View::Field(Arc::from([]))),
            },
            _ => return ROOT,
        };
        crate::node::NodeTable::number(&parent)
    }
}

/// The node of something in bpffs.
pub(super) fn pin_node(pin: Pin, kind: PinKind) -> Node {
    match kind {
        PinKind::Dir => Node::Dir(pin),
        PinKind::Symlink => Node::Symlink(pin),
        PinKind::Object(ObjectKind::Map) => Node::Map(MapRef::Pin(pin), View::Text),
        PinKind::Object(kind) => Node::Object(pin, kind),
    }
}

fn no_control() -> Error {
    Error::new(libc::ENOENT, "no such control; cat .help lists what there is")
}

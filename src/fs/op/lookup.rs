//! From names to nodes.

use super::machine;
use super::sizes::Asked;
use crate::bpffs::{Pin, PinKind};
use crate::fs::Fs;
use crate::fs::base::attr::{Attr, Changed, FileKind};
use crate::fs::base::caller::{Caller, Groups};
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::Facts;
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::has_large_values;
use crate::fs::base::opened::OpenedFile;
use crate::fs::control::stream::event::EventCodec;
use crate::fs::control::{self, stream};
use crate::fs::element::view::VIEWS;
use crate::fs::element::{access, links, member, name as key_name, view};
use crate::fs::tree::ids;
use crate::map::Keys;
use crate::node::{Ino, Machine, MapRef, MemberPath, Node, Place, View};
use crate::sys::object::ObjectKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// A name that was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The node's number, counted as one look-up.
    pub ino: Ino,
    /// Its attributes at this moment.
    pub attr: Attr,
    /// Whether the kernel may keep both.
    pub kept: bool,
}

impl Fs {
    /// Finds `name` in the directory `parent`.
    ///
    /// # Errors
    /// ENOENT if there is nothing of that name, or the directory itself is gone.
    pub fn lookup(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<Found> {
        self.admit_to(&*self.node(parent)?, Some(name), caller)?;
        let dir = self.dir_to_search(parent, caller)?;
        self.look_up(&dir, parent, name, caller)
    }

    /// Finds `name` in a directory, by whose number `parent` the kernel asks.
    pub(super) fn look_up(
        &self,
        dir: &Arc<Node>,
        parent: Ino,
        name: &OsStr,
        caller: Caller,
    ) -> Result<Found> {
        let (node, attr) = self.find(dir, name, caller)?;
        // Keys, of which there are most, are not kept.
        let dir = attr.pin.map(|pin| (node.clone(), pin));
        let ino = self.intern(node);
        self.ways.found(ino);
        let kept =
            dir.is_some_and(|(dir, pin)| self.keep(&dir, ino, pin, Some((parent, name)), caller));
        Ok(Found { kept, ..self.found(ino, attr) })
    }

    /// What the kernel is told of a node.
    pub(super) fn found(&self, ino: Ino, attr: Attr) -> Found {
        let mut stat = self.maps.owner.shown(attr.stat);
        let changed = match attr.changed {
            Changed::WithPin => None,
            Changed::Text(text) => Some(self.nodes.since(ino, text)),
            Changed::AsTold => Some(self.nodes.told(ino).unwrap_or_else(SystemTime::now)),
            Changed::Now => Some(SystemTime::now()),
        };
        if let Some(changed) = changed {
            (stat.mtime, stat.ctime) = (changed, changed);
        }
        let size = match attr {
            // The kernel remembers one size for all. Who has a text open reads nothing of it by
            // sendfile(2) when that becomes 0.
            Attr { size: 0, kind: FileKind::File, .. } => {
                let sizes = |open: &OpenedFile| open.size_just_opened().filter(|size| *size > 0);
                self.opened.newest(ino, sizes).unwrap_or(0)
            }
            attr => attr.size,
        };
        let attr = Attr { size, ..attr };
        Found { ino, attr: Attr { ino, stat, ..attr }, kept: false }
    }

    fn find(&self, dir: &Arc<Node>, name: &OsStr, caller: Caller) -> Result<(Node, Attr)> {
        let is_dotted = name.as_bytes().starts_with(b".");
        let node = match &**dir {
            // No key's name starts with a dot.
            Node::Dir(_) | Node::Ids | Node::Machine(_) if name == ".help" => {
                Node::Help(Arc::clone(dir))
            }
            Node::In(_, place) if name == ".help" && place.has_names() => {
                Node::Help(Arc::clone(dir))
            }
            Node::Dir(pin) if is_dotted => self.root_control(pin, name)?,
            Node::Dir(pin) => return self.find_pin(pin, name, caller),
            Node::Ids => self.find_id(name)?,
            Node::Machine(dir) => {
                // All maps, programs or processes are looked at.
                caller.long_work()?;
                Node::Machine(machine::find(&self.names, dir, name)?)
            }
            Node::In(at, Place::Root) if self.links.get(at, name).is_some() => {
                Node::In(at.clone(), Place::Link(name.into()))
            }
            Node::In(at, Place::Root) if is_dotted => self.find_control(at, name)?,
            Node::In(at, Place::Root) => return self.find_key(at, &View::Text, name, caller),
            Node::In(at, Place::View(view)) => match view::whole(view) {
                Some(whole) if name == whole.name() => Node::In(at.clone(), Place::Whole(whole)),
                Some(_) | None => return self.find_key(at, view, name, caller),
            },
            Node::In(at, Place::Cpus) => {
                let cpu = view::parse_cpu(&self.maps.open(at)?.0, name)?;
                Node::In(at.clone(), Place::View(View::Cpu(cpu)))
            }
            Node::In(at, Place::EventTypes) => {
                // All programs' types may have to be read.
                caller.long_work()?;
                self.find_event_type(at, name)?
            }
            Node::In(at, Place::Element(View::Field(path), key)) => {
                self.find_member(at, path, key, name)?
            }
            Node::Symlink(_)
            | Node::Object(..)
            | Node::New(..)
            | Node::Errors
            | Node::Help(_)
            | Node::In(
                _,
                Place::Control(_)
                | Place::Events(_)
                | Place::Whole(_)
                | Place::Link(_)
                | Place::Element(..),
            ) => return Err(Error::new(libc::ENOTDIR, "not a directory")),
        };
        let attr = self.attr(&node, caller, Asked::Size)?;
        Ok((node, attr))
    }

    fn root_control(&self, pin: &Pin, name: &OsStr) -> Result<Node> {
        let is_root = *pin == self.maps.bpffs.root();
        match name.as_bytes() {
            b".errors" if is_root => Ok(Node::Errors),
            b".id" if is_root => Ok(Node::Ids),
            _ => match machine::named(name) {
                Some(machine) if is_root => Ok(Node::Machine(machine)),
                _ => Err(no_control()),
            },
        }
    }

    fn find_pin(&self, dir: &Pin, name: &OsStr, caller: Caller) -> Result<(Node, Attr)> {
        let (pin, kind, stat) = self.child(dir, name)?;
        let node = pin_node(pin, kind);
        let attr = self.pin_attr(&node, stat, caller, Asked::Size)?;
        Ok((node, attr))
    }

    /// What is pinned under a name in a bpffs directory.
    ///
    /// # Errors
    /// ENOENT if nothing is.
    pub(super) fn pin_at(&self, dir: &Pin, name: &OsStr) -> Result<(Pin, PinKind)> {
        self.maps.bpffs.stat(dir)?;
        let (pin, kind, _) = self.child(dir, name)?;
        Ok((pin, kind))
    }

    pub(super) fn child(
        &self,
        dir: &Pin,
        name: &OsStr,
    ) -> Result<(Pin, PinKind, crate::bpffs::Stat)> {
        self.maps.bpffs.child(dir, name, |pin| self.known_kind(pin)).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::ENOENT) => Error::missing("there is no pin of that name"),
                _ => error.into(),
            }
        })
    }

    /// What the kernel, and so the node table, knows a pin's inode to hold: that never changes.
    pub(super) fn known_kind(&self, pin: &Pin) -> Option<ObjectKind> {
        self.nodes.knows(&Node::map(pin.clone())).then_some(ObjectKind::Map)
    }

    fn find_id(&self, name: &OsStr) -> Result<Node> {
        let at = MapRef::Id(ids::parse(name)?);
        self.maps.open(&at).map_err(|error| match error.errno {
            libc::ENOENT => ids::missing(),
            _ => error,
        })?;
        Ok(Node::In(at, Place::Root))
    }

    fn find_key(
        &self,
        at: &MapRef,
        view: &View,
        name: &OsStr,
        caller: Caller,
    ) -> Result<(Node, Attr)> {
        let (map, stat) = self.maps.open(at)?;
        if let Keys::Handle(_) = map.kind.keys {
            // To find the element, we open what the name says with our own rights.
            self.maps.owner.only(caller, "naming tasks, sockets, files and cgroups")?;
        }
        let key: Arc<[u8]> = key_name::parse(&map, view, name)
            .map_err(|error| Error { errno: libc::ENOENT, ..error })?
            .into();
        if let Keys::Handle(handle) = map.kind.keys {
            access::check_named(handle, &key, caller)?;
        }
        let view = &view::of_name(&map, view, name);
        if has_large_values(&map) {
            caller.long_work()?;
        }
        match access::seen(&self.maps, at, &map, view, &key)? {
            Some((told, text)) => {
                let attr = access::attr(&map, view, stat, told);
                let node = Node::In(at.clone(), Place::Element(view.clone(), key));
                if let Some(text) = text {
                    self.keep_told(caller, &node, text, Maps::keep_file);
                }
                Ok((node, attr))
            }
            None => Err(Error::missing("no such key")),
        }
    }

    /// A control or a view of a map; two may share a name where no map has both.
    pub(super) fn find_control(&self, at: &MapRef, name: &OsStr) -> Result<Node> {
        let (map, _) = self.maps.open(at)?;
        let facts = Facts::of(at, &map);
        let mut lacks = None;
        if let Some(control) = control::named(name) {
            match (control.lacks)(&facts) {
                None => return Ok(Node::In(at.clone(), Place::Control(control.name))),
                error => lacks = error,
            }
        }
        if let Some(row) = VIEWS.iter().find(|row| row.name.as_bytes() == name.as_bytes()) {
            match (row.lacks)(&facts) {
                None => return Ok(Node::In(at.clone(), (row.place)())),
                error => lacks = error,
            }
        }
        if name == stream::EVENTS {
            match stream::lacks(&facts) {
                None => return Ok(Node::In(at.clone(), Place::EventTypes)),
                error => lacks = error,
            }
        }
        Err(lacks.unwrap_or_else(no_control))
    }

    fn find_event_type(&self, at: &MapRef, name: &OsStr) -> Result<Node> {
        let (map, _) = self.maps.open(at)?;
        let type_name = name.to_str().unwrap_or_default();
        EventCodec::named(&map, type_name)?;
        Ok(Node::In(at.clone(), Place::Events(type_name.into())))
    }

    fn find_member(
        &self,
        at: &MapRef,
        path: &MemberPath,
        key: &Arc<[u8]>,
        name: &OsStr,
    ) -> Result<Node> {
        let (map, _) = self.maps.open(at)?;
        let path = member::below(&map, path, name.as_bytes())?;
        Ok(Node::In(at.clone(), Place::Element(View::Field(path), Arc::clone(key))))
    }

    /// A symlink's target.
    ///
    /// # Errors
    /// EINVAL if it is no symlink; ENOENT if it is gone; EACCES for who may not read the map.
    pub fn readlink(&self, ino: Ino, caller: Caller) -> Result<PathBuf> {
        self.admit(caller)?;
        let no_link = || Error::new(libc::EINVAL, "not a symbolic link");
        match &*self.node(ino)? {
            Node::Symlink(pin) => Ok(self.maps.bpffs.readlink(pin)?),
            Node::In(at, Place::Link(name)) => self.links.kept_target(&self.maps, at, name),
            Node::Machine(Machine::Link(list, _, id)) => Ok(machine::target(*list, *id)),
            Node::In(at, Place::Element(view, key)) => {
                let (map, stat) = self.maps.open(at)?;
                if !links::is_link(&map, view) {
                    return Err(no_link());
                }
                // The kernel asks for no right to read a symlink; this one is an element.
                if !caller.may(&stat, 0o4, &Groups::new())? {
                    return Err(Error::new(libc::EACCES, "the map's mode forbids to read it"));
                }
                let target = links::target(&self.maps, at, &map, key)?;
                target.ok_or_else(|| Error::missing("the key is gone"))
            }
            Node::Dir(_)
            | Node::Object(..)
            | Node::New(..)
            | Node::Ids
            | Node::Machine(_)
            | Node::Errors
            | Node::Help(_)
            | Node::In(
                _,
                Place::Root
                | Place::View(_)
                | Place::Cpus
                | Place::EventTypes
                | Place::Control(_)
                | Place::Whole(_)
                | Place::Events(_),
            ) => Err(no_link()),
        }
    }
}

/// The node of something in bpffs.
pub(super) fn pin_node(pin: Pin, kind: PinKind) -> Node {
    match kind {
        PinKind::Dir => Node::Dir(pin),
        PinKind::Symlink => Node::Symlink(pin),
        PinKind::Object(ObjectKind::Map) => Node::map(pin),
        PinKind::Object(kind) => Node::Object(pin, kind),
    }
}

fn no_control() -> Error {
    // Many programs look for a file of theirs (`.git`) in each directory that they come to.
    Error::missing("no such control; cat .help lists what there is")
}

//! What each operation means: nodes in, plain values or a reasoned errno out. No FUSE in here.

pub mod attr;
pub mod caller;
pub mod change;
pub mod clear;
pub mod control;
pub mod count;
pub mod definition;
pub mod dir;
pub mod element;
pub mod entries;
pub mod error;
pub mod event;
pub mod file;
pub mod freeze;
pub mod held;
pub mod help;
pub mod ids;
pub mod info;
pub mod links;
pub mod lookup;
pub mod make;
pub mod maps;
pub mod memory;
pub mod object;
pub mod pins;
pub mod place;
pub mod promises;
pub mod queue;
pub mod refs;
pub mod refusals;
pub mod stream;
pub mod switch;
pub mod view;
pub mod watch;

pub use attr::{Attr, FileKind};
pub use caller::Caller;
pub use error::{Error, Result};

use crate::bpffs::{Bpffs, Pin};
use crate::node::table::ROOT;
use crate::node::{MapRef, Node, NodeTable, View};
use crate::spec::Spec;
use file::OpenedFile;
use maps::Maps;
use refusals::Refusals;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use watch::Watches;

/// What the command line says of the file system.
#[derive(Debug)]
pub struct Settings {
    /// The user who mounted: creating maps is theirs alone.
    pub owner: u32,
    /// Where the mount is: absolute, without symlinks.
    pub mountpoint: PathBuf,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// What mkdir makes.
    pub default_map: Spec,
    /// How often watched maps are compared.
    pub watch_interval: Duration,
}

/// The file system's state: no content, only who is known and what is open.
#[derive(Debug)]
pub struct Fs {
    maps: Arc<Maps>,
    watches: Watches,
    nodes: NodeTable,
    /// Whose events are being read or written.
    streams: Arc<stream::Streams>,
    /// Symlinks into maps of maps, on their way to a key.
    links: links::Links,
    files: Handles<OpenedFile>,
    dirs: Handles<dir::OpenDir>,
    promises: promises::Promises,
    pins: pins::Pins,
    /// The refused operations, for `/.errors`.
    pub refusals: Arc<Refusals>,
    /// The user who mounted: creating maps is theirs alone.
    owner: u32,
    /// What mkdir makes.
    default_map: Spec,
}

impl Fs {
    /// A file system over `bpffs`.
    ///
    /// # Errors
    /// EAGAIN if no thread can be started.
    pub fn new(bpffs: Bpffs, settings: Settings) -> std::io::Result<Self> {
        let root = Node::Dir(bpffs.root());
        let Settings { owner, mountpoint, read_only, default_map, watch_interval } = settings;
        let maps = Maps::new(bpffs, mountpoint, read_only)?;
        Ok(Self {
            watches: Watches::new(Arc::clone(&maps), watch_interval),
            maps,
            nodes: NodeTable::new(root),
            streams: Arc::default(),
            links: links::Links::default(),
            files: Handles::default(),
            dirs: Handles::default(),
            promises: promises::Promises::default(),
            pins: pins::Pins::default(),
            refusals: Arc::default(),
            owner,
            default_map,
        })
    }

    /// The node that the kernel means by an inode number.
    fn node(&self, ino: u64) -> Result<Arc<Node>> {
        self.nodes
            .get(ino)
            .ok_or_else(|| Error::new(libc::ESTALE, "the file is not known any more"))
    }

    /// The number by which the kernel is told of a node.
    fn intern(&self, node: Node) -> u64 {
        self.nodes.intern(node, |old, new| self.maps.bpffs.has_moved(old, new))
    }

    /// The kernel forgets `lookups` look-ups of an inode.
    pub fn forget(&self, ino: u64, lookups: u64) {
        self.nodes.forget(ino, lookups);
    }

    /// Where a node, or a name in it, is: for `/.errors`.
    pub fn path(&self, ino: u64, name: Option<&OsStr>) -> String {
        let mut path = match self.nodes.get(ino) {
            Some(node) => self.node_path(&node),
            None => format!("/?{ino}"),
        };
        if let Some(name) = name {
            if !path.ends_with('/') {
                path.push('/');
            }
            path.push_str(&name.to_string_lossy());
        }
        path
    }

    fn node_path(&self, node: &Node) -> String {
        match node {
            Node::Dir(pin) | Node::Symlink(pin) | Node::Object(pin, _) => self.pin_path(pin),
            Node::New(dir, name) => {
                format!("{}/{}", self.pin_path(dir).trim_end_matches('/'), name.to_string_lossy())
            }
            Node::Map(map, view) => self.view_path(map, view),
            Node::Element(map, view, key) => {
                let name = match self.maps.open(map) {
                    Ok((map, _)) => view::name(&map, view, key),
                    Err(_) => view::hex(key),
                };
                let name = String::from_utf8_lossy(&name).into_owned();
                format!("{}/{name}{}", self.view_path(map, view), view::member_name(view))
            }
            Node::Control(map, control) => {
                format!("{}/{}", self.view_path(map, &View::Text), control.name())
            }
            Node::TypedStream(map, name) => {
                format!("{}/{name}", self.view_path(map, &View::Stream))
            }
            Node::Link(map, name) => {
                format!("{}/{}", self.view_path(map, &View::Text), name.to_string_lossy())
            }
            Node::Ids => "/.id".to_owned(),
            Node::Errors => "/.errors".to_owned(),
            Node::Help(dir) => format!("{}/.help", self.node_path(dir).trim_end_matches('/')),
        }
    }

    fn pin_path(&self, pin: &Pin) -> String {
        format!("/{}", self.maps.bpffs.relative(pin).to_string_lossy())
    }

    fn view_path(&self, map: &MapRef, view: &View) -> String {
        let map = match map {
            MapRef::Pin(pin) => self.pin_path(pin),
            MapRef::Id(id) => format!("/.id/{id}"),
        };
        match view::dir_name(view) {
            None => map,
            Some(name) => format!("{map}/{name}"),
        }
    }

    /// Refuses what the kernel would ask a capability for, unless the mount's owner asks.
    fn owner_only(&self, caller: Caller, what: &'static str) -> Result<()> {
        if caller.uid == self.owner {
            Ok(())
        } else {
            Err(Error::new(libc::EPERM, format!("{what} is for the mount's owner alone")))
        }
    }
}

/// Open files or directories, by the handle that the kernel gives back.
#[derive(Debug)]
struct Handles<T> {
    open: RwLock<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { open: RwLock::default(), next: AtomicU64::new(ROOT) }
    }
}

impl<T> Handles<T> {
    fn add(&self, open: Arc<T>) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(handle, open);
        handle
    }

    fn get(&self, handle: u64) -> Result<Arc<T>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&handle).map(Arc::clone).ok_or_else(|| Error::new(libc::EBADF, "not open"))
    }

    fn remove(&self, handle: u64) -> Option<Arc<T>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&handle)
    }
}

//! What each operation means: nodes in, plain values or a reasoned errno out. No FUSE in here.
//!
//! The rooms, each of which uses only those that it says; `tests/it/layers.rs` compares the table with
//! the sources. The file system itself, [`Fs`], is theirs to use in `op` alone: the others are given
//! what they need.
//!
//! | room | holds | may use |
//! |---|---|---|
//! | `base` | what all need: errors, open maps, open files, callers, refusals | nothing of ours |
//! | `tree` | bpffs's own directories, and the machine's objects by id | `base` |
//! | `element` | `MAP/KEY`: views and what each allows, names, text, open elements | `base`, `tree` |
//! | `control` | a map's dot files, a row each | `base`, `tree`, `element` |
//! | `help` | `.help`: what is no control's, and printing | `base`, `element`, `control` |
//! | `op` | the operations: decides by node, calls the rooms | `base`, `tree`, `element`, `control`, `help` |

#![warn(clippy::wildcard_enum_match_arm)]

pub mod base;
pub mod control;
pub mod element;
pub mod help;
pub mod op;
pub mod tree;

pub use crate::node::Ino;
pub use base::attr::{Attr, FileKind};
pub use base::caller::Caller;
pub use base::error::{Error, Result};
pub use base::operation::Op;

use crate::bpffs::seen;
use crate::bpffs::{Bpffs, Pin};
use crate::map::typing::TypeBook;
use crate::node::{Machine, MapRef, Node, NodeTable, Place};
use crate::spec::{Making, Spec, Typing};
use crate::sys::processes;
use base::by_ino::ByIno;
use base::given;
use base::handles::Handles;
use base::held;
use base::kept_dirs::KernelCache;
use base::maps::Maps;
use base::opened::OpenedFile;
pub use base::owner::Owner;
use base::pool::Pool;
use base::refusals::Refusals;
use control::state::ControlState;
use control::watch::watches::Watches;
use element::links::Links;
use element::promises::Promises;
use element::{member, name, view};
use op::open_dir::OpenDir;
use op::ways::Ways;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tree::known_names::KnownNames;
use tree::make::SpecFile;

/// What the command line says of the file system.
#[derive(Debug)]
pub struct Settings {
    /// Whose the mount is, and who else may come in.
    pub owner: Owner,
    /// Where the mount is: absolute, without symlinks.
    pub mountpoint: PathBuf,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// What mkdir makes.
    pub default_map: Spec,
    /// How often watched maps are compared.
    pub watch_interval: Duration,
    /// Types for maps by their names, each with where it is from.
    pub types: Vec<(String, Typing)>,
}

/// The file system's state: no content, only who is known and what is open.
#[derive(Debug)]
pub struct Fs {
    maps: Arc<Maps>,
    nodes: NodeTable,
    /// What controls keep from one open to the next.
    controls: ControlState,
    /// The machine's maps by name.
    names: KnownNames,
    /// Symlinks into maps of maps, on their way to a key.
    links: Links,
    files: Handles<OpenedFile>,
    /// The same by what they are open of.
    opened: ByIno<OpenedFile>,
    dirs: Handles<OpenDir>,
    promises: Promises,
    /// Who was told to walk anew.
    ways: Ways,
    /// Names that are open, and become what is written to them.
    made: ByIno<SpecFile>,
    /// The refused operations, for `/.errors`.
    pub refusals: Arc<Refusals>,
    /// For what may take long.
    pub pool: Arc<Pool>,
    /// What mkdir makes.
    default_map: Making,
}

impl Fs {
    /// A file system over `bpffs`.
    ///
    /// # Errors
    /// EAGAIN if no thread can be started.
    pub fn new(bpffs: Bpffs, settings: Settings) -> std::io::Result<Self> {
        let root = Node::Dir(bpffs.root());
        let Settings { owner, mountpoint, read_only, default_map, watch_interval, types } =
            settings;
        // What cannot be BTF was refused when the file was read.
        let types =
            types.into_iter().filter_map(|(origin, typing)| given::of(&typing, origin).ok());
        let types = TypeBook::new(types.map(Arc::new).collect());
        let maps = Maps::new(bpffs, mountpoint, read_only, owner, types)?;
        let pool = Pool::new();
        let controls = ControlState {
            watches: Watches::new(Arc::clone(&maps), watch_interval, Arc::clone(&pool)),
            streams: Arc::default(),
            pins: tree::pins::Pins::default(),
        };
        Ok(Self {
            maps,
            nodes: NodeTable::new(root),
            controls,
            names: KnownNames::default(),
            links: Links::default(),
            files: Handles::default(),
            opened: ByIno::default(),
            dirs: Handles::default(),
            promises: Promises::default(),
            ways: Ways::default(),
            made: ByIno::default(),
            refusals: Arc::default(),
            pool,
            default_map: Making::Map(Box::new(default_map)),
        })
    }

    /// The node that the kernel means by an inode number.
    fn node(&self, ino: Ino) -> Result<Arc<Node>> {
        self.nodes
            .get(ino)
            .ok_or_else(|| Error::new(libc::ESTALE, "the file is not known any more"))
    }

    /// The number by which the kernel is told of a node.
    fn intern(&self, node: Node) -> Ino {
        self.nodes.intern(node, |old, new| self.maps.bpffs.has_moved(old, new))
    }

    /// Who asks, by the ids that the kernel tells.
    pub fn caller(&self, pid: u32, uid: u32, gid: u32) -> Caller {
        // Where /proc counts processes of another PID namespace, its numbers are other programs'.
        let pid = if processes::proc_is_ours() { pid } else { 0 };
        Caller { pid, uid, gid, is_owner: self.maps.owner.is(pid, uid), beside: false }
    }

    /// Refuses who may not come in at all.
    ///
    /// # Errors
    /// EACCES, as the kernel says of a mount without `allow_other`.
    pub fn admit(&self, caller: Caller) -> Result<()> {
        held::asks(&caller);
        if !caller.beside {
            seen::answers();
        }
        if self.maps.owner.allow_other || caller.is_owner {
            return Ok(());
        }
        Err(Error::new(
            libc::EACCES,
            "the mount is its owner's alone: -o allow_other lets others in",
        ))
    }

    /// The same, for who may be on the way to `/.metrics`, which has a group of readers. The kernel checks
    /// modes.
    ///
    /// # Errors
    /// As for [`Self::admit`].
    fn admit_to(&self, node: &Node, name: Option<&OsStr>, caller: Caller) -> Result<()> {
        let is_on_the_way = match (node, name) {
            (Node::Machine(Machine::Metrics), None) => true,
            (Node::Dir(pin), name) => {
                *pin == self.maps.bpffs.root() && name.is_none_or(|name| name == ".metrics")
            }
            _ => false,
        };
        let admitted = self.admit(caller);
        if is_on_the_way && self.maps.owner.metrics_group.is_some() { Ok(()) } else { admitted }
    }

    /// The kernel forgets `lookups` look-ups of an inode.
    pub fn forget(&self, ino: Ino, lookups: u64) {
        if self.nodes.forget(ino, lookups) {
            self.maps.file_closed();
        }
        if let Some(dirs) = self.maps.dirs.get() {
            dirs.forgotten(ino, || self.nodes.get(ino).is_some());
        }
    }

    /// Lets the kernel keep directories, which `kernel` tells what to forget.
    pub fn keep_dirs(&self, kernel: Arc<dyn KernelCache>) {
        self.maps.keep_dirs(kernel);
    }

    /// Whether the kernel is to be asked to forget inodes.
    pub fn has_many_nodes(&self) -> bool {
        self.nodes.has_many()
    }

    /// The inodes that it is to be asked to forget.
    pub fn old_nodes(&self) -> Vec<Ino> {
        self.nodes.old()
    }

    /// The kernel has been asked to forget these.
    pub fn asked_to_forget(&self, old: &[Ino]) {
        self.nodes.asked_to_forget(old);
    }

    /// By which directory and name the kernel knows an element; `None` for what is none.
    pub fn place_of(&self, ino: Ino) -> Option<(Ino, Vec<u8>)> {
        let node = self.nodes.get(ino)?;
        let Node::In(at, place @ Place::Element(view, key)) = &*node else { return None };
        let (map, _) = self.maps.open(at).ok()?;
        let parent = Node::In(at.clone(), place.parent()?);
        Some((NodeTable::number(&parent), name::of(&map, view, key)))
    }

    /// Where a node, or a name in it, is: for `/.errors`.
    pub fn path(&self, ino: Ino, name: Option<&OsStr>) -> String {
        let mut path = match self.nodes.get(ino) {
            Some(node) => self.node_path(&node),
            None => format!("/?{}", ino.0),
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
            Node::In(at, place) => {
                let map = match at {
                    MapRef::Pin(pin) => self.pin_path(pin),
                    MapRef::Id(id) => format!("/.id/{id}"),
                };
                map + &self.place_path(at, place)
            }
            Node::Ids => "/.id".to_owned(),
            Node::Machine(machine) => op::machine::path(machine),
            Node::Errors => "/.errors".to_owned(),
            Node::Help(dir) => format!("{}/.help", self.node_path(dir).trim_end_matches('/')),
        }
    }

    fn pin_path(&self, pin: &Pin) -> String {
        format!("/{}", self.maps.bpffs.relative(pin).to_string_lossy())
    }

    /// Where something in a map is, behind the map's own path.
    fn place_path(&self, at: &MapRef, place: &Place) -> String {
        let below = |view| view::dir_name(view).map_or_else(String::new, |name| format!("/{name}"));
        match place {
            Place::Root => String::new(),
            Place::View(view) => below(view),
            Place::Cpus => "/.cpu".to_owned(),
            Place::EventTypes => format!("/{}", control::stream::EVENTS),
            Place::Control(name) => format!("/{name}"),
            Place::Events(name) => format!("/{}/{name}", control::stream::EVENTS),
            Place::Element(view, key) => {
                let name = match self.maps.open(at) {
                    Ok((map, _)) => name::of(&map, view, key),
                    Err(_) => name::hex(key),
                };
                let name = String::from_utf8_lossy(&name).into_owned();
                format!("{}/{name}{}", below(view), member::path_text(view))
            }
            Place::Whole(whole) => format!("{}/{}", below(&whole.view()), whole.name()),
            Place::Link(name) => format!("/{}", name.to_string_lossy()),
        }
    }
}

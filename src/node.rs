//! What a path means, and the inode numbers that the kernel knows nodes by.

pub mod table;
mod times;

pub use table::{Ino, NodeTable};

use crate::bpffs::Pin;
use crate::sys::object::ObjectKind;
use std::ffi::OsStr;
use std::sync::Arc;

/// Which map a path leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MapRef {
    /// The map pinned there.
    Pin(Pin),
    /// The map with this id, pinned or not.
    Id(u32),
}

/// How a directory of keys shows its elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum View {
    /// `MAP/KEY`: typed text.
    Text,
    /// `MAP/ADDRESS` in an LPM trie, without a length: what the longest prefix that covers it has. A
    /// write is to the full-length entry.
    Longest,
    /// `MAP/.pop/KEY`: taken out as it is opened.
    Pop,
    /// `MAP/.raw/KEY`: bytes, under names in hex.
    Raw,
    /// `MAP/.cpu/N/KEY`: one CPU's value.
    Cpu(u32),
    /// `MAP/.sum/KEY`: the sum over all CPUs.
    Sum,
    /// `MAP/.hist/KEY`, `MAP/.lhist/KEY`: the value drawn as a histogram.
    Histogram(BucketScale),
    /// `MAP/.field/KEY/a/b`: a member of the value; a directory if it has members itself. The
    /// empty path is the value.
    Field(MemberPath),
}

/// What the buckets of a histogram count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BucketScale {
    /// Bucket i: from 2^i to before 2^(i+1); bucket 0 also has 0.
    Powers,
    /// Bucket i: i.
    Linear,
}

/// A text of all elements in a view's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WholeText {
    /// `MAP/.sum/.entries`.
    Sums,
    /// `MAP/.hist/.map`, `MAP/.lhist/.map`: the map itself as a histogram.
    Histogram(BucketScale),
}

impl WholeText {
    /// Its file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sums => ".entries",
            Self::Histogram(_) => ".map",
        }
    }

    /// The view whose elements it has.
    pub fn view(self) -> View {
        match self {
            Self::Sums => View::Sum,
            Self::Histogram(scale) => View::Histogram(scale),
        }
    }
}

/// Names of members, array indices or variables, from the value inwards.
pub type MemberPath = Arc<[Box<[u8]>]>;

/// What a path inside of a map means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// `MAP`: the map's own directory.
    Root,
    /// `MAP/.raw`, `MAP/.cpu/N` and the like: a directory of keys.
    View(View),
    /// `MAP/.cpu`: a directory for each possible CPU.
    Cpus,
    /// `MAP/.events`: the types that events can be read by.
    EventTypes,
    /// `MAP/.info` and the like, by name: `fs::control` has a row for each.
    Control(&'static str),
    /// `MAP/.events/TYPE`: events, each a structure of that type.
    Events(Arc<str>),
    /// `MAP/.sum/.entries`, `MAP/.hist/.map`: a view's text of all elements.
    Whole(WholeText),
    /// An element, by its key's bytes.
    Element(View, Arc<[u8]>),
    /// A symlink in a map of maps under a name that is no key, to be renamed over one.
    Link(Arc<OsStr>),
}

impl Place {
    /// How the keys are shown, if it is a directory of keys.
    pub fn keys(&self) -> Option<View> {
        match self {
            Self::Root => Some(View::Text),
            Self::View(view) => Some(view.clone()),
            Self::Cpus
            | Self::EventTypes
            | Self::Control(_)
            | Self::Events(_)
            | Self::Whole(_)
            | Self::Element(..)
            | Self::Link(_) => None,
        }
    }

    /// Whether it is a directory, or may be one as a member of a value.
    pub fn has_names(&self) -> bool {
        match self {
            Self::Root
            | Self::View(_)
            | Self::Cpus
            | Self::EventTypes
            | Self::Element(View::Field(_), _) => true,
            Self::Control(_)
            | Self::Events(_)
            | Self::Whole(_)
            | Self::Element(..)
            | Self::Link(_) => false,
        }
    }

    /// The directory that shows keys in this way.
    pub fn of_keys(view: View) -> Self {
        match view {
            View::Text | View::Longest => Self::Root,
            View::Pop
            | View::Raw
            | View::Cpu(_)
            | View::Sum
            | View::Histogram(_)
            | View::Field(_) => Self::View(view),
        }
    }

    /// The directory that it is in; `None` for the map's own, which a bpffs directory holds.
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::Root => None,
            Self::View(View::Cpu(_)) => Some(Self::Cpus),
            Self::Events(_) => Some(Self::EventTypes),
            Self::Element(View::Field(path), key) => match path.split_last() {
                Some((_, outer)) => Some(Self::Element(View::Field(outer.into()), Arc::clone(key))),
                None => Some(Self::View(View::Field(Arc::from([])))),
            },
            Self::Element(view, _) => Some(Self::of_keys(view.clone())),
            Self::Whole(whole) => Some(Self::View(whole.view())),
            Self::View(_) | Self::Cpus | Self::EventTypes | Self::Control(_) | Self::Link(_) => {
                Some(Self::Root)
            }
        }
    }
}

/// What leads to the machine's maps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Machine {
    /// `/.metrics`
    Metrics,
    /// `/.maps`: a table for people.
    Table,
    /// `/.maps.json`: the same for programs.
    Json,
    /// A directory with a symlink for each map.
    List(MapList),
    /// A symlink in it: its name, and the id of the map that it leads to.
    Link(MapList, Arc<OsStr>, u32),
    /// `/.prog`: the loaded programs by their ids.
    Programs,
    /// `/.prog/N/.info`
    ProgramInfo(u32),
    /// `/.pid`: the processes that hold maps.
    Processes,
    /// `/.pid/…`: there if more processes may hold some.
    MoreProcesses,
}

/// Which maps a directory of symlinks has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapList {
    /// `/.name`: all.
    All,
    /// `/.prog/N`: those that the program with this id uses.
    Program(u32),
    /// `/.pid/N`: those that the process with this id holds, by itself or through a program.
    Process(u32),
}

/// A file or directory of the mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A bpffs directory.
    Dir(Pin),
    /// A bpffs symlink.
    Symlink(Pin),
    /// A pinned program or link, or something unknown.
    Object(Pin, ObjectKind),
    /// A name in a bpffs directory, created and open, that becomes a map with what is written.
    New(Pin, Arc<OsStr>),
    /// A map, or something in it.
    In(MapRef, Place),
    /// `/.id`: the loaded maps by their ids.
    Ids,
    /// `/.maps`, `/.name` and the like: what the machine has, pinned or not.
    Machine(Machine),
    /// `/.errors`
    Errors,
    /// `.help` of a directory.
    Help(Arc<Node>),
}

impl Node {
    /// A pinned map's directory.
    pub fn map(pin: Pin) -> Self {
        Self::In(MapRef::Pin(pin), Place::Root)
    }

    /// The map that it is in, and where; `None` outside of maps.
    pub fn in_map(&self) -> Option<(&MapRef, &Place)> {
        match self {
            Self::In(at, place) => Some((at, place)),
            Self::Dir(_)
            | Self::Symlink(_)
            | Self::Object(..)
            | Self::New(..)
            | Self::Ids
            | Self::Machine(_)
            | Self::Errors
            | Self::Help(_) => None,
        }
    }

    /// The pin that it is, or is part of.
    fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Dir(pin)
            | Self::Symlink(pin)
            | Self::Object(pin, _)
            | Self::New(pin, _)
            | Self::In(MapRef::Pin(pin), _) => Some(pin),
            Self::Help(dir) => dir.pin(),
            Self::In(MapRef::Id(_), _) | Self::Ids | Self::Machine(_) | Self::Errors => None,
        }
    }

    /// The same node at another pin, if it is at one.
    fn at(&self, pin: &Pin) -> Self {
        match self {
            Self::Dir(_) => Self::Dir(pin.clone()),
            Self::Symlink(_) => Self::Symlink(pin.clone()),
            Self::Object(_, kind) => Self::Object(pin.clone(), *kind),
            Self::New(_, name) => Self::New(pin.clone(), Arc::clone(name)),
            Self::In(_, place) => Self::In(MapRef::Pin(pin.clone()), place.clone()),
            Self::Help(dir) => Self::Help(Arc::new(dir.at(pin))),
            Self::Ids | Self::Machine(_) | Self::Errors => self.clone(),
        }
    }

    /// Whether `other` is this node after its pin was renamed, as `moved` says of the two pins.
    fn is_moved(&self, other: &Self, moved: impl Fn(&Pin, &Pin) -> bool) -> bool {
        let (Some(old), Some(new)) = (self.pin(), other.pin()) else { return false };
        moved(old, new) && self.at(new) == *other
    }
}

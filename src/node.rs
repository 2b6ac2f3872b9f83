//! What a path means, and the inode numbers that the kernel knows nodes by.

pub mod table;

pub use table::NodeTable;

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
    /// `MAP/.stream/TYPE`: events, each a structure of that type.
    Stream,
    /// `MAP/.raw/KEY`: bytes, under names in hex.
    Raw,
    /// `MAP/.cpu`: a directory for each possible CPU.
    Cpus,
    /// `MAP/.cpu/N/KEY`: one CPU's value.
    Cpu(u32),
    /// `MAP/.sum/KEY`: the sum over all CPUs.
    Sum,
    /// `MAP/.field/KEY/a/b`: a member of the value; a directory if it has members itself. The
    /// empty path is the value.
    Field(MemberPath),
}

/// Names of members, array indices or variables, from the value inwards.
pub type MemberPath = Arc<[Box<[u8]>]>;

/// A file of a map that is no element; `fs::control` says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Control {
    /// `.info`: what the kernel and the BTF say of the map.
    Info,
    /// `.schema`: the map as a C definition.
    Schema,
    /// `.entries`: every element, a line each.
    Entries,
    /// `.count`: how many elements there are.
    Count,
    /// `.clear`: `1` deletes every element.
    Clear,
    /// `.freeze`: whether the map is frozen; `1` freezes it.
    Freeze,
    /// `.watch`: the elements, then their changes.
    Watch,
    /// `.push`: adds to a queue, stack or bloom filter.
    Push,
    /// `.pop`: takes the next of a queue or stack.
    Pop,
    /// `.stream`: the events of a ring buffer or perf event array.
    Stream,
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
    /// A map as a directory of its keys.
    Map(MapRef, View),
    /// An element, by its key's bytes.
    Element(MapRef, View, Arc<[u8]>),
    /// A control of a map.
    Control(MapRef, Control),
    /// `MAP/.stream/TYPE`
    TypedStream(MapRef, Arc<str>),
    /// A symlink in a map of maps under a name that is no key, to be renamed over one.
    Link(MapRef, Arc<OsStr>),
    /// `/.id`: the loaded maps by their ids.
    Ids,
    /// `/.errors`
    Errors,
    /// `.help` of a directory.
    Help(Arc<Node>),
}

impl Node {
    /// The pin that it is, or is part of.
    fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Dir(pin) | Self::Symlink(pin) | Self::Object(pin, _) | Self::New(pin, _) => {
                Some(pin)
            }
            Self::Map(at, _)
            | Self::Element(at, ..)
            | Self::Control(at, _)
            | Self::TypedStream(at, _)
            | Self::Link(at, _) => match at {
                MapRef::Pin(pin) => Some(pin),
                MapRef::Id(_) => None,
            },
            Self::Help(dir) => dir.pin(),
            Self::Ids | Self::Errors => None,
        }
    }

    /// The same node at another pin, if it is at one.
    fn at(&self, pin: &Pin) -> Self {
        let at = || MapRef::Pin(pin.clone());
        match self {
            Self::Dir(_) => Self::Dir(pin.clone()),
            Self::Symlink(_) => Self::Symlink(pin.clone()),
            Self::Object(_, kind) => Self::Object(pin.clone(), *kind),
            Self::New(_, name) => Self::New(pin.clone(), Arc::clone(name)),
            Self::Map(_, view) => Self::Map(at(), view.clone()),
            Self::Element(_, view, key) => Self::Element(at(), view.clone(), Arc::clone(key)),
            Self::Control(_, control) => Self::Control(at(), *control),
            Self::TypedStream(_, name) => Self::TypedStream(at(), Arc::clone(name)),
            Self::Link(_, name) => Self::Link(at(), Arc::clone(name)),
            Self::Help(dir) => Self::Help(Arc::new(dir.at(pin))),
            Self::Ids | Self::Errors => self.clone(),
        }
    }

    /// Whether `other` is this node after its pin was renamed, as `moved` says of the two pins.
    fn is_moved(&self, other: &Self, moved: impl Fn(&Pin, &Pin) -> bool) -> bool {
        let (Some(old), Some(new)) = (self.pin(), other.pin()) else { return false };
        moved(old, new) && self.at(new) == *other
    }
}

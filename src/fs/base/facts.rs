//! What of a map decides which controls and views it has, and what its help says.

use crate::map::{Keys, Listing, Map, MapKind};
use crate::node::MapRef;

/// What decides what a map has.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// What its type allows.
    pub kind: MapKind,
    /// Whether the kernel tells what the elements are.
    pub is_readable: bool,
    /// Whether it is reached by a pin.
    pub is_pinned: bool,
    /// Whether values have an array of integers that could be a histogram.
    pub has_series: bool,
    /// Whether the map could be one: keys and values are integers.
    pub has_buckets: bool,
}

impl Facts {
    /// Those of an open map.
    pub fn of(at: &MapRef, map: &Map) -> Self {
        Self {
            kind: map.kind,
            is_readable: map.is_readable(),
            is_pinned: matches!(at, MapRef::Pin(_)),
            has_series: map.codec.has_series(),
            has_buckets: map.codec.has_buckets(),
        }
    }

    /// Whether elements can be listed with their values.
    pub fn lists(&self) -> bool {
        self.kind.keys == Keys::Bytes && self.kind.listing != Listing::Nothing && self.is_readable
    }

    /// Whether elements have keys that are bytes, and so names in hex.
    pub fn has_keys(&self) -> bool {
        self.kind.keys == Keys::Bytes
    }

    /// Whether it is a queue or stack.
    pub fn is_queue(&self) -> bool {
        self.kind.keys == Keys::Head
    }
}

/// A line of `.help`: a name, what it is, and an example that works in the directory.
#[derive(Debug)]
pub struct HelpLine {
    /// As it is typed.
    pub name: &'static str,
    /// What reading or writing it does.
    pub what: &'static str,
    /// A command.
    pub example: &'static str,
    /// Which of the maps that have the control or view have what this line says.
    pub has: fn(&Facts) -> bool,
}

/// A line that holds for all.
pub const fn line(name: &'static str, what: &'static str, example: &'static str) -> HelpLine {
    HelpLine { name, what, example, has: |_| true }
}

/// A line that holds for some.
pub const fn line_if(
    has: fn(&Facts) -> bool,
    name: &'static str,
    what: &'static str,
    example: &'static str,
) -> HelpLine {
    HelpLine { name, what, example, has }
}

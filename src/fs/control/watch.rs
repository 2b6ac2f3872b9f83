//! `.watch`: a map's elements, then their changes, as a stream.
//!
//! A `Hub` compares snapshots of one map, however many watch it. What a watcher has not read yet
//! is kept as the set of keys whose state it does not know, never as a queue of events: who reads
//! slowly gets the latest state, and the memory is bounded by the map's size.

mod clock;
mod hub;
mod snapshot;
mod watcher;
pub mod watches;

use super::row::{Control, Rights, unlisted};
use crate::fs::base::facts::line;

/// `.watch`
pub static WATCH: Control = Control {
    name: ".watch",
    rights: Rights::Follow,
    lacks: unlisted,
    help: &[line(".watch", "the elements, then each change as it comes", "cat .watch")],
    open: |open| {
        // Watchers wait for each other while snapshots are compared.
        open.caller.long_work()?;
        open.state.watches.open(open.at, open.map, open.caller)
    },
};

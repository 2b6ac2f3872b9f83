//! `.watch`: a map's elements, then their changes, as a stream.
//!
//! A `Hub` compares snapshots of one map, however often a user watches it, and keeps for each element the
//! comparison in which it last changed. A watcher keeps only as of which one it knows the keys, never a
//! queue of events: who reads slowly gets the latest state, idle watchers cost nothing more, and the
//! memory is bounded by the map's size.

mod clock;
mod history;
mod hub;
mod knowledge;
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

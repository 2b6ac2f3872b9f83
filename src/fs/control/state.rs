//! What controls keep from one open to the next.

use super::stream::open_streams::Streams;
use super::watch::watches::Watches;
use crate::fs::tree::pins::Pins;
use std::sync::Arc;

/// What controls keep: who watches, whose events are read, where maps are pinned.
#[derive(Debug)]
pub struct ControlState {
    /// The maps that are watched.
    pub watches: Watches,
    /// Whose events are being read or written.
    pub streams: Arc<Streams>,
    /// Which map each pin holds.
    pub pins: Pins,
}

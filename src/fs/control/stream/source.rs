//! Where the events of a map come from: its ring, or the rings of all CPUs.

use super::event::{self, EventCodec};
use super::own_descriptor::own_descriptor;
use super::perf::PerfSource;
use crate::fs::base::error::Result;
use crate::map::Map;
use crate::sys::map::kind as k;
use crate::sys::perf::PerfRecord;
use crate::sys::ring::{Next, RingReader};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Where events come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A ring buffer.
    Ring(RingReader),
    /// A perf event array.
    Perf(Box<PerfSource>),
}

impl Source {
    /// Opens what the map has.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn open(map: &Map) -> Result<Self> {
        if map.kind.number == k::RINGBUF {
            Ok(Self::Ring(RingReader::new(own_descriptor(map)?, map.info.max_entries)?))
        } else {
            Ok(Self::Perf(Box::new(PerfSource::open(map)?)))
        }
    }

    /// Duplicates to wait on, without the lock that guards the rings.
    ///
    /// # Errors
    /// EMFILE.
    pub(super) fn descriptors(&self) -> std::io::Result<Arc<[OwnedFd]>> {
        match self {
            Self::Ring(ring) => Ok(Arc::from([ring.as_fd().try_clone_to_owned()?])),
            Self::Perf(perf) => Ok(perf.descriptors()?.into()),
        }
    }

    /// Follows CPUs that came or went.
    pub(super) fn follow(&mut self) {
        match self {
            Self::Ring(_) => {}
            Self::Perf(perf) => perf.follow_cpus(),
        }
    }

    /// Whether there is something to read; takes nothing.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_ready(),
            Self::Perf(perf) => perf.is_ready(),
        }
    }

    /// Appends the next event's line. False if there is none yet.
    pub(super) fn next_line(&mut self, codec: &EventCodec, text: &mut Vec<u8>) -> bool {
        let mut record = Vec::new();
        match self {
            Self::Ring(ring) => match ring.next(&mut record) {
                Next::Record => codec.print(&record, false, text),
                Next::Busy | Next::Empty => return false,
            },
            Self::Perf(perf) => match perf.next(&mut record) {
                Some(PerfRecord::Sample) => codec.print(&record, true, text),
                Some(PerfRecord::Lost(count)) => event::print_lost(count, text),
                None => return false,
            },
        }
        text.push(b'\n');
        true
    }
}

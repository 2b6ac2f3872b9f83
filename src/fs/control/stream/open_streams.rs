//! The streams that are open: a ring has one reading and one writing position.

use super::own_descriptor::own_descriptor;
use crate::fs::base::error::{Error, Result};
use crate::map::Map;
use crate::sys::ring::RingWriter;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How long an open waits for the last reader to be gone: the kernel tells of a close only after
/// close(2) has returned, and so maybe after the next program's open(2).
const HANDOVER: Duration = Duration::from_millis(500);

/// How often it is looked whether the reader is gone.
const GLANCE: Duration = Duration::from_millis(2);

/// The streams that are open, by the maps' ids: a ring has one reading and one writing position.
#[derive(Debug, Default)]
pub struct Streams {
    readers: Mutex<HashSet<u32>>,
    /// Held by the one open that waits for a reader to be gone.
    handover: Mutex<()>,
    writers: Mutex<HashMap<u32, Weak<Mutex<RingWriter>>>>,
}

/// The right to read a map's events, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    streams: Arc<Streams>,
    id: u32,
}

impl Claim {
    /// Takes the right.
    ///
    /// # Errors
    /// EBUSY if somebody has it and keeps it.
    pub fn new(streams: &Arc<Streams>, id: u32) -> Result<Self> {
        let mut claimed = streams.readers.lock().insert(id);
        // One open waits at a time: else whoever may open a stream that is being read could have us
        // start any number of threads.
        if !claimed && let Some(_turn) = streams.handover.try_lock() {
            let deadline = Instant::now() + HANDOVER;
            while !claimed && Instant::now() < deadline {
                thread::sleep(GLANCE);
                claimed = streams.readers.lock().insert(id);
            }
        }
        if claimed {
            return Ok(Self { streams: Arc::clone(streams), id });
        }
        Err(Error::new(
            libc::EBUSY,
            "somebody reads this stream already, and each event goes to one reader alone",
        ))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.streams.readers.lock().remove(&self.id);
    }
}

impl Streams {
    /// The writing side of a user ring buffer, shared by all who have it open.
    ///
    /// # Errors
    /// The kernel's.
    pub fn writer(&self, map: &Map) -> Result<Arc<Mutex<RingWriter>>> {
        let mut writers = self.writers.lock();
        writers.retain(|_, ring| ring.strong_count() > 0);
        if let Some(ring) = writers.get(&map.info.id).and_then(Weak::upgrade) {
            return Ok(ring);
        }
        let fd = own_descriptor(map)?;
        let ring = RingWriter::new(fd.as_fd(), map.info.max_entries)?;
        let ring = Arc::new(Mutex::new(ring));
        writers.insert(map.info.id, Arc::downgrade(&ring));
        Ok(ring)
    }
}

//! Writing events into a user ring buffer: each line is one.

use super::event::EventCodec;
use super::open_streams::Streams;
use super::reader::AHEAD;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::Held;
use crate::fs::base::open_file::OpenFile;
use crate::map::Map;
use crate::sys::ring::RingWriter;
use parking_lot::Mutex;
use std::sync::Arc;

/// An open `.stream` of a user ring buffer: each line is an event.
#[derive(Debug)]
pub(super) struct EventWriter {
    ring: Arc<Mutex<RingWriter>>,
    codec: EventCodec,
    /// Bytes of a line's text at most.
    longest: usize,
    /// A line that has not ended yet.
    written: Mutex<Held>,
}

impl EventWriter {
    /// Writes events of a map, which each have a line.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn open(streams: &Streams, map: &Map, codec: EventCodec) -> Result<Self> {
        let ring = streams.writer(map)?;
        // A byte takes three characters in hex, and no more than a few in JSON.
        let longest = AHEAD.saturating_add(8 * map.info.max_entries as usize);
        Ok(Self { ring, codec, longest, written: Mutex::default() })
    }

    fn push(&self, line: &[u8]) -> Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let record = self.codec.parse(line)?;
        self.ring.lock().push(&record).map_err(|error| match error.errno {
            libc::ENOSPC => Error::new(libc::ENOSPC, "the ring is full: no program drains it"),
            libc::E2BIG => Error::new(libc::EINVAL, "the event is larger than the ring"),
            _ => error.into(),
        })
    }
}

impl OpenFile for EventWriter {
    fn read(&self, _offset: u64, _size: usize, _reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        Err(Error::new(libc::EACCES, "opened for writing"))
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let mut written = self.written.lock();
        let mut taken = 0;
        while let Some(end) = data[taken..].iter().position(|&c| c == b'\n') {
            let mut line = written.take();
            line.extend_from_slice(&data[taken..=taken + end]);
            match self.push(&line) {
                Ok(()) => taken += end + 1,
                // What came before stands, and the writer learns how much that is; the error
                // meets it when it goes on with this line.
                Err(_) if taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            }
        }
        let rest = &data[taken..];
        if written.len() + rest.len() > self.longest {
            written.clear();
            return Err(Error::new(libc::EFBIG, "the line is longer than any event"));
        }
        written.append(rest)?;
        Ok(data.len())
    }

    fn is_long(&self) -> bool {
        true
    }

    fn is_at_rest(&self) -> bool {
        self.written.lock().is_empty()
    }

    /// A last line without a newline is as good as one with it.
    fn release(&self) -> Result<()> {
        let line = self.written.lock().take();
        self.push(&line)
    }
}

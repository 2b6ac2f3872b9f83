//! Reading events: each becomes a line when it is read.

use super::event::EventCodec;
use super::open_streams::{Claim, Streams};
use super::source::Source;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::open_file::OpenFile;
use crate::fs::base::quota::{self, Permit};
use crate::map::Map;
use parking_lot::Mutex;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Text rendered ahead of a read at most, beyond the one event that goes over it.
pub(super) const AHEAD: usize = 1 << 17;
/// Text kept for a reader that goes back: bash's `read` takes 4 KiB and seeks to the line's end.
const BEHIND: usize = 1 << 14;

/// An open `.stream` that is read.
#[derive(Debug)]
pub(super) struct EventReader {
    state: Mutex<Window>,
    codec: Arc<EventCodec>,
}

impl EventReader {
    /// Reads the events of a map.
    ///
    /// # Errors
    /// EBUSY if somebody does already; the kernel's.
    pub(super) fn open(streams: &Arc<Streams>, map: &Map, codec: Arc<EventCodec>) -> Result<Self> {
        let claim = Claim::new(streams, map.info.id)?;
        let source = Source::open(map)?;
        let permit = quota::DESCRIPTORS.take(source.descriptors()?.len() + 1)?;
        let open = Some(OpenSource { source, _claim: claim, _permit: permit });
        let window = Window { open, text: Vec::new(), start: 0, taken: 0 };
        Ok(Self { state: Mutex::new(window), codec })
    }
}

/// What the last close lets go at once, even if a read of a killed program still waits.
#[derive(Debug)]
struct OpenSource {
    source: Source,
    _claim: Claim,
    _permit: Permit,
}

#[derive(Debug)]
struct Window {
    open: Option<OpenSource>,
    /// Lines on their way to the reader.
    text: Vec<u8>,
    /// Where in the stream `text` begins.
    start: u64,
    /// How much of `text` it has.
    taken: usize,
}

impl Window {
    /// Goes to where a read wants to begin, if that is among the text that is kept.
    fn seek(&mut self, offset: u64) {
        if let Some(at) = offset.checked_sub(self.start)
            && at <= self.text.len() as u64
        {
            self.taken = at as usize;
        }
    }

    /// Renders events until there are `wanted` bytes, or no more events.
    fn fill(&mut self, codec: &EventCodec, wanted: usize) {
        if self.text.len() - self.taken >= wanted {
            return;
        }
        if self.taken > 2 * BEHIND {
            let gone = self.taken - BEHIND;
            self.text.drain(..gone);
            self.start += gone as u64;
            self.taken = BEHIND;
        }
        let Some(OpenSource { source, .. }) = &mut self.open else { return };
        source.follow();
        while self.text.len() - self.taken < wanted && source.next_line(codec, &mut self.text) {}
    }

    /// Whether a read has something to give. Takes no event: one that was polled for and never
    /// read is still there for the next reader.
    fn is_ready(&self) -> bool {
        self.taken < self.text.len()
            || self.open.as_ref().is_some_and(|open| open.source.is_ready())
    }
}

impl OpenFile for EventReader {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut state = self.state.lock();
        state.seek(offset);
        state.fill(&self.codec, size.min(AHEAD));
        let end = state.text.len().min(state.taken.saturating_add(size));
        if end == state.taken {
            return Err(Error::new(libc::EAGAIN, "no event yet"));
        }
        reply(&state.text[state.taken..end]);
        state.taken = end;
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }

    fn is_ready(&self) -> bool {
        self.state.lock().is_ready()
    }

    fn descriptors(&self) -> Result<Arc<[OwnedFd]>> {
        let mut state = self.state.lock();
        let Some(OpenSource { source, .. }) = &mut state.open else { return Ok(Arc::from([])) };
        source.follow();
        Ok(source.descriptors()?)
    }

    fn release(&self) -> Result<()> {
        // Outside the lock: taking perf events down waits for the kernel.
        let open = self.state.lock().open.take();
        drop(open);
        Ok(())
    }
}

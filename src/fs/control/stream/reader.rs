//! Reading events: each becomes a line when it is read.

use super::event::EventCodec;
use super::open_streams::{Claim, Streams};
use super::source::Source;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::open_file::OpenFile;
use crate::fs::base::quota::{self, Permit};
use crate::map::Map;
use crate::sys::os;
use parking_lot::Mutex;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Text rendered ahead of a read at most, beyond the one event that goes over it.
pub(super) const AHEAD: usize = 1 << 17;
/// Text kept for a reader that goes back: bash's `read` takes 4 KiB and seeks to the line's end.
const BEHIND: usize = 1 << 14;
/// How often a ring is looked at while a program is in the middle of a record, or may have been
/// told not to wake readers up.
const GLANCE: Duration = Duration::from_millis(2);

/// An open `.stream` that is read.
#[derive(Debug)]
pub(super) struct EventReader {
    state: Mutex<Window>,
    codec: EventCodec,
}

impl EventReader {
    /// Reads the events of a map.
    ///
    /// # Errors
    /// EBUSY if somebody does already; the kernel's.
    pub(super) fn open(streams: &Arc<Streams>, map: &Map, codec: EventCodec) -> Result<Self> {
        let claim = Claim::new(streams, map.info.id)?;
        let source = Source::open(map)?;
        let fds = source.descriptors()?;
        let permit = quota::DESCRIPTORS.take(fds.len() + 1)?;
        let open = Some(OpenSource { source, _claim: claim, _permit: permit });
        let window = Window { open, fds, text: Vec::new(), start: 0, taken: 0 };
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
    /// What to wait on, without the lock.
    fds: Arc<[OwnedFd]>,
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

    /// Follows the source to what it reads by now.
    fn refresh(&mut self) {
        let Some(OpenSource { source, .. }) = &mut self.open else { return };
        if source.has_changed() {
            match source.descriptors() {
                Ok(fds) => self.fds = fds,
                Err(error) => log::warn!("cannot wait for the events of all CPUs: {error}"),
            }
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
        self.refresh();
        let Some(OpenSource { source, .. }) = &mut self.open else { return };
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

    fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let fds = {
            let mut state = self.state.lock();
            state.refresh();
            Arc::clone(&state.fds)
        };
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        loop {
            if self.state.lock().is_ready() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            os::wait_any_readable(&fds, left);
            if !self.state.lock().is_ready() {
                // A program is in the middle of a record, or a CPU went offline.
                thread::sleep(GLANCE.min(left));
            }
        }
    }

    fn release(&self) -> Result<()> {
        // Outside the lock: taking perf events down waits for the kernel.
        let open = self.state.lock().open.take();
        drop(open);
        Ok(())
    }
}

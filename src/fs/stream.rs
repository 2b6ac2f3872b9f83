//! `.stream`: the events of a ring buffer or perf event array, a line each, and those written to a
//! user ring buffer.
//!
//! The kernel's ring is the buffer: events stay there until somebody reads, and are turned into text
//! a read at a time, so that memory here is bounded and a slow reader loses nothing that the ring
//! still holds.

mod perf;

use super::Fs;
use super::attr::Attr;
use super::caller::Caller;
use super::element::Access;
use super::error::{Error, Result};
use super::event::{self, EventCodec};
use super::file::OpenFile;
use crate::map::{Map, MapKind};
use crate::node::{Control, MapRef, Node};
use crate::sys::map::kind as k;
use crate::sys::object;
use crate::sys::os;
use crate::sys::perf::Record;
use crate::sys::ring::{Next, RingReader, RingWriter};
use perf::PerfSource;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Text rendered ahead of a read at most, beyond the one event that goes over it.
const AHEAD: usize = 1 << 17;
/// Text kept for a reader that goes back: bash's `read` takes 4 KiB and seeks to the line's end.
const BEHIND: usize = 1 << 14;
/// How often a ring is looked at while a program is in the middle of a record, or may have been
/// told not to wake readers up.
const GLANCE: Duration = Duration::from_millis(2);

/// How long an open waits for the last reader to be gone: the kernel tells of a close only after
/// close(2) has returned, and so maybe after the next program's open(2).
const HANDOVER: Duration = Duration::from_millis(500);

/// Whether maps of a kind have events.
pub fn is_stream(kind: &MapKind) -> bool {
    matches!(kind.number, k::RINGBUF | k::PERF_EVENT_ARRAY | k::USER_RINGBUF)
}

/// The streams that are open, by the maps' ids: a ring has one reading and one writing position.
#[derive(Debug, Default)]
pub struct Streams {
    readers: Mutex<HashSet<u32>>,
    /// Held by the one open that waits for a reader to be gone.
    handover: Mutex<()>,
    writers: Mutex<HashMap<u32, Weak<Mutex<RingWriter>>>>,
}

impl Fs {
    /// Whether opening a file may take longer than a call or two: a stream may have a reader who is
    /// about to be gone.
    pub fn open_may_wait(&self, ino: u64) -> bool {
        matches!(
            self.nodes.get(ino).as_deref(),
            Some(Node::Control(_, Control::Stream) | Node::TypedStream(..))
        )
    }

    /// A type in `.stream/`.
    pub(super) fn lookup_stream(&self, at: &MapRef, name: &OsStr) -> Result<(Node, Attr)> {
        let (map, _) = self.maps.open(at)?;
        let type_name = name.to_str().unwrap_or_default();
        EventCodec::named(&map, type_name)?;
        let node = Node::TypedStream(at.clone(), type_name.into());
        let attr = self.attr(&node)?;
        Ok((node, attr))
    }

    /// Opens `.stream` or `.stream/TYPE`.
    ///
    /// # Errors
    /// EBUSY if there is a reader already; EOPNOTSUPP to write what is read, or the reverse; EPERM for
    /// others than the mount's owner where the kernel asks for CAP_PERFMON.
    pub(super) fn open_stream(
        &self,
        at: &MapRef,
        type_name: Option<&str>,
        access: Access,
        caller: Caller,
    ) -> Result<Arc<dyn OpenFile>> {
        let (map, _) = self.maps.open(at)?;
        let codec = match type_name {
            Some(name) => EventCodec::named(&map, name)?,
            None => EventCodec::bytes(),
        };
        let refuse = |reason: &'static str| Err(Error::new(libc::EOPNOTSUPP, reason));
        match (map.kind.number, access) {
            (k::USER_RINGBUF, Access { read: true, .. }) => {
                refuse("programs read this ring; user space writes it")
            }
            (k::USER_RINGBUF, _) => {
                let ring = self.streams.writer(&map)?;
                // A byte takes three characters in hex, and no more than a few in JSON.
                let longest = AHEAD.saturating_add(8 * map.info.max_entries as usize);
                Ok(Arc::new(Writer { ring, codec, longest, written: Mutex::default() }))
            }
            (_, Access { write: true, .. }) => refuse("programs write this ring; it is read here"),
            (number, _) => {
                if number == k::PERF_EVENT_ARRAY {
                    self.owner_only(caller, "opening perf events")?;
                }
                let claim = Claim::new(&self.streams, map.info.id)?;
                let source = Source::open(&map)?;
                let fds = source.descriptors()?;
                let open = Some(Open { source, _claim: claim });
                let state = State { open, fds, text: Vec::new(), start: 0, taken: 0 };
                Ok(Arc::new(Reader { state: Mutex::new(state), codec }))
            }
        }
    }
}

/// The right to read a map's events, until it is dropped.
#[derive(Debug)]
struct Claim {
    streams: Arc<Streams>,
    id: u32,
}

impl Claim {
    fn new(streams: &Arc<Streams>, id: u32) -> Result<Self> {
        let mut claimed = lock(&streams.readers).insert(id);
        // One open waits at a time: else whoever may open a stream that is being read could have us
        // start any number of threads.
        if !claimed && let Ok(_turn) = streams.handover.try_lock() {
            let deadline = Instant::now() + HANDOVER;
            while !claimed && Instant::now() < deadline {
                thread::sleep(GLANCE);
                claimed = lock(&streams.readers).insert(id);
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
        lock(&self.streams.readers).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks hold is whole even if a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor of the map that belongs to the stream alone.
fn own_descriptor(map: &Map) -> Result<OwnedFd> {
    Ok(object::map_by_id(map.info.id)?)
}

/// Where events come from.
#[derive(Debug)]
enum Source {
    Ring(RingReader),
    Perf(Box<PerfSource>),
}

impl Source {
    fn open(map: &Map) -> Result<Self> {
        if map.kind.number == k::RINGBUF {
            Ok(Self::Ring(RingReader::new(own_descriptor(map)?, map.info.max_entries)?))
        } else {
            Ok(Self::Perf(Box::new(PerfSource::open(map)?)))
        }
    }

    /// Duplicates to wait on, without the lock that guards the rings.
    fn descriptors(&self) -> std::io::Result<Arc<[OwnedFd]>> {
        match self {
            Self::Ring(ring) => Ok(Arc::from([ring.as_fd().try_clone_to_owned()?])),
            Self::Perf(perf) => Ok(perf.descriptors()?.into()),
        }
    }

    /// Whether there are other descriptors to wait on than before.
    fn has_changed(&mut self) -> bool {
        match self {
            Self::Ring(_) => false,
            Self::Perf(perf) => perf.follow_cpus(),
        }
    }

    /// Whether there is something to read; takes nothing.
    fn is_ready(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_ready(),
            Self::Perf(perf) => perf.is_ready(),
        }
    }

    /// Appends the next event's line. False if there is none yet.
    fn next_line(&mut self, codec: &EventCodec, text: &mut Vec<u8>) -> bool {
        let mut record = Vec::new();
        match self {
            Self::Ring(ring) => match ring.next(&mut record) {
                Next::Record => codec.print(&record, false, text),
                Next::Busy | Next::Empty => return false,
            },
            Self::Perf(perf) => match perf.next(&mut record) {
                Some(Record::Sample) => codec.print(&record, true, text),
                Some(Record::Lost(count)) => event::print_lost(count, text),
                None => return false,
            },
        }
        text.push(b'\n');
        true
    }
}

/// An open `.stream` that is read.
#[derive(Debug)]
struct Reader {
    state: Mutex<State>,
    codec: EventCodec,
}

/// What the last close lets go at once, even if a read of a killed program still waits.
#[derive(Debug)]
struct Open {
    source: Source,
    _claim: Claim,
}

#[derive(Debug)]
struct State {
    open: Option<Open>,
    /// What to wait on, without the lock.
    fds: Arc<[OwnedFd]>,
    /// Lines on their way to the reader.
    text: Vec<u8>,
    /// Where in the stream `text` begins.
    start: u64,
    /// How much of `text` it has.
    taken: usize,
}

impl State {
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
        let Some(Open { source, .. }) = &mut self.open else { return };
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
        let Some(Open { source, .. }) = &mut self.open else { return };
        while self.text.len() - self.taken < wanted && source.next_line(codec, &mut self.text) {}
    }

    /// Whether a read has something to give. Takes no event: one that was polled for and never
    /// read is still there for the next reader.
    fn is_ready(&self) -> bool {
        self.taken < self.text.len()
            || self.open.as_ref().is_some_and(|open| open.source.is_ready())
    }
}

impl OpenFile for Reader {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut state = lock(&self.state);
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
            let mut state = lock(&self.state);
            state.refresh();
            Arc::clone(&state.fds)
        };
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        loop {
            if lock(&self.state).is_ready() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            os::wait_any_readable(&fds, left);
            if !lock(&self.state).is_ready() {
                // A program is in the middle of a record, or a CPU went offline.
                thread::sleep(GLANCE.min(left));
            }
        }
    }

    fn release(&self) -> Result<()> {
        // Outside the lock: taking perf events down waits for the kernel.
        let open = lock(&self.state).open.take();
        drop(open);
        Ok(())
    }
}

/// An open `.stream` of a user ring buffer: each line is an event.
#[derive(Debug)]
struct Writer {
    ring: Arc<Mutex<RingWriter>>,
    codec: EventCodec,
    /// Bytes of a line's text at most.
    longest: usize,
    /// A line that has not ended yet.
    written: Mutex<Vec<u8>>,
}

impl Streams {
    /// The writing side of a user ring buffer, shared by all who have it open.
    fn writer(&self, map: &Map) -> Result<Arc<Mutex<RingWriter>>> {
        let mut writers = lock(&self.writers);
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

impl Writer {
    fn push(&self, line: &[u8]) -> Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let record = self.codec.parse(line)?;
        lock(&self.ring).push(&record).map_err(|error| match error.errno {
            libc::ENOSPC => Error::new(libc::ENOSPC, "the ring is full: no program drains it"),
            libc::E2BIG => Error::new(libc::EINVAL, "the event is larger than the ring"),
            _ => error.into(),
        })
    }
}

impl OpenFile for Writer {
    fn read(&self, _offset: u64, _size: usize, _reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        Err(Error::new(libc::EACCES, "opened for writing"))
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let mut written = lock(&self.written);
        let mut taken = 0;
        while let Some(end) = data[taken..].iter().position(|&c| c == b'\n') {
            let mut line = std::mem::take(&mut *written);
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
        written.extend_from_slice(rest);
        Ok(data.len())
    }

    fn is_at_rest(&self) -> bool {
        lock(&self.written).is_empty()
    }

    /// A last line without a newline is as good as one with it.
    fn release(&self) -> Result<()> {
        let line = std::mem::take(&mut *lock(&self.written));
        self.push(&line)
    }
}

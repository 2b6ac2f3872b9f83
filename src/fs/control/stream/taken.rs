//! A stream that is opened for reading and writing: `take` written to it reads events also where another
//! process has the map open.

use super::event::EventCodec;
use super::holders;
use super::open_streams::Streams;
use super::reader::EventReader;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::OpenFile;
use crate::fs::control::row::Opening;
use crate::node::MapRef;
use parking_lot::Mutex;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// An open stream, and its reader once it is clear who gets the events.
#[derive(Debug)]
pub(super) struct TakenStream {
    streams: Arc<Streams>,
    maps: Arc<Maps>,
    at: MapRef,
    codec: Arc<EventCodec>,
    opener: Caller,
    reader: Mutex<Option<Arc<EventReader>>>,
}

impl TakenStream {
    pub(super) fn new(opening: &Opening<'_>, codec: EventCodec) -> Self {
        Self {
            streams: Arc::clone(&opening.state.streams),
            maps: Arc::clone(opening.maps),
            at: opening.at.clone(),
            codec: Arc::new(codec),
            opener: opening.caller,
            reader: Mutex::default(),
        }
    }

    /// The reader, which is made now if there is none; `take` if whoever else reads is to get nothing.
    fn reader(&self, take: bool) -> Result<Arc<EventReader>> {
        if let Some(reader) = &*self.reader.lock() {
            return Ok(Arc::clone(reader));
        }
        let (map, _) = self.maps.open(&self.at)?;
        if !take {
            holders::check(map.info.id, self.opener)?;
        }
        let mut reader = self.reader.lock();
        if let Some(reader) = &*reader {
            return Ok(Arc::clone(reader));
        }
        let new = Arc::new(EventReader::open(&self.streams, &map, Arc::clone(&self.codec))?);
        *reader = Some(Arc::clone(&new));
        Ok(new)
    }
}

impl OpenFile for TakenStream {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.reader(false)?.read(offset, size, reply)
    }

    fn is_long(&self) -> bool {
        true
    }

    fn is_ready(&self) -> bool {
        // Where there is no reader yet, a read tells why, or makes one.
        match self.reader.try_lock() {
            Some(reader) => reader.as_ref().is_none_or(|reader| reader.is_ready()),
            // It is being opened; who opens it looks by itself.
            None => false,
        }
    }

    fn descriptors(&self) -> Result<Arc<[OwnedFd]>> {
        self.reader(false)?.descriptors()
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        match data.trim_ascii() {
            b"take" => self.reader(true).map(|_| data.len()),
            b"" => Ok(data.len()),
            _ => Err(Error::new(
                libc::EINVAL,
                "only `take` can be written here: programs write the events",
            )),
        }
    }

    fn release(&self) -> Result<()> {
        match self.reader.lock().take() {
            Some(reader) => reader.release(),
            None => Ok(()),
        }
    }
}

//! What is added and taken: `.push` and `.pop` of queues, stacks and bloom filters, and
//! `.pop/KEY` of hash tables.

use super::caller::Caller;
use super::element::Access;
use super::error::{Error, Result};
use super::file::{OpenFile, Snapshot};
use super::maps::Maps;
use crate::codec::TextErrorKind;
use crate::map::{Map, room};
use crate::node::MapRef;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of text that one value may take, beside its own size.
const TEXT_MAX: usize = 1 << 20;

/// Takes an element out of its map and opens its text; an empty key is a queue's next element.
///
/// # Errors
/// ENOENT if there is none; EACCES if it is opened for writing; EPERM if the map is frozen.
pub fn open_taken(map: &Map, key: &[u8], access: Access) -> Result<Arc<dyn OpenFile>> {
    if access.write {
        return Err(Error::new(libc::EACCES, ".pop can only be read"));
    }
    let mut value = Vec::new();
    if !map.take(key, &mut value)? {
        let reason = if key.is_empty() { "the map is empty" } else { "no such key" };
        return Err(Error::new(libc::ENOENT, reason));
    }
    let mut text = Vec::new();
    map.print_file(&value, &mut text);
    Ok(Arc::new(Snapshot(text)))
}

/// An open `.push`: each value written is added to the map.
#[derive(Debug)]
pub struct Push {
    at: MapRef,
    maps: Arc<Maps>,
    /// What is not yet a whole value.
    written: Mutex<Vec<u8>>,
}

impl Push {
    /// Opens it; the map is opened for each write.
    pub fn new(at: &MapRef, maps: &Arc<Maps>) -> Self {
        Self { at: at.clone(), maps: Arc::clone(maps), written: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Nothing under this lock panics; if it did, the text would still be whole.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the values that `written` begins with and removes their text.
fn push_all(map: &Map, written: &mut Vec<u8>) -> Result<()> {
    while !written.trim_ascii().is_empty() {
        // A document may take several lines, and a line is a document: as many lines as it takes.
        let ends = written.iter().enumerate().filter(|(_, c)| **c == b'\n').map(|(at, _)| at + 1);
        let mut pushed = None;
        let mut refused = None;
        for end in ends.chain([written.len()]) {
            let mut value = Vec::new();
            room::zeros(&mut value, map.value_len())?;
            match map.codec.parse_value(&written[..end], &mut value) {
                Ok(()) => {
                    map.push(&value)?;
                    pushed = Some(end);
                    break;
                }
                Err(error) if matches!(error.kind, TextErrorKind::Incomplete) => refused = None,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        match (pushed, refused) {
            (Some(end), _) => drop(written.drain(..end)),
            (None, Some(error)) => return Err(error.into()),
            (None, None) => return Ok(()),
        }
    }
    written.clear();
    Ok(())
}

impl OpenFile for Push {
    fn read(&self, _offset: u64, _size: usize, _reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        Err(Error::new(libc::EACCES, ".push can only be written"))
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let (map, _) = self.maps.open(&self.at)?;
        let mut written = self.lock();
        room::append(&mut written, data)?;
        let outcome = if written.len() > map.value_len().saturating_mul(256) + TEXT_MAX {
            Err(Error::new(libc::EFBIG, "the text is longer than any value of this map"))
        } else {
            push_all(&map, &mut written)
        };
        if let Err(error) = outcome {
            written.clear();
            return Err(error);
        }
        Ok(data.len())
    }

    fn flush(&self, _caller: Caller) -> Result<()> {
        if self.lock().is_empty() {
            return Ok(());
        }
        Err(Error::new(libc::EINVAL, "the text ends before the value is complete"))
    }
}

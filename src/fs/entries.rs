//! `.entries`: every element as a line of JSON, streamed both ways.
//!
//! Neither direction ever has the whole map in memory, and neither holds the map between calls.

pub mod line;
pub mod load;
pub mod read;
pub mod render;

use super::caller::Caller;
use super::element::{Access, Element};
use super::error::{Error, Result};
use super::file::OpenFile;
use super::maps::Maps;
use crate::map::{Content, Keys, Listing, Map, MapKind};
use crate::node::{MapRef, View};
use load::Loader;
use read::Reader;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An open `.entries`.
#[derive(Debug)]
pub struct EntriesFile {
    maps: Arc<Maps>,
    at: MapRef,
    reader: Mutex<Reader>,
    loader: Mutex<Loader>,
}

impl EntriesFile {
    /// Opens a map's `.entries`.
    ///
    /// # Errors
    /// EPERM to write a frozen map; EOPNOTSUPP if the kind cannot be listed, or written as text.
    pub fn open(
        maps: &Arc<Maps>,
        at: &MapRef,
        map: &Map,
        access: Access,
        opener: Caller,
    ) -> Result<Self> {
        if access.read {
            check_listing(map)?;
        }
        if access.write {
            check_loading(map)?;
        }
        let (maps, at) = (Arc::clone(maps), at.clone());
        let element = map.kind.is_reference().then(|| Element {
            maps: Arc::clone(&maps),
            map: at.clone(),
            view: View::Text,
            key: Arc::from([]),
            opener,
        });
        let loader = Mutex::new(Loader::new(element));
        Ok(Self { maps, at, reader: Mutex::default(), loader })
    }

    fn loader(&self) -> MutexGuard<'_, Loader> {
        // Whatever panicked left whole lines behind.
        self.loader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses to list what has no keys, or none that user space may see.
///
/// # Errors
/// EOPNOTSUPP.
pub fn check_listing(map: &Map) -> Result<()> {
    let kind = &map.kind;
    if kind.keys != Keys::Bytes || kind.listing == Listing::Nothing || !map.is_readable() {
        let reason = format!("the elements of {} cannot be listed", kind.with_article());
        return Err(Error::new(libc::EOPNOTSUPP, reason));
    }
    Ok(())
}

/// Whether lines like those that are read can be written: values are data, or what is read of a map,
/// program, device or CPU also names it.
pub fn is_loadable(kind: &MapKind) -> bool {
    let named = matches!(
        kind.content,
        Content::Data | Content::Map | Content::Prog | Content::Device | Content::Cpu
    );
    kind.keys == Keys::Bytes && named
}

fn check_loading(map: &Map) -> Result<()> {
    if !is_loadable(&map.kind) {
        let reason =
            format!("the elements of {} cannot be written as lines", map.kind.with_article());
        return Err(Error::new(libc::EOPNOTSUPP, reason));
    }
    if map.is_frozen() {
        return Err(Error::new(libc::EPERM, "the map is frozen"));
    }
    Ok(())
}

impl OpenFile for EntriesFile {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.read(&self.maps, &self.at, offset, size, reply)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let mut loader = self.loader();
        let (map, _) = self.maps.open(&self.at)?;
        loader.write(&map, data)?;
        Ok(data.len())
    }

    fn is_at_rest(&self) -> bool {
        self.loader().is_complete()
    }

    fn release(&self) -> Result<()> {
        let mut loader = self.loader();
        if loader.is_complete() {
            return Ok(());
        }
        let (map, _) = self.maps.open(&self.at)?;
        loader.close(&map)
    }
}

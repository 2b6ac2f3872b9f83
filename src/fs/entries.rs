//! `.entries`: every element as a line of JSON, streamed both ways.
//!
//! Neither direction ever has the whole map in memory, and neither holds the map between calls.

pub mod line;
pub mod load;
pub mod read;
pub mod render;

use super::caller::Caller;
use super::element::Access;
use super::error::{Error, Result};
use super::file::OpenFile;
use super::maps::Maps;
use crate::map::{Listing, Map};
use crate::node::MapRef;
use crate::sys::map::kind;
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
    pub fn open(maps: &Arc<Maps>, at: &MapRef, map: &Map, access: Access) -> Result<Self> {
        if access.read {
            check_listing(map)?;
        }
        if access.write {
            check_loading(map)?;
        }
        let (maps, at) = (Arc::clone(maps), at.clone());
        Ok(Self { maps, at, reader: Mutex::default(), loader: Mutex::default() })
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
    if matches!(map.kind.listing, Listing::Nothing | Listing::Head) {
        let reason = format!("the elements of a {} cannot be listed", map.kind.name);
        return Err(Error::new(libc::EOPNOTSUPP, reason));
    }
    Ok(())
}

/// Refuses to write elements whose value is no text: a map, program or socket, which user space
/// gives as a descriptor.
fn check_loading(map: &Map) -> Result<()> {
    let refused = match map.info.map_type {
        kind::PROG_ARRAY
        | kind::PERF_EVENT_ARRAY
        | kind::CGROUP_ARRAY
        | kind::ARRAY_OF_MAPS
        | kind::HASH_OF_MAPS
        | kind::SOCKMAP
        | kind::SOCKHASH
        | kind::XSKMAP
        | kind::REUSEPORT_SOCKARRAY
        | kind::STRUCT_OPS => true,
        // The bytes after the interface's or queue's are a program's descriptor.
        kind::DEVMAP | kind::DEVMAP_HASH | kind::CPUMAP => map.info.value_size > 4,
        _ => map.info.key_size == 0 || map.kind.listing == Listing::Nothing,
    };
    if refused {
        let reason = format!("the elements of a {} cannot be written as lines", map.kind.name);
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

    fn flush(&self, _caller: Caller) -> Result<()> {
        let mut loader = self.loader();
        if loader.is_complete() {
            return Ok(());
        }
        let (map, _) = self.maps.open(&self.at)?;
        loader.close(&map)
    }
}

//! `.entries`: every element as a line of JSON, streamed both ways.
//!
//! A text of more than a few MiB is never in memory as a whole, and neither direction holds the map
//! between calls.

pub mod line;
pub mod load;
pub mod read;
pub mod render;

use super::row::{Control, Opening, Rights, unlisted};
use crate::fs::base::attr::Changed;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::{Facts, line_if};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{OpenFile, part};
use crate::fs::element::target::ElementRef;
use crate::node::{MapRef, View};
use load::Loader;
use parking_lot::Mutex;
use read::{Extent, Reader};
use std::sync::Arc;

/// `.entries`
pub static ENTRIES: Control = Control {
    name: ".entries",
    rights: Rights::ReadWrite,
    lacks: |map| if map.kind.is_loadable() { None } else { unlisted(map) },
    help: &[
        line_if(
            Facts::lists,
            ".entries",
            "every element, a line of JSON each",
            "cat .entries > FILE",
        ),
        line_if(
            |map| map.kind.is_loadable(),
            ".entries",
            "set elements from such lines",
            "cat FILE > .entries",
        ),
    ],
    open: |open| Ok(Arc::new(EntriesFile::open(open, false)?)),
};

/// Opens `.sum/.entries`: the sums over all CPUs, of every element.
///
/// # Errors
/// EOPNOTSUPP if the elements cannot be listed.
pub fn open_sums(open: &Opening<'_>) -> Result<Arc<dyn OpenFile>> {
    Ok(Arc::new(EntriesFile::open(open, true)?))
}

/// An open `.entries`.
#[derive(Debug)]
pub struct EntriesFile {
    maps: Arc<Maps>,
    at: MapRef,
    /// What there is to read, for who reads.
    extent: Option<Extent>,
    reader: Mutex<Reader>,
    loader: Mutex<Loader>,
}

impl EntriesFile {
    /// Opens a map's `.entries`, or that of the sums over all CPUs.
    ///
    /// # Errors
    /// EPERM to write a frozen map, and to set references for others than the mount's owner;
    /// EOPNOTSUPP if the kind cannot be listed, or written as text.
    fn open(open: &Opening<'_>, sums: bool) -> Result<Self> {
        let Opening { maps, at, map, access, caller, .. } = *open;
        let facts = Facts::of(at, map);
        if access.read
            && let Some(error) = unlisted(&facts)
        {
            return Err(error);
        }
        if access.write {
            if !map.kind.is_loadable() {
                let kind = map.kind.with_article();
                let reason = format!("the elements of {kind} cannot be written as lines");
                return Err(Error::new(libc::EOPNOTSUPP, reason));
            }
            if map.is_frozen() {
                return Err(Error::new(libc::EPERM, "the map is frozen"));
            }
            if map.kind.is_reference() {
                maps.owner.only(caller, "setting references")?;
            }
        }
        let element = map.kind.is_reference().then(|| ElementRef {
            maps: Arc::clone(maps),
            map: at.clone(),
            view: View::Text,
            key: Arc::from([]),
            opener: caller,
        });
        let extent = match access.read {
            true => {
                caller.long_work()?;
                Some(read::extent(map, sums)?)
            }
            false => None,
        };
        let loader = Mutex::new(Loader::new(element));
        let (maps, at) = (Arc::clone(maps), at.clone());
        let reader = Mutex::new(Reader::new(sums));
        Ok(Self { maps, at, extent, reader, loader })
    }
}

impl OpenFile for EntriesFile {
    fn whole(&self) -> Option<&[u8]> {
        match &self.extent {
            Some(Extent::Whole(text)) => Some(text),
            Some(Extent::Bytes(..) | Extent::AtMost(_)) | None => None,
        }
    }

    fn size(&self) -> Option<u64> {
        match &self.extent {
            Some(Extent::Whole(text)) => Some(text.len() as u64),
            Some(Extent::Bytes(size, _) | Extent::AtMost(size)) => Some(*size),
            None => None,
        }
    }

    fn changed(&self) -> Changed {
        match &self.extent {
            Some(Extent::Whole(text)) => Changed::to(text),
            Some(Extent::Bytes(_, changed)) => *changed,
            Some(Extent::AtMost(_)) | None => Changed::Now,
        }
    }

    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        if let Some(text) = self.whole() {
            reply(part(text, offset, size));
            return Ok(());
        }
        let mut reader = self.reader.lock();
        reader.read(&self.maps, &self.at, offset, size, reply)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let mut loader = self.loader.lock();
        let (map, _) = self.maps.open(&self.at)?;
        loader.write(&map, data)?;
        Ok(data.len())
    }

    fn is_long(&self) -> bool {
        true
    }

    fn is_at_rest(&self) -> bool {
        self.loader.lock().is_complete()
    }

    fn release(&self) -> Result<()> {
        let mut loader = self.loader.lock();
        if loader.is_complete() {
            return Ok(());
        }
        let (map, _) = self.maps.open(&self.at)?;
        loader.close(&map)
    }
}

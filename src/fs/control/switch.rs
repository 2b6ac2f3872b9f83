//! Controls that do something when `1` is written to them.

use super::row::Opening;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{OpenFile, part};
use crate::map::Map;
use crate::node::MapRef;
use std::sync::Arc;

/// An open control: the text that reading gives, and what writing `1` does.
#[derive(Debug)]
pub struct Switch {
    maps: Arc<Maps>,
    at: MapRef,
    text: Vec<u8>,
    act: fn(&Map) -> Result<()>,
}

impl Switch {
    /// Opens a control that gives `text`, and does `act` when `1` is written.
    pub fn open(
        open: &Opening<'_>,
        text: Vec<u8>,
        act: fn(&Map) -> Result<()>,
    ) -> Arc<dyn OpenFile> {
        Arc::new(Self { maps: Arc::clone(open.maps), at: open.at.clone(), text, act })
    }
}

impl OpenFile for Switch {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        reply(part(&self.text, offset, size));
        Ok(())
    }

    /// What has begun to change a map is finished, whoever is gone by then.
    fn is_long(&self) -> bool {
        true
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        match data.trim_ascii() {
            b"1" => {
                let (map, _) = self.maps.open(&self.at)?;
                (self.act)(&map)?;
                Ok(data.len())
            }
            // The newline after a `1` that came alone.
            b"" => Ok(data.len()),
            _ => Err(Error::new(libc::EINVAL, "only 1 can be written here")),
        }
    }
}

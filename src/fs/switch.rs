//! Controls that do something when `1` is written to them.

use super::error::{Error, Result};
use super::file::{OpenFile, part};
use super::maps::Maps;
use crate::map::Map;
use crate::node::MapRef;
use std::sync::Arc;

/// An open control: the text that reading gives, and what writing `1` does.
#[derive(Debug)]
pub struct Switch {
    /// Where the map is opened.
    pub maps: Arc<Maps>,
    /// The map.
    pub at: MapRef,
    /// What reading gives.
    pub text: Vec<u8>,
    /// What `1` does.
    pub act: fn(&Map) -> Result<()>,
}

impl OpenFile for Switch {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        reply(part(&self.text, offset, size));
        Ok(())
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

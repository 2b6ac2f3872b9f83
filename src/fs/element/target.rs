//! Which element an open file is of.

use super::text;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::Result;
use crate::fs::base::held::Held;
use crate::fs::base::maps::Maps;
use crate::map::Map;
use crate::node::{MapRef, View};
use std::sync::Arc;

/// Which element, by whom.
#[derive(Debug)]
pub struct ElementRef {
    /// Where the map is opened.
    pub maps: Arc<Maps>,
    /// The map.
    pub map: MapRef,
    /// How it is shown.
    pub view: View,
    /// The key's bytes.
    pub key: Arc<[u8]>,
    /// Who opened it.
    pub opener: Caller,
}

impl ElementRef {
    /// Its text at this moment; `None` if there is no element.
    ///
    /// # Errors
    /// The kernel's.
    pub fn text(&self, map: &Map) -> Result<Option<Held>> {
        let (mut value, mut text) = (Vec::new(), Vec::new());
        if !text::lookup(map, &self.view, &self.key, &mut value)? {
            return Ok(None);
        }
        text::render(map, &self.view, &value, &mut text);
        Ok(Some(Held::by(&self.opener, text)))
    }
}

//! `.count`: how many elements a map has.

use super::row::{Control, Rights, unlisted};
use crate::fs::base::error::Result;
use crate::fs::base::facts::{Facts, line};
use crate::fs::base::open_file::TextFile;
use crate::map::cursor::{Batch, Cursor};
use crate::map::{Listing, Map};
use std::sync::Arc;

/// `.count`
pub static COUNT: Control = Control {
    name: ".count",
    rights: Rights::Read,
    lacks: |map| if has_listed_keys(map) { None } else { unlisted(map) },
    help: &[line(".count", "how many elements there are", "cat .count")],
    open: |open| Ok(Arc::new(TextFile::new(format!("{}\n", count(open.map)?).into_bytes()))),
};

/// Such maps tell their keys even where they do not tell the values. Which indices of others are set,
/// only a look-up could tell.
fn has_listed_keys(map: &Facts) -> bool {
    map.kind.listing == Listing::NextKey
}

/// The kernel keeps no count, so the keys are walked.
fn count(map: &Map) -> Result<u64> {
    if map.kind.is_array() {
        return Ok(map.info.max_entries.into());
    }
    let mut count = 0;
    let mut cursor = Cursor::new(map, false);
    let mut batch = Batch::default();
    loop {
        cursor.next(map, &mut batch)?;
        if batch.count == 0 {
            return Ok(count);
        }
        count += batch.count as u64;
    }
}

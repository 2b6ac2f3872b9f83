//! `.count`: how many elements a map has.

use super::row::{Control, Rights, unlisted};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::Result;
use crate::fs::base::facts::{Facts, line};
use crate::fs::base::open_file::TextFile;
use crate::fs::tree::table;
use crate::map::cursor::{Batch, Cursor};
use crate::map::{Listing, Map};
use std::sync::Arc;

/// `.count`
pub static COUNT: Control = Control {
    name: ".count",
    rights: Rights::Read,
    lacks: |map| if has_listed_keys(map) { None } else { unlisted(map) },
    help: &[line(".count", "how many elements there are", "cat .count")],
    open: |open| {
        open.caller.long_work()?;
        let count = match table::count(&open.map.info, table::counts_for(open.map).as_ref()) {
            Some(count) => count,
            None => walk(open.map, open.caller)?,
        };
        Ok(Arc::new(TextFile::new(format!("{count}\n").into_bytes())))
    },
};

/// Such maps tell their keys even where they do not tell the values. Which indices of others are set,
/// only a look-up could tell.
fn has_listed_keys(map: &Facts) -> bool {
    map.kind.listing == Listing::NextKey
}

/// Where the kernel keeps no count, the keys are walked.
fn walk(map: &Map, caller: Caller) -> Result<u64> {
    let mut count = 0;
    let mut cursor = Cursor::new(map, false);
    let mut batch = Batch::default();
    loop {
        cursor.next(map, &mut batch)?;
        if batch.count == 0 {
            return Ok(count);
        }
        count += batch.count as u64;
        caller.go_on()?;
    }
}

//! `.count`: how many elements a map has.

use super::entries::check_listing;
use super::error::Result;
use crate::map::cursor::{Batch, Cursor};
use crate::map::{Listing, Map};

/// The number and a newline. The kernel keeps no count, so the keys are walked.
///
/// # Errors
/// EOPNOTSUPP if the kind cannot be listed; the kernel's.
pub fn render(map: &Map) -> Result<Vec<u8>> {
    if map.kind.listing != Listing::NextKey {
        // Which indices are set, only a look-up could tell; these tell their keys in any case.
        check_listing(map)?;
    }
    let mut count = 0_u64;
    if map.kind.is_array() {
        count = map.info.max_entries.into();
    } else {
        let mut cursor = Cursor::new(map, false);
        let mut batch = Batch::default();
        loop {
            cursor.next(map, &mut batch)?;
            if batch.count == 0 {
                break;
            }
            count += batch.count as u64;
        }
    }
    Ok(format!("{count}\n").into_bytes())
}

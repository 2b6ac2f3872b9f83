//! Whether another process reads a map's events already.

use crate::fs::base::error::{Error, Result};
use crate::kernel::holders::holders;

/// Refuses to read events that another process may be waiting for: one that has the map open by itself,
/// not only through a program.
///
/// # Errors
/// EBUSY, with that process.
pub(super) fn check(map: u32) -> Result<()> {
    let mut processes = holders()?.all.into_iter();
    match processes.find(|process| process.maps.contains(&map)) {
        Some(process) => {
            let who = format!("process {} ({})", process.pid, process.comm);
            let how = "open it for reading and writing and write `take` to have them all the same";
            Err(Error::new(
                libc::EBUSY,
                format!("{who} has this map open and may read its events: {how}"),
            ))
        }
        None => Ok(()),
    }
}

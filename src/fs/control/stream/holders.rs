//! Whether another process may be reading a map's events already.

use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::kernel::holders::holders;
use crate::sys::processes::Process;
use std::thread;
use std::time::{Duration, Instant};

/// Who holds the map for less than this only looks at it, as bpftool does, or another bpffuse.
const LOOKS: Duration = Duration::from_millis(900);
/// How often that is looked at.
const AGAIN: Duration = Duration::from_millis(60);

/// Refuses to read events that another process may be waiting for: one that has the map open by itself,
/// not only through a program, and keeps it open.
///
/// # Errors
/// EBUSY, with that process; EINTR if the caller is being killed; those of reading /proc.
pub(super) fn check(map: u32, caller: Caller) -> Result<()> {
    let start = Instant::now();
    while let Some(holder) = holder(map, caller)? {
        if start.elapsed() > LOOKS {
            let reason = format!(
                "process {} ({}) has this map open and may read its events; to take them from it, open \
                 this for reading and writing, write `take`, and read",
                holder.pid, holder.comm
            );
            return Err(Error::new(libc::EBUSY, reason));
        }
        caller.go_on()?;
        thread::sleep(AGAIN);
    }
    Ok(())
}

fn holder(map: u32, caller: Caller) -> Result<Option<Process>> {
    let mut holding = holders()?.all.into_iter();
    Ok(holding.find(|process| process.maps.contains(&map) && !caller.is_of(process.pid)))
}

//! `.unpin`: removes a pin, and nothing else. What uses the map goes on, elements and all.

use super::row::{Control, Rights};
use super::switch::Switch;
use crate::fs::base::caller::{Caller, Groups};
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::line;
use crate::fs::base::maps::Maps;
use crate::node::MapRef;

/// `.unpin`
pub static UNPIN: Control = Control {
    name: ".unpin",
    rights: Rights::Write,
    lacks: |map| (!map.is_pinned).then(no_pin),
    help: &[line(".unpin", "1 removes this pin; who uses the map goes on", "echo 1 > .unpin")],
    open: |open| Ok(Switch::open(open, Vec::new(), unpin)),
};

/// Removes the pin with the caller's rights in its directory, as rm(1) does.
fn unpin(maps: &Maps, at: &MapRef, caller: Caller) -> Result<()> {
    let MapRef::Pin(pin) = at else { return Err(no_pin()) };
    if !caller.may(&maps.bpffs.dir_stat(pin)?, 0o3, &Groups::new())? {
        return Err(Error::new(libc::EACCES, "the directory's mode forbids to remove a pin"));
    }
    maps.as_caller(caller, || Ok(maps.bpffs.unlink(pin)?))?;
    maps.close(at);
    Ok(())
}

fn no_pin() -> Error {
    Error::new(libc::ENOENT, "the map was not reached by a pin")
}

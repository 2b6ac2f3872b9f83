//! Whether a mount answers, for who watches over it and has no other program: an image has none.

use super::{Error, checks};
use crate::sys::describe;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long an answer may take. Reading the help is the work of a moment, unless all threads wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the mount for its help, as a user would.
///
/// # Errors
/// If it is none of ours, is dead, or does not answer in time.
pub(super) fn answers(mountpoint: &Path) -> Result<(), Error> {
    let (tell, told) = mpsc::channel();
    let path = mountpoint.to_owned();
    // In a thread of its own, which ends with the process however long it waits.
    let asks = move || tell.send(ask(&path));
    thread::Builder::new().spawn(asks).map_err(|error| super::serve::no_thread(&error))?;
    told.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let shown = mountpoint.display();
        Err(Error(format!("{shown}: no answer within {} seconds", PATIENCE.as_secs())))
    })
}

fn ask(mountpoint: &Path) -> Result<(), Error> {
    let shown = mountpoint.display();
    match fs::read_to_string(mountpoint.join(".help")) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            return Err(Error(format!("{shown}: the mount is dead; start bpffuse on it again")));
        }
        Err(error) => {
            return Err(Error(format!("{shown}: no .help to read: {}", describe(&error))));
        }
        Ok(_) => {}
    }
    match checks::mounted(mountpoint)?.as_deref() {
        Some("fuse.bpffuse") => Ok(()),
        Some(_) | None => Err(Error(format!("{shown}: bpffuse is not mounted here"))),
    }
}

//! Whether a mount answers, for who watches over it and has no other program: an image has none.

use super::{Error, checks, let_go_of_stdio, serve};
use crate::sys::describe;
use crate::sys::os::{self, Fork};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long an answer may take. Reading the help is the work of a moment, unless all threads wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the process that asks reports if all is well: no error's text.
const ANSWERED: &str = "";

/// Asks the mount for its help, as a user would.
///
/// # Errors
/// If it is none of ours, is dead, or does not answer in time.
pub(super) fn answers(mountpoint: &Path) -> Result<(), Error> {
    // Once the daemon has taken a request, nothing ends the process that waits for its answer, not even
    // SIGKILL. So that is another one, which holds nothing that others wait for.
    let mut report = match os::fork_daemon().map_err(|error| serve::no_thread(&error.into()))? {
        Fork::Parent(report) => report,
        Fork::Child(mut report) => {
            os::end_with_parent();
            let outcome = let_go_of_stdio().and_then(|()| ask(mountpoint));
            let text = outcome.map_or_else(|error| error.0, |()| ANSWERED.to_owned());
            // Its end, too, tells that there is an answer.
            let _ = report.write_all(format!("{text}\n").as_bytes());
            std::process::exit(0);
        }
    };
    let (tell, told) = mpsc::channel();
    let listens = move || {
        let mut text = String::new();
        let _ = report.read_to_string(&mut text);
        tell.send(text)
    };
    thread::Builder::new().spawn(listens).map_err(|error| serve::no_thread(&error))?;
    match told.recv_timeout(PATIENCE).ok().as_deref().and_then(|text| text.strip_suffix('\n')) {
        Some(ANSWERED) => Ok(()),
        Some(error) => Err(Error(error.to_owned())),
        None => {
            let shown = mountpoint.display();
            Err(Error(format!("{shown}: no answer within {} seconds", PATIENCE.as_secs())))
        }
    }
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

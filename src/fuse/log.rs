//! What `-v` and `-vv` show of operations that were done; those refused, [`crate::fs::refusals`] logs.
//!
//! Nothing is put together where nobody reads it: each request comes by here.

use crate::fs::{Caller, Fs, refusals};
use fuser::INodeNo;
use log::{Level, LevelFilter, log, max_level};
use std::ffi::OsStr;

/// Operations that change something: `-v` shows them, and those refused, `-vv` all others as well.
const CHANGES: &[&str] = &["setattr", "mkdir", "unlink", "rmdir", "symlink", "create", "write"];

/// Parts of a path that cannot be read without taking something away.
const TAKING: &[&str] = &["/.pop", "/.stream"];

/// Logs that `operation` was done.
pub(super) fn done(
    fs: &Fs,
    operation: &'static str,
    caller: Caller,
    ino: INodeNo,
    name: Option<&OsStr>,
) {
    if max_level() < LevelFilter::Info {
        return;
    }
    let is_change = CHANGES.contains(&operation);
    if max_level() == LevelFilter::Info && !is_change && operation != "open" {
        return;
    }
    let path = fs.path(ino.0, name);
    let takes = operation == "open" && TAKING.iter().any(|part| path.contains(part));
    let level = if is_change || takes { Level::Info } else { Level::Debug };
    log!(level, "{}", refusals::operation(caller.pid, caller.uid, operation, &path));
}

/// Logs that what was `from` is `to` now.
pub(super) fn renamed(fs: &Fs, caller: Caller, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr)) {
    let path = |(dir, name): (INodeNo, &OsStr)| fs.path(dir.0, Some(name));
    let Caller { pid, uid, .. } = caller;
    log::info!(
        "{} to {}",
        refusals::operation(pid, uid, "rename", &path(from)),
        refusals::one_word(&path(to))
    );
}

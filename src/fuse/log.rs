//! What `-v` and `-vv` show of operations that were done; those refused, [`crate::fs::base::refusals`]
//! logs.
//!
//! Nothing is put together where nobody reads it: each request comes by here.

use crate::fs::base::journal;
use crate::fs::{Caller, Fs, Ino, Op};
use log::{Level, LevelFilter, max_level};
use std::ffi::OsStr;

/// Logs that an operation was done: `-v` shows what changes something, `-vv` all others as well.
pub(super) fn done(fs: &Fs, op: Op, caller: Caller, ino: Ino, name: Option<&OsStr>) {
    if max_level() < LevelFilter::Info {
        return;
    }
    let changes = op.changes() || (op == Op::Open && fs.takes(ino));
    let level = if changes { Level::Info } else { Level::Debug };
    if max_level() >= level {
        journal::log(caller.uid, level, &journal::words(caller, op, &fs.path(ino, name)));
    }
}

/// Logs that what was `from` is `to` now.
pub(super) fn renamed(fs: &Fs, caller: Caller, from: (Ino, &OsStr), to: (Ino, &OsStr)) {
    if max_level() < LevelFilter::Info {
        return;
    }
    let path = |(dir, name): (Ino, &OsStr)| fs.path(dir, Some(name));
    let from = journal::words(caller, Op::Rename, &path(from));
    let line = format!("{from} to {}", journal::one_word(&path(to)));
    journal::log(caller.uid, Level::Info, &line);
}

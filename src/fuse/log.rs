//! What `-v` and `-vv` show of operations that were done; those refused, [`crate::fs::base::refusals`]
//! logs.
//!
//! Nothing is put together where nobody reads it: each request comes by here.

use crate::fs::base::journal;
use crate::fs::base::open_file::Change;
use crate::fs::{Caller, Fs, Ino, Op};
use log::{Level, LevelFilter, max_level};
use std::ffi::OsStr;

/// Logs that an operation was done: `-v` shows what changes something, `-vv` all others as well.
pub(super) fn done(fs: &Fs, op: Op, caller: Caller, ino: Ino, name: Option<&OsStr>) {
    // A rename is logged with both of its names.
    if max_level() < LevelFilter::Info || op == Op::Rename {
        return;
    }
    let changes = op.changes() || (op == Op::Open && fs.takes(ino));
    let level = if changes { Level::Info } else { Level::Debug };
    if max_level() >= level {
        journal::log(caller.uid, level, &journal::words(caller, op, &fs.path(ino, name)));
    }
}

/// Logs a write, with what it has replaced by what if that is known. A value comes with the write that
/// completes it, or with the close.
pub(super) fn written(fs: &Fs, caller: Caller, ino: Ino, change: Option<Change>) {
    let Some(Change { old, new }) = change else { return done(fs, Op::Write, caller, ino, None) };
    let word = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        journal::one_word(text.strip_suffix('\n').unwrap_or(&text))
    };
    let old = old.map_or_else(|| "none".to_owned(), |old| word(&old));
    let line = journal::words(caller, Op::Write, &fs.path(ino, None));
    journal::log(caller.uid, Level::Info, &format!("{line} old={old} new={}", word(&new)));
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

//! `/.errors`: the last refused operations, so that a shell's bare "Invalid argument" has a reason.

use super::caller::Caller;
use super::error::{Error, errno_name};
use super::journal;
use super::operation::Op;
use jiff::Timestamp;
use log::Level;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write};

/// Lines kept.
const KEPT: usize = 64;
/// Characters of a reason at most: some repeat what was written.
const REASON: usize = 1024;

#[derive(Debug)]
struct Refusal {
    time: Timestamp,
    /// Who, what and where.
    words: String,
    errno: i32,
    reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.words, errno_name(self.errno), self.reason)
    }
}

/// The last refused operations. A name that is simply not there was refused by nobody: the log has
/// it, if it is asked for much.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: VecDeque<Refusal>,
    /// How many there were, by errno.
    counts: BTreeMap<i32, u64>,
}

impl Refusals {
    /// Remembers a refusal.
    pub fn record(&self, op: Op, caller: Caller, path: &str, error: &Error) {
        let is_miss = error.is_miss && (op == Op::Lookup || error.errno == libc::ESTALE);
        let level = if is_miss { Level::Debug } else { Level::Info };
        if is_miss && log::max_level() < level {
            return;
        }
        let new = Refusal {
            time: Timestamp::now(),
            words: journal::words(caller, op, path),
            errno: error.errno,
            reason: on_one_line(&error.reason),
        };
        journal::log(caller.uid, level, &new);
        if is_miss {
            return;
        }
        let mut kept = self.0.lock();
        *kept.counts.entry(new.errno).or_default() += 1;
        if kept.last.len() == KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(new);
    }

    /// How many there were since the start, by errno.
    pub fn counts(&self) -> BTreeMap<i32, u64> {
        self.0.lock().counts.clone()
    }

    /// One line each, newest last: time, pid, uid, operation, path, errno, reason.
    pub fn render(&self) -> Vec<u8> {
        let kept = self.0.lock();
        let mut text = String::new();
        for old in &kept.last {
            // Writing to a String cannot fail. RFC 3339 in UTC, to the millisecond.
            let _ = writeln!(text, "{:.3} {old}", old.time);
        }
        text.into_bytes()
    }
}

/// A reason without line ends, its end cut off if it is long.
fn on_one_line(reason: &str) -> String {
    let whole = |c: char| if c.is_control() { ' ' } else { c };
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => reason[..end].chars().map(whole).chain("...".chars()).collect(),
        None => reason.chars().map(whole).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(pid: u32) -> Caller {
        Caller { pid, uid: 0, gid: 0, is_owner: true, beside: false }
    }

    #[test]
    fn what_is_not_there_was_not_refused() {
        let refusals = Refusals::default();
        let refusal = Error::new(libc::EINVAL, "no\nway");
        refusals.record(Op::Write, caller(1), "/kept", &refusal);
        for n in 0..100 {
            refusals.record(Op::Lookup, caller(1), &format!("/{n}"), &Error::missing("none"));
        }
        refusals.record(Op::Lookup, caller(1), "/h/x", &Error::new(libc::ENOENT, "no key"));
        let text = String::from_utf8(refusals.render()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with("Z pid=1 uid=0 write /kept EINVAL: no way"), "{text}");
        assert!(lines[1].ends_with("lookup /h/x ENOENT: no key"), "{text}");
        assert_eq!(lines[0].find('Z'), Some("2026-11-23T03:01:13.000".len()));
    }

    #[test]
    fn the_oldest_give_way() {
        let refusals = Refusals::default();
        for n in 0..100 {
            let error = Error::new(libc::EINVAL, "r".repeat(5000));
            refusals.record(Op::Open, caller(n), "/x", &error);
        }
        let text = String::from_utf8(refusals.render()).unwrap();
        assert_eq!(text.lines().count(), KEPT);
        assert!(text.lines().last().unwrap().contains("pid=99 "));
        assert!(text.len() < KEPT * (REASON + 100));
    }
}

//! `/.errors`: the last refused operations, so that a shell's bare "Invalid argument" has a reason.

use super::error::{Error, errno_name};
use log::Level;
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines kept.
const KEPT: usize = 64;

#[derive(Debug)]
struct Refusal {
    time: SystemTime,
    pid: u32,
    uid: u32,
    operation: &'static str,
    path: String,
    error: Error,
}

impl Refusal {
    /// A look-up that found nothing: what every shell does before it creates a file.
    fn is_miss(&self) -> bool {
        self.operation == "lookup" && self.error.errno == libc::ENOENT
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, uid, operation: name, path, error, .. } = self;
        write!(f, "{} {}", operation(*pid, *uid, name, path), in_words(error))
    }
}

/// The last refused operations. Look-ups that found nothing are kept as well, but make way first.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    /// Remembers a refusal.
    pub fn record(&self, operation: &'static str, pid: u32, uid: u32, path: String, error: &Error) {
        let new =
            Refusal { time: SystemTime::now(), pid, uid, operation, path, error: error.clone() };
        let level = if new.is_miss() { Level::Debug } else { Level::Info };
        log::log!(level, "{new}");
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if new.is_miss()
            && let Some(at) = kept
                .iter()
                .position(|old| old.is_miss() && old.pid == new.pid && old.path == new.path)
        {
            // A program that polls for a key fills one line, not all.
            kept.remove(at);
        }
        if kept.len() == KEPT {
            let victim = kept.iter().position(Refusal::is_miss).unwrap_or(0);
            kept.remove(victim);
        }
        kept.push_back(new);
    }

    /// Forgets that a look-up found nothing, since the caller has now created what was not there.
    pub fn created(&self, pid: u32, path: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|old| !(old.is_miss() && old.pid == pid && old.path == path));
    }

    /// One line each, newest last: time, pid, uid, operation, path, errno, reason.
    pub fn render(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for old in kept.iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {old}", utc(old.time));
        }
        text.into_bytes()
    }
}

/// Who did what, as words of one line.
pub fn operation(pid: u32, uid: u32, name: &str, path: &str) -> String {
    format!("pid={pid} uid={uid} {name} {}", one_word(path))
}

/// The errno's name and the reason, on one line.
fn in_words(error: &Error) -> String {
    let reason = error.reason.replace(|c: char| c.is_control(), " ");
    format!("{}: {reason}", errno_name(error.errno))
}

/// A path as one word of one line: white space and control characters as `\xNN`.
pub fn one_word(path: &str) -> String {
    let mut word = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_control() || c.is_whitespace() || c == '\\' {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                let _ = write!(word, "\\x{byte:02x}");
            }
        } else {
            word.push(c);
        }
    }
    word
}

/// RFC 3339 in UTC, to the millisecond.
fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        since.subsec_millis()
    )
}

/// The date of a day counted from 1970-01-01, in years that start in March (which puts the leap
/// day last).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_402_873), "2026-11-23T03:01:13.000Z");
    }

    #[test]
    fn refusals_outlast_misses() {
        let refusals = Refusals::default();
        let refusal = Error::new(libc::EINVAL, "no");
        refusals.record("write", 1, 0, "/kept".into(), &refusal);
        for n in 0..100 {
            let miss = Error::new(libc::ENOENT, "none");
            refusals.record("lookup", 1, 0, format!("/{n}"), &miss);
        }
        let text = String::from_utf8(refusals.render()).unwrap();
        assert_eq!(text.lines().count(), KEPT);
        assert!(text.contains("write /kept EINVAL: no"), "{text}");
        assert!(text.lines().last().unwrap().contains(" /99 "));
    }

    #[test]
    fn what_was_created_was_not_refused() {
        let refusals = Refusals::default();
        let miss = Error::new(libc::ENOENT, "none");
        refusals.record("lookup", 1, 0, "/h/1".into(), &miss);
        refusals.record("lookup", 2, 0, "/h/1".into(), &miss);
        refusals.created(1, "/h/1");
        let text = String::from_utf8(refusals.render()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("pid=2"));
    }

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(one_word("/a b\n\\"), "/a\\x20b\\x0a\\x5c");
    }
}

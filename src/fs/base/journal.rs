//! Lines of the log about what programs asked: short, and so many at most for each user and second,
//! so that none can fill a disk.

use super::caller::Caller;
use super::operation::Op;
use log::Level;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::time::{Duration, Instant};

/// Lines in a second at most for each user but root, whose log it is.
const LINES: u32 = 50;
const SECOND: Duration = Duration::from_secs(1);
/// Characters of a path that are shown at most.
const PATH: usize = 256;

/// How many lines a user has had in the second that began then.
#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    left_out: u32,
}

/// By uid; users of whom nothing was heard for a second are forgotten.
static WINDOWS: Mutex<Option<HashMap<u32, Window>>> = Mutex::new(None);

/// Logs a line about a user, or counts it as left out.
pub fn log(uid: u32, level: Level, line: &dyn Display) {
    if level > log::max_level() {
        return;
    }
    if uid == 0 {
        return log::log!(level, "{line}");
    }
    let (write, left_out) = allow(&mut WINDOWS.lock(), uid, Instant::now());
    if left_out > 0 {
        log::warn!("uid={uid}: {left_out} more lines left out");
    }
    if write {
        log::log!(level, "{line}");
    }
}

/// Whether a line may be written, and how many the last second left out, to be told of first.
fn allow(windows: &mut Option<HashMap<u32, Window>>, uid: u32, now: Instant) -> (bool, u32) {
    let windows = windows.get_or_insert_default();
    let mut told = 0;
    windows.retain(|of, window| {
        let over = now.duration_since(window.began) >= SECOND;
        if over && *of == uid {
            told = window.left_out;
        }
        // A number that was left out is told with the next line of that user.
        !over || (*of != uid && window.left_out > 0)
    });
    let window = windows.entry(uid).or_insert(Window { began: now, lines: 0, left_out: 0 });
    if window.lines < LINES {
        window.lines += 1;
        (true, told)
    } else {
        window.left_out += 1;
        (false, told)
    }
}

/// Who did what, as words of one line.
pub fn words(caller: Caller, op: Op, path: &str) -> String {
    format!("pid={} uid={} {} {}", caller.pid, caller.uid, op.name(), one_word(path))
}

/// A path as one word of one line: white space and control characters as `\xNN`, its middle left
/// out if it is long.
pub fn one_word(path: &str) -> String {
    let mut word = String::with_capacity(path.len().min(2 * PATH));
    let count = path.chars().count();
    for (n, c) in path.chars().enumerate() {
        if count > PATH && n == PATH / 2 {
            word.push_str("...");
        }
        if count > PATH && (PATH / 2..count - PATH / 2).contains(&n) {
            continue;
        }
        if c.is_control() || c.is_whitespace() || c == '\\' {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(word, "\\x{byte:02x}");
            }
        } else {
            word.push(c);
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_short_word() {
        assert_eq!(one_word("/a b\n\\"), "/a\\x20b\\x0a\\x5c");
        let long = format!("/h/{}/end", "x".repeat(4000));
        let word = one_word(&long);
        assert_eq!(word.len(), PATH + 3);
        assert!(word.starts_with("/h/xx") && word.ends_with("xx/end"), "{word}");
    }

    #[test]
    fn each_user_has_so_many_lines_a_second() {
        let mut windows = None;
        let start = Instant::now();
        let written = (0..LINES + 7).filter(|_| allow(&mut windows, 1, start).0).count();
        assert_eq!(written, LINES as usize);
        assert_eq!(allow(&mut windows, 2, start), (true, 0), "others have their own");
        assert_eq!(allow(&mut windows, 1, start + SECOND), (true, 7));
        assert_eq!(allow(&mut windows, 1, start + SECOND), (true, 0));
    }
}

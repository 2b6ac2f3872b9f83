//! Since when a text is what it is, as far as was seen.

use super::table::{Ino, InoHash};
use std::collections::HashMap;
use std::time::SystemTime;

/// Of so many nodes of one shard the times are kept, at most twice, when the kernel forgets them.
const KEPT: usize = 1 << 10;

/// What a node's text was when it was last looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    seen: Option<Seen>,
    /// When it was written here, since then.
    written: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The text's hash.
    text: u64,
    since: SystemTime,
}

impl Times {
    /// Since when the text with this hash is there: of one never looked at, since now.
    pub(super) fn since(&mut self, text: u64) -> SystemTime {
        let written = self.written.take();
        match self.seen {
            Some(seen) if seen.text == text => seen.since,
            _ => {
                let since = written.unwrap_or_else(SystemTime::now);
                self.seen = Some(Seen { text, since });
                since
            }
        }
    }

    /// Since when it has the text that it had when it was last looked at.
    pub(super) fn told(&self) -> Option<SystemTime> {
        self.seen.map(|seen| seen.since)
    }

    /// Notes that it was written to now.
    pub(super) fn write(&mut self) {
        self.written = Some(SystemTime::now());
    }

    fn is_known(&self) -> bool {
        self.seen.is_some() || self.written.is_some()
    }
}

/// The times of nodes that the kernel has forgotten, and may ask for again in a moment: it forgets names
/// when anything changes in bpffs, and rsync(1) and make(1) go by times.
#[derive(Debug, Default)]
pub(super) struct PastTimes {
    recent: HashMap<Ino, Times, InoHash>,
    /// Those before; they go when there are as many recent ones.
    older: HashMap<Ino, Times, InoHash>,
}

impl PastTimes {
    /// Keeps those of a node, if there are any.
    pub(super) fn keep(&mut self, number: Ino, times: Times) {
        if !times.is_known() {
            return;
        }
        if self.recent.len() >= KEPT {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(number, times);
    }

    /// Takes out those of a node that is known again.
    pub(super) fn take(&mut self, number: Ino) -> Times {
        let older = self.older.remove(&number);
        self.recent.remove(&number).or(older).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept() {
        let mut past = PastTimes::default();
        let count = 5 * KEPT as u64;
        for n in 0..count {
            let mut times = Times::default();
            times.since(n);
            past.keep(Ino(n), times);
        }
        past.keep(Ino(count), Times::default());
        let kept = (0..=count).filter(|n| past.take(Ino(*n)).told().is_some()).count();
        assert_eq!(kept, 2 * KEPT);
        assert!(past.recent.is_empty() && past.older.is_empty());
    }

    #[test]
    fn the_last_of_two_counts() {
        let mut past = PastTimes::default();
        let mut times = Times::default();
        let first = times.since(1);
        past.keep(Ino(7), times);
        (0..KEPT as u64).for_each(|n| past.keep(Ino(100 + n), times));
        times.write();
        let second = times.since(2);
        past.keep(Ino(7), times);
        let mut kept = past.take(Ino(7));
        assert_eq!((kept.told(), kept.since(2)), (Some(second), second));
        assert!(first < second && past.take(Ino(7)).told().is_none());
    }
}

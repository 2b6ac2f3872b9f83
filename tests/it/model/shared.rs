//! Keys that all threads and another process change at once: each outcome must be possible.

use super::WORKERS;
use super::keys::Ledger;
use super::plan::{KEYS, Map, Sort};
use super::worker::{At, Worker};
use crate::common::errno::write_with;
use libc::{EEXIST, ENOENT, O_CREAT, O_EXCL, O_TRUNC};
use std::fmt::Debug;
use std::fs;
use std::io;

/// A number whose low byte follows from the others, so that one which nobody wrote is seen.
fn checked(number: u64) -> u64 {
    let high = number & !0xff;
    high | (high % 251)
}

/// Fails unless an operation worked or was refused with one of these errnos. True if it worked.
#[track_caller]
fn possible<T: Debug>(outcome: &io::Result<T>, errnos: &[i32], what: &str) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) if error.raw_os_error().is_some_and(|errno| errnos.contains(&errno)) => false,
        Err(error) => panic!("{what}: {error}, which no order of operations gives"),
    }
}

/// Fails unless a text is one that somebody wrote.
fn check_text(map: &Map, text: &str, what: &str) {
    assert!(!text.is_empty(), "{what}: a present element without text");
    let mut lines = 0;
    for line in text.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).expect("one JSON document a line");
        let number = value.as_u64().or_else(|| value["packets"].as_u64()).expect("a number");
        let mut slot = vec![0; map.shape.size()];
        slot[..8].copy_from_slice(&number.to_ne_bytes());
        assert_eq!(line, map.shape.json(&slot), "{what}: nobody wrote the other members");
        // A hash table gives a deleted element's memory to the next key while somebody still reads
        // it, and an array's value is written in place, in pieces of any size: at times bpf(2)
        // itself shows another key's value, or bytes of two.
        if map.sort == Sort::Trie {
            assert_eq!(number, checked(number), "{what}: nobody wrote this");
        }
        lines += 1;
    }
    assert_eq!(lines, map.cpus.unwrap_or(1), "{what}: a line for each CPU");
}

impl Worker<'_> {
    /// An operation on a shared key.
    pub(super) fn shared(&mut self) {
        let maps = &self.run.plan.maps;
        // One key is much more in demand than the others, so that operations on it do overlap.
        let hot = self.random.one_in(3);
        let at = loop {
            if hot {
                break At { map: 0, key: Ledger::HOT };
            }
            let map = self.random.below(maps.len());
            if maps[map].owner.is_none() {
                break At { map, key: self.random.below(KEYS) };
            }
        };
        let map = self.map(at);
        let key = super::keys::Key::new(map.naming, WORKERS, at.key);
        let path = self.run.bed.mnt.join(&map.name).join(&key.name);
        let number = checked(self.random.u64());
        let text = match map.shape {
            super::texts::Shape::Number => format!("{number}\n"),
            super::texts::Shape::Stats => format!("{{\"packets\":{number}}}\n"),
        };
        let kept = Ledger::has(map, at.key);
        let what = self.random.below(if kept { 5 } else { 9 });
        let message = format!("operation {what} on shared {}/{}", map.name, key.name);
        self.run.doing(self.number, message.clone());
        let array = map.sort == Sort::Array;
        let absent: &[i32] = if array { &[] } else { &[ENOENT] };
        match what {
            0 => {
                let outcome = fs::read_to_string(&path);
                if possible(&outcome, absent, &message) && !kept {
                    check_text(map, &outcome.unwrap(), &message);
                }
            }
            1 => {
                let outcome = fs::metadata(&path);
                possible(&outcome, absent, &message);
            }
            2 => {
                let outcome = write_with(&path, O_CREAT | O_EXCL, text.as_bytes());
                if possible(&outcome, &[EEXIST], &message) {
                    assert!(!array, "{message}: made what is always there");
                    self.ledger(at, kept, 1);
                }
            }
            3 => {
                let outcome = fs::remove_file(&path);
                let refused = if array { libc::EPERM } else { ENOENT };
                if possible(&outcome, &[refused], &message) {
                    self.ledger(at, kept, -1);
                }
            }
            4 => {
                let pop = self.run.bed.mnt.join(&map.name).join(".pop").join(&key.name);
                let outcome = fs::read_to_string(pop);
                let refused = if map.sort == Sort::Hash { ENOENT } else { libc::EOPNOTSUPP };
                if possible(&outcome, &[refused], &message) {
                    self.ledger(at, kept, -1);
                }
            }
            5 | 6 => {
                let outcome = write_with(&path, O_CREAT | O_TRUNC, text.as_bytes());
                possible(&outcome, &[], &message);
            }
            7 => {
                let outcome = write_with(&path, 0, text.as_bytes());
                possible(&outcome, absent, &message);
            }
            _ => {
                let raw = self.run.bed.mnt.join(&map.name).join(".raw").join(key.hex());
                let outcome = fs::read(raw);
                if possible(&outcome, absent, &message) {
                    assert_eq!(outcome.unwrap().len(), map.value_len(), "{message}");
                }
            }
        }
    }

    fn ledger(&self, at: At, kept: bool, change: i64) {
        if kept {
            self.run.ledger.add(at.map, at.key, change);
        }
    }
}

//! What was renamed through the mount: who has a map or directory open, or as their working directory,
//! goes on with it under its new name, as in any file system.

use parking_lot::RwLock;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Renames remembered at most: what was moved earlier is found by its new name alone.
const MOST: usize = 64;

/// The last renames, newest last.
#[derive(Debug, Default)]
pub(super) struct Renames {
    list: RwLock<VecDeque<Rename>>,
    /// Whether there are any: else nothing need be locked.
    any: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
struct Rename {
    from: PathBuf,
    to: PathBuf,
    /// Whether what was at `to` is at `from` since.
    exchange: bool,
}

impl Rename {
    /// Where this took what was at `path`, if it took it anywhere.
    fn step(&self, path: &Path) -> Option<PathBuf> {
        let step = |from: &Path, to: &Path| match path.strip_prefix(from).ok()? {
            below if below.as_os_str().is_empty() => Some(to.to_owned()),
            below => Some(to.join(below)),
        };
        let back = || self.exchange.then(|| step(&self.to, &self.from)).flatten();
        step(&self.from, &self.to).or_else(back)
    }
}

impl Renames {
    /// Remembers a rename that was done.
    pub(super) fn record(&self, from: PathBuf, to: PathBuf, exchange: bool) {
        let mut list = self.list.write();
        let new = Rename { from, to, exchange };
        // Some programs replace the same pin over and over.
        list.retain(|old| *old != new);
        if list.len() == MOST {
            list.pop_front();
        }
        list.push_back(new);
        self.any.store(true, Ordering::Release);
    }

    /// Every path where something may be now that was at `path` when it was looked up. When that was
    /// is not known, so any of the renames may have been the first to move it.
    pub(super) fn candidates(&self, path: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if !self.any.load(Ordering::Acquire) {
            return found;
        }
        let list = self.list.read();
        for (start, first) in list.iter().enumerate() {
            let Some(moved) = first.step(path) else { continue };
            let later = list.iter().skip(start + 1);
            let now = later.fold(moved, |path, rename| rename.step(&path).unwrap_or(path));
            if now != path && !found.contains(&now) {
                found.push(now);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renames(list: &[(&str, &str, bool)]) -> Renames {
        let renames = Renames::default();
        for (from, to, exchange) in list {
            renames.record(from.into(), to.into(), *exchange);
        }
        renames
    }

    #[test]
    fn what_lies_below_moves_too() {
        let renames = renames(&[("/b/a", "/b/c", false), ("/b/c/d", "/b/e", false)]);
        assert_eq!(renames.candidates(Path::new("/b/a")), [Path::new("/b/c")]);
        assert_eq!(renames.candidates(Path::new("/b/a/d/m")), [Path::new("/b/e/m")]);
        assert!(renames.candidates(Path::new("/b/ab")).is_empty());
    }

    #[test]
    fn a_name_may_have_been_used_twice() {
        let renames = renames(&[("/a", "/b", false), ("/a", "/c", false)]);
        assert_eq!(renames.candidates(Path::new("/a")), [Path::new("/b"), Path::new("/c")]);
    }

    #[test]
    fn there_and_back() {
        let renames = renames(&[("/a", "/b", false), ("/b", "/a", false), ("/x", "/y", true)]);
        assert_eq!(renames.candidates(Path::new("/b")), [Path::new("/a")]);
        assert_eq!(renames.candidates(Path::new("/y/1")), [Path::new("/x/1")]);
    }
}

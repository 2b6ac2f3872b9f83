//! What was renamed through the mount: who has a map or directory open, or as their working directory,
//! goes on with it under its new name, as in any file system.
//!
//! Kept is where each renamed inode is now, however often it was renamed, so that whoever renames one
//! thing again and again makes nothing else forgotten. What lies below a renamed directory is found by
//! the paths that the directory had.

use parking_lot::RwLock;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Inodes remembered at most. Beyond, the one is forgotten that was renamed longest ago by who has
/// renamed most: it is found by its new name alone.
const MOST: usize = 4096;
/// Paths remembered at most that a directory had: the first, and the last ones.
const PATHS: usize = 32;

/// Where the renamed inodes are, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Renames {
    list: RwLock<List>,
    /// Whether there are any: else nothing need be locked.
    any: AtomicBool,
}

#[derive(Debug, Default)]
struct List {
    moved: HashMap<u64, Moved>,
    /// Of the last rename.
    number: u64,
}

#[derive(Debug)]
struct Moved {
    now: PathBuf,
    /// The paths that it had, oldest first, if it is a directory.
    was: Option<Vec<PathBuf>>,
    uid: u32,
    number: u64,
}

/// What was renamed, as it was found under its new name.
#[derive(Debug)]
pub(super) struct Renamed<'a> {
    pub(super) ino: u64,
    pub(super) is_dir: bool,
    pub(super) from: &'a Path,
    pub(super) to: &'a Path,
}

/// `path`, if it is `from` or below it, as it is with `to` in the place of `from`.
fn step(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    match path.strip_prefix(from).ok()? {
        below if below.as_os_str().is_empty() => Some(to.to_owned()),
        below => Some(to.join(below)),
    }
}

impl Renames {
    /// Remembers a rename that was done for a user; two, if one changed places with the other.
    pub(super) fn record(&self, uid: u32, renamed: &[Renamed<'_>]) {
        let mut list = self.list.write();
        // What was renamed before, and lies below.
        for moved in list.moved.values_mut() {
            let steps = renamed.iter().find_map(|new| step(&moved.now, new.from, new.to));
            moved.now = steps.unwrap_or_else(|| std::mem::take(&mut moved.now));
        }
        for new in renamed {
            list.number += 1;
            let number = list.number;
            let moved = list.moved.entry(new.ino).or_insert_with(|| Moved {
                now: PathBuf::new(),
                was: new.is_dir.then(Vec::new),
                uid,
                number,
            });
            (moved.uid, moved.number) = (uid, number);
            new.to.clone_into(&mut moved.now);
            if let Some(was) = &mut moved.was
                && !was.iter().any(|path| path == new.from)
            {
                if was.len() == PATHS {
                    was.remove(PATHS / 2);
                }
                was.push(new.from.to_owned());
            }
        }
        while list.moved.len() > MOST {
            list.forget_one();
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether anything was ever renamed.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Every path where an inode may be now that was at `path` when it was looked up.
    pub(super) fn candidates(&self, path: &Path, ino: u64) -> Vec<PathBuf> {
        if !self.any() {
            return Vec::new();
        }
        let list = self.list.read();
        if let Some(moved) = list.moved.get(&ino) {
            return vec![moved.now.clone()];
        }
        let mut found: Vec<PathBuf> = Vec::new();
        for moved in list.moved.values() {
            for was in moved.was.iter().flatten() {
                if let Some(now) = step(path, was, &moved.now)
                    && now != path
                    && !found.contains(&now)
                {
                    found.push(now);
                }
            }
        }
        found
    }
}

impl List {
    fn forget_one(&mut self) {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for moved in self.moved.values() {
            *counts.entry(moved.uid).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(uid, _)| uid);
        let theirs = self.moved.iter().filter(|(_, moved)| Some(moved.uid) == most);
        let oldest = theirs.min_by_key(|(_, moved)| moved.number).map(|(ino, _)| *ino);
        oldest.and_then(|ino| self.moved.remove(&ino));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(renames: &Renames, ino: u64, is_dir: bool, from: &str, to: &str) {
        let (from, to) = (Path::new(from), Path::new(to));
        renames.record(0, &[Renamed { ino, is_dir, from, to }]);
    }

    fn now(renames: &Renames, path: &str, ino: u64) -> Vec<String> {
        let found = renames.candidates(Path::new(path), ino);
        found.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn what_lies_below_moves_too() {
        let renames = Renames::default();
        rename(&renames, 7, true, "/b/a", "/b/c");
        rename(&renames, 8, true, "/b/c/d", "/b/e");
        assert_eq!(now(&renames, "/b/a", 7), ["/b/c"]);
        assert_eq!(now(&renames, "/b/a/m", 9), ["/b/c/m"]);
        assert_eq!(now(&renames, "/b/c/d/m", 9), ["/b/e/m"]);
        assert!(now(&renames, "/b/ab", 9).is_empty());
        // What was renamed before moves with the directory that it is in.
        rename(&renames, 9, false, "/b/e/m", "/b/c/m");
        rename(&renames, 7, true, "/b/c", "/x");
        assert_eq!(now(&renames, "/b/e/m", 9), ["/x/m"]);
    }

    #[test]
    fn however_often_one_thing_is_renamed_nothing_is_forgotten() {
        let renames = Renames::default();
        rename(&renames, 1, false, "/a", "/b");
        for n in 0..3 * MOST {
            rename(&renames, 2, true, &format!("/{n}"), &format!("/{}", n + 1));
        }
        let last = format!("/{}", 3 * MOST);
        assert_eq!(now(&renames, "/a", 1), ["/b"]);
        assert_eq!(now(&renames, "/0/m", 3), [format!("{last}/m")]);
        assert_eq!(now(&renames, "/7", 2), [last]);
    }

    #[test]
    fn who_renames_most_is_forgotten_first() {
        let renames = Renames::default();
        rename(&renames, 1, false, "/a", "/b");
        for n in 0..MOST as u64 + 5 {
            let new =
                Renamed { ino: 10 + n, is_dir: false, from: Path::new("/x"), to: Path::new("/y") };
            renames.record(1000, &[new]);
        }
        assert_eq!(now(&renames, "/a", 1), ["/b"]);
        assert_eq!(renames.list.read().moved.len(), MOST);
    }

    #[test]
    fn changed_places() {
        let renames = Renames::default();
        let (x, y) = (Path::new("/x"), Path::new("/y"));
        renames.record(
            0,
            &[
                Renamed { ino: 1, is_dir: true, from: x, to: y },
                Renamed { ino: 2, is_dir: true, from: y, to: x },
            ],
        );
        assert_eq!(now(&renames, "/x/1", 3), ["/y/1"]);
        assert_eq!(now(&renames, "/y", 2), ["/x"]);
    }
}

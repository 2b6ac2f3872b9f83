//! Watching what is asked for often.

use crate::sys::changes::Changes;
use siphasher::sip::SipHasher13;
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A hash of paths that users choose.
pub type PathHash = BuildHasherDefault<SipHasher13>;

/// The paths that were asked for last, by their hashes, and how often: one for each of `N` places.
#[derive(Debug)]
pub struct AskedPaths<const N: usize>([(u64, u8); N]);

impl<const N: usize> Default for AskedPaths<N> {
    fn default() -> Self {
        Self([(0, 0); N])
    }
}

impl<const N: usize> AskedPaths<N> {
    /// Counts once more; true if a path was asked for `often` times before another took its place.
    pub fn is_often(&mut self, path: &Path, often: u8) -> bool {
        let hash = PathHash::default().hash_one(path.as_os_str().as_bytes());
        let (asked, times) = &mut self.0[hash as usize % N];
        *times = if *asked == hash { times.saturating_add(1) } else { 1 };
        *asked = hash;
        *times >= often
    }
}

/// A path and all that leads to it, down to `root`.
pub(super) fn way<'a>(root: &Path, path: &'a Path) -> impl Iterator<Item = &'a Path> {
    let root = root.as_os_str().len();
    path.ancestors().take_while(move |path| path.as_os_str().len() >= root)
}

/// Watches the directories that lead to a path, from `root` on, and what is there; `None` if that
/// cannot be. The inodes are watched, never the path: whoever owns a directory in it may put a
/// symlink in its place at any moment, even one into our own mount, where we would wait for ourselves.
/// Adds to `watches` how many were set.
pub(super) fn watch(
    (changes, watches): (&Changes, &mut usize),
    root: &Path,
    path: &Path,
    reach: impl Fn(&Path) -> io::Result<File>,
) -> Option<()> {
    // From the root on: what is exchanged below a directory that is watched already is an event.
    for path in way(root, path).collect::<Vec<_>>().into_iter().rev() {
        changes.watch(&reach(path).ok()?).ok()?;
        *watches += 1;
    }
    Some(())
}

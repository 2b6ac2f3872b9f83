//! Symlinks into maps of maps that are made beside a key, to be renamed over it.
//!
//! To replace a symlink at one stroke, programs make another under a name of their own and rename it
//! (`ln -sfn`, `rsync`). Such a name is no key: the link is kept here until then.

use super::caller::Caller;
use super::error::{Error, Result};
use super::refs;
use super::{Fs, view};
use crate::map::{ANY, Map, NOEXIST};
use crate::node::{MapRef, View};
use crate::sys::map::map_info;
use crate::sys::object;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Links kept at most; the oldest, whose makers must have died, give way.
const MOST: usize = 64;

/// The links that wait to be renamed.
#[derive(Debug, Default)]
pub struct Links {
    kept: Mutex<VecDeque<Kept>>,
    /// How many: look-ups of other names need no lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Kept {
    at: MapRef,
    name: OsString,
    /// The id of the map that it leads to, which is not held open meanwhile.
    id: u32,
}

/// Whether a name is one that programs make up for a moment: with a leading dot (rsync), or as
/// ln(1) has it, `Cu` and six characters.
fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let of_ln = |rest: &[u8]| {
        rest.len() == 6 && rest.iter().all(|&c| c.is_ascii_alphanumeric() || c == b'_')
    };
    name.starts_with(b".") || name.strip_prefix(b"Cu").is_some_and(of_ln)
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        // Whole even if a holder of the lock panicked.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the map that a kept link leads to.
    pub(super) fn get(&self, at: &MapRef, name: &OsStr) -> Option<u32> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.lock().iter().find(|kept| kept.at == *at && kept.name == name).map(|kept| kept.id)
    }

    /// Forgets a link: the id of the map that it led to.
    pub(super) fn take(&self, at: &MapRef, name: &OsStr) -> Option<u32> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut kept = self.lock();
        let place = kept.iter().position(|kept| kept.at == *at && kept.name == name)?;
        let taken = kept.remove(place);
        self.count.store(kept.len(), Ordering::Relaxed);
        taken.map(|taken| taken.id)
    }

    fn add(&self, link: Kept) {
        let mut kept = self.lock();
        kept.truncate(MOST - 1);
        kept.push_front(link);
        self.count.store(kept.len(), Ordering::Relaxed);
    }
}

impl Fs {
    /// Keeps a link to `inner` under a name that is no key of `map`; false if the name is no
    /// temporary one.
    pub(super) fn keep_link(
        &self,
        at: &MapRef,
        map: &Map,
        name: &OsStr,
        inner: &OwnedFd,
    ) -> Result<bool> {
        if !is_temporary(name) || view::parse_name(map, &View::Text, name).is_ok() {
            return Ok(false);
        }
        let id = map_info(inner.as_fd())?.id;
        self.links.add(Kept { at: at.clone(), name: name.to_owned(), id });
        Ok(true)
    }

    /// The target of a kept link.
    pub(super) fn kept_target(&self, at: &MapRef, name: &OsStr) -> Result<PathBuf> {
        let id = self.links.get(at, name);
        let id = id.ok_or_else(|| Error::new(libc::ENOENT, "the link was renamed or removed"))?;
        Ok(self.inner_path(at, id))
    }

    /// Renames a kept link to a key, new or present: the element is set at one stroke. `None` if
    /// no such link is kept.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner; ENOENT if the map that it leads to is gone; EINVAL
    /// if that does not fit, or the new name is no key.
    pub(super) fn rename_link(
        &self,
        at: &MapRef,
        from: &OsStr,
        to: &OsStr,
        flags: u32,
        caller: Caller,
    ) -> Option<Result<()>> {
        let id = self.links.get(at, from)?;
        let set = || {
            self.owner_only(caller, "setting references")?;
            let (map, _) = self.maps.open(at)?;
            let key = self.new_key(&map, &View::Text, to)?;
            let flag = match flags {
                0 => ANY,
                libc::RENAME_NOREPLACE => NOEXIST,
                _ => return Err(Error::new(libc::EINVAL, "a key cannot be exchanged")),
            };
            refs::set_inner(&map, &key, &object::map_by_id(id)?, flag)
        };
        let outcome = set();
        if outcome.is_ok() {
            self.links.take(at, from);
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_moment() {
        for name in ["CuAb3_xy", ".7.qWeRtY"] {
            assert!(is_temporary(OsStr::new(name)), "{name}");
        }
        for name in ["7", "Cu", "CuAb3_xyz", "CuAb3-xy", "x", "0x2a"] {
            assert!(!is_temporary(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_oldest_give_way() {
        let links = Links::default();
        let at = MapRef::Id(1);
        for id in 0..100 {
            let name = OsString::from(format!("Cu{id:06}"));
            links.add(Kept { at: at.clone(), name, id });
        }
        assert_eq!(links.get(&at, OsStr::new("Cu000099")), Some(99));
        assert_eq!(links.get(&at, OsStr::new("Cu000035")), None);
        assert_eq!(links.take(&at, OsStr::new("Cu000099")), Some(99));
        assert_eq!(links.get(&at, OsStr::new("Cu000099")), None);
    }
}

//! Symlinks into maps of maps that are made beside a key, to be renamed over it.
//!
//! To replace a symlink at one stroke, programs make another under a name of their own and rename it
//! (`ln -sfn`, `rsync`). Such a name is no key: the link is kept here until then.

use super::{name, refs};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::fs::tree::place::{self, Sought};
use crate::map::{ANY, Content, Map, NOEXIST};
use crate::node::{MapRef, View};
use crate::sys::map::map_info;
use crate::sys::object;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether an element is a symlink.
pub fn is_link(map: &Map, view: &View) -> bool {
    map.kind.content == Content::Map && *view == View::Text
}

/// The target of an element's symlink, relative to its map's directory; `None` if there is none.
///
/// # Errors
/// The kernel's.
pub fn target(maps: &Maps, at: &MapRef, map: &Map, key: &[u8]) -> Result<Option<PathBuf>> {
    let mut value = Vec::new();
    if !map.lookup(key, &mut value)? {
        return Ok(None);
    }
    Ok(Some(inner_path(maps, at, refs::word(&value, 0))))
}

/// The path of the map with an id, relative to another map's directory.
fn inner_path(maps: &Maps, at: &MapRef, id: u32) -> PathBuf {
    let up = place::of_map(maps, at).components().count();
    let mut target: PathBuf = std::iter::repeat_n("..", up).collect();
    target.push(".id");
    target.push(id.to_string());
    target
}

/// Links kept at most; the oldest, whose makers must have died, give way.
const MOST: usize = 64;

/// The links that wait to be renamed.
#[derive(Debug, Default)]
pub struct Links {
    kept: Mutex<VecDeque<KeptLink>>,
    /// How many: look-ups of other names need no lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct KeptLink {
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
    /// The id of the map that a kept link leads to.
    pub fn get(&self, at: &MapRef, name: &OsStr) -> Option<u32> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.kept.lock().iter().find(|kept| kept.at == *at && kept.name == name).map(|kept| kept.id)
    }

    /// Forgets a link: the id of the map that it led to.
    pub fn take(&self, at: &MapRef, name: &OsStr) -> Option<u32> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut kept = self.kept.lock();
        let place = kept.iter().position(|kept| kept.at == *at && kept.name == name)?;
        let taken = kept.remove(place);
        self.count.store(kept.len(), Ordering::Relaxed);
        taken.map(|taken| taken.id)
    }

    fn add(&self, link: KeptLink) {
        let mut kept = self.kept.lock();
        kept.truncate(MOST - 1);
        kept.push_front(link);
        self.count.store(kept.len(), Ordering::Relaxed);
    }
}

impl Links {
    /// Sets an element of a map of maps to the map that a symlink's target names; or keeps the link,
    /// if its name is a temporary one.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner; EEXIST; EINVAL for a map that does not fit.
    pub fn make(
        &self,
        maps: &Maps,
        at: &MapRef,
        name: &OsStr,
        target: &Path,
        caller: Caller,
    ) -> Result<()> {
        let (map, _) = maps.open(at)?;
        if map.kind.content != Content::Map {
            return Err(Error::new(libc::EPERM, "symlinks are for maps of maps alone"));
        }
        maps.owner.only(caller, "setting references")?;
        let key = name::parse_new(&map, &View::Text, name);
        let inner = match target.to_str() {
            Some(text) => place::find(maps, text, at, Sought::Map, caller)?,
            None => place::at_path(maps, target, at, Sought::Map, caller)?,
        };
        match key {
            Err(_) if self.keep(at, &map, name, &inner)? => Ok(()),
            key => refs::set_inner(&map, &key?, &inner, NOEXIST),
        }
    }

    /// Keeps a link to `inner` under a name that is no key of `map`; false if the name is no
    /// temporary one.
    fn keep(&self, at: &MapRef, map: &Map, name: &OsStr, inner: &OwnedFd) -> Result<bool> {
        if !is_temporary(name) || name::parse(map, &View::Text, name).is_ok() {
            return Ok(false);
        }
        let id = map_info(inner.as_fd())?.id;
        self.add(KeptLink { at: at.clone(), name: name.to_owned(), id });
        Ok(true)
    }

    /// The target of a kept link.
    ///
    /// # Errors
    /// ENOENT if it was renamed or removed.
    pub fn kept_target(&self, maps: &Maps, at: &MapRef, name: &OsStr) -> Result<PathBuf> {
        let id = self.get(at, name);
        let id = id.ok_or_else(|| Error::missing("the link was renamed or removed"))?;
        Ok(inner_path(maps, at, id))
    }

    /// Renames a kept link to a key, new or present: the element is set at one stroke. `None` if
    /// no such link is kept.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner; ENOENT if the map that it leads to is gone; EINVAL
    /// if that does not fit, or the new name is no key.
    pub fn rename(
        &self,
        maps: &Maps,
        at: &MapRef,
        from: &OsStr,
        to: &OsStr,
        flags: u32,
        caller: Caller,
    ) -> Option<Result<()>> {
        let id = self.get(at, from)?;
        let set = || {
            maps.owner.only(caller, "setting references")?;
            let (map, _) = maps.open(at)?;
            let key = name::parse_new(&map, &View::Text, to)?;
            let flag = match flags {
                0 => ANY,
                libc::RENAME_NOREPLACE => NOEXIST,
                _ => return Err(Error::new(libc::EINVAL, "a key cannot be exchanged")),
            };
            refs::set_inner(&map, &key, &object::map_by_id(id)?, flag)
        };
        let outcome = set();
        if outcome.is_ok() {
            self.take(at, from);
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
            links.add(KeptLink { at: at.clone(), name, id });
        }
        assert_eq!(links.get(&at, OsStr::new("Cu000099")), Some(99));
        assert_eq!(links.get(&at, OsStr::new("Cu000035")), None);
        assert_eq!(links.take(&at, OsStr::new("Cu000099")), Some(99));
        assert_eq!(links.get(&at, OsStr::new("Cu000099")), None);
    }
}

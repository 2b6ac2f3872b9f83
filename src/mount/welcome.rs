//! What a start says at a terminal: how many maps there are, whose the mount is, how to go on.

use super::owner;
use crate::bpffs::{Bpffs, PinKind};
use crate::cli::Config;
use crate::sys::object::{self, ObjectKind};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Names that are looked at, at most: users may have made any number of them.
const COUNTED: usize = 100_000;

/// One line, if somebody sits there.
pub(super) fn say(config: &Config, owner: u32) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    let mountpoint = config.mountpoint.display();
    let mut loaded = 0_u32;
    let mut id = 0;
    while let Ok(Some(next)) = object::next_map_id(id) {
        (loaded, id) = (loaded + 1, next);
    }
    let pinned = pinned(config);
    let whose = match owner {
        0 => String::new(),
        uid => format!(", for {} and root", owner::name(uid)),
    };
    let maps = if loaded == 1 { "map" } else { "maps" };
    println!(
        "{mountpoint}: {pinned} pinned of {loaded} {maps}{whose}: cat {mountpoint}/.maps lists them all; cat {mountpoint}/.help goes on"
    );
}

/// How many pins of maps there are, of different maps; as far as they are counted. No directory is
/// entered by its name alone: whoever owns one may put a symlink, or our own mount, in its place.
fn pinned(config: &Config) -> usize {
    let mut ids = BTreeSet::new();
    let Ok(bpffs) = Bpffs::new(&config.bpffs) else { return 0 };
    let mut dirs = vec![bpffs.root()];
    let mut left = COUNTED;
    while let Some(dir) = dirs.pop() {
        for entry in bpffs.list(&dir, |_| None).into_iter().flatten() {
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return ids.len(),
            };
            match entry.kind {
                PinKind::Dir => dirs.push(entry.pin),
                PinKind::Object(ObjectKind::Map) => {
                    let opened = bpffs.open(&entry.pin).ok();
                    let id = opened.and_then(|fd| object::object_id(fd.as_fd()));
                    ids.extend(id.map(|(_, id)| id));
                }
                PinKind::Symlink
                | PinKind::Object(ObjectKind::Prog | ObjectKind::Link | ObjectKind::Other) => {}
            }
        }
    }
    ids.len()
}

//! What a start says at a terminal: how many maps there are, whose the mount is, how to go on.

use super::owner;
use crate::cli::Config;
use crate::sys::object;
use std::io::IsTerminal;

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

/// How many pins of maps there are, of different maps.
fn pinned(config: &Config) -> usize {
    let mut ids = std::collections::BTreeSet::new();
    let mut dirs = vec![config.bpffs.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    let opened = object::obj_get(&entry.path()).ok();
                    let id = opened.and_then(|fd| object::object_id(std::os::fd::AsFd::as_fd(&fd)));
                    let map = id.filter(|(kind, _)| *kind == object::ObjectKind::Map);
                    ids.extend(map.map(|(_, id)| id));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    ids.len()
}

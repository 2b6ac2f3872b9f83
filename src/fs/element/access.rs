//! Who may do what with an element, and how its file looks to stat(2).

use super::{links, member, refs, text, view};
use crate::bpffs::Stat;
use crate::fs::base::attr::{
    Attr, Changed, FileKind, both_mode, dir_mode, file_mode, lets_in_blind, read_mode,
};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::Access;
use crate::map::{KeyHandle, Keys, Map, handle};
use crate::node::{MapRef, View};
use std::os::unix::ffi::OsStrExt;

/// Refuses to read or write an element where its kind or the caller's rights do not allow it.
///
/// # Errors
/// EOPNOTSUPP, with the reason; EACCES to write what can only be read; EPERM for others than the
/// mount's owner.
pub fn check(maps: &Maps, map: &Map, view: &View, access: Access, caller: Caller) -> Result<()> {
    let kind = map.kind.name;
    if access.read && !map.is_readable() {
        let reason = format!("the kernel does not tell what the elements of this {kind} are");
        return Err(Error::new(libc::EOPNOTSUPP, reason));
    }
    if !access.write {
        return Ok(());
    }
    if links::is_link(map, view) {
        let reason = "the elements of a map of maps are symlinks: ln -s MAP KEY";
        return Err(Error::new(libc::EPERM, reason));
    }
    if !view::allows(view).write {
        return Err(Error::new(libc::EACCES, "this view of an element can only be read"));
    }
    if !map.kind.is_settable() {
        let kind = map.kind.with_article();
        let reason = match map.kind.keys {
            Keys::Head | Keys::Member => format!("write to .push to add to {kind}"),
            Keys::Bytes | Keys::Handle(_) | Keys::None => {
                format!("elements of {kind} are set by programs alone")
            }
        };
        return Err(Error::new(libc::EOPNOTSUPP, reason));
    }
    if map.kind.is_reference() {
        if !view::is_own(view) {
            let reason = "what it stands for is set in the map's own directory";
            return Err(Error::new(libc::EOPNOTSUPP, reason));
        }
        maps.owner.only(caller, "setting references")?;
    }
    Ok(())
}

/// Refuses a name of a descriptor as a key that its user could not open: another user's process, or a
/// path that is closed to them.
///
/// # Errors
/// EPERM, EACCES; ENOENT if there is no such thing.
pub fn check_named(handle: KeyHandle, name: &[u8], caller: Caller) -> Result<()> {
    match handle {
        KeyHandle::Socket => match handle::pid_and_fd(name) {
            Some((pid, _)) => caller.check_process(pid),
            None => Ok(()),
        },
        KeyHandle::Inode | KeyHandle::Cgroup if name.starts_with(b"/") => {
            caller.opens(|| Ok(handle::open(handle, name).map(drop)?))
        }
        KeyHandle::Inode | KeyHandle::Cgroup | KeyHandle::Task => Ok(()),
    }
}

/// What stat(2) is told of an element's text.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Bytes.
    pub size: u64,
    /// When it was changed.
    pub changed: Changed,
}

/// That, and the text itself, if it is one.
pub type ToldText = (Told, Option<Vec<u8>>);

impl Told {
    /// Of what cannot be read.
    pub const NOTHING: Self = Self { size: 0, changed: Changed::AsTold };
    /// Of what is promised and not there yet. Not 0: who opens it when it is there would read nothing
    /// by sendfile(2), until the kernel is told its size.
    pub const PROMISED: Self = Self { size: 1, changed: Changed::AsTold };
    /// Of what is not there any more. Not 0 either: who has it open, or opens it when it is there again,
    /// has a text.
    pub const GONE: Self = Self::PROMISED;
}

/// What is seen of an element at this moment; `None` if there is none.
///
/// # Errors
/// The kernel's.
pub fn seen(
    maps: &Maps,
    at: &MapRef,
    map: &Map,
    view: &View,
    key: &[u8],
) -> Result<Option<ToldText>> {
    let told = |text: &[u8]| Told { size: text.len() as u64, changed: Changed::to(text) };
    if links::is_link(map, view) {
        let target = links::target(maps, at, map, key)?;
        return Ok(target.map(|target| (told(target.as_os_str().as_bytes()), None)));
    }
    if !map.is_readable() {
        return Ok(may_exist(map, key)?.then_some((Told::NOTHING, None)));
    }
    let mut value = Vec::new();
    if !text::lookup(map, view, key, &mut value)? {
        return Ok(None);
    }
    let mut rendered = Vec::new();
    text::render(map, view, &value, &mut rendered);
    Ok(Some((told(&rendered), Some(rendered))))
}

/// What is told of an element's text at this moment; `None` if there is no element.
///
/// # Errors
/// The kernel's.
pub fn told(maps: &Maps, at: &MapRef, map: &Map, view: &View, key: &[u8]) -> Result<Option<Told>> {
    Ok(seen(maps, at, map, view, key)?.map(|(told, _)| told))
}

/// Whether a name is an element of a map whose elements cannot be looked up: any index may be one.
fn may_exist(map: &Map, key: &[u8]) -> Result<bool> {
    if map.kind.is_indexed() {
        Ok(refs::word(key, 0) < map.info.max_entries)
    } else {
        Ok(map.has(key)?)
    }
}

/// The size and time that may be told. Where the mode lets somebody write who may not read, they must be
/// the same for any value. And the size must not be 0, of which sendfile(2) would read nothing.
fn hidden(map: &Map, view: &View, mode: u32, told: Told) -> Told {
    if !lets_in_blind(mode) || !map.is_readable() {
        return told;
    }
    let size = if links::is_link(map, view) {
        // Nobody reads a symlink by sendfile(2).
        0
    } else if view::is_bytes(view) {
        // Of one size in any case.
        told.size
    } else {
        map.longest_text()
    };
    Told { size, changed: Changed::Now }
}

/// An element's attributes in a view. The inode number is the caller's to set.
pub fn attr(map: &Map, view: &View, stat: Stat, told: Told) -> Attr {
    let Told { size, changed } = hidden(map, view, stat.mode, told);
    let file =
        |mode, size| Attr::new(FileKind::File, size, Stat { mode, nlink: 1, ..stat }, changed);
    let frozen = if map.is_frozen() { 0o222 } else { 0 };
    let can_be_set = view::allows(view).write
        && map.kind.is_settable()
        && (view::is_own(view) || !map.kind.is_reference());
    let mode = file_mode(stat.mode) & !frozen;
    let mode = if can_be_set { mode } else { read_mode(mode) };
    match kind(map, view) {
        FileKind::Symlink => Attr { kind: FileKind::Symlink, ..file(0o777, size) },
        FileKind::Dir => {
            let stat = Stat { mode: dir_mode(read_mode(mode)), nlink: 2, ..stat };
            Attr::new(FileKind::Dir, 0, stat, changed)
        }
        // Reading takes away.
        FileKind::File if *view == View::Pop => file(both_mode(stat.mode), size),
        FileKind::File => file(mode, size),
    }
}

/// What an element is in a view: a part that has parts is a directory.
pub fn kind(map: &Map, view: &View) -> FileKind {
    if member::is_dir(map, view) {
        FileKind::Dir
    } else if links::is_link(map, view) {
        FileKind::Symlink
    } else {
        FileKind::File
    }
}

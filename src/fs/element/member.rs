//! Members of values: names from the value inwards.

use crate::codec::Member;
use crate::fs::base::error::{Error, Result};
use crate::map::Map;
use crate::node::{MemberPath, View};
use std::sync::Arc;

/// The member at a path, for the codec; `None` if there is none.
pub fn find(map: &Map, path: &MemberPath) -> Option<Member> {
    let path: Vec<&[u8]> = path.iter().map(|name| &**name).collect();
    map.codec.member(&path)
}

/// The path of a member's member.
///
/// # Errors
/// ENOENT if it has none of that name.
pub fn below(map: &Map, path: &MemberPath, name: &[u8]) -> Result<MemberPath> {
    let below: MemberPath = path.iter().cloned().chain([Box::from(name)]).collect();
    match find(map, &below) {
        Some(_) => Ok(below),
        None => Err(Error::new(libc::ENOENT, "the value has no such member")),
    }
}

/// The names of a member's members; `None` if it is a leaf.
pub fn names(map: &Map, path: &MemberPath) -> Option<Vec<Vec<u8>>> {
    find(map, path)?.children()
}

/// The path of the first member of a value that has no members itself; `None` if the value has none.
pub fn first(map: &Map) -> Option<String> {
    let mut path: MemberPath = Arc::from([]);
    while let Some(names) = names(map, &path) {
        let first = names.into_iter().next()?;
        path = path.iter().cloned().chain([Box::from(first)]).collect();
    }
    let names: Vec<_> = path.iter().map(|name| String::from_utf8_lossy(name)).collect();
    (!names.is_empty()).then(|| names.join("/"))
}

/// Whether a member has members.
pub fn has_members(map: &Map, path: &MemberPath) -> bool {
    find(map, path).is_some_and(|member| member.has_children())
}

/// Whether an element is a member that has members.
pub fn is_dir(map: &Map, view: &View) -> bool {
    let View::Field(path) = view else { return false };
    has_members(map, path)
}

/// A member's place behind its element's name, as in a path.
pub fn path_text(view: &View) -> String {
    let View::Field(path) = view else { return String::new() };
    path.iter().map(|name| format!("/{}", String::from_utf8_lossy(name))).collect()
}

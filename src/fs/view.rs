//! How a directory of keys shows its elements: names, text, and what a write means.

use super::error::{Error, Result};
use crate::codec::{Member, NameMatch, TextErrorKind};
use crate::map::{Keys, Listing, Map, handle};
use crate::node::{MemberPath, View};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// The directory's name in the map's; `None` for the map's own.
pub fn dir_name(view: &View) -> Option<String> {
    match view {
        View::Text | View::Longest => None,
        View::Pop => Some(".pop".to_owned()),
        View::Stream => Some(".stream".to_owned()),
        View::Raw => Some(".raw".to_owned()),
        View::Cpus => Some(".cpu".to_owned()),
        View::Cpu(cpu) => Some(format!(".cpu/{cpu}")),
        View::Sum => Some(".sum".to_owned()),
        View::Field(_) => Some(".field".to_owned()),
    }
}

/// The view whose directory has that name.
pub fn named(name: &OsStr) -> Option<View> {
    match name.as_bytes() {
        b".raw" => Some(View::Raw),
        b".pop" => Some(View::Pop),
        b".cpu" => Some(View::Cpus),
        b".sum" => Some(View::Sum),
        b".field" => Some(View::Field(Arc::from([]))),
        _ => None,
    }
}

/// Whether elements in this view are whole, and the map's own.
pub fn is_own(view: &View) -> bool {
    matches!(view, View::Text | View::Longest)
}

/// Refuses a view that this kind of map does not have.
///
/// # Errors
/// ENOENT, for views over CPUs of a map that has one value a key.
pub fn check_kind(map: &Map, view: &View) -> Result<()> {
    match view {
        View::Cpus | View::Cpu(_) | View::Sum if !map.kind.per_cpu => Err(Error::new(
            libc::ENOENT,
            format!("{} has no value per CPU", map.kind.with_article()),
        )),
        View::Pop if !map.kind.take => {
            let reason = format!("the elements of {} cannot be taken out", map.kind.with_article());
            Err(Error::new(libc::EOPNOTSUPP, reason))
        }
        _ => Ok(()),
    }
}

/// Refuses to create elements where only parts of them are shown.
///
/// # Errors
/// EPERM.
pub fn check_new(view: &View) -> Result<()> {
    match view {
        View::Text | View::Longest | View::Raw | View::Cpu(_) => Ok(()),
        View::Pop | View::Stream | View::Cpus | View::Sum | View::Field(_) => {
            Err(Error::new(libc::EPERM, "elements are created in the map's own directory"))
        }
    }
}

/// The number of a possible CPU.
///
/// # Errors
/// ENOENT if there is no such CPU.
pub fn parse_cpu(map: &Map, name: &OsStr) -> Result<u32> {
    let number = name.to_str().and_then(|name| {
        let number: u32 = name.parse().ok()?;
        (number.to_string() == name && (number as usize) < map.cpus()).then_some(number)
    });
    number.ok_or_else(|| Error::new(libc::ENOENT, format!("CPUs are 0 to {}", map.cpus() - 1)))
}

fn member(map: &Map, path: &MemberPath) -> Option<Member> {
    let path: Vec<&[u8]> = path.iter().map(|name| &**name).collect();
    map.codec.member(&path)
}

/// The path of a member's member.
///
/// # Errors
/// ENOENT if it has none of that name.
pub fn member_below(map: &Map, path: &MemberPath, name: &[u8]) -> Result<MemberPath> {
    let below: MemberPath = path.iter().cloned().chain([Box::from(name)]).collect();
    match member(map, &below) {
        Some(_) => Ok(below),
        None => Err(Error::new(libc::ENOENT, "the value has no such member")),
    }
}

/// The names of a member's members; `None` if it is a leaf.
pub fn members(map: &Map, path: &MemberPath) -> Option<Vec<Vec<u8>>> {
    member(map, path)?.children()
}

/// The path of the first member of a value that has no members itself; `None` if the value has none.
pub fn first_member(map: &Map) -> Option<String> {
    let mut path: MemberPath = Arc::from([]);
    while let Some(names) = members(map, &path) {
        let first = names.into_iter().next()?;
        path = path.iter().cloned().chain([Box::from(first)]).collect();
    }
    let names: Vec<_> = path.iter().map(|name| String::from_utf8_lossy(name)).collect();
    (!names.is_empty()).then(|| names.join("/"))
}

/// Whether a member has members.
pub fn has_members(map: &Map, path: &MemberPath) -> bool {
    member(map, path).is_some_and(|member| member.has_children())
}

/// A member's place behind its element's name, as in a path.
pub fn member_name(view: &View) -> String {
    let View::Field(path) = view else { return String::new() };
    path.iter().map(|name| format!("/{}", String::from_utf8_lossy(name))).collect()
}

/// Bytes in hex, two digits each.
pub fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)];
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// An element's file name in a view.
pub fn name(map: &Map, view: &View, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    append_name(map, view, key, &mut name);
    name
}

/// Appends an element's file name in a view.
pub fn append_name(map: &Map, view: &View, key: &[u8], name: &mut Vec<u8>) {
    match view {
        _ if map.kind.keys == Keys::Head => name.extend_from_slice(HEAD),
        View::Raw => name.extend_from_slice(&hex(key)),
        _ if matches!(map.kind.keys, Keys::Handle(_)) => escape(key, name),
        View::Longest => {
            map.codec.key_name(key, name);
            let address = name.iter().rposition(|&c| c == b'_').unwrap_or(name.len());
            name.truncate(address);
        }
        _ => map.codec.key_name(key, name),
    }
}

/// The key that a file name in a view stands for.
///
/// # Errors
/// EINVAL or ERANGE if it is no key of this map.
pub fn parse_name(map: &Map, view: &View, name: &OsStr) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    match (map.kind.keys, view) {
        (Keys::None, _) => {
            return Err(Error::new(
                libc::EINVAL,
                format!("{} has no keys", map.kind.with_article()),
            ));
        }
        (Keys::Head, _) if name.as_bytes() == HEAD => {}
        (Keys::Head, _) => {
            let reason =
                format!("{} shows its next element alone, as `head`", map.kind.with_article());
            return Err(Error::new(libc::EINVAL, reason));
        }
        (Keys::Handle(handle), View::Raw) => {
            let reason = "this kind has no keys as bytes; ".to_owned() + handle::form(handle);
            return Err(Error::new(libc::EINVAL, reason));
        }
        (Keys::Handle(handle), _) => match unescape(name.as_bytes()) {
            Some(name) if handle::is_name(handle, &name) => key = name,
            _ => return Err(Error::new(libc::EINVAL, handle::form(handle))),
        },
        (_, View::Raw) => parse_hex(map, name.as_bytes(), &mut key)?,
        _ => {
            map.codec.parse_name(name.as_bytes(), &mut key)?;
        }
    }
    Ok(key)
}

/// The view that a name in `view` is in: an address without a length is looked up by the longest
/// prefix that covers it.
pub fn of_name(map: &Map, view: &View, name: &OsStr) -> View {
    if *view == View::Text && map.kind.listing == Listing::Trie {
        let matched = map.codec.parse_name(name.as_bytes(), &mut Vec::new());
        if matched.is_ok_and(|matched| matched == NameMatch::Longest) {
            return View::Longest;
        }
    }
    view.clone()
}

/// The element's bytes, as this view finds it; false if there is none.
///
/// # Errors
/// Those of the map's look-up.
pub fn lookup(map: &Map, view: &View, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
    Ok(match view {
        View::Longest => map.lookup_longest(key, value)?,
        _ => map.lookup(key, value)?,
    })
}

/// The name of a queue's or stack's next element.
const HEAD: &[u8] = b"head";

/// Appends bytes as a file name: `%XX` for what a name cannot hold or a shell would not take.
fn escape(bytes: &[u8], name: &mut Vec<u8>) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"_.:@+-".contains(&byte) {
            name.push(byte);
        } else {
            name.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// The bytes of a name with `%XX`; `None` if a `%` stands alone.
fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    Some(bytes)
}

fn parse_hex(map: &Map, name: &[u8], key: &mut Vec<u8>) -> Result<()> {
    let digit = |c: u8| (c as char).to_digit(16).filter(|_| !c.is_ascii_uppercase());
    for pair in name.chunks(2) {
        let [high, low] = pair else { return Err(no_hex_key(map)) };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(no_hex_key(map));
        };
        key.push((high << 4 | low) as u8);
    }
    if key.len() == map.info.key_size as usize { Ok(()) } else { Err(no_hex_key(map)) }
}

fn no_hex_key(map: &Map) -> Error {
    let digits = 2 * map.info.key_size;
    Error::new(libc::EINVAL, format!("a key here is {digits} hexadecimal digits"))
}

/// The text of an element's file, from the look-up's bytes.
pub fn render(map: &Map, view: &View, value: &[u8], text: &mut Vec<u8>) {
    match view {
        View::Text | View::Longest | View::Pop | View::Stream | View::Cpus => {
            map.print_file(value, text)
        }
        View::Raw => text.extend_from_slice(value),
        View::Cpu(cpu) => {
            let slot = map.codec.slot(*cpu as usize);
            map.codec.print_value(value.get(slot).unwrap_or_default(), text);
            text.push(b'\n');
        }
        View::Sum => {
            map.codec.print_sum(value, text);
            text.push(b'\n');
        }
        View::Field(path) => {
            if let Some(member) = member(map, path) {
                map.codec.print_member(&member, value, text);
            }
        }
    }
}

/// Whether a write says all of the value, so that the present one need not be read first: a text
/// may leave members out, which keep their value.
pub fn writes_whole(map: &Map, view: &View) -> bool {
    match view {
        View::Text | View::Longest | View::Pop | View::Stream => map.codec.whole_writes(),
        View::Raw => true,
        View::Cpus | View::Cpu(_) | View::Sum | View::Field(_) => false,
    }
}

/// Turns what was written into the element's bytes; `value` holds the present ones. False if it
/// is not complete.
///
/// # Errors
/// EINVAL or ERANGE if it can be no value.
pub fn parse(map: &Map, view: &View, written: &[u8], value: &mut [u8]) -> Result<bool> {
    let outcome = match view {
        View::Text | View::Longest | View::Pop | View::Stream => {
            map.codec.parse_file(written, value)
        }
        View::Cpu(cpu) => match value.get_mut(map.codec.slot(*cpu as usize)) {
            Some(value) => map.codec.parse_value(written, value),
            None => return Err(Error::new(libc::ENOENT, "no such CPU")),
        },
        View::Field(path) => match member(map, path) {
            Some(member) => map.codec.parse_member(&member, written, value),
            None => return Err(Error::new(libc::ENOENT, "the value has no such member")),
        },
        View::Cpus | View::Sum => return Err(Error::new(libc::EACCES, "it can only be read")),
        View::Raw if written.len() < value.len() => return Ok(false),
        View::Raw if written.len() > value.len() => {
            return Err(Error::new(libc::EINVAL, format!("the value has {} bytes", value.len())));
        }
        View::Raw => {
            value.copy_from_slice(written);
            Ok(())
        }
    };
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind, TextErrorKind::Incomplete) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits() {
        assert_eq!(hex(&[0x0a, 0xff]), b"0aff");
    }

    #[test]
    fn views_are_found_by_name() {
        assert_eq!(named(OsStr::new(".raw")), Some(View::Raw));
        assert_eq!(dir_name(&View::Raw).as_deref(), Some(".raw"));
        assert_eq!(named(OsStr::new("raw")), None);
    }

    #[test]
    fn paths_as_names() {
        let mut name = Vec::new();
        escape(b"/sys/fs a", &mut name);
        assert_eq!(name, b"%2Fsys%2Ffs%20a");
        assert_eq!(unescape(&name).as_deref(), Some(&b"/sys/fs a"[..]));
        assert_eq!(unescape(b"a%2"), None);
    }
}

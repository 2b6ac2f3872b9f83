//! Elements' file names.

use super::view;
use crate::fs::base::error::{Error, Result};
use crate::map::{Keys, Map, handle};
use crate::node::View;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Bytes in hex, two digits each.
pub fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)];
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// An element's file name in a view.
pub fn of(map: &Map, view: &View, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    append(map, view, key, &mut name);
    name
}

/// Appends an element's file name in a view.
pub fn append(map: &Map, view: &View, key: &[u8], name: &mut Vec<u8>) {
    match map.kind.keys {
        Keys::Head => name.extend_from_slice(HEAD),
        _ if view::is_bytes(view) => name.extend_from_slice(&hex(key)),
        Keys::Handle(_) => escape(key, name),
        Keys::Bytes | Keys::Member | Keys::None => map.codec.key_name(key, name),
    }
    if *view == View::Longest {
        let address = name.iter().rposition(|&c| c == b'_').unwrap_or(name.len());
        name.truncate(address);
    }
}

/// The key that a file name in a view stands for.
///
/// # Errors
/// EINVAL or ERANGE if it is no key of this map.
pub fn parse(map: &Map, view: &View, name: &OsStr) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    match map.kind.keys {
        Keys::None => {
            return Err(Error::new(
                libc::EINVAL,
                format!("{} has no keys", map.kind.with_article()),
            ));
        }
        Keys::Head if name.as_bytes() == HEAD => {}
        Keys::Head => {
            let reason =
                format!("{} shows its next element alone, as `head`", map.kind.with_article());
            return Err(Error::new(libc::EINVAL, reason));
        }
        Keys::Handle(handle) if view::is_bytes(view) => {
            let reason = "this kind has no keys as bytes; ".to_owned() + handle::form(handle);
            return Err(Error::new(libc::EINVAL, reason));
        }
        Keys::Handle(handle) => match unescape(name.as_bytes()) {
            Some(name) if handle::is_name(handle, &name) => key = name,
            _ => return Err(Error::new(libc::EINVAL, handle::form(handle))),
        },
        _ if view::is_bytes(view) => parse_hex(map, name.as_bytes(), &mut key)?,
        Keys::Bytes | Keys::Member => {
            map.codec.parse_name(name.as_bytes(), &mut key)?;
        }
    }
    Ok(key)
}

/// The key that a name not yet there stands for.
///
/// # Errors
/// EINVAL or ERANGE for a name that is no key, an index past the end included.
pub fn parse_new(map: &Map, view: &View, name: &OsStr) -> Result<Vec<u8>> {
    let key = parse(map, view, name)?;
    let index = key.first_chunk::<4>().map(|index| u32::from_ne_bytes(*index));
    match index {
        Some(index) if map.kind.is_indexed() && index >= map.info.max_entries => {
            let last = map.info.max_entries.saturating_sub(1);
            Err(Error::new(libc::EINVAL, format!("index {index} is past the last one, {last}")))
        }
        _ => Ok(key),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits() {
        assert_eq!(hex(&[0x0a, 0xff]), b"0aff");
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

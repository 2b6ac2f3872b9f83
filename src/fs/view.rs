//! How a directory of keys shows its elements: names, text, and what a write means.

use super::error::{Error, Result};
use crate::codec::TextErrorKind;
use crate::map::Map;
use crate::node::View;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The directory's name in the map's; `None` for the map's own.
pub fn dir_name(view: View) -> Option<&'static str> {
    match view {
        View::Text => None,
        View::Raw => Some(".raw"),
    }
}

/// The view whose directory has that name.
pub fn named(name: &OsStr) -> Option<View> {
    match name.as_bytes() {
        b".raw" => Some(View::Raw),
        _ => None,
    }
}

/// Bytes in hex, two digits each.
pub fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)];
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// An element's file name in a view.
pub fn name(map: &Map, view: View, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    append_name(map, view, key, &mut name);
    name
}

/// Appends an element's file name in a view.
pub fn append_name(map: &Map, view: View, key: &[u8], name: &mut Vec<u8>) {
    match view {
        View::Text => map.codec.key_name(key, name),
        View::Raw => name.extend_from_slice(&hex(key)),
    }
}

/// The key that a file name in a view stands for.
///
/// # Errors
/// EINVAL or ERANGE if it is no key of this map.
pub fn parse_name(map: &Map, view: View, name: &OsStr) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    match view {
        View::Text => {
            map.codec.parse_name(name.as_bytes(), &mut key)?;
        }
        View::Raw => {
            let digit = |c: u8| (c as char).to_digit(16).filter(|_| !c.is_ascii_uppercase());
            for pair in name.as_bytes().chunks(2) {
                let [high, low] = pair else { return Err(no_hex_key(map)) };
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err(no_hex_key(map));
                };
                key.push((high << 4 | low) as u8);
            }
            if key.len() != map.info.key_size as usize {
                return Err(no_hex_key(map));
            }
        }
    }
    Ok(key)
}

fn no_hex_key(map: &Map) -> Error {
    let digits = 2 * map.info.key_size;
    Error::new(libc::EINVAL, format!("a key here is {digits} hexadecimal digits"))
}

/// The text of an element's file, from the look-up's bytes.
pub fn render(map: &Map, view: View, value: &[u8], text: &mut Vec<u8>) {
    match view {
        View::Text => map.codec.print_file(value, text),
        View::Raw => text.extend_from_slice(value),
    }
}

/// Whether a write says all of the value, so that the present one need not be read first: a text
/// may leave members out, which keep their value.
pub fn writes_whole(map: &Map, view: View) -> bool {
    match view {
        View::Text => map.codec.whole_writes(),
        View::Raw => true,
    }
}

/// Turns what was written into the element's bytes; `value` holds the present ones. False if it
/// is not complete.
///
/// # Errors
/// EINVAL or ERANGE if it can be no value.
pub fn parse(map: &Map, view: View, written: &[u8], value: &mut [u8]) -> Result<bool> {
    match view {
        View::Text => match map.codec.parse_file(written, value) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind, TextErrorKind::Incomplete) => Ok(false),
            Err(error) => Err(error.into()),
        },
        View::Raw if written.len() < value.len() => Ok(false),
        View::Raw if written.len() > value.len() => {
            Err(Error::new(libc::EINVAL, format!("the value has {} bytes", value.len())))
        }
        View::Raw => {
            value.copy_from_slice(written);
            Ok(true)
        }
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
        assert_eq!(dir_name(View::Raw), Some(".raw"));
        assert_eq!(named(OsStr::new("raw")), None);
    }
}

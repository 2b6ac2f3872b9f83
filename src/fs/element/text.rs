//! Elements' text: what a read of a view gives, and what a write means.

use super::{histogram, member};
use crate::codec::TextErrorKind;
use crate::fs::base::error::{Error, Result};
use crate::map::Map;
use crate::node::View;

/// The element's bytes, as this view finds it; false if there is none.
///
/// # Errors
/// Those of the map's look-up.
pub fn lookup(map: &Map, view: &View, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
    Ok(match view {
        View::Longest => map.lookup_longest(key, value)?,
        View::Text
        | View::Pop
        | View::Raw
        | View::Cpu(_)
        | View::Sum
        | View::Histogram(_)
        | View::Field(_) => map.lookup(key, value)?,
    })
}

/// Stores a value, of which this view may be a part.
///
/// # Errors
/// Those of the map's update.
pub fn store(map: &Map, view: &View, (key, value): (&[u8], &[u8]), flag: u64) -> Result<()> {
    match view {
        View::Cpu(cpu) => map.update_cpu(key, value, *cpu, flag)?,
        View::Text
        | View::Longest
        | View::Pop
        | View::Raw
        | View::Sum
        | View::Histogram(_)
        | View::Field(_) => map.update(key, value, flag)?,
    }
    Ok(())
}

/// The text of an element's file, from the look-up's bytes.
pub fn render(map: &Map, view: &View, value: &[u8], text: &mut Vec<u8>) {
    match view {
        View::Text | View::Longest | View::Pop => map.print_file(value, text),
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
        View::Histogram(scale) => {
            // A value without such an array has no bucket.
            let series = map.codec.series(value).unwrap_or_default();
            let buckets = (0..).zip(series).collect();
            histogram::draw(*scale, buckets, text);
        }
        View::Field(path) => {
            if let Some(member) = member::find(map, path) {
                map.codec.print_member(&member, value, text);
            }
        }
    }
}

/// Whether a write says all of the value, so that the present one need not be read first: a text
/// may leave members out, which keep their value.
pub fn writes_whole(map: &Map, view: &View) -> bool {
    match view {
        // What other CPUs have is not written.
        View::Text | View::Longest | View::Pop | View::Cpu(_) => map.codec.whole_writes(),
        View::Raw => true,
        View::Sum | View::Histogram(_) | View::Field(_) => false,
    }
}

/// What a text is.
#[derive(Debug)]
pub enum Parsed {
    /// A value.
    Whole,
    /// The beginning of one; what is wrong if nothing follows.
    Part(Error),
}

/// Whether a text in this view may be a string without quotes.
pub fn is_string(map: &Map, view: &View) -> bool {
    match view {
        View::Text | View::Longest | View::Pop | View::Cpu(_) => {
            !map.kind.is_reference() && map.codec.is_text()
        }
        View::Field(path) => member::find(map, path).is_some_and(|member| member.is_text()),
        View::Raw | View::Sum | View::Histogram(_) => false,
    }
}

/// Turns what was written into the element's bytes; `value` holds the present ones.
///
/// # Errors
/// EINVAL or ERANGE if it can be no value.
pub fn parse(map: &Map, view: &View, written: &[u8], value: &mut [u8]) -> Result<Parsed> {
    let outcome = match view {
        View::Text | View::Longest | View::Pop => map.codec.parse_file(written, value),
        View::Cpu(cpu) => match value.get_mut(map.codec.slot(*cpu as usize)) {
            Some(value) => map.codec.parse_value(written, value),
            None => return Err(Error::new(libc::ENOENT, "no such CPU")),
        },
        View::Field(path) => match member::find(map, path) {
            Some(member) => map.codec.parse_member(&member, written, value),
            None => return Err(Error::new(libc::ENOENT, "the value has no such member")),
        },
        View::Sum | View::Histogram(_) => {
            return Err(Error::new(libc::EACCES, "it can only be read"));
        }
        View::Raw if written.len() != value.len() => {
            return Err(Error::new(libc::EINVAL, format!("the value has {} bytes", value.len())));
        }
        View::Raw => {
            value.copy_from_slice(written);
            Ok(())
        }
    };
    match outcome {
        Ok(()) => Ok(Parsed::Whole),
        Err(error) if matches!(error.kind, TextErrorKind::Incomplete) => {
            Ok(Parsed::Part(error.into()))
        }
        Err(error) => Err(error.into()),
    }
}

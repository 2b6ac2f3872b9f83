//! `.push` and `.pop` of queues, stacks and bloom filters.

use super::row::{Control, Rights, unknown_to};
use crate::codec::{TextError, TextErrorKind};
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::line;
use crate::fs::base::held::Held;
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{OpenFile, has_large_values, unfinished};
use crate::fs::base::pieces::{Nesting, Pieces};
use crate::fs::element::take;
use crate::map::{Map, room};
use crate::node::MapRef;
use parking_lot::Mutex;
use std::sync::Arc;

/// Bytes of text that one value may take, beside its own size.
const TEXT_MAX: usize = 1 << 20;

/// `.pop` of a queue or stack; hash tables have a directory of that name.
pub static POP: Control = Control {
    name: ".pop",
    rights: Rights::Take,
    lacks: |map| (!map.is_queue()).then(|| unknown_to(map, ".pop")),
    help: &[line(".pop", "take the next element", "cat .pop")],
    open: |open| {
        if has_large_values(open.map) {
            open.caller.long_work()?;
        }
        take::open(open.map, &[])
    },
};

/// `.push`
pub static PUSH: Control = Control {
    name: ".push",
    rights: Rights::Write,
    lacks: |map| (!map.kind.is_pushed()).then(|| unknown_to(map, ".push")),
    help: &[line(".push", "add an element", "echo VALUE > .push")],
    open: |open| Ok(Arc::new(Push::new(open.at, open.maps))),
};

/// An open `.push`: each value written is added to the map.
#[derive(Debug)]
pub struct Push {
    at: MapRef,
    maps: Arc<Maps>,
    state: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// What is not yet a whole value.
    text: Held,
    pieces: Pieces,
    /// Whether a value was added.
    added: bool,
}

impl Push {
    /// Opens it; the map is opened for each write.
    pub fn new(at: &MapRef, maps: &Arc<Maps>) -> Self {
        Self { at: at.clone(), maps: Arc::clone(maps), state: Mutex::default() }
    }
}

/// Adds the values that the text begins with and removes theirs. What is wrong if nothing follows, of
/// what is left.
fn push_all(map: &Map, state: &mut Written) -> Result<Option<Error>> {
    let mut added = false;
    let outcome = push_from(map, &mut state.text, &mut added);
    state.added |= added;
    state.pieces.restart(&state.text);
    outcome
}

fn push_from(map: &Map, written: &mut Held, added: &mut bool) -> Result<Option<Error>> {
    let mut done = 0;
    let mut value = Vec::new();
    room::zeros(&mut value, map.value_len())?;
    loop {
        let rest = written.get(done..).unwrap_or_default();
        if rest.iter().all(u8::is_ascii_whitespace) {
            written.clear();
            return Ok(None);
        }
        let mut parse = |end: usize| {
            value.fill(0);
            map.codec.parse_value(rest.get(..end).unwrap_or(rest), &mut value)
        };
        let is_incomplete = |error: &TextError| matches!(error.kind, TextErrorKind::Incomplete);
        let mut end = first_line(rest);
        let mut parsed = parse(end);
        if end < rest.len() && parsed.as_ref().is_err_and(is_incomplete) {
            end = first_document(rest);
            parsed = parse(end);
        }
        let mut seen = Pieces::default();
        seen.add(rest.get(..end).unwrap_or(rest));
        match parsed {
            Ok(()) if seen.is_open_string(map.codec.is_text()) => {
                written.consume(done);
                return Ok(Some(Error::new(libc::EINVAL, "the string may go on")));
            }
            Ok(()) => {
                map.push(&value)?;
                *added = true;
            }
            Err(error) if is_incomplete(&error) => {
                written.consume(done);
                return Ok(Some(error.into()));
            }
            Err(error) => return Err(error.into()),
        }
        done += end;
    }
}

/// Where the first line that is not blank ends.
fn first_line(text: &[u8]) -> usize {
    behind(text, |byte| byte == b'\n')
}

/// Where the first document of a text ends, the rest of its line included: one in brackets may take
/// several lines.
fn first_document(text: &[u8]) -> usize {
    let mut nesting = Nesting::default();
    behind(text, |byte| {
        nesting.follow(byte);
        byte == b'\n' && nesting.depth == 0
    })
}

/// Behind which byte of a text, the blank ones at its start apart, it `ends`.
fn behind(text: &[u8], mut ends: impl FnMut(u8) -> bool) -> usize {
    let rest = text.trim_ascii_start();
    let len = rest.iter().position(|byte| ends(*byte)).map_or(rest.len(), |at| at + 1);
    text.len() - rest.len() + len
}

impl OpenFile for Push {
    fn read(&self, _offset: u64, _size: usize, _reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        Err(Error::new(libc::EACCES, ".push can only be written"))
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let (map, _) = self.maps.open(&self.at)?;
        let mut state = self.state.lock();
        state.text.append(data)?;
        state.pieces.add(data);
        match take(&map, &mut state, data) {
            Ok(()) => Ok(data.len()),
            Err(error) => {
                state.text.clear();
                state.pieces = Pieces::default();
                Err(error)
            }
        }
    }

    fn is_long(&self) -> bool {
        true
    }

    fn is_at_rest(&self) -> bool {
        self.state.lock().text.is_empty()
    }

    fn release(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.text.is_empty() {
            return Ok(());
        }
        let (map, _) = self.maps.open(&self.at)?;
        // A last line without a newline is as good as one with it.
        let outcome = state.text.append(b"\n").and_then(|()| push_all(&map, &mut state));
        state.text.clear();
        match outcome? {
            None => Ok(()),
            Some(_) => Err(unfinished()),
        }
    }
}

/// Adds what is whole, as another piece of text has come.
fn take(map: &Map, state: &mut Written, data: &[u8]) -> Result<()> {
    if state.text.len() > map.value_len().saturating_mul(256) + TEXT_MAX {
        return Err(Error::new(libc::EFBIG, "the text is longer than any value of this map"));
    }
    if state.pieces.is_blank() && !state.added {
        return Err(Error::new(libc::EINVAL, "the text is empty"));
    }
    let missing = match state.pieces.is_worth_a_try(map.codec.is_text()) {
        true => push_all(map, state)?,
        false => Some(unfinished()),
    };
    match missing {
        Some(missing) if state.pieces.ends_in_a_line(data) => Err(missing),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_in_brackets_takes_several_lines() {
        for (text, end) in [
            ("1\n2\n", 2),
            ("\n \n7 \n8\n", 6),
            ("{\n\"a\":1}\n2\n", 9),
            ("[\"]\\\"\n]\",\n{}]\n[]\n", 14),
            ("\"{\"\n1\n", 4),
            ("]\n1\n", 2),
            ("12", 2),
            ("{\n1\n2\n", 6),
            ("", 0),
        ] {
            assert_eq!(first_document(text.as_bytes()), end, "{text:?}");
        }
        assert_eq!(first_line(b"\n \n7 \n8\n"), 6);
        assert_eq!(first_line(b"{\n"), 2);
    }
}

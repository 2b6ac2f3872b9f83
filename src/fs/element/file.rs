//! An element as an open file: rendered once when it is opened, changed by each complete write.

use super::target::ElementRef;
use super::text::Parsed;
use super::{refs, text, view};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::{self, Held};
use crate::fs::base::open_file::{Access, Change, OpenFile, has_large_values, part, unfinished};
use crate::fs::base::pieces::Pieces;
use crate::fs::tree::table;
use crate::map::{ANY, EXIST, Map, NOEXIST, room};
use crate::node::View;
use log::LevelFilter;
use parking_lot::Mutex;

/// Whether open(2) was to create the element if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creat {
    /// With O_CREAT.
    Yes,
    /// Without.
    No,
    /// It cannot be known: as with it, if it has O_TRUNC.
    IfTruncated,
}

/// An open element.
#[derive(Debug)]
pub struct ElementFile {
    element: ElementRef,
    /// Whether to make or to parse its text takes longer than a moment.
    is_large: bool,
    state: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// What reads give; made anew after a write.
    text: Option<Held>,
    /// BPF_ANY, BPF_NOEXIST or BPF_EXIST, as the open said.
    flag: u64,
    creat: Creat,
    /// What was written of the present value, from `start` on.
    written: Held,
    start: u64,
    /// What is known of `written`.
    pieces: Pieces,
    /// Whether `written` has taken effect.
    applied: bool,
    /// Whether lines follow one that was a value for all CPUs: each for one of them.
    by_lines: bool,
    /// Whether somebody was told that `written` is not complete.
    told: bool,
    /// Opened with O_CREAT when there was no element, and nothing written since: closing makes
    /// one of zeros, as touch(1) does.
    promise: bool,
    /// What the last write did, until the log has it.
    change: Option<Change>,
}

impl ElementFile {
    /// Opens an element that exists.
    ///
    /// # Errors
    /// ENOENT if it is gone; EPERM to write a frozen map.
    pub fn open(element: ElementRef, map: &Map, access: Access, creat: Creat) -> Result<Self> {
        let mut text = None;
        if access.read {
            held::check(map.value_len())?;
            let rendered = element.text(map)?;
            if rendered.is_none() && creat == Creat::No {
                return Err(Error::new(libc::ENOENT, "the key is gone"));
            }
            text = Some(rendered.unwrap_or_default());
        }
        if access.write && map.is_frozen() {
            return Err(Error::new(libc::EPERM, "the map is frozen"));
        }
        let flag = match creat {
            Creat::Yes => ANY,
            Creat::No | Creat::IfTruncated => EXIST,
        };
        let mut state = Progress::new(text, flag, false);
        state.creat = creat;
        let state = Mutex::new(state);
        Ok(Self { element, is_large: has_large_values(map), state })
    }

    /// Opens an element that does not exist yet, with the flags of open(2), O_CREAT among them.
    pub fn create(element: ElementRef, map: &Map, flags: i32) -> Self {
        let flag = if flags & libc::O_EXCL != 0 { NOEXIST } else { ANY };
        let state = Mutex::new(Progress::new(Some(Held::default()), flag, true));
        Self { element, is_large: has_large_values(map), state }
    }

    /// Whether the element is yet to be made.
    pub fn is_promise(&self) -> bool {
        self.state.lock().promise
    }

    /// Whether it was opened with O_EXCL and has not made its element yet: no other such open of the
    /// same key can succeed before this one is closed.
    pub fn is_exclusive(&self) -> bool {
        self.state.lock().flag == NOEXIST
    }

    /// Who opened it.
    pub fn opener(&self) -> Caller {
        self.element.opener
    }

    /// Makes the promised element, all zeros, unless somebody else has made it by now.
    ///
    /// # Errors
    /// EEXIST if somebody has and this open was to be the one that does, by O_EXCL; ENOSPC, EPERM and
    /// the like from the map.
    pub fn keep_promise(&self) -> Result<()> {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.promise) {
            return Ok(());
        }
        let (map, _) = self.element.maps.open(&self.element.map)?;
        if let Some(refusal) = refs::no_zeros(&map) {
            return Err(refusal);
        }
        let mut zeros = Vec::new();
        room::zeros(&mut zeros, map.value_len())?;
        match map.update(&self.element.key, &zeros, NOEXIST) {
            Ok(()) => {}
            Err(error) if error.errno == libc::EEXIST && state.flag != NOEXIST => {}
            Err(error) => return Err(error.into()),
        }
        // What this open creates it may also write.
        state.flag = ANY;
        state.text = None;
        Ok(())
    }

    /// Tries what was written so far as a value.
    fn apply(&self, map: &Map, state: &mut Progress) -> Result<Parsed> {
        state.pieces.tried();
        let view = &self.element.view;
        let old = self.logged(map);
        let mut new = None;
        let outcome = if map.kind.is_reference() {
            match refs::set(&self.element, map, &state.written, state.flag)? {
                true => Parsed::Whole,
                false => Parsed::Part(unfinished()),
            }
        } else {
            let mut value = Vec::new();
            if text::writes_whole(map, view) || !map.lookup(&self.element.key, &mut value)? {
                room::zeros(&mut value, map.value_len())?;
            }
            match text::parse(map, view, &state.written, &mut value)? {
                Parsed::Part(missing) => Parsed::Part(missing),
                Parsed::Whole if state.pieces.is_open_string(text::is_string(map, view)) => {
                    self.foresee(map, state.flag)?;
                    Parsed::Part(Error::new(libc::EINVAL, "the string may go on"))
                }
                Parsed::Whole => {
                    text::store(map, view, (&self.element.key, &value), state.flag)?;
                    new = old.is_some().then(|| shown(map, view, &value));
                    Parsed::Whole
                }
            }
        };
        if matches!(outcome, Parsed::Whole) {
            state.applied = true;
            state.text = None;
            state.change = old.map(|old| {
                let new = new.unwrap_or_else(|| state.written.to_vec());
                Change { old, new }
            });
            if state.flag == NOEXIST {
                // Made by this open: what it goes on to write is meant for its own.
                state.flag = ANY;
            }
        }
        Ok(outcome)
    }

    /// The present value's text, if the log shows values and the text is made in a moment.
    fn logged(&self, map: &Map) -> Option<Option<Vec<u8>>> {
        if self.is_large || log::max_level() < LevelFilter::Info {
            return None;
        }
        let view = &self.element.view;
        let mut value = Vec::new();
        // What cannot be read can be written all the same.
        let is_there = text::lookup(map, view, &self.element.key, &mut value).unwrap_or(false);
        Some(is_there.then(|| shown(map, view, &value)))
    }

    /// Refuses a string that is stored when the file is closed, where no shell would tell of it, as
    /// far as it can be seen now.
    fn foresee(&self, map: &Map, flag: u64) -> Result<()> {
        let is_there = map.has(&self.element.key)?;
        match flag {
            NOEXIST if is_there => Err(Error::new(libc::EEXIST, "the element is there by now")),
            EXIST if !is_there => Err(Error::missing("the key is gone")),
            _ if !is_there && !map.kind.evicts() => {
                let count = table::count_open(map);
                if count.is_some_and(|count| count >= map.info.max_entries.into()) {
                    return Err(Error::new(libc::ENOSPC, "the map is full"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tries what was written, if that may be a value by now, as its piece `data` has come.
    fn take(&self, map: &Map, state: &mut Progress, data: &[u8]) -> Result<()> {
        let view = &self.element.view;
        if state.written.len() > text_limit(map.value_len()) {
            return Err(Error::new(libc::EFBIG, "the text is longer than any value of this map"));
        }
        let is_bytes = view::is_bytes(view);
        if !is_bytes && state.pieces.is_blank() {
            return Err(Error::new(libc::EINVAL, "the text is empty"));
        }
        let is_worth_a_try = match is_bytes {
            true => state.written.len() >= map.value_len(),
            false => state.pieces.is_worth_a_try(text::is_string(map, view)),
        };
        let missing = if is_worth_a_try {
            match self.apply(map, state)? {
                Parsed::Whole => return Ok(()),
                Parsed::Part(missing) => missing,
            }
        } else if is_bytes {
            let (len, written) = (map.value_len(), state.written.len());
            Error::new(libc::EINVAL, format!("the value has {len} bytes, not {written}"))
        } else {
            unfinished()
        };
        // Bytes may be a newline's by chance; text among them is a slip.
        let may_end = match is_bytes {
            true => data.len() > 1 && data.iter().all(|c| matches!(c, b' '..=b'~' | b'\n')),
            false => !state.by_lines,
        };
        if may_end && state.pieces.ends_in_a_line(data) { Err(missing) } else { Ok(()) }
    }

    /// The text ends here, if it is one that only its end completes.
    fn end(&self, state: &mut Progress) -> Result<Parsed> {
        if view::is_bytes(&self.element.view) || state.written.ends_with(b"\n") {
            return Ok(Parsed::Part(unfinished()));
        }
        let (map, _) = self.element.maps.open(&self.element.map)?;
        let len = state.written.len();
        state.stage_end()?;
        let outcome = self.apply(&map, state);
        // Who has a duplicate may go on with the same text.
        state.written.truncate(len);
        outcome
    }
}

impl Progress {
    fn new(text: Option<Held>, flag: u64, promise: bool) -> Self {
        Self {
            text,
            flag,
            creat: Creat::Yes,
            written: Held::default(),
            start: 0,
            pieces: Pieces::default(),
            by_lines: false,
            applied: false,
            told: false,
            promise,
            change: None,
        }
    }

    /// Whether what was written is a whole value, to which no further byte can belong.
    fn has_ended(&self, view: &View) -> bool {
        // A line was a whole value; one without its end may have been cut by the writer.
        self.applied && (view::is_bytes(view) || self.written.ends_with(b"\n"))
    }

    /// Whether a text was begun that is no value yet, and nobody was told.
    fn is_unfinished(&self) -> bool {
        !self.written.is_empty() && !self.applied && !self.told
    }

    /// Adds what a write brings: to the text that it continues, or as the start of a new one.
    fn stage(&mut self, view: &View, offset: u64, data: &[u8]) -> Result<()> {
        let end = self.start + self.written.len() as u64;
        if self.written.is_empty() || offset != end || self.has_ended(view) {
            self.written.clear();
            self.pieces = Pieces::default();
            self.by_lines = false;
            self.start = offset;
        }
        self.written.append(data)?;
        self.pieces.add(data);
        (self.applied, self.told) = (false, false);
        Ok(())
    }

    /// Ends the line that `written` is.
    fn stage_end(&mut self) -> Result<()> {
        self.written.append(b"\n")?;
        self.pieces.add(b"\n");
        Ok(())
    }
}

/// A value's text in the log: bytes are shown as what they mean.
fn shown(map: &Map, view: &View, value: &[u8]) -> Vec<u8> {
    let view = if view::is_bytes(view) { &View::Text } else { view };
    let mut text = Vec::new();
    text::render(map, view, value, &mut text);
    text
}

/// Bytes of text that a value of `len` bytes may take: each member has a name, digits, spaces.
fn text_limit(len: usize) -> usize {
    len.saturating_mul(256).saturating_add(1 << 20)
}

impl OpenFile for ElementFile {
    fn is_long(&self) -> bool {
        self.is_large
    }

    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut state = self.state.lock();
        if state.text.is_none() {
            let (map, _) = self.element.maps.open(&self.element.map)?;
            state.text = Some(self.element.text(&map)?.unwrap_or_default());
        }
        reply(part(state.text.as_deref().unwrap_or_default(), offset, size));
        Ok(())
    }

    fn size(&self) -> Option<u64> {
        self.state.lock().text.as_ref().map(|text| text.len() as u64)
    }

    fn truncated(&self) {
        let mut state = self.state.lock();
        if state.creat == Creat::IfTruncated && state.flag == EXIST {
            state.flag = ANY;
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        let (map, _) = self.element.maps.open(&self.element.map)?;
        let view = &self.element.view;
        let mut state = self.state.lock();
        // A per-CPU value's lines may come one by one: the first is complete in itself.
        let lines = map.kind.per_cpu && state.applied && state.written.ends_with(b"\n");
        if lines && offset == state.start + state.written.len() as u64 {
            (state.applied, state.by_lines) = (false, true);
        }
        if !view::is_bytes(view) && state.has_ended(view) && data.trim_ascii().is_empty() {
            // A blank line behind a value.
            return Ok(data.len());
        }
        state.stage(view, offset, data)?;
        // Zeros are for who writes nothing at all.
        state.promise = false;
        match self.take(&map, &mut state, data) {
            Ok(()) => Ok(data.len()),
            Err(error) => {
                state.written.clear();
                Err(error)
            }
        }
    }

    fn take_change(&self) -> Option<Change> {
        self.state.lock().change.take()
    }

    fn is_at_rest(&self) -> bool {
        let state = self.state.lock();
        !state.promise && !state.is_unfinished()
    }

    fn release(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.is_unfinished() {
            // Once is enough; who has a duplicate may still go on.
            state.told = true;
            return match self.end(&mut state)? {
                Parsed::Whole => Ok(()),
                Parsed::Part(missing) => Err(missing),
            };
        }
        drop(state);
        self.keep_promise()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_continue_or_begin() {
        let mut state = Progress::new(None, ANY, false);
        state.stage(&View::Text, 0, b"1").unwrap();
        state.applied = true;
        state.stage(&View::Text, 1, b"2\n").unwrap();
        assert_eq!(*state.written, *b"12\n", "a number cut by the writer goes on");
        state.applied = true;
        state.stage(&View::Text, 3, b"7\n").unwrap();
        assert_eq!(*state.written, *b"7\n", "a line after a whole line is a new value");
        state.stage(&View::Text, 99, b"8").unwrap();
        assert_eq!(*state.written, *b"8", "another offset is a new value");
    }
}

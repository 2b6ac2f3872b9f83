//! Writing `.entries`: each complete line sets an element, in batches, as the bytes come.

use super::line::{self, Line, LineFault, LineValue};
use crate::codec::TextError;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::{Held, Share};
use crate::fs::element::refs;
use crate::fs::element::target::ElementRef;
use crate::map::load::Load;
use crate::map::{ANY, Map, room};
use serde_json::value::RawValue;
use std::sync::Arc;

/// What was written so far.
#[derive(Debug, Default)]
pub struct Loader {
    /// The beginning of a line whose end has not come yet.
    partial: Held,
    /// Lines that were complete, blank ones included.
    lines: u64,
    /// A close has ended a line that had no newline: if the newline still comes, it ends no other line.
    ended: bool,
    stored: u64,
    failed: Option<Error>,
    /// Whether somebody was told that `partial` is not complete.
    told: bool,
    waiting: Load,
    /// The line number of each element in `waiting`.
    numbers: Vec<u64>,
    key: Vec<u8>,
    value: Vec<u8>,
    probe: Vec<u8>,
    /// What is kept for the next lines.
    kept: Share,
    /// Where elements stand for objects of the kernel: the one to set, but for its key.
    reference: Option<ElementRef>,
}

/// Bytes that a line may have: each member has a name, digits, spaces.
fn line_limit(map: &Map) -> usize {
    let bytes = map.value_len() + map.info.key_size as usize;
    bytes.saturating_mul(256).saturating_add(1 << 20)
}

impl Loader {
    /// A loader that sets elements by their bytes, or by what their text names as `reference` does.
    pub fn new(reference: Option<ElementRef>) -> Self {
        Self { reference, ..Self::default() }
    }

    /// Takes bytes, and stores every element whose line is complete.
    ///
    /// # Errors
    /// EINVAL or ERANGE for a bad line, ENOSPC for a full map, and the like; the lines before it
    /// are stored, and every later call fails in the same way.
    pub fn write(&mut self, map: &Map, data: &[u8]) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.take(map, data).and_then(|()| self.store(map));
        let element = self.key.capacity() + self.value.capacity() + self.probe.capacity();
        self.kept.set(element + self.waiting.allocated());
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    fn take(&mut self, map: &Map, data: &[u8]) -> Result<()> {
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            self.told = false;
            if !piece.ends_with(b"\n") {
                if self.partial.len() + piece.len() > line_limit(map) {
                    let reason = "the line is longer than any element of this map";
                    return Err(self.refuse(map, &Error::new(libc::EFBIG, reason)));
                }
                self.partial.append(piece)?;
            } else if self.partial.is_empty() {
                self.line(map, piece)?;
            } else {
                let mut line = self.partial.take();
                room::append(&mut line, piece)?;
                self.line(map, &line)?;
            }
        }
        Ok(())
    }

    /// Takes a complete line.
    fn line(&mut self, map: &Map, line: &[u8]) -> Result<()> {
        let blank = line.trim_ascii().is_empty();
        if !(std::mem::take(&mut self.ended) && blank) {
            self.lines += 1;
        }
        if blank {
            return Ok(());
        }
        match self.element(map, line) {
            Ok(()) if self.reference.is_some() => {
                self.stored += 1;
                return Ok(());
            }
            Ok(()) => self.waiting.push(&self.key, &self.value),
            Err(error) => return Err(self.refuse(map, &error)),
        }
        self.numbers.push(self.lines);
        if self.waiting.is_full() { self.store(map) } else { Ok(()) }
    }

    /// The refusal of the present line, once what came before it is stored.
    fn refuse(&mut self, map: &Map, error: &Error) -> Error {
        let number = self.lines + u64::from(!self.partial.is_empty());
        match self.store(map) {
            Ok(()) => self.at_line(number, error),
            Err(earlier) => earlier,
        }
    }

    fn at_line(&self, number: u64, error: &Error) -> Error {
        let elements = if self.stored == 1 { "element" } else { "elements" };
        let reason = format!("line {number}: {}; {} {elements} stored", error.reason, self.stored);
        Error::new(error.errno, reason)
    }

    /// Stores the elements that wait.
    fn store(&mut self, map: &Map) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (stored, outcome) = self.waiting.store(map);
        self.stored += stored as u64;
        let number = self.numbers.get(stored).copied().unwrap_or(self.lines);
        self.numbers.clear();
        outcome.map_err(|error| self.at_line(number, &error.into()))
    }

    /// Turns a line into `key` and `value`; what stands for something is set at once.
    fn element(&mut self, map: &Map, text: &[u8]) -> Result<()> {
        let line = line::split(text).map_err(invalid)?;
        let member = |error: TextError, name| Error::from(error).context(name);
        let key = line.key.get().as_bytes();
        map.codec.parse_key(key, &mut self.key).map_err(|error| member(error, "key"))?;
        let index = self.key.first_chunk::<4>().map(|index| u32::from_ne_bytes(*index));
        if map.kind.is_indexed()
            && let Some(index) = index
            && index >= map.info.max_entries
        {
            let last = map.info.max_entries.saturating_sub(1);
            let reason = format!("index {index} is past the last one, {last}");
            return Err(Error::new(libc::EINVAL, reason));
        }
        if let Some(element) = &mut self.reference {
            element.key = Arc::from(self.key.as_slice());
            let value = match line.value {
                LineValue::One(value) => value,
                LineValue::PerCpu(_) => return Err(one_value(map)),
            };
            return match refs::set(element, map, value.get().as_bytes(), ANY)? {
                true => Ok(()),
                false => Err(Error::new(libc::EINVAL, "value: nothing is named")),
            };
        }
        room::zeros(&mut self.value, map.value_len())?;
        parse_value(map, &line, &mut self.value)?;
        if map.codec.whole_writes() {
            return Ok(());
        }
        // Members that the line leaves out keep their present value. It leaves none out if it makes the
        // same value out of bytes that are all ones as of zeros; then no look-up is needed.
        room::zeros(&mut self.probe, map.value_len())?;
        self.probe.fill(0xff);
        let whole = parse_value(map, &line, &mut self.probe).is_ok() && self.probe == self.value;
        if whole {
            return Ok(());
        }
        // A line before this one may have set the same key.
        self.store(map)?;
        if map.lookup(&self.key, &mut self.probe)? {
            parse_value(map, &line, &mut self.probe)?;
            std::mem::swap(&mut self.value, &mut self.probe);
        }
        Ok(())
    }

    /// One descriptor was closed: a last line without a newline is as good as one with it.
    ///
    /// # Errors
    /// EINVAL if it is not complete; the rest may still come through another descriptor.
    pub fn close(&mut self, map: &Map) -> Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        let number = self.lines + 1;
        let line = self.partial.take();
        if let Err(fault) = line::split(&line) {
            self.partial.replace(line);
            self.told = true;
            let error = Error::new(libc::EINVAL, format!("the text ends within the line: {fault}"));
            return Err(self.at_line(number, &error));
        }
        let outcome = self.line(map, &line).and_then(|()| self.store(map));
        self.ended = true;
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    /// Whether nothing waits for its end, of which nobody was told.
    pub fn is_complete(&self) -> bool {
        self.failed.is_some() || self.told || self.partial.trim_ascii().is_empty()
    }
}

fn parse_value(map: &Map, line: &Line<'_>, value: &mut [u8]) -> Result<()> {
    let parse =
        |text: &RawValue, slot: &mut [u8]| map.codec.parse_value(text.get().as_bytes(), slot);
    let member = |error: TextError| Error::from(error).context("value");
    let cpus = map.codec.cpus();
    match (line.value, cpus) {
        (LineValue::One(text), None) => parse(text, value).map_err(member),
        (LineValue::One(text), Some(cpus)) => (0..cpus).try_for_each(|cpu| {
            // As one line written to a key's file: the same for all CPUs.
            parse(text, value.get_mut(map.codec.slot(cpu)).unwrap_or_default()).map_err(member)
        }),
        (LineValue::PerCpu(_), None) => Err(one_value(map)),
        (LineValue::PerCpu(texts), Some(cpus)) => {
            let texts = line::elements(texts).map_err(invalid)?;
            if texts.len() != cpus {
                let reason =
                    format!("`values` has {} elements, but there are {cpus} CPUs", texts.len());
                return Err(Error::new(libc::EINVAL, reason));
            }
            texts.into_iter().enumerate().try_for_each(|(cpu, text)| {
                let slot = value.get_mut(map.codec.slot(cpu)).unwrap_or_default();
                parse(text, slot).map_err(|e| Error::from(e).context(&format!("values[{cpu}]")))
            })
        }
    }
}

/// That a map has one value for each key.
fn one_value(map: &Map) -> Error {
    let kind = map.kind.with_article();
    Error::new(libc::EINVAL, format!("`values` is for per-CPU maps; {kind} has `value`"))
}

fn invalid(fault: LineFault) -> Error {
    Error::new(libc::EINVAL, fault)
}

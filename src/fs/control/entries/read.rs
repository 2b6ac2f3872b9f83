//! Reading `.entries`: the text is made as it is read, a chunk at a time and, behind the reply, one
//! chunk ahead.

use super::render::LinePrinter;
use crate::fs::base::attr::Changed;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::{self, Held, Share};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{WHOLE, part};
use crate::fs::tree::table;
use crate::map::Map;
use crate::map::cursor::{Batch, Cursor};
use crate::node::MapRef;
use crate::sys;

/// Bytes of text that a chunk grows to: a whole read of cat(1).
const CHUNK: usize = 128 * 1024;

/// Bytes of text that a read may pass over: it takes a tenth of a second to make them.
const SKIP: u64 = 16 << 20;

/// Bytes up to which the text of one moment is held while the file is open: a longer one is made as it is
/// read.
const HELD: usize = 1 << 20;

/// How much there is to read.
#[derive(Debug)]
pub enum Extent {
    /// The whole text.
    Whole(Held),
    /// So many bytes, of one text or another.
    Bytes(u64, Changed),
    /// More than [`WHOLE`] bytes, and no more than these.
    AtMost(u64),
}

/// The text, or how long it is: exactly up to [`WHOLE`] bytes, if there is room to make it, else at most.
///
/// # Errors
/// The kernel's.
pub fn extent(map: &Map, sums: bool) -> Result<Extent> {
    let count = table::count(&map.info, table::counts_for(map).as_ref());
    let elements = count.unwrap_or_else(|| map.info.max_entries.into());
    let longest = Extent::AtMost(elements.saturating_mul(map.longest_line()).max(WHOLE as u64));
    let least =
        count.filter(|_| !sums).map_or(0, |count| count.saturating_mul(map.shortest_line()));
    let is_long = least > WHOLE as u64;
    if is_long || held::check_walk(map).and_then(|()| held::check(WHOLE)).is_err() {
        return Ok(longest);
    }
    let printer = LinePrinter { sums, ..LinePrinter::new(map) };
    let (walk, text, outcome) = Box::new(Walk::new(map)).fill(map, printer, WHOLE, Vec::new());
    outcome?;
    Ok(match text.len() {
        _ if !walk.end => longest,
        0..=HELD => Extent::Whole(Held::new(text)),
        length => Extent::Bytes(length as u64, Changed::to(&text)),
    })
}

/// A position in the text.
#[derive(Debug, Default)]
pub struct Reader {
    /// The chunk at hand, and where in the file it begins.
    text: Vec<u8>,
    start: u64,
    /// How many chunks there were, this one included.
    chunks: u32,
    next: Next,
    /// The chunk behind it, if it is made already.
    ahead: Option<Vec<u8>>,
    /// Room of a chunk that was read.
    spare: Vec<u8>,
    held: Share,
    /// Whether values are summed up over the CPUs.
    sums: bool,
}

/// Where the next chunk comes from.
#[derive(Debug, Default)]
enum Next {
    #[default]
    Start,
    Walk(Box<Walk>),
    End,
}

impl Reader {
    /// At the beginning of the elements, or of the sums over all CPUs.
    pub fn new(sums: bool) -> Self {
        Self { sums, ..Self::default() }
    }

    /// Replies with up to `size` bytes from `offset`, which is where the last read ended, lies
    /// within its chunk, or is further on. Reading at 0 starts again.
    ///
    /// # Errors
    /// EINVAL for an offset before the chunk at hand, or far ahead; ENOENT if the map is gone; the kernel's.
    pub fn read(
        &mut self,
        maps: &Maps,
        at: &MapRef,
        offset: u64,
        size: usize,
        reply: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        if offset == 0 && self.start > 0 {
            *self = Self { held: self.held.another(), sums: self.sums, ..Self::default() };
        }
        let Some(mut inside) = offset.checked_sub(self.start) else {
            let reason = "the text is made as it is read: going back starts at 0";
            return Err(Error::new(libc::EINVAL, reason));
        };
        let mut passed = 0;
        while inside >= self.text.len() as u64
            && (self.ahead.is_some() || !matches!(self.next, Next::End))
        {
            inside -= self.text.len() as u64;
            passed += self.text.len() as u64;
            if passed > SKIP {
                let reason = "the text is made as it is read: seek at most 16 MiB ahead";
                return Err(Error::new(libc::EINVAL, reason));
            }
            self.advance(maps, at, size)?;
        }
        reply(part(&self.text, inside, size));
        // One read may be all that comes (head -n 1); who reads twice will read on. While they are at
        // work on what they have got, the next chunk is made.
        let is_last = inside + size as u64 >= self.text.len() as u64;
        if is_last && self.chunks > 1 && self.ahead.is_none() {
            self.ahead = self.make(maps, at, size).ok().flatten();
        }
        Ok(())
    }

    /// Makes the next chunk the one at hand.
    fn advance(&mut self, maps: &Maps, at: &MapRef, size: usize) -> Result<()> {
        let next = match self.ahead.take() {
            Some(text) => Some(text),
            None => self.make(maps, at, size)?,
        };
        self.start += self.text.len() as u64;
        self.spare = std::mem::replace(&mut self.text, next.unwrap_or_default());
        self.chunks = self.chunks.saturating_add(1);
        Ok(())
    }

    /// Makes the next chunk; `None` at the end. An error comes again when it is tried again.
    fn make(&mut self, maps: &Maps, at: &MapRef, size: usize) -> Result<Option<Vec<u8>>> {
        let (map, _) = maps.open(at)?;
        let walk = match std::mem::take(&mut self.next) {
            Next::Start => {
                self.held.check_walk(&map)?;
                Box::new(Walk::new(&map))
            }
            Next::Walk(walk) => walk,
            Next::End => {
                self.next = Next::End;
                return Ok(None);
            }
        };
        let spare = std::mem::take(&mut self.spare);
        let printer = LinePrinter { sums: self.sums, ..LinePrinter::new(&map) };
        let size = chunk_size(size, self.chunks);
        let (walk, text, outcome) = walk.fill(&map, printer, size, spare);
        self.held.set(2 * self.text.capacity().max(text.capacity()) + walk.allocated());
        self.next = if walk.end && outcome.is_ok() { Next::End } else { Next::Walk(walk) };
        outcome?;
        Ok(Some(text))
    }
}

/// Bytes of the next chunk: whole reads, twice as many each time.
fn chunk_size(read: usize, chunks: u32) -> usize {
    let wanted = read.saturating_mul(1 << chunks.min(16)).min(CHUNK);
    wanted.next_multiple_of(read.max(1)).max(read)
}

/// A walk over the map that leaves text behind.
#[derive(Debug)]
struct Walk {
    cursor: Cursor,
    batch: Batch,
    /// The batch's next element.
    next: usize,
    /// Text beyond the last chunk.
    rest: Vec<u8>,
    end: bool,
}

impl Walk {
    fn new(map: &Map) -> Self {
        let cursor = Cursor::new(map, true);
        Self { cursor, batch: Batch::default(), next: 0, rest: Vec::new(), end: false }
    }

    /// Bytes allocated.
    fn allocated(&self) -> usize {
        self.batch.allocated() + self.cursor.allocated() + self.rest.capacity()
    }

    /// A chunk of text, whose length is a multiple of `size` but at the end.
    fn fill(
        mut self: Box<Self>,
        map: &Map,
        printer: LinePrinter<'_>,
        size: usize,
        mut text: Vec<u8>,
    ) -> (Box<Self>, Vec<u8>, sys::Result<()>) {
        text.clear();
        text.append(&mut self.rest);
        let (key_size, value_len) = (map.info.key_size as usize, map.value_len());
        while text.len() < size && !self.end {
            if self.next == self.batch.count {
                self.next = 0;
                if let Err(error) = self.cursor.next(map, &mut self.batch) {
                    self.batch.count = 0;
                    self.rest = text;
                    return (self, Vec::new(), Err(error));
                }
                self.end = self.batch.count == 0;
            }
            while text.len() < size && self.next < self.batch.count {
                let key = &self.batch.keys[self.next * key_size..][..key_size];
                let value = &self.batch.values[self.next * value_len..][..value_len];
                printer.line(key, value, &mut text);
                self.next += 1;
            }
        }
        if !self.end {
            let whole = text.len() - text.len() % size.max(1);
            self.rest.extend_from_slice(&text[whole..]);
            text.truncate(whole);
        }
        (self, text, Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_whole_reads() {
        for read in [1, 7, 4096, 131_072, 1 << 20, 3 << 20] {
            for chunks in [1, 2, 5, 99] {
                let size = chunk_size(read, chunks);
                assert_eq!(size % read, 0, "{read} {chunks}");
                assert!(size >= read && size < CHUNK.max(read) + read, "{read} {chunks}: {size}");
            }
        }
    }
}

//! Reading `.entries`: the text is made as it is read, a chunk at a time and one chunk ahead.

use super::render::LinePrinter;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::Share;
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::part;
use crate::map::Map;
use crate::map::cursor::{Batch, Cursor};
use crate::node::MapRef;
use crate::sys;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Bytes of text that a chunk grows to: a whole read of cat(1), a millisecond or more of work for
/// another thread.
const CHUNK: usize = 128 * 1024;

/// A position in the text.
#[derive(Debug, Default)]
pub struct Reader {
    /// The chunk at hand, and where in the file it begins.
    text: Vec<u8>,
    start: u64,
    /// How many chunks there were, this one included.
    chunks: u32,
    next: Next,
    held: Share,
}

/// Where the next chunk comes from.
#[derive(Debug, Default)]
enum Next {
    #[default]
    Start,
    Walk(Box<Walk>),
    /// Another thread is at work on it.
    Ahead(JoinHandle<(Box<Walk>, Vec<u8>, sys::Result<()>)>),
    End,
}

impl Reader {
    /// Replies with up to `size` bytes from `offset`, which is where the last read ended, lies
    /// within its chunk, or is further on. Reading at 0 starts again.
    ///
    /// # Errors
    /// EINVAL for an offset before the chunk at hand; ENOENT if the map is gone; the kernel's.
    pub fn read(
        &mut self,
        maps: &Maps,
        at: &MapRef,
        offset: u64,
        size: usize,
        reply: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        if offset == 0 && self.start > 0 {
            *self = Self { held: self.held.another(), ..Self::default() };
        }
        let Some(mut inside) = offset.checked_sub(self.start) else {
            let reason = "the text is made as it is read: going back starts at 0";
            return Err(Error::new(libc::EINVAL, reason));
        };
        while inside >= self.text.len() as u64 && !matches!(self.next, Next::End) {
            inside -= self.text.len() as u64;
            self.advance(maps, at, size)?;
        }
        reply(part(&self.text, inside, size));
        Ok(())
    }

    /// Makes the next chunk the one at hand.
    fn advance(&mut self, maps: &Maps, at: &MapRef, size: usize) -> Result<()> {
        self.start += self.text.len() as u64;
        self.text.clear();
        let (map, _) = maps.open(at)?;
        let (walk, text, outcome) = match std::mem::take(&mut self.next) {
            Next::End => {
                self.next = Next::End;
                return Ok(());
            }
            Next::Start => {
                self.held.check_walk(&map)?;
                Box::new(Walk::new(&map)).fill(&map, size, std::mem::take(&mut self.text))
            }
            Next::Walk(walk) => {
                walk.fill(&map, chunk_size(size, self.chunks), std::mem::take(&mut self.text))
            }
            Next::Ahead(work) => match work.join() {
                Ok(done) => done,
                Err(_) => {
                    self.next = Next::End;
                    return Err(Error::new(libc::EIO, "the reading thread failed"));
                }
            },
        };
        self.chunks = self.chunks.saturating_add(1);
        let spare = std::mem::replace(&mut self.text, text);
        // The next chunk's text may be in the making.
        self.held.set(self.text.capacity() + spare.capacity() + walk.allocated());
        if walk.end && outcome.is_ok() {
            self.held.set(self.text.capacity());
            self.next = Next::End;
            return Ok(());
        }
        // One read may be all that comes (head -n 1); who reads twice will read on.
        self.next = match self.chunks > 1 && outcome.is_ok() {
            true => ahead(walk, map, chunk_size(size, self.chunks), spare),
            false => Next::Walk(walk),
        };
        Ok(outcome?)
    }
}

/// Bytes of the next chunk: whole reads, twice as many each time.
fn chunk_size(read: usize, chunks: u32) -> usize {
    let wanted = read.saturating_mul(1 << chunks.min(16)).min(CHUNK);
    wanted.next_multiple_of(read.max(1)).max(read)
}

/// Lets another thread make the next chunk. It holds the map only while it works.
fn ahead(walk: Box<Walk>, map: Arc<Map>, size: usize, text: Vec<u8>) -> Next {
    let work = Arc::new(parking_lot::Mutex::new(Some((walk, text))));
    let mine = Arc::clone(&work);
    let take = |slot: &parking_lot::Mutex<Option<(Box<Walk>, Vec<u8>)>>| slot.lock().take();
    let run = move || {
        let (walk, text) = take(&mine).unwrap_or_else(|| (Box::new(Walk::new(&map)), Vec::new()));
        walk.fill(&map, size, text)
    };
    match thread::Builder::new().name("entries".into()).spawn(run) {
        Ok(work) => Next::Ahead(work),
        // No thread to be had: the next read does the work itself.
        Err(_) => take(&work).map_or(Next::End, |(walk, _)| Next::Walk(walk)),
    }
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
        size: usize,
        mut text: Vec<u8>,
    ) -> (Box<Self>, Vec<u8>, sys::Result<()>) {
        text.clear();
        text.append(&mut self.rest);
        let printer = LinePrinter::new(map);
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

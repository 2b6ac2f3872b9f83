//! A listing of a map's keys, as they are walked.

use super::{access, name};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::Share;
use crate::fs::base::listing::{DOTS, ListEntry, Sink};
use crate::fs::base::maps::Maps;
use crate::map::Listing;
use crate::map::cursor::{Batch, Cursor};
use crate::node::{MapRef, Node, NodeTable, Place, View};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Bytes in a name that the kernel passes on; before Linux 6.14, a quarter of it.
const NAME_MAX: usize = libc::PATH_MAX as usize - 1;
/// Elements and bytes of a key up to which all is listed in a millisecond.
const FEW: u32 = 1024;
const SHORT: u32 = 64;
const NO_NAME: &str = "a key's name is longer than any path may be; .entries has the element";

/// A walk over a map's keys that can go back as far as the kernel may ask: to where the last read
/// began, since a caller's buffer may have been smaller than ours.
#[derive(Debug)]
pub struct KeyListing {
    at: MapRef,
    view: View,
    cursor: Option<Cursor>,
    window: VecDeque<Batch>,
    /// How many keys came before the window.
    before: u64,
    /// The furthest place that a caller was told of, in this walk or one before it.
    furthest: u64,
    end: bool,
    held: Share,
}

impl KeyListing {
    /// A listing of a view of a map.
    pub fn new(at: MapRef, view: View) -> Self {
        Self {
            at,
            view,
            cursor: None,
            window: VecDeque::new(),
            before: 0,
            furthest: 0,
            end: false,
            held: Share::default(),
        }
    }

    /// The directory as it is now, from the start.
    pub fn rewind(&mut self) {
        let (furthest, held) = (self.furthest, self.held.another());
        *self = Self { furthest, held, ..Self::new(self.at.clone(), self.view.clone()) };
    }

    /// Whether a read may take longer than a few milliseconds.
    ///
    /// # Errors
    /// ENOENT if the map is gone.
    pub fn is_long(&self, maps: &Maps) -> Result<bool> {
        let (map, _) = maps.open(&self.at)?;
        let is_walked = matches!(map.kind.listing, Listing::Trie | Listing::NextKey);
        Ok(is_walked || map.info.max_entries > FEW || map.info.key_size > SHORT)
    }

    /// Lists from the key number `from` on until `sink` is full.
    ///
    /// # Errors
    /// ENOENT if the map is gone; EINVAL for a place that no read has come to yet; EINTR if nobody
    /// asks any more; the kernel's if it cannot be listed.
    pub fn list(
        &mut self,
        maps: &Maps,
        from: u64,
        caller: Caller,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let (map, _) = maps.open(&self.at)?;
        if from > self.furthest {
            return Err(Error::new(libc::EINVAL, "no read of this directory has come so far yet"));
        }
        if from < self.before {
            // seekdir(3) to long ago: the walk starts again and passes that many keys.
            self.rewind();
        }
        if self.cursor.is_none() {
            self.held.check_walk(&map)?;
        }
        let cursor = self.cursor.get_or_insert_with(|| Cursor::new(&map, false));
        // What lies before the place asked for will not be asked for again.
        while let Some(first) = self.window.front()
            && from >= self.before + first.count as u64
        {
            self.before += first.count as u64;
            self.window.pop_front();
        }
        let key_size = map.info.key_size as usize;
        let kind = access::kind(&map, &self.view);
        let mut text = Vec::new();
        let mut position = self.before;
        let mut batch_index = 0;
        loop {
            if batch_index == self.window.len() {
                if self.end {
                    return Ok(());
                }
                let mut batch = Batch::default();
                cursor.next(&map, &mut batch)?;
                if batch.count == 0 {
                    self.end = true;
                    return Ok(());
                }
                batch.values = Vec::new();
                self.window.push_back(batch);
                let window: usize = self.window.iter().map(Batch::allocated).sum();
                self.held.set(window + cursor.allocated());
            }
            let batch = &self.window[batch_index];
            for key in (0..batch.count).map(|n| &batch.keys[n * key_size..(n + 1) * key_size]) {
                if position >= from {
                    text.clear();
                    name::append(&map, &self.view, key, &mut text);
                    if text.len() > NAME_MAX {
                        return Err(Error::new(libc::ENAMETOOLONG, NO_NAME));
                    }
                    let node = Node::In(
                        self.at.clone(),
                        Place::Element(self.view.clone(), Arc::from(key)),
                    );
                    let entry = ListEntry {
                        ino: NodeTable::number(&node),
                        next: position + DOTS + 1,
                        kind,
                        name: OsStr::from_bytes(&text),
                    };
                    if sink(entry) {
                        return Ok(());
                    }
                    self.furthest = self.furthest.max(position + 1);
                }
                position += 1;
            }
            batch_index += 1;
            if position <= from {
                caller.go_on()?;
            }
            // A seek may pass many batches: they are not kept.
            while position <= from && self.window.len() > 1 {
                if let Some(passed) = self.window.pop_front() {
                    self.before += passed.count as u64;
                    batch_index -= 1;
                }
            }
        }
    }
}

//! What an open file answers, whatever it is; and the plainest one, a text made when it is opened.

use super::attr::Changed;
use super::error::{Error, Result};
use super::held::Held;
use crate::map::Map;
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What an open(2) asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// O_RDONLY or O_RDWR.
    pub read: bool,
    /// O_WRONLY or O_RDWR.
    pub write: bool,
}

impl Access {
    /// The access mode in the flags of open(2).
    pub fn of(flags: i32) -> Self {
        let mode = flags & libc::O_ACCMODE;
        Self { read: mode != libc::O_WRONLY, write: mode != libc::O_RDONLY }
    }
}

/// Bytes up to which a finite text is made at once, so that its size can be told.
pub const WHOLE: usize = 4 << 20;
/// The size that is told of a file without an end. Any will do but 0, of which sendfile(2) reads nothing.
pub const ENDLESS: u64 = 4096;
/// The size that is told of a text longer than [`WHOLE`] of which no upper bound is known: more than any
/// has.
pub const UNKNOWN: u64 = 1 << 30;

/// A value's text before a write and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// As it was found right before; `None` if there was none.
    pub old: Option<Vec<u8>>,
    /// As it was written.
    pub new: Vec<u8>,
}

/// An open file.
pub trait OpenFile: Debug + Send + Sync {
    /// Up to `size` bytes from `offset`; none at the end. Never waits. What it does behind the reply,
    /// the caller need not wait for.
    ///
    /// # Errors
    /// EAGAIN if a stream has nothing yet: [`OpenFile::is_ready`] tells when to ask again.
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// Whether calls may take longer than a few milliseconds, or wait for others that do: they are
    /// made beside the threads that answer everybody.
    fn is_long(&self) -> bool {
        false
    }

    /// Whether a read has something to give, its end included. Only streams wait for that.
    fn is_ready(&self) -> bool {
        true
    }

    /// What becomes readable, each time anew, when a stream may be ready that was not.
    ///
    /// # Errors
    /// EMFILE.
    fn descriptors(&self) -> Result<Arc<[OwnedFd]>> {
        Ok(Arc::from([]))
    }

    /// All of its text, if that is at hand.
    fn whole(&self) -> Option<&[u8]> {
        None
    }

    /// Bytes that can be read, or more; `None` if nobody knows, or there is nothing to be read.
    fn size(&self) -> Option<u64> {
        self.whole().map(|text| text.len() as u64)
    }

    /// When its text was changed.
    fn changed(&self) -> Changed {
        self.whole().map_or(Changed::Now, Changed::to)
    }

    /// It was opened with O_TRUNC.
    fn truncated(&self) {}

    /// Takes bytes; gives how many were taken.
    ///
    /// # Errors
    /// EINVAL, ERANGE for text that is no value; those of the map.
    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(Error::new(libc::EOPNOTSUPP, "this file cannot be written"))
    }

    /// What the last write has replaced by what, for the log; told once, and nothing where nobody
    /// logs it.
    fn take_change(&self) -> Option<Change> {
        None
    }

    /// Whether the last close has nothing to store, and nothing to complain of.
    fn is_at_rest(&self) -> bool {
        true
    }

    /// The last descriptor is closed, as far as can be seen; and once more when it surely is, perhaps
    /// by the end of its process.
    ///
    /// # Errors
    /// EINVAL, once, if what was written is not complete; those of the map.
    fn release(&self) -> Result<()> {
        Ok(())
    }
}

/// Bytes of a value, or of text written at a time, from which on rendering or parsing takes
/// milliseconds: up to four characters and some 30 ns each.
const LARGE: usize = 1 << 15;

/// Whether bytes or text are so many that others should not wait for them.
pub fn is_large(bytes: u64) -> bool {
    bytes >= LARGE as u64
}

/// Whether one element of a map is so large.
pub fn has_large_values(map: &Map) -> bool {
    is_large(map.value_len() as u64)
}

/// A text that was rendered when the file was opened.
#[derive(Debug)]
pub struct TextFile(Held);

impl TextFile {
    /// Opens this text.
    pub fn new(text: Vec<u8>) -> Self {
        Self(Held::new(text))
    }
}

impl OpenFile for TextFile {
    fn whole(&self) -> Option<&[u8]> {
        Some(&self.0)
    }

    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        reply(part(&self.0, offset, size));
        Ok(())
    }
}

/// The bytes of `text` that a read asks for.
pub fn part(text: &[u8], offset: u64, size: usize) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    let end = start.saturating_add(size).min(text.len());
    &text[start..end]
}

/// Text that ends in the middle of a value.
pub fn unfinished() -> Error {
    Error::new(libc::EINVAL, "the text ends before the value is complete")
}

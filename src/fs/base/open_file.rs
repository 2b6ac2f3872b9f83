//! What an open file answers, whatever it is; and the plainest one, a text made when it is opened.

use super::error::{Error, Result};
use super::held::Held;
use std::fmt::Debug;
use std::time::Duration;

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

/// An open file.
pub trait OpenFile: Debug + Send + Sync {
    /// Up to `size` bytes from `offset`; none at the end. Never waits.
    ///
    /// # Errors
    /// EAGAIN if a stream has nothing yet: [`OpenFile::wait`] tells when to ask again.
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// Waits at most this long until a read has something to give, its end included. True if so.
    /// Only streams wait; they must not hold a lock meanwhile that a read or write needs.
    fn wait(&self, _timeout: Duration) -> bool {
        true
    }

    /// Takes bytes; gives how many were taken.
    ///
    /// # Errors
    /// EINVAL, ERANGE for text that is no value; those of the map.
    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(Error::new(libc::EOPNOTSUPP, "this file cannot be written"))
    }

    /// Whether the last close has nothing to do or say.
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

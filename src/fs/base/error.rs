//! Why an operation was refused: the errno that the caller gets, and the reason in words.

use crate::codec::{TextError, TextErrorKind};
use crate::sys::{self, Call};
use nix::errno::Errno;
use std::borrow::Cow;
use std::io;

/// A refused operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What the caller gets.
    pub errno: i32,
    /// What `/.errors` says.
    pub reason: Cow<'static, str>,
    /// Whether what was asked for is simply not there: nobody refused it.
    pub is_miss: bool,
    /// Whether nothing was done yet, since it may take long: it is to be asked for again beside the
    /// threads that answer everybody. No caller sees it.
    pub is_later: bool,
}

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with its reason.
    pub fn new(errno: i32, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { errno, reason: reason.into(), is_miss: false, is_later: false }
    }

    /// ENOENT, since there is no such thing, although there might be.
    pub fn missing(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { is_miss: true, ..Self::new(libc::ENOENT, reason) }
    }

    /// ESTALE: the kernel walks the path anew, and the program hears nothing of it.
    pub fn stale() -> Self {
        Self { is_miss: true, ..Self::new(libc::ESTALE, "a directory on the way was changed") }
    }

    /// Not here: what comes may take long.
    pub fn later() -> Self {
        Self { is_later: true, ..Self::new(libc::EAGAIN, "takes longer than others may wait") }
    }

    /// The same error, with what was tried before the reason.
    #[must_use]
    pub fn context(self, what: &str) -> Self {
        Self { reason: format!("{what}: {}", self.reason).into(), ..self }
    }
}

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        let reason: Cow<'static, str> = match (error.call, error.errno) {
            (Call::MapUpdateElem, libc::ENOSPC) => "the map is full".into(),
            (Call::MapUpdateElem, libc::EEXIST) => "the key exists already".into(),
            (Call::MapUpdateElem | Call::MapDeleteElem, libc::ENOENT) => "the key is gone".into(),
            (Call::MapUpdateElem | Call::MapDeleteElem, libc::EPERM) => {
                "the map is frozen, or its elements cannot be deleted".into()
            }
            (Call::MapLookupAndDeleteElem, libc::EPERM) => "the map is frozen".into(),
            _ => match shortage(error.errno) {
                Some(reason) => reason.into(),
                None => error.to_string().into(),
            },
        };
        Self::new(error.errno, reason)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let errno = match error.raw_os_error() {
            // pthread_create(3) alone says this of something that std does; a reader would take it for
            // "nothing yet".
            Some(libc::EAGAIN) => {
                return Self::new(libc::ENOMEM, "bpffuse can start no thread for it");
            }
            errno => errno.unwrap_or(libc::EIO),
        };
        match shortage(errno) {
            Some(reason) => Self::new(errno, reason),
            None => Self::new(errno, sys::describe(&error)),
        }
    }
}

/// Whose shortage it is: the errno alone reads as if it were the caller's.
fn shortage(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::EMFILE => "bpffuse itself has too many files open; try again when some are closed",
        libc::ENFILE => "the system has too many files open",
        libc::ENOMEM => "bpffuse has no memory for it",
        _ => return None,
    })
}

impl From<TextError> for Error {
    fn from(error: TextError) -> Self {
        let errno = match error.kind {
            TextErrorKind::Range => libc::ERANGE,
            TextErrorKind::Incomplete | TextErrorKind::Invalid => libc::EINVAL,
        };
        Self::new(errno, error.reason)
    }
}

/// The name of an errno, as in errno(3).
pub fn errno_name(errno: i32) -> String {
    let known = Errno::from_raw(errno);
    if known == Errno::UnknownErrno { errno.to_string() } else { format!("{known:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (errno, name) in [
            (libc::EINVAL, "EINVAL"),
            (libc::EOPNOTSUPP, "EOPNOTSUPP"),
            (libc::EAGAIN, "EAGAIN"),
            (524, "524"),
        ] {
            assert_eq!(errno_name(errno), name);
        }
    }
}

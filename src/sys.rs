//! The system calls that neither std nor libbpf-rs offers with their errno: all `unsafe` is here.
//!
//! Each function is safe to call with any argument: lengths are checked before a pointer leaves.
#![allow(unsafe_code)]

pub mod acting;
mod call;
pub mod changes;
pub mod info;
pub mod interrupts;
pub mod iter;
pub mod limits;
pub mod map;
pub mod mounts;
pub mod object;
pub mod os;
pub mod perf;
pub mod privileges;
pub mod processes;
pub mod programs;
pub mod ring;
mod shared;

pub use call::Call;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A system call that failed: which one, and the kernel's errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    /// The call.
    pub call: Call,
    /// The errno, with the kernel's internal ENOTSUPP (524) already turned into EOPNOTSUPP.
    pub errno: i32,
}

/// What a wrapped system call gives back.
pub type Result<T> = std::result::Result<T, Error>;

/// The kernel's internal ENOTSUPP, which has no name in user space (`include/linux/errno.h`).
const KERNEL_ENOTSUPP: i32 = 524;

impl Error {
    /// An error of `call`, with `errno` as libbpf returns it (either sign).
    pub fn new(call: Call, errno: i32) -> Self {
        let errno = match errno.saturating_abs() {
            KERNEL_ENOTSUPP => libc::EOPNOTSUPP,
            errno => errno,
        };
        Self { call, errno }
    }

    /// The error that the last libc call of this thread left in errno.
    fn last(call: Call) -> Self {
        Self::of(call, &io::Error::last_os_error())
    }

    /// What std says of `call`.
    fn of(call: Call, error: &io::Error) -> Self {
        Self::new(call, error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// Whether an errno says that this process or the system has run out of descriptors or memory, and so
/// nothing of what was asked for.
pub fn is_shortage(errno: i32) -> bool {
    matches!(errno, libc::EMFILE | libc::ENFILE | libc::ENOMEM)
}

/// [`is_shortage`] of an error of std's.
pub fn is_shortage_of(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(is_shortage)
}

/// What a call about something in /proc gave; `None` where the process, the thread or the descriptor is
/// gone, or not ours to see.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM: then it may well be there, and to leave it out would be a lie.
pub fn unless_gone<T>(
    result: std::result::Result<T, impl Into<io::Error>>,
) -> io::Result<Option<T>> {
    match result.map_err(Into::into) {
        Ok(there) => Ok(Some(there)),
        Err(error) if is_shortage_of(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, describe(&io::Error::from_raw_os_error(self.errno)))
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}

/// An error in words, without the " (os error N)" that std adds.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Turns libbpf's convention (negative errno) into ours.
fn check(call: Call, rc: i32) -> Result<i32> {
    if rc < 0 { Err(Error::new(call, rc)) } else { Ok(rc) }
}

/// Takes over the descriptor that a bpf command returned.
fn own(call: Call, rc: i32) -> Result<OwnedFd> {
    let fd = check(call, rc)?;
    // SAFETY: a bpf command that returns a descriptor hands over its ownership.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Turns libc's and syscall(2)'s convention (-1, and errno) into ours.
fn check_libc(call: Call, rc: impl Into<i64>) -> Result<i64> {
    match rc.into() {
        -1 => Err(Error::last(call)),
        rc => Ok(rc),
    }
}

/// What nix gives back, with the call's name.
fn named<T>(call: Call, outcome: nix::Result<T>) -> Result<T> {
    outcome.map_err(|errno| Error::new(call, errno as i32))
}

/// Takes over the descriptor that a libc call or syscall(2) returned.
fn own_libc(call: Call, rc: impl Into<i64>) -> Result<OwnedFd> {
    let fd = check_libc(call, rc)?;
    // SAFETY: the kernel just gave us this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A text of the kernel's, up to its NUL. A C character has a sign on some machines (x86) and none on
/// others (Arm).
fn text_of(characters: &[libc::c_char]) -> String {
    let bytes = characters.iter().map(|c| c.to_ne_bytes()[0]).take_while(|&byte| byte != 0);
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}

/// A path as system calls take it.
fn c_path(call: Call, path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::new(call, libc::EINVAL))
}

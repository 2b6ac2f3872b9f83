//! Calls on the mount as a program makes them, and the errno that comes back, by its name.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const NAMES: [(i32, &str); 25] = [
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::EIO, "EIO"),
    (libc::E2BIG, "E2BIG"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EACCES, "EACCES"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::EXDEV, "EXDEV"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EISDIR, "EISDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EROFS, "EROFS"),
    (libc::ERANGE, "ERANGE"),
    (libc::ENAMETOOLONG, "ENAMETOOLONG"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ENOTEMPTY, "ENOTEMPTY"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::ESTALE, "ESTALE"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::ENODEV, "ENODEV"),
];

/// The name of an errno.
pub(crate) fn name(errno: i32) -> String {
    let found = NAMES.iter().find(|(number, _)| *number == errno);
    found.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

/// Fails the test unless `result` is the error `errno` (its name, such as "ENOENT").
#[track_caller]
pub(crate) fn refused<T: Debug>(result: io::Result<T>, errno: &str) {
    match result {
        Ok(value) => panic!("expected {errno}, but it worked: {value:?}"),
        Err(error) => {
            let got = error.raw_os_error().map_or_else(|| error.to_string(), name);
            assert_eq!(got, errno, "the wrong error (left: got, right: expected)");
        }
    }
}

/// open(2) for writing with exactly these `flags` beside O_WRONLY.
pub(crate) fn open_with(path: impl AsRef<Path>, flags: i32) -> io::Result<File> {
    // std derives O_CREAT and friends from its own options, so that `flags` must speak its language.
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if flags & libc::O_EXCL != 0 {
        options.create_new(true);
    } else {
        options.create(flags & libc::O_CREAT != 0).truncate(flags & libc::O_TRUNC != 0);
    }
    let own = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC;
    options.custom_flags(flags & !own).open(path)
}

/// open(2) with `flags`, one write(2) of `text`, close(2).
pub(crate) fn write_with(path: impl AsRef<Path>, flags: i32, text: &[u8]) -> io::Result<()> {
    put(&mut open_with(path, flags)?, text)
}

/// open(2) with `flags`, then `between`, then one write(2) of `text` and close(2).
pub(crate) fn open_then_write(
    path: impl AsRef<Path>,
    flags: i32,
    between: impl FnOnce(),
    text: &[u8],
) -> io::Result<()> {
    let mut file = open_with(path, flags)?;
    between();
    put(&mut file, text)
}

/// One write(2), which must take all of `text` or fail.
fn put(file: &mut File, text: &[u8]) -> io::Result<()> {
    let n = file.write(text)?;
    assert_eq!(n, text.len(), "write(2) took a part of the text");
    Ok(())
}

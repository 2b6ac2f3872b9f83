//! Replies to the kernel.

use super::{log, ours};
use crate::fs::base::handles::Handle;
use crate::fs::base::kept_dirs::{ATTR_KEPT, NAME_KEPT};
use crate::fs::base::open_file::{Change, OpenFile};
use crate::fs::base::opened::Opened;
use crate::fs::op::lookup::Found;
use crate::fs::{Attr, Caller, Error, FileKind, Fs, Op};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// All other names and attributes are asked for anew each time: other programs change maps at any moment.
const FRESH: Duration = Duration::ZERO;

/// The attributes in a look-up's reply hold for the path walk that asked for it: the kernel rounds
/// up to its clock's tick. Without, it asks for them again at once to check permissions; the next
/// walk looks the name up again in any case.
const THIS_WALK: Duration = Duration::from_nanos(1);

/// A reply that is owed.
pub(super) trait Reply: Send + 'static {
    /// Replies with an error.
    fn fail(self, errno: Errno);
}

macro_rules! replies {
    ($($reply:ty),+) => {
        $(impl Reply for $reply {
            fn fail(self, errno: Errno) {
                self.error(errno);
            }
        })+
    };
}

replies!(ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen);

/// Remembers why an operation failed, and gives the errno to reply with.
pub(super) fn refuse(
    fs: &Fs,
    op: Op,
    caller: Caller,
    ino: INodeNo,
    name: Option<&OsStr>,
    error: &Error,
) -> Errno {
    let path = fs.path(ours(ino), name);
    fs.refusals.record(op, caller, &path, error);
    Errno::from_i32(error.errno)
}

/// Replies to an operation that gives a value, with `send`.
pub(super) fn answer<T, R: Reply>(
    fs: &Fs,
    (op, caller): (Op, Caller),
    (ino, name): (INodeNo, Option<&OsStr>),
    outcome: Result<T, Error>,
    reply: R,
    send: fn(R, T),
) {
    match outcome {
        Ok(value) => {
            log::done(fs, op, caller, ours(ino), name);
            send(reply, value);
        }
        Err(error) => reply.fail(refuse(fs, op, caller, ino, name, &error)),
    }
}

/// Logs what a close has stored.
pub(super) fn stored(fs: &Fs, caller: Caller, ino: INodeNo, change: Option<Change>) {
    if change.is_some() {
        log::written(fs, caller, ours(ino), change);
    }
}

pub(super) fn send_entry(reply: ReplyEntry, found: Found) {
    let (attr, name) = if found.kept { (ATTR_KEPT, NAME_KEPT) } else { (THIS_WALK, FRESH) };
    reply.entry_with_ttls(&attr, &name, &file_attr(&found.attr), Generation(0));
}

pub(super) fn send_kept_attr(reply: ReplyAttr, found: Found) {
    reply.attr(if found.kept { &ATTR_KEPT } else { &FRESH }, &file_attr(&found.attr));
}

pub(super) fn send_attr(reply: ReplyAttr, attr: Attr) {
    reply.attr(&FRESH, &file_attr(&attr));
}

pub(super) fn send_target(reply: ReplyData, target: PathBuf) {
    reply.data(target.as_os_str().as_bytes());
}

pub(super) fn send_made(reply: ReplyEntry, found: Found) {
    reply.entry(&FRESH, &file_attr(&found.attr), Generation(0));
}

pub(super) fn send_done(reply: ReplyEmpty, (): ()) {
    reply.ok();
}

pub(super) fn send_opened_dir(reply: ReplyOpen, handle: Handle) {
    reply.opened(FileHandle(handle.0), FopenFlags::empty());
}

pub(super) fn send_opened(reply: ReplyOpen, opened: Opened) {
    reply.opened(FileHandle(opened.handle.0), open_flags(opened.flush));
}

pub(super) fn send_created(reply: ReplyCreate, (found, opened): (Found, Opened)) {
    let (handle, flags) = (FileHandle(opened.handle.0), open_flags(opened.flush));
    reply.created(&FRESH, &file_attr(&found.attr), Generation(0), handle, flags);
}

/// Replies with what is read, if anything is; gives the reply back if not.
pub(super) fn try_read(
    file: &dyn OpenFile,
    (offset, size): (u64, u32),
    go: Result<(), Error>,
    reply: ReplyData,
) -> (Result<(), Error>, Option<ReplyData>) {
    let mut reply = Some(reply);
    let outcome = go.and_then(|()| {
        file.read(offset, size as usize, &mut |data| {
            if let Some(reply) = reply.take() {
                reply.data(data);
            }
        })
    });
    (outcome, reply)
}

/// Replies with what is read.
pub(super) fn read(
    fs: &Fs,
    caller: Caller,
    (ino, file, offset, size): (INodeNo, &dyn OpenFile, u64, u32),
    go: Result<(), Error>,
    reply: ReplyData,
) {
    match try_read(file, (offset, size), go, reply) {
        // A stream without anything, to be asked again.
        (Err(error), Some(reply)) if error.errno == libc::EAGAIN => reply.error(Errno::EAGAIN),
        (Err(error), Some(reply)) => {
            reply.error(refuse(fs, Op::Read, caller, ino, None, &error));
        }
        _ => log::done(fs, Op::Read, caller, ours(ino), None),
    }
}

/// Replies with the entries from `offset` on.
pub(super) fn list(
    fs: &Fs,
    caller: Caller,
    (ino, fh, offset): (INodeNo, FileHandle, u64),
    go: Result<(), Error>,
    mut reply: ReplyDirectory,
) -> Option<ReplyDirectory> {
    let mut listed = false;
    let outcome = go.and_then(|()| {
        fs.readdir(Handle(fh.0), offset, caller, &mut |entry| {
            let kind = file_type(entry.kind);
            let full = reply.add(INodeNo(entry.ino.0), entry.next, kind, entry.name);
            listed |= !full;
            full
        })
    });
    match outcome {
        Err(error) if error.is_later => return Some(reply),
        // What was listed is good; the next read meets the error again.
        Err(error) if !listed => {
            reply.error(refuse(fs, Op::Readdir, caller, ino, None, &error));
        }
        _ => {
            log::done(fs, Op::Readdir, caller, ours(ino), None);
            reply.ok();
        }
    }
    None
}

fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Dir => FileType::Directory,
        FileKind::File => FileType::RegularFile,
        FileKind::Symlink => FileType::Symlink,
    }
}

fn file_attr(attr: &Attr) -> FileAttr {
    let stat = attr.stat;
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: stat.atime,
        mtime: stat.mtime,
        ctime: stat.ctime,
        crtime: stat.ctime,
        kind: file_type(attr.kind),
        // 12 bits.
        perm: (stat.mode & 0o7777) as u16,
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// DIRECT_IO: what is read is what was rendered at open, whatever size a stat saw before.
fn open_flags(flush: bool) -> FopenFlags {
    if flush {
        FopenFlags::FOPEN_DIRECT_IO
    } else {
        FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH
    }
}

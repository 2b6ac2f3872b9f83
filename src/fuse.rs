//! FUSE requests to operations and back: decoding and replying, no policy.

mod log;
mod wait;

use crate::fs::base::handles::Handle;
use crate::fs::op::attr::NAME_MAX;
use crate::fs::op::change::{AttrChanges, NewTime};
use crate::fs::op::lookup::Found;
use crate::fs::{Attr, Caller, Error, FileKind, Fs, Ino, Op};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Names and attributes are asked for anew each time: other programs change maps at any moment.
const FRESH: Duration = Duration::ZERO;

/// The attributes in a look-up's reply hold for the path walk that asked for it: the kernel rounds
/// up to its clock's tick. Without, it asks for them again at once to check permissions; the next
/// walk looks the name up again in any case.
const THIS_WALK: Duration = Duration::from_nanos(1);

/// Bytes in a write request at most.
const WRITE_MAX: u32 = 1 << 20;

/// The file system as fuser calls it.
#[derive(Debug)]
pub struct Fuse(pub Arc<Fs>);

impl Fuse {
    /// Logs an operation that was done.
    fn log(&self, op: Op, req: &Request, ino: INodeNo, name: Option<&OsStr>) {
        log::done(&self.0, op, caller(req), ours(ino), name);
    }

    /// Remembers why an operation failed, and gives the errno to reply with.
    fn refuse(
        &self,
        op: Op,
        req: &Request,
        ino: INodeNo,
        name: Option<&OsStr>,
        error: &Error,
    ) -> Errno {
        refuse(&self.0, op, caller(req), ino, name, error)
    }

    /// Replies to what gives nothing but success.
    fn done(
        &self,
        op: Op,
        req: &Request,
        ino: INodeNo,
        name: Option<&OsStr>,
        outcome: Result<(), Error>,
        reply: ReplyEmpty,
    ) {
        match outcome {
            Ok(()) => {
                self.log(op, req, ino, name);
                reply.ok();
            }
            Err(error) => reply.error(self.refuse(op, req, ino, name, &error)),
        }
    }

    /// Replies to what makes a directory entry.
    fn made(
        &self,
        op: Op,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        outcome: Result<Found, Error>,
        reply: ReplyEntry,
    ) {
        match outcome {
            Ok(found) => {
                self.log(op, req, parent, Some(name));
                reply.entry(&FRESH, &file_attr(&found.attr), Generation(0));
            }
            Err(error) => reply.error(self.refuse(op, req, parent, Some(name), &error)),
        }
    }
}

fn refuse(
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

fn open(fs: &Fs, ino: INodeNo, flags: OpenFlags, caller: Caller, reply: ReplyOpen) {
    match fs.open(ours(ino), flags.0, caller) {
        Ok(opened) => {
            log::done(fs, Op::Open, caller, ours(ino), None);
            reply.opened(FileHandle(opened.handle.0), open_flags(opened.flush));
        }
        Err(error) => reply.error(refuse(fs, Op::Open, caller, ino, None, &error)),
    }
}

/// The inode number that the kernel was told.
fn ours(ino: INodeNo) -> Ino {
    Ino(ino.0)
}

fn caller(req: &Request) -> Caller {
    Caller { pid: req.pid(), uid: req.uid(), gid: req.gid() }
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

fn time(time: Option<TimeOrNow>) -> Option<NewTime> {
    time.map(|time| match time {
        TimeOrNow::SpecificTime(time) => NewTime::At(time),
        TimeOrNow::Now => NewTime::Now,
    })
}

impl Filesystem for Fuse {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each helps where the kernel has it, and is not needed where it has not.
        for flag in [
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ] {
            if config.add_capabilities(flag).is_err() {
                ::log::debug!("the kernel has no {flag:?}");
            }
        }
        if let Err(nearest) = config.set_max_write(WRITE_MAX) {
            ::log::debug!("writes come in pieces of {nearest} bytes");
        }
        Ok(())
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.0.lookup(ours(parent), name, caller(req)) {
            Ok(found) => {
                self.log(Op::Lookup, req, parent, Some(name));
                let attr = file_attr(&found.attr);
                reply.entry_with_ttls(&THIS_WALK, &FRESH, &attr, Generation(0));
            }
            Err(error) => reply.error(self.refuse(Op::Lookup, req, parent, Some(name), &error)),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.0.forget(ours(ino), nlookup);
    }

    fn getattr(&self, req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.getattr(ours(ino), caller(req)) {
            Ok(attr) => {
                self.log(Op::Stat, req, ino, None);
                reply.attr(&FRESH, &file_attr(&attr));
            }
            Err(error) => reply.error(self.refuse(Op::Stat, req, ino, None, &error)),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = AttrChanges { mode, uid, gid, atime: time(atime), mtime: time(mtime) };
        match self.0.setattr(ours(ino), changes, caller(req)) {
            Ok(attr) => {
                self.log(Op::Setattr, req, ino, None);
                reply.attr(&FRESH, &file_attr(&attr));
            }
            Err(error) => reply.error(self.refuse(Op::Setattr, req, ino, None, &error)),
        }
    }

    fn readlink(&self, req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.0.readlink(ours(ino), caller(req)) {
            Ok(target) => {
                self.log(Op::Readlink, req, ino, None);
                reply.data(target.as_os_str().as_bytes());
            }
            Err(error) => reply.error(self.refuse(Op::Readlink, req, ino, None, &error)),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let error = Error::new(libc::EPERM, "there are no special files here");
        reply.error(self.refuse(Op::Mknod, req, parent, Some(name), &error));
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let outcome = self.0.mkdir(ours(parent), name, caller(req));
        self.made(Op::Mkdir, req, parent, name, outcome, reply);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let outcome = self.0.unlink(ours(parent), name, caller(req));
        self.done(Op::Unlink, req, parent, Some(name), outcome, reply);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let outcome = self.0.rmdir(ours(parent), name, caller(req));
        self.done(Op::Rmdir, req, parent, Some(name), outcome, reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let outcome = self.0.symlink(ours(parent), name, target, caller(req));
        self.made(Op::Symlink, req, parent, name, outcome, reply);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (from, to) = ((ours(parent), name), (ours(newparent), newname));
        let outcome = self.0.rename(from, to, flags.bits(), caller(req));
        match outcome {
            Ok(()) => {
                log::renamed(&self.0, caller(req), from, to);
                reply.ok();
            }
            Err(error) => reply.error(self.refuse(Op::Rename, req, parent, Some(name), &error)),
        }
    }

    fn link(
        &self,
        req: &Request,
        _ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let error = Error::new(libc::EPERM, "there are no hard links here");
        reply.error(self.refuse(Op::Link, req, newparent, Some(newname), &error));
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let caller = caller(req);
        if self.0.open_may_wait(ours(ino)) {
            let fs = Arc::clone(&self.0);
            wait::beside("open", move || open(&fs, ino, flags, caller, reply));
        } else {
            open(&self.0, ino, flags, caller, reply);
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        match self.0.create(ours(parent), name, flags, caller(req)) {
            Ok((found, opened)) => {
                self.log(Op::Create, req, parent, Some(name));
                let (handle, flags) = (FileHandle(opened.handle.0), open_flags(opened.flush));
                reply.created(&FRESH, &file_attr(&found.attr), Generation(0), handle, flags);
            }
            Err(error) => reply.error(self.refuse(Op::Create, req, parent, Some(name), &error)),
        }
    }

    fn read(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let file = match self.0.file(Handle(fh.0)) {
            Ok(file) => file,
            Err(error) => return reply.error(self.refuse(Op::Read, req, ino, None, &error)),
        };
        let mut reply = Some(reply);
        let outcome = wait::read(&*file, offset, size, &mut reply);
        let (Err(error), Some(reply)) = (outcome, reply) else {
            return self.log(Op::Read, req, ino, None);
        };
        if error.errno != libc::EAGAIN {
            reply.error(self.refuse(Op::Read, req, ino, None, &error));
        } else if flags.0 & libc::O_NONBLOCK != 0 {
            reply.error(Errno::EAGAIN);
        } else {
            wait::read_later(file, offset, size, reply);
        }
    }

    fn poll(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        notifier: PollNotifier,
        events: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        match self.0.file(Handle(fh.0)) {
            Ok(file) => {
                let notifier =
                    flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY).then_some(notifier);
                self.log(Op::Poll, req, ino, None);
                reply.poll(wait::poll(&file, Handle(fh.0), events, notifier));
            }
            Err(error) => reply.error(self.refuse(Op::Poll, req, ino, None, &error)),
        }
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(Handle(fh.0), offset, data) {
            Ok(taken) => {
                self.log(Op::Write, req, ino, None);
                // No more than one request's data.
                reply.written(taken as u32);
            }
            Err(error) => reply.error(self.refuse(Op::Write, req, ino, None, &error)),
        }
    }

    fn flush(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.done(Op::Close, req, ino, None, self.0.flush(Handle(fh.0), caller(req)), reply);
    }

    fn release(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        match self.0.release(ours(ino), Handle(fh.0)) {
            Ok(()) => self.log(Op::Release, req, ino, None),
            // Nobody hears it any more, but /.errors has it.
            Err(error) => _ = self.refuse(Op::Close, req, ino, None, &error),
        }
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        // A write has taken effect when it returns.
        reply.ok();
    }

    fn opendir(&self, req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.0.opendir(ours(ino)) {
            Ok(handle) => {
                self.log(Op::Opendir, req, ino, None);
                reply.opened(FileHandle(handle.0), FopenFlags::empty());
            }
            Err(error) => reply.error(self.refuse(Op::Opendir, req, ino, None, &error)),
        }
    }

    fn readdir(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut listed = false;
        let outcome = self.0.readdir(Handle(fh.0), offset, &mut |entry| {
            let kind = file_type(entry.kind);
            let full = reply.add(INodeNo(entry.ino.0), entry.next, kind, entry.name);
            listed |= !full;
            full
        });
        match outcome {
            // What was listed is good; the next read meets the error again.
            Err(error) if !listed => reply.error(self.refuse(Op::Readdir, req, ino, None, &error)),
            _ => {
                self.log(Op::Readdir, req, ino, None);
                reply.ok();
            }
        }
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.releasedir(Handle(fh.0));
        reply.ok();
    }

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.log(Op::Statfs, req, ino, None);
        // Like bpffs: nothing is stored here, and names have a limit.
        reply.statfs(0, 0, 0, 0, 0, 4096, NAME_MAX, 4096);
    }
}

//! FUSE requests to operations and back: decoding and replying, no policy.

mod forget;
mod log;
mod wait;

use crate::fs::base::handles::Handle;
use crate::fs::base::held::{self, Held};
use crate::fs::base::open_file::{Change, OpenFile};
use crate::fs::base::opened::Opened;
use crate::fs::op::attr::NAME_MAX;
use crate::fs::op::change::{AttrChanges, NewTime};
use crate::fs::op::lookup::Found;
use crate::fs::{Attr, Caller, Error, FileKind, Fs, Ino, Op};
use forget::Forgetting;
use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, PollEvents,
    PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wait::{StreamRead, Waiting};

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
pub struct Fuse {
    fs: Arc<Fs>,
    waiting: Arc<Waiting>,
    forgetting: Arc<Forgetting>,
}

impl Fuse {
    /// Answers for `fs`; `kernel` is another descriptor of the connection, to tell the kernel by.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new(fs: Fs, kernel: OwnedFd) -> io::Result<Self> {
        let fs = Arc::new(fs);
        let waiting = Waiting::start(Arc::clone(&fs))?;
        Ok(Self { fs, waiting, forgetting: Forgetting::new(kernel.into()) })
    }

    /// Does beside the threads that answer what they found to take long. `act` is told why if it is
    /// not to be done, which it is to answer.
    fn later(
        &self,
        caller: Caller,
        act: impl FnOnce(&Fs, Caller, Result<(), Error>) + Send + 'static,
    ) {
        let fs = Arc::clone(&self.fs);
        let caller = Caller { beside: true, ..caller };
        self.fs.pool.run(caller, move |go| act(&fs, caller, go));
    }

    /// Reads into the page cache: for sendfile(2) and splice(2), which would cut or fill the text by the
    /// size that was told last, or for a mapping. Programs that are refused read(2);
    /// one that maps cannot, so it gets what is whole in one page.
    fn read_page(
        &self,
        caller: Caller,
        (ino, fh, offset, size): (INodeNo, FileHandle, u64, u32),
        reply: ReplyData,
    ) {
        let refuse = move |fs: &Fs, reply: ReplyData| {
            ::log::debug!("{}: a read through the page cache", fs.path(ours(ino), None));
            reply.error(Errno::EINVAL);
        };
        if !self.fs.is_one_page(Handle(fh.0)) {
            return refuse(&self.fs, reply);
        }
        self.later(caller, move |fs, caller, go| match fs.file(Handle(fh.0)) {
            Ok(file) if go.is_ok() && caller.maps() => {
                read(fs, caller, (ino, &*file, offset, size), go, reply);
            }
            _ => refuse(fs, reply),
        });
    }

    /// Logs an operation that was done.
    fn log(&self, op: Op, req: &Request, ino: INodeNo, name: Option<&OsStr>) {
        log::done(&self.fs, op, caller(&self.fs, req), ours(ino), name);
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
        refuse(&self.fs, op, caller(&self.fs, req), ino, name, error)
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

/// Replies to an operation that gives a value, with `send`.
fn answer<T, R>(
    fs: &Fs,
    (op, caller): (Op, Caller),
    (ino, name): (INodeNo, Option<&OsStr>),
    outcome: Result<T, Error>,
    reply: R,
    (send, fail): (impl FnOnce(R, T), impl FnOnce(R, Errno)),
) {
    match outcome {
        Ok(value) => {
            log::done(fs, op, caller, ours(ino), name);
            send(reply, value);
        }
        Err(error) => fail(reply, refuse(fs, op, caller, ino, name, &error)),
    }
}

/// Logs what a close has stored.
fn stored(fs: &Fs, caller: Caller, ino: INodeNo, change: Option<Change>) {
    if change.is_some() {
        log::written(fs, caller, ours(ino), change);
    }
}

fn send_entry(reply: ReplyEntry, found: Found) {
    reply.entry_with_ttls(&THIS_WALK, &FRESH, &file_attr(&found.attr), Generation(0));
}

fn send_attr(reply: ReplyAttr, attr: Attr) {
    reply.attr(&FRESH, &file_attr(&attr));
}

fn send_opened(reply: ReplyOpen, opened: Opened) {
    reply.opened(FileHandle(opened.handle.0), open_flags(opened.flush));
}

fn send_created(reply: ReplyCreate, (found, opened): (Found, Opened)) {
    let (handle, flags) = (FileHandle(opened.handle.0), open_flags(opened.flush));
    reply.created(&FRESH, &file_attr(&found.attr), Generation(0), handle, flags);
}

/// Replies with what is read.
fn read(
    fs: &Fs,
    caller: Caller,
    (ino, file, offset, size): (INodeNo, &dyn OpenFile, u64, u32),
    go: Result<(), Error>,
    reply: ReplyData,
) {
    let mut reply = Some(reply);
    let outcome = go.and_then(|()| {
        file.read(offset, size as usize, &mut |data| {
            if let Some(reply) = reply.take() {
                reply.data(data);
            }
        })
    });
    match (outcome, reply) {
        // A stream without anything, to be asked again.
        (Err(error), Some(reply)) if error.errno == libc::EAGAIN => reply.error(Errno::EAGAIN),
        (Err(error), Some(reply)) => {
            reply.error(refuse(fs, Op::Read, caller, ino, None, &error));
        }
        _ => log::done(fs, Op::Read, caller, ours(ino), None),
    }
}

/// Replies with the entries from `offset` on.
fn list(
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

/// The inode number that the kernel was told.
fn ours(ino: INodeNo) -> Ino {
    Ino(ino.0)
}

fn caller(fs: &Fs, req: &Request) -> Caller {
    fs.caller(req.pid(), req.uid(), req.gid())
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
        // Each helps where the kernel has it, and is not needed where it has not: FUSE_ABORT_ERROR tells an
        // abort (`mount::serve`) from unmounting. Left out are two that would let programs read what is
        // not the text: by FUSE_ATOMIC_O_TRUNC an open would make a file look empty to others'
        // sendfile(2) until it is written, by FUSE_DIRECT_IO_ALLOW_MMAP a shared mapping would show
        // pages of different moments.
        for flag in [InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_ABORT_ERROR] {
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
        self.forgetting.look(&self.fs);
        let caller = caller(&self.fs, req);
        match self.fs.lookup(ours(parent), name, caller) {
            Err(error) if error.is_later => {
                let name = name.to_owned();
                self.later(caller, move |fs, caller, go| {
                    let found = go.and_then(|()| fs.lookup(ours(parent), &name, caller));
                    let at = (parent, Some(&*name));
                    let how = (send_entry, ReplyEntry::error);
                    answer(fs, (Op::Lookup, caller), at, found, reply, how);
                });
            }
            found => {
                let (at, how) = ((parent, Some(name)), (send_entry, ReplyEntry::error));
                answer(&self.fs, (Op::Lookup, caller), at, found, reply, how);
            }
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.fs.forget(ours(ino), nlookup);
    }

    fn getattr(&self, req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let caller = caller(&self.fs, req);
        match self.fs.getattr(ours(ino), caller) {
            Err(error) if error.is_later => self.later(caller, move |fs, caller, go| {
                let attr = go.and_then(|()| fs.getattr(ours(ino), caller));
                let how = (send_attr, ReplyAttr::error);
                answer(fs, (Op::Stat, caller), (ino, None), attr, reply, how);
            }),
            attr => {
                let how = (send_attr, ReplyAttr::error);
                answer(&self.fs, (Op::Stat, caller), (ino, None), attr, reply, how);
            }
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = AttrChanges { mode, uid, gid, atime: time(atime), mtime: time(mtime) };
        let caller = caller(&self.fs, req);
        // The kernel does not say for which open it cuts the file.
        if size == Some(0) && fh.is_none() {
            self.fs.truncated(ours(ino), caller);
        }
        match self.fs.setattr(ours(ino), changes, caller) {
            Err(error) if error.is_later => self.later(caller, move |fs, caller, go| {
                let attr = go.and_then(|()| fs.setattr(ours(ino), changes, caller));
                let how = (send_attr, ReplyAttr::error);
                answer(fs, (Op::Setattr, caller), (ino, None), attr, reply, how);
            }),
            attr => {
                let how = (send_attr, ReplyAttr::error);
                answer(&self.fs, (Op::Setattr, caller), (ino, None), attr, reply, how);
            }
        }
    }

    fn readlink(&self, req: &Request, ino: INodeNo, reply: ReplyData) {
        let caller = caller(&self.fs, req);
        let send = |reply: ReplyData, target: PathBuf| reply.data(target.as_os_str().as_bytes());
        match self.fs.readlink(ours(ino), caller) {
            Err(error) if error.is_later => self.later(caller, move |fs, caller, go| {
                let target = go.and_then(|()| fs.readlink(ours(ino), caller));
                let how = (send, ReplyData::error);
                answer(fs, (Op::Readlink, caller), (ino, None), target, reply, how);
            }),
            target => {
                let how = (send, ReplyData::error);
                answer(&self.fs, (Op::Readlink, caller), (ino, None), target, reply, how);
            }
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
        let outcome = self.fs.mkdir(ours(parent), name, caller(&self.fs, req));
        self.made(Op::Mkdir, req, parent, name, outcome, reply);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let outcome = self.fs.unlink(ours(parent), name, caller(&self.fs, req));
        self.done(Op::Unlink, req, parent, Some(name), outcome, reply);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let outcome = self.fs.rmdir(ours(parent), name, caller(&self.fs, req));
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
        let outcome = self.fs.symlink(ours(parent), name, target, caller(&self.fs, req));
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
        let outcome = self.fs.rename(from, to, flags.bits(), caller(&self.fs, req));
        match outcome {
            Ok(()) => {
                log::renamed(&self.fs, caller(&self.fs, req), from, to);
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
        let caller = caller(&self.fs, req);
        match self.fs.open(ours(ino), flags.0, caller) {
            Err(error) if error.is_later => self.later(caller, move |fs, caller, go| {
                let opened = go.and_then(|()| fs.open(ours(ino), flags.0, caller));
                let how = (send_opened, ReplyOpen::error);
                answer(fs, (Op::Open, caller), (ino, None), opened, reply, how);
            }),
            opened => {
                let how = (send_opened, ReplyOpen::error);
                answer(&self.fs, (Op::Open, caller), (ino, None), opened, reply, how);
            }
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
        let caller = caller(&self.fs, req);
        match self.fs.create(ours(parent), name, flags, caller) {
            Err(error) if error.is_later => {
                let name = name.to_owned();
                self.later(caller, move |fs, caller, go| {
                    let made = go.and_then(|()| fs.create(ours(parent), &name, flags, caller));
                    let at = (parent, Some(&*name));
                    let how = (send_created, ReplyCreate::error);
                    answer(fs, (Op::Create, caller), at, made, reply, how);
                });
            }
            made => {
                let (at, how) = ((parent, Some(name)), (send_created, ReplyCreate::error));
                answer(&self.fs, (Op::Create, caller), at, made, reply, how);
            }
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
        lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if lock_owner.is_none() {
            return self.read_page(caller(&self.fs, req), (ino, fh, offset, size), reply);
        }
        let file = match self.fs.file(Handle(fh.0)) {
            Ok(file) => file,
            Err(error) => return reply.error(self.refuse(Op::Read, req, ino, None, &error)),
        };
        let caller = caller(&self.fs, req);
        if file.is_long() {
            if flags.0 & libc::O_NONBLOCK == 0 {
                let number = req.unique().0;
                let read = StreamRead { number, ino, file, offset, size, caller, reply };
                return self.waiting.read(read);
            }
            return self.later(caller, move |fs, caller, go| {
                read(fs, caller, (ino, &*file, offset, size), go, reply);
            });
        }
        read(&self.fs, caller, (ino, &*file, offset, size), Ok(()), reply);
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
        let file = match self.fs.file(Handle(fh.0)) {
            Ok(file) => file,
            Err(error) => return reply.error(self.refuse(Op::Poll, req, ino, None, &error)),
        };
        self.log(Op::Poll, req, ino, None);
        let asks = flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY);
        let writable = PollEvents::POLLOUT | PollEvents::POLLWRNORM;
        let readable = PollEvents::POLLIN | PollEvents::POLLRDNORM;
        if !file.is_long() {
            return reply.poll((readable | writable) & events);
        }
        let waiting = Arc::clone(&self.waiting);
        self.later(caller(&self.fs, req), move |_, _, _| {
            if file.is_ready() {
                return reply.poll((readable | writable) & events);
            }
            // The kernel may be told before it has the reply: it asks again then.
            if asks {
                waiting.poll(&file, Handle(fh.0), notifier);
            }
            reply.poll(writable & events);
        });
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
        let caller = caller(&self.fs, req);
        let write = move |fs: &Fs, data: &[u8]| fs.write(Handle(fh.0), offset, data);
        let answer = move |fs: &Fs, taken, reply: ReplyWrite| match taken {
            Ok(taken) => {
                log::written(fs, caller, ours(ino), fs.take_change(Handle(fh.0)));
                // No more than one request's data.
                let taken: usize = taken;
                reply.written(taken as u32);
            }
            Err(error) => reply.error(refuse(fs, Op::Write, caller, ino, None, &error)),
        };
        if !self.fs.writes_long(Handle(fh.0), offset, data.len()) {
            return answer(&self.fs, write(&self.fs, data), reply);
        }
        let held = held::check(data.len()).map(|()| Held::new(data.to_vec()));
        self.later(caller, move |fs, _, go| {
            answer(fs, go.and(held).and_then(|data| write(fs, &data)), reply);
        });
    }

    /// Refused by its own errno. Unanswered, the kernel would copy through the page cache, and its
    /// newer versions make EIO of what is refused there, upon which cp and cat do not go on by read(2).
    fn copy_file_range(
        &self,
        _req: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        ::log::debug!("{}: copy_file_range is refused", self.fs.path(ours(ino_in), None));
        reply.error(Errno::EINVAL);
    }

    fn flush(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let caller = caller(&self.fs, req);
        let send = |reply: ReplyEmpty, ()| reply.ok();
        match self.fs.flush(Handle(fh.0), caller) {
            Err(error) if error.is_later => self.later(caller, move |fs, caller, go| {
                let outcome = match go {
                    // What a program wrote before it was killed counts no less.
                    Err(error) if error.errno == libc::EINTR => Ok(()),
                    go => go,
                };
                let outcome = outcome.and_then(|()| fs.flush(Handle(fh.0), caller));
                stored(fs, caller, ino, fs.take_change(Handle(fh.0)));
                let how = (send, ReplyEmpty::error);
                answer(fs, (Op::Close, caller), (ino, None), outcome, reply, how);
            }),
            outcome => {
                stored(&self.fs, caller, ino, self.fs.take_change(Handle(fh.0)));
                let how = (send, ReplyEmpty::error);
                answer(&self.fs, (Op::Close, caller), (ino, None), outcome, reply, how);
            }
        }
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
        self.waiting.forget(Handle(fh.0));
        // Whoever closed it last, it is on the opener's account.
        let opener = self.fs.long_opener(Handle(fh.0));
        let caller = caller(&self.fs, req);
        let release = move |fs: &Fs| match fs.release(ours(ino), Handle(fh.0)) {
            Ok(change) => {
                stored(fs, caller, ino, change);
                log::done(fs, Op::Release, caller, ours(ino), None);
            }
            // Nobody hears it any more, but /.errors has it.
            Err(error) => _ = refuse(fs, Op::Close, caller, ino, None, &error),
        };
        match opener {
            // In any case.
            Some(opener) => self.later(opener, move |fs, _, _| {
                release(fs);
                reply.ok();
            }),
            None => {
                release(&self.fs);
                reply.ok();
            }
        }
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
        match self.fs.opendir(ours(ino), caller(&self.fs, req)) {
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
        reply: ReplyDirectory,
    ) {
        let (caller, what) = (caller(&self.fs, req), (ino, fh, offset));
        if let Some(reply) = list(&self.fs, caller, what, Ok(()), reply) {
            self.later(caller, move |fs, caller, go| _ = list(fs, caller, what, go, reply));
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
        self.fs.releasedir(Handle(fh.0));
        reply.ok();
    }

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.log(Op::Statfs, req, ino, None);
        // Like bpffs: nothing is stored here, and names have a limit.
        reply.statfs(0, 0, 0, 0, 0, 4096, NAME_MAX, 4096);
    }
}

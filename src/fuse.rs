//! FUSE requests to operations and back: decoding and replying, no policy.

mod forget;
mod kernel;
mod log;
mod reply;
mod wait;

use crate::fs::base::handles::Handle;
use crate::fs::base::held::{self, Held};
use crate::fs::base::kept_dirs::KernelCache;
use crate::fs::op::attr::NAME_MAX;
use crate::fs::op::change::{AttrChanges, NewTime};
use crate::fs::{Caller, Error, Fs, Ino, Op};
use forget::Forgetting;
use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use kernel::Kernel;
use reply::{Reply, answer, list, read, refuse, stored};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use wait::{StreamRead, Waiting};

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
        let kernel = Arc::new(Kernel::new(kernel.into()));
        fs.keep_dirs(Arc::clone(&kernel) as Arc<dyn KernelCache>);
        Ok(Self { fs, waiting, forgetting: Forgetting::new(kernel) })
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

    /// Does an operation, beside the threads that answer everybody if it takes long, and replies.
    fn act<T: 'static, R: Reply>(
        &self,
        (op, req): (Op, &Request),
        (ino, name): (INodeNo, Option<&OsStr>),
        act: impl Fn(&Fs, Caller) -> Result<T, Error> + Send + 'static,
        reply: R,
        send: fn(R, T),
    ) {
        let caller = caller(&self.fs, req);
        match act(&self.fs, caller) {
            Err(error) if error.is_later => {
                let name = name.map(OsStr::to_owned);
                self.later(caller, move |fs, caller, go| {
                    let outcome = go.and_then(|()| act(fs, caller));
                    let at = (ino, name.as_deref());
                    answer(fs, (op, caller), at, outcome, reply, send);
                });
            }
            outcome => answer(&self.fs, (op, caller), (ino, name), outcome, reply, send),
        }
    }
}

/// The inode number that the kernel was told.
fn ours(ino: INodeNo) -> Ino {
    Ino(ino.0)
}

fn caller(fs: &Fs, req: &Request) -> Caller {
    fs.caller(req.pid(), req.uid(), req.gid())
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
        let wanted = name.to_owned();
        let act = move |fs: &Fs, caller| fs.lookup(ours(parent), &wanted, caller);
        self.act((Op::Lookup, req), (parent, Some(name)), act, reply, reply::send_entry);
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.fs.forget(ours(ino), nlookup);
    }

    fn getattr(&self, req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let act = move |fs: &Fs, caller| fs.getattr(ours(ino), caller);
        self.act((Op::Stat, req), (ino, None), act, reply, reply::send_kept_attr);
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
        // The kernel does not say for which open it cuts the file.
        if size == Some(0) && fh.is_none() {
            self.fs.truncated(ours(ino), caller(&self.fs, req));
        }
        let act = move |fs: &Fs, caller| fs.setattr(ours(ino), changes, caller);
        self.act((Op::Setattr, req), (ino, None), act, reply, reply::send_attr);
    }

    fn readlink(&self, req: &Request, ino: INodeNo, reply: ReplyData) {
        let act = move |fs: &Fs, caller| fs.readlink(ours(ino), caller);
        self.act((Op::Readlink, req), (ino, None), act, reply, reply::send_target);
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
        let wanted = name.to_owned();
        let act = move |fs: &Fs, caller| fs.mkdir(ours(parent), &wanted, caller);
        self.act((Op::Mkdir, req), (parent, Some(name)), act, reply, reply::send_made);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let wanted = name.to_owned();
        let act = move |fs: &Fs, caller| fs.unlink(ours(parent), &wanted, caller);
        self.act((Op::Unlink, req), (parent, Some(name)), act, reply, reply::send_done);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let wanted = name.to_owned();
        let act = move |fs: &Fs, caller| fs.rmdir(ours(parent), &wanted, caller);
        self.act((Op::Rmdir, req), (parent, Some(name)), act, reply, reply::send_done);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (wanted, target) = (name.to_owned(), target.to_owned());
        let act = move |fs: &Fs, caller| fs.symlink(ours(parent), &wanted, &target, caller);
        self.act((Op::Symlink, req), (parent, Some(name)), act, reply, reply::send_made);
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
        let (from, to) = ((ours(parent), name.to_owned()), (ours(newparent), newname.to_owned()));
        let act = move |fs: &Fs, caller| {
            let (from, to) = ((from.0, &*from.1), (to.0, &*to.1));
            fs.rename(from, to, flags.bits(), caller)?;
            log::renamed(fs, caller, from, to);
            Ok(())
        };
        self.act((Op::Rename, req), (parent, Some(name)), act, reply, reply::send_done);
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
        let act = move |fs: &Fs, caller| fs.open(ours(ino), flags.0, caller);
        self.act((Op::Open, req), (ino, None), act, reply, reply::send_opened);
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
        let wanted = name.to_owned();
        let act = move |fs: &Fs, caller| fs.create(ours(parent), &wanted, flags, caller);
        self.act((Op::Create, req), (parent, Some(name)), act, reply, reply::send_created);
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
        match self.fs.flush(Handle(fh.0), caller) {
            Err(error) if error.is_later => self.later(caller, move |fs, caller, go| {
                let outcome = match go {
                    // What a program wrote before it was killed counts no less.
                    Err(error) if error.errno == libc::EINTR => Ok(()),
                    go => go,
                };
                let outcome = outcome.and_then(|()| fs.flush(Handle(fh.0), caller));
                stored(fs, caller, ino, fs.take_change(Handle(fh.0)));
                answer(fs, (Op::Close, caller), (ino, None), outcome, reply, reply::send_done);
            }),
            outcome => {
                stored(&self.fs, caller, ino, self.fs.take_change(Handle(fh.0)));
                answer(
                    &self.fs,
                    (Op::Close, caller),
                    (ino, None),
                    outcome,
                    reply,
                    reply::send_done,
                );
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
        let act = move |fs: &Fs, caller| fs.opendir(ours(ino), caller);
        self.act((Op::Opendir, req), (ino, None), act, reply, reply::send_opened_dir);
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

//! A file system that does nothing, as fast as fuser can: what `scripts/bench` compares with.
//!
//! `nullfs MOUNTPOINT FILES [plus]` shows a directory `d` of FILES files named 0, 1, …, each with a
//! line of text, under the same FUSE settings as bpffuse. The root and `d/d/d` have them too, unlisted. With `plus`, listings bring attributes
//! that the kernel may keep for a second (READDIRPLUS_AUTO).

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    SessionACL, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

const TEXT: &[u8] = b"12345678\n";

const ROOT: u64 = 1;
const DIR: u64 = 2;
/// The one in it that is in it.
const DEEPEST: u64 = 4;
const FIRST_FILE: u64 = 5;

/// As bpffuse has it: attributes hold for the path walk that asked for them.
const THIS_WALK: Duration = Duration::from_nanos(1);

struct Null {
    files: u64,
    plus: bool,
}

impl Null {
    fn ttl(&self) -> Duration {
        if self.plus { Duration::from_secs(1) } else { Duration::ZERO }
    }

    fn entries(&self, dir: u64) -> u64 {
        2 + if dir == ROOT { 1 } else { self.files }
    }
}

fn attr(ino: u64) -> FileAttr {
    let (kind, perm, size) = match ino {
        ROOT..=DEEPEST => (FileType::Directory, 0o700, 0),
        _ => (FileType::RegularFile, 0o600, TEXT.len() as u64),
    };
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Entry `n` of a directory: `.`, `..`, then `d` or the files.
fn entry(dir: u64, n: u64, name: &mut Vec<u8>) -> (u64, FileType) {
    name.clear();
    match n {
        0 | 1 => {
            name.extend_from_slice(&b".."[..=n as usize]);
            (if n == 0 { dir } else { ROOT }, FileType::Directory)
        }
        _ if dir == ROOT => {
            name.push(b'd');
            (DIR, FileType::Directory)
        }
        n => {
            // A vector takes all that is written to it.
            let _ = write!(name, "{}", n - 2);
            (n - 2 + FIRST_FILE, FileType::RegularFile)
        }
    }
}

fn os_str(name: &[u8]) -> &OsStr {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(name)
}

impl Filesystem for Null {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        if self.plus {
            let _ = config.add_capabilities(InitFlags::FUSE_DO_READDIRPLUS);
            let _ = config.add_capabilities(InitFlags::FUSE_READDIRPLUS_AUTO);
        }
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
        let ino = match number {
            None if parent.0 < DEEPEST && name == "d" => parent.0 + 1,
            Some(n) if n < self.files => n + FIRST_FILE,
            _ => return reply.error(Errno::ENOENT),
        };
        let ttl = if self.plus { self.ttl() } else { THIS_WALK };
        reply.entry_with_ttls(&ttl, &self.ttl(), &attr(ino), Generation(0));
    }

    fn forget(&self, _req: &Request, _ino: INodeNo, _nlookup: u64) {}

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&self.ttl(), &attr(ino.0));
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&self.ttl(), &attr(ino.0));
    }

    fn open(&self, _req: &Request, _ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let mut open = FopenFlags::FOPEN_DIRECT_IO;
        if flags.0 & libc::O_ACCMODE == libc::O_RDONLY {
            open |= FopenFlags::FOPEN_NOFLUSH;
        }
        reply.opened(FileHandle(1), open);
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let start = (offset as usize).min(TEXT.len());
        let end = (start + size as usize).min(TEXT.len());
        reply.data(TEXT.get(start..end).unwrap_or_default());
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.written(data.len() as u32);
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut name = Vec::new();
        for n in offset..self.entries(ino.0) {
            let (ino, kind) = entry(ino.0, n, &mut name);
            if reply.add(INodeNo(ino), n + 1, kind, os_str(&name)) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let mut name = Vec::new();
        for n in offset..self.entries(ino.0) {
            let (ino, _) = entry(ino.0, n, &mut name);
            let ttl = self.ttl();
            if reply.add(INodeNo(ino), n + 1, os_str(&name), &ttl, &attr(ino), Generation(0)) {
                break;
            }
        }
        reply.ok();
    }
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mountpoint, files, rest @ ..] = &args[..] else {
        return Err(io::Error::other("usage: nullfs MOUNTPOINT FILES [plus]"));
    };
    let files = files.parse().map_err(io::Error::other)?;
    let plus = rest.iter().any(|word| word == "plus");
    let mut config = fuser::Config::default();
    config.mount_options =
        vec![MountOption::FSName("nullfs".into()), MountOption::DefaultPermissions];
    config.acl = SessionACL::Owner;
    config.n_threads = Some(std::thread::available_parallelism().map_or(1, usize::from).min(4));
    fuser::mount(Null { files, plus }, mountpoint, &config)
}

//! Mounts, paths that no symlink can divert, and going to the background.

use super::{Call, Error, Result, c_path, check_libc, mounts, named, own_libc};
use nix::fcntl::{self, AT_FDCWD, OFlag, OpenHow, ResolveFlag};
use nix::mount::{self, MntFlags, MsFlags};
use nix::net::if_;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{self, Mode, UtimensatFlags};
use nix::sys::statfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{self, ForkResult, SysconfVar};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::SystemTime;

/// Opens `path` with O_PATH, following no symlink anywhere in it: a directory that somebody
/// swaps for a symlink between two calls cannot lead elsewhere (openat2(2), Linux 5.6).
///
/// # Errors
/// ELOOP if a component is a symlink (the last one is opened itself); ENOENT, EACCES.
pub fn open_path(path: &Path) -> Result<File> {
    openat2(AT_FDCWD, path, ResolveFlag::empty())
}

/// As [`open_path`], for a path below a directory that leaves neither it nor its file system: EXDEV
/// where something is mounted, which is not asked for anything.
///
/// # Errors
/// EXDEV; those of [`open_path`].
pub fn open_below(dir: &File, path: &Path) -> Result<File> {
    openat2(dir.as_fd(), path, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV)
}

/// As [`open_below`], for a name on which something may be mounted: the root of that, which is not
/// asked for anything by this.
///
/// # Errors
/// Those of [`open_path`].
pub fn open_mount(dir: &File, name: &Path) -> Result<File> {
    openat2(dir.as_fd(), name, ResolveFlag::RESOLVE_BENEATH)
}

fn openat2(dir: BorrowedFd<'_>, path: &Path, resolve: ResolveFlag) -> Result<File> {
    let unlinked = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(unlinked | resolve);
    named(Call::OpenAt2, fcntl::openat2(dir, path, how)).map(File::from)
}

/// Gives the calling thread a table of open files of its own, with none in it (close_range(2), Linux
/// 5.9). Files of other threads stay open there, and none is any longer open here.
///
/// # Errors
/// ENOMEM; ENOSYS before Linux 5.9.
pub fn leave_files() -> Result<()> {
    // SAFETY: no memory is passed. Descriptors of the old table mean nothing in this thread from here
    // on, which its caller must keep to; others' are untouched.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            0 as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_UNSHARE,
        )
    };
    check_libc(Call::CloseRange, rc).map(drop)
}

/// The device, `MAJOR:MINOR`, of the file system that an open file is in: without asking the file
/// system, which may be our own (statx(2), Linux 4.11).
///
/// # Errors
/// None that is known.
pub fn device(file: &File) -> Result<(u32, u32)> {
    const CALL: Call = Call::Statx;
    // SAFETY: statx is plain data, for which all zeros are valid.
    let mut buf: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path is NUL-terminated and empty, and `buf` is writable.
    check_libc(CALL, unsafe {
        libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, 0, &raw mut buf)
    })?;
    Ok((buf.stx_dev_major, buf.stx_dev_minor))
}

/// The file system's magic number at `path` (statfs(2)).
pub fn fs_magic(path: &Path) -> Result<u64> {
    let found = named(Call::Statfs, statfs::statfs(path))?;
    Ok(found.filesystem_type().0 as u64)
}

/// bpffs's magic number (`BPF_FS_MAGIC` in `include/uapi/linux/magic.h`).
pub const BPF_FS_MAGIC: u64 = libc::BPF_FS_MAGIC as u64;

/// Mounts a bpffs at `path`.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; ENODEV if the kernel has no bpffs.
pub fn mount_bpffs(path: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    named(Call::Mount, mount::mount(Some("bpf"), path, Some("bpf"), flags, None::<&str>))
}

/// Opens the kernel's side of a new FUSE file system, and mounts that at `target`, as `source` in the
/// mount table, for the user that this process acts as.
///
/// # Errors
/// ENOENT if there is no `/dev/fuse`; EPERM without CAP_SYS_ADMIN.
pub fn mount_fuse(
    source: &Path,
    target: &Path,
    flags: libc::c_ulong,
    options: &str,
) -> Result<OwnedFd> {
    let device = open_flags(Path::new("/dev/fuse"), OFlag::O_RDWR)?;
    let (fd, uid, gid) = (device.as_raw_fd(), unistd::geteuid(), unistd::getegid());
    let data = format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid},{options}");
    let flags = MsFlags::from_bits_retain(flags);
    let data = Some(data.as_str());
    named(Call::Mount, mount::mount(Some(source), target, Some("fuse"), flags, data))?;
    Ok(device)
}

/// umount2(2); `lazy` detaches a busy or dead mount.
pub fn unmount(path: &Path, lazy: bool) -> Result<()> {
    let lazily = if lazy { MntFlags::MNT_DETACH } else { MntFlags::empty() };
    named(Call::Unmount, mount::umount2(path, MntFlags::UMOUNT_NOFOLLOW | lazily))
}

/// renameat2(2) with RENAME_* flags.
pub fn rename(from: &Path, to: &Path, flags: u32) -> Result<()> {
    const CALL: Call = Call::RenameAt2;
    let (from, to) = (c_path(CALL, from)?, c_path(CALL, to)?);
    // SAFETY: both paths are NUL-terminated.
    check_libc(CALL, unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
    })
    .map(drop)
}

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTime {
    /// The kernel's present one, which whoever may write may set.
    Now,
    /// Any other, which the owner alone may set.
    At(SystemTime),
}

/// Sets access and modification time; `None` leaves one as it is (utimensat(2)). Follows symlinks:
/// meant for `/proc/self/fd/N`.
pub fn set_times(path: &Path, atime: Option<NewTime>, mtime: Option<NewTime>) -> Result<()> {
    let (atime, mtime) = (timespec(atime), timespec(mtime));
    let followed = UtimensatFlags::FollowSymlink;
    named(Call::Utimensat, stat::utimensat(AT_FDCWD, path, &atime, &mtime, followed))
}

fn timespec(time: Option<NewTime>) -> TimeSpec {
    let time = match time {
        None => return TimeSpec::UTIME_OMIT,
        Some(NewTime::Now) => return TimeSpec::UTIME_NOW,
        Some(NewTime::At(time)) => time,
    };
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => TimeSpec::from_duration(after),
        Err(before) => {
            // Whole seconds down, so that the nanoseconds count upwards.
            let before = before.duration();
            let up = u64::from(before.subsec_nanos() > 0);
            let nanos = (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000;
            let seconds = (before.as_secs() + up).cast_signed().saturating_neg();
            TimeSpec::new(seconds, nanos.into())
        }
    }
}

/// Bytes in a page of memory.
pub fn page_size() -> usize {
    let size = unistd::sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(4096)
}

/// The user that this process acts as.
pub fn effective_uid() -> u32 {
    unistd::geteuid().as_raw()
}

/// Which side of [`fork_daemon`] this process is.
#[derive(Debug)]
pub enum Fork {
    /// The process that the user started: it reads one report from the pipe.
    Parent(File),
    /// The daemon, in a session of its own: it writes the report.
    Child(File),
}

/// Forks; the child starts a session of its own. Must be called before any thread is started.
///
/// # Errors
/// EAGAIN, ENOMEM, EMFILE of pipe2(2) and fork(2).
pub fn fork_daemon() -> Result<Fork> {
    let (reader, writer) = named(Call::Pipe, unistd::pipe2(OFlag::O_CLOEXEC))?;
    // SAFETY: the process has one thread (the caller's duty), so the child may do anything.
    match named(Call::Fork, unsafe { unistd::fork() })? {
        ForkResult::Child => {
            // Fails only for a group leader, which a fresh child is not.
            let _ = unistd::setsid();
            Ok(Fork::Child(File::from(writer)))
        }
        ForkResult::Parent { .. } => Ok(Fork::Parent(File::from(reader))),
    }
}

/// Ends this process when the one that forked it ends.
pub fn end_with_parent() {
    // Any signal but none is valid.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Leaves nothing behind of processes that end as children of this one: in a container it may be the first,
/// which inherits those of others.
pub fn forget_children() {
    // SAFETY: a signal that is ignored runs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Points standard input, output and error at `file`.
pub fn redirect_stdio(file: &File) -> Result<()> {
    named(Call::Dup, unistd::dup2_stdin(file))?;
    named(Call::Dup, unistd::dup2_stdout(file))?;
    named(Call::Dup, unistd::dup2_stderr(file))
}

/// Opens a directory for reading, by a path in which no part is a symlink.
///
/// # Errors
/// ELOOP; ENOENT, ENOTDIR, EACCES.
pub fn open_dir_plain(path: &Path) -> Result<OwnedFd> {
    let reached = open_path(path)?;
    // Through the descriptor this is what was reached.
    open_dir(Path::new(&format!("/proc/self/fd/{}", reached.as_raw_fd())))
}

/// Opens a directory for reading.
///
/// # Errors
/// ENOENT, ENOTDIR, EACCES.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    open_flags(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

fn open_flags(path: &Path, flags: OFlag) -> Result<OwnedFd> {
    named(Call::Open, fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::empty()))
}

/// A descriptor of a process, or of any of its threads if `thread` (PIDFD_THREAD, Linux 6.9; an
/// older kernel finds main threads alone).
///
/// # Errors
/// ESRCH if there is none.
pub fn pidfd(pid: u32, thread: bool) -> Result<OwnedFd> {
    const CALL: Call = Call::PidfdOpen;
    let pid = pid as libc::pid_t;
    let open = |flags: libc::c_uint| {
        // SAFETY: no pointer is passed.
        unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) }
    };
    let mut fd = open(if thread { libc::PIDFD_THREAD as libc::c_uint } else { 0 });
    if fd < 0 && thread && Error::last(CALL).errno == libc::EINVAL {
        fd = open(0);
    }
    own_libc(CALL, fd)
}

/// A duplicate of descriptor `fd` of process `pid` (pidfd_getfd(2), Linux 5.6).
///
/// # Errors
/// ESRCH, EBADF if there is none; EPERM without the right to trace that process.
pub fn take_fd(pid: u32, fd: u32) -> Result<OwnedFd> {
    let process = pidfd(pid, false)?;
    // SAFETY: no pointer is passed; the process's descriptor is open.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) };
    own_libc(Call::PidfdGetfd, rc)
}

/// Opens the cgroup with this id (its directory's inode number) in a mounted cgroup2 hierarchy.
///
/// # Errors
/// ENODEV if none is mounted; ESTALE if there is no such cgroup; ENOTDIR if the id is that of a
/// cgroup's file.
pub fn cgroup_by_id(id: u64) -> Result<OwnedFd> {
    const CALL: Call = Call::OpenByHandleAt;
    /// `FILEID_KERNFS` in `include/linux/exportfs.h`: the handle is the node's id.
    const KERNFS: libc::c_int = 0xfe;
    #[repr(C)]
    struct Handle {
        bytes: libc::c_uint,
        kind: libc::c_int,
        id: [u8; 8],
    }
    let mut handle = Handle { bytes: 8, kind: KERNFS, id: id.to_ne_bytes() };
    let cgroup2 = mounts::all()?.into_iter().find(|mount| mount.kind == "cgroup2");
    let Some(cgroup2) = cgroup2 else { return Err(Error::new(CALL, libc::ENODEV)) };
    let mount = open_dir(&cgroup2.point)?;
    // SAFETY: `handle` has the layout of `struct file_handle` with 8 bytes behind it, and outlives
    // the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            &raw mut handle,
            libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC,
        )
    };
    own_libc(CALL, fd)
}

/// The index of the network interface of that name, in our network namespace.
pub fn interface_index(name: &str) -> Option<u32> {
    if_::if_nametoindex(name).ok()
}

/// The name of the network interface with that index, in our network namespace.
pub fn interface_name(index: u32) -> Option<String> {
    // nix 0.31 takes the null that says "none" for success.
    let name = if_::if_indextoname(index).ok().filter(|name| !name.is_empty())?;
    Some(name.to_string_lossy().into_owned())
}

/// Lets other threads run before the calling one, where both could (setpriority(2), which on Linux is
/// of the thread).
///
/// # Errors
/// None that is known: anybody may be nicer.
pub fn be_nice(nice: i32) -> Result<()> {
    // SAFETY: no pointer is passed; 0 is the calling thread.
    let rc = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    check_libc(Call::Setpriority, rc).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_have_a_name_or_none() {
        assert_eq!(interface_index("lo").and_then(interface_name).as_deref(), Some("lo"));
        assert_eq!(interface_name(i32::MAX as u32), None);
        assert_eq!(interface_index("no-such-one"), None);
        assert_eq!(interface_index("a\0b"), None);
    }
}

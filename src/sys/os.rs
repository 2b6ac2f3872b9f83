//! Mounts, paths that no symlink can divert, and going to the background.

use super::{Call, Error, Result, c_path, check_libc, mounts, own_libc};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::SystemTime;

fn check(call: Call, rc: libc::c_int) -> Result<()> {
    check_libc(call, rc).map(drop)
}

/// Opens `path` with O_PATH, following no symlink anywhere in it: a directory that somebody
/// swaps for a symlink between two calls cannot lead elsewhere (openat2(2), Linux 5.6).
///
/// # Errors
/// ELOOP if a component is a symlink (the last one is opened itself); ENOENT, EACCES.
pub fn open_path(path: &Path) -> Result<File> {
    openat2(libc::AT_FDCWD, path, 0)
}

/// As [`open_path`], for a path below a directory that leaves neither it nor its file system: EXDEV
/// where something is mounted, which is not asked for anything.
///
/// # Errors
/// EXDEV; those of [`open_path`].
pub fn open_below(dir: &File, path: &Path) -> Result<File> {
    openat2(dir.as_raw_fd(), path, libc::RESOLVE_BENEATH | libc::RESOLVE_NO_XDEV)
}

fn openat2(dir: RawFd, path: &Path, resolve: u64) -> Result<File> {
    const CALL: Call = Call::OpenAt2;
    let c = c_path(CALL, path)?;
    // SAFETY: an all-zero open_how is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS | resolve;
    // SAFETY: the path is NUL-terminated, `how` has the size given; both outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            dir,
            c.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    own_libc(CALL, fd).map(File::from)
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
    check(Call::CloseRange, rc as libc::c_int)
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
    check(CALL, unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, 0, &raw mut buf) })?;
    Ok((buf.stx_dev_major, buf.stx_dev_minor))
}

/// The file system's magic number at `path` (statfs(2)).
pub fn fs_magic(path: &Path) -> Result<u64> {
    const CALL: Call = Call::Statfs;
    let c = c_path(CALL, path)?;
    // SAFETY: statfs is plain data, for which all zeros are valid.
    let mut buf: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and `buf` is writable.
    check(CALL, unsafe { libc::statfs(c.as_ptr(), &raw mut buf) })?;
    Ok(buf.f_type as u64)
}

/// bpffs's magic number (`BPF_FS_MAGIC` in `include/uapi/linux/magic.h`).
pub const BPF_FS_MAGIC: u64 = libc::BPF_FS_MAGIC as u64;

/// Mounts a bpffs at `path`.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; ENODEV if the kernel has no bpffs.
pub fn mount_bpffs(path: &Path) -> Result<()> {
    const CALL: Call = Call::Mount;
    let c = c_path(CALL, path)?;
    // SAFETY: all strings are NUL-terminated; no data is passed.
    check(CALL, unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            c.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            std::ptr::null(),
        )
    })
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
    const CALL: Call = Call::Mount;
    let device = open_flags(Path::new("/dev/fuse"), libc::O_RDWR)?;
    let (source, target) = (c_path(CALL, source)?, c_path(CALL, target)?);
    let fd = device.as_raw_fd();
    // SAFETY: neither takes anything, nor can fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let data = format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid},{options}");
    let data = c_path(CALL, Path::new(&data))?;
    // SAFETY: all strings are NUL-terminated and outlive the call.
    check(CALL, unsafe {
        let kind = c"fuse".as_ptr();
        libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, data.as_ptr().cast())
    })?;
    Ok(device)
}

/// umount2(2); `lazy` detaches a busy or dead mount.
pub fn unmount(path: &Path, lazy: bool) -> Result<()> {
    const CALL: Call = Call::Unmount;
    let c = c_path(CALL, path)?;
    let flags = libc::UMOUNT_NOFOLLOW | if lazy { libc::MNT_DETACH } else { 0 };
    // SAFETY: the path is NUL-terminated.
    check(CALL, unsafe { libc::umount2(c.as_ptr(), flags) })
}

/// renameat2(2) with RENAME_* flags.
pub fn rename(from: &Path, to: &Path, flags: u32) -> Result<()> {
    const CALL: Call = Call::RenameAt2;
    let (from, to) = (c_path(CALL, from)?, c_path(CALL, to)?);
    // SAFETY: both paths are NUL-terminated.
    check(CALL, unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
    })
}

/// Sets access and modification time; `None` leaves one as it is (utimensat(2)). Follows symlinks:
/// meant for `/proc/self/fd/N`.
pub fn set_times(path: &Path, atime: Option<SystemTime>, mtime: Option<SystemTime>) -> Result<()> {
    const CALL: Call = Call::Utimensat;
    let c = c_path(CALL, path)?;
    let times = [timespec(atime), timespec(mtime)];
    // SAFETY: the path is NUL-terminated, and two times are given.
    check(CALL, unsafe { libc::utimensat(libc::AT_FDCWD, c.as_ptr(), times.as_ptr(), 0) })
}

fn timespec(time: Option<SystemTime>) -> libc::timespec {
    let Some(time) = time else {
        return libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    };
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => libc::timespec {
            tv_sec: after.as_secs().cast_signed(),
            tv_nsec: after.subsec_nanos().into(),
        },
        Err(before) => {
            // Whole seconds down, so that the nanoseconds count upwards.
            let before = before.duration();
            let up = u64::from(before.subsec_nanos() > 0);
            let nanos = (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000;
            libc::timespec {
                tv_sec: (before.as_secs() + up).cast_signed().saturating_neg(),
                tv_nsec: nanos.into(),
            }
        }
    }
}

/// Bytes in a page of memory.
pub fn page_size() -> usize {
    // SAFETY: takes a constant and cannot fail.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The user that this process acts as.
pub fn effective_uid() -> u32 {
    // SAFETY: cannot fail and takes nothing.
    unsafe { libc::geteuid() }
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
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    check(Call::Pipe, unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel just gave us both descriptors.
    let (reader, writer) =
        unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: the process has one thread (the caller's duty), so the child may do anything.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last(Call::Fork)),
        0 => {
            // SAFETY: takes nothing; fails only for a group leader, which a fresh child is not.
            unsafe { libc::setsid() };
            Ok(Fork::Child(File::from(writer)))
        }
        _ => Ok(Fork::Parent(File::from(reader))),
    }
}

/// Points standard input, output and error at `file`.
pub fn redirect_stdio(file: &File) -> Result<()> {
    for target in 0..3 {
        // SAFETY: both are valid descriptors; the standard ones are owned by nobody in Rust.
        check(Call::Dup, unsafe { libc::dup2(file.as_raw_fd(), target) })?;
    }
    Ok(())
}

/// Opens a directory for reading.
///
/// # Errors
/// ENOENT, ENOTDIR, EACCES.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    open_flags(path, libc::O_RDONLY | libc::O_DIRECTORY)
}

fn open_flags(path: &Path, flags: i32) -> Result<OwnedFd> {
    const CALL: Call = Call::Open;
    let c = c_path(CALL, path)?;
    // SAFETY: the path is NUL-terminated.
    let fd = unsafe { libc::open(c.as_ptr(), flags | libc::O_CLOEXEC) };
    own_libc(CALL, fd)
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
    let cgroup2 = mounts::all().into_iter().find(|mount| mount.kind == "cgroup2");
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
    let name = CString::new(name).ok()?;
    // SAFETY: the name is NUL-terminated.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// The name of the network interface with that index, in our network namespace.
pub fn interface_name(index: u32) -> Option<String> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the IF_NAMESIZE bytes that the call writes at most.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    let end = name.iter().position(|&c| c == 0).unwrap_or(name.len());
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
}

/// Waits until one of `fds` is readable, for at most `timeout`. True if one is.
pub fn wait_any_readable(fds: &[BorrowedFd<'_>], timeout: std::time::Duration) -> bool {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the array has as many entries as are passed, and outlives the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    ready > 0 && polled.iter().any(|one| one.revents & libc::POLLIN != 0)
}

//! Mounts, paths that no symlink can divert, and going to the background.

use super::{Error, Result};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

fn c_path(call: &'static str, path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::new(call, libc::EINVAL))
}

fn check(call: &'static str, rc: libc::c_int) -> Result<()> {
    if rc == 0 { Ok(()) } else { Err(Error::last(call)) }
}

/// Opens `path` with O_PATH, following no symlink anywhere in it: a directory that somebody
/// swaps for a symlink between two calls cannot lead elsewhere (openat2(2), Linux 5.6).
///
/// # Errors
/// ELOOP if a component is a symlink (the last one is opened itself); ENOENT, EACCES.
pub fn open_beneath(path: &Path) -> Result<File> {
    const CALL: &str = "openat2";
    let c = c_path(CALL, path)?;
    // SAFETY: an all-zero open_how is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: the path is NUL-terminated, `how` has the size given; both outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            c.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    if fd < 0 {
        return Err(Error::last(CALL));
    }
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}

/// The file system's magic number at `path` (statfs(2)).
pub fn fs_magic(path: &Path) -> Result<u64> {
    const CALL: &str = "statfs";
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
    const CALL: &str = "mount";
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

/// umount2(2); `lazy` detaches a busy or dead mount.
pub fn unmount(path: &Path, lazy: bool) -> Result<()> {
    const CALL: &str = "umount2";
    let c = c_path(CALL, path)?;
    let flags = libc::UMOUNT_NOFOLLOW | if lazy { libc::MNT_DETACH } else { 0 };
    // SAFETY: the path is NUL-terminated.
    check(CALL, unsafe { libc::umount2(c.as_ptr(), flags) })
}

/// renameat2(2) with RENAME_* flags.
pub fn rename(from: &Path, to: &Path, flags: u32) -> Result<()> {
    const CALL: &str = "renameat2";
    let (from, to) = (c_path(CALL, from)?, c_path(CALL, to)?);
    // SAFETY: both paths are NUL-terminated.
    check(CALL, unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
    })
}

/// Sets access and modification time; `None` leaves one as it is (utimensat(2)).
pub fn set_times(path: &Path, atime: Option<SystemTime>, mtime: Option<SystemTime>) -> Result<()> {
    const CALL: &str = "utimensat";
    let c = c_path(CALL, path)?;
    let times = [timespec(atime), timespec(mtime)];
    // SAFETY: the path is NUL-terminated, and two times are given.
    check(CALL, unsafe {
        libc::utimensat(libc::AT_FDCWD, c.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW)
    })
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
    check("pipe2", unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel just gave us both descriptors.
    let (reader, writer) =
        unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: the process has one thread (the caller's duty), so the child may do anything.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last("fork")),
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
        if unsafe { libc::dup2(file.as_raw_fd(), target) } < 0 {
            return Err(Error::last("dup2"));
        }
    }
    Ok(())
}

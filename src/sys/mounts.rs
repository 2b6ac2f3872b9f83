//! The mount table: what is mounted where, without asking the file systems themselves, one of which
//! may be our own and would wait for us.

use super::{Call, Error, Result, is_shortage};
use std::ffi::{CString, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: PathBuf,
    /// The file system's type, such as `bpf` or `fuse.bpffuse`.
    pub kind: String,
    /// Its device, `MAJOR:MINOR`: no two mounted file systems have the same.
    pub device: String,
    /// Whether the mount, or the file system in all its mounts, is read-only.
    pub read_only: bool,
}

/// All mounts that this process sees, later ones covering earlier ones.
///
/// # Errors
/// ENOENT without /proc; EMFILE, ENFILE, ENOMEM.
pub fn all() -> Result<Vec<Mount>> {
    Ok(table(&fs::read("/proc/self/mountinfo").map_err(|error| Error::of(Call::Open, &error))?))
}

/// All mounts that a process sees; none if it is gone, or not ours to look into.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub fn of_process(pid: u32) -> Result<Vec<Mount>> {
    let text = fs::read(format!("/proc/{pid}/mountinfo"));
    match text.map_err(|error| Error::of(Call::Open, &error)) {
        Ok(text) => Ok(table(&text)),
        Err(error) if is_shortage(error.errno) => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

fn table(text: &[u8]) -> Vec<Mount> {
    text.split(|&c| c == b'\n').filter_map(parse).collect()
}

/// What is mounted at `path` itself, absolute and without symlinks, if anything is.
///
/// # Errors
/// As for [`all`].
pub fn at(path: &Path) -> Result<Option<Mount>> {
    Ok(all()?.into_iter().rfind(|mount| mount.point == path))
}

/// Which mount is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountIdentity {
    /// As in [`Mount::device`]; once it is unmounted, the next file system may get the same number.
    device: String,
    /// A number that no other mount gets; none before Linux 6.8.
    unique: Option<u64>,
}

/// Which mount is at `path` itself, absolute and without symlinks, if any is.
///
/// # Errors
/// As for [`all`].
pub fn identity(path: &Path) -> Result<Option<MountIdentity>> {
    let mount = at(path)?;
    Ok(mount.map(|mount| MountIdentity { device: mount.device, unique: unique_id(path) }))
}

/// Asked of the kernel alone: the file system may be dead, or ourselves.
fn unique_id(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT | libc::AT_SYMLINK_NOFOLLOW;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path ends in NUL, and the kernel writes one `struct statx`, which zeros are, too.
    let (done, found) = unsafe {
        let mask = libc::STATX_MNT_ID_UNIQUE;
        let done = libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, mask, found.as_mut_ptr());
        (done, found.assume_init())
    };
    let is_known = done == 0 && found.stx_mask & libc::STATX_MNT_ID_UNIQUE != 0;
    is_known.then_some(found.stx_mnt_id)
}

/// The type of the file system that `path` lies in; empty for none that is mounted.
///
/// # Errors
/// As for [`all`].
pub fn holding(path: &Path) -> Result<String> {
    let holding = all()?.into_iter().filter(|mount| path.starts_with(&mount.point));
    // The last of the longest.
    let holding = holding.max_by_key(|mount| mount.point.components().count());
    Ok(holding.map(|mount| mount.kind).unwrap_or_default())
}

/// A line of proc_pid_mountinfo(5): two ids, the device, a root, the mount point, options, and behind
/// a dash the type, the source, and the options of the file system.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&c| c == b' ');
    let (device, point, options) = (words.nth(2)?, words.nth(1)?, words.next()?);
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let (kind, all_options) = (words.next()?, words.nth(1).unwrap_or_default());
    let mut options = [options, all_options].into_iter().flat_map(|all| all.split(|&c| c == b','));
    Some(Mount {
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        kind: String::from_utf8_lossy(kind).into_owned(),
        device: String::from_utf8_lossy(device).into_owned(),
        read_only: options.any(|option| option == b"ro"),
    })
}

/// White space, backslashes and `#` are three octal digits behind a backslash.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&c, tail)) = rest.split_first() {
        let digits = tail.first_chunk::<3>().filter(|_| c == b'\\');
        let code = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        plain.push(code.unwrap_or(c));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let line = br"36 35 0:71 / /a\040b\134040\012c rw,noatime master:1 - fuse.bpffuse dev rw";
        let mount = parse(line).unwrap();
        assert_eq!(mount.device, "0:71");
        assert_eq!(mount.point, Path::new("/a b\\040\nc"));
        assert_eq!(mount.kind, "fuse.bpffuse");
        assert!(!mount.read_only);
        for line in ["1 2 0:3 / /a ro,noatime - bpf bpf rw", "1 2 0:3 / /a rw - bpf bpf rw,ro"] {
            assert!(parse(line.as_bytes()).unwrap().read_only, "{line}");
        }
        assert_eq!(unescape(br"\04"), br"\04");
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn root_and_proc() {
        assert_eq!(at(Path::new("/proc")).unwrap().unwrap().kind, "proc");
        assert_eq!(holding(Path::new("/proc/self/mounts")).unwrap(), "proc");
        assert_eq!(at(Path::new("/proc/self")).unwrap(), None);
        assert_eq!(identity(Path::new("/proc")), identity(Path::new("/proc")));
        assert_ne!(identity(Path::new("/proc")), identity(Path::new("/sys")));
        assert_eq!(identity(Path::new("/proc/self")), Ok(None));
    }
}

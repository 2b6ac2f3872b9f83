//! The mount table: what is mounted where, without asking the file systems themselves, one of which
//! may be our own and would wait for us.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: PathBuf,
    /// The file system's type, such as `bpf` or `fuse.bpffuse`.
    pub kind: String,
}

/// All mounts that this process sees, later ones covering earlier ones; none without /proc.
pub fn all() -> Vec<Mount> {
    let table = fs::read("/proc/self/mounts").unwrap_or_default();
    table.split(|&c| c == b'\n').filter_map(parse).collect()
}

/// The type of what is mounted at `path` itself, absolute and without symlinks, if anything is.
pub fn at(path: &Path) -> Option<String> {
    all().into_iter().rfind(|mount| mount.point == path).map(|mount| mount.kind)
}

/// The type of the file system that `path` lies in.
pub fn holding(path: &Path) -> Option<String> {
    let holding = all().into_iter().filter(|mount| path.starts_with(&mount.point));
    // The last of the longest.
    holding.max_by_key(|mount| mount.point.components().count()).map(|mount| mount.kind)
}

/// A line of fstab(5): the device, the mount point, the type.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&c| c == b' ');
    let (point, kind) = (words.nth(1)?, words.next()?);
    let point = PathBuf::from(OsString::from_vec(unescape(point)));
    Some(Mount { point, kind: String::from_utf8_lossy(kind).into_owned() })
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
        let mount = parse(br"dev /a\040b\134040\012c fuse.bpffuse rw 0 0").unwrap();
        assert_eq!(mount.point, Path::new("/a b\\040\nc"));
        assert_eq!(mount.kind, "fuse.bpffuse");
        assert_eq!(unescape(br"\04"), br"\04");
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn root_and_proc() {
        assert_eq!(at(Path::new("/proc")).as_deref(), Some("proc"));
        assert_eq!(holding(Path::new("/proc/self/mounts")).as_deref(), Some("proc"));
        assert_eq!(at(Path::new("/proc/self")), None);
    }
}

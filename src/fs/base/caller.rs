//! What is known of the program that asks.

use crate::bpffs::Stat;
use crate::node::Ino;
use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a caller may take to fall asleep after it has queued its request.
const FALLS_ASLEEP: Duration = Duration::from_secs(1);

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The thread's id; 0 if it is in a PID namespace that we do not see.
    pub pid: u32,
    /// Its file system uid.
    pub uid: u32,
    /// Its file system gid.
    pub gid: u32,
}

impl Caller {
    /// Whether the mode of something lets the caller do all of `bits`: 4 to read, 2 to write, 1 to
    /// search. uid 0 may do everything, as it may to the kernel.
    pub fn may(&self, stat: &Stat, bits: u32) -> bool {
        let class = if self.uid == 0 {
            0o7
        } else if self.uid == stat.uid {
            stat.mode >> 6
        } else if self.is_in(stat.gid) {
            stat.mode >> 3
        } else {
            stat.mode
        };
        class & bits == bits
    }

    /// Whether a group is one of the caller's.
    pub fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups().contains(&gid)
    }

    /// The supplementary groups; none if they cannot be known.
    fn groups(&self) -> Vec<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
        line.unwrap_or_default().split_whitespace().filter_map(|gid| gid.parse().ok()).collect()
    }

    /// The system call that the thread waits in, as proc_pid_syscall(5) has it: its number, then its
    /// arguments in hex. `None` if it cannot be known.
    fn system_call(&self) -> Option<String> {
        if self.pid == 0 {
            return None;
        }
        let start = Instant::now();
        for n in 0_u32.. {
            let text = ASKED.with_borrow_mut(|asked| asked.read(self.pid))?;
            if !text.starts_with("running") {
                return Some(text);
            }
            // It waits for our reply, but is not asleep yet; where CPUs are few or busy, it may not
            // even run.
            match start.elapsed() {
                _ if n < 50 => thread::yield_now(),
                waited if waited < FALLS_ASLEEP => thread::sleep(Duration::from_micros(100)),
                _ => break,
            }
        }
        None
    }

    /// Whether the open(2) that the thread is in has O_CREAT; `None` if it cannot be known.
    ///
    /// For a file that exists, the kernel does not pass O_CREAT on, and yet it decides between
    /// BPF_ANY and BPF_EXIST. The thread waits for us inside the call, so /proc shows its arguments.
    pub fn opens_with_creat(&self) -> Option<bool> {
        let flags = open_flags(&self.system_call()?)?;
        Some(flags & libc::O_CREAT as u64 != 0)
    }

    /// Whether the close(2) that this thread is in is, as far as can be seen, the last one of the
    /// file with inode number `ino` that `opener` opened: the same process closes, and holds no
    /// other descriptor of it. A child's close of what it inherited is not, unless its parent is gone.
    pub fn closes_last(&self, ino: Ino, opener: Self) -> bool {
        let exists = |path: String| Path::new(&path).exists();
        let opener_is_elsewhere = opener.pid == 0
            || (!exists(format!("/proc/{}/task/{}", self.pid, opener.pid))
                && exists(format!("/proc/{}", opener.pid)));
        if opener_is_elsewhere {
            return false;
        }
        let Ok(fds) = fs::read_dir(format!("/proc/{}/fdinfo", self.pid)) else { return false };
        let mut texts = fds.flatten().filter_map(|fd| fs::read_to_string(fd.path()).ok());
        !texts.any(|text| may_be(&text, ino, || self.mounts()))
    }

    /// Its mount table.
    fn mounts(&self) -> String {
        fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).unwrap_or_default()
    }
}

/// Whether a descriptor with that text in /proc/PID/fdinfo may be one of the file with inode number
/// `ino`. Before Linux 5.14 the text has no number, and any descriptor of ours may be.
fn may_be(text: &str, ino: Ino, mounts: impl Fn() -> String) -> bool {
    let field = |name| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)).map(str::trim)
    };
    if let Some(number) = field("ino:") {
        return number.parse() == Ok(ino.0);
    }
    let Some(mount) = field("mnt_id:") else { return true };
    let of_mount = |line: &&str| line.split(' ').next() == Some(mount);
    mounts().lines().find(of_mount).is_some_and(|line| line.contains(" - fuse.bpffuse "))
}

thread_local! {
    /// Who was asked last by this thread: programs write many times, and opening costs the most.
    static ASKED: RefCell<Asked> = RefCell::default();
}

/// An open `/proc/TID/syscall`. It means that thread for good: once the thread is gone, reading
/// fails, even if another has got its number.
#[derive(Default)]
struct Asked(Option<(u32, File)>);

impl Asked {
    fn read(&mut self, tid: u32) -> Option<String> {
        match &self.0 {
            Some((asked, file)) if *asked == tid => match whole(file) {
                Some(text) => return Some(text),
                None => self.0 = None,
            },
            _ => {}
        }
        let file = File::open(format!("/proc/{tid}/syscall")).ok()?;
        let text = whole(&file)?;
        self.0 = Some((tid, file));
        Some(text)
    }
}

/// The file's line, which the kernel makes anew for a read from the start.
fn whole(file: &File) -> Option<String> {
    // A number, six arguments, stack and program counter: 9 words of up to 18 characters.
    let mut line = [0; 256];
    let len = file.read_at(&mut line, 0).ok()?;
    String::from_utf8(line[..len].to_vec()).ok()
}

/// The arguments of a call in [`Caller::system_call`]'s form.
fn arguments(call: &str) -> impl Iterator<Item = u64> {
    let words = call.split_ascii_whitespace().skip(1);
    words.map_while(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}

/// The flags, if the call is one that opens; those of openat2(2) lie in the caller's memory, where
/// nobody looks.
fn open_flags(call: &str) -> Option<u64> {
    let number: libc::c_long = call.split_ascii_whitespace().next()?.parse().ok()?;
    let argument = |n| arguments(call).nth(n);
    match number {
        libc::SYS_openat => argument(2),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => argument(1),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat => Some(libc::O_CREAT as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_that_may_be_a_file() {
        let mounts =
            || "29 1 0:44 / /m rw - fuse.bpffuse bpf rw\n30 1 0:5 / /d rw - tmpfs t rw\n".into();
        for (text, may) in [
            ("pos:\t0\nflags:\t01\nmnt_id:\t29\nino:\t77\n", true),
            ("pos:\t0\nflags:\t01\nmnt_id:\t29\nino:\t777\n", false),
            ("pos:\t0\nflags:\t01\nmnt_id:\t29\n", true),
            ("pos:\t0\nflags:\t01\nmnt_id:\t30\n", false),
            // A pipe's mount is in no table.
            ("pos:\t0\nflags:\t01\nmnt_id:\t12\n", false),
        ] {
            assert_eq!(may_be(text, Ino(77), mounts), may, "{text:?}");
        }
    }

    #[test]
    fn flags_of_open_calls() {
        let openat =
            format!("{} 0xffffff9c 0x7f00 0x241 0x1b6 0x0 0x0 0x7ffc 0x7f11\n", libc::SYS_openat);
        assert_eq!(open_flags(&openat), Some(0x241));
        assert_eq!(open_flags("running\n"), None);
        assert_eq!(open_flags("0 0x3 0x0\n"), None);
        assert_eq!(open_flags("nonsense"), None);
    }
}

//! What is known of the program that asks.

use super::error::{Error, Result};
use crate::bpffs::Stat;
use crate::node::Ino;
use crate::sys::acting::acting_only_as;
use crate::sys::unless_gone;
use std::cell::{OnceCell, RefCell};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a caller may take to fall asleep after it has queued its request.
const FALLS_ASLEEP: Duration = Duration::from_secs(1);

/// Descriptors of a process that are looked at while others wait.
const FEW_FDS: usize = 64;

/// Who asks, and on whose time.
///
/// An operation begins on one of the few threads that answer everybody. Where it meets work whose
/// length a user controls, it says so ([`Caller::long_work`]) before anything is done; it is then done
/// anew beside those threads, with `beside` set.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The thread's id; 0 if it is in a PID namespace that we do not see.
    pub pid: u32,
    /// Its file system uid.
    pub uid: u32,
    /// Its file system gid.
    pub gid: u32,
    /// Whether it is the mount's owner, or root.
    pub is_owner: bool,
    /// Whether nobody else waits for the thread that does this.
    pub beside: bool,
}

/// The caller's supplementary groups, once they were asked for: a user decides how many there are.
pub type Groups = OnceCell<Vec<u32>>;

impl Caller {
    /// To be asked before work whose length a user controls.
    ///
    /// # Errors
    /// [`Error::later`] on the threads that answer everybody.
    pub fn long_work(&self) -> Result<()> {
        if self.beside { Ok(()) } else { Err(Error::later()) }
    }

    /// To be asked between steps of such work.
    ///
    /// # Errors
    /// EINTR if nobody waits for it any more.
    pub fn go_on(&self) -> Result<()> {
        if self.is_gone() {
            return Err(Error::new(libc::EINTR, "the program that asked is being killed"));
        }
        Ok(())
    }

    /// Whether the thread has ended, or is about to: a fatal signal is a pending SIGKILL for each
    /// thread of the process (`complete_signal` in `kernel/signal.c`).
    ///
    /// Of proc_pid_status(5), whose reading waits for nothing: that of proc_pid_stat(5) waits for an
    /// execve(2) of the process to end, which may itself wait for our answer to a close.
    pub fn is_gone(&self) -> bool {
        if self.pid == 0 {
            return false;
        }
        match fs::read_to_string(format!("/proc/{0}/task/{0}/status", self.pid)) {
            Ok(status) => status_says_gone(&status),
            Err(_) => true,
        }
    }

    /// Whether the mode of something lets the caller do all of `bits`: 4 to read, 2 to write, 1 to
    /// search. uid 0 may do everything, as it may to the kernel.
    ///
    /// # Errors
    /// [`Error::later`] if its groups have to be read.
    pub fn may(&self, stat: &Stat, bits: u32, groups: &Groups) -> Result<bool> {
        let class = if self.is_owner {
            0o7
        } else if self.uid == stat.uid {
            stat.mode >> 6
        } else if self.gid == stat.gid {
            stat.mode >> 3
        } else {
            self.long_work()?;
            let groups = groups.get_or_init(|| self.groups());
            if groups.contains(&stat.gid) { stat.mode >> 3 } else { stat.mode }
        };
        Ok(class & bits == bits)
    }

    /// Calls `act` with this user's rights to files, unless it is root: what is opened because they name
    /// it, they could open themselves.
    ///
    /// # Errors
    /// EPERM if this process cannot act so; those of `act`.
    pub fn opens<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.uid == 0 { act() } else { acting_only_as(self.uid, self.gid, act)? }
    }

    /// Refuses to look into a process that is not this user's: the owner of its directory in /proc is
    /// root for one that has gained rights (proc(5)).
    ///
    /// # Errors
    /// EPERM; ENOENT if there is no such process.
    pub fn check_process(&self, pid: u32) -> Result<()> {
        if self.uid == 0 {
            return Ok(());
        }
        let process = fs::metadata(format!("/proc/{pid}"));
        match process.map(|process| process.uid()) {
            Ok(uid) if uid == self.uid => Ok(()),
            Ok(_) => Err(Error::new(libc::EPERM, format!("process {pid} is another user's"))),
            Err(_) => Err(Error::new(libc::ENOENT, format!("there is no process {pid}"))),
        }
    }

    /// Whether a group is one of the caller's.
    ///
    /// # Errors
    /// As for [`Self::may`].
    pub fn is_in(&self, gid: u32) -> Result<bool> {
        if self.gid == gid {
            return Ok(true);
        }
        self.long_work()?;
        Ok(self.groups().contains(&gid))
    }

    /// The supplementary groups; none if they cannot be known.
    fn groups(&self) -> Vec<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
        line.unwrap_or_default().split_whitespace().filter_map(|gid| gid.parse().ok()).collect()
    }

    /// The system call that the thread waits in, as proc_pid_syscall(5) has it: its number, then its
    /// arguments in hex. `None` if it cannot be known.
    fn system_call(&self) -> Result<Option<String>> {
        if self.pid == 0 {
            return Ok(None);
        }
        let start = Instant::now();
        for n in 0_u32.. {
            let Some(text) = ASKED.with_borrow_mut(|asked| asked.read(self.pid)) else { break };
            if !text.starts_with("running") {
                return Ok(Some(text));
            }
            // It waits for our reply, but is not asleep yet; where CPUs are few or busy, it may not
            // even run.
            match start.elapsed() {
                _ if n < 50 => thread::yield_now(),
                _ if !self.beside => return Err(Error::later()),
                waited if waited < FALLS_ASLEEP => thread::sleep(Duration::from_micros(100)),
                _ => break,
            }
        }
        Ok(None)
    }

    /// Whether the thread waits for a page of a mapping, as far as can be seen: not in a call that takes
    /// pages from one file to another.
    pub fn maps(&self) -> bool {
        let call = self.system_call().ok().flatten();
        call.as_deref().and_then(call_number).is_some_and(|number| {
            !matches!(
                number,
                libc::SYS_sendfile
                    | libc::SYS_splice
                    | libc::SYS_copy_file_range
                    | libc::SYS_io_uring_enter
                    | libc::SYS_readahead
            )
        })
    }

    /// Whether the thread is in a call that makes a name, where the kernel does not walk anew upon ESTALE from
    /// a look-up of that name (`filename_create` in `fs/namei.c`). False if it cannot be known.
    ///
    /// # Errors
    /// [`Error::later`] if the thread keeps from falling asleep.
    pub fn makes_name(&self) -> Result<bool> {
        let call = self.system_call()?;
        Ok(call.as_deref().and_then(call_number).is_some_and(|number| {
            #[cfg(target_arch = "x86_64")]
            if let libc::SYS_mkdir | libc::SYS_symlink | libc::SYS_mknod | libc::SYS_link = number {
                return true;
            }
            matches!(
                number,
                libc::SYS_mkdirat
                    | libc::SYS_symlinkat
                    | libc::SYS_mknodat
                    | libc::SYS_linkat
                    | libc::SYS_bind
            )
        }))
    }

    /// Whether another caller is, or was, a thread of the same process.
    pub fn is_beside(&self, other: Self) -> bool {
        self.pid != 0 && (self.pid == other.pid || other.is_of(self.pid))
    }

    /// Whether it is a thread of that process, named by any of its threads' ids.
    pub fn is_of(&self, process: u32) -> bool {
        Path::new(&format!("/proc/{process}/task/{}", self.pid)).exists()
    }

    /// Whether the open(2) that the thread is in has O_CREAT; `None` if it cannot be known.
    ///
    /// For a file that exists, the kernel does not pass O_CREAT on, and yet it decides between
    /// BPF_ANY and BPF_EXIST. The thread waits for us inside the call, so /proc shows its arguments.
    ///
    /// # Errors
    /// [`Error::later`] if the thread keeps from falling asleep.
    pub fn opens_with_creat(&self) -> Result<Option<bool>> {
        let flags = self.system_call()?.and_then(|call| open_flags(&call));
        Ok(flags.map(|flags| flags & libc::O_CREAT as u64 != 0))
    }

    /// Whether the close(2) that this thread is in is, as far as can be seen, the last one of the
    /// file with inode number `ino` that `opener` opened: the same process closes, and holds no
    /// other descriptor of it. A child's close of what it inherited is not, unless its parent is gone.
    ///
    /// # Errors
    /// [`Error::later`] if it holds many; EMFILE and the like if they could not be looked at.
    pub fn closes_last(&self, ino: Ino, opener: Self) -> Result<bool> {
        let opener_is_elsewhere = opener.pid == 0
            || (!opener.is_of(self.pid) && Path::new(&format!("/proc/{}", opener.pid)).exists());
        if opener_is_elsewhere {
            return Ok(false);
        }
        let fds = fs::read_dir(format!("/proc/{}/fdinfo", self.pid));
        let Some(fds) = unless_gone(fds)? else { return Ok(false) };
        let mounts = OnceCell::new();
        for (n, fd) in fds.flatten().enumerate() {
            if n == FEW_FDS {
                self.long_work()?;
            }
            let Some(text) = unless_gone(fs::read_to_string(fd.path()))? else { continue };
            if mounts.get().is_none() && number(&text).is_none() {
                let _ = mounts.set(self.mounts()?);
            }
            if may_be(&text, ino, mounts.get().map_or("", String::as_str)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Its mount table; empty if it is gone.
    fn mounts(&self) -> Result<String> {
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid));
        Ok(unless_gone(table)?.unwrap_or_default())
    }
}

/// The inode's number in a descriptor's text in /proc/PID/fdinfo, which has none before Linux 5.14.
fn number(text: &str) -> Option<&str> {
    field(text, "ino:")
}

/// Whether a descriptor with that text may be one of the file with inode number `ino`. By a text without
/// a number, any descriptor in a mount of ours may be.
fn may_be(text: &str, ino: Ino, mounts: &str) -> bool {
    if let Some(number) = number(text) {
        return number.parse() == Ok(ino.0);
    }
    let Some(mount) = field(text, "mnt_id:") else { return true };
    let of_mount = |line: &&str| line.split(' ').next() == Some(mount);
    mounts.lines().find(of_mount).is_some_and(|line| line.contains(" - fuse.bpffuse "))
}

/// What a text in /proc says behind a name at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Whether proc_pid_status(5) tells of a thread that has ended, or will not leave its call alive.
fn status_says_gone(status: &str) -> bool {
    let has_ended = field(status, "State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    let pending = field(status, "SigPnd:").and_then(|bits| u64::from_str_radix(bits, 16).ok());
    has_ended || pending.unwrap_or(0) & (1 << (libc::SIGKILL - 1)) != 0
}

thread_local! {
    /// The caller whose file in /proc this thread read last, still open: programs write many times, and
    /// opening costs the most.
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

/// Which call it is, in [`Caller::system_call`]'s form; -1 outside of any, as in a page fault.
fn call_number(call: &str) -> Option<libc::c_long> {
    call.split_ascii_whitespace().next()?.parse().ok()
}

/// The flags, if the call is one that opens; those of openat2(2) lie in the caller's memory, where
/// nobody looks.
fn open_flags(call: &str) -> Option<u64> {
    let number = call_number(call)?;
    let argument = |n| arguments(call).nth(n);
    match number {
        libc::SYS_openat => argument(2),
        // Newer architectures have neither of these.
        #[cfg(any(target_arch = "x86_64", target_arch = "s390x"))]
        libc::SYS_open => argument(1),
        #[cfg(any(target_arch = "x86_64", target_arch = "s390x"))]
        libc::SYS_creat => Some(libc::O_CREAT as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_that_may_be_a_file() {
        let mounts = "29 1 0:44 / /m rw - fuse.bpffuse bpf rw\n30 1 0:5 / /d rw - tmpfs t rw\n";
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
    fn threads_that_are_gone() {
        let of = |state, pending| {
            format!("Name:\tZ\nState:\t{state} (x)\nSigPnd:\t{pending:016x}\nShdPnd:\t0\n")
        };
        assert!(!status_says_gone(&of("S", 0)) && !status_says_gone(&of("S", 1 << 14)));
        assert!(status_says_gone(&of("D", 1 << 8)) && status_says_gone(&of("Z", 0)));
        let own = Caller { pid: std::process::id(), uid: 0, gid: 0, is_owner: true, beside: true };
        assert!(!own.is_gone());
        assert!(Caller { pid: u32::MAX, ..own }.is_gone());
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

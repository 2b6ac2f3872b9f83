//! What is known of the program that asks.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

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
    /// Whether the open(2) that the thread is in has O_CREAT; `None` if it cannot be known.
    ///
    /// For a file that exists, the kernel does not pass O_CREAT on, and yet it decides between
    /// BPF_ANY and BPF_EXIST. The thread waits for us inside the call, so /proc shows its arguments.
    pub fn opens_with_creat(&self) -> Option<bool> {
        if self.pid == 0 {
            return None;
        }
        let path = format!("/proc/{}/syscall", self.pid);
        for _ in 0..50 {
            let text = fs::read_to_string(&path).ok()?;
            match open_flags(&text) {
                Call::Flags(flags) => return Some(flags & libc::O_CREAT as u64 != 0),
                Call::FlagsAt(address) => {
                    let mut flags = [0; 8];
                    let memory = File::open(format!("/proc/{}/mem", self.pid)).ok()?;
                    memory.read_exact_at(&mut flags, address).ok()?;
                    return Some(u64::from_ne_bytes(flags) & libc::O_CREAT as u64 != 0);
                }
                // Not yet asleep on its way into the kernel's queue.
                Call::Running => thread::yield_now(),
                Call::Other => return None,
            }
        }
        None
    }

    /// Whether the path that the thread's system call names holds `part`, such as `.stream/`: false
    /// if that cannot be known.
    ///
    /// A path walk asks for each name alike, whether it is the last or not. Where one name is both a
    /// file and a directory, only the caller's own words tell which is meant.
    pub fn walks_through(&self, part: &[u8]) -> bool {
        if self.pid == 0 {
            return false;
        }
        let path = format!("/proc/{}/syscall", self.pid);
        for _ in 0..50 {
            let Ok(text) = fs::read_to_string(&path) else { return false };
            if text.starts_with("running") {
                thread::yield_now();
                continue;
            }
            let Ok(memory) = File::open(format!("/proc/{}/mem", self.pid)) else { return false };
            // The path is the first argument, or the second behind a directory's descriptor.
            let words = text.split_ascii_whitespace().skip(1).take(2);
            let addresses =
                words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
            return addresses
                .filter_map(|address| c_string(&memory, address))
                .any(|path| path.windows(part.len()).any(|window| window == part));
        }
        false
    }

    /// Whether the close(2) that this thread is in is, as far as can be seen, the last one of the
    /// file with inode number `ino` that `opener` opened: the same process closes, and holds no
    /// other descriptor of it. A child's close of what it inherited is never the last.
    pub fn closes_last(&self, ino: u64, opener: Self) -> bool {
        let same_process = opener.pid != 0
            && Path::new(&format!("/proc/{}/task/{}", self.pid, opener.pid)).exists();
        if !same_process {
            return false;
        }
        let Ok(fds) = fs::read_dir(format!("/proc/{}/fdinfo", self.pid)) else { return false };
        let line = format!("ino:\t{ino}\n");
        !fds.flatten()
            .filter_map(|fd| fs::read_to_string(fd.path()).ok())
            .any(|text| text.contains(&line))
    }
}

/// A path at an address of another process; `None` if there is none that ends.
fn c_string(memory: &File, address: u64) -> Option<Vec<u8>> {
    /// A page at a time: what lies behind the string's own may not be mapped.
    const PAGE: u64 = 4096;
    let mut string = Vec::new();
    let mut at = address;
    while string.len() < libc::PATH_MAX as usize {
        let mut page = vec![0; (PAGE - at % PAGE) as usize];
        memory.read_exact_at(&mut page, at).ok()?;
        if let Some(end) = page.iter().position(|&c| c == 0) {
            string.extend_from_slice(&page[..end]);
            return Some(string);
        }
        at += page.len() as u64;
        string.append(&mut page);
    }
    None
}

/// What a thread's system call says of open flags.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Flags(u64),
    FlagsAt(u64),
    Running,
    Other,
}

/// Reads /proc/PID/syscall (proc_pid_syscall(5)): the call's number, then its arguments in hex.
fn open_flags(text: &str) -> Call {
    if text.starts_with("running") {
        return Call::Running;
    }
    let mut words = text.split_ascii_whitespace();
    let number = words.next().and_then(|word| word.parse::<libc::c_long>().ok());
    let arguments: Vec<u64> =
        words.map_while(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    let argument = |n: usize| arguments.get(n).copied();
    let flags = match number {
        Some(libc::SYS_openat) => argument(2),
        Some(libc::SYS_openat2) => return argument(2).map_or(Call::Other, Call::FlagsAt),
        #[cfg(target_arch = "x86_64")]
        Some(libc::SYS_open) => argument(1),
        #[cfg(target_arch = "x86_64")]
        Some(libc::SYS_creat) => Some(libc::O_CREAT as u64),
        _ => None,
    };
    flags.map_or(Call::Other, Call::Flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_a_process() {
        let memory = File::open("/proc/self/mem").unwrap();
        let text = c"a/.stream/b".to_owned();
        let found = c_string(&memory, text.as_ptr() as u64);
        assert_eq!(found.as_deref(), Some(&b"a/.stream/b"[..]));
        assert_eq!(c_string(&memory, 8), None);
    }

    #[test]
    fn flags_of_open_calls() {
        let openat =
            format!("{} 0xffffff9c 0x7f00 0x241 0x1b6 0x0 0x0 0x7ffc 0x7f11\n", libc::SYS_openat);
        assert_eq!(open_flags(&openat), Call::Flags(0x241));
        let openat2 =
            format!("{} 0x3 0x7f00 0x7fab 0x18 0x0 0x0 0x7ffc 0x7f11\n", libc::SYS_openat2);
        assert_eq!(open_flags(&openat2), Call::FlagsAt(0x7fab));
        assert_eq!(open_flags("running\n"), Call::Running);
        assert_eq!(open_flags("0 0x3 0x0\n"), Call::Other);
        assert_eq!(open_flags("nonsense"), Call::Other);
    }
}

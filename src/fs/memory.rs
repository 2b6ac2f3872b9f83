//! The memory of a program that asks, without waiting for it.
//!
//! What a program has mapped may be a file of a file system that does not answer, even our own. Who
//! reads there waits, and no signal ends it. So another thread reads. If that takes long it is left
//! alone, and it keeps none of the daemon's files open: else, when the daemon ends, the FUSE
//! connection would stay for it, and it for the connection.

use crate::sys;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long it may take: far more than to read a page back from a disk.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many may wait at a time.
const MOST: usize = 8;

/// What `read` finds in the memory of process `pid` (`/proc/PID/mem`, proc_pid_mem(5)); `None` if that
/// is nothing, if it does not come, or if too many wait already.
pub fn look<T: Send + 'static>(
    pid: u32,
    read: impl FnOnce(&File) -> Option<T> + Send + 'static,
) -> Option<T> {
    static READING: AtomicUsize = AtomicUsize::new(0);
    if READING.fetch_add(1, Ordering::Relaxed) >= MOST {
        READING.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(open_alone(pid).and_then(|memory| read(&memory)));
        READING.fetch_sub(1, Ordering::Relaxed);
    };
    if let Err(error) = thread::Builder::new().name("memory".into()).spawn(run) {
        READING.fetch_sub(1, Ordering::Relaxed);
        log::warn!("cannot look at what a caller asks: {error}");
        return None;
    }
    receiver.recv_timeout(PATIENCE).ok().flatten()
}

/// The memory, as the only file that this thread has open.
fn open_alone(pid: u32) -> Option<File> {
    if let Err(error) = sys::os::leave_files() {
        log::warn!("cannot look at what a caller asks: {error}");
        return None;
    }
    File::open(format!("/proc/{pid}/mem")).ok()
}

/// The eight bytes at an address.
pub fn word(memory: &File, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// The path at an address; `None` if there is none that ends.
pub fn c_string(memory: &File, address: u64) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_a_process() {
        let text = c"a/.stream/b".to_owned();
        let address = text.as_ptr() as u64;
        let found = look(std::process::id(), move |memory| c_string(memory, address));
        assert_eq!(found.as_deref(), Some(&b"a/.stream/b"[..]));
        let number = 0x0123_4567_89ab_cdef_u64;
        let address = &raw const number as u64;
        let pid = std::process::id();
        assert_eq!(look(pid, move |memory| word(memory, address)), Some(number));
        assert_eq!(look(pid, |memory| c_string(memory, 8)), None);
    }

    /// Its files are its own: the daemon's stay open, and none is kept open by it.
    #[test]
    fn looks_with_no_other_file_open() {
        let ours = File::open("/dev/null").unwrap();
        let open = look(std::process::id(), |_| {
            // The directory itself is open while it is read.
            Some(std::fs::read_dir("/proc/thread-self/fd").ok()?.count())
        });
        assert_eq!(open, Some(2));
        assert!(ours.metadata().is_ok());
    }
}

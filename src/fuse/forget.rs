//! Asks the kernel to forget names. It keeps what was looked up as long as it has memory, outside of any
//! bound of ours, and for each name we keep a node.
//!
//! From a thread of its own: what a request waits for must not wait for a directory's lock, which the
//! kernel may hold for that very request.

use crate::fs::{Fs, Ino};
use parking_lot::{Condvar, Mutex};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// `FUSE_NOTIFY_INVAL_ENTRY` and `FUSE_NOTIFY_PRUNE` (Linux 6.18) of `include/uapi/linux/fuse.h`.
const INVAL_ENTRY: i32 = 3;
const PRUNE: i32 = 9;
/// Numbers in one message.
const BATCH: usize = 512;
/// The kernel's answers come meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// The thread, from the first time that it is needed, and what it is told.
#[derive(Debug)]
pub(super) struct Forgetting {
    kernel: File,
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_called: bool,
    runs: bool,
}

impl Forgetting {
    /// Tells the kernel by a descriptor of its own of the connection.
    pub(super) fn new(kernel: File) -> Arc<Self> {
        Arc::new(Self { kernel, state: Mutex::default(), called: Condvar::new() })
    }

    /// Has the kernel forget, soon, if it knows too many names.
    pub(super) fn look(self: &Arc<Self>, fs: &Arc<Fs>) {
        if !fs.has_many_nodes() {
            return;
        }
        let mut state = self.state.lock();
        state.is_called = true;
        if !state.runs {
            let (forgetting, fs) = (Arc::clone(self), Arc::clone(fs));
            let thread = thread::Builder::new().name("forget".into());
            // Without a thread more, the next look-up tries again.
            state.runs = thread.spawn(move || forgetting.run(&fs)).is_ok();
        }
        drop(state);
        self.called.notify_one();
    }

    fn run(&self, fs: &Fs) {
        let mut can_prune = true;
        loop {
            let mut state = self.state.lock();
            while !state.is_called {
                self.called.wait(&mut state);
            }
            state.is_called = false;
            drop(state);
            if !fs.has_many_nodes() {
                continue;
            }
            let old = fs.old_nodes();
            for nodes in old.chunks(BATCH) {
                // Older kernels know no such message.
                can_prune = can_prune && self.prune(nodes).is_ok();
                if !can_prune {
                    nodes.iter().for_each(|node| self.invalidate(fs, *node));
                }
            }
            drop(old);
            thread::sleep(PAUSE);
            fs.asked_to_forget();
        }
    }

    fn send(&self, code: i32, body: &[&[u8]]) -> io::Result<()> {
        let len = 16 + body.iter().map(|part| part.len()).sum::<usize>();
        let mut message = Vec::with_capacity(len);
        // `struct fuse_out_header`: no more than one batch, or one name, follows.
        message.extend((len as u32).to_ne_bytes());
        message.extend(code.to_ne_bytes());
        message.extend(0_u64.to_ne_bytes());
        body.iter().for_each(|part| message.extend_from_slice(part));
        // The kernel takes a message whole, or not at all.
        (&self.kernel).write(&message).map(drop)
    }

    /// By their numbers: `struct fuse_notify_prune_out`.
    fn prune(&self, nodes: &[Ino]) -> io::Result<()> {
        let numbers: Vec<u8> = nodes.iter().flat_map(|ino| ino.0.to_ne_bytes()).collect();
        let count = (nodes.len() as u32).to_ne_bytes();
        self.send(PRUNE, &[&count, &[0; 12], &numbers])
    }

    /// By directory and name, which only elements have without end: `struct fuse_notify_inval_entry_out`.
    fn invalidate(&self, fs: &Fs, node: Ino) {
        let Some((dir, name)) = fs.place_of(node) else { return };
        let len = (name.len() as u32).to_ne_bytes();
        // Most are there; if not, the kernel has forgotten it already.
        let _ = self.send(INVAL_ENTRY, &[&dir.0.to_ne_bytes(), &len, &[0; 4], &name, &[0]]);
    }
}

//! Asks the kernel to forget names. It keeps what was looked up as long as it has memory, outside of any
//! bound of ours, and for each name we keep a node.
//!
//! From a thread of its own: what a request waits for must not wait for a directory's lock, which the
//! kernel may hold for that very request.

use super::kernel::Kernel;
use crate::fs::base::kept_dirs::KernelCache;
use crate::fs::{Fs, Ino};
use parking_lot::{Condvar, Mutex};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Numbers in one message.
const BATCH: usize = 512;
/// The kernel's answers come meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// The thread, from the first time that it is needed, and what it is told.
#[derive(Debug)]
pub(super) struct Forgetting {
    kernel: Arc<Kernel>,
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_called: bool,
    runs: bool,
}

impl Forgetting {
    /// Tells the kernel by `kernel`.
    pub(super) fn new(kernel: Arc<Kernel>) -> Arc<Self> {
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
            // More may come meanwhile.
            while fs.has_many_nodes() {
                let old = fs.old_nodes();
                for nodes in old.chunks(BATCH) {
                    // Older kernels know no such message.
                    can_prune = can_prune && self.kernel.prune(nodes).is_ok();
                    if !can_prune {
                        nodes.iter().for_each(|node| self.invalidate(fs, *node));
                    }
                }
                thread::sleep(PAUSE);
                fs.asked_to_forget(&old);
            }
        }
    }

    /// By directory and name, which only elements have without end.
    fn invalidate(&self, fs: &Fs, node: Ino) {
        let Some((dir, name)) = fs.place_of(node) else { return };
        self.kernel.forget_name(dir, OsStr::from_bytes(&name));
    }
}

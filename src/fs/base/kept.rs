//! What was made to tell a size, for the open that follows at once: it reads the same text.
//!
//! open(2) looks a name up, which tells the kernel a size, and then opens what it found. Both are of one
//! moment: programs believe the size, and a text that takes a walk, or a look at the whole machine, is
//! made once. It is the asking thread's alone, and only until its next look-up.

use super::caller::Caller;
use super::open_file::OpenFile;
use crate::node::Node;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the open may take to follow.
const MOMENT: Duration = Duration::from_millis(50);
/// Texts kept at most.
const MOST: usize = 64;

#[derive(Debug)]
struct One {
    node: Node,
    file: Arc<dyn OpenFile>,
    caller: Caller,
    since: Instant,
}

/// What was made to tell a size, by the thread that asked.
#[derive(Debug)]
pub struct KeptFiles {
    by_thread: Mutex<HashMap<u32, One>>,
    /// How long each is kept.
    moment: Duration,
}

impl Default for KeptFiles {
    fn default() -> Self {
        Self { by_thread: Mutex::default(), moment: MOMENT }
    }
}

impl KeptFiles {
    /// Keeps what a thread asked the size of, instead of what it asked for before.
    pub(super) fn keep(&self, caller: Caller, node: &Node, file: &Arc<dyn OpenFile>) {
        // Threads that /proc does not show cannot be told apart.
        if caller.pid == 0 {
            return;
        }
        let since = Instant::now();
        let one = One { node: node.clone(), file: Arc::clone(file), caller, since };
        let mut kept = self.by_thread.lock();
        if kept.len() < MOST || kept.contains_key(&caller.pid) {
            kept.insert(caller.pid, one);
        }
    }

    /// Keeps what the same thread is told now of what it has just looked up.
    pub(super) fn keep_again(&self, caller: Caller, node: &Node, file: &Arc<dyn OpenFile>) {
        if let Some(one) = self.by_thread.lock().get_mut(&caller.pid)
            && one.node == *node
        {
            one.file = Arc::clone(file);
        }
    }

    /// What the same thread has just asked the size of, once.
    pub fn take(&self, caller: Caller, node: &Node) -> Option<Arc<dyn OpenFile>> {
        let one = self.by_thread.lock().remove(&caller.pid)?;
        let is_same = one.node == *node
            && (one.caller.uid, one.caller.is_owner) == (caller.uid, caller.is_owner);
        (is_same && one.since.elapsed() < self.moment).then_some(one.file)
    }

    /// Drops what nobody opened; whether nothing is left.
    pub(super) fn sweep(&self) -> bool {
        let late: Vec<One> = {
            let mut kept = self.by_thread.lock();
            let late = kept.extract_if(|_, one| one.since.elapsed() >= self.moment);
            late.map(|(_, one)| one).collect()
        };
        drop(late);
        self.by_thread.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::base::open_file::TextFile;

    const FILE: Node = Node::Errors;

    fn lasting(moment: Duration) -> KeptFiles {
        KeptFiles { moment, ..KeptFiles::default() }
    }

    fn by(pid: u32) -> Caller {
        Caller { pid, uid: 0, gid: 0, is_owner: true, beside: false }
    }

    fn keep(kept: &KeptFiles, pid: u32) {
        let file: Arc<dyn OpenFile> = Arc::new(TextFile::new(b"text".to_vec()));
        kept.keep(by(pid), &FILE, &file);
    }

    #[test]
    fn for_the_same_thread_and_file_once() {
        let kept = lasting(Duration::MAX);
        keep(&kept, 1);
        assert!(kept.take(by(2), &FILE).is_none());
        assert!(kept.take(by(1), &FILE).is_some());
        assert!(kept.take(by(1), &FILE).is_none(), "once");
        keep(&kept, 1);
        assert!(kept.take(by(1), &Node::Ids).is_none(), "another file");
        keep(&kept, 1);
        assert!(kept.take(Caller { uid: 1, ..by(1) }, &FILE).is_none(), "another user");
        keep(&kept, 1);
        assert!(!kept.sweep());
        assert!(kept.take(by(1), &FILE).is_some());
        keep(&kept, 0);
        assert!(kept.sweep(), "of nobody");
    }

    #[test]
    fn not_for_long() {
        let kept = lasting(Duration::ZERO);
        keep(&kept, 1);
        assert!(kept.take(by(1), &FILE).is_none());
        keep(&kept, 2);
        assert!(kept.sweep());
    }
}

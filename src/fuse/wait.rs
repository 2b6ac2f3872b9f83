//! Reads and opens that wait, of streams, beside the threads that answer requests.
//!
//! fuser answers FUSE_INTERRUPT with ENOSYS, so a signal reaches a waiting reader only with a
//! reply: one comes at the latest after [`PATIENCE`], EINTR, upon which callers ask again.

use crate::fs::Result;
use crate::fs::base::handles::Handle;
use crate::fs::base::open_file::OpenFile;
use fuser::{Errno, PollEvents, PollNotifier, ReplyData};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// How long a read waits before it gives a signal its chance.
const PATIENCE: Duration = Duration::from_millis(200);

/// Reads and, if there is something to give, replies.
pub(super) fn read(
    file: &dyn OpenFile,
    offset: u64,
    size: u32,
    reply: &mut Option<ReplyData>,
) -> Result<()> {
    file.read(offset, size as usize, &mut |data| {
        if let Some(reply) = reply.take() {
            reply.data(data);
        }
    })
}

/// Replies when there is something to read, or with EINTR after [`PATIENCE`].
pub(super) fn read_later(file: Arc<dyn OpenFile>, offset: u64, size: u32, reply: ReplyData) {
    let mut reply = Some(reply);
    let wait = move || {
        file.wait(PATIENCE);
        let outcome = read(&*file, offset, size, &mut reply);
        if let (Err(error), Some(reply)) = (outcome, reply) {
            let errno = if error.errno == libc::EAGAIN { libc::EINTR } else { error.errno };
            reply.error(Errno::from_i32(errno));
        }
    };
    beside("wait", wait);
}

/// Does something in a thread of its own. Without one its reply is dropped, and fuser answers EIO.
pub(super) fn beside(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.into()).spawn(work) {
        log::error!("a stream cannot wait: {error}");
    }
}

/// The handles that a thread waits for on behalf of poll(2): one each, however often a program
/// polls in vain.
static POLLED: Mutex<BTreeSet<Handle>> = Mutex::new(BTreeSet::new());

fn polled() -> MutexGuard<'static, BTreeSet<Handle>> {
    POLLED.lock()
}

/// What a file is ready for. With `notifier`, the kernel is told once there is more.
pub(super) fn poll(
    file: &Arc<dyn OpenFile>,
    handle: Handle,
    events: PollEvents,
    notifier: Option<PollNotifier>,
) -> PollEvents {
    let ready = if file.wait(Duration::ZERO) {
        PollEvents::POLLIN | PollEvents::POLLRDNORM
    } else {
        PollEvents::empty()
    };
    if ready.is_empty()
        && let Some(notifier) = notifier
        && polled().insert(handle)
    {
        let file = Arc::downgrade(file);
        let notify = move || notify_when_ready(&file, handle, notifier);
        if let Err(error) = thread::Builder::new().name("poll".into()).spawn(notify) {
            polled().remove(&handle);
            log::error!("a poll cannot wait: {error}");
        }
    }
    (ready | PollEvents::POLLOUT | PollEvents::POLLWRNORM) & events
}

fn notify_when_ready(file: &Weak<dyn OpenFile>, handle: Handle, notifier: PollNotifier) {
    // Until it is closed: then nobody polls it any more.
    while let Some(open) = file.upgrade() {
        if open.wait(PATIENCE) {
            break;
        }
    }
    // Before the kernel is told: a poll that comes later gets a thread of its own.
    polled().remove(&handle);
    if let Err(error) = notifier.notify() {
        log::debug!("poll: {error}");
    }
}

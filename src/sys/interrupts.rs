//! Which of the kernel's requests were interrupted: FUSE_INTERRUPT, which fuser does not pass on.
//!
//! fuser 0.18 answers it with ENOSYS, by which the kernel takes it that there will never be such an
//! answer: readers who wait from then on cannot be woken by a signal, sleep in state D and count in the
//! load average. That answer is a reply like any other, a header alone, which fuser writes with
//! writev(2). So this program has a writev of its own, which stands in for libc's: it keeps that one
//! reply back, and tells whose request it is of. The kernel needs no answer to an interrupt
//! (`fuse_dev_do_write` in `fs/fuse/dev.c`); what is wanted is one to the request.

use std::sync::OnceLock;

/// `struct fuse_out_header` in `include/uapi/linux/fuse.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Header {
    len: u32,
    error: i32,
    unique: u64,
}

/// In the number of a reply: it is to the interrupt of the request with the number without it
/// (`FUSE_INT_REQ_BIT` in `fs/fuse/dev.c`, Linux 4.20).
const INTERRUPT: u64 = 1;

type Told = Box<dyn Fn(u64) + Send + Sync>;

static LISTENER: OnceLock<Told> = OnceLock::new();

/// Tells from now on of each interrupt, by the number of the request. A process has one listener: a
/// second one is not told.
pub fn listen(told: impl Fn(u64) + Send + Sync + 'static) {
    let _ = LISTENER.set(Box::new(told));
}

/// The request whose interrupt this reply refuses, if it is such a reply.
fn refused(header: Header) -> Option<u64> {
    let is_refusal = header.len as usize == size_of::<Header>()
        && header.error == -libc::ENOSYS
        && header.unique & INTERRUPT != 0;
    is_refusal.then_some(header.unique & !INTERRUPT)
}

/// writev(2), but for the reply that [`listen`] is about.
///
/// # Safety
/// As libc's: `parts` are `count` parts of readable memory.
// SAFETY: the name is libc's, and so are what it takes, gives and does with everything else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(
    fd: libc::c_int,
    parts: *const libc::iovec,
    count: libc::c_int,
) -> libc::ssize_t {
    if let Some(listener) = LISTENER.get()
        && count == 1
        && !parts.is_null()
    {
        // SAFETY: the caller says that there is one.
        let part = unsafe { &*parts };
        if part.iov_len == size_of::<Header>() && !part.iov_base.is_null() {
            // SAFETY: the caller says that so many bytes are readable; any are a header.
            let header = unsafe { part.iov_base.cast::<Header>().read_unaligned() };
            if let Some(request) = refused(header) {
                listener(request);
                return size_of::<Header>().cast_signed();
            }
        }
    }
    // SAFETY: as the caller says.
    unsafe { libc::syscall(libc::SYS_writev, fd, parts, count) as libc::ssize_t }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refused_interrupts() {
        let reply = |len, error, unique| refused(Header { len, error, unique });
        assert_eq!(reply(16, -libc::ENOSYS, 77), Some(76));
        assert_eq!(reply(16, -libc::ENOSYS, 76), None);
        assert_eq!(reply(16, -libc::EIO, 77), None);
        assert_eq!(reply(24, -libc::ENOSYS, 77), None);
    }
}

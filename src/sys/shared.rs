//! Memory shared with the kernel: the pages of ring buffers.

use super::{Call, Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A mapping of a descriptor's memory, which the kernel changes meanwhile.
///
/// Nothing refers into it: bytes are copied out and in, and positions are atomics.
#[derive(Debug)]
pub(super) struct Shared {
    start: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: the mapping belongs to this value alone, and is used through atomics and raw copies.
unsafe impl Send for Shared {}
// SAFETY: as for `Send`; no method hands out a reference to plain memory.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps `len` bytes from `offset`.
    pub(super) fn map(
        fd: BorrowedFd<'_>,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<Self> {
        const CALL: Call = Call::Mmap;
        let invalid = |_| Error::new(CALL, libc::EINVAL);
        let offset = libc::off_t::try_from(offset).map_err(invalid)?;
        let access = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing of ours.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd.as_raw_fd(), offset)
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast::<libc::c_void>() != libc::MAP_FAILED => {
                Ok(Self { start, len, writable })
            }
            _ => Err(Error::last(CALL)),
        }
    }

    /// The number at a byte offset, which is a multiple of 8 inside the mapping.
    pub(super) fn u64_at(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.len, "outside the mapping");
        // SAFETY: inside the mapping and aligned, as was just checked; the mapping lives as long
        // as `self`, and the kernel changes the number as one word.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// The number at a byte offset, which is a multiple of 4 inside the mapping.
    pub(super) fn u32_at(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.len, "outside the mapping");
        // SAFETY: as for `u64_at`.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// Appends a copy of `len` bytes at `at`.
    pub(super) fn copy_out(&self, at: usize, len: usize, to: &mut Vec<u8>) {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "outside the mapping");
        to.reserve(len);
        // SAFETY: the source is inside the mapping and the target has room for `len` bytes, which
        // are all set before the length says so. The kernel does not write to a committed record
        // before our position has passed it.
        unsafe {
            let end = to.as_mut_ptr().add(to.len());
            std::ptr::copy_nonoverlapping(self.start.as_ptr().add(at), end, len);
            to.set_len(to.len() + len);
        }
    }

    /// Copies bytes to `at`, of a writable mapping.
    pub(super) fn copy_in(&self, at: usize, from: &[u8]) {
        assert!(self.writable, "a mapping for reading");
        assert!(at.checked_add(from.len()).is_some_and(|end| end <= self.len), "outside");
        // SAFETY: the target is inside the writable mapping; the kernel does not read it before
        // our position has passed it.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), self.start.as_ptr().add(at), from.len());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and nothing refers into it any more.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
        }
    }
}

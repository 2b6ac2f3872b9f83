//! Ring buffers: reading BPF_MAP_TYPE_RINGBUF, writing BPF_MAP_TYPE_USER_RINGBUF.
//!
//! A page with the consumer's position, a page with the producer's, and the data mapped twice in a
//! row, so that a record never wraps (`kernel/bpf/ringbuf.c`). Positions only grow.

use super::os::page_size;
use super::shared::Shared;
use super::{Call, Error, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

/// Bytes before each record.
const HEADER: usize = 8;
/// In a record's length: the producer has not finished it.
const BUSY: u32 = 1 << 31;
/// In a record's length: to be skipped.
const DISCARD: u32 = 1 << 30;

/// What a read of a ring gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A record was copied.
    Record,
    /// A program is still writing the next one.
    Busy,
    /// There is none.
    Empty,
}

/// The reading side of a ring buffer.
#[derive(Debug)]
pub struct RingReader {
    fd: OwnedFd,
    consumer: Shared,
    producer: Shared,
    size: usize,
}

impl RingReader {
    /// Maps the ring buffer `fd` of `size` bytes of data (its max_entries).
    ///
    /// # Errors
    /// EPERM for a descriptor that may not write; EINVAL if it is no ring buffer of that size.
    pub fn new(fd: OwnedFd, size: u32) -> Result<Self> {
        let size = check_size(size)?;
        let page = page_size();
        let consumer = Shared::map(fd.as_fd(), 0, page, true)?;
        let producer = Shared::map(fd.as_fd(), page, page + 2 * size, false)?;
        Ok(Self { fd, consumer, producer, size })
    }

    /// Whether [`Self::next`] has a record to give; takes none.
    pub fn is_ready(&self) -> bool {
        let at = self.consumer.u64_at(0).load(Ordering::Acquire);
        if at >= self.producer.u64_at(0).load(Ordering::Acquire) {
            return false;
        }
        let offset = page_size() + (at as usize & (self.size - 1) & !7);
        // One to be skipped counts too: who looks for a record then finds the ring empty.
        self.producer.u32_at(offset).load(Ordering::Acquire) & BUSY == 0
    }

    /// Appends the next record to `record` and gives its place back to the kernel.
    ///
    /// One reader at a time (`&mut`): there is one position.
    pub fn next(&mut self, record: &mut Vec<u8>) -> Next {
        let page = page_size();
        let position = self.consumer.u64_at(0);
        loop {
            // Ours alone to move, unless another process reads as well.
            let at = position.load(Ordering::Acquire);
            // Acquire: the record's length is visible when the position is.
            if at >= self.producer.u64_at(0).load(Ordering::Acquire) {
                return Next::Empty;
            }
            // Another process may have the page as well and write anything there: records begin at
            // multiples of 8, and what is read stays inside the mapping.
            let offset = page + (at as usize & (self.size - 1) & !7);
            // Acquire: the record's bytes are visible when its length says that it is committed.
            let word = self.producer.u32_at(offset).load(Ordering::Acquire);
            if word & BUSY != 0 {
                return Next::Busy;
            }
            let len = ((word & !DISCARD) as usize).min(self.size);
            if word & DISCARD == 0 {
                self.producer.copy_out(offset + HEADER, len, record);
            }
            let next = (at & !7).saturating_add((len + HEADER).next_multiple_of(8) as u64);
            // Release: the copy is done before the kernel may write there again.
            position.store(next, Ordering::Release);
            if word & DISCARD == 0 {
                return Next::Record;
            }
        }
    }
}

impl AsFd for RingReader {
    /// Readable when there are records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The writing side of a user ring buffer.
#[derive(Debug)]
pub struct RingWriter {
    consumer: Shared,
    producer: Shared,
    size: usize,
}

impl RingWriter {
    /// Maps the user ring buffer `fd` of `size` bytes of data (its max_entries).
    ///
    /// # Errors
    /// EPERM for a descriptor that may not write; EINVAL if it is no user ring buffer of that size.
    pub fn new(fd: BorrowedFd<'_>, size: u32) -> Result<Self> {
        let size = check_size(size)?;
        let page = page_size();
        let consumer = Shared::map(fd, 0, page, false)?;
        let producer = Shared::map(fd, page, page + 2 * size, true)?;
        Ok(Self { consumer, producer, size })
    }

    /// Adds a record.
    ///
    /// One writer at a time (`&mut`): there is one position.
    ///
    /// # Errors
    /// ENOSPC if there is no room until a program drains the ring; E2BIG if there never is.
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        const CALL: Call = Call::WriteRing;
        let total = (record.len() + HEADER).next_multiple_of(8);
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
        if total > self.size || len >= DISCARD {
            return Err(Error::new(CALL, libc::E2BIG));
        }
        let page = page_size();
        // Acquire: what the kernel has read is ours again.
        let consumed = self.consumer.u64_at(0).load(Ordering::Acquire);
        let position = self.producer.u64_at(0);
        let at = position.load(Ordering::Acquire);
        // Another process has the page as well, and may have written anything there.
        if !at.is_multiple_of(8) {
            return Err(Error::new(CALL, libc::EIO));
        }
        if at.wrapping_sub(consumed) as usize > self.size - total {
            return Err(Error::new(CALL, libc::ENOSPC));
        }
        let offset = page + (at as usize & (self.size - 1));
        self.producer.copy_in(offset + HEADER, record);
        self.producer.u32_at(offset + 4).store(0, Ordering::Relaxed);
        self.producer.u32_at(offset).store(len, Ordering::Release);
        // Release: the record is whole when the kernel sees the position.
        position.store(at.wrapping_add(total as u64), Ordering::Release);
        Ok(())
    }
}

fn check_size(size: u32) -> Result<usize> {
    let size = size as usize;
    if size.is_power_of_two() && size >= page_size() {
        Ok(size)
    } else {
        Err(Error::new(Call::MapRing, libc::EINVAL))
    }
}

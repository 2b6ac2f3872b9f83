//! Perf events as a perf event array's readers hold them: one ring of records for each CPU
//! (perf_event_open(2)).

use super::os::page_size;
use super::shared::Shared;
use super::{Call, Error, Result, check_libc, own_libc};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

const RECORD_LOST: u32 = 2;
const RECORD_SAMPLE: u32 = 9;
const TYPE_SOFTWARE: u32 = 1;
const COUNT_SW_BPF_OUTPUT: u64 = 10;
const SAMPLE_RAW: u64 = 1 << 10;
/// `PERF_FORMAT_TOTAL_TIME_ENABLED`
const TOTAL_TIME_ENABLED: u64 = 1;
/// `PERF_EVENT_IOC_ENABLE`
const IOC_ENABLE: libc::Ioctl = 0x2400;
const FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// Where the positions are in the first page (`struct perf_event_mmap_page`).
const HEAD: usize = 1024;
const TAIL: usize = 1032;

/// `struct perf_event_attr` of its first version, 64 bytes, which says all that is needed.
#[repr(C)]
#[derive(Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

/// What a CPU's ring holds next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerfRecord {
    /// A program's output was copied.
    Sample,
    /// So many outputs found no room.
    Lost(u64),
}

/// One CPU's ring of bpf_perf_event_output() records.
#[derive(Debug)]
pub struct PerfRing {
    fd: OwnedFd,
    pages: Shared,
    size: usize,
    /// For how long the event had been enabled when that was last asked, in nanoseconds.
    enabled: Option<u64>,
}

impl PerfRing {
    /// Opens an event on `cpu` with a ring of `size` bytes, a power of two of whole pages.
    ///
    /// # Errors
    /// ENODEV if the CPU is offline; EPERM, EMFILE, ENOMEM.
    pub fn open(cpu: u32, size: usize) -> Result<Self> {
        const CALL: Call = Call::PerfEventOpen;
        let page = page_size();
        if !size.is_power_of_two() || size < page {
            return Err(Error::new(CALL, libc::EINVAL));
        }
        let attr = Attr {
            kind: TYPE_SOFTWARE,
            size: size_of::<Attr>() as u32,
            config: COUNT_SW_BPF_OUTPUT,
            sample_period: 1,
            sample_type: SAMPLE_RAW,
            read_format: TOTAL_TIME_ENABLED,
            wakeup_events: 1,
            ..Attr::default()
        };
        // SAFETY: `attr` says its own size and outlives the call.
        let fd = unsafe {
            libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, cpu, -1, FLAG_FD_CLOEXEC)
        };
        let fd = own_libc(CALL, fd)?;
        let pages = Shared::map(fd.as_fd(), 0, page + size, true)?;
        // SAFETY: this ioctl takes a number.
        let rc = unsafe { libc::ioctl(fd.as_raw_fd(), IOC_ENABLE, 0) };
        check_libc(Call::PerfEventEnable, rc)?;
        Ok(Self { fd, pages, size, enabled: None })
    }

    /// Whether the event's time has stood still since the last such call: its CPU went offline then,
    /// and there will be no more records, even if the CPU is back.
    pub fn has_stopped(&mut self) -> bool {
        // The event's value, and the time.
        let mut read = [0_u64; 2];
        // SAFETY: `read` has the bytes that are asked for, and takes any value.
        let n = unsafe {
            libc::read(self.fd.as_raw_fd(), read.as_mut_ptr().cast(), size_of_val(&read))
        };
        let now = (n.unsigned_abs() == size_of_val(&read)).then_some(read[1]);
        let last = std::mem::replace(&mut self.enabled, now);
        now.is_some() && now == last
    }

    /// Whether there are records; takes none.
    pub fn is_ready(&self) -> bool {
        let tail = self.pages.u64_at(TAIL).load(Ordering::Relaxed);
        tail < self.pages.u64_at(HEAD).load(Ordering::Acquire)
    }

    /// Appends the next output to `record`, or tells of lost ones; `None` if there is nothing.
    pub fn next(&mut self, record: &mut Vec<u8>) -> Option<PerfRecord> {
        loop {
            let tail_at = self.pages.u64_at(TAIL);
            let tail = tail_at.load(Ordering::Relaxed);
            // Acquire: the records are visible when the position is.
            let head = self.pages.u64_at(HEAD).load(Ordering::Acquire);
            if tail >= head {
                return None;
            }
            let header = self.bytes(tail, 8);
            let kind = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
            let len = usize::from(u16::from_ne_bytes([header[6], header[7]]));
            let body = self.bytes(tail + 8, len.saturating_sub(8));
            // Release: the copy is done before the kernel may write there again. A record of no
            // length would never end.
            tail_at.store(tail + len.max(8) as u64, Ordering::Release);
            match kind {
                RECORD_SAMPLE => {
                    let (size, data) = body.split_first_chunk::<4>()?;
                    let size = (u32::from_ne_bytes(*size) as usize).min(data.len());
                    record.extend_from_slice(&data[..size]);
                    return Some(PerfRecord::Sample);
                }
                RECORD_LOST => {
                    let count = body.get(8..).and_then(|count| count.first_chunk())?;
                    return Some(PerfRecord::Lost(u64::from_ne_bytes(*count)));
                }
                _ => {}
            }
        }
    }

    /// A copy of the ring's bytes from a position on.
    fn bytes(&self, position: u64, len: usize) -> Vec<u8> {
        let len = len.min(self.size);
        let start = position as usize & (self.size - 1);
        let first = len.min(self.size - start);
        let mut bytes = Vec::with_capacity(len);
        self.pages.copy_out(page_size() + start, first, &mut bytes);
        self.pages.copy_out(page_size(), len - first, &mut bytes);
        bytes
    }
}

impl AsFd for PerfRing {
    /// Readable when there are records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

//! BPF iterators: a pinned one's output, and small programs that run over all that the kernel has of a
//! sort, for what it knows but does not tell.

use super::{Call, Error, Result, own};
use libbpf_rs::libbpf_sys as bpf;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// After so many pauses, one each million objects, a run is given up.
const PAUSES: u32 = 100;

/// A loaded program that can be run over all maps, or all open files, again and again; gone when it is
/// dropped.
#[derive(Debug)]
pub struct IterProgram {
    link: OwnedFd,
}

impl IterProgram {
    /// Loads `insns` (one `struct bpf_insn` each) as an iterator program called `name`, and attaches it
    /// to the kernel function with BTF id `attach`.
    ///
    /// # Errors
    /// EPERM without CAP_BPF and CAP_PERFMON; EINVAL or EACCES if the kernel's verifier refuses it.
    pub fn load(name: &'static std::ffi::CStr, insns: &[u64], attach: u32) -> Result<Self> {
        let mut opts = bpf::bpf_prog_load_opts {
            sz: size_of::<bpf::bpf_prog_load_opts>() as bpf::size_t,
            expected_attach_type: bpf::BPF_TRACE_ITER,
            attach_btf_id: attach,
            ..Default::default()
        };
        // SAFETY: the strings are NUL-terminated, there are as many 8-byte instructions as said, and
        // all outlive the call; what they do is for the kernel's verifier to check.
        let prog = unsafe {
            bpf::bpf_prog_load(
                bpf::BPF_PROG_TYPE_TRACING,
                name.as_ptr(),
                // The kernel lets only such programs write to a file.
                c"Dual MIT/GPL".as_ptr(),
                insns.as_ptr().cast(),
                insns.len() as bpf::size_t,
                &raw mut opts,
            )
        };
        let prog = own(Call::ProgLoad, prog)?;
        // SAFETY: null options are allowed.
        let link = unsafe {
            bpf::bpf_link_create(prog.as_raw_fd(), 0, bpf::BPF_TRACE_ITER, std::ptr::null())
        };
        Ok(Self { link: own(Call::LinkCreate, link)? })
    }

    /// Runs it once over all of them, and gives what it wrote: `most` bytes at most.
    ///
    /// # Errors
    /// Those of BPF_ITER_CREATE and read(2).
    pub fn run(&self, most: u64) -> Result<Vec<u8>> {
        let mut iter = File::from(create(self.link.as_fd())?).take(most);
        let mut output = Vec::new();
        let mut pauses = 0;
        loop {
            match iter.read_to_end(&mut output) {
                Ok(_) => return Ok(output),
                // The kernel stops after a million of which none made it write (`MAX_ITER_OBJECTS`).
                Err(error) if error.kind() == ErrorKind::WouldBlock && pauses < PAUSES => {
                    pauses += 1
                }
                Err(error) => return Err(Error::of(Call::Read, &error)),
            }
        }
    }
}

/// BPF_ITER_CREATE: a file that gives an iterator link's output from the start.
///
/// # Errors
/// EINVAL if the link is no iterator's.
pub fn create(link: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    own(Call::IterCreate, unsafe { bpf::bpf_iter_create(link.as_raw_fd()) })
}

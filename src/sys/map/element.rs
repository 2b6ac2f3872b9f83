//! The element and batch commands of bpf(2), and the one place where they are called.

use libbpf_rs::libbpf_sys as bpf;
use std::ptr;

/// A command. Keys are as many bytes as the map's, or none for a map without keys; values as many as
/// the kernel copies for it.
#[derive(Debug)]
pub(crate) enum Element<'a> {
    /// BPF_MAP_LOOKUP_ELEM
    Lookup { key: Option<&'a [u8]>, value: &'a mut [u8], flags: u64 },
    /// BPF_MAP_UPDATE_ELEM
    Update { key: Option<&'a [u8]>, value: &'a [u8], flags: u64 },
    /// BPF_MAP_DELETE_ELEM
    Delete { key: Option<&'a [u8]> },
    /// BPF_MAP_LOOKUP_AND_DELETE_ELEM
    Take { key: Option<&'a [u8]>, value: &'a mut [u8], flags: u64 },
    /// BPF_MAP_GET_NEXT_KEY; without a key before it, the first one.
    NextKey { after: Option<&'a [u8]>, next: &'a mut [u8] },
    /// BPF_MAP_LOOKUP_BATCH: `token` is written, and read unless `first`.
    LookupBatch {
        token: &'a mut [u8],
        first: bool,
        keys: &'a mut [u8],
        values: &'a mut [u8],
        count: &'a mut u32,
        flags: u64,
    },
    /// BPF_MAP_UPDATE_BATCH
    UpdateBatch { keys: &'a [u8], values: &'a [u8], count: &'a mut u32, flags: u64 },
    /// BPF_MAP_DELETE_BATCH
    DeleteBatch { keys: &'a [u8], count: &'a mut u32 },
}

impl Element<'_> {
    /// Asks the kernel, or in a unit test who stands for it: 0, or a negative errno.
    ///
    /// # Safety
    /// `fd` is no map, or keys, values and tokens have as many bytes as the kernel reads and writes for
    /// it, times `count` in batches.
    pub(super) unsafe fn call(self, fd: i32) -> i32 {
        #[cfg(test)]
        let this = match super::fake::answer(self) {
            Ok(rc) => return rc,
            Err(element) => element,
        };
        #[cfg(not(test))]
        let this = self;
        // SAFETY: every pointer is that of a slice of the caller's, who vouches for its length, or null
        // where the kernel demands that; all outlive the call.
        unsafe { this.call_kernel(fd) }
    }

    /// # Safety
    /// As for [`Self::call`].
    pub(super) unsafe fn call_kernel(self, fd: i32) -> i32 {
        let start = |bytes: Option<&[u8]>| bytes.map_or(ptr::null(), |bytes| bytes.as_ptr().cast());
        // SAFETY: as the caller vouches.
        unsafe {
            match self {
                Self::Lookup { key, value, flags } => {
                    let value = value.as_mut_ptr().cast();
                    bpf::bpf_map_lookup_elem_flags(fd, start(key), value, flags)
                }
                Self::Update { key, value, flags } => {
                    bpf::bpf_map_update_elem(fd, start(key), value.as_ptr().cast(), flags)
                }
                Self::Delete { key } => bpf::bpf_map_delete_elem(fd, start(key)),
                Self::Take { key, value, flags } => {
                    let value = value.as_mut_ptr().cast();
                    bpf::bpf_map_lookup_and_delete_elem_flags(fd, start(key), value, flags)
                }
                Self::NextKey { after, next } => {
                    bpf::bpf_map_get_next_key(fd, start(after), next.as_mut_ptr().cast())
                }
                Self::LookupBatch { token, first, keys, values, count, flags } => {
                    let token = token.as_mut_ptr().cast();
                    let from = if first { ptr::null_mut() } else { token };
                    let (keys, values) = (keys.as_mut_ptr().cast(), values.as_mut_ptr().cast());
                    let opts = options(flags);
                    bpf::bpf_map_lookup_batch(fd, from, token, keys, values, count, &raw const opts)
                }
                Self::UpdateBatch { keys, values, count, flags } => {
                    let (keys, values) = (keys.as_ptr().cast(), values.as_ptr().cast());
                    let opts = options(flags);
                    bpf::bpf_map_update_batch(fd, keys, values, count, &raw const opts)
                }
                Self::DeleteBatch { keys, count } => {
                    let opts = options(0);
                    bpf::bpf_map_delete_batch(fd, keys.as_ptr().cast(), count, &raw const opts)
                }
            }
        }
    }
}

fn options(elem_flags: u64) -> bpf::bpf_map_batch_opts {
    bpf::bpf_map_batch_opts {
        sz: size_of::<bpf::bpf_map_batch_opts>() as bpf::size_t,
        elem_flags,
        ..Default::default()
    }
}

//! The element commands of bpf(2) on an open map.

mod cpus;
mod element;
pub mod kind;
mod new;

use super::{Call, Error, Result, check, text_of};
pub use cpus::possible_cpus;
pub(crate) use element::Element;
use kind::MapKind;
use libbpf_rs::libbpf_sys as bpf;
pub use new::{NewMap, create};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// BPF_ANY: create the element or replace it.
pub const ANY: u64 = bpf::BPF_ANY as u64;
/// BPF_NOEXIST: create the element only.
pub const NOEXIST: u64 = bpf::BPF_NOEXIST as u64;
/// BPF_EXIST: replace the element only.
pub const EXIST: u64 = bpf::BPF_EXIST as u64;
/// BPF_F_CPU: the value of one CPU, whose number is in the flags' upper half. Since Linux 6.19; older
/// kernels refuse it.
const ONE_CPU: u64 = bpf::BPF_F_CPU as u64;
/// BPF_F_LOCK: take the value's `bpf_spin_lock` while copying.
pub const LOCK: u64 = bpf::BPF_F_LOCK as u64;

/// What the kernel says about a map (`struct bpf_map_info`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapInfo {
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// The map's id, unique while it lives.
    pub id: u32,
    /// Bytes in a key.
    pub key_size: u32,
    /// Bytes in a value (of one CPU).
    pub value_size: u32,
    /// Entries at most; the bytes of a ring buffer.
    pub max_entries: u32,
    /// BPF_F_* creation flags.
    pub flags: u32,
    /// The kernel's name of the map, at most 15 bytes.
    pub name: String,
    /// The BTF object that describes key and value; 0 if there is none.
    pub btf_id: u32,
    /// The key's type in it, or 0.
    pub btf_key_type_id: u32,
    /// The value's type in it, or 0.
    pub btf_value_type_id: u32,
    /// For struct_ops: the kernel BTF object of the value's type, or 0.
    pub btf_vmlinux_id: u32,
    /// For struct_ops: the value's type in the kernel's BTF, or 0.
    pub btf_vmlinux_value_type_id: u32,
    /// Kind-specific: a bloom filter's hash functions.
    pub map_extra: u64,
    /// The device of an offloaded map, or 0.
    pub ifindex: u32,
}

/// An open map and the sizes that its element calls must respect.
#[derive(Debug)]
pub struct MapFd {
    fd: OwnedFd,
    key_size: usize,
    value_len: usize,
    token_len: usize,
    keyless: bool,
}

impl AsFd for MapFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// How a batch look-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batched {
    /// Elements stored.
    pub count: usize,
    /// Whether the map's end was reached.
    pub end: bool,
}

impl MapFd {
    /// Takes an open map's descriptor, asking the kernel what it is.
    ///
    /// # Errors
    /// EINVAL if `fd` is no BPF object; the kernel's errno otherwise. The caller has made sure
    /// that it is a map (see [`super::object::object_kind`]): programs and links answer this call too.
    pub fn new(fd: OwnedFd) -> Result<(Self, MapInfo)> {
        let info = map_info(fd.as_fd())?;
        Ok((Self::of(fd, &info)?, info))
    }

    /// An open map that is what `info` says.
    fn of(fd: OwnedFd, info: &MapInfo) -> Result<Self> {
        let kind = MapKind::of(info.map_type);
        let cpus = if kind.per_cpu { possible_cpus()? } else { 1 };
        let value_len = kind.value_len(info.value_size as usize, cpus);
        Ok(Self {
            key_size: info.key_size as usize,
            value_len,
            // The hash family keeps a u32 bucket in the token, tries and arrays a key.
            token_len: (info.key_size as usize).max(4),
            keyless: info.key_size == 0,
            fd,
        })
    }

    /// Bytes that a look-up gives: the value, or all CPUs' values each rounded up to 8.
    pub fn value_len(&self) -> usize {
        self.value_len
    }

    /// Bytes in a key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes of a batch token.
    pub fn token_len(&self) -> usize {
        self.token_len
    }

    /// The key as the kernel wants it: none for kinds without keys.
    fn key<'a>(&self, call: Call, key: &'a [u8]) -> Result<Option<&'a [u8]>> {
        if key.len() != self.key_size {
            return Err(Error::new(call, libc::EINVAL));
        }
        Ok((!self.keyless).then_some(key))
    }

    /// BPF_MAP_LOOKUP_ELEM into `value`, which must be [`Self::value_len`] bytes.
    ///
    /// # Errors
    /// ENOENT if there is no such element; EOPNOTSUPP if this kind cannot be read.
    pub fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<()> {
        const CALL: Call = Call::MapLookupElem;
        let key = self.key(CALL, key)?;
        self.check_value(CALL, value.len())?;
        check(CALL, self.call(Element::Lookup { key, value, flags })).map(drop)
    }

    /// BPF_MAP_UPDATE_ELEM with [`ANY`], [`NOEXIST`] or [`EXIST`], and [`LOCK`].
    ///
    /// # Errors
    /// EEXIST, ENOENT by the flag; E2BIG if the map is full; EPERM if it is frozen.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        const CALL: Call = Call::MapUpdateElem;
        let key = self.key(CALL, key)?;
        self.check_value(CALL, value.len())?;
        check(CALL, self.call(Element::Update { key, value, flags })).map(drop)
    }

    /// BPF_MAP_UPDATE_ELEM with BPF_F_CPU: the value of `cpu` alone, which `value` begins with. It has
    /// [`Self::value_len`] bytes all the same: older kernels copy so many before they see the flag.
    ///
    /// # Errors
    /// EINVAL before Linux 6.19.
    pub fn update_one_cpu(&self, key: &[u8], value: &[u8], cpu: u32) -> Result<()> {
        self.update(key, value, ONE_CPU | u64::from(cpu) << 32)
    }

    /// BPF_MAP_DELETE_ELEM.
    ///
    /// # Errors
    /// ENOENT if there is no such element; EPERM if the map is frozen.
    pub fn delete(&self, key: &[u8]) -> Result<()> {
        const CALL: Call = Call::MapDeleteElem;
        let key = self.key(CALL, key)?;
        check(CALL, self.call(Element::Delete { key })).map(drop)
    }

    /// BPF_MAP_LOOKUP_AND_DELETE_ELEM: the value, taken out of the map.
    ///
    /// # Errors
    /// ENOENT if there is no such element; EOPNOTSUPP if this kind has no such call.
    pub fn take(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<()> {
        const CALL: Call = Call::MapLookupAndDeleteElem;
        let key = self.key(CALL, key)?;
        self.check_value(CALL, value.len())?;
        let rc = self.call(Element::Take { key, value, flags });
        check(CALL, rc).map(drop).map_err(|error| match error.errno {
            // Kernels before 5.14 know no flags here; later ones refuse none that fits the map.
            libc::EINVAL if flags != 0 => Error::new(CALL, libc::EOPNOTSUPP),
            _ => error,
        })
    }

    /// BPF_MAP_GET_NEXT_KEY: the key after `key`, or the first. False at the end.
    ///
    /// # Errors
    /// EOPNOTSUPP if this kind cannot be listed.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        const CALL: Call = Call::MapGetNextKey;
        if next.len() != self.key_size {
            return Err(Error::new(CALL, libc::EINVAL));
        }
        let after = match key {
            Some(key) => self.key(CALL, key)?,
            None => None,
        };
        match check(CALL, self.call(Element::NextKey { after, next })) {
            Ok(_) => Ok(true),
            Err(Error { errno: libc::ENOENT, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// BPF_MAP_LOOKUP_BATCH: up to `count` elements from where `token` points.
    ///
    /// `token` has [`Self::token_len`] bytes; it is read unless `first`, and moved on. A count
    /// below the asked one is normal and not the end (`kernel/bpf/hashtab.c`).
    ///
    /// # Errors
    /// ENOSPC if one bucket holds more than `count`: nothing was stored and the token stays, so
    /// that the call can be repeated with a larger `count`. EOPNOTSUPP if this kind has no batches.
    pub fn lookup_batch(
        &self,
        token: &mut [u8],
        first: bool,
        keys: &mut [u8],
        values: &mut [u8],
        count: usize,
        flags: u64,
    ) -> Result<Batched> {
        const CALL: Call = Call::MapLookupBatch;
        let mut n = self.check_batch(CALL, keys.len(), values.len(), count)?;
        if token.len() < self.token_len {
            return Err(Error::new(CALL, libc::EINVAL));
        }
        let count = &mut n;
        let rc = self.call(Element::LookupBatch { token, first, keys, values, count, flags });
        match check(CALL, rc) {
            Ok(_) => Ok(Batched { count: n as usize, end: false }),
            Err(Error { errno: libc::ENOENT, .. }) => Ok(Batched { count: n as usize, end: true }),
            Err(error) => Err(error),
        }
    }

    /// BPF_MAP_UPDATE_BATCH of `count` elements. Gives the number stored beside the outcome.
    ///
    /// `flags` may only be 0 or [`LOCK`].
    pub fn update_batch(
        &self,
        keys: &[u8],
        values: &[u8],
        count: usize,
        flags: u64,
    ) -> (usize, Result<()>) {
        const CALL: Call = Call::MapUpdateBatch;
        match self.check_batch(CALL, keys.len(), values.len(), count) {
            Ok(mut n) => {
                let rc = self.call(Element::UpdateBatch { keys, values, count: &mut n, flags });
                changed(CALL, rc, n as usize, count)
            }
            Err(error) => (0, Err(error)),
        }
    }

    /// BPF_MAP_DELETE_BATCH of `count` keys. Gives the number deleted beside the outcome;
    /// ENOENT stops at the first key that is absent.
    pub fn delete_batch(&self, keys: &[u8], count: usize) -> (usize, Result<()>) {
        const CALL: Call = Call::MapDeleteBatch;
        match self.check_batch(CALL, keys.len(), usize::MAX, count) {
            Ok(mut n) => {
                let rc = self.call(Element::DeleteBatch { keys, count: &mut n });
                changed(CALL, rc, n as usize, count)
            }
            Err(error) => (0, Err(error)),
        }
    }

    /// BPF_MAP_FREEZE: user space can no longer write.
    pub fn freeze(&self) -> Result<()> {
        // SAFETY: no pointer is passed.
        check(Call::MapFreeze, unsafe { bpf::bpf_map_freeze(self.fd.as_raw_fd()) }).map(drop)
    }

    /// Whether user space may no longer write: the map is frozen.
    ///
    /// Only fdinfo says so, at 6.6 us. To delete a batch of no keys takes 0.3 us and has no effect, but
    /// the kernel checks for write access first, which is EPERM (`bpf_map_do_batch` in
    /// `kernel/bpf/syscall.c`); kinds without batches are checked as well.
    pub fn is_frozen(&self) -> bool {
        self.call(Element::DeleteBatch { keys: &[], count: &mut 0 }) == -libc::EPERM
    }

    /// Asks the kernel: every element and batch command goes through here.
    fn call(&self, element: Element<'_>) -> i32 {
        // SAFETY: the lengths of keys, values and tokens are this map's, as the callers check.
        unsafe { element.call(self.fd.as_raw_fd()) }
    }

    fn check_value(&self, call: Call, len: usize) -> Result<()> {
        if len == self.value_len { Ok(()) } else { Err(Error::new(call, libc::EINVAL)) }
    }

    /// `count` for the kernel, if the buffers have room for so many.
    fn check_batch(&self, call: Call, keys: usize, values: usize, count: usize) -> Result<u32> {
        let fits = |size: usize, len: usize| size.checked_mul(count).is_some_and(|n| n <= len);
        let fits = !self.keyless && fits(self.key_size, keys) && fits(self.value_len, values);
        u32::try_from(count).ok().filter(|_| fits).ok_or(Error::new(call, libc::EINVAL))
    }
}

/// How many of `count` elements a batch call changed, beside its outcome.
fn changed(call: Call, rc: i32, done: usize, count: usize) -> (usize, Result<()>) {
    match check(call, rc) {
        Ok(_) => (done, Ok(())),
        // The kernel refused before it began and left the count as it was.
        Err(error) if matches!(error.errno, libc::EINVAL | libc::EOPNOTSUPP | libc::EPERM) => {
            (0, Err(error))
        }
        Err(error) => (done.min(count), Err(error)),
    }
}

/// BPF_OBJ_GET_INFO_BY_FD of a map.
pub fn map_info(fd: BorrowedFd<'_>) -> Result<MapInfo> {
    let mut info = bpf::bpf_map_info::default();
    let mut len = size_of::<bpf::bpf_map_info>() as u32;
    // SAFETY: `info` is zeroed, `len` is its size, and both outlive the call.
    let rc = unsafe {
        bpf::bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len)
    };
    check(Call::ObjGetInfoByFd, rc)?;
    Ok(MapInfo {
        map_type: info.type_,
        id: info.id,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
        name: text_of(&info.name),
        btf_id: info.btf_id,
        btf_key_type_id: info.btf_key_type_id,
        btf_value_type_id: info.btf_value_type_id,
        btf_vmlinux_id: info.btf_vmlinux_id,
        btf_vmlinux_value_type_id: info.btf_vmlinux_value_type_id,
        map_extra: info.map_extra,
        ifindex: info.ifindex,
    })
}

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
impl MapFd {
    /// A map that is not the kernel's: each call on it asks what [`fake::answer_by`] says.
    pub(crate) fn fake(info: &MapInfo) -> Self {
        let nothing = std::fs::File::open("/dev/null").expect("a descriptor");
        Self::of(nothing.into(), info).expect("the number of CPUs")
    }
}

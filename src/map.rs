//! An open map: element calls, and the codec between its bytes and text.

pub mod cursor;
pub mod kind;
pub mod load;

pub use crate::sys::map::{ANY, EXIST, MapInfo, NOEXIST};
pub use kind::{Kind, Listing};

use crate::btf::Btf;
use crate::codec::{Codec, Shape};
use crate::sys::map::{LOCK, MapFd, possible_cpus};
use crate::sys::{self, object};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// An open map, with what the kernel said of it when it was opened.
#[derive(Debug)]
pub struct Map {
    fd: MapFd,
    /// Sizes, flags, name and id.
    pub info: MapInfo,
    /// What its type allows.
    pub kind: Kind,
    /// How its keys and values read as text.
    pub codec: Arc<Codec>,
    /// Why the map's BTF is not used, if it has one that is not.
    pub btf_unused: Option<String>,
}

impl Map {
    /// Takes the descriptor of an open map and reads its types.
    ///
    /// # Errors
    /// Those of BPF_OBJ_GET_INFO_BY_FD. Broken or missing BTF is none: bytes are shown instead.
    pub fn open(fd: OwnedFd) -> sys::Result<Self> {
        let (fd, info) = MapFd::new(fd)?;
        let kind = Kind::of(info.map_type);
        let shape = Shape {
            key_size: info.key_size as usize,
            value_size: info.value_size as usize,
            cpus: if kind.per_cpu { Some(possible_cpus()?) } else { None },
            key_type_id: info.btf_key_type_id,
            value_type_id: info.btf_value_type_id,
            lpm: kind.listing == Listing::Trie,
        };
        let (btf, unread) = match info.btf_id {
            0 => (None, None),
            id => load_btf(id).map_or_else(|why| (None, Some(why)), |btf| (Some(btf), None)),
        };
        let codec = Arc::new(Codec::new(&shape, btf.as_ref()));
        let btf_unused = unread.or_else(|| codec.fallback().map(str::to_owned));
        Ok(Self { fd, info, kind, codec, btf_unused })
    }

    /// Bytes that a look-up gives: the value, or all CPUs' values each rounded up to 8.
    pub fn value_len(&self) -> usize {
        self.fd.value_len()
    }

    /// How many values an element has: one, or one for each possible CPU.
    pub fn cpus(&self) -> usize {
        self.codec.cpus().unwrap_or(1)
    }

    /// BPF_F_LOCK if values have a lock to take while copying, else 0.
    fn lock(&self) -> u64 {
        if self.codec.has_lock() { LOCK } else { 0 }
    }

    /// The element's bytes into `value`, which is resized; false if there is none.
    ///
    /// # Errors
    /// Those of BPF_MAP_LOOKUP_ELEM but ENOENT.
    pub fn lookup(&self, key: &[u8], value: &mut Vec<u8>) -> sys::Result<bool> {
        value.clear();
        value.resize(self.value_len(), 0);
        match self.fd.lookup(key, value, self.lock()) {
            Ok(()) => Ok(true),
            Err(error) if error.errno == libc::ENOENT => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets an element with [`ANY`], [`NOEXIST`] or [`EXIST`].
    ///
    /// # Errors
    /// Those of BPF_MAP_UPDATE_ELEM, a full map being ENOSPC whatever its kind.
    pub fn update(&self, key: &[u8], value: &[u8], flag: u64) -> sys::Result<()> {
        self.fd.update(key, value, flag | self.lock()).map_err(|error| match error.errno {
            libc::E2BIG => sys::Error { errno: libc::ENOSPC, ..error },
            _ => error,
        })
    }

    /// Deletes an element.
    ///
    /// # Errors
    /// ENOENT if there is none; EPERM if the map is frozen or of a kind that keeps its elements.
    pub fn delete(&self, key: &[u8]) -> sys::Result<()> {
        self.fd.delete(key).map_err(|error| match error.errno {
            libc::EINVAL if !self.kind.deletable => sys::Error { errno: libc::EPERM, ..error },
            _ => error,
        })
    }

    /// Whether user space may no longer write.
    pub fn is_frozen(&self) -> bool {
        self.fd.is_frozen()
    }

    /// The element calls as the kernel has them.
    pub fn raw(&self) -> &MapFd {
        &self.fd
    }

    /// What fdinfo says of the map that its info lacks, by name, such as `memlock`.
    pub fn fdinfo(&self, name: &str) -> Option<String> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fdinfo/{}", self.fd.as_fd().as_raw_fd());
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key == name).then(|| value.trim().to_owned())
        })
    }
}

/// Reads the BTF object `id` from the kernel.
///
/// # Errors
/// Why it cannot be had or read, in words.
pub fn load_btf(id: u32) -> Result<Btf, String> {
    let read = || {
        let (blob, _) = object::btf_blob(id).map_err(|error| error.to_string())?;
        Btf::parse(&blob, None::<Arc<Btf>>).map_err(|error| error.to_string())
    };
    read().map_err(|why| format!("BTF object {id}: {why}"))
}

//! An open map: element calls, and the codec between its bytes and text.

pub mod cursor;
pub mod handle;
mod insn;
pub mod load;
pub mod room;
mod symbols;
mod trie;
pub mod typing;
pub mod value;

pub use crate::sys::map::kind::{Content, KeyHandle, Keys, Listing, MapKind, Stream, UpdateFlags};
pub use crate::sys::map::{ANY, EXIST, MapInfo, NOEXIST};

use crate::btf::Btf;
use crate::codec::{Codec, Shape};
use crate::sys::map::kind::INSN_ARRAY;
use crate::sys::map::{LOCK, MapFd, possible_cpus};
use crate::sys::{self, Call, object};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use typing::{Chosen, GivenTypes, TypeBook};

/// An open map, with what the kernel said of it when it was opened.
#[derive(Debug)]
pub struct Map {
    fd: MapFd,
    /// Sizes, flags, name and id.
    pub info: MapInfo,
    /// What its type allows.
    pub kind: MapKind,
    /// How its keys and values read as text.
    pub codec: Arc<Codec>,
    /// Why the map's BTF is not used, if it has one that is not.
    pub btf_unused: Option<String>,
    /// The types that somebody gave it in place of its own.
    pub typed: Chosen,
    /// BPF_F_LOCK if values have a lock to take while copying, else 0.
    lock: u64,
}

impl Map {
    /// Takes the descriptor of an open map and reads its types.
    ///
    /// # Errors
    /// Those of BPF_OBJ_GET_INFO_BY_FD. Broken or missing BTF is none: bytes are shown instead.
    pub fn open(fd: OwnedFd) -> sys::Result<Self> {
        Self::open_typed(fd, &TypeBook::default())
    }

    /// [`Self::open`] with the types that somebody gave it, if anybody did.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_typed(fd: OwnedFd, book: &TypeBook) -> sys::Result<Self> {
        let (fd, info) = MapFd::new(fd)?;
        let chosen = book.of(&info);
        Self::of(fd, info, chosen)
    }

    /// An open map that is what `info` says.
    fn of(fd: MapFd, info: MapInfo, mut typed: Chosen) -> sys::Result<Self> {
        let kind = MapKind::of(info.map_type);
        let mut shape = Shape {
            key_size: info.key_size as usize,
            value_size: info.value_size as usize,
            cpus: if kind.per_cpu { Some(possible_cpus()?) } else { None },
            key_type_id: info.btf_key_type_id,
            value_type_id: info.btf_value_type_id,
            lpm: kind.listing == Listing::Trie,
        };
        let mut btf_id = info.btf_id;
        if kind.content == Content::StructOps && info.btf_vmlinux_id != 0 {
            // The kernel's own structure, around the one that the program declares.
            btf_id = info.btf_vmlinux_id;
            shape.key_type_id = 0;
            shape.value_type_id = info.btf_vmlinux_value_type_id;
        }
        let (btf, unread) = match btf_id {
            0 => (None, None),
            id => load_btf(id).map_or_else(|why| (None, Some(why)), |btf| (Some(btf), None)),
        };
        let btf = match btf {
            None if info.map_type == INSN_ARRAY => {
                shape.value_type_id = insn::ID;
                insn::btf()
            }
            btf => btf,
        };
        let codec = codec(kind, &shape, btf.as_ref(), None);
        let btf_unused = unread.or_else(|| codec.fallback().map(str::to_owned));
        let mut has_lock = codec.has_lock();
        let codec = match typed.types.as_deref().map(|types| given(kind, &shape, &btf, types)) {
            None => codec,
            Some(Ok(given)) => {
                has_lock |= given.has_lock();
                given
            }
            Some(Err(why)) => {
                let origin =
                    typed.types.take().map_or_else(String::new, |types| types.origin.clone());
                typed.unused = Some(format!("{origin}: {why}"));
                codec
            }
        };
        let lock = if has_lock && takes_lock(&fd)? { LOCK } else { 0 };
        Ok(Self { fd, info, kind, codec: Arc::new(codec), btf_unused, typed, lock })
    }

    /// Whether these could be the map's types.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn check_types(&self, types: &GivenTypes) -> Result<(), String> {
        if let Some(why) = types.misfit(&self.info) {
            return Err(why);
        }
        let shape = Shape {
            key_size: self.info.key_size as usize,
            value_size: self.info.value_size as usize,
            cpus: None,
            key_type_id: 0,
            value_type_id: 0,
            lpm: self.kind.listing == Listing::Trie,
        };
        given(self.kind, &shape, &None, types).map(drop)
    }

    /// Bytes that a look-up gives: the value, or all CPUs' values each rounded up to 8.
    pub fn value_len(&self) -> usize {
        self.fd.value_len()
    }

    /// How many values an element has: one, or one for each possible CPU.
    pub fn cpus(&self) -> usize {
        self.codec.cpus().unwrap_or(1)
    }

    fn lock(&self) -> u64 {
        self.lock
    }

    /// Calls `then` with the key as the kernel knows it.
    fn with_key<T>(
        &self,
        key: &[u8],
        then: impl FnOnce(&[u8]) -> sys::Result<T>,
    ) -> sys::Result<T> {
        match self.kind.keys {
            Keys::Handle(handle) => {
                let object = handle::open(handle, key)?;
                then(&handle::key(&object)).map_err(handle::missing)
            }
            _ => then(key),
        }
    }

    /// Whether the kernel tells user space what an element's value is.
    pub fn is_readable(&self) -> bool {
        match self.kind.content {
            Content::Socket => self.info.value_size == 8,
            Content::Cgroup | Content::PerfEvent | Content::Xsk | Content::None => false,
            _ => true,
        }
    }

    /// The element's bytes into `value`, which is resized; false if there is none. In an LPM trie
    /// only the entry of exactly this prefix; in a bloom filter `key` is the value that is asked for.
    ///
    /// # Errors
    /// Those of BPF_MAP_LOOKUP_ELEM but ENOENT; EOPNOTSUPP if the map cannot be read; ENOMEM if there
    /// is no room for the value or its text.
    pub fn lookup(&self, key: &[u8], value: &mut Vec<u8>) -> sys::Result<bool> {
        room::zeros(value, self.value_len())?;
        let found = match self.kind.keys {
            _ if !self.is_readable() => Err(unreadable()),
            Keys::Member => {
                value.clear();
                value.extend_from_slice(key);
                self.fd.lookup(&[], value, 0)
            }
            _ if self.kind.listing == Listing::Trie => {
                return trie::lookup(&self.fd, key, value, self.lock());
            }
            _ => self.with_key(key, |key| self.fd.lookup(key, value, self.lock())),
        };
        present(found)
    }

    /// In an LPM trie, the value of the longest prefix that covers `key`; else as [`Self::lookup`].
    ///
    /// # Errors
    /// As for [`Self::lookup`].
    pub fn lookup_longest(&self, key: &[u8], value: &mut Vec<u8>) -> sys::Result<bool> {
        if self.kind.listing != Listing::Trie {
            return self.lookup(key, value);
        }
        room::zeros(value, self.value_len())?;
        present(self.fd.lookup(key, value, self.lock()))
    }

    /// Whether there is an element.
    ///
    /// # Errors
    /// As for [`Self::lookup`], but for a map that cannot be read and yet lists its keys.
    pub fn has(&self, key: &[u8]) -> sys::Result<bool> {
        match self.kind.listing {
            Listing::Trie => trie::has(&self.fd, key),
            Listing::NextKey if !self.is_readable() => self.lists(key),
            _ => self.lookup(key, &mut Vec::new()),
        }
    }

    /// Whether a walk over all keys meets this one.
    fn lists(&self, key: &[u8]) -> sys::Result<bool> {
        let mut cursor = cursor::Cursor::new(self, false);
        let mut batch = cursor::Batch::default();
        loop {
            cursor.next(self, &mut batch)?;
            if batch.count == 0 {
                return Ok(false);
            }
            if batch.keys.chunks_exact(key.len().max(1)).any(|listed| listed == key) {
                return Ok(true);
            }
        }
    }

    /// Sets an element with [`ANY`], [`NOEXIST`] or [`EXIST`]. Where the kernel does not know or
    /// heed such a flag, the element is looked for first.
    ///
    /// # Errors
    /// Those of BPF_MAP_UPDATE_ELEM, a full map being ENOSPC whatever its kind.
    pub fn update(&self, key: &[u8], value: &[u8], flag: u64) -> sys::Result<()> {
        let mut flag = flag;
        if flag != ANY && self.kind.update_flags != UpdateFlags::Heeded {
            let errno = match (flag, self.has(key)?) {
                (NOEXIST, true) => Some(libc::EEXIST),
                (EXIST, false) => Some(libc::ENOENT),
                _ => None,
            };
            if let Some(errno) = errno {
                return Err(sys::Error { call: Call::MapUpdateElem, errno });
            }
            if self.kind.update_flags == UpdateFlags::AnyOnly {
                flag = ANY;
            }
        }
        let updated = self.with_key(key, |key| self.fd.update(key, value, flag | self.lock()));
        updated.map_err(full)
    }

    /// Sets the value of one CPU, in place where it is in `values`, which are as those of a look-up. All
    /// others stay what programs made of them meanwhile, where the kernel can set one alone.
    ///
    /// # Errors
    /// As for [`Self::update`].
    pub fn update_cpu(&self, key: &[u8], values: &[u8], cpu: u32, flag: u64) -> sys::Result<()> {
        let slot = self.codec.slot(cpu as usize);
        let one = values.get(slot.clone()).unwrap_or_default();
        let mut present = Vec::new();
        // With a CPU's number beside it, a hash heeds neither BPF_EXIST nor BPF_NOEXIST; of an element that
        // is made so, the other CPUs' values may be what another one had.
        let is_there = self.kind.is_array() || self.lookup(key, &mut present)?;
        let is_free = flag == ANY || self.kind.is_array() && flag == EXIST;
        if is_there && is_free {
            let mut alone = Vec::new();
            room::zeros(&mut alone, self.value_len())?;
            if let Some(start) = alone.get_mut(..one.len()) {
                start.copy_from_slice(one);
            }
            match self.with_key(key, |key| self.fd.update_one_cpu(key, &alone, cpu)) {
                Err(error) if matches!(error.errno, libc::EINVAL | libc::EOPNOTSUPP) => {}
                outcome => return outcome.map_err(full),
            }
        }
        if present.is_empty() {
            self.lookup(key, &mut present)?;
        }
        if let Some(old) = present.get_mut(slot) {
            old.copy_from_slice(one);
        }
        self.update(key, &present, flag)
    }

    /// Deletes an element.
    ///
    /// # Errors
    /// ENOENT if there is none; EPERM if the map is frozen or of a kind that keeps its elements.
    pub fn delete(&self, key: &[u8]) -> sys::Result<()> {
        self.with_key(key, |key| self.fd.delete(key)).map_err(|error| match error.errno {
            libc::EINVAL if !self.kind.deletable => sys::Error { errno: libc::EPERM, ..error },
            // What a sockmap says of an index that is not set, and a struct_ops of one that was
            // unregistered before.
            libc::EINVAL if self.kind.content == Content::Socket => {
                sys::Error { errno: libc::ENOENT, ..error }
            }
            libc::EINPROGRESS if self.kind.content == Content::StructOps => {
                sys::Error { errno: libc::ENOENT, ..error }
            }
            _ => error,
        })
    }

    /// Whether there is an element that [`Self::delete`] could delete, as far as keys can be listed:
    /// never in a frozen map.
    ///
    /// # Errors
    /// The kernel's.
    pub fn has_deletable(&self) -> sys::Result<bool> {
        if !self.kind.deletable || self.is_frozen() {
            return Ok(false);
        }
        if self.kind.content == Content::StructOps {
            // The element stays for good. To delete it is to unregister it, which is possible while
            // `common.state`, behind a reference count, is BPF_STRUCT_OPS_STATE_INUSE: a link's
            // never is.
            let mut value = Vec::new();
            self.lookup(&[0; 4], &mut value)?;
            return Ok(value.get(4..8) == Some(&1_u32.to_ne_bytes()));
        }
        let mut batch = cursor::Batch::default();
        cursor::Cursor::new(self, false).next(self, &mut batch)?;
        Ok(batch.count > 0)
    }

    /// Takes an element out: its bytes into `value`, which is resized; false if there is none. With
    /// an empty key, the next element of a queue or stack.
    ///
    /// # Errors
    /// Those of BPF_MAP_LOOKUP_AND_DELETE_ELEM but ENOENT.
    pub fn take(&self, key: &[u8], value: &mut Vec<u8>) -> sys::Result<bool> {
        room::zeros(value, self.value_len())?;
        present(self.fd.take(key, value, self.lock()))
    }

    /// Adds a value to a queue, stack or bloom filter.
    ///
    /// # Errors
    /// ENOSPC if it is full; EPERM if it is frozen.
    pub fn push(&self, value: &[u8]) -> sys::Result<()> {
        self.update(&[], value, ANY)
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
        sys::info::fdinfo(self.fd.as_fd(), name)
    }
}

/// The codec for a map of that kind: of one BTF, or with the types that `types` gives.
fn codec(kind: MapKind, shape: &Shape, btf: Option<&Btf>, types: Option<&GivenTypes>) -> Codec {
    let (mut shape, mut sides) = (shape.clone(), [btf, btf]);
    if let Some(types) = types {
        if types.key != 0 {
            (shape.key_type_id, sides[0]) = (types.key, Some(&types.btf));
        }
        if types.value != 0 {
            (shape.value_type_id, sides[1]) = (types.value, Some(&types.btf));
        }
    }
    if kind.keys == Keys::Member {
        // The names are values.
        (shape.key_size, shape.key_type_id) = (shape.value_size, shape.value_type_id);
        sides[0] = sides[1];
    }
    Codec::of(&shape, sides, Some(|address| symbols::current().describe(address)))
}

/// The codec for a type of `btf`, with symbols for addresses in the kernel.
pub fn with_symbols(shape: &Shape, btf: &Btf) -> Codec {
    Codec::of(shape, [Some(btf); 2], Some(|address| symbols::current().describe(address)))
}

/// The codec with types that somebody gave; else why they cannot be shown.
fn given(
    kind: MapKind,
    shape: &Shape,
    btf: &Option<Btf>,
    types: &GivenTypes,
) -> Result<Codec, String> {
    if kind.content == Content::StructOps {
        return Err("the types of a struct_ops map are the kernel's".to_owned());
    }
    if types.key != 0 && kind.keys != Keys::Bytes {
        return Err(format!("{} has no keys that are bytes", kind.with_article()));
    }
    let given = codec(kind, shape, btf.as_ref(), Some(types));
    // What the map's own BTF lacks is told of it alone.
    let own = codec(kind, shape, btf.as_ref(), None);
    match given.fallback().filter(|why| own.fallback() != Some(why)) {
        Some(why) => Err(why.to_owned()),
        None => Ok(given),
    }
}

/// Whether the kernel knows a lock in the map's values: older ones do not look for one inside
/// of a member, and refuse BPF_F_LOCK there. Asked of the key of zeros, which need not exist.
fn takes_lock(fd: &MapFd) -> sys::Result<bool> {
    let mut value = Vec::new();
    room::resize(&mut value, fd.value_len())?;
    let asked = fd.lookup(&vec![0; fd.key_size()], &mut value, LOCK);
    Ok(!asked.is_err_and(|error| error.errno == libc::EINVAL))
}

/// A look-up's outcome: whether there is an element.
fn present(outcome: sys::Result<()>) -> sys::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.errno == libc::ENOENT => Ok(false),
        Err(error) => Err(error),
    }
}

/// A full map is ENOSPC, whatever its kind.
fn full(error: sys::Error) -> sys::Error {
    match error.errno {
        libc::E2BIG => sys::Error { errno: libc::ENOSPC, ..error },
        _ => error,
    }
}

fn unreadable() -> sys::Error {
    sys::Error { call: Call::MapLookupElem, errno: libc::EOPNOTSUPP }
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

#[cfg(test)]
mod tests;

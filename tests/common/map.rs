//! Maps from the other side: made and looked at by bpf(2), without the file system.

use bpffuse::sys;
use bpffuse::sys::map::{ANY, MapFd, MapInfo, NewMap, create, kind};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;

/// A u32 key's bytes.
pub(crate) fn key32(n: u32) -> [u8; 4] {
    n.to_ne_bytes()
}

/// Kinds of map with their kernel numbers and their names in bpftool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hash,
    Array,
    LruHash,
    PercpuHash,
    PercpuArray,
    LruPercpuHash,
}

impl Kind {
    /// The kinds that are plain tables.
    pub(crate) const ALL: [Self; 6] = [
        Self::Hash,
        Self::Array,
        Self::LruHash,
        Self::PercpuHash,
        Self::PercpuArray,
        Self::LruPercpuHash,
    ];

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Hash => kind::HASH,
            Self::Array => kind::ARRAY,
            Self::LruHash => kind::LRU_HASH,
            Self::PercpuHash => kind::PERCPU_HASH,
            Self::PercpuArray => kind::PERCPU_ARRAY,
            Self::LruPercpuHash => kind::LRU_PERCPU_HASH,
        }
    }

    /// As bpftool and `.info` spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Array => "array",
            Self::LruHash => "lru_hash",
            Self::PercpuHash => "percpu_hash",
            Self::PercpuArray => "percpu_array",
            Self::LruPercpuHash => "lru_percpu_hash",
        }
    }

    /// Whether every index is always there, and none can be deleted.
    pub(crate) fn is_array(self) -> bool {
        matches!(self, Self::Array | Self::PercpuArray)
    }

    /// Whether an element has a value for each CPU.
    pub(crate) fn is_percpu(self) -> bool {
        matches!(self, Self::PercpuHash | Self::PercpuArray | Self::LruPercpuHash)
    }
}

/// An open map.
#[derive(Debug)]
pub(crate) struct RawMap {
    pub(crate) fd: MapFd,
    pub(crate) info: MapInfo,
}

impl RawMap {
    /// Opens the map pinned at `pin`.
    #[track_caller]
    pub(crate) fn open(pin: &Path) -> Self {
        let fd = sys::object::obj_get(pin).unwrap_or_else(|e| panic!("{}: {e}", pin.display()));
        let (fd, info) = MapFd::new(fd).expect("the pin is a map");
        Self { fd, info }
    }

    /// Creates a map without BTF and pins it.
    #[track_caller]
    pub(crate) fn create(pin: &Path, new: &NewMap<'_>) -> Self {
        let fd = create(new).expect("the map is created");
        sys::object::obj_pin(fd.as_fd(), pin).unwrap_or_else(|e| panic!("{}: {e}", pin.display()));
        let (fd, info) = MapFd::new(fd).expect("it is a map");
        Self { fd, info }
    }

    /// Creates a map without BTF, which nothing but this holds.
    #[track_caller]
    pub(crate) fn unpinned(new: &NewMap<'_>) -> Self {
        let (fd, info) = MapFd::new(create(new).expect("the map is created")).expect("a map");
        Self { fd, info }
    }

    /// The value, or all CPUs' values each in a slot rounded up to 8 bytes.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = vec![0; self.fd.value_len()];
        match self.fd.lookup(key, &mut value, 0) {
            Ok(()) => Some(value),
            Err(sys::Error { errno: libc::ENOENT, .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) {
        self.fd.update(key, value, ANY).expect("update");
    }

    /// Sets a per-CPU element: `value` on every CPU.
    #[track_caller]
    pub(crate) fn set_all_cpus(&self, key: &[u8], value: &[u8]) {
        let cpus = sys::map::possible_cpus().expect("the number of CPUs");
        let mut slot = value.to_vec();
        slot.resize(value.len().next_multiple_of(8), 0);
        self.set(key, &slot.repeat(cpus));
    }

    /// Sets an element to ones, on every CPU if the kind has a value for each.
    #[track_caller]
    pub(crate) fn set_all_cpus_or_one(&self, key: &[u8], kind: Kind) {
        let value = vec![1; self.info.value_size as usize];
        if kind.is_percpu() { self.set_all_cpus(key, &value) } else { self.set(key, &value) }
    }

    #[track_caller]
    pub(crate) fn delete(&self, key: &[u8]) {
        self.fd.delete(key).expect("delete");
    }

    /// All keys, by BPF_MAP_GET_NEXT_KEY; for maps that nobody changes meanwhile.
    pub(crate) fn keys(&self) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        let mut at: Option<Vec<u8>> = None;
        let mut next = vec![0; self.info.key_size as usize];
        while self.fd.next_key(at.as_deref(), &mut next).expect("next key") {
            assert!(keys.insert(next.clone()), "the map changed while its keys were read");
            at = Some(next.clone());
        }
        keys
    }

    /// Fills a map of plain elements with `count` keys 0, 1, … (u32), each with `value`, in batches.
    pub(crate) fn fill32(&self, count: u32, value: &[u8]) {
        const BATCH: u32 = 10_000;
        for from in (0..count).step_by(BATCH as usize) {
            let to = count.min(from + BATCH);
            let keys: Vec<u8> = (from..to).flat_map(u32::to_ne_bytes).collect();
            let n = (to - from) as usize;
            let (done, outcome) = self.fd.update_batch(&keys, &value.repeat(n), n, 0);
            outcome.expect("update batch");
            assert_eq!(done, n, "a batch was stored in part");
        }
    }
}

/// Where the elements of `bpftool map dump` have their values: bytes by CPU, by key.
pub(crate) type Dump = std::collections::BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// Reads `bpftool -j map dump`, whether the map has BTF or not.
pub(crate) fn parse_dump(json: &str) -> Dump {
    let dump: serde_json::Value = serde_json::from_str(json).expect("bpftool prints JSON");
    dump.as_array().expect("a list of elements").iter().map(parse_element).collect()
}

/// Reads one element as `bpftool -j map lookup` prints it.
pub(crate) fn parse_element(element: &serde_json::Value) -> (Vec<u8>, Vec<Vec<u8>>) {
    let values = match element["values"].as_array() {
        Some(cpus) => cpus.iter().map(|cpu| hex_bytes(&cpu["value"])).collect(),
        None => vec![hex_bytes(&element["value"])],
    };
    (hex_bytes(&element["key"]), values)
}

/// `["0x01","0x00"]` as bytes.
fn hex_bytes(list: &serde_json::Value) -> Vec<u8> {
    let list = list.as_array().unwrap_or_else(|| panic!("not a list of bytes: {list}"));
    let byte = |b: &serde_json::Value| {
        u8::from_str_radix(b.as_str().expect("a string").trim_start_matches("0x"), 16)
            .expect("a hex byte")
    };
    list.iter().map(byte).collect()
}

//! The maps: each kind without and with types, made by the mount itself.

use super::WORKERS;
use super::keys::{Key, Naming};
use super::texts::Shape;
use crate::common::map::RawMap;
use crate::common::{Bed, Kind};
use bpffuse::sys::map::possible_cpus;

/// Keys that each worker has in each map; as many are shared by all.
pub(super) const KEYS: usize = 12;

/// The entries of a map that gets full.
pub(super) const TINY: usize = 8;

/// What can be done with a map's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Hash,
    Array,
    Trie,
}

/// One map, and what is known of it beforehand.
pub(super) struct Map {
    /// Its pin's name.
    pub(super) name: String,
    pub(super) sort: Sort,
    pub(super) naming: Naming,
    pub(super) shape: Shape,
    /// The CPUs, of a per-CPU map.
    pub(super) cpus: Option<usize>,
    /// How many elements fit.
    pub(super) room: usize,
    /// The worker that has it alone.
    pub(super) owner: Option<usize>,
    pub(super) raw: RawMap,
}

impl Map {
    /// Bytes of an element's value, all CPUs together.
    pub(super) fn value_len(&self) -> usize {
        self.shape.size() * self.cpus.unwrap_or(1)
    }

    /// The keys of a worker; those of number [`WORKERS`] are everybody's.
    pub(super) fn keys(&self, worker: usize) -> Vec<Key> {
        (0..KEYS).map(|at| Key::new(self.naming, worker, at)).collect()
    }
}

/// All maps.
pub(super) struct Plan {
    pub(super) maps: Vec<Map>,
}

/// Kind in the SPEC, sort, per CPU, flags.
const KINDS: [(&str, Sort, bool, &str); 7] = [
    ("hash", Sort::Hash, false, ""),
    ("hash", Sort::Hash, false, "flags no_prealloc"),
    ("lru_hash", Sort::Hash, false, ""),
    ("array", Sort::Array, false, ""),
    ("lpm_trie", Sort::Trie, false, "flags no_prealloc"),
    ("percpu_hash", Sort::Hash, true, ""),
    ("percpu_array", Sort::Array, true, ""),
];

impl Plan {
    /// Makes the maps, by writing their SPECs.
    pub(super) fn create(bed: &Bed) -> Self {
        let cpus = possible_cpus().expect("the number of CPUs");
        let mut maps = Vec::new();
        for (at, (kind, sort, percpu, flags)) in KINDS.into_iter().enumerate() {
            for (suffix, shape) in [("plain", Shape::Number), ("typed", Shape::Stats)] {
                let typed = shape == Shape::Stats;
                let (naming, key) = match (sort, typed) {
                    (Sort::Trie, false) => (Naming::Prefix { typed }, "8".to_owned()),
                    (Sort::Trie, true) => {
                        let key = "'struct { __u32 prefixlen; struct in_addr addr; }'".to_owned();
                        (Naming::Prefix { typed }, key)
                    }
                    (Sort::Hash, true) => {
                        let key = "'struct { __u32 from; __u16 port; __u16 zone; }'".to_owned();
                        (Naming::Members, key)
                    }
                    (_, false) => (Naming::Number, "4".to_owned()),
                    (Sort::Array, true) => (Naming::Number, "u32".to_owned()),
                };
                // An LRU map evicts long before it is full.
                let room = if sort == Sort::Array { KEYS * (WORKERS + 1) } else { 10_000 };
                let value = if typed { Shape::STATS } else { "8" };
                let name = format!("{kind}{at}_{suffix}");
                let spec = format!("{kind} key {key} value {value} entries {room} {flags}");
                let cpus = percpu.then_some(cpus);
                maps.push(make(bed, name, &spec, sort, naming, shape, cpus, room, None));
            }
        }
        for worker in 0..WORKERS {
            let name = format!("tiny{worker}");
            let spec = format!("hash key 4 value 8 entries {TINY}");
            let (sort, naming, shape) = (Sort::Hash, Naming::Number, Shape::Number);
            maps.push(make(bed, name, &spec, sort, naming, shape, None, TINY, Some(worker)));
        }
        Self { maps }
    }

    /// The maps that all workers and the other process use.
    pub(super) fn common(&self) -> impl Iterator<Item = &Map> {
        self.maps.iter().filter(|map| map.owner.is_none())
    }
}

#[allow(clippy::too_many_arguments, reason = "one for each member of the map")]
fn make(
    bed: &Bed,
    name: String,
    spec: &str,
    sort: Sort,
    naming: Naming,
    shape: Shape,
    cpus: Option<usize>,
    room: usize,
    owner: Option<usize>,
) -> Map {
    bed.write(&name, &format!("{spec}\n"));
    let raw = bed.open(&name);
    assert_eq!(raw.info.max_entries as usize, room, "{spec}");
    if sort != Sort::Trie && cpus.is_none() && sort == Sort::Array {
        assert_eq!(raw.info.map_type, Kind::Array.number(), "{spec}");
    }
    Map { name, sort, naming, shape, cpus, room, owner, raw }
}

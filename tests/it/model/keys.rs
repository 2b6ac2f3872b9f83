//! Keys: their bytes, file names and JSON, written down without the codec.

use super::WORKERS;
use super::plan::{KEYS, Map, Plan, Sort};
use std::sync::atomic::{AtomicI64, Ordering};

/// How a map's keys are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    Number,
    /// `struct { __u32 from; __u16 port; __u16 zone; }`
    Members,
    /// A prefix of an LPM trie: half of the keys are networks, half the one address in each.
    Prefix {
        typed: bool,
    },
}

/// A key in all its forms.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) bytes: Vec<u8>,
    /// As a listing has it.
    pub(super) name: String,
    /// As a line of `.entries` has it.
    pub(super) json: String,
    /// As a person may type it too.
    pub(super) typed: String,
}

impl Key {
    /// Key number `at` of a worker.
    pub(super) fn new(naming: Naming, worker: usize, at: usize) -> Self {
        match naming {
            Naming::Number => {
                // Dense, so that an array has them all.
                let number = (at * (WORKERS + 1) + worker) as u32;
                let name = number.to_string();
                let typed = format!("{number:#x}");
                Self { bytes: number.to_ne_bytes().to_vec(), json: name.clone(), name, typed }
            }
            Naming::Members => {
                let (from, port, zone) = (at as u32 * 0x0101_0101, 80 + worker as u16, at as u16);
                let bytes = [&from.to_ne_bytes()[..], &port.to_ne_bytes(), &zone.to_ne_bytes()];
                Self {
                    bytes: bytes.concat(),
                    name: format!("from={from},port={port},zone={zone}"),
                    json: format!("{{\"from\":{from},\"port\":{port},\"zone\":{zone}}}"),
                    typed: format!("zone={zone:#x},from={from},port={port}"),
                }
            }
            Naming::Prefix { typed } => {
                let (net, len) = (at / 2, if at.is_multiple_of(2) { 24 } else { 32 });
                let host = if len == 24 { 0 } else { 7 };
                let address = format!("10.{worker}.{net}.{host}");
                let data = [10, worker as u8, net as u8, host];
                let name = format!("{address}_{len}");
                Self {
                    bytes: [&(len as u32).to_ne_bytes()[..], &data].concat(),
                    json: match typed {
                        true => format!("{{\"prefixlen\":{len},\"addr\":\"{address}\"}}"),
                        false => format!("\"{name}\""),
                    },
                    // Host bits are no part of it.
                    typed: format!("10.{worker}.{net}.7_{len}"),
                    name,
                }
            }
        }
    }

    /// Its bytes in hex, as `.raw` names it.
    pub(super) fn hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Shared keys that are only made by O_EXCL and only deleted by unlink and `.pop`: whoever succeeded,
/// and how often, must come out even.
pub(super) struct Ledger(Vec<AtomicI64>);

impl Ledger {
    /// One of them, in the first map.
    pub(super) const HOT: usize = 3;

    pub(super) fn new(plan: &Plan) -> Self {
        Self((0..plan.maps.len() * KEYS).map(|_| AtomicI64::new(0)).collect())
    }

    /// Whether a shared key is one of those.
    pub(super) fn has(map: &Map, key: usize) -> bool {
        map.sort != Sort::Array && key % 4 == Self::HOT % 4
    }

    /// Counts an element made (1) or deleted (-1).
    pub(super) fn add(&self, map: usize, key: usize, change: i64) {
        self.0[map * KEYS + key].fetch_add(change, Ordering::SeqCst);
    }

    /// Fails unless each key is there exactly if it was made once more than it was deleted.
    pub(super) fn check(&self, plan: &Plan) {
        for (at, map) in plan.maps.iter().enumerate().filter(|(_, map)| map.owner.is_none()) {
            for (number, key) in map.keys(WORKERS).iter().enumerate() {
                if !Self::has(map, number) {
                    continue;
                }
                let count = self.0[at * KEYS + number].load(Ordering::SeqCst);
                let present = map.raw.keys().contains(&key.bytes);
                assert_eq!(
                    count,
                    i64::from(present),
                    "{}/{}: made less deleted",
                    map.name,
                    key.name
                );
            }
        }
    }
}

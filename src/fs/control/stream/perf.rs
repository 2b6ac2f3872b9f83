//! A perf event array's events: a ring for each CPU that is online, in the map while this is open.

use super::own_descriptor::own_descriptor;
use crate::fs::base::error::Result;
use crate::fs::element::refs;
use crate::map::{ANY, Map};
use crate::sys::map::possible_cpus;
use crate::sys::perf::{PerfRecord, PerfRing};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes of each CPU's ring: more than half a second of 10,000 events of 100 bytes.
const RING: usize = 1 << 20;

/// Events of one CPU in a row at most, while other CPUs have some.
const ROW: u32 = 256;

/// How often it is looked whether a CPU came or went.
const LOOK: Duration = Duration::from_millis(500);

/// The rings of all CPUs.
#[derive(Debug)]
pub(super) struct PerfSource {
    /// By CPU.
    rings: BTreeMap<u32, PerfRing>,
    /// Its own open file of the map: the kernel takes the rings out of the map when it is closed.
    map: Map,
    /// The CPU whose ring to look at first, so that none waits for the others.
    turn: u32,
    /// How many events in a row it has given.
    row: u32,
    /// When it was last looked whether CPUs came or went.
    looked: Instant,
}

impl PerfSource {
    pub(super) fn open(map: &Map) -> Result<Self> {
        let mut source = Self {
            rings: BTreeMap::new(),
            map: Map::open(own_descriptor(map)?)?,
            turn: 0,
            row: 0,
            looked: Instant::now(),
        };
        source.add_missing()?;
        Ok(source)
    }

    /// Opens a ring for each CPU that has none and is online.
    fn add_missing(&mut self) -> Result<()> {
        let cpus = (possible_cpus()? as u32).min(self.map.info.max_entries);
        for cpu in 0..cpus {
            if self.rings.contains_key(&cpu) {
                continue;
            }
            let ring = match PerfRing::open(cpu, RING) {
                Ok(ring) => ring,
                // Possible, but offline: no program runs there.
                Err(error) if error.errno == libc::ENODEV => continue,
                Err(error) => return Err(error.into()),
            };
            let value = ring.as_fd().as_raw_fd().to_ne_bytes();
            self.map.update(&cpu.to_ne_bytes(), &value, ANY)?;
            self.rings.insert(cpu, ring);
        }
        Ok(())
    }

    /// Looks now and then whether CPUs came or went. One that went took its event with it, and has
    /// no more records when it is back: it needs a new ring.
    pub(super) fn follow_cpus(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        // What is still to be read is read first.
        self.rings.retain(|_, ring| !ring.has_stopped() || ring.is_ready());
        if let Err(error) = self.add_missing() {
            log::warn!("the events of a CPU that came online are not read: {}", error.reason);
        }
    }

    /// Duplicates to wait on.
    pub(super) fn descriptors(&self) -> std::io::Result<Vec<OwnedFd>> {
        self.rings.values().map(|ring| ring.as_fd().try_clone_to_owned()).collect()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.rings.values().any(PerfRing::is_ready)
    }

    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Option<PerfRecord> {
        for cpus in [self.turn..u32::MAX, 0..self.turn] {
            for (cpu, ring) in self.rings.range_mut(cpus) {
                let found = ring.next(record);
                if found.is_some() {
                    // Events of a CPU stay in order; the others get their turn even if it always
                    // has more.
                    if *cpu != self.turn {
                        (self.turn, self.row) = (*cpu, 0);
                    }
                    self.row += 1;
                    if self.row == ROW {
                        (self.turn, self.row) = (*cpu + 1, 0);
                    }
                    return found;
                }
            }
        }
        None
    }
}

impl Drop for PerfSource {
    fn drop(&mut self) {
        for cpu in self.rings.keys() {
            // A map with preserve_elems would keep them. Who has put another in its place by now
            // has a map without ours, and loses it: the kernel does not tell whose it is.
            if self.map.info.flags & refs::PRESERVE_ELEMS != 0 {
                let _ = self.map.delete(&cpu.to_ne_bytes());
            }
        }
    }
}

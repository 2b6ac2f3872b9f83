//! A perf event array's events: a ring for each CPU that is online, in the map while this is open.

use super::own_descriptor;
use crate::fs::error::Result;
use crate::fs::refs;
use crate::map::{ANY, Map};
use crate::sys::map::possible_cpus;
use crate::sys::perf::{PerfRing, Record};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes of each CPU's ring: more than half a second of 10,000 events of 100 bytes.
const RING: usize = 1 << 20;

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
    /// What the kernel said of the CPUs when that was last asked, and when.
    online: String,
    asked: Instant,
}

impl PerfSource {
    pub(super) fn open(map: &Map) -> Result<Self> {
        let mut source = Self {
            rings: BTreeMap::new(),
            map: Map::open(own_descriptor(map)?)?,
            turn: 0,
            online: online(),
            asked: Instant::now(),
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
    /// no more events when it is back: it needs a new ring. True if the rings are others now.
    pub(super) fn follow_cpus(&mut self) -> bool {
        if self.asked.elapsed() < LOOK {
            return false;
        }
        self.asked = Instant::now();
        let now = online();
        if now == self.online {
            return false;
        }
        // Those that stayed keep theirs, and what is still to be read is read first.
        let (before, after) = (cpu_list(&self.online), cpu_list(&now));
        let stays = |cpu: &u32| before.contains(cpu) && after.contains(cpu);
        if self.rings.iter().any(|(cpu, ring)| !stays(cpu) && ring.is_ready()) {
            return false;
        }
        self.online = now;
        self.rings.retain(|cpu, _| stays(cpu));
        if let Err(error) = self.add_missing() {
            log::warn!("the events of a CPU that came online are not read: {}", error.reason);
        }
        true
    }

    /// Duplicates to wait on.
    pub(super) fn descriptors(&self) -> std::io::Result<Vec<OwnedFd>> {
        self.rings.values().map(|ring| ring.as_fd().try_clone_to_owned()).collect()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.rings.values().any(PerfRing::is_ready)
    }

    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Option<Record> {
        let turn = self.turn;
        let (first, second): (Vec<_>, Vec<_>) =
            self.rings.iter_mut().partition(|(cpu, _)| **cpu >= turn);
        for (cpu, ring) in first.into_iter().chain(second) {
            // On to the next CPU only when this one has no more: events of a CPU stay in order.
            let found = ring.next(record);
            if found.is_some() {
                self.turn = *cpu;
                return found;
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

/// The kernel's list of the CPUs that are online, such as `0-3,5`.
fn online() -> String {
    std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default()
}

fn cpu_list(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        Some(from.parse::<u32>().ok()?..=to.parse::<u32>().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list("0-3,5\n"), [0, 1, 2, 3, 5]);
        assert_eq!(cpu_list("0\n"), [0]);
        assert_eq!(cpu_list(""), []);
    }
}

//! The maps that are watched: one hub each for every user who does, whose share of time and memory it
//! takes. So nobody waits for what another one has asked for.

use super::clock::Clock;
use super::hub::Hub;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::Result;
use crate::fs::base::held;
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::OpenFile;
use crate::fs::base::pool::Pool;
use crate::map::Map;
use crate::node::MapRef;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A map, and the user who watches it; `None` for the mount's owner.
type Watched = (MapRef, Option<u32>);

/// The maps that are watched.
#[derive(Debug)]
pub struct Watches {
    maps: Arc<Maps>,
    interval: Duration,
    clock: Arc<Clock>,
    hubs: Mutex<HashMap<Watched, Weak<Hub>>>,
}

impl Watches {
    /// Compares each watched map every `interval`.
    pub fn new(maps: Arc<Maps>, interval: Duration, pool: Arc<Pool>) -> Self {
        Self { maps, interval, clock: Clock::new(pool), hubs: Mutex::default() }
    }

    /// Opens a map's `.watch`.
    ///
    /// # Errors
    /// EAGAIN if no thread can be started.
    pub fn open(&self, at: &MapRef, map: &Map, caller: Caller) -> Result<Arc<dyn OpenFile>> {
        held::check_walk(map)?;
        let mut hubs = self.hubs.lock();
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let watched: Watched = (at.clone(), (!caller.is_owner).then_some(caller.uid));
        if let Some(hub) = hubs.get(&watched).and_then(Weak::upgrade)
            && let Some(watcher) = hub.join()
        {
            return Ok(Arc::new(WatchFile { hub, watcher }));
        }
        let (hub, watcher) = Hub::start(&self.maps, at, map, self.interval, &self.clock, caller)?;
        hubs.insert(watched, Arc::downgrade(&hub));
        Ok(Arc::new(WatchFile { hub, watcher }))
    }
}

/// An open `.watch`.
#[derive(Debug)]
struct WatchFile {
    hub: Arc<Hub>,
    watcher: u64,
}

impl OpenFile for WatchFile {
    /// A stream: the offset counts what was read, and says nothing.
    fn read(&self, _offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.hub.read(self.watcher, size, reply)
    }

    fn is_long(&self) -> bool {
        true
    }

    fn is_ready(&self) -> bool {
        self.hub.is_ready(self.watcher)
    }

    fn descriptors(&self) -> Result<Arc<[OwnedFd]>> {
        Ok(Arc::from([self.hub.descriptor()?]))
    }

    fn release(&self) -> Result<()> {
        self.hub.leave(self.watcher);
        Ok(())
    }
}

impl Drop for WatchFile {
    fn drop(&mut self) {
        self.hub.leave(self.watcher);
    }
}

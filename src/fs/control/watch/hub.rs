//! A watched map: its snapshots are compared now and then, until the last watcher goes.

use super::clock::Clock;
use super::history::{Believers, History};
use super::snapshot::Snapshot;
use super::watcher::Watcher;
use crate::codec::Codec;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::Share;
use crate::fs::base::maps::Maps;
use crate::fs::control::entries::render::LinePrinter;
use crate::map::Map;
use crate::node::MapRef;
use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked whether the map is still there.
pub(super) const PRESENCE: Duration = Duration::from_millis(500);

/// A comparison takes at most one part in so many of the time from one to the next.
const PART: u32 = 10;
/// Deleted keys that are kept for those who have not been told, however small the map.
const GONE: usize = 1024;

/// A watched map.
#[derive(Debug)]
pub(super) struct Hub {
    maps: Arc<Maps>,
    at: MapRef,
    /// As of the last look: somebody may have given the map other types.
    codec: Mutex<Arc<Codec>>,
    /// Values are printed by the open map.
    special: bool,
    state: Mutex<Watched>,
    /// For readers: there may be more to read. Counts how often; nobody takes that back.
    news: EventFd,
    /// Told when somebody joined, or the last one left.
    clock: Arc<Clock>,
    /// By which the clock knows it.
    pub(super) number: u64,
    interval: Duration,
}

#[derive(Debug, Default)]
struct Watched {
    history: History,
    watchers: HashMap<u64, Watcher>,
    next_watcher: u64,
    /// Snapshots begun; the history has the number of the one at hand.
    begun: u64,
    /// When it is to be compared again.
    until: Option<Instant>,
    /// Why there will be no more, once that is so.
    end: Option<Result<()>>,
    held: Share,
}

impl Watched {
    fn join(&mut self) -> u64 {
        self.next_watcher += 1;
        // What was begun before now may lack what is in the map now.
        let watcher = Watcher::new(self.begun + 1);
        self.watchers.insert(self.next_watcher, watcher);
        self.next_watcher
    }

    /// Whether a read of this watcher would give something, its end included.
    fn is_ready(&mut self, watcher: u64) -> bool {
        self.end.is_some()
            || self.watchers.get_mut(&watcher).is_none_or(|watcher| {
                watcher.waits_for <= self.history.number && watcher.is_ready(&self.history)
            })
    }

    /// Who may believe in what is gone: all but those who were given up.
    fn believers(&self) -> Believers {
        let here = self.watchers.values().filter(|watcher| !watcher.is_lost);
        Believers::of(here.map(Watcher::seen))
    }

    /// Takes over what is in the map now. One watcher never believes in more keys than the map has
    /// room for; where those of many together are more than twice as many, the half that is behind is
    /// given up.
    fn advance(&mut self, new: Snapshot, number: u64, room: usize) -> Result<()> {
        let believers = self.believers();
        self.history.advance(new, number, &believers)?;
        self.history.forget(&believers);
        while self.history.gone() > room.saturating_mul(2).max(GONE) {
            let here = self.watchers.values().filter(|watcher| !watcher.is_lost);
            let mut least: Vec<u64> = here.map(|watcher| watcher.seen().least()).collect();
            least.sort_unstable();
            let Some(&middle) = least.get(least.len().saturating_sub(1) / 2) else { break };
            for watcher in self.watchers.values_mut() {
                watcher.is_lost |= watcher.seen().least() <= middle;
            }
            self.history.forget(&self.believers());
        }
        self.held.set(self.history.allocated());
        Ok(())
    }

    fn waits(&self) -> bool {
        self.watchers.values().any(|watcher| watcher.waits_for > self.begun)
    }
}

impl Hub {
    /// Watches a map for a first watcher, whose number is given.
    ///
    /// # Errors
    /// EAGAIN if no thread can be started.
    pub(super) fn start(
        maps: &Arc<Maps>,
        at: &MapRef,
        map: &Map,
        interval: Duration,
        clock: &Arc<Clock>,
        caller: Caller,
    ) -> Result<(Arc<Self>, u64)> {
        let hub = Arc::new(Self {
            maps: Arc::clone(maps),
            at: at.clone(),
            codec: Mutex::new(Arc::clone(&map.codec)),
            special: map.is_special(),
            state: Mutex::default(),
            news: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
                .map_err(std::io::Error::from)?,
            clock: Arc::clone(clock),
            number: clock.number(),
            interval,
        });
        let watcher = hub.state.lock().join();
        clock.add(Arc::clone(&hub), caller)?;
        Ok((hub, watcher))
    }

    /// One more watcher; `None` if the hub has ended.
    pub(super) fn join(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return None;
        }
        let watcher = state.join();
        drop(state);
        self.clock.call(self.number);
        Some(watcher)
    }

    /// A watcher goes.
    pub(super) fn leave(&self, watcher: u64) {
        let mut state = self.state.lock();
        state.watchers.remove(&watcher);
        if state.watchers.is_empty() {
            // Before the thread sees it: nobody may join a hub that is about to end.
            state.end.get_or_insert(Ok(()));
            drop(state);
            self.clock.call(self.number);
        }
        self.tell();
    }

    /// Replies with up to `size` bytes for a watcher; with none at the stream's end.
    ///
    /// # Errors
    /// EAGAIN if there is nothing now; why the stream ended, if the kernel refused.
    pub(super) fn read(
        &self,
        watcher: u64,
        size: usize,
        reply: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        // If it is gone, only its end is left to tell.
        let map = if self.special { self.maps.open(&self.at).ok() } else { None };
        let special = map.as_ref().map(|(map, _)| &**map);
        let codec = Arc::clone(&self.codec.lock());
        let printer = LinePrinter { codec: &codec, special, sums: false };
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let text = match state.watchers.get_mut(&watcher) {
            Some(watcher)
                if watcher.waits_for <= state.history.number && self.special == map.is_some() =>
            {
                watcher.tell(&state.history, printer, size)?
            }
            _ => Vec::new(),
        };
        if text.is_empty() && size > 0 {
            match &state.end {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(error.clone()),
                None => return Err(Error::new(libc::EAGAIN, "nothing has changed yet")),
            }
        }
        drop(guard);
        reply(&text);
        Ok(())
    }

    /// Whether a watcher's read would give something. While snapshots are compared nobody knows yet;
    /// they are told then.
    pub(super) fn is_ready(&self, watcher: u64) -> bool {
        self.state.try_lock().is_some_and(|mut state| state.is_ready(watcher))
    }

    /// A descriptor that becomes readable each time that there may be more to read.
    pub(super) fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.news.as_fd().try_clone_to_owned()
    }

    fn tell(&self) {
        // A counter of 64 bits is not full in our time.
        let _ = self.news.write(1);
    }

    /// Does what is due: compares, or looks whether the map is still there. When to come again; `None`
    /// after the end.
    pub(super) fn step(&self) -> Option<Instant> {
        let (ended, due) = {
            let state = self.state.lock();
            let due = state.waits() || state.until.is_none_or(|until| Instant::now() >= until);
            (state.end.is_some(), due)
        };
        let outcome = match (ended, due) {
            (true, _) => return self.end(Ok(())),
            (false, true) => self.maps.stat(&self.at).and_then(|_| self.compare()),
            (false, false) => self.maps.stat(&self.at).map(drop),
        };
        if outcome.is_err() {
            return self.end(outcome);
        }
        let soon = Instant::now() + PRESENCE;
        Some(self.state.lock().until.map_or(soon, |until| until.min(soon)))
    }

    fn end(&self, outcome: Result<()>) -> Option<Instant> {
        let mut state = self.state.lock();
        state.end.get_or_insert(match outcome {
            // Unpinned: what was to be told is told, then the stream ends.
            Err(error) if error.errno == libc::ENOENT => Ok(()),
            outcome => outcome,
        });
        if state.watchers.is_empty() {
            state.history = History::default();
            state.held.set(0);
        }
        self.tell();
        None
    }

    /// Compares the map with what it was.
    fn compare(&self) -> Result<()> {
        let began = Instant::now();
        let number = {
            let mut state = self.state.lock();
            state.begun += 1;
            state.begun
        };
        // Not kept open: who polls a map by its id must not keep it alive.
        let map = self.maps.open_once(&self.at)?;
        *self.codec.lock() = Arc::clone(&map.codec);
        if number == 1 {
            // It was not counted yet when it was opened: others may have been opened at once.
            self.state.lock().held.check_walk(&map)?;
        }
        let new = Snapshot::take(&map)?;
        let mut state = self.state.lock();
        state.advance(new, number, map.info.max_entries as usize)?;
        // Large maps take their time: nine tenths of it are left to others.
        state.until = Some(began + self.interval.max(began.elapsed() * PART));
        drop(state);
        self.tell();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::of_keys;
    use super::*;
    use crate::codec::Shape;

    /// Where watchers that were told at different times believe in more deleted keys than are kept, the
    /// one that is behind is given up, and the other is told all.
    #[test]
    fn who_is_far_behind_is_given_up() {
        let shape = Shape {
            key_size: 2,
            value_size: 1,
            cpus: None,
            key_type_id: 0,
            value_type_id: 0,
            lpm: false,
        };
        let codec = Codec::new(&shape, None);
        let tell = |state: &mut Watched, watcher: u64| {
            let printer = LinePrinter { codec: &codec, special: None, sums: false };
            let watcher = state.watchers.get_mut(&watcher).unwrap();
            let text = watcher.tell(&state.history, printer, usize::MAX)?;
            Ok::<usize, Error>(text.iter().filter(|&&c| c == b'\n').count())
        };
        let mut state = Watched::default();
        let (slow, slower) = (state.join(), state.join());
        state.advance(of_keys(0..1000), 1, 500).unwrap();
        assert_eq!(tell(&mut state, slower).unwrap(), 1000);
        state.advance(of_keys(1000..2000), 2, 500).unwrap();
        assert_eq!(tell(&mut state, slow).unwrap(), 1000);
        state.advance(of_keys(2000..3000), 3, 500).unwrap();
        assert_eq!(tell(&mut state, slow).unwrap(), 2000);
        assert!(state.is_ready(slower));
        let error = tell(&mut state, slower).unwrap_err();
        assert_eq!(error.errno, libc::ENOBUFS);
        // Nobody believes in any of them any more.
        state.advance(of_keys(2000..3000), 4, 500).unwrap();
        assert_eq!(state.history.gone(), 0);
    }
}

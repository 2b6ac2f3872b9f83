//! The names of all maps, kept as long as there are these maps: to ask one anew takes 3 us, and a listing with
//! attributes asks for every name.

use super::ids;
use super::machine;
use super::names::{self, MapNames};
use crate::fs::base::error::Result;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long names are believed: a map's never changes, but its id may come again when all have been used.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// The names of the maps that there were when somebody asked last.
#[derive(Debug, Default)]
pub struct KnownNames(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    /// The ids that the kernel gave.
    ids: Vec<u32>,
    /// Names by id; one that was gone before it could be asked is not here.
    by_id: BTreeMap<u32, String>,
    names: Arc<MapNames>,
    since: Instant,
}

impl KnownNames {
    /// The map that a name means, as it is listed or as the kernel has it. One that was listed with its id
    /// goes on to mean that map when no other has the name any more.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN.
    pub fn find(&self, name: &str) -> Result<Option<u32>> {
        match names::with_id(name) {
            Some((name, id)) => {
                let found = machine::map(id)?.filter(|(_, map)| names::is_called(&map.name, name));
                Ok(found.map(|(_, map)| map.id))
            }
            None => Ok(self.now()?.find(name)),
        }
    }

    /// The names of the maps that there are now.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN.
    pub fn now(&self) -> Result<Arc<MapNames>> {
        let ids = ids::list()?;
        let mut kept = self.0.lock();
        let mut known = BTreeMap::new();
        let mut since = Instant::now();
        if let Some(old) = kept.take().filter(|old| old.since.elapsed() < KNOWN_FOR) {
            if old.ids == ids {
                let names = Arc::clone(&old.names);
                *kept = Some(old);
                return Ok(names);
            }
            (known, since) = (old.by_id, old.since);
        }
        let mut name = |id| -> Result<Option<String>> {
            match known.remove(&id) {
                Some(name) => Ok(Some(name)),
                None => Ok(machine::map(id)?.map(|(_, map)| map.name)),
            }
        };
        let named = ids.iter().filter_map(|id| Some((*id, name(*id).transpose()?)));
        let by_id = named.map(|(id, name)| Ok((id, name?)));
        let by_id = by_id.collect::<Result<BTreeMap<u32, String>>>()?;
        let names = Arc::new(MapNames::of(by_id.iter().map(|(id, name)| (*id, name.clone()))));
        *kept = Some(Known { ids, by_id, names: Arc::clone(&names), since });
        Ok(names)
    }
}

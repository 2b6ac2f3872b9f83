//! Where a map's types come from: its own BTF, or somebody who knows better.

use super::MapInfo;
use crate::btf::Btf;
use crate::sys::object;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// With types for more maps than this, those of maps that are gone are dropped.
const MANY: usize = 64;

/// Types that somebody gives for maps.
#[derive(Debug)]
pub struct GivenTypes {
    /// Which maps of a file's definitions it is for: the kernel's name of them.
    pub name: String,
    /// Who says it: `FILE:LINE`, or `.type`.
    pub origin: String,
    /// What the ids are of.
    pub btf: Btf,
    /// The key's type; 0 if the map's own holds.
    pub key: u32,
    /// The value's type; 0 if the map's own holds.
    pub value: u32,
    /// The type of a stream's events; 0 if nothing is said.
    pub event: u32,
    /// Bytes of the key's type, if one is given.
    pub key_size: Option<u32>,
    /// Bytes of the value's type, if one is given.
    pub value_size: Option<u32>,
    /// Bytes of the events' type, if one is given.
    pub event_size: Option<u32>,
}

impl GivenTypes {
    /// Why these are not the types of a map with `info`; `None` if they may be.
    pub fn misfit(&self, info: &MapInfo) -> Option<String> {
        let sides =
            [("key", self.key_size, info.key_size), ("value", self.value_size, info.value_size)];
        sides.into_iter().find_map(|(what, given, own)| {
            let given = given.filter(|given| *given != own)?;
            Some(format!("the type of the {what} has {given} bytes, but the map says {own}"))
        })
    }
}

/// All types that were given.
#[derive(Debug, Default)]
pub struct TypeBook {
    /// By the map's name, in the order of the files.
    named: Vec<Arc<GivenTypes>>,
    /// By the map's id.
    own: Mutex<HashMap<u32, Arc<GivenTypes>>>,
}

/// Which types a map gets.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Those that somebody gave.
    pub types: Option<Arc<GivenTypes>>,
    /// Why types that were given for the map's name are not used.
    pub unused: Option<String>,
}

impl TypeBook {
    /// One with types by the maps' names.
    pub fn new(named: Vec<Arc<GivenTypes>>) -> Self {
        Self { named, own: Mutex::default() }
    }

    /// The types given for a map.
    pub fn of(&self, info: &MapInfo) -> Chosen {
        let own = self.own.lock().get(&info.id).cloned();
        if own.is_some() {
            return Chosen { types: own, unused: None };
        }
        let mut unused = None;
        for types in self.named.iter().filter(|types| types.name == info.name) {
            match types.misfit(info) {
                None => return Chosen { types: Some(Arc::clone(types)), unused },
                Some(why) => {
                    unused.get_or_insert(format!("{}: {why}", types.origin));
                }
            }
        }
        Chosen { types: None, unused }
    }

    /// Gives types to the map with this id, until the end; or takes them back.
    pub fn set(&self, id: u32, types: Option<Arc<GivenTypes>>) {
        let mut own = self.own.lock();
        match types {
            Some(types) => drop(own.insert(id, types)),
            None => drop(own.remove(&id)),
        }
        if own.len() > MANY {
            // Ids are not given again, so what is said of maps that are gone helps nobody.
            own.retain(|id, _| object::map_by_id(*id).is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Btf {
        let mut blob = 0xeb9f_u16.to_ne_bytes().to_vec();
        blob.extend([1, 0]);
        for word in [24_u32, 0, 0, 0, 1] {
            blob.extend(word.to_ne_bytes());
        }
        blob.push(0);
        Btf::parse(&blob, None).unwrap()
    }

    fn types(name: &str, origin: &str, key_size: Option<u32>) -> Arc<GivenTypes> {
        Arc::new(GivenTypes {
            name: name.into(),
            origin: origin.into(),
            btf: blob(),
            key: 1,
            value: 0,
            event: 0,
            key_size,
            value_size: None,
            event_size: None,
        })
    }

    #[test]
    fn the_first_that_fits_is_taken_and_a_map_s_own_before_it() {
        let book = TypeBook::new(vec![
            types("m", "a:1", Some(8)),
            types("m", "a:2", Some(4)),
            types("m", "a:3", None),
        ]);
        let info = MapInfo { id: 7, name: "m".into(), key_size: 4, ..MapInfo::default() };
        let chosen = book.of(&info);
        assert_eq!(chosen.types.unwrap().origin, "a:2");
        let why = "a:1: the type of the key has 8 bytes, but the map says 4";
        assert_eq!(chosen.unused.as_deref(), Some(why));
        book.set(7, Some(types("", ".type", None)));
        assert_eq!(book.of(&info).types.unwrap().origin, ".type");
        book.set(7, None);
        assert_eq!(book.of(&info).types.unwrap().origin, "a:2");
        let other = MapInfo { name: "n".into(), ..info };
        assert!(book.of(&other).types.is_none());
    }
}

//! The maps' own names, as file names: a name that several maps share has their ids as well.

use std::collections::BTreeMap;

/// Names of maps, each with the id that it means.
#[derive(Debug, Default)]
pub struct MapNames {
    listed: BTreeMap<String, u32>,
    /// For a name that several share: the newest.
    shared: BTreeMap<String, u32>,
}

impl MapNames {
    /// Names the maps, given by id and kernel name.
    pub fn of(maps: impl IntoIterator<Item = (u32, String)>) -> Self {
        let mut by_name: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (id, name) in maps {
            by_name.entry(escaped(&name)).or_default().push(id);
        }
        let mut names = Self::default();
        for (name, ids) in by_name {
            match ids[..] {
                [id] if !name.is_empty() => {
                    names.listed.insert(name, id);
                }
                _ => {
                    names.listed.extend(ids.iter().map(|id| (format!("{name}:{id}"), *id)));
                    // Ids only grow, until they have all been used once.
                    if let (false, Some(newest)) = (name.is_empty(), ids.into_iter().max()) {
                        names.shared.insert(name, newest);
                    }
                }
            }
        }
        names
    }

    /// What is listed: a name for each map.
    pub fn listed(&self) -> impl Iterator<Item = (&str, u32)> {
        self.listed.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// The map that a name means, as it is listed or as the kernel has it.
    pub fn find(&self, name: &str) -> Option<u32> {
        let find = |name: &str| self.listed.get(name).or_else(|| self.shared.get(name)).copied();
        find(name).or_else(|| find(&escaped(name)))
    }
}

/// What a name with an id, `NAME:N`, says: no name itself has a colon.
pub fn with_id(name: &str) -> Option<(&str, u32)> {
    let (name, id) = name.rsplit_once(':')?;
    let number = id.parse::<u32>().ok().filter(|number| number.to_string() == id)?;
    Some((name, number))
}

/// Whether a map that the kernel calls `name` is meant by `asked`.
pub fn is_called(name: &str, asked: &str) -> bool {
    name == asked || escaped(name) == asked
}

/// A map's name as a file's. A leading dot, as in `.rodata`, would hide it, and some bytes cannot be in a
/// path: these are escaped.
fn escaped(name: &str) -> String {
    let escape = |(at, c): (usize, char)| match c {
        '.' if at == 0 => "%2E".to_owned(),
        '/' | '%' | ':' => format!("%{:02X}", u32::from(c)),
        c if c.is_control() => format!("%{:02X}", u32::from(c)),
        c => c.to_string(),
    };
    name.char_indices().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(maps: &[(u32, &str)]) -> MapNames {
        MapNames::of(maps.iter().map(|(id, name)| (*id, (*name).to_owned())))
    }

    #[test]
    fn one_name_each() {
        let names =
            names(&[(1, "a"), (2, "at"), (3, "at"), (9, "at"), (4, ""), (5, ".rodata"), (6, "")]);
        let listed: Vec<_> = names.listed().collect();
        let expected = [
            ("%2Erodata", 5),
            (":4", 4),
            (":6", 6),
            ("a", 1),
            ("at:2", 2),
            ("at:3", 3),
            ("at:9", 9),
        ];
        assert_eq!(listed, expected);
        for (name, id) in expected {
            assert_eq!(names.find(name), Some(id), "{name}");
        }
        assert_eq!(names.find("at"), Some(9), "the newest");
        assert_eq!(names.find(".rodata"), Some(5));
        assert_eq!(names.find(""), None);
        assert_eq!(names.find("a:1"), None, "a name of its own needs no id");
        assert_eq!([with_id("a:1"), with_id(":7")], [Some(("a", 1)), Some(("", 7))]);
        assert_eq!([with_id("a"), with_id("a:01"), with_id("a:+1"), with_id("a:")], [None; 4]);
        assert!(is_called(".r:1", "%2Er%3A1") && is_called(".r", ".r") && !is_called("a", "b"));
    }
}

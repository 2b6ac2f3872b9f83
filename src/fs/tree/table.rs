//! `/.maps` and `/.maps.json`: every map of the machine, pinned or not, with who uses it.

use super::machine;
use super::map_info::{self, About, Holders};
use super::pins::Pins;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::Result;
use crate::fs::base::maps::Maps;
use crate::kernel::counts::{Counts, counts};
use crate::kernel::holders::holders;
use crate::map::cursor::{Batch, Cursor};
use crate::map::{Listing, Map};
use crate::sys::map::MapInfo;
use crate::sys::map::kind::MapKind;
use crate::sys::processes::Processes;
use crate::sys::programs::Programs;
use std::collections::HashMap;
use std::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};

/// Elements that a map may have at most for its count to be walked for.
const WALKED_MAX: u32 = 100_000;

/// Who uses maps, by the maps' ids.
#[derive(Debug, Default)]
pub struct Users {
    counts: Option<Counts>,
    pins: HashMap<u32, Vec<String>>,
    programs: Programs,
    processes: HashMap<u32, Vec<(u32, String)>>,
    /// Whether more processes may hold some.
    more: bool,
}

impl Users {
    /// Looks at all programs, processes and pins once.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN; EMFILE and the like if not all pins could be looked at.
    pub fn look(maps: &Maps, pins: &Pins, caller: Caller) -> Result<Self> {
        let programs = Programs::all()?;
        let mut processes: HashMap<u32, Vec<(u32, String)>> = HashMap::new();
        let Processes { all, more } = holders()?;
        for process in all {
            for map in machine::held(&process, &programs) {
                processes.entry(map).or_default().push((process.pid, process.comm.clone()));
            }
        }
        let pins = pins.of_all(&maps.bpffs, caller)?;
        Ok(Self { counts: counts(), pins, programs, processes, more })
    }

    /// What they know of one map.
    pub fn about(&self, info: &MapInfo) -> About {
        About {
            count: count(info, self.counts.as_ref()),
            pins: Ok(self.pins.get(&info.id).cloned().unwrap_or_default()),
            programs: Ok(id_and_name(&self.programs, info.id)),
            processes: Some(Ok(self.holders(info.id))),
        }
    }

    fn holders(&self, map: u32) -> Holders {
        let found = self.processes.get(&map).cloned().unwrap_or_default();
        Holders { found, more: self.more }
    }
}

/// The programs that use a map: id and name.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn programs_of(map: u32) -> Result<Vec<(u32, String)>> {
    Ok(id_and_name(&Programs::all()?, map))
}

fn id_and_name(programs: &Programs, map: u32) -> Vec<(u32, String)> {
    programs.of_map(map).map(|program| (program.id, program.name.clone())).collect()
}

/// The processes that hold a map, by itself or through a program.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; those of reading /proc.
pub fn processes_of(map: u32) -> Result<Holders> {
    let programs = Programs::all()?;
    let Processes { all, more } = holders()?;
    let holding = all.into_iter();
    let holding = holding.filter(|process| machine::held(process, &programs).contains(&map));
    Ok(Holders { found: holding.map(|process| (process.pid, process.comm)).collect(), more })
}

/// The kernel's counts, if a map like this is among them.
pub fn counts_for(map: &Map) -> Option<Counts> {
    map.kind.counts_itself().then(counts).flatten()
}

/// How many elements a map has, where that costs no walk: an array has all.
pub fn count(info: &MapInfo, counts: Option<&Counts>) -> Option<u64> {
    match MapKind::of(info.map_type).listing {
        Listing::Index => Some(info.max_entries.into()),
        Listing::Batch
        | Listing::Trie
        | Listing::NextKey
        | Listing::Sparse
        | Listing::Head
        | Listing::Nothing => counts?.of(info.id),
    }
}

/// The same, or by a walk if that is short.
fn count_or_walk(info: &MapInfo, map: &Map, counts: Option<&Counts>) -> Option<u64> {
    let known = count(info, counts);
    let can_be_walked = match map.kind.listing {
        Listing::Batch | Listing::Trie | Listing::NextKey => true,
        // Which of its places are set, only a look-up tells.
        Listing::Sparse => map.is_readable(),
        Listing::Index | Listing::Head | Listing::Nothing => false,
    };
    if known.is_some() || !can_be_walked || info.max_entries > WALKED_MAX {
        return known;
    }
    let (mut cursor, mut batch) = (Cursor::new(map, false), Batch::default());
    let mut walked = 0;
    loop {
        cursor.next(map, &mut batch).ok()?;
        if batch.count == 0 {
            return Some(walked);
        }
        walked += batch.count as u64;
    }
}

/// A JSON object for each map, a line each, as `.info` has it.
///
/// # Errors
/// As for [`Users::look`].
pub fn json(maps: &Maps, pins: &Pins, caller: Caller) -> Result<Vec<u8>> {
    let users = Users::look(maps, pins, caller)?;
    let mut text = Vec::new();
    for map in machine::maps()? {
        let (fd, info) = map?;
        // Gone meanwhile, or without memory for its types: the others are told all the same.
        let Ok(map) = Map::open_typed(fd, &maps.types) else { continue };
        let mut about = users.about(&info);
        about.count = count_or_walk(&info, &map, users.counts.as_ref());
        text.extend_from_slice(map_info::object(&map, about).to_string().as_bytes());
        text.push(b'\n');
    }
    Ok(text)
}

const HEADER: [&str; 12] = [
    "ID",
    "TYPE",
    "NAME",
    "KEY",
    "VALUE",
    "COUNT",
    "MAX",
    "USE%",
    "MEMORY",
    "PINS",
    "PROGRAMS",
    "PROCESSES",
];
/// Columns of numbers, which are aligned to the right.
const NUMBERS: [bool; 12] =
    [true, false, false, true, true, true, true, true, true, false, false, false];

/// A table for people: a line for each map, by id.
///
/// # Errors
/// As for [`Users::look`].
pub fn text(maps: &Maps, pins: &Pins, caller: Caller) -> Result<Vec<u8>> {
    let users = Users::look(maps, pins, caller)?;
    let mut rows = vec![HEADER.map(str::to_owned)];
    for map in machine::maps()? {
        let (fd, info) = map?;
        rows.push(row(fd, &info, &users));
    }
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).zip(NUMBERS);
        let mut line = String::new();
        for ((cell, width), is_number) in cells {
            // Writing to a String cannot fail.
            let _ = match is_number {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Ok(text.into_bytes())
}

/// How many elements an open map has, where that costs no long walk.
pub fn count_open(map: &Map) -> Option<u64> {
    count_or_walk(&map.info, map, counts_for(map).as_ref())
}

/// The same of a map that is not open yet.
pub fn count_shortly(fd: OwnedFd, info: &MapInfo, counts: Option<&Counts>) -> Option<u64> {
    let walk = || Map::open(fd).ok().and_then(|map| count_or_walk(info, &map, None));
    count(info, counts).or_else(|| if info.max_entries <= WALKED_MAX { walk() } else { None })
}

/// A kind's name, or the number of one that this build does not know.
pub fn type_of(info: &MapInfo) -> String {
    let kind = MapKind::of(info.map_type);
    if kind.is_known() { kind.name.to_owned() } else { info.map_type.to_string() }
}

fn row(fd: OwnedFd, info: &MapInfo, users: &Users) -> [String; 12] {
    let kind = MapKind::of(info.map_type);
    let memory = crate::sys::info::fdinfo(fd.as_fd(), "memlock");
    let is_array = kind.listing == Listing::Index;
    let count = count_shortly(fd, info, users.counts.as_ref());
    let share = match count {
        Some(count) if !is_array && info.max_entries > 0 => {
            Some(100 * count / u64::from(info.max_entries))
        }
        _ => None,
    };
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let pins = users.pins.get(&info.id).into_iter().flatten().map(|pin| without_blanks(pin));
    let holders = users.holders(info.id);
    let name = if info.name.is_empty() { "-".to_owned() } else { one_word(&info.name) };
    [
        info.id.to_string(),
        type_of(info),
        name,
        info.key_size.to_string(),
        info.value_size.to_string(),
        number(count),
        info.max_entries.to_string(),
        number(share),
        number(memory.and_then(|bytes| bytes.parse().ok())),
        list(pins.collect()),
        pairs(&id_and_name(&users.programs, info.id), false),
        pairs(&holders.found, holders.more),
    ]
}

fn list(words: Vec<String>) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}

/// Programs or processes, and a sign of it if there may be more.
fn pairs(pairs: &[(u32, String)], more: bool) -> String {
    let pairs = pairs.iter().map(|(number, word)| format!("{number}:{}", one_word(word)));
    list(pairs.chain(more.then(|| "…".to_owned())).collect())
}

/// A word without white space, so that columns can be told apart by it.
fn one_word(text: &str) -> String {
    crate::fs::base::journal::one_word(text)
}

/// A pin, in which backslashes are written as bytes already, the same way.
fn without_blanks(pin: &str) -> String {
    let escape = |c: char| match c.is_whitespace() || c.is_control() {
        true => c.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
        false => c.to_string(),
    };
    pin.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_shows() {
        let found = [(7, "a b".to_owned()), (9, "c".to_owned())];
        assert_eq!(pairs(&found, false), "7:a\\x20b,9:c");
        assert_eq!(pairs(&found, true), "7:a\\x20b,9:c,…");
        assert_eq!([pairs(&[], false), pairs(&[], true)], ["-", "…"]);
    }
}

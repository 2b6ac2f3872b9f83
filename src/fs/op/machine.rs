//! `/.maps`, `/.name`, `/.prog`, `/.pid`: ways to the machine's maps, for the mount's owner alone.

use super::open_dir::Listed;
use crate::bpffs::Stat;
use crate::fs::Fs;
use crate::fs::base::attr::{Attr, Changed, FileKind};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::open_file::TextFile;
use crate::fs::tree::known_names::KnownNames;
use crate::fs::tree::{ids, machine, map_info, metrics, object, table};
use crate::kernel::holders::holders;
use crate::node::{Machine, MapList, MapRef, Node, NodeTable};
use crate::sys::processes::{Process, Processes};
use crate::sys::programs::Programs;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Ends a list that was cut off.
const MORE: &str = "…";

/// What the root has of them, by name.
pub(super) fn named(name: &OsStr) -> Option<Machine> {
    match name.as_bytes() {
        b".metrics" => Some(Machine::Metrics),
        b".maps" => Some(Machine::Table),
        b".maps.json" => Some(Machine::Json),
        b".name" => Some(Machine::List(MapList::All)),
        b".prog" => Some(Machine::Programs),
        b".pid" => Some(Machine::Processes),
        _ => None,
    }
}

/// Where something of the machine is.
pub fn path(machine: &Machine) -> String {
    let of_list = |list: &MapList| match list {
        MapList::All => "/.name".to_owned(),
        MapList::Program(id) => format!("/.prog/{id}"),
        MapList::Process(pid) => format!("/.pid/{pid}"),
    };
    match machine {
        Machine::Metrics => "/.metrics".to_owned(),
        Machine::Table => "/.maps".to_owned(),
        Machine::Json => "/.maps.json".to_owned(),
        Machine::List(list) => of_list(list),
        Machine::Link(list, name, _) => format!("{}/{}", of_list(list), name.to_string_lossy()),
        Machine::Programs => "/.prog".to_owned(),
        Machine::ProgramInfo(id) => format!("/.prog/{id}/.info"),
        Machine::Processes => "/.pid".to_owned(),
        Machine::MoreProcesses => format!("/.pid/{MORE}"),
    }
}

/// The ids of the maps in a list; `None` for all.
fn members(list: MapList) -> Result<Option<BTreeSet<u32>>> {
    Ok(match list {
        MapList::All => None,
        MapList::Program(id) => Some(machine::program(id)?.map_ids.into_iter().collect()),
        MapList::Process(pid) => Some(machine::maps_of_process(pid)?),
    })
}

/// The map that a name in a list means.
fn member(known: &KnownNames, list: MapList, name: &OsStr) -> Result<u32> {
    let missing = || Error::missing("no map here has this name");
    let id = known.find(name.to_str().ok_or_else(missing)?)?.ok_or_else(missing)?;
    match members(list)? {
        Some(ids) if !ids.contains(&id) => Err(missing()),
        Some(_) | None => Ok(id),
    }
}

/// The target of a symlink: the map by its id.
pub(super) fn target(list: MapList, id: u32) -> PathBuf {
    let up = match list {
        MapList::All => "..",
        MapList::Program(_) | MapList::Process(_) => "../..",
    };
    PathBuf::from(format!("{up}/.id/{id}"))
}

/// What a name in one of these directories is.
pub(super) fn find(known: &KnownNames, dir: &Machine, name: &OsStr) -> Result<Machine> {
    match dir {
        Machine::List(MapList::Program(id)) if name == ".info" => Ok(Machine::ProgramInfo(*id)),
        Machine::List(list) => Ok(Machine::Link(*list, name.into(), member(known, *list, name)?)),
        Machine::Programs => Ok(Machine::List(MapList::Program(machine::program_named(name)?))),
        Machine::Processes if name == MORE && holders()?.more => Ok(Machine::MoreProcesses),
        Machine::Processes => {
            let pid = ids::parse(name).map_err(|_| Error::missing("no process has this id"))?;
            machine::maps_of_process(pid)?;
            Ok(Machine::List(MapList::Process(pid)))
        }
        Machine::Metrics
        | Machine::Table
        | Machine::Json
        | Machine::Link(..)
        | Machine::ProgramInfo(_)
        | Machine::MoreProcesses => Err(Error::new(libc::ENOTDIR, "not a directory")),
    }
}

/// What one of these directories lists.
pub(super) fn list(known: &KnownNames, dir: &Machine) -> Result<Vec<Listed>> {
    let entry = |machine: Machine, kind, name: String| {
        let ino = NodeTable::number(&Node::Machine(machine));
        Listed { ino, kind, name: name.into() }
    };
    let numbers = |ids: Vec<u32>, list: fn(u32) -> MapList| -> Vec<Listed> {
        let each = |id: u32| entry(Machine::List(list(id)), FileKind::Dir, id.to_string());
        ids.into_iter().map(each).collect()
    };
    match dir {
        Machine::List(list) => {
            let members = members(*list)?;
            let is_member = |id: &u32| members.as_ref().is_none_or(|ids| ids.contains(id));
            let link = |(name, id): (&str, u32)| {
                let machine = Machine::Link(*list, OsStr::new(name).into(), id);
                entry(machine, FileKind::Symlink, name.to_owned())
            };
            let names = known.now()?;
            Ok(names.listed().filter(|(_, id)| is_member(id)).map(link).collect())
        }
        Machine::Programs => Ok(numbers(machine::program_ids()?, MapList::Program)),
        Machine::Processes => {
            let programs = Programs::all()?;
            let holds = |process: &Process| !machine::held(process, &programs).is_empty();
            let Processes { all, more } = holders()?;
            let holding = all.into_iter().filter(holds);
            let mut listed = numbers(holding.map(|one| one.pid).collect(), MapList::Process);
            let sign = || entry(Machine::MoreProcesses, FileKind::File, MORE.to_owned());
            listed.extend(more.then(sign));
            Ok(listed)
        }
        Machine::Metrics
        | Machine::Table
        | Machine::Json
        | Machine::Link(..)
        | Machine::ProgramInfo(_)
        | Machine::MoreProcesses => Err(Error::new(libc::ENOTDIR, "not a directory")),
    }
}

impl Fs {
    /// Attributes: all of it is the mount owner's alone.
    pub(super) fn machine_attr(
        &self,
        machine: &Machine,
        (text, changed): (u64, Changed),
    ) -> Result<Attr> {
        let stat = self.maps.stat(&MapRef::Id(0))?;
        let attr = |kind, mode, size, nlink| {
            let stat = Stat { mode, nlink, uid: 0, ..stat };
            Ok(Attr::new(kind, size, stat, changed))
        };
        match machine {
            // Exporters do not run as root.
            Machine::Metrics => match self.maps.owner.metrics_group {
                Some(gid) => {
                    let attr: Attr = attr(FileKind::File, 0o440, text, 1)?;
                    Ok(Attr { stat: Stat { gid, ..attr.stat }, ..attr })
                }
                None => attr(FileKind::File, 0o400, text, 1),
            },
            Machine::Table | Machine::Json | Machine::ProgramInfo(_) | Machine::MoreProcesses => {
                attr(FileKind::File, 0o400, text, 1)
            }
            Machine::List(_) | Machine::Programs | Machine::Processes => {
                attr(FileKind::Dir, 0o700, 0, 2)
            }
            Machine::Link(list, _, id) => {
                machine::map(*id)?.ok_or_else(ids::missing)?;
                let size = target(*list, *id).as_os_str().len() as u64;
                attr(FileKind::Symlink, 0o777, size, 1)
            }
        }
    }

    /// The text of one of these files.
    pub(super) fn machine_text(&self, machine: &Machine, caller: Caller) -> Result<TextFile> {
        let pins = &self.controls.pins;
        let text = match machine {
            Machine::Metrics => metrics::text(&self.maps, pins, &self.refusals, caller)?,
            Machine::Table => table::text(&self.maps, pins, caller)?,
            Machine::Json => table::json(&self.maps, pins, caller)?,
            Machine::ProgramInfo(id) => object::program_text(&machine::program(*id)?),
            Machine::MoreProcesses => format!("{}\n", map_info::MORE).into_bytes(),
            Machine::List(_) | Machine::Link(..) | Machine::Programs | Machine::Processes => {
                return Err(Error::new(libc::EISDIR, "not a file"));
            }
        };
        Ok(TextFile::new(text))
    }
}

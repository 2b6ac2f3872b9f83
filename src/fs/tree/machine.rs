//! What the machine has: its maps, the programs that use them, the processes that hold them. Each is
//! asked for anew; what ends meanwhile is left out.

use super::ids;
use crate::fs::base::error::{Error, Result};
use crate::sys::info::{self, ProgInfo};
use crate::sys::map::{MapInfo, map_info};
use crate::sys::object;
use crate::sys::processes::{Process, process};
use crate::sys::programs::{self, Programs};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

/// Every map, open, with what the kernel says of it.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; for each, EMFILE and the like if it could not be looked at.
pub fn maps() -> Result<impl Iterator<Item = Result<(OwnedFd, MapInfo)>>> {
    Ok(ids::list()?.into_iter().filter_map(|id| map(id).transpose()))
}

/// The map with an id, if it is there.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; EMFILE and the like if it could not be looked at.
pub fn map(id: u32) -> Result<Option<(OwnedFd, MapInfo)>> {
    let Some(fd) = unless_gone(object::map_by_id(id))? else { return Ok(None) };
    let info = map_info(fd.as_fd())?;
    Ok(Some((fd, info)))
}

/// What a call by id gave; `None` if there is none with that id any more.
fn unless_gone<T>(result: crate::sys::Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.errno == libc::ENOENT => Ok(None),
        result => Ok(Some(result?)),
    }
}

/// The ids of all loaded programs.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn program_ids() -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    let mut id = 0;
    while let Some(next) = info::next_prog_id(id)? {
        ids.push(next);
        id = next;
    }
    Ok(ids)
}

/// Every loaded program.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; for each, EMFILE and the like if it could not be looked at.
pub fn programs() -> Result<impl Iterator<Item = Result<ProgInfo>>> {
    let look = |id| {
        let Some(fd) = unless_gone(object::prog_by_id(id))? else { return Ok(None) };
        Ok(Some(info::prog_info(fd.as_fd())?))
    };
    Ok(program_ids()?.into_iter().filter_map(move |id| look(id).transpose()))
}

/// The program with an id.
///
/// # Errors
/// ENOENT if there is none.
pub fn program(id: u32) -> Result<ProgInfo> {
    let fd = object::prog_by_id(id).map_err(|error| match error.errno {
        libc::ENOENT => Error::missing("no program has this id"),
        _ => error.into(),
    })?;
    Ok(info::prog_info(fd.as_fd())?)
}

/// The program that a name in `/.prog` means: its id, or its name if only one has it.
///
/// # Errors
/// ENOENT if there is none, or several.
pub fn program_named(name: &OsStr) -> Result<u32> {
    let missing = || Error::missing("no program has this id, nor one alone this name");
    let name = name.to_str().ok_or_else(missing)?;
    if let Ok(id) = ids::parse(OsStr::new(name)) {
        return program(id).map(|program| program.id);
    }
    let programs = programs()?.collect::<Result<Vec<_>>>()?;
    let mut named = programs.iter().filter(|program| program.name == name);
    match (named.next(), named.next()) {
        (Some(program), None) => Ok(program.id),
        (None, _) | (Some(_), Some(_)) => Err(missing()),
    }
}

/// The maps that a process holds, by itself or through a program.
///
/// # Errors
/// ENOENT if it is gone, or holds none; those of reading /proc.
pub fn maps_of_process(pid: u32) -> Result<BTreeSet<u32>> {
    let process = process(pid)?.ok_or_else(no_holder)?;
    let mut maps: BTreeSet<u32> = process.maps.iter().copied().collect();
    for id in process.programs {
        // One that it has closed meanwhile may be gone.
        maps.extend(programs::program(id)?.into_iter().flat_map(|program| program.maps));
    }
    if maps.is_empty() { Err(no_holder()) } else { Ok(maps) }
}

fn no_holder() -> Error {
    Error::missing("no such process holds a map")
}

/// The maps that a process holds, those of its programs included.
pub fn held(process: &Process, programs: &Programs) -> BTreeSet<u32> {
    let of_programs = process.programs.iter().filter_map(|id| programs.get(*id));
    let through = of_programs.flat_map(|program| &program.maps);
    process.maps.iter().chain(through).copied().collect()
}

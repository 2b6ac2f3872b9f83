//! Elements that stand for objects of the kernel: what a write to a map of maps, program array, device
//! map, socket map and the like names.

use super::target::ElementRef;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::tree::place::{self, Sought};
use crate::map::{Content, Map, handle};
use crate::sys::{self, mounts, os};
use serde_json::Value;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// `BPF_F_PRESERVE_ELEMS`.
pub const PRESERVE_ELEMS: u32 = 1 << 11;

/// Sets an element of a map of maps.
///
/// # Errors
/// EINVAL for a map that does not fit; EEXIST and the like by the flag.
pub fn set_inner(map: &Map, key: &[u8], inner: &OwnedFd, flag: u64) -> Result<()> {
    update(map, key, &descriptor(inner), flag)
}

/// Sets an element to what was written. False if that is not complete.
///
/// # Errors
/// EINVAL, ENOENT for what names nothing; the kernel's for an object that does not fit.
pub fn set(element: &ElementRef, map: &Map, written: &[u8], flag: u64) -> Result<bool> {
    let text = std::str::from_utf8(written).map_err(|_| invalid("this is no text"))?.trim();
    if text.is_empty() {
        return Ok(false);
    }
    let text = match serde_json::from_str(text) {
        Ok(Value::String(text)) => text,
        _ => text.to_owned(),
    };
    // Open until the kernel has taken its own reference.
    let object;
    let value = match map.kind.content {
        Content::Map | Content::Prog => {
            let sought = if map.kind.content == Content::Map { Sought::Map } else { Sought::Prog };
            object = place::find(&element.maps, &text, &element.map, sought, element.opener)?;
            descriptor(&object).to_vec()
        }
        Content::Cgroup => {
            object = element.opener.opens(|| cgroup(&text))?;
            descriptor(&object).to_vec()
        }
        Content::PerfEvent if map.info.flags & PRESERVE_ELEMS == 0 => {
            return Err(Error::new(
                libc::EOPNOTSUPP,
                "the kernel removes a perf event when the descriptor that set it is closed: only \
                 a map with the flag preserve_elems keeps it; to read events, open .stream",
            ));
        }
        Content::Socket | Content::Xsk | Content::PerfEvent => {
            object = of_process(&text, element.opener)?;
            // Socket maps may have values of eight bytes, which are one number.
            match map.value_len() {
                8 => u64::from(object.as_raw_fd().cast_unsigned()).to_ne_bytes().to_vec(),
                _ => descriptor(&object).to_vec(),
            }
        }
        Content::Device | Content::Cpu => {
            let Some((value, prog)) = pair(element, map, &text)? else { return Ok(false) };
            let _until_set = prog;
            update(map, &element.key, &value, flag)?;
            return Ok(true);
        }
        Content::Data | Content::Stack | Content::StructOps | Content::None => {
            return Err(Error::new(libc::EOPNOTSUPP, "elements are set by programs alone"));
        }
    };
    update(map, &element.key, &value, flag)?;
    Ok(true)
}

fn update(map: &Map, key: &[u8], value: &[u8], flag: u64) -> Result<()> {
    map.update(key, value, flag).map_err(|error| match (map.kind.content, error.errno) {
        (Content::Cgroup | Content::PerfEvent, libc::EINVAL) if flag != crate::map::ANY => {
            let reason =
                "whether an element is set here cannot be known: write without a condition";
            Error::new(libc::EOPNOTSUPP, reason)
        }
        (content, libc::EINVAL) => match misfit(content) {
            Some(reason) => Error::new(libc::EINVAL, reason),
            None => error.into(),
        },
        // Before Linux 7, all that is wrong with an entry is ENOMEM.
        (Content::Cpu, libc::ENOMEM) => {
            Error::new(libc::ENOMEM, format!("no memory for the queue, or {NO_CPU_PROGRAM}"))
        }
        // Passed on, it would say that the writer's own descriptor is closed.
        (Content::PerfEvent, libc::EBADF) => invalid("the descriptor is no perf event"),
        (Content::Cpu, libc::ENODEV) => Error::new(libc::ENODEV, "there is no such CPU"),
        _ => error.into(),
    })
}

const NO_CPU_PROGRAM: &str = "the program is not one for CPU maps (SEC(\"xdp/cpumap\"))";

/// What the kernel's bare EINVAL means.
fn misfit(content: Content) -> Option<&'static str> {
    Some(match content {
        Content::Map => {
            "the map differs from the outer map's template in type, key size, value size or flags \
             (or, for arrays, in max_entries), or is itself a map of maps"
        }
        Content::Prog => "the program is of another type than those that this map serves",
        Content::Device => "there is no such network interface, or it takes no redirects",
        Content::Cgroup => "this is no cgroup of the cgroup2 hierarchy",
        Content::Cpu => NO_CPU_PROGRAM,
        Content::Data
        | Content::Socket
        | Content::PerfEvent
        | Content::Xsk
        | Content::Stack
        | Content::StructOps
        | Content::None => return None,
    })
}

fn descriptor(object: &OwnedFd) -> [u8; 4] {
    object.as_raw_fd().to_ne_bytes()
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(libc::EINVAL, reason.into())
}

fn cgroup(text: &str) -> Result<OwnedFd> {
    if text.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(invalid("a cgroup's path has no . or .. in it"));
    }
    if let Ok(id) = text.parse() {
        return Ok(os::cgroup_by_id(id).map_err(|error| match error.errno {
            libc::ESTALE | libc::ENOTDIR => sys::Error { errno: libc::ENOENT, ..error },
            _ => error,
        })?);
    }
    if !text.starts_with('/') {
        return Err(invalid("a cgroup is its directory's absolute path, or its id"));
    }
    // By the mount table first: to open a path in our own mount would be to wait for ourselves.
    if mounts::holding(Path::new(text))? != "cgroup2" {
        return Err(invalid(format!("{text} is not in a cgroup2 hierarchy")));
    }
    Ok(os::open_dir_plain(Path::new(text))?)
}

fn of_process(text: &str, opener: Caller) -> Result<OwnedFd> {
    let Some((pid, fd)) = handle::pid_and_fd(text.as_bytes()) else {
        return Err(invalid(
            "the kernel takes a descriptor here: name one as PID:FD, a process's and its number",
        ));
    };
    opener.check_process(pid)?;
    handle::foreign(pid, fd).map_err(|error| match error.errno {
        libc::ESRCH => Error::new(libc::ENOENT, format!("there is no process {pid}")),
        libc::EBADF => Error::new(libc::ENOENT, format!("process {pid} has no descriptor {fd}")),
        _ => error.into(),
    })
}

/// A device's or CPU's number, and the program to run there: `None` if the text is not complete.
fn pair(element: &ElementRef, map: &Map, text: &str) -> Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let device = map.kind.content == Content::Device;
    let (first, second) = if device { ("ifindex", "name") } else { ("qsize", "") };
    let mut prog = None;
    let number = if text.starts_with('{') {
        let object = match serde_json::from_str::<serde_json::Map<String, Value>>(text) {
            Ok(object) => object,
            Err(error) if error.is_eof() => return Ok(None),
            Err(error) => return Err(invalid(error.to_string())),
        };
        let known = |name: &String| {
            name == first
                || (device && name == second)
                || (name == "prog_id" && map.value_len() == 8)
        };
        if let Some(unknown) = object.keys().find(|name| !known(name)) {
            return Err(invalid(format!("there is no member `{unknown}`")));
        }
        let mut present = Vec::new();
        if !map.lookup(&element.key, &mut present)? {
            present = vec![0; map.value_len()];
        }
        prog = match object.get("prog_id") {
            Some(Value::Null) => None,
            Some(id) => Some(program(id)?),
            None => match word(&present, 4) {
                0 => None,
                id => Some(program(&id.into())?),
            },
        };
        let number = match object.get(first) {
            Some(number) => Some(small(number, first)?),
            None => None,
        };
        match (number, object.get(second).and_then(Value::as_str)) {
            (None, None) => word(&present, 0),
            (Some(number), None) => number,
            (None, Some(name)) => interface(name)?,
            (Some(number), Some(name)) if os::interface_index(name) == Some(number) => number,
            (Some(number), Some(name)) => {
                return Err(invalid(format!("interface {number} is not {name}: leave one out")));
            }
        }
    } else if let Ok(number) = serde_json::from_str::<Value>(text) {
        small(&number, first)?
    } else if device {
        interface(text)?
    } else {
        return Err(invalid("this is no number"));
    };
    if number == 0 {
        // The kernel would delete the element.
        return Err(invalid(format!("0 is no {first}: rm deletes the element")));
    }
    let mut value = number.to_ne_bytes().to_vec();
    if map.value_len() == 8 {
        let fd = prog.as_ref().map_or(0, AsRawFd::as_raw_fd);
        value.extend_from_slice(&fd.to_ne_bytes());
    }
    Ok(Some((value, prog)))
}

/// The 4 bytes at `at`, as a number.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_ne_bytes(*word))
}

fn small(number: &Value, what: &str) -> Result<u32> {
    match (number.as_u64().map(u32::try_from), number.is_number()) {
        (Some(Ok(number)), _) => Ok(number),
        (_, true) => Err(Error::new(libc::ERANGE, format!("{number} is no {what}"))),
        _ => Err(invalid(format!("{number} is no {what}"))),
    }
}

fn interface(name: &str) -> Result<u32> {
    os::interface_index(name)
        .ok_or_else(|| invalid(format!("there is no network interface {name}")))
}

fn program(id: &Value) -> Result<OwnedFd> {
    let id = small(id, "prog_id")?;
    Ok(crate::sys::object::prog_by_id(id)?)
}

/// The reason why `touch` makes no element here.
pub fn no_zeros(map: &Map) -> Option<Error> {
    let reason = "an element here stands for something: write what";
    map.kind.is_reference().then(|| Error::new(libc::EINVAL, reason))
}

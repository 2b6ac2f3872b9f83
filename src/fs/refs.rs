//! Elements that stand for objects of the kernel: links into maps of maps, and what a write to a
//! program array, device map, socket map and the like names.

use super::caller::Caller;
use super::element::{Access, Element};
use super::error::{Error, Result};
use super::place::{self, Sought};
use super::{Fs, view};
use crate::map::{Content, Keys, Map, MapKind, NOEXIST, handle};
use crate::node::{MapRef, View};
use crate::sys::{self, mounts, os};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `BPF_F_PRESERVE_ELEMS`.
pub(super) const PRESERVE_ELEMS: u32 = 1 << 11;

/// Whether user space can set elements of this kind one by one.
pub fn is_settable(kind: &MapKind) -> bool {
    matches!(kind.keys, Keys::Bytes | Keys::Handle(_))
        && !matches!(kind.content, Content::Stack | Content::StructOps)
}

/// Whether elements are maps.
pub fn is_map(kind: &MapKind) -> bool {
    kind.content == Content::Map
}

/// Whether an element is a symlink.
pub fn is_link(map: &Map, view: &View) -> bool {
    is_map(&map.kind) && *view == View::Text
}

impl Fs {
    /// Refuses to read or write an element where its kind or the caller's rights do not allow it.
    ///
    /// # Errors
    /// EOPNOTSUPP, with the reason; EPERM for others than the mount's owner.
    pub(super) fn check_element(
        &self,
        map: &Map,
        view: &View,
        access: Access,
        caller: Caller,
    ) -> Result<()> {
        let kind = map.kind.name;
        if access.read && !map.is_readable() {
            let reason = format!("the kernel does not tell what the elements of this {kind} are");
            return Err(Error::new(libc::EOPNOTSUPP, reason));
        }
        if !access.write {
            return Ok(());
        }
        if is_link(map, view) {
            let reason = "the elements of a map of maps are symlinks: ln -s MAP KEY";
            return Err(Error::new(libc::EPERM, reason));
        }
        if *view == View::Pop {
            return Err(Error::new(libc::EACCES, ".pop/KEY can only be read"));
        }
        if !is_settable(&map.kind) {
            let kind = map.kind.with_article();
            let reason = match map.kind.keys {
                Keys::Head | Keys::Member => format!("write to .push to add to {kind}"),
                _ => format!("elements of {kind} are set by programs alone"),
            };
            return Err(Error::new(libc::EOPNOTSUPP, reason));
        }
        if map.kind.is_reference() {
            if *view != View::Text {
                let reason = "what it stands for is set in the map's own directory";
                return Err(Error::new(libc::EOPNOTSUPP, reason));
            }
            self.owner_only(caller, "setting references")?;
        }
        Ok(())
    }

    /// The target of an element's symlink, relative to its map's directory; `None` if there is none.
    pub(super) fn link_target(
        &self,
        at: &MapRef,
        map: &Map,
        key: &[u8],
    ) -> Result<Option<PathBuf>> {
        let mut value = Vec::new();
        if !map.lookup(key, &mut value)? {
            return Ok(None);
        }
        Ok(Some(self.inner_path(at, word(&value, 0))))
    }

    /// The path of the map with an id, relative to another map's directory.
    pub(super) fn inner_path(&self, at: &MapRef, id: u32) -> PathBuf {
        let up = place::of_map(&self.maps, at).components().count();
        let mut target: PathBuf = std::iter::repeat_n("..", up).collect();
        target.push(".id");
        target.push(id.to_string());
        target
    }

    /// Sets an element of a map of maps to the map that a symlink's target names.
    ///
    /// # Errors
    /// EPERM for others than the mount's owner; EEXIST; EINVAL for a map that does not fit.
    pub(super) fn link_element(
        &self,
        at: &MapRef,
        name: &OsStr,
        target: &Path,
        caller: Caller,
    ) -> Result<()> {
        let (map, _) = self.maps.open(at)?;
        if map.kind.content != Content::Map {
            return Err(Error::new(libc::EPERM, "symlinks are for maps of maps alone"));
        }
        self.owner_only(caller, "setting references")?;
        let key = self.new_key(&map, &View::Text, name);
        let inner = match target.to_str() {
            Some(text) => place::find(&self.maps, text, at, Sought::Map, caller)?,
            None => place::at_path(&self.maps, target, at, Sought::Map, caller)?,
        };
        match key {
            Err(_) if self.keep_link(at, &map, name, &inner)? => Ok(()),
            key => set_inner(&map, &key?, &inner, NOEXIST),
        }
    }
}

/// Sets an element of a map of maps.
///
/// # Errors
/// EINVAL for a map that does not fit; EEXIST and the like by the flag.
pub(super) fn set_inner(map: &Map, key: &[u8], inner: &OwnedFd, flag: u64) -> Result<()> {
    update(map, key, &descriptor(inner), flag)
}

/// Sets an element to what was written. False if that is not complete.
///
/// # Errors
/// EINVAL, ENOENT for what names nothing; the kernel's for an object that does not fit.
pub fn set(element: &Element, map: &Map, written: &[u8], flag: u64) -> Result<bool> {
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
            object = cgroup(&text)?;
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
            object = of_process(&text)?;
            let mut value = descriptor(&object).to_vec();
            value.resize(map.value_len(), 0);
            value
        }
        Content::Device | Content::Cpu => {
            let Some((value, prog)) = pair(element, map, &text)? else { return Ok(false) };
            let _until_set = prog;
            update(map, &element.key, &value, flag)?;
            return Ok(true);
        }
        _ => return Err(Error::new(libc::EOPNOTSUPP, "elements are set by programs alone")),
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
        _ => return None,
    })
}

fn descriptor(object: &OwnedFd) -> [u8; 4] {
    object.as_raw_fd().to_ne_bytes()
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(libc::EINVAL, reason.into())
}

fn cgroup(text: &str) -> Result<OwnedFd> {
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
    if mounts::holding(Path::new(text)).is_none_or(|kind| kind != "cgroup2") {
        return Err(invalid(format!("{text} is not in a cgroup2 hierarchy")));
    }
    Ok(os::open_dir(Path::new(text))?)
}

fn of_process(text: &str) -> Result<OwnedFd> {
    let Some((pid, fd)) = handle::pid_and_fd(text.as_bytes()) else {
        return Err(invalid(
            "the kernel takes a descriptor here: name one as PID:FD, a process's and its number",
        ));
    };
    handle::foreign(pid, fd).map_err(|error| match error.errno {
        libc::ESRCH => Error::new(libc::ENOENT, format!("there is no process {pid}")),
        libc::EBADF => Error::new(libc::ENOENT, format!("process {pid} has no descriptor {fd}")),
        _ => error.into(),
    })
}

/// A device's or CPU's number, and the program to run there: `None` if the text is not complete.
fn pair(element: &Element, map: &Map, text: &str) -> Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
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

fn word(bytes: &[u8], at: usize) -> u32 {
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

/// Whether a name is an element of a map whose elements cannot be looked up: any index may be one.
pub fn may_exist(map: &Map, key: &[u8]) -> Result<bool> {
    if map.kind.is_indexed() { Ok(word(key, 0) < map.info.max_entries) } else { Ok(map.has(key)?) }
}

/// The reason why `touch` makes no element here.
pub fn no_zeros(map: &Map) -> Option<Error> {
    let reason = "an element here stands for something: write what";
    map.kind.is_reference().then(|| Error::new(libc::EINVAL, reason))
}

/// The bits of an element's mode that its kind leaves.
pub fn mode_mask(map: &Map, view: &View) -> u32 {
    let settable = is_settable(&map.kind) && *view != View::Pop;
    let reference = map.kind.is_reference() && !view::is_own(view);
    if settable && !reference { 0o666 } else { 0o444 }
}

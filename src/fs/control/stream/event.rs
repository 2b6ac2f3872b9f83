//! One event as text and back: in hex, or by a type that the map's or a program's BTF has.

use crate::btf::{Btf, Kind};
use crate::codec::{Codec, Shape, push_json_hex};
use crate::fs::base::error::{Error, Result};
use crate::kernel;
use crate::map::{self, Map, load_btf, room};
use crate::sys::programs::Programs;
use crate::sys::{info, object};
use std::collections::{BTreeSet, HashSet};
use std::os::fd::AsFd;

/// How events read as text.
#[derive(Debug)]
pub struct EventCodec {
    /// The type and its size in bytes; without one, events are bytes.
    typed: Option<(Codec, usize)>,
}

impl EventCodec {
    /// Events as bytes in hex.
    pub fn bytes() -> Self {
        Self { typed: None }
    }

    /// Events of the type that somebody gave, else bytes.
    pub fn given(map: &Map) -> Self {
        let types = map.typed.types.as_deref();
        let typed = types.and_then(|types| {
            let size = types.event_size? as usize;
            Self::of_type(&types.btf, types.event, size)
        });
        typed.unwrap_or_else(Self::bytes)
    }

    /// Events of the type `name`, of the map's BTF or of a program's that uses the map: others know
    /// nothing of it.
    ///
    /// # Errors
    /// ENOENT if none has a type of that name.
    pub fn named(map: &Map, name: &str) -> Result<Self> {
        if let Some(found) = Self::btf_ids(map)?.into_iter().find_map(|id| Self::of_btf(id, name)) {
            return Ok(found);
        }
        let reason =
            format!("neither the map's BTF nor that of a program which uses it has a type {name}");
        Err(Error::missing(reason))
    }

    /// The names of the types that events could have: structs of the map's own BTF and of the programs
    /// that use the map, but for those that the kernel has, too.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN.
    pub fn names(map: &Map) -> Result<BTreeSet<String>> {
        let kernel = kernel::btf();
        let kernels: HashSet<&str> = kernel.iter().flat_map(struct_names).collect();
        let mut names = BTreeSet::new();
        for id in Self::btf_ids(map)? {
            let Ok(btf) = load_btf(id) else { continue };
            let own = struct_names(&btf).filter(|name| !kernels.contains(name));
            names.extend(own.map(str::to_owned));
        }
        Ok(names)
    }

    /// The BTF of the map, then of the programs that use it.
    fn btf_ids(map: &Map) -> Result<Vec<u32>> {
        let mut ids = vec![map.info.btf_id];
        for program in Programs::all()?.of_map(map.info.id) {
            // Gone meanwhile, if it cannot be had.
            let Ok(fd) = object::prog_by_id(program.id) else { continue };
            ids.extend(info::prog_info(fd.as_fd()).map(|info| info.btf_id));
        }
        ids.retain(|id| *id != 0);
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(*id));
        Ok(ids)
    }

    fn of_btf(id: u32, name: &str) -> Option<Self> {
        let btf = load_btf(id).ok()?;
        let (id, size) = find(&btf, name)?;
        Self::of_type(&btf, id, size)
    }

    fn of_type(btf: &Btf, id: u32, size: usize) -> Option<Self> {
        let shape = Shape {
            key_size: 0,
            value_size: size,
            cpus: None,
            key_type_id: 0,
            value_type_id: id,
            lpm: false,
        };
        let codec = map::with_symbols(&shape, btf);
        // A type that cannot be shown is as good as none.
        codec.fallback().is_none().then_some(Self { typed: Some((codec, size)) })
    }

    /// Appends an event's text; `padded` says that up to 7 bytes may follow it, as in perf records.
    pub fn print(&self, event: &[u8], padded: bool, text: &mut Vec<u8>) {
        match &self.typed {
            Some((codec, _)) => codec.print_event(event, if padded { 7 } else { 0 }, text),
            None => push_json_hex(event, text),
        }
    }

    /// The bytes of an event's line.
    ///
    /// # Errors
    /// EINVAL, ERANGE if it is no event.
    pub fn parse(&self, line: &[u8]) -> Result<Vec<u8>> {
        match &self.typed {
            Some((codec, size)) => {
                let mut event = Vec::new();
                room::zeros(&mut event, *size)?;
                codec.parse_value(line, &mut event)?;
                Ok(event)
            }
            None => {
                let reason = "an event is bytes in hex, 0x0a0b or 0a 0b; .events/TYPE takes JSON";
                parse_hex(line).ok_or_else(|| Error::new(libc::EINVAL, reason))
            }
        }
    }
}

/// The names of the structs that a BTF has.
fn struct_names(btf: &Btf) -> impl Iterator<Item = &str> {
    (1..btf.end_id()).filter_map(|id| {
        let found = btf.get(id)?;
        let is_struct = matches!(found.kind, Kind::Struct { .. });
        (is_struct && found.name_at != 0).then(|| btf.name(found.name_at))
    })
}

/// The struct, union or typedef of that name, and its size in bytes.
fn find(btf: &Btf, name: &str) -> Option<(u32, usize)> {
    // The others have no bytes of their own, or are not events.
    #[expect(clippy::wildcard_enum_match_arm)]
    let size_of = |id| match btf.resolve(id)?.1.kind {
        Kind::Struct { size, .. } | Kind::Union { size, .. } | Kind::Enum { size, .. } => {
            Some(size as usize)
        }
        Kind::Int(int) => Some(int.size as usize),
        _ => None,
    };
    if let Some((id, _)) = btf.find_struct(name) {
        return Some((id, size_of(id)?));
    }
    (1..btf.end_id()).find_map(|id| {
        let found = btf.get(id)?;
        let named = matches!(found.kind, Kind::Typedef { .. } | Kind::Enum { .. } | Kind::Int(_));
        (named && btf.name(found.name_at) == name).then_some(())?;
        Some((id, size_of(id)?))
    })
}

/// `0x0a0b`, `"0x0a0b"` or `0a 0b`.
fn parse_hex(line: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(line).ok()?.trim().trim_matches('"');
    let digits = match text.strip_prefix("0x") {
        Some(digits) => digits.to_owned(),
        None if text.split_ascii_whitespace().all(|word| word.len() == 2) => {
            text.split_ascii_whitespace().collect()
        }
        None => return None,
    };
    if !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2)
        })
        .collect()
}

/// Appends the line that tells of events which found no room.
pub fn print_lost(count: u64, text: &mut Vec<u8>) {
    text.extend_from_slice(format!("{{\"lost\":{count}}}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_lines() {
        assert_eq!(parse_hex(b"\"0x0a0b\"\n").as_deref(), Some(&[10, 11][..]));
        assert_eq!(parse_hex(b"0a 0b\n").as_deref(), Some(&[10, 11][..]));
        assert_eq!(parse_hex(b"0x0a0\n"), None);
        assert_eq!(parse_hex(b"0x+a\n"), None);
        assert_eq!(parse_hex(b"hello\n"), None);
    }

    #[test]
    fn bytes_in_hex() {
        let mut text = Vec::new();
        EventCodec::bytes().print(&[1, 0xff], false, &mut text);
        assert_eq!(text, b"\"0x01ff\"");
    }
}

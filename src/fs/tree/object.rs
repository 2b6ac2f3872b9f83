//! Pinned programs and links as read-only files: one JSON object, or an iterator's own output.

use crate::bpffs::{Bpffs, Pin};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::{self, Held};
use crate::fs::base::open_file::{OpenFile, TextFile, UNKNOWN, WHOLE, part};
use crate::fs::base::quota::{self, Permit};
use crate::sys::info::{Detail, LinkInfo, ProgInfo, link_info, prog_info};
use crate::sys::object::ObjectKind;
use crate::sys::{iter, os};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Opens a program's or link's file.
///
/// # Errors
/// The kernel's, for an object that it does not open; EOPNOTSUPP for one of another kind.
pub fn open(
    bpffs: &Bpffs,
    pin: &Pin,
    kind: ObjectKind,
    caller: Caller,
) -> Result<Arc<dyn OpenFile>> {
    let fd = bpffs.open(pin)?;
    let object = match kind {
        ObjectKind::Prog => prog(&prog_info(fd.as_fd())?, caller.is_owner),
        ObjectKind::Link => {
            let info = link_info(fd.as_fd())?;
            if info.type_name == "iter" {
                // It runs as long as it likes.
                caller.long_work()?;
                return IterFile::open(&fd, caller);
            }
            link(info)
        }
        ObjectKind::Map | ObjectKind::Other => {
            return Err(Error::new(
                libc::EOPNOTSUPP,
                "the kernel opens it, but it is unknown here",
            ));
        }
    };
    Ok(Arc::new(TextFile::new(format!("{object}\n").into_bytes())))
}

/// A program's JSON object, and a newline.
pub fn program_text(info: &ProgInfo) -> Vec<u8> {
    format!("{}\n", prog(info, true)).into_bytes()
}

fn prog(info: &ProgInfo, is_owner: bool) -> Value {
    // What the kernel shows to nobody without CAP_BPF.
    let shown = |bytes: u32| if is_owner { bytes } else { 0 };
    let tag: String = info.tag.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut object = json!({
        "id": info.id,
        "type": info.type_name,
        "name": info.name,
        "tag": tag,
        "map_ids": info.map_ids,
        "loaded_at": loaded_at(info.load_time),
        "uid": info.uid,
        "gpl_compatible": info.gpl_compatible,
        "run_time_ns": info.run_time_ns,
        "run_cnt": info.run_cnt,
        "recursion_misses": info.recursion_misses,
        "verified_insns": info.verified_insns,
        "bytes_xlated": shown(info.bytes_xlated),
        "bytes_jited": shown(info.bytes_jited),
        "btf_id": info.btf_id,
    });
    if let (Some(object), true) = (object.as_object_mut(), info.ifindex != 0) {
        object.insert("ifindex".to_owned(), info.ifindex.into());
    }
    object
}

/// Seconds since 1970 of a time given in nanoseconds since boot, as bpftool has it; `None`
/// without /proc/stat.
fn loaded_at(since_boot: u64) -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<u64>().ok()? + since_boot / 1_000_000_000)
}

fn link(info: LinkInfo) -> Value {
    let mut object = Map::new();
    object.insert("id".to_owned(), info.id.into());
    object.insert("type".to_owned(), info.type_name.into());
    object.insert("prog_id".to_owned(), info.prog_id.into());
    for (name, detail) in info.details {
        if let ("ifindex", Detail::Number(index)) = (name, &detail)
            && let Some(ifname) = u32::try_from(*index).ok().and_then(os::interface_name)
        {
            object.insert("ifname".to_owned(), ifname.into());
        }
        let value = match detail {
            Detail::Number(number) => number.into(),
            Detail::Text(text) => text.into(),
        };
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

/// An iterator's output, as it comes; the last part is kept for a reader that asks again.
#[derive(Debug)]
struct IterFile {
    /// All of it, if it was not long.
    whole: Option<Held>,
    state: Mutex<IterState>,
}

#[derive(Debug)]
struct IterState {
    file: File,
    part: Held,
    start: u64,
    _permit: Permit,
}

impl IterFile {
    /// Opens it, and reads all of its output if that is not long, so that its size can be told.
    fn open(link: &OwnedFd, caller: Caller) -> Result<Arc<dyn OpenFile>> {
        let permit = quota::DESCRIPTORS.take(1)?;
        let mut file = File::from(iter::create(link.as_fd())?);
        let mut text = Vec::new();
        if held::check(WHOLE).is_ok() {
            let mut page = [0; 4096];
            while text.len() < WHOLE {
                caller.go_on()?;
                match file.read(&mut page)? {
                    0 => {
                        let whole = Some(Held::new(text));
                        let state =
                            IterState { file, part: Held::default(), start: 0, _permit: permit };
                        return Ok(Arc::new(Self { whole, state: Mutex::new(state) }));
                    }
                    n => text.extend_from_slice(&page[..n]),
                }
            }
        }
        let state = IterState { file, part: Held::new(text), start: 0, _permit: permit };
        Ok(Arc::new(Self { whole: None, state: Mutex::new(state) }))
    }
}

impl OpenFile for IterFile {
    fn whole(&self) -> Option<&[u8]> {
        self.whole.as_deref()
    }

    fn size(&self) -> Option<u64> {
        Some(self.whole().map_or(UNKNOWN, |text| text.len() as u64))
    }

    fn is_long(&self) -> bool {
        true
    }

    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        if let Some(text) = self.whole() {
            reply(part(text, offset, size));
            return Ok(());
        }
        let mut state = self.state.lock();
        let end = state.start + state.part.len() as u64;
        if offset == end {
            state.part.check(size)?;
            let mut next = vec![0; size];
            let mut filled = 0;
            // The kernel gives a page at a time; a short reply would end a direct read.
            while filled < size {
                match state.file.read(&mut next[filled..])? {
                    0 => break,
                    n => filled += n,
                }
            }
            next.truncate(filled);
            next.shrink_to_fit();
            state.start = end;
            state.part.replace(next);
        } else if offset < state.start || offset > end {
            return Err(Error::new(libc::ESPIPE, "an iterator is read from the start on"));
        }
        reply(part(&state.part, offset - state.start, size));
        Ok(())
    }
}

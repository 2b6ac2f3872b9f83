//! Pinned programs and links as read-only files: JSON, or an iterator's output.

use super::error::{Error, Result};
use super::file::{OpenFile, Snapshot};
use crate::bpffs::{Bpffs, Pin};
use crate::sys::info::{self, LinkInfo, ProgInfo, Target};
use crate::sys::object::{ObjectKind, object_kind};
use crate::sys::os;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Opens a program's or link's file.
///
/// # Errors
/// The kernel's, for an object that it does not open.
pub fn open(bpffs: &Bpffs, pin: &Pin, _kind: ObjectKind) -> Result<Arc<dyn OpenFile>> {
    let object = bpffs.open(pin)?;
    let json = match object_kind(object.as_fd()) {
        ObjectKind::Prog => program(&info::prog_info(object.as_fd())?),
        ObjectKind::Link => {
            let link = info::link_info(object.as_fd())?;
            if let Target::Iter(_) = link.target {
                let output = File::from(info::iter_create(object.as_fd())?);
                let state = Mutex::new(Output { output, offset: 0, last: Vec::new() });
                return Ok(Arc::new(Iter(state)));
            }
            self::link(&link)
        }
        _ => return Err(Error::new(libc::EOPNOTSUPP, "neither a map nor a program nor a link")),
    };
    Ok(Arc::new(Snapshot(format!("{json}\n").into_bytes())))
}

fn program(prog: &ProgInfo) -> Value {
    let tag: String = prog.tag.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "id": prog.id,
        "type": prog.prog_type,
        "name": prog.name,
        "tag": tag,
        "gpl_compatible": prog.gpl_compatible,
        "loaded_at": os::boot_time().map(|boot| boot + prog.load_time_ns / 1_000_000_000),
        "uid": prog.uid,
        "map_ids": prog.map_ids,
        "btf_id": prog.btf_id,
        "bytes_xlated": prog.xlated_bytes,
        "bytes_jited": prog.jited_bytes,
        "verified_insns": prog.verified_insns,
        "run_time_ns": prog.run_time_ns,
        "run_cnt": prog.run_cnt,
        "recursion_misses": prog.recursion_misses,
        "ifindex": prog.ifindex,
    })
}

fn link(link: &LinkInfo) -> Value {
    let mut object = json!({ "id": link.id, "type": link.link_type, "prog_id": link.prog_id });
    let more = match &link.target {
        Target::Tracepoint(name) => json!({ "tp_name": name }),
        Target::Function { attach_type, object_id, btf_id } => json!({
            "attach_type": attach_type, "target_obj_id": object_id, "target_btf_id": btf_id,
        }),
        Target::Cgroup { id, attach_type } => {
            json!({ "cgroup_id": id, "attach_type": attach_type })
        }
        Target::Iter(name) => json!({ "target_name": name }),
        Target::Netns { inode, attach_type } => {
            json!({ "netns_ino": inode, "attach_type": attach_type })
        }
        Target::Device { ifindex, attach_type } => json!({
            "ifindex": ifindex, "name": os::interface_name(*ifindex), "attach_type": attach_type,
        }),
        Target::StructOps(map_id) => json!({ "map_id": map_id }),
        Target::Sockmap { map_id, attach_type } => {
            json!({ "map_id": map_id, "attach_type": attach_type })
        }
        Target::Netfilter { family, hook, priority } => {
            json!({ "pf": family, "hooknum": hook, "priority": priority })
        }
        Target::Other => json!({}),
    };
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

/// An iterator's output, made as it is read: it may be long.
#[derive(Debug)]
struct Iter(Mutex<Output>);

#[derive(Debug)]
struct Output {
    output: File,
    /// Where `last` begins.
    offset: u64,
    /// What the last read gave, for one that asks for it again.
    last: Vec<u8>,
}

impl OpenFile for Iter {
    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        // Nothing under this lock panics.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if offset < state.offset {
            return Err(Error::new(libc::ESPIPE, "an iterator's output is read once, in order"));
        }
        // Forward, up to the place asked for.
        while offset > state.offset + state.last.len() as u64 {
            if !state.more(size)? {
                reply(&[]);
                return Ok(());
            }
        }
        if offset == state.offset + state.last.len() as u64 {
            state.more(size)?;
        }
        let skip = usize::try_from(offset - state.offset).unwrap_or(usize::MAX);
        let text = state.last.get(skip..).unwrap_or_default();
        reply(&text[..text.len().min(size)]);
        Ok(())
    }
}

impl Output {
    /// Replaces what was read by what follows it. False at the end.
    fn more(&mut self, size: usize) -> Result<bool> {
        let mut buffer = vec![0; size.max(1)];
        let mut len = 0;
        // The kernel gives a page at most; a short read would look like the end to some.
        while len < buffer.len() {
            match self.output.read(&mut buffer[len..])? {
                0 => break,
                n => len += n,
            }
        }
        buffer.truncate(len);
        self.offset += self.last.len() as u64;
        self.last = buffer;
        Ok(len > 0)
    }
}

//! Values that are no plain data: what an element's bytes say as JSON.

use super::Content;
use super::{Map, symbols};
use crate::sys::os;
use serde_json::{Value, json};

/// `BPF_F_STACK_BUILD_ID`: frames are build ids and offsets.
const BUILD_ID: u32 = 1 << 5;

impl Map {
    /// Whether values print by their kind rather than by their type.
    pub fn is_special(&self) -> bool {
        self.kind.is_reference() || self.kind.content == Content::Stack
    }

    /// Bytes of the text of an element's file at most, in whatever view of text.
    pub fn longest_text(&self) -> u64 {
        if self.is_special() {
            // A name of the kernel's, a build id, an interface: for each eight bytes at most one.
            return 1024 + 128 * self.value_len() as u64;
        }
        // Sums have more digits than what they are made of, and the newline.
        let value = self.codec.longest_value().saturating_mul(2).saturating_add(1);
        value.saturating_mul(self.codec.cpus().unwrap_or(1)) as u64
    }

    /// Bytes of a line with an element's key and value at most.
    pub fn longest_line(&self) -> u64 {
        let names = 64 + self.codec.longest_key() as u64;
        self.longest_text().saturating_add(names)
    }

    /// Bytes of a line with an element's key and value at least.
    pub fn shortest_line(&self) -> u64 {
        let value = if self.is_special() { 1 } else { self.codec.shortest_value() };
        let values = value.saturating_mul(self.codec.cpus().unwrap_or(1));
        values.saturating_add("{\"key\":0,\"value\":}\n".len()) as u64
    }

    /// Appends the text of an element's file for a look-up's bytes: one JSON document and a
    /// newline, or for per-CPU kinds a line for each CPU.
    pub fn print_file(&self, value: &[u8], out: &mut Vec<u8>) {
        if self.is_special() {
            self.print_value(value, out);
            out.push(b'\n');
        } else {
            self.codec.print_file(value, out);
        }
    }

    /// Appends one value as a JSON document, without a newline.
    pub fn print_value(&self, value: &[u8], out: &mut Vec<u8>) {
        match self.kind.content {
            Content::Stack => out.extend_from_slice(self.stack(value).to_string().as_bytes()),
            _ if self.kind.is_reference() => {
                out.extend_from_slice(self.reference(value).to_string().as_bytes());
            }
            _ => self.codec.print_value(value, out),
        }
    }

    /// What stands for an object of the kernel. Numbers and names have the order of the kernel's structs
    /// (serde_json's `preserve_order`).
    fn reference(&self, value: &[u8]) -> Value {
        let first = u32_at(value, 0);
        let mut object = match self.kind.content {
            Content::Device => json!({ "ifindex": first, "name": os::interface_name(first) }),
            Content::Cpu if value.len() == 8 => json!({ "qsize": first }),
            Content::Socket => {
                return value
                    .first_chunk()
                    .map_or(Value::Null, |cookie| u64::from_ne_bytes(*cookie).into());
            }
            _ => return first.into(),
        };
        if value.len() == 8 {
            // No program has the id 0.
            object["prog_id"] = Some(u32_at(value, 4)).filter(|id| *id != 0).into();
        }
        object
    }

    fn stack(&self, value: &[u8]) -> Value {
        if self.info.flags & BUILD_ID != 0 {
            return value.chunks_exact(32).map_while(build_id_frame).collect();
        }
        let symbols = symbols::current();
        let addresses = value.chunks_exact(8).map(|frame| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(frame);
            u64::from_ne_bytes(bytes)
        });
        addresses.take_while(|&address| address != 0).map(|at| symbols.describe(at)).collect()
    }
}

/// One `struct bpf_stack_build_id`; `None` behind the last frame.
fn build_id_frame(frame: &[u8]) -> Option<Value> {
    let (status, rest) = frame.split_first_chunk::<4>()?;
    let (id, offset) = rest.split_at_checked(20)?;
    let offset = u64::from_ne_bytes(*offset.first_chunk()?);
    match i32::from_ne_bytes(*status) {
        1 => {
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(json!({ "build_id": id, "offset": offset }))
        }
        2 => Some(format!("{offset:#x}").into()),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_ne_bytes(*word))
}

//! Bytes to text.

use super::digits::{push_fmt, push_hex, push_int};
use super::plan::{CodecPlan, NodeId, Num, PlanField, PlanNode, Sort};

/// Appends a JSON string.
pub(super) fn push_json_str(text: &str, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, text);
}

/// Appends bytes as the JSON string `"0x…"`, in memory order.
pub(crate) fn push_json_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"0x");
    push_hex(bytes, out);
    out.push(b'"');
}

/// The string in a `char` array, up to the last byte that is no NUL, if all of it is UTF-8.
pub(super) fn text_of(bytes: &[u8]) -> Option<&str> {
    let len = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    std::str::from_utf8(&bytes[..len]).ok()
}

/// Appends an object: of each member its label, and what `each` appends for it.
pub(super) fn push_members<'p>(
    fields: impl Iterator<Item = &'p PlanField>,
    out: &mut Vec<u8>,
    mut each: impl FnMut(&PlanField, &mut Vec<u8>),
) {
    let mut open = b'{';
    for field in fields {
        out.push(open);
        open = b',';
        out.extend_from_slice(&field.label);
        each(field, out);
    }
    if open == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

impl CodecPlan {
    /// Appends one JSON document of the node whose bytes these are.
    pub(super) fn print(&self, id: NodeId, bytes: &[u8], out: &mut Vec<u8>) {
        match self.node(id) {
            PlanNode::Num(num) => self.print_num(&num, bytes, true, out),
            PlanNode::Float { size } => print_float(&bytes[..size as usize], out),
            PlanNode::Text { len, elem } => match text_of(&bytes[..len as usize]) {
                Some(text) => push_json_str(text, out),
                None => self.print_array(len, 1, elem, bytes, out),
            },
            PlanNode::Bytes { len } => push_json_hex(&bytes[..len as usize], out),
            PlanNode::Known { known, plain, .. } => {
                known.push_json(&bytes[..self.size_of(plain)], self.describe, out);
            }
            PlanNode::Array { len, stride, elem } => {
                self.print_array(len, stride, elem, bytes, out)
            }
            PlanNode::Record { first, end, unions, size, .. } => {
                match self.shown(first..end, unions, || bytes.into()) {
                    Some(fields) => self.print_members(fields, bytes, out),
                    None => push_json_hex(&bytes[..size as usize], out),
                }
            }
        }
    }

    /// Appends an object of some members of the record whose bytes these are.
    pub(super) fn print_members<'p>(
        &self,
        fields: impl Iterator<Item = &'p PlanField>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) {
        push_members(fields, out, |field, out| {
            self.print(field.node, &bytes[field.offset as usize..], out);
        });
    }

    fn print_array(&self, len: u32, stride: u32, elem: NodeId, bytes: &[u8], out: &mut Vec<u8>) {
        out.push(b'[');
        for at in 0..len as usize {
            if at > 0 {
                out.push(b',');
            }
            self.print(elem, &bytes[at * stride as usize..], out);
        }
        out.push(b']');
    }

    /// Appends a number; `quoted`: as JSON, where names and numbers beyond 64 bits are strings.
    pub(super) fn print_num(&self, num: &Num, bytes: &[u8], quoted: bool, out: &mut Vec<u8>) {
        let bits = num.read(bytes);
        let quote = |out: &mut Vec<u8>| {
            if quoted {
                out.push(b'"');
            }
        };
        match num.sort {
            Sort::Bool if bits < 2 => {
                out.extend_from_slice(if bits == 1 { b"true" } else { b"false" });
                return;
            }
            Sort::Enum(table) => {
                let value = num.extend(bits) as u64;
                if let Some(name) = self.enums[table as usize].name_of(value) {
                    quote(out);
                    out.extend_from_slice(name.as_bytes());
                    quote(out);
                    return;
                }
            }
            _ => {}
        }
        if num.width > 64 || matches!(num.sort, Sort::Pointer | Sort::Kptr) {
            quote(out);
            push_fmt(format_args!("{bits:#x}"), out);
            quote(out);
        } else if num.signed {
            push_int(num.extend(bits) as i64, out);
        } else {
            push_int(bits as u64, out);
        }
    }
}

/// Appends a float: the shortest decimal that gives the same bits. JSON has no NaN and no
/// infinities: `"nan"`, `"inf"`, `"-inf"`, and other NaNs as their bytes in hex.
fn print_float(bytes: &[u8], out: &mut Vec<u8>) {
    let (value, quiet) = match *bytes {
        [a, b, c, d] => {
            let value = f32::from_ne_bytes([a, b, c, d]);
            if value.is_finite() {
                let _ = serde_json::to_writer(out, &value);
                return;
            }
            (f64::from(value), value.to_bits() == f32::NAN.to_bits())
        }
        [a, b, c, d, e, f, g, h] => {
            let value = f64::from_ne_bytes([a, b, c, d, e, f, g, h]);
            if value.is_finite() {
                let _ = serde_json::to_writer(out, &value);
                return;
            }
            (value, value.to_bits() == f64::NAN.to_bits())
        }
        _ => (f64::NAN, false),
    };
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"inf\"" } else { b"\"-inf\"" });
    } else if quiet {
        out.extend_from_slice(b"\"nan\"");
    } else {
        push_json_hex(bytes, out);
    }
}

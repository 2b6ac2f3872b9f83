//! Key names: a key's bytes as a file name, and back.
//!
//! Whatever the bytes, the name printed is not empty, holds no `/` and no NUL, does not begin with
//! a dot, and parses back to the same bytes (in an LPM trie: to the same prefix, host bits
//! cleared). A key that its readable form would not give back whole is named by its bytes in hex:
//!
//! - a `char[N]` that is empty, or has bytes after its first NUL. The hex form has `2 N` digits,
//!   more than any string of `N` characters, so the two cannot be taken for each other;
//! - a struct whose padding is not zero, or a union of which no member shows all;
//! - a struct with floats, or with more than [`LEAVES`] numbers, addresses and strings in it;
//! - a prefix longer than its address.
//!
//! A struct with one member is named by it alone, if that is a number, an address, a string or bytes.

use super::digits::{push_int, push_ipv4, push_ipv6};
use super::fault::{Fault, excerpt};
use super::known::Known;
use super::members::{LONGEST, Members};
use super::plan::{CodecPlan, NodeId, Num, PlanNode, Sort};
use super::word;

/// How a parsed name chooses its element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameMatch {
    /// The key with exactly these bytes.
    Exact,
    /// In an LPM trie, an address without `_LEN`: the longest prefix that holds it.
    Longest,
}

/// How a map's keys are named.
#[derive(Debug)]
pub(super) enum Form {
    Num(Num),
    Known(Known),
    Text,
    /// A prefix length and an address of 4 or 16 bytes.
    Prefix,
    Members,
    Hex,
}

/// The naming of one key type.
#[derive(Debug)]
pub(super) struct Naming {
    form: Form,
    /// What the name is of: the key's type, or the only member in it.
    alone: NodeId,
    /// The members of a struct.
    members: Option<Members>,
}

impl Naming {
    /// Chooses the names for keys of type `plan`; `typed` if BTF says so.
    pub(super) fn new(plan: &CodecPlan, lpm: bool, typed: bool) -> Self {
        if lpm && matches!(plan.size, 8 | 20) && (!typed || is_prefix(plan)) {
            return Self { form: Form::Prefix, alone: plan.root, members: None };
        }
        let alone = only_member(plan, plan.root);
        let members = match plan.node(plan.root) {
            PlanNode::Record { .. } => match Members::new(plan) {
                Some(members) => Some(members),
                None => return Self { form: Form::Hex, alone: plan.root, members: None },
            },
            _ => None,
        };
        let form = match plan.node(alone) {
            PlanNode::Num(num) if !matches!(num.sort, Sort::Pointer | Sort::Kptr) => Form::Num(num),
            PlanNode::Known { known, .. } => Form::Known(known),
            PlanNode::Text { len: 1.., .. } => Form::Text,
            PlanNode::Array { elem, .. } if is_byte(plan, elem) => Form::Hex,
            PlanNode::Bytes { .. } => Form::Hex,
            _ if members.is_some() => Form::Members,
            _ => Form::Hex,
        };
        Self { form, alone, members }
    }

    /// Appends the name of `key`, which has the plan's size.
    pub(super) fn print(&self, plan: &CodecPlan, key: &[u8], name: &mut Vec<u8>) {
        let start = name.len();
        if !self.print_readable(plan, key, name) || name.len() - start > LONGEST {
            name.truncate(start);
            word::push_hex(key, name);
        }
    }

    /// Whether a key has no bit set that none of its type's members shows; `None` if only trying
    /// tells.
    pub(super) fn shows_all(&self, plan: &CodecPlan, key: &[u8]) -> Option<bool> {
        match (&self.members, &self.form) {
            (Some(members), _) => Some(!members.has_stray_bits(key)),
            // Without a readable name, nobody has looked for the bits between the members.
            (None, Form::Hex) if !plan.whole(plan.root) => None,
            (None, _) => Some(true),
        }
    }

    /// Appends the readable form. False if that would not give back the same bytes.
    fn print_readable(&self, plan: &CodecPlan, key: &[u8], name: &mut Vec<u8>) -> bool {
        match (&self.form, &self.members) {
            (Form::Num(num), _) => plan.print_num(num, key, false, name),
            (Form::Known(known), _) => known.push_name(key, plan.describe, name),
            (Form::Text, _) => return push_text(key, name) && key.first() != Some(&0),
            (Form::Prefix, _) => return push_prefix(key, name),
            (Form::Members, Some(members)) => return members.print(plan, key, name),
            (Form::Members, None) | (Form::Hex, _) => return false,
        }
        true
    }

    /// Parses a name into `key`, which is all zero and has the plan's size.
    pub(super) fn parse(
        &self,
        plan: &CodecPlan,
        name: &[u8],
        key: &mut [u8],
    ) -> Result<NameMatch, Fault> {
        if name.is_empty() || name[0] == b'.' || name.contains(&0) || name.contains(&b'/') {
            return Err(Fault::invalid(format!("`{}` is no key's name", excerpt(name))));
        }
        // No readable name of the other forms is as long and has hex digits only.
        if !self.is_number(plan) && word::packed_hex(name, key) {
            if matches!(self.form, Form::Prefix) {
                clear_host_bits(key);
            }
            return Ok(NameMatch::Exact);
        }
        let text = || {
            std::str::from_utf8(name)
                .map_err(|_| Fault::invalid(format!("`{}` is not UTF-8", excerpt(name))))
        };
        if let Some(members) = self.members.as_ref().filter(|_| name.contains(&b'=')) {
            match text().and_then(|name| members.parse(plan, name, key)) {
                // It may be a string with such a character in it.
                Err(_) if matches!(self.form, Form::Text) => key.fill(0),
                outcome => return outcome.map(|()| NameMatch::Exact),
            }
        }
        match (&self.form, &self.members) {
            (Form::Text, _) => unescape(name, key)?,
            (Form::Prefix, _) => return parse_prefix(text()?, key),
            (Form::Members, Some(members)) => {
                return Err(Fault::invalid(format!(
                    "`{}` is no key's name: {} or {} hex digits",
                    excerpt(name),
                    members.example(),
                    key.len() * 2
                )));
            }
            (form, members) => {
                let outcome = plan.parse_word(self.alone, text()?, key, false);
                // Of an address, or the only member of a struct, hex digits that are no number are its
                // bytes.
                let may_be_hex = members.is_some() || matches!(form, Form::Known(_));
                if !(outcome.is_err() && may_be_hex && word::packed_hex(name, key)) {
                    outcome?;
                }
            }
        }
        Ok(NameMatch::Exact)
    }

    /// Whether digits are a number before they are bytes in hex.
    fn is_number(&self, plan: &CodecPlan) -> bool {
        match plan.node(self.alone) {
            PlanNode::Num(_) => matches!(self.form, Form::Num(_)),
            PlanNode::Known { plain, is_struct: false, .. } => {
                matches!(plan.node(plain), PlanNode::Num(_))
            }
            _ => false,
        }
    }

    /// What the name is of: the key's type, or the only member in it.
    pub(super) fn alone(&self) -> NodeId {
        self.alone
    }

    /// Whether keys are a prefix length and an address.
    pub(super) fn is_prefix(&self) -> bool {
        matches!(self.form, Form::Prefix)
    }
}

/// The type itself; of a struct that has one member and nothing else, the member's type.
fn only_member(plan: &CodecPlan, id: NodeId) -> NodeId {
    match plan.node(id) {
        PlanNode::Record { first, end, .. } => match plan.fields(first, end) {
            [only] if plan.size_of(only.node) == plan.size => {
                let inner = only_member(plan, only.node);
                match plan.node(inner) {
                    // A part of its bytes does not show all of them.
                    PlanNode::Num(num) if !num.whole() => id,
                    _ => inner,
                }
            }
            _ => id,
        },
        _ => id,
    }
}

/// Whether an array's elements are bytes that are shown whole.
pub(super) fn is_byte(plan: &CodecPlan, elem: NodeId) -> bool {
    plan.size_of(elem) == 1 && plan.whole(elem)
}

fn push_address(bytes: &[u8], name: &mut Vec<u8>) {
    if bytes.len() == 4 {
        push_ipv4(bytes, name);
    } else {
        push_ipv6(bytes, name);
    }
}

/// Appends a string with all but `[A-Za-z0-9_.:@+-]`, and a leading dot, as `%XX`.
/// False if it has bytes after its first NUL.
pub(super) fn push_text(bytes: &[u8], name: &mut Vec<u8>) -> bool {
    let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    if bytes[len..].iter().any(|&byte| byte != 0) {
        return false;
    }
    for (at, &byte) in bytes[..len].iter().enumerate() {
        match byte {
            b'.' if at == 0 => name.extend_from_slice(b"%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => name.push(byte),
            b'_' | b'.' | b':' | b'@' | b'+' | b'-' => name.push(byte),
            _ => {
                name.push(b'%');
                name.extend(format!("{byte:02X}").into_bytes());
            }
        }
    }
    true
}

/// The inverse: any bytes, with `%XX` for those that a name cannot hold; never a NUL.
pub(super) fn unescape(name: &[u8], bytes: &mut [u8]) -> Result<(), Fault> {
    let mut rest = name;
    let mut len = 0;
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (word::hex_byte(&[*high, *low]), after),
            (b'%', _) => (None, after),
            (byte, after) => (Some(*byte), after),
        };
        let Some(byte) = byte.filter(|&byte| byte != 0) else {
            return Err(Fault::invalid(format!(
                "in `{}` a % is not followed by the two hex digits of a byte from 01 to FF",
                excerpt(name)
            )));
        };
        let room = bytes.len();
        let Some(slot) = bytes.get_mut(len) else {
            return Err(Fault::invalid(format!(
                "`{}` is longer than the {room} bytes of the string",
                excerpt(name)
            )));
        };
        *slot = byte;
        len += 1;
        rest = after;
    }
    bytes[len..].fill(0);
    Ok(())
}

/// The prefix length in an LPM key.
fn prefix_len(key: &[u8]) -> u32 {
    match *key {
        [a, b, c, d, ..] => u32::from_ne_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// Makes the bits of an LPM key's address beyond its prefix zero.
fn clear_host_bits(key: &mut [u8]) {
    let prefix = prefix_len(key) as usize;
    for (at, byte) in key.iter_mut().skip(4).enumerate() {
        let kept = prefix.saturating_sub(at * 8).min(8);
        *byte &= !(0xff_u16 >> kept) as u8;
    }
}

fn push_prefix(key: &[u8], name: &mut Vec<u8>) -> bool {
    let prefix = prefix_len(key);
    if prefix as usize > (key.len() - 4) * 8 {
        return false;
    }
    let mut canonical = [0; 20];
    let canonical = &mut canonical[..key.len()];
    canonical.copy_from_slice(key);
    clear_host_bits(canonical);
    push_address(&canonical[4..], name);
    name.push(b'_');
    push_int(prefix, name);
    true
}

fn parse_prefix(name: &str, key: &mut [u8]) -> Result<NameMatch, Fault> {
    let most = (key.len() as u32 - 4) * 8;
    let (address, prefix) = match name.rsplit_once('_') {
        Some((address, len)) => (address, Some(len)),
        None => (name, None),
    };
    if !word::address(address, &mut key[4..]) {
        let example = if most == 32 { "10.0.0.0_8" } else { "fd00::_64" };
        return Err(Fault::invalid(format!(
            "`{}` is no prefix such as {example}",
            excerpt(name.as_bytes())
        )));
    }
    let Some(digits) = prefix else {
        key[..4].copy_from_slice(&most.to_ne_bytes());
        return Ok(NameMatch::Longest);
    };
    let decimal = digits.bytes().all(|digit| digit.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    match digits.parse::<u32>() {
        Ok(len) if decimal && len <= most => {
            key[..4].copy_from_slice(&len.to_ne_bytes());
            clear_host_bits(key);
            Ok(NameMatch::Exact)
        }
        _ => Err(Fault::invalid(format!(
            "`{}` is no prefix length from 0 to {most}",
            excerpt(digits.as_bytes())
        ))),
    }
}

/// Whether a key of an LPM trie is a prefix length and one member of all the other bytes.
fn is_prefix(plan: &CodecPlan) -> bool {
    let mut data = 0;
    let mut only = plan.root;
    count_data(plan, plan.root, 0, &mut data, &mut only);
    while data == 1 {
        let PlanNode::Record { first, end, .. } = plan.node(only) else { return true };
        let shown = || plan.fields(first, end).iter().filter(|field| field.shown);
        let Some(next) = shown().next() else { return false };
        data = shown().count();
        only = next.node;
    }
    false
}

/// Counts the members beyond the prefix length, looking into structs that hold both.
fn count_data(plan: &CodecPlan, id: NodeId, offset: usize, data: &mut usize, only: &mut NodeId) {
    let PlanNode::Record { first, end, .. } = plan.node(id) else {
        *data = usize::MAX;
        return;
    };
    for field in plan.fields(first, end).iter().filter(|field| field.shown) {
        let start = offset + field.offset as usize;
        let len = plan.size_of(field.node);
        if len == 0 || start + len <= 4 {
            continue;
        }
        if start < 4 {
            count_data(plan, field.node, start, data, only);
        } else if start == 4 && len == plan.size - 4 {
            *data = data.saturating_add(1);
            *only = field.node;
        } else {
            *data = usize::MAX;
        }
    }
}

/// Whether a name is a C identifier.
pub(super) fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

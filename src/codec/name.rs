//! Key names: a key's bytes as a file name, and back.
//!
//! Whatever the bytes, the name printed is not empty, holds no `/` and no NUL, does not begin with
//! a dot, and parses back to the same bytes (in an LPM trie: to the same prefix, host bits
//! cleared). A key that its readable form would not give back whole is named by its bytes in hex:
//!
//! - a `char[N]` that is empty, or has bytes after its first NUL. The hex form has `2 N` digits,
//!   more than any string of `N` characters, so the two cannot be taken for each other;
//! - a struct whose padding, or whose union beyond the member shown, is not zero;
//! - a struct with floats, or with more than [`LEAVES`] numbers, addresses and strings in it;
//! - a prefix longer than its address.

use super::fault::{Fault, excerpt};
use super::parse::SeenMembers;
use super::plan::{CodecPlan, Gap, NodeId, Num, PlanNode, Sort};
use super::print::{push_int, push_ipv4, push_ipv6};
use super::word;

/// Longer readable names give way to hex (FUSE passes names of at most 1,024 bytes).
pub(super) const LONGEST: usize = 1023;

/// Members that a struct's name can have at most: a name of more would be too long.
const LEAVES: usize = 256;

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
    Address,
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
    leaves: Vec<Leaf>,
    /// The bits that no leaf covers.
    gaps: Vec<Gap>,
}

/// One `path=value` of a struct's name.
#[derive(Debug)]
struct Leaf {
    /// `a.b` of `a.b=1`.
    path: Box<str>,
    offset: usize,
    node: NodeId,
}

impl Naming {
    /// Chooses the names for keys of type `plan`; `typed` if BTF says so.
    pub(super) fn new(plan: &CodecPlan, lpm: bool, typed: bool) -> Self {
        let hex = Self { form: Form::Hex, leaves: Vec::new(), gaps: Vec::new() };
        let prefix = lpm && matches!(plan.size, 8 | 20) && (!typed || is_prefix(plan));
        if prefix {
            return Self { form: Form::Prefix, ..hex };
        }
        match plan.node(plan.root) {
            PlanNode::Num(num) if !matches!(num.sort, Sort::Pointer | Sort::Kptr) => {
                Self { form: Form::Num(num), ..hex }
            }
            PlanNode::Ipv4 | PlanNode::Ipv6 => Self { form: Form::Address, ..hex },
            PlanNode::Text { len: 1.., .. } => Self { form: Form::Text, ..hex },
            PlanNode::Record { .. } => {
                let mut leaves = Vec::new();
                if !collect(plan, plan.root, 0, "", &mut leaves) || leaves.is_empty() {
                    return hex;
                }
                let gaps = uncovered(plan, &leaves);
                let form = if is_address(plan, plan.root) { Form::Address } else { Form::Members };
                Self { form, leaves, gaps }
            }
            _ => hex,
        }
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
        match self.form {
            // Without a readable name, nobody has looked for the bits between the members.
            Form::Hex if !plan.whole(plan.root) => None,
            _ => Some(!self.has_stray_bits(key)),
        }
    }

    fn has_stray_bits(&self, key: &[u8]) -> bool {
        let stray = |gap: &Gap| {
            key[gap.offset as usize..][..gap.len as usize].iter().any(|b| b & gap.mask != 0)
        };
        self.gaps.iter().any(stray)
    }

    /// False if the readable form would not be faithful.
    fn print_readable(&self, plan: &CodecPlan, key: &[u8], name: &mut Vec<u8>) -> bool {
        match &self.form {
            Form::Num(num) => plan.print_num(num, key, false, name),
            Form::Address => push_address(key, name),
            Form::Text => return push_text(key, name) && key.first() != Some(&0),
            Form::Prefix => return push_prefix(key, name),
            Form::Members => {
                if self.has_stray_bits(key) {
                    return false;
                }
                for (at, leaf) in self.leaves.iter().enumerate() {
                    if at > 0 {
                        name.push(b',');
                    }
                    name.extend_from_slice(leaf.path.as_bytes());
                    name.push(b'=');
                    let bytes = &key[leaf.offset..][..plan.size_of(leaf.node)];
                    match plan.node(leaf.node) {
                        PlanNode::Num(num) => plan.print_num(&num, bytes, false, name),
                        PlanNode::Ipv4 | PlanNode::Ipv6 => push_address(bytes, name),
                        PlanNode::Text { .. } if !push_text(bytes, name) => return false,
                        PlanNode::Text { .. } => {}
                        _ => word::push_hex(bytes, name),
                    }
                }
            }
            Form::Hex => return false,
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
        // No readable name of these forms is as long and has hex digits only.
        let digits = !matches!(self.form, Form::Num(_));
        if digits && word::packed_hex(name, key) {
            if matches!(self.form, Form::Prefix) {
                clear_host_bits(key);
            }
            return Ok(NameMatch::Exact);
        }
        let text = || {
            std::str::from_utf8(name)
                .map_err(|_| Fault::invalid(format!("`{}` is not UTF-8", excerpt(name))))
        };
        match &self.form {
            Form::Text => unescape(name, key)?,
            Form::Prefix => return parse_prefix(text()?, key),
            Form::Address if word::address(text()?, key) => {}
            Form::Address | Form::Members if !self.leaves.is_empty() && name.contains(&b'=') => {
                self.parse_members(plan, text()?, key)?;
            }
            Form::Members => {
                let paths: Vec<_> = self.leaves.iter().take(8).map(|leaf| &*leaf.path).collect();
                return Err(Fault::invalid(format!(
                    "`{}` is no key's name: {}=… or {} hex digits",
                    excerpt(name),
                    paths.join("=…,"),
                    key.len() * 2
                )));
            }
            _ => plan.parse_word(plan.root, text()?, key, false)?,
        }
        Ok(NameMatch::Exact)
    }

    fn parse_members(&self, plan: &CodecPlan, name: &str, key: &mut [u8]) -> Result<(), Fault> {
        let mut seen = SeenMembers::default();
        let mut count = 0;
        for (guess, part) in name.split(',').enumerate() {
            let Some((path, value)) = part.split_once('=') else {
                let part = excerpt(part.as_bytes());
                return Err(Fault::invalid(format!("`{part}` is not MEMBER=VALUE")));
            };
            let fits = |leaf: &Leaf| &*leaf.path == path;
            let at = match self.leaves.get(guess) {
                Some(leaf) if fits(leaf) => Some(guess),
                _ => self.leaves.iter().position(fits),
            };
            let Some(at) = at else {
                let path = excerpt(path.as_bytes());
                return Err(Fault::invalid(format!("there is no member `{path}`")));
            };
            let leaf = &self.leaves[at];
            if !seen.insert(at) {
                return Err(Fault::invalid("the member is given twice").inside(path));
            }
            count += 1;
            let bytes = &mut key[leaf.offset..][..plan.size_of(leaf.node)];
            match plan.node(leaf.node) {
                PlanNode::Text { .. } => unescape(value.as_bytes(), bytes),
                _ => plan.parse_word(leaf.node, value, bytes, false),
            }
            .map_err(|fault| fault.inside(path))?;
        }
        if count < self.leaves.len() {
            let missing = (0..self.leaves.len()).find(|&at| seen.insert(at));
            let path = missing.map_or("", |at| &*self.leaves[at].path);
            return Err(Fault::invalid(format!("the member {path} is missing")));
        }
        Ok(())
    }

    /// Whether keys are a prefix length and an address.
    pub(super) fn is_prefix(&self) -> bool {
        matches!(self.form, Form::Prefix)
    }
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
fn push_text(bytes: &[u8], name: &mut Vec<u8>) -> bool {
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
fn unescape(name: &[u8], bytes: &mut [u8]) -> Result<(), Fault> {
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

/// Whether a type is an address, or a struct with nothing but one.
fn is_address(plan: &CodecPlan, id: NodeId) -> bool {
    match plan.node(id) {
        PlanNode::Ipv4 | PlanNode::Ipv6 => true,
        PlanNode::Record { first, end, .. } => match plan.fields(first, end) {
            [only] => plan.size_of(only.node) == plan.size && is_address(plan, only.node),
            _ => false,
        },
        _ => false,
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

/// Collects the leaves of a struct; false if it cannot be named by its members.
fn collect(
    plan: &CodecPlan,
    id: NodeId,
    offset: usize,
    path: &str,
    leaves: &mut Vec<Leaf>,
) -> bool {
    let dot = if path.is_empty() { "" } else { "." };
    match plan.node(id) {
        _ if plan.size_of(id) == 0 => true,
        PlanNode::Float { .. } => false,
        PlanNode::Record { first, end, .. } => {
            plan.fields(first, end).iter().filter(|field| field.shown).all(|field| {
                let name = &*field.name;
                is_identifier(name)
                    && collect(
                        plan,
                        field.node,
                        offset + field.offset as usize,
                        &format!("{path}{dot}{name}"),
                        leaves,
                    )
            })
        }
        // Bytes are named in hex; what is more than a byte, or has bits that it does not show, by
        // its members.
        PlanNode::Array { len, stride, elem } if plan.size_of(elem) != 1 || !plan.whole(elem) => {
            len as usize <= LEAVES
                && (0..len as usize).all(|at| {
                    let offset = offset + at * stride as usize;
                    collect(plan, elem, offset, &format!("{path}{dot}{at}"), leaves)
                })
        }
        _ => {
            leaves.push(Leaf { path: path.into(), offset, node: id });
            leaves.len() <= LEAVES
                && leaves.iter().map(|leaf| leaf.path.len()).sum::<usize>() <= LONGEST
        }
    }
}

/// Whether a name is a C identifier.
pub(super) fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// The bits of a key that no leaf covers.
fn uncovered(plan: &CodecPlan, leaves: &[Leaf]) -> Vec<Gap> {
    let mut free = vec![0xff_u8; plan.size];
    for leaf in leaves {
        let bytes = &mut free[leaf.offset..][..plan.size_of(leaf.node)];
        match plan.node(leaf.node) {
            PlanNode::Num(num) => num.write(0, bytes),
            _ => bytes.fill(0),
        }
    }
    let gaps = free.iter().enumerate().filter(|&(_, &mask)| mask != 0);
    gaps.map(|(at, &mask)| Gap { offset: at as u32, len: 1, mask }).collect()
}

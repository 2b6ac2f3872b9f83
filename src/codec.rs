//! Keys and values as text, by their type.
//!
//! A map's key and value types are compiled once, by [`Codec::new`], into plans: flat tables with
//! every typedef resolved, every member's name escaped and every offset checked. Printing walks the
//! plan and allocates nothing; parsing drives serde_json over it, straight into the value's bytes.
//!
//! `docs/reference.md` shows the texts; what it leaves open is decided so:
//!
//! **Nothing is lost.** Text that was read gives the same bytes when written, for any bytes: a bool
//! that is neither 0 nor 1 and an enum without a name are numbers; a `char[N]` that is no UTF-8 is
//! an array; JSON has no NaN and no infinities, so floats also
//! are `"nan"`, `"inf"`, `"-inf"`, and other NaNs their bytes, `"0x…"`. Floats have the shortest
//! decimal that gives the same bits. What text does not carry: padding, which becomes zero; the
//! bytes of a union that the written member does not cover, which become zero; pointers and the
//! kernel's own members, which stay. A write that names a pointer must give the value it has.
//!
//! **Numbers.** `0x…` is a number for an integer, an enum or a bool of any size, also in 16 bytes,
//! and may use the sign bit (`0xff` is -1 in a signed byte); decimals may not. A negative number is
//! two's complement in an unsigned type, down to -2^(bits-1). Leading zeros are refused: C would
//! read them as octal. Integers take no fraction and no exponent, not even `1.0`.
//!
//! **Bytes.** `0x…` is bytes in memory order for every other type, and space-separated hex bytes
//! are so for all: a struct's padding and pointers can be set in this way, and in no other.
//! Addresses (IPv4 for 4 bytes, MAC for 6, IPv6 for 16) are in network order.
//!
//! **Strings.** A `char[N]` takes any text that fits in it as it stands, so `0x41` in a `char[8]`
//! is a string; `N` bytes in hex never fit in `N` characters, and so can be told from a string.
//! Only a text that begins with `"` or `[` is JSON. Among the lines of a per-CPU value a blank one
//! is refused; an empty string is `""`.
//!
//! **Structs and unions.** Of a union, anonymous or not, reading shows the member that shows all of
//! its bytes, addresses first, or all of it in hex; a write may name any one, and by itself (`.field`) it changes its own bytes only. Members of the same
//! name (static variables of several files in one data section) get `.2`, `.3` behind their names.
//!
//! **Keys** are values whose pointers can be written; see [`NameMatch`] for tries. A name is the
//! readable form if that gives back all bytes, else hex: an empty or odd string, a struct with
//! padding that is not zero, a union of which no member shows all, a float. An LPM key
//! with more than one member beside its length is named like any struct. `true`, `false` and
//! 128-bit integers are written as in values. An integer of fewer bits than its bytes have is a
//! number of all its bytes.
//!
//! **Broken BTF**, or BTF that disagrees with the map's sizes, makes a key or a value plain bytes;
//! [`Codec::fallback`] says why.

mod compile;
mod cover;
mod digits;
mod event;
mod fault;
mod known;
mod longest;
mod member;
mod members;
mod name;
mod numbers;
mod parse;
mod plan;
mod print;
mod record;
mod series;
mod sum;
mod word;

pub use fault::{TextError, TextErrorKind};
pub use known::Describe;
pub use member::Member;
pub use name::NameMatch;
pub(crate) use print::push_json_hex;

use crate::btf::Btf;
use name::Naming;
use plan::CodecPlan;
use series::Numbers;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// What a map's elements look like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Bytes in a key.
    pub key_size: usize,
    /// Bytes in a value of one CPU.
    pub value_size: usize,
    /// For per-CPU kinds: how many values an element has, each in a slot of `value_size` rounded
    /// up to 8.
    pub cpus: Option<usize>,
    /// The key's type in the map's BTF; 0 if none.
    pub key_type_id: u32,
    /// The value's type in the map's BTF; 0 if none.
    pub value_type_id: u32,
    /// LPM trie: a key is a `u32` prefix length and the data.
    pub lpm: bool,
}

/// The text form of one map's keys and values.
#[derive(Debug)]
pub struct Codec {
    key: Arc<CodecPlan>,
    value: Arc<CodecPlan>,
    naming: Naming,
    numbers: Numbers,
    cpus: Option<usize>,
    key_type: Option<String>,
    value_type: Option<String>,
    fallback: Option<String>,
}

impl Codec {
    /// Compiles the types of a map. Never fails: with no BTF, or BTF that is broken or disagrees
    /// with the sizes, keys and values are plain bytes.
    pub fn new(shape: &Shape, btf: Option<&Btf>) -> Self {
        Self::of(shape, [btf, btf], None)
    }

    /// [`Self::new`] with the key's type of one BTF and the value's of another, and with symbols for
    /// addresses in the kernel.
    pub fn of(shape: &Shape, [keys, values]: [Option<&Btf>; 2], symbols: Option<Describe>) -> Self {
        let mut key = Side::new(keys, shape.key_type_id, shape.key_size);
        key.plan.widen();
        let mut value = Side::new(values, shape.value_type_id, shape.value_size);
        key.plan.describe = symbols;
        value.plan.describe = symbols;
        let naming = Naming::new(&key.plan, shape.lpm, key.spelled.is_some());
        // A prefix is no number, even where it has a number's size.
        let alone = (!shape.lpm).then(|| naming.alone());
        let numbers = Numbers::find(&key.plan, alone, &value.plan);
        let reasons: Vec<_> = [("key", key.reason), ("value", value.reason)]
            .into_iter()
            .filter_map(|(side, reason)| Some(format!("{side}: {}", reason?)))
            .collect();
        Self {
            key: Arc::new(key.plan),
            value: Arc::new(value.plan),
            naming,
            numbers,
            cpus: shape.cpus,
            key_type: key.spelled,
            value_type: value.spelled,
            fallback: (!reasons.is_empty()).then(|| reasons.join("; ")),
        }
    }

    /// Why the map's BTF is not used, for `.info`.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// The key's type as in C, such as `struct flow_key` or `__u32`; `None` for plain bytes.
    pub fn key_type(&self) -> Option<String> {
        self.key_type.clone()
    }

    /// The value's type as in C; `None` for plain bytes.
    pub fn value_type(&self) -> Option<String> {
        self.value_type.clone()
    }

    /// Whether the value has a `bpf_spin_lock`: read and write it with BPF_F_LOCK.
    pub fn has_lock(&self) -> bool {
        self.value.has_lock
    }

    /// Appends the file name of a key.
    pub fn key_name(&self, key: &[u8], name: &mut Vec<u8>) {
        with_size(key, self.key.size, |key| self.naming.print(&self.key, key, name));
    }

    /// Parses a file name into `key`, which is cleared and gets exactly `key_size` bytes.
    ///
    /// # Errors
    /// A name that is no key of this map; [`TextErrorKind::Range`] if a number does not fit.
    pub fn parse_name(&self, name: &[u8], key: &mut Vec<u8>) -> Result<NameMatch, TextError> {
        key.clear();
        key.resize(self.key.size, 0);
        Ok(self.naming.parse(&self.key, name, key)?)
    }

    /// Appends a key as one JSON document: as a value of its type would be. A prefix of an LPM
    /// trie without BTF is a string with its name. A key that its members do not give back whole,
    /// for what its padding or a union holds besides, is a string of its bytes in hex.
    pub fn print_key(&self, key: &[u8], out: &mut Vec<u8>) {
        if self.key_type.is_none() && self.naming.is_prefix() {
            out.push(b'"');
            self.key_name(key, out);
            out.push(b'"');
            return;
        }
        with_size(key, self.key.size, |key| {
            let start = out.len();
            self.key.print(self.key.root, key, out);
            if !self.is_whole(key, &out[start..]) {
                out.truncate(start);
                push_json_hex(key, out);
            }
        });
    }

    /// Whether a key's JSON gives back all its bytes.
    fn is_whole(&self, key: &[u8], json: &[u8]) -> bool {
        self.naming.shows_all(&self.key, key).unwrap_or_else(|| {
            let mut again = vec![0; key.len()];
            self.key.parse(self.key.root, json, &mut again, false).is_ok() && again == key
        })
    }

    /// Parses a key's JSON into `key`, which is cleared and gets exactly `key_size` bytes. A
    /// string may also hold the key's file name.
    ///
    /// # Errors
    /// As [`Self::parse_name`]; members that an object leaves out are zero.
    pub fn parse_key(&self, json: &[u8], key: &mut Vec<u8>) -> Result<(), TextError> {
        key.clear();
        key.resize(self.key.size, 0);
        // A prefix is printed as its name, which may be one of hex digits: no number.
        let by_name = self.key_type.is_none() && self.naming.is_prefix();
        if by_name && self.parse_quoted_name(json, key) {
            return Ok(());
        }
        let Err(fault) = self.key.parse(self.key.root, json, key, false) else { return Ok(()) };
        if !by_name && self.parse_quoted_name(json, key) {
            return Ok(());
        }
        Err(fault.into())
    }

    /// Parses a JSON string that holds a key's file name; false if it is none.
    fn parse_quoted_name(&self, json: &[u8], key: &mut [u8]) -> bool {
        let Ok(name) = serde_json::from_slice::<Cow<'_, str>>(json) else { return false };
        key.fill(0);
        let found = self.naming.parse(&self.key, name.as_bytes(), key).is_ok();
        if !found {
            key.fill(0);
        }
        found
    }

    /// Appends one JSON document of one value (`value_size` bytes), without a newline.
    pub fn print_value(&self, value: &[u8], out: &mut Vec<u8>) {
        with_size(value, self.value.size, |value| self.value.print(self.value.root, value, out));
    }

    /// Parses the text of one value into `value`, which holds the present bytes (zeros for a new
    /// element): members that the text leaves out keep theirs.
    ///
    /// # Errors
    /// After an error `value` may be half written: parse into a copy.
    pub fn parse_value(&self, text: &[u8], value: &mut [u8]) -> Result<(), TextError> {
        check_size(value.len(), self.value.size)?;
        Ok(self.value.parse(self.value.root, text, value, true)?)
    }

    /// Appends the text of a key's file for a look-up's bytes: one line, or one for each CPU;
    /// each ends in a newline.
    pub fn print_file(&self, bytes: &[u8], out: &mut Vec<u8>) {
        for cpu in 0..self.cpus.unwrap_or(1) {
            let range = self.slot(cpu);
            self.print_value(bytes.get(range).unwrap_or_default(), out);
            out.push(b'\n');
        }
    }

    /// Parses what was written to a key's file so far; `bytes` holds the present bytes of all
    /// CPUs. Of a per-CPU element, one line sets all CPUs, and as many lines as CPUs set each.
    ///
    /// # Errors
    /// As [`Self::parse_value`]; fewer lines than CPUs, but more than one, are incomplete.
    pub fn parse_file(&self, text: &[u8], bytes: &mut [u8]) -> Result<(), TextError> {
        self.parse_lines(text, bytes, self.is_text(), |text, value| self.parse_value(text, value))
    }

    /// Whether the value is one string, `char[N]`, which is written without quotes too.
    pub fn is_text(&self) -> bool {
        self.value.is_text(self.value.root)
    }

    /// [`Self::print_file`] of one member of the value.
    pub fn print_member(&self, member: &Member, bytes: &[u8], out: &mut Vec<u8>) {
        for cpu in 0..self.cpus.unwrap_or(1) {
            member.print(bytes.get(self.slot(cpu)).unwrap_or_default(), out);
            out.push(b'\n');
        }
    }

    /// [`Self::parse_file`] of one member of the value; all else stays.
    ///
    /// # Errors
    /// As [`Self::parse_file`].
    pub fn parse_member(
        &self,
        member: &Member,
        text: &[u8],
        bytes: &mut [u8],
    ) -> Result<(), TextError> {
        self.parse_lines(text, bytes, member.is_text(), |text, value| member.parse(text, value))
    }

    /// The possible CPUs, of a per-CPU map.
    pub fn cpus(&self) -> Option<usize> {
        self.cpus
    }

    fn parse_lines(
        &self,
        text: &[u8],
        bytes: &mut [u8],
        strings: bool,
        parse: impl Fn(&[u8], &mut [u8]) -> Result<(), TextError>,
    ) -> Result<(), TextError> {
        let Some(cpus) = self.cpus else { return parse(text, bytes) };
        check_size(bytes.len(), cpus * self.stride())?;
        let is_line = |line: &&[u8]| !line.trim_ascii().is_empty();
        let lines = || text.split_inclusive(|&byte| byte == b'\n').filter(is_line);
        let count = lines().count();
        if count > 1 && matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
            // A document of several lines, as `jq .` writes it.
            let mut value = bytes.to_vec();
            let value = &mut value[self.slot(0)];
            if parse(text, value).is_ok() {
                return self.each_cpu(cpus, |_| text, bytes, parse);
            }
        }
        // An empty string, or a slip that means nothing, as around numbers?
        if strings && count > 0 && text.split_inclusive(|&byte| byte == b'\n').count() > count {
            let reason = "a blank line is no string: write \"\" for an empty one".to_owned();
            return Err(TextError { kind: TextErrorKind::Invalid, reason });
        }
        match count {
            // An empty text is incomplete, which `parse_value` says.
            0 | 1 => self.each_cpu(cpus, |_| text, bytes, parse),
            count if count == cpus => {
                let mut lines = lines();
                self.each_cpu(cpus, |_| lines.next().unwrap_or_default(), bytes, parse)
            }
            count => {
                let kind =
                    if count < cpus { TextErrorKind::Incomplete } else { TextErrorKind::Invalid };
                let reason = format!("{count} lines, but 1 sets all CPUs and {cpus} set each");
                Err(TextError { kind, reason })
            }
        }
    }

    fn each_cpu<'t>(
        &self,
        cpus: usize,
        mut text: impl FnMut(usize) -> &'t [u8],
        bytes: &mut [u8],
        parse: impl Fn(&[u8], &mut [u8]) -> Result<(), TextError>,
    ) -> Result<(), TextError> {
        for cpu in 0..cpus {
            let slot = self.slot(cpu);
            parse(text(cpu), &mut bytes[slot]).map_err(|mut error| {
                error.reason = format!("CPU {cpu}: {}", error.reason);
                error
            })?;
        }
        Ok(())
    }

    /// Whether any complete text determines every byte of the value (no members that may be left
    /// out, no special ones): then a write needs no look-up of the present value.
    pub fn whole_writes(&self) -> bool {
        self.value.whole(self.value.root)
    }

    /// Bytes from one CPU's value to the next.
    fn stride(&self) -> usize {
        self.value.size.next_multiple_of(8)
    }

    /// Where the value of `cpu` lies in a look-up's bytes (without the slot's padding). Of a map
    /// that is not per-CPU, CPU 0 has the value.
    pub fn slot(&self, cpu: usize) -> Range<usize> {
        let start = cpu.saturating_mul(self.stride());
        start..start.saturating_add(self.value.size)
    }

    /// Appends the sum of all CPUs' values, member by member, as one JSON document without a
    /// newline. What is no number is shown if all CPUs agree on it, else it is `null`.
    pub fn print_sum(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let cpus = self.cpus.unwrap_or(1);
        let stride = self.stride();
        with_size(bytes, stride * cpus, |bytes| {
            let slots = sum::Slots { bytes, stride, cpus, offset: 0 };
            self.value.print_sum(self.value.root, slots, out);
        });
    }

    /// The member of a value at a path of member names, array indices or variables of a data
    /// section; an empty path is the value itself.
    pub fn member(&self, path: &[&[u8]]) -> Option<Member> {
        Member::find(&self.value, path)
    }
}

/// A key's or value's type, compiled.
struct Side {
    plan: CodecPlan,
    /// The type as in C, if BTF is used.
    spelled: Option<String>,
    /// Why BTF is not used.
    reason: Option<String>,
}

impl Side {
    fn new(btf: Option<&Btf>, id: u32, size: usize) -> Self {
        match btf.filter(|_| id != 0).map(|btf| (btf.spell(id), compile::compile(btf, id, size))) {
            Some((spelled, Ok(plan))) => Self { plan, spelled: Some(spelled), reason: None },
            Some((_, Err(why))) => {
                Self { plan: CodecPlan::plain(size), spelled: None, reason: Some(why) }
            }
            None => Self { plan: CodecPlan::plain(size), spelled: None, reason: None },
        }
    }
}

/// Calls `then` with `bytes` of exactly `size` bytes: cut, or with zeros at the end.
fn with_size(bytes: &[u8], size: usize, then: impl FnOnce(&[u8])) {
    match bytes.get(..size) {
        Some(bytes) => then(bytes),
        None => {
            let mut padded = bytes.to_vec();
            padded.resize(size, 0);
            then(&padded);
        }
    }
}

/// A caller's buffer that has not the value's size.
fn check_size(len: usize, size: usize) -> Result<(), TextError> {
    if len == size {
        return Ok(());
    }
    let reason = format!("a value has {size} bytes, not {len}");
    Err(TextError { kind: TextErrorKind::Invalid, reason })
}

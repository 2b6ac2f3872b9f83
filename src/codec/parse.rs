//! Text to bytes: serde_json reads the document, the plan says where each part goes.

use super::fault::{Fault, TextErrorKind, excerpt};
use super::plan::{CodecPlan, NodeId, PlanNode, clear};
use super::word;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::fmt;

/// Hex of this length without a newline may be a writer's first chunk.
const CHUNK: usize = 4096;

/// The name under which serde_json hands over a number beyond 64 bits, or with a fraction, as if it
/// were an object (feature `arbitrary_precision`).
const NUMBER: &str = "$serde_json::private::Number";

impl CodecPlan {
    /// Parses the text of a whole file or line into `bytes`: JSON, or one bare word.
    ///
    /// `fixed`: pointers of the kernel's must keep their value.
    pub(super) fn parse(
        &self,
        id: NodeId,
        text: &[u8],
        bytes: &mut [u8],
        fixed: bool,
    ) -> Result<(), Fault> {
        let word = text.trim_ascii();
        let bare_text = self.is_text(id);
        match word.first() {
            None => Err(Fault::incomplete("the text is empty")),
            Some(b'"' | b'[') => self.parse_json(id, word, bytes, fixed),
            Some(b'{') if !bare_text => self.parse_json(id, word, bytes, fixed),
            Some(_) => {
                let open = text.len() >= CHUNK && text.last() != Some(&b'\n');
                self.parse_bare(id, text, word, bytes, fixed).map_err(|fault| {
                    if fault.short && open { Fault::incomplete(fault.what) } else { fault }
                })
            }
        }
    }

    /// Parses exactly one JSON document.
    pub(super) fn parse_json(
        &self,
        id: NodeId,
        json: &[u8],
        bytes: &mut [u8],
        fixed: bool,
    ) -> Result<(), Fault> {
        let fault = Cell::new(None);
        let seed = Seed { plan: self, id, bytes, fixed, fault: &fault };
        let mut reader = serde_json::Deserializer::from_slice(json);
        let result = seed.deserialize(&mut reader).and_then(|()| reader.end());
        result.map_err(|error| match fault.take() {
            Some(fault) => fault,
            None if error.is_eof() || number_cut(json, &error) => {
                Fault::incomplete(format!("the JSON ends early: {error}"))
            }
            None => Fault::invalid(format!("this is no JSON value: {error}")),
        })
    }

    fn parse_bare(
        &self,
        id: NodeId,
        text: &[u8],
        word: &[u8],
        bytes: &mut [u8],
        fixed: bool,
    ) -> Result<(), Fault> {
        if let PlanNode::Text { len, .. } = self.node(id) {
            let line = text.strip_suffix(b"\n").unwrap_or(text);
            return set_text(line, &mut bytes[..len as usize]);
        }
        match std::str::from_utf8(word) {
            Ok(word) => self.parse_word(id, word, bytes, fixed),
            Err(_) => Err(Fault::invalid(format!("`{}` is not text", excerpt(word)))),
        }
    }

    /// Parses a word: what stands bare, or as a string inside JSON.
    pub(super) fn parse_word(
        &self,
        id: NodeId,
        word: &str,
        bytes: &mut [u8],
        fixed: bool,
    ) -> Result<(), Fault> {
        let whole = &mut bytes[..self.size_of(id)];
        let text = word.as_bytes();
        match self.node(id) {
            PlanNode::Num(num) => word::number(self, &num, word, bytes, fixed),
            PlanNode::Float { .. } => word::float(word, whole),
            PlanNode::Text { .. } => set_text(text, whole),
            PlanNode::Bytes { len } => match word::address(word, whole)
                || word::hex(text, whole)
                || word::packed_hex(text, whole)
            {
                true => Ok(()),
                false => Err(short_hex(text, len as usize)),
            },
            PlanNode::Known { known, plain } => {
                if known.parse(word, whole) {
                    return Ok(());
                }
                self.parse_word(plain, word, bytes, fixed).map_err(|fault| match fault.kind {
                    TextErrorKind::Range => fault,
                    TextErrorKind::Invalid | TextErrorKind::Incomplete => {
                        let what = format!("`{}` is not {}", excerpt(text), known.wanted());
                        Fault { what, ..fault }
                    }
                })
            }
            PlanNode::Array { elem, .. } => {
                let small = self.size_of(elem) == 1;
                if word::hex(text, whole)
                    || small && (word::address(word, whole) || word::packed_hex(text, whole))
                {
                    return Ok(());
                }
                Err(wrong_word("a JSON array", text, whole.len()))
            }
            PlanNode::Record { .. } => {
                if word::hex(text, whole) {
                    return Ok(());
                }
                Err(wrong_word("a JSON object", text, whole.len()))
            }
        }
    }
}

/// Whether the error is a number at the very end that is not whole yet, such as `-` or `1e`, for
/// which serde_json has no end-of-file error.
fn number_cut(json: &[u8], error: &serde_json::Error) -> bool {
    let column = json.rsplit(|&byte| byte == b'\n').next().map_or(0, <[u8]>::len);
    let lines = json.iter().filter(|&&byte| byte == b'\n').count() + 1;
    matches!(json.last(), Some(b'-' | b'+' | b'.' | b'e' | b'E'))
        && (error.line(), error.column()) == (lines, column)
}

fn short_hex(text: &[u8], len: usize) -> Fault {
    let what = format!("`{}` is not `0x` and {} hex digits", excerpt(text), len * 2);
    if word::is_short_hex(text, len) { Fault::short(what) } else { Fault::invalid(what) }
}

fn wrong_word(wanted: &str, text: &[u8], len: usize) -> Fault {
    let what = format!("`{}` is neither {wanted} nor {len} bytes in hex", excerpt(text));
    if word::is_short_hex(text, len) { Fault::short(what) } else { Fault::invalid(what) }
}

/// Sets a `char` array to a string that fits, or to as many bytes in hex, which never fit.
fn set_text(text: &[u8], bytes: &mut [u8]) -> Result<(), Fault> {
    if text.len() <= bytes.len() {
        let (head, tail) = bytes.split_at_mut(text.len());
        head.copy_from_slice(text);
        tail.fill(0);
        return Ok(());
    }
    if word::hex(text, bytes) {
        return Ok(());
    }
    let what = format!(
        "`{}` has {} bytes, but the string has room for {}",
        excerpt(text),
        text.len(),
        bytes.len()
    );
    Err(if word::is_short_hex(text, bytes.len()) {
        Fault::short(what)
    } else {
        Fault::invalid(what)
    })
}

/// A node to be read from a deserializer into its bytes.
struct Seed<'a> {
    plan: &'a CodecPlan,
    id: NodeId,
    /// From the node's first byte on.
    bytes: &'a mut [u8],
    fixed: bool,
    /// Takes our own refusal past serde's error type.
    fault: &'a Cell<Option<Fault>>,
}

impl Seed<'_> {
    fn fail<E: serde::de::Error>(&self, fault: Fault) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    /// Reads a number: serde_json hands over its text as it stands in the document.
    fn number(self, raw: &str) -> Result<(), Fault> {
        match raw.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<std::borrow::Cow<'_, str>>(raw) {
                Ok(word) => self.plan.parse_word(self.id, &word, self.bytes, self.fixed),
                Err(error) => Err(Fault::invalid(error.to_string())),
            },
            Some(b'{' | b'[') => {
                let wanted = match self.plan.node(self.id) {
                    PlanNode::Known { known, .. } => known.wanted(),
                    _ => "a number",
                };
                let raw = excerpt(raw.as_bytes());
                Err(Fault::invalid(format!("`{raw}` is not {wanted}")))
            }
            _ => self.plan.parse_word(self.id, raw, self.bytes, self.fixed),
        }
    }
}

/// Adds a member's name to the refusal that is on its way.
fn inside<E>(fault: &Cell<Option<Fault>>, name: impl fmt::Display, error: E) -> E {
    if let Some(inner) = fault.take() {
        fault.set(Some(inner.inside(name)));
    }
    error
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.plan.plain_node(self.id) {
            PlanNode::Num(_) | PlanNode::Float { .. } => {
                let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
                let fault = self.fault;
                self.number(raw.get()).map_err(|inner| {
                    fault.set(Some(inner));
                    D::Error::custom("refused")
                })
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.plan.node(self.id) {
            PlanNode::Num(_) | PlanNode::Float { .. } => "a number",
            PlanNode::Text { .. } => "a string",
            PlanNode::Bytes { .. } => "a string of hex bytes",
            PlanNode::Known { known, .. } => known.wanted(),
            PlanNode::Array { .. } => "an array",
            PlanNode::Record { .. } => "an object",
        })
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.plan.parse_word(self.id, text, self.bytes, self.fixed).map_err(|fault| {
            self.fault.set(Some(fault));
            E::custom("refused")
        })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Err(self.fail(wrong_kind(&self, "null")))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        Err(self.fail(wrong_kind(&self, if value { "true" } else { "false" })))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Err(self.fail(wrong_kind(&self, "a number")))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(self.fail(wrong_kind(&self, "a number")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (len, stride, elem) = match self.plan.plain_node(self.id) {
            PlanNode::Array { len, stride, elem } => (len as usize, stride as usize, elem),
            PlanNode::Text { len, elem } => (len as usize, 1, elem),
            _ => return Err(self.fail(wrong_kind(&self, "an array"))),
        };
        let mut count = 0;
        while count < len {
            let bytes = &mut self.bytes[count * stride..];
            let seed =
                Seed { plan: self.plan, id: elem, bytes, fixed: self.fixed, fault: self.fault };
            let element = seq.next_element_seed(seed);
            let name = format_args!("[{count}]");
            match element.map_err(|error| inside(self.fault, name, error))? {
                Some(()) => count += 1,
                None => {
                    return Err(self
                        .fail(Fault::invalid(format!("the array has {count} of {len} elements"))));
                }
            }
        }
        if seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
            let what = format!("the array has more than {len} elements");
            return Err(self.fail(Fault::invalid(what)));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let plan = self.plan;
        let PlanNode::Record { first, end, gaps, unions, .. } = plan.node(self.id) else {
            let number = map.next_key::<std::borrow::Cow<'_, str>>()?.is_some_and(|k| k == NUMBER);
            let got = if number { "a number" } else { "an object" };
            return Err(self.fail(wrong_kind(&self, got)));
        };
        let fields = plan.fields(first, end);
        clear(plan.gaps(gaps), self.bytes);
        let mut seen = SeenMembers::default();
        let mut guess = 0;
        loop {
            let key = Key { plan, first, end, guess };
            let at = match map.next_key_seed(key)? {
                None => return Ok(()),
                Some(Ok(at)) => at,
                Some(Err(name)) if name == NUMBER => {
                    return Err(self.fail(wrong_kind(&self, "a number")));
                }
                Some(Err(name)) => {
                    let known: Vec<_> = fields.iter().take(8).map(|field| &*field.name).collect();
                    let more = if fields.len() > 8 { ", …" } else { "" };
                    let name = excerpt(name.as_bytes());
                    return Err(self.fail(Fault::invalid(format!(
                        "there is no member `{name}`, only {}{more}",
                        known.join(", ")
                    ))));
                }
            };
            let field = &fields[at];
            if !seen.insert(at) {
                let what = "the member is given twice";
                return Err(self.fail(Fault::invalid(what).inside(&field.name)));
            }
            if unions.is_some()
                && let Some(other) = seen.iter().map(|at| &fields[at]).find(|other| {
                    other.name != field.name
                        && other.bits.0 < field.bits.1
                        && field.bits.0 < other.bits.1
                })
            {
                let what = format!("`{}` is in the same union: give one of them", other.name);
                return Err(self.fail(Fault::invalid(what).inside(&field.name)));
            }
            clear(plan.gaps(field.clears), self.bytes);
            let bytes = &mut self.bytes[field.offset as usize..];
            let seed = Seed { plan, id: field.node, bytes, fixed: self.fixed, fault: self.fault };
            map.next_value_seed(seed).map_err(|error| inside(self.fault, &field.name, error))?;
            guess = at + 1;
        }
    }
}

fn wrong_kind(seed: &Seed<'_>, got: &str) -> Fault {
    struct Wanted<'a, 'b>(&'a Seed<'b>);
    impl fmt::Display for Wanted<'_, '_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Visitor::expecting(self.0, f)
        }
    }
    Fault::invalid(format!("{got} stands where {} is needed", Wanted(seed)))
}

/// The members that an object gave so far; no allocation up to 64 members.
#[derive(Default)]
pub(super) struct SeenMembers {
    low: u64,
    high: Vec<u64>,
}

impl SeenMembers {
    /// False if it was there.
    pub(super) fn insert(&mut self, at: usize) -> bool {
        let word = match at / 64 {
            0 => &mut self.low,
            high => {
                if self.high.len() < high {
                    self.high.resize(high, 0);
                }
                &mut self.high[high - 1]
            }
        };
        let bit = 1 << (at % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether it is there.
    pub(super) fn contains(&self, at: usize) -> bool {
        let word = match at / 64 {
            0 => Some(&self.low),
            high => self.high.get(high - 1),
        };
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        std::iter::once(&self.low).chain(&self.high).enumerate().flat_map(|(at, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        })
    }
}

/// A member's name on its way to an index.
struct Key<'a> {
    plan: &'a CodecPlan,
    first: u32,
    end: u32,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.plan.find(self.first..self.end, name, self.guess).ok_or_else(|| name.to_owned()))
    }
}

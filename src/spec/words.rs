//! bpftool's words: `type hash key u32 value u64 entries 1024 flags no_prealloc`.

use super::c::{self, Parser};
use super::types::TypeId;
use super::{Inner, Part, Spec, SpecError, extent, flags, suggest};
use crate::sys::map::kind;
use std::path::PathBuf;
use std::sync::Arc;

/// The words that an argument follows.
const WORDS: [&str; 11] = [
    "type",
    "key",
    "value",
    "entries",
    "name",
    "flags",
    "inner_map",
    "map_extra",
    "numa_node",
    "ifindex",
    "excl_prog_hash",
];

/// What others call them: bpftool's listing, libbpf, the kernel.
const OTHER_WORDS: [(&str, &str); 12] = [
    ("max_entries", "entries"),
    ("maxentries", "entries"),
    ("max", "entries"),
    ("size", "entries"),
    ("key_size", "key"),
    ("keysize", "key"),
    ("value_size", "value"),
    ("valuesize", "value"),
    ("map_flags", "flags"),
    ("map_type", "type"),
    ("kind", "type"),
    ("map_name", "name"),
];

/// What is said of a text that is nothing of what a new name can become.
const WHAT_IS_MADE: &str = "there is no map of this name to write a value to, and to make one, write for example \
                            `hash key u32 value u64 entries 1024`, or `id N` to pin a map that is loaded";

/// Bytes in the kernel's name of a map at most.
const MAX_NAME: usize = 15;

/// One word, or what stands in quotes or braces.
#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    /// Where it starts and ends in the whole text, quotes included.
    start: usize,
    end: usize,
    quoted: bool,
    line: u32,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

fn error(line: u32, reason: impl Into<String>) -> SpecError {
    let reason = reason.into();
    let reason = if line > 1 { format!("line {line}: {reason}") } else { reason };
    SpecError { incomplete: false, reason }
}

fn unfinished(line: u32, what: &str) -> SpecError {
    SpecError { incomplete: true, ..error(line, format!("{what} is not closed")) }
}

impl<'a> Reader<'a> {
    /// The next word, without taking it.
    fn peek(&mut self) -> Result<Option<Word<'a>>, SpecError> {
        let rest = &self.text[self.at..];
        let blank = rest.len() - rest.trim_ascii_start().len();
        self.line += rest[..blank].bytes().map(|b| u32::from(b == b'\n')).sum::<u32>();
        self.at += blank;
        let (start, line) = (self.at, self.line);
        let rest = &self.text[start..];
        let Some(first) = rest.bytes().next() else { return Ok(None) };
        if first == b'\'' || first == b'"' {
            let Some(len) = rest[1..].find(char::from(first)) else {
                return Err(unfinished(line, "the quotation"));
            };
            let end = start + len + 2;
            return Ok(Some(Word { text: &rest[1..=len], start, end, quoted: true, line }));
        }
        let len = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        Ok(Some(Word { text: &rest[..len], start, end: start + len, quoted: false, line }))
    }

    fn take(&mut self, word: Word<'a>) {
        self.line += word.text.bytes().map(|b| u32::from(b == b'\n')).sum::<u32>();
        self.at = word.end;
    }

    fn next(&mut self) -> Result<Option<Word<'a>>, SpecError> {
        let word = self.peek()?;
        if let Some(word) = word {
            self.take(word);
        }
        Ok(word)
    }

    fn argument(&mut self, of: &str, what: &str) -> Result<Word<'a>, SpecError> {
        self.next()?.ok_or_else(|| error(self.line, format!("`{of}` needs {what} after it")))
    }

    fn number(&mut self, of: &str, most: u64) -> Result<u64, SpecError> {
        let word = self.argument(of, "a number")?;
        match integer(word.text) {
            Some(n) if n <= most => Ok(n),
            Some(_) => {
                Err(error(word.line, format!("`{of} {}` is more than {most}", clip(word.text))))
            }
            None => Err(error(
                word.line,
                format!("`{of}` needs a number after it, not `{}`", clip(word.text)),
            )),
        }
    }

    fn u32(&mut self, of: &str) -> Result<u32, SpecError> {
        self.number(of, u32::MAX.into()).map(|n| n as u32)
    }

    /// A C type: one word in quotes, or all up to the next word that means something here.
    fn c_type(&mut self, of: &str, words: &[&str]) -> Result<(&'a str, u32), SpecError> {
        let Some(first) = self.peek()? else {
            return self.argument(of, "a size in bytes or a C type").map(|word| (word.text, 0));
        };
        if first.quoted {
            self.take(first);
            return Ok((first.text, first.line));
        }
        let rest = &self.text[first.start..];
        let len = extent::of_type(rest, words).map_err(|open| unfinished(first.line, open.0))?;
        let text = &rest[..len];
        self.take(Word { text, end: first.start + len, ..first });
        Ok((text, first.line))
    }
}

/// A decimal or `0x` number.
fn integer(word: &str) -> Option<u64> {
    match word.get(..2) {
        Some("0x" | "0X") => match word[2..].starts_with('+') {
            true => None,
            false => u64::from_str_radix(&word[2..], 16).ok(),
        },
        _ if word.starts_with(|c: char| c.is_ascii_digit()) => word.parse().ok(),
        _ => None,
    }
}

/// A program's SHA-256: 64 hex digits.
fn sha256(word: Word<'_>) -> Result<[u8; 32], SpecError> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.last()?)?);
    let bytes: Option<Vec<u8>> = word.text.as_bytes().chunks(2).map(byte).collect();
    bytes.filter(|_| word.text.len() == 64).and_then(|bytes| bytes.try_into().ok()).ok_or_else(
        || {
            let shown = clip(word.text);
            error(word.line, format!("`excl_prog_hash {shown}` must be a SHA-256: 64 hex digits"))
        },
    )
}

fn clip(word: &str) -> &str {
    word.char_indices().nth(60).map_or(word, |(end, _)| &word[..end])
}

/// Reads a map from words, which start at `line`; `inside` for the inner map of another.
pub(super) fn parse(text: &str, line: u32, inside: bool) -> Result<Spec, SpecError> {
    // What is missing at the end is missing in the last line that says something.
    let mut reader = Reader { text: text.trim_ascii_end(), at: 0, line };
    let mut spec = Spec::new(0);
    let mut parser = Parser::new();
    let mut seen: Vec<&str> = Vec::new();
    while let Some(word) = reader.next()? {
        let known = WORDS.iter().copied().find(|known| *known == word.text && !word.quoted);
        // A kind may stand without `type` before it.
        let key = known.unwrap_or("type");
        if seen.contains(&key) {
            return Err(match known {
                Some(key) => error(word.line, format!("`{key}` is there twice")),
                None => unknown(word),
            });
        }
        seen.push(key);
        match known {
            None => spec.kind = bare_kind(word)?,
            Some("type") => {
                let word = reader.argument("type", "a kind of map")?;
                spec.kind = kind(word)?;
            }
            Some("key") => spec.key = part(&mut reader, &mut parser, "key")?,
            Some("value") => spec.value = part(&mut reader, &mut parser, "value")?,
            Some("entries") => spec.max_entries = Some(reader.u32("entries")?),
            Some("name") => spec.name = Some(name(reader.argument("name", "a name")?)?),
            Some("flags") => read_flags(&mut reader, &mut spec)?,
            Some("inner_map") => spec.inner = Some(inner(&mut reader, inside)?),
            Some("map_extra") => spec.map_extra = reader.number("map_extra", u64::MAX)?,
            Some("numa_node") => numa_node(&mut spec, reader.u32("numa_node")?, word.line)?,
            Some("ifindex") => spec.ifindex = reader.u32("ifindex")?,
            Some(of) => {
                spec.excl_prog_hash = Some(sha256(reader.argument(of, "64 hex digits")?)?);
            }
        }
    }
    if !seen.contains(&"type") {
        return Err(error(
            reader.line,
            "the kind of map is missing, such as `hash` in `hash key u32 value u64 entries 8`",
        ));
    }
    spec.types = Arc::new(parser.types);
    Ok(spec)
}

/// Reads the types of a map and its events alone: `key TYPE value TYPE event TYPE`.
pub(super) fn types(text: &str, parser: &mut Parser) -> Result<[Option<TypeId>; 3], SpecError> {
    const TYPED: [&str; 3] = ["key", "value", "event"];
    let mut reader = Reader { text: text.trim_ascii_end(), at: 0, line: 1 };
    let mut parts = [None; 3];
    while let Some(word) = reader.next()? {
        let place = TYPED.iter().position(|known| *known == word.text && !word.quoted);
        let Some((name, part)) = place.and_then(|at| Some((*TYPED.get(at)?, parts.get_mut(at)?)))
        else {
            let shown = clip(word.text);
            return Err(error(
                word.line,
                format!("`{shown}` stands where one of the words {} is needed", TYPED.join(", ")),
            ));
        };
        if part.is_some() {
            return Err(error(word.line, format!("`{name}` is there twice")));
        }
        let (text, line) = reader.c_type(name, &TYPED)?;
        let ty = parser.single_type(text, line).map_err(|fail| {
            let at = if fail.line > 1 { format!("line {}: ", fail.line) } else { String::new() };
            let hint = slip(text, &TYPED);
            let reason = format!("{at}in the type of the {name}: {}{hint}", fail.reason);
            SpecError { incomplete: false, reason }
        })?;
        *part = Some(ty);
    }
    Ok(parts)
}

fn unknown(word: Word<'_>) -> SpecError {
    let shown = clip(word.text);
    let hint = match nearest_word(word.text) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the words are {}", WORDS.join(", ")),
    };
    error(word.line, format!("unknown word `{shown}`: {hint}"))
}

/// The word that is meant by one that is none.
fn nearest_word(word: &str) -> Option<&'static str> {
    let other = OTHER_WORDS.iter().find(|(other, _)| other.eq_ignore_ascii_case(word));
    other.map(|(_, own)| *own).or_else(|| suggest::closest(word, WORDS))
}

/// Which of `words` is meant by one that was read as a part of a C type, since it is none: in
/// `key u32 valu u64`.
fn slip(ty: &str, words: &[&str]) -> String {
    let is_word = |part: &&str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let parts = ty.split_ascii_whitespace().skip(1).filter(is_word);
    let mut meant = parts.filter_map(nearest_word);
    match meant.find(|word| words.contains(word)) {
        Some(word) => format!("; did you mean `{word}`?"),
        None => String::new(),
    }
}

fn kind(word: Word<'_>) -> Result<u32, SpecError> {
    if let Some(kind) = kind::by_name(word.text) {
        return Ok(kind);
    }
    if let Some(kind) = integer(word.text).and_then(|n| u32::try_from(n).ok()) {
        return Ok(kind);
    }
    Err(no_kind(word, "the kinds are "))
}

fn no_kind(word: Word<'_>, before: &str) -> SpecError {
    let shown = clip(word.text);
    let hint = match suggest::closest(word.text, kind::names()).or_else(|| nearest_word(word.text))
    {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{before}{}", kind::names().collect::<Vec<_>>().join(", ")),
    };
    error(word.line, format!("unknown kind of map `{shown}`: {hint}"))
}

/// A kind without `type` before it: by name alone, since a number is more likely a value.
fn bare_kind(word: Word<'_>) -> Result<u32, SpecError> {
    if let Some(kind) = kind::by_name(word.text) {
        return Ok(kind);
    }
    let before = format!("{WHAT_IS_MADE}; the kinds are ");
    let is_number = integer(word.text.trim_start_matches(['-', '+'])).is_some();
    if is_number || word.quoted || word.text.starts_with(['{', '[']) {
        return Err(error(
            word.line,
            format!("`{}` makes nothing: {WHAT_IS_MADE}", clip(word.text)),
        ));
    }
    Err(no_kind(word, &before))
}

/// A size or a type.
fn part(reader: &mut Reader<'_>, parser: &mut Parser, of: &str) -> Result<Part, SpecError> {
    if let Some(word) = reader.peek()?
        && word.text.starts_with(|c: char| c.is_ascii_digit())
    {
        return Ok(Part::Size(reader.u32(of)?));
    }
    let (text, line) = reader.c_type(of, &WORDS)?;
    let fail = |fail: c::Fail| {
        let hint = slip(text, &WORDS);
        error(fail.line, format!("in the type of the {of}: {}{hint}", fail.reason))
    };
    parser.single_type(text, line).map(Part::Type).map_err(fail)
}

fn name(word: Word<'_>) -> Result<String, SpecError> {
    let name = word.text;
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    if name.is_empty() || name.len() > MAX_NAME || !fits {
        return Err(error(
            word.line,
            format!("`name {}` must be 1 to 15 characters of A-Z a-z 0-9 _ .", clip(name)),
        ));
    }
    Ok(name.to_owned())
}

/// Names and numbers with commas or bars between.
fn read_flags(reader: &mut Reader<'_>, spec: &mut Spec) -> Result<(), SpecError> {
    loop {
        let word = reader.argument("flags", "names or a number")?;
        for part in word.text.split([',', '|']).map(str::trim).filter(|part| !part.is_empty()) {
            flag(spec, part, word.line)?;
        }
        let more = |text: &str| text.ends_with([',', '|']);
        let goes_on = match reader.peek()? {
            Some(next) => more(word.text) || next.text.starts_with([',', '|']),
            None => false,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

fn flag(spec: &mut Spec, part: &str, line: u32) -> Result<(), SpecError> {
    if let Some((name, value)) = part.split_once('=') {
        let numa = flags::by_name(name.trim()) == Some(flags::NUMA_NODE);
        let node = integer(value.trim()).and_then(|n| u32::try_from(n).ok());
        return match node {
            Some(node) if numa => numa_node(spec, node, line),
            _ => Err(error(
                line,
                format!(
                    "`{}` is no flag: only numa_node takes a number, as numa_node=0",
                    clip(part)
                ),
            )),
        };
    }
    if let Some(bits) = integer(part) {
        spec.flags |= u32::try_from(bits)
            .map_err(|_| error(line, format!("`flags {}` is more than 32 bits", clip(part))))?;
        return Ok(());
    }
    if let Some(flag) = flags::by_name(part) {
        spec.flags |= flag;
        return Ok(());
    }
    let hint = match suggest::closest(part, flags::all()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the flags are {}", flags::all().collect::<Vec<_>>().join(", ")),
    };
    Err(error(line, format!("unknown flag `{}`: {hint}", clip(part))))
}

fn numa_node(spec: &mut Spec, node: u32, line: u32) -> Result<(), SpecError> {
    if spec.numa_node.is_some_and(|old| old != node) {
        return Err(error(line, "two different NUMA nodes are asked for"));
    }
    spec.numa_node = Some(node);
    Ok(())
}

/// A path, an id, or a map in words in braces.
fn inner(reader: &mut Reader<'_>, inside: bool) -> Result<Inner, SpecError> {
    const WHAT: &str = "a path, `id N`, or a map's words in { }";
    let word = reader.argument("inner_map", WHAT)?;
    if word.quoted {
        return Ok(Inner::Path(PathBuf::from(word.text)));
    }
    match word.text {
        "id" => Ok(Inner::Id(reader.u32("inner_map id")?)),
        "pinned" => Ok(Inner::Path(reader.argument("inner_map pinned", "a path")?.text.into())),
        "name" => Err(error(word.line, "`inner_map name` may mean several maps: give `id N`")),
        text if text.starts_with('{') => {
            if inside {
                return Err(error(word.line, "the maps in a map cannot hold maps themselves"));
            }
            let (text, line) = braces(reader, word)?;
            let spec = parse(text, line, true)?;
            Ok(Inner::Definition(Box::new(spec)))
        }
        text => match integer(text).and_then(|n| u32::try_from(n).ok()) {
            Some(id) => Ok(Inner::Id(id)),
            None => Ok(Inner::Path(PathBuf::from(text))),
        },
    }
}

/// What stands between the `{` that `word` starts with and the `}` that closes it.
fn braces<'a>(reader: &mut Reader<'a>, word: Word<'a>) -> Result<(&'a str, u32), SpecError> {
    let mut open = 0u32;
    for (i, byte) in reader.text.bytes().enumerate().skip(word.start) {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => {
                let text = &reader.text[word.start + 1..i];
                reader.at = i + 1;
                reader.line = word.line + text.bytes().map(|b| u32::from(b == b'\n')).sum::<u32>();
                return Ok((text, word.line));
            }
            b'}' => open -= 1,
            _ => {}
        }
    }
    Err(unfinished(word.line, "a brace of the inner map"))
}

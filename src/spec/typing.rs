//! Types for maps that have none, or say too little: by a text of whoever knows better.
//!
//! A text is C as for a new map, of which only `key`, `value` and `event` matter, or the words `key
//! TYPE value TYPE event TYPE`. What it does not define is looked for in the kernel's own BTF.

use super::c::Parser;
use super::definition::FIELDS;
use super::types::{FieldValue, TypeId, Types};
use super::{MAX_TEXT, Part, Spec, SpecError, btf_writer, definition, words};
use std::sync::Arc;

/// The types of one map, and of its events.
#[derive(Debug, Clone)]
pub struct Typing {
    /// The name of the maps that it is for; none in words.
    pub name: Option<String>,
    /// The line that the name is on, from 1.
    pub line: u32,
    parts: [Option<TypeId>; 3],
    types: Arc<Types>,
}

/// Raw BTF for types, and the ids of three in it: 0 for what is not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypingBtf {
    /// As BPF_BTF_LOAD would take it.
    pub bytes: Vec<u8>,
    /// The key's type.
    pub key: u32,
    /// The value's type.
    pub value: u32,
    /// The type of events.
    pub event: u32,
    /// Bytes of each type, in this order.
    pub sizes: [Option<u32>; 3],
}

fn fail(line: u32, reason: impl Into<String>) -> SpecError {
    SpecError { incomplete: false, reason: format!("line {line}: {}", reason.into()) }
}

impl Typing {
    /// The types that a map was to have.
    pub(super) fn of_spec(spec: &Spec) -> Self {
        let ty = |part: &Part| match part {
            Part::Type(id) => Some(*id),
            Part::Absent | Part::Size(_) => None,
        };
        let parts = [ty(&spec.key), ty(&spec.value), None];
        Self { name: None, line: 1, parts, types: Arc::clone(&spec.types) }
    }

    /// Reads a file of definitions.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, SpecError> {
        if text.len() > MAX_TEXT {
            return Err(fail(1, format!("the text is longer than {MAX_TEXT} bytes")));
        }
        let mut parser = Parser::with_kernel();
        parser.file(text)?;
        let types = Arc::new(std::mem::take(&mut parser.types));
        let mut found = Vec::new();
        for map in &parser.maps {
            let Some(record) = types.record(map.ty).filter(|record| !record.fields.is_empty())
            else {
                return Err(fail(
                    map.line,
                    format!("`{}` says no types: write __type(key, TYPE)", map.name),
                ));
            };
            let mut parts = [None; 3];
            for field in &record.fields {
                let part = match (field.name.as_str(), field.value) {
                    ("key", FieldValue::CType(ty)) => (0, ty),
                    ("value", FieldValue::CType(ty)) => (1, ty),
                    ("event", FieldValue::CType(ty)) => (2, ty),
                    // Whoever pastes a map's definition may leave in how it is made.
                    (name, _) if name != "key" && name != "value" && FIELDS.contains(&name) => {
                        continue;
                    }
                    (name, _) => {
                        let reason = format!(
                            "`{name}` is none of __type(key, TYPE), __type(value, TYPE) and \
                             __type(event, TYPE)"
                        );
                        return Err(fail(field.line, reason));
                    }
                };
                if types.size(part.1).is_none() {
                    let reason = format!("the type of `{}` is not defined", field.name);
                    return Err(fail(field.line, reason));
                }
                if let Some(place) = parts.get_mut(part.0) {
                    *place = Some(part.1);
                }
            }
            let name = Some(map.name.clone());
            let types = Arc::clone(&types);
            found.push(Self { name, line: map.line, parts, types });
        }
        Ok(found)
    }

    /// Reads the types of one map: one definition in C, or words.
    ///
    /// # Errors
    /// What is wrong; whether more text might mend it.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        if !matches!(first, "key" | "value" | "event") {
            if first.is_empty() || !definition::is_c(text) {
                let reason = "write `key TYPE value TYPE`, with `event TYPE` for a stream; \
                              a definition in C; or `btf` for the map's own types";
                return Err(SpecError { incomplete: false, reason: reason.to_owned() });
            }
            let mut found = Self::parse_file(text)?.into_iter();
            return match (found.next(), found.next()) {
                (Some(one), None) => Ok(one),
                (Some(_), Some(second)) => {
                    Err(fail(second.line, "a second map: write the types of one"))
                }
                (None, _) => {
                    let reason = "there is no map in the text: struct { … } NAME SEC(\".maps\");";
                    Err(SpecError { incomplete: true, reason: reason.to_owned() })
                }
            };
        }
        let mut parser = Parser::with_kernel();
        let parts = words::types(text, &mut parser)?;
        let types = Arc::new(parser.types);
        let undefined = parts.iter().flatten().any(|part| types.size(*part).is_none());
        if undefined {
            return Err(fail(1, "a type is not defined, in the text or in the kernel"));
        }
        Ok(Self { name: None, line: 1, parts, types })
    }

    /// The BTF of the types.
    ///
    /// # Errors
    /// If there are too many of them.
    pub fn btf(&self) -> Result<TypingBtf, String> {
        let roots = self.parts.map(|part| part.unwrap_or(TypeId::VOID));
        let (bytes, [key, value, event]) = btf_writer::write(&self.types, roots)?;
        let sizes = self.parts.map(|part| part.and_then(|part| self.types.size(part)));
        Ok(TypingBtf { bytes, key, value, event, sizes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> [Option<u32>; 3] {
        Typing::parse(text).unwrap().btf().unwrap().sizes
    }

    #[test]
    fn words_and_definitions() {
        assert_eq!(sizes("key ipv4_t value u64"), [Some(4), Some(8), None]);
        assert_eq!(sizes("value 'struct { u32 a; u64 b; }'\n"), [None, Some(16), None]);
        assert_eq!(sizes("event ksym_t"), [None, None, Some(8)]);
        assert_eq!(sizes("key mac_t value ipv6_t event port_t"), [Some(6), Some(16), Some(2)]);
        let text =
            "struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, hex16_t); } m SEC(\".maps\");";
        assert_eq!(sizes(text), [Some(2), None, None]);
    }

    #[test]
    fn a_file_has_many_maps() {
        let text = "struct e { u32 a; };\nstruct { __type(key, struct in_addr); } a SEC(\".maps\");\n\
                    struct {\n __type(event, struct e);\n} b SEC(\".maps\");\n";
        let found = Typing::parse_file(text).unwrap();
        let names: Vec<_> = found.iter().map(|typing| typing.name.as_deref()).collect();
        assert_eq!(names, [Some("a"), Some("b")]);
        assert_eq!(found.iter().map(|typing| typing.line).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn refusals_have_their_line() {
        for (text, reason) in [
            ("\nstruct { __type(kex, u32); } a SEC(\".maps\");", "line 2: `kex` is none of"),
            (
                "struct { __type(key, struct no); } a SEC(\".maps\");",
                "line 1: the type of `key` is",
            ),
            ("struct {\n __type(key, nothing_t);\n} a SEC(\".maps\");", "line 2: unknown type"),
            ("int x SEC(\".maps\");", "line 1: `x` says no types"),
        ] {
            let error = Typing::parse_file(text).unwrap_err();
            assert!(error.reason.starts_with(reason), "{}", error.reason);
        }
        for text in
            ["", "  \n", "1", "hash", "key u32 key u32", "key", "key u32 entries 5", "key u32 x"]
        {
            assert!(!Typing::parse(text).unwrap_err().incomplete, "{text}");
        }
    }
}

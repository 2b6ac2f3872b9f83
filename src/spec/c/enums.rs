//! `enum { … }`

use super::attributes::Attributes;
use super::expressions::Const;
use super::{Parser, Result, Tag};
use crate::spec::types::{CType, Enumeration, TypeId};

impl Parser {
    /// Reads what starts with `enum`.
    pub(super) fn enum_type(&mut self) -> Result<TypeId> {
        self.next();
        let mut attributes = Attributes::default();
        self.attributes(&mut attributes)?;
        let name = self.optional_name();
        let fixed = if self.eat(":") { Some(self.underlying()?) } else { None };
        if !self.eat("{") {
            let Some(name) = name else { return Err(self.fail("expected a tag or `{`")) };
            return self.tag_reference("enum", &name);
        }
        let id = match &name {
            Some(name) => Some(self.tag_definition("enum", name)?),
            None => None,
        };
        let values = self.enumerators()?;
        self.attributes(&mut attributes)?;
        let (size, signed) = match fixed {
            Some(fixed) => fixed,
            None => self.fitting(&values, attributes.packed)?,
        };
        if let Some((name, value)) = values.iter().find(|(_, v)| !holds(*v, size, signed)) {
            let bits = u32::from(size) * 8;
            return Err(self.error(format!("`{name}` is {value}, which {bits} bits do not hold")));
        }
        let e = Enumeration { name, signed, size: Some(size), values };
        Ok(match id {
            Some(id) => {
                self.types.complete_enumeration(id, e, attributes.align);
                id
            }
            None => self.types.enumeration(e, attributes.align),
        })
    }

    /// The type after `enum NAME :`.
    fn underlying(&mut self) -> Result<(u8, bool)> {
        let ty = self.specifiers()?.ty;
        match self.types.get(self.types.resolve(ty)) {
            CType::Int { size, signed, boolean: false, .. } if *size <= 8 => Ok((*size, *signed)),
            _ => Err(self.error("an enum's type must be an integer of at most 64 bits")),
        }
    }

    fn enumerators(&mut self) -> Result<Vec<(String, i128)>> {
        let mut values: Vec<(String, i128)> = Vec::new();
        while !self.eat("}") {
            let name = self.name("a constant's name or `}`")?;
            let mut ignored = Attributes::default();
            self.attributes(&mut ignored)?;
            let value = match self.eat("=") {
                true => self.constant()?.value,
                false => values.last().map_or(0, |(_, value)| value + 1),
            };
            let Some(c) = Const::of(value) else {
                return Err(self.error(format!("`{name}` is {value}: more than 64 bits")));
            };
            if self.constants.insert(name.clone(), c).is_some() {
                return Err(self.error(format!("the constant `{name}` is defined twice")));
            }
            values.push((name, value));
            if !self.eat(",") && !self.is("}") {
                return Err(self.fail("expected `,` or `}`"));
            }
        }
        if values.is_empty() {
            return Err(self.error("an enum needs at least one constant"));
        }
        if values.len() > usize::from(u16::MAX) {
            return Err(self.error("an enum can have at most 65535 constants"));
        }
        Ok(values)
    }

    /// The smallest type that clang takes for these values.
    fn fitting(&self, values: &[(String, i128)], packed: bool) -> Result<(u8, bool)> {
        let signed = values.iter().any(|(_, value)| *value < 0);
        let sizes: &[u8] = if packed { &[1, 2, 4, 8] } else { &[4, 8] };
        sizes
            .iter()
            .find(|size| values.iter().all(|(_, value)| holds(*value, **size, signed)))
            .map(|size| (*size, signed))
            .ok_or_else(|| self.error("no integer of 64 bits holds all of the enum's constants"))
    }

    /// The tag `name` as a mention of it means it: defined, well known or declared by this.
    pub(super) fn tag_reference(&mut self, word: &'static str, name: &str) -> Result<TypeId> {
        let tag = match self.tags.get(name) {
            Some(tag) => *tag,
            None => match self.known_struct(name)? {
                Some(tag) if word == "struct" => tag,
                _ => match self.kernels_tag(word, name) {
                    Some(tag) => tag,
                    None => self.declare_tag(word, name),
                },
            },
        };
        self.check_word(tag, word, name)?;
        Ok(tag.id)
    }

    /// The tag `name` to be given its definition here.
    pub(super) fn tag_definition(&mut self, word: &'static str, name: &str) -> Result<TypeId> {
        let tag = match self.tags.get(name) {
            Some(tag) if !tag.known => *tag,
            _ => self.declare_tag(word, name),
        };
        self.check_word(tag, word, name)?;
        let defined = match self.types.get(tag.id) {
            CType::CRecord(record) => record.members.is_some(),
            CType::Enum(e) => e.size.is_some(),
            _ => false,
        };
        if defined {
            return Err(self.error(format!("`{word} {name}` is defined twice")));
        }
        Ok(tag.id)
    }

    fn check_word(&self, tag: Tag, word: &str, name: &str) -> Result<()> {
        if tag.word == word {
            return Ok(());
        }
        Err(self.error(format!("`{name}` is the tag of {} `{}`", article(tag.word), tag.word)))
    }

    fn declare_tag(&mut self, word: &'static str, name: &str) -> Tag {
        let id = match word {
            "enum" => {
                let name = Some(name.to_owned());
                let e = Enumeration { name, signed: false, size: None, values: Vec::new() };
                self.types.enumeration(e, 0)
            }
            _ => self.types.declare(word == "union", Some(name)),
        };
        let tag = Tag { id, word, known: false };
        self.tags.insert(name.to_owned(), tag);
        tag
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['e', 'u']) { "an" } else { "a" }
}

fn holds(value: i128, size: u8, signed: bool) -> bool {
    let bits = u32::from(size) * 8;
    match signed {
        true => (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(&value),
        false => (0..1i128 << bits).contains(&value),
    }
}

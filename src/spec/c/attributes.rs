//! `__attribute__((…))`, and the macros by which BPF programs write the same.

use super::lexer::Tok;
use super::{Parser, Result};
use crate::spec::types::MAX_SIZE;

/// What attributes say, as far as a map's types depend on it.
#[derive(Debug, Default, Clone)]
pub(super) struct Attributes {
    /// `packed`
    pub(super) packed: bool,
    /// `aligned(N)`, the largest of several; 0 without.
    pub(super) align: u32,
    /// `section("…")`
    pub(super) section: Option<String>,
    /// `btf_type_tag("…")`
    pub(super) type_tags: Vec<String>,
    /// `btf_decl_tag("…")`
    pub(super) decl_tags: Vec<String>,
}

/// Words that libbpf's and the kernel's headers define as a type tag.
const TAG_WORDS: [(&str, &str); 7] = [
    ("__kptr", "kptr"),
    ("__kptr_untrusted", "kptr_untrusted"),
    ("__percpu_kptr", "percpu_kptr"),
    ("__uptr", "uptr"),
    ("__rcu", "rcu"),
    ("__user", "user"),
    ("__percpu", "percpu"),
];

/// Words of these headers that say nothing about a type.
const IGNORED_WORDS: [&str; 8] = [
    "__weak",
    "__hidden",
    "__ksym",
    "__kconfig",
    "__noinline",
    "__always_inline",
    "__maybe_unused",
    "__arena",
];

/// Attributes that change a layout in ways not worked out here.
const REFUSED: [&str; 6] =
    ["mode", "vector_size", "ext_vector_type", "ms_struct", "gcc_struct", "scalar_storage_order"];

/// `aligned` without a number, on BPF.
const MOST_ALIGNED: u32 = 16;

impl Attributes {
    /// Adds what `other` says.
    pub(super) fn merge(&mut self, other: Attributes) {
        self.packed |= other.packed;
        self.align = self.align.max(other.align);
        self.section = other.section.or_else(|| self.section.take());
        self.type_tags.extend(other.type_tags);
        self.decl_tags.extend(other.decl_tags);
    }
}

impl Parser {
    /// Whether an attribute starts here.
    pub(super) fn starts_attribute(&self) -> bool {
        let Some(word) = self.word() else { return false };
        matches!(
            word,
            "__attribute__"
                | "__attribute"
                | "SEC"
                | "__aligned"
                | "__packed"
                | "_Alignas"
                | "alignas"
                | "__contains"
        ) || TAG_WORDS.iter().any(|(known, _)| *known == word)
            || IGNORED_WORDS.contains(&word)
    }

    /// Reads any number of attributes.
    pub(super) fn attributes(&mut self, into: &mut Attributes) -> Result<()> {
        while self.starts_attribute() {
            let word = self.name("an attribute")?;
            match word.as_str() {
                "__attribute__" | "__attribute" => self.attribute_list(into)?,
                "SEC" => {
                    self.expect("(")?;
                    into.section = Some(self.string()?);
                    self.expect(")")?;
                }
                "__packed" => into.packed = true,
                "__aligned" => self.aligned(into)?,
                "_Alignas" | "alignas" => self.alignas(into)?,
                "__contains" => self.contains(into)?,
                word => {
                    if let Some((_, tag)) = TAG_WORDS.iter().find(|(known, _)| *known == word) {
                        into.type_tags.push((*tag).to_owned());
                    }
                }
            }
        }
        Ok(())
    }

    /// What follows `__attribute__`.
    fn attribute_list(&mut self, into: &mut Attributes) -> Result<()> {
        self.expect("(")?;
        self.expect("(")?;
        while !self.eat(")") {
            if self.eat(",") {
                continue;
            }
            let name = self.name("an attribute's name")?;
            // `__packed__` is `packed`.
            let name = name.strip_prefix("__").and_then(|n| n.strip_suffix("__")).unwrap_or(&name);
            match name {
                "packed" => into.packed = true,
                "aligned" if self.is("(") => self.aligned(into)?,
                "aligned" => into.align = into.align.max(MOST_ALIGNED),
                "section" => into.section = Some(self.string_argument()?),
                "btf_type_tag" => into.type_tags.push(self.string_argument()?),
                "btf_decl_tag" => into.decl_tags.push(self.string_argument()?),
                name if REFUSED.contains(&name) => {
                    return Err(self.error(format!("the attribute `{name}` is not understood")));
                }
                // As clang does with those it does not know.
                _ if self.eat("(") => self.skip_balanced()?,
                _ => {}
            }
        }
        self.expect(")")
    }

    fn aligned(&mut self, into: &mut Attributes) -> Result<()> {
        self.expect("(")?;
        let align = self.alignment()?;
        self.expect(")")?;
        into.align = into.align.max(align);
        Ok(())
    }

    fn alignment(&mut self) -> Result<u32> {
        let n = self.constant_up_to(MAX_SIZE, "an alignment")?;
        if !n.is_power_of_two() {
            return Err(self.error(format!("an alignment is {n}, but must be a power of two")));
        }
        Ok(n as u32)
    }

    /// `_Alignas` takes a type as well.
    fn alignas(&mut self, into: &mut Attributes) -> Result<()> {
        self.expect("(")?;
        let align = if self.starts_type() {
            let ty = self.type_name()?;
            self.types.align(ty)
        } else {
            self.alignment()?
        };
        self.expect(")")?;
        into.align = into.align.max(align);
        Ok(())
    }

    /// `__contains(TYPE, MEMBER)`, on a `bpf_list_head` or `bpf_rb_root`.
    fn contains(&mut self, into: &mut Attributes) -> Result<()> {
        self.expect("(")?;
        let ty = self.name("a struct's name")?;
        self.expect(",")?;
        let member = self.name("a member's name")?;
        self.expect(")")?;
        into.decl_tags.push(format!("contains:{ty}:{member}"));
        Ok(())
    }

    fn string_argument(&mut self) -> Result<String> {
        self.expect("(")?;
        let text = self.string()?;
        self.expect(")")?;
        Ok(text)
    }

    /// A string, adjacent ones joined.
    pub(super) fn string(&mut self) -> Result<String> {
        let mut text = String::new();
        let mut found = false;
        while let Tok::Text(part) = &self.token().tok {
            text.push_str(part);
            found = true;
            self.next();
        }
        if found { Ok(text) } else { Err(self.fail("expected a string in double quotes")) }
    }
}

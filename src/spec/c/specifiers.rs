//! What a declaration starts with: storage, qualifiers and the type that its names build on.

use super::attributes::Attributes;
use super::declarators::Chunk;
use super::{Parser, Result};
use crate::spec::suggest;
use crate::spec::types::{Qualifier, TypeId};

/// `typedef`, or anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    Object,
    Typedef,
}

/// The start of a declaration.
#[derive(Debug)]
pub(super) struct Specifiers {
    pub(super) ty: TypeId,
    pub(super) storage: Storage,
    /// Those that go to each name declared.
    pub(super) attributes: Attributes,
}

/// Words that say where an object lives or how a function is called.
const STORAGE: [&str; 9] = [
    "static",
    "extern",
    "register",
    "inline",
    "__inline",
    "__inline__",
    "_Noreturn",
    "auto",
    "__extension__",
];

/// Words that a basic type is spelled with.
const BASIC: [&str; 16] = [
    "void",
    "char",
    "short",
    "int",
    "long",
    "signed",
    "unsigned",
    "_Bool",
    "float",
    "double",
    "__int128",
    "__int128_t",
    "__uint128_t",
    "__signed__",
    "__signed",
    "_Float16",
];

/// The qualifier that a word spells, wherever it stands.
pub(super) fn qualifier(word: &str) -> Option<Qualifier> {
    match word {
        "const" | "__const" | "__const__" => Some(Qualifier::Const),
        "volatile" | "__volatile" | "__volatile__" => Some(Qualifier::Volatile),
        "restrict" | "__restrict" | "__restrict__" => Some(Qualifier::Restrict),
        _ => None,
    }
}

fn is_typeof(word: &str) -> bool {
    matches!(word, "typeof" | "__typeof__" | "__typeof")
}

fn is_tagged(word: &str) -> bool {
    matches!(word, "struct" | "union" | "enum")
}

/// How often each word of a basic type's spelling came; C allows them in any order.
#[derive(Default)]
struct Spelling {
    words: Vec<&'static str>,
}

impl Spelling {
    fn count(&self, word: &str) -> usize {
        self.words.iter().filter(|w| **w == word).count()
    }

    /// The type's canonical name, bytes, sign and whether it is a float.
    fn meaning(&self) -> Option<(&'static str, u8, bool, bool)> {
        let unsigned = self.count("unsigned");
        let signed = self.count("signed") + self.count("__signed__") + self.count("__signed");
        let sign_words = unsigned + signed;
        if sign_words > 1 {
            return None;
        }
        let u = unsigned == 1;
        let mut rest: Vec<&str> = self
            .words
            .iter()
            .copied()
            .filter(|w| !matches!(*w, "unsigned" | "signed" | "__signed__" | "__signed"))
            .collect();
        rest.sort_unstable();
        let plain = sign_words == 0;
        Some(match rest.as_slice() {
            ["void"] if plain => ("void", 0, false, false),
            ["char"] if u => ("unsigned char", 1, false, false),
            ["char"] if plain => ("char", 1, true, false),
            ["char"] => ("signed char", 1, true, false),
            ["short"] | ["int", "short"] if u => ("unsigned short", 2, false, false),
            ["short"] | ["int", "short"] => ("short", 2, true, false),
            ["int"] if u => ("unsigned int", 4, false, false),
            [] if u => ("unsigned int", 4, false, false),
            ["int"] => ("int", 4, true, false),
            [] if !plain => ("int", 4, true, false),
            ["long"] | ["int", "long"] if u => ("unsigned long", 8, false, false),
            ["long"] | ["int", "long"] => ("long", 8, true, false),
            ["long", "long"] | ["int", "long", "long"] if u => {
                ("unsigned long long", 8, false, false)
            }
            ["long", "long"] | ["int", "long", "long"] => ("long long", 8, true, false),
            ["__int128"] if u => ("unsigned __int128", 16, false, false),
            ["__int128"] => ("__int128", 16, true, false),
            ["__int128_t"] if plain => ("__int128", 16, true, false),
            ["__uint128_t"] if plain => ("unsigned __int128", 16, false, false),
            ["_Bool"] if plain => ("_Bool", 1, false, false),
            ["float"] if plain => ("float", 4, true, true),
            ["double"] if plain => ("double", 8, true, true),
            ["double", "long"] if plain => ("long double", 8, true, true),
            _ => return None,
        })
    }
}

/// Bytes, sign and whether it is `_Bool`, of the integer type that C spells so.
pub(crate) fn basic_int(spelling: &str) -> Option<(u8, bool, bool)> {
    let words = spelling.split(' ').map(|word| BASIC.iter().copied().find(|basic| *basic == word));
    let spelling = Spelling { words: words.take(5).collect::<Option<_>>()? };
    let (name, size, signed, float) = spelling.meaning()?;
    (size > 0 && !float).then_some((size, signed, name == "_Bool"))
}

impl Parser {
    /// Whether a type starts here, as opposed to an expression or a declarator.
    pub(super) fn starts_type(&self) -> bool {
        let Some(word) = self.word() else { return false };
        Self::is_type_word(word)
            || word == "__extension__"
            || self.starts_attribute()
            || self.is_typedef(word)
    }

    /// Reads the start of a declaration.
    pub(super) fn specifiers(&mut self) -> Result<Specifiers> {
        self.nested(Self::specifiers_here)
    }

    fn specifiers_here(&mut self) -> Result<Specifiers> {
        let mut storage = Storage::Object;
        let mut attributes = Attributes::default();
        let mut qualifiers = Vec::new();
        let mut spelling = Spelling::default();
        let mut ty: Option<TypeId> = None;
        loop {
            self.attributes(&mut attributes)?;
            let Some(word) = self.word() else { break };
            if word == "typedef" {
                storage = Storage::Typedef;
                self.next();
            } else if STORAGE.contains(&word) {
                self.next();
            } else if let Some(qualifier) = qualifier(word) {
                self.next();
                if !qualifiers.contains(&qualifier) {
                    qualifiers.push(qualifier);
                }
            } else if let Some(basic) = BASIC.iter().find(|basic| **basic == word) {
                self.next();
                spelling.words.push(basic);
                if ty.is_some() || spelling.words.len() > 4 {
                    return Err(self.error(format!("`{basic}` does not fit the type before it")));
                }
            } else if ty.is_some() || !spelling.words.is_empty() {
                break;
            } else if is_tagged(word) {
                ty = Some(if word == "enum" { self.enum_type()? } else { self.record_type()? });
            } else if is_typeof(word) {
                self.next();
                self.expect("(")?;
                if !self.starts_type() {
                    return Err(self.fail("expected a type"));
                }
                ty = Some(self.type_name()?);
                self.expect(")")?;
            } else {
                let word = word.to_owned();
                ty = self.typedef_named(&word)?;
                if ty.is_none() {
                    return Err(self.unknown_type(&word));
                }
                self.next();
            }
        }
        let base = match ty {
            Some(ty) => ty,
            None if spelling.words.is_empty() => return Err(self.fail("expected a type")),
            None => self.basic_type(&spelling)?,
        };
        let ty = qualifiers.into_iter().rev().fold(base, |ty, q| self.types.qualified(q, ty));
        Ok(Specifiers { ty, storage, attributes })
    }

    fn unknown_type(&self, word: &str) -> super::Fail {
        let own = self.typedefs.keys().map(String::as_str);
        let names = own.chain(Self::known_typedefs()).chain(BASIC.iter().copied());
        let hint = if self.tags.contains_key(word) {
            format!("did you mean `struct {word}`?")
        } else {
            match suggest::closest(word, names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "its definition must come before the map".to_owned(),
            }
        };
        let token = self.token();
        super::Fail {
            line: token.line,
            reason: format!("unknown type `{word}`: {hint}"),
            incomplete: token.last,
        }
    }

    fn basic_type(&mut self, spelling: &Spelling) -> Result<TypeId> {
        let Some((name, size, signed, float)) = spelling.meaning() else {
            return Err(self.error(format!("`{}` is no type", spelling.words.join(" "))));
        };
        if size == 0 {
            return Ok(TypeId::VOID);
        }
        if let Some(id) = self.basic.get(name) {
            return Ok(*id);
        }
        let id = match float {
            true => self.types.float(name, size),
            false => self.types.int(name, size, signed, name == "_Bool"),
        };
        self.basic.insert(name, id);
        Ok(id)
    }

    /// Reads a type without a name, as `sizeof` and `__type` take it.
    pub(super) fn type_name(&mut self) -> Result<TypeId> {
        let specifiers = self.specifiers()?;
        let mut attributes = Attributes::default();
        let (name, chunks) = self.declarator(&mut attributes)?;
        if let Some(name) = name {
            return Err(self.error(format!("expected a type alone, without the name `{name}`")));
        }
        self.build(specifiers.ty, &specifiers.attributes.type_tags, chunks)
    }

    /// Whether `word` belongs to a type by itself, whatever the text declares.
    pub(super) fn is_type_word(word: &str) -> bool {
        BASIC.contains(&word) || is_tagged(word) || is_typeof(word) || qualifier(word).is_some()
    }

    /// Whether the chunks make the declared thing a function.
    pub(super) fn is_function(chunks: &[Chunk]) -> bool {
        matches!(chunks.last(), Some(Chunk::Function { .. }))
    }
}

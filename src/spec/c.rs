//! C declarations: as much of C as the definition of a map and of its types needs.
//!
//! Each file reads one level of the language, from characters up to declarations. All state is one
//! [`Parser`]; nothing recurses deeper than [`MAX_DEPTH`].

mod attributes;
mod declarations;
mod declarators;
mod enums;
mod expressions;
mod known;
mod lexer;
mod records;
mod specifiers;

use super::types::{TypeId, Types};
use crate::btf::Btf;
use expressions::Const;
use lexer::{Tok, Token, tokens};
pub(crate) use specifiers::basic_int;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::rc::Rc;

/// How deep structs, parentheses and macros may nest. The kernel resolves BTF to a depth of 32.
pub(super) const MAX_DEPTH: u32 = 40;

/// Bytes of text at most.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// Why a text is no C that makes a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fail {
    /// The line, from 1.
    pub(super) line: u32,
    /// What is wrong, and what would be right.
    pub(super) reason: String,
    /// Whether more text might mend it.
    pub(super) incomplete: bool,
}

pub(super) type Result<T> = std::result::Result<T, Fail>;

/// A variable in the section `.maps`.
#[derive(Debug, Clone)]
pub(super) struct MapVariable {
    /// The variable's name.
    pub(super) name: String,
    /// The line it is declared on.
    pub(super) line: u32,
    /// Its type.
    pub(super) ty: TypeId,
    /// Whether it has an initialiser.
    pub(super) initialised: bool,
}

/// `struct`, `union` and `enum` tags share one name space, as C has it.
#[derive(Debug, Clone, Copy)]
struct Tag {
    id: TypeId,
    word: &'static str,
    /// From the table of well-known types: the text may define its own.
    known: bool,
}

#[derive(Debug, Clone, Copy)]
struct Alias {
    id: TypeId,
    known: bool,
}

/// Reads tokens into types.
#[derive(Debug)]
pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    /// The types read so far.
    pub(super) types: Types,
    typedefs: HashMap<String, Alias>,
    tags: HashMap<String, Tag>,
    /// Tags that the text defines somewhere: to it, the well-known structs of these names are not.
    own_tags: HashSet<Rc<str>>,
    constants: HashMap<String, Const>,
    /// Integers and floats already in `types`, by their spelling.
    basic: HashMap<&'static str, TypeId>,
    /// The kernel's BTF, if types that neither the text defines nor we know are to be looked for in it:
    /// read when the first such name comes, and then none if this kernel tells nothing.
    kernel: Option<OnceCell<Option<Rc<Btf>>>>,
    /// The maps defined so far.
    pub(super) maps: Vec<MapVariable>,
}

impl Parser {
    /// A parser that has read nothing.
    pub(super) fn new() -> Self {
        Self {
            tokens: vec![Token::end()],
            at: 0,
            depth: 0,
            types: Types::default(),
            typedefs: HashMap::new(),
            tags: HashMap::new(),
            own_tags: HashSet::new(),
            constants: HashMap::new(),
            basic: HashMap::new(),
            kernel: None,
            maps: Vec::new(),
        }
    }

    /// One that takes from the kernel's BTF what a text does not define.
    pub(super) fn with_kernel() -> Self {
        Self { kernel: Some(OnceCell::new()), ..Self::new() }
    }

    /// Reads with `tokens` in place of the present ones, which it returns to.
    fn with<T>(&mut self, tokens: Vec<Token>, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let tokens = mem::replace(&mut self.tokens, tokens);
        let at = mem::replace(&mut self.at, 0);
        let result = f(self);
        self.tokens = tokens;
        self.at = at;
        result
    }

    /// The present token; the last one of a list is always [`Tok::End`].
    fn token(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, n: usize) -> &Token {
        let last = self.tokens.len().saturating_sub(1);
        &self.tokens[(self.at + n).min(last)]
    }

    fn line(&self) -> u32 {
        self.token().line
    }

    fn next(&mut self) -> Token {
        let token = self.token().clone();
        self.at = (self.at + 1).min(self.tokens.len().saturating_sub(1));
        token
    }

    fn is(&self, punct: &str) -> bool {
        matches!(&self.token().tok, Tok::Punct(p) if *p == punct)
    }

    fn eat(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, punct: &str) -> Result<()> {
        if self.eat(punct) { Ok(()) } else { Err(self.fail(format!("expected `{punct}`"))) }
    }

    /// The identifier here, if there is one.
    fn word(&self) -> Option<&str> {
        match &self.token().tok {
            Tok::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// Takes an identifier; `what` says which, for the error.
    fn name(&mut self, what: &str) -> Result<String> {
        self.optional_name().ok_or_else(|| self.fail(format!("expected {what}")))
    }

    fn optional_name(&mut self) -> Option<String> {
        let word = self.word()?.to_owned();
        self.next();
        Some(word)
    }

    /// An error at the present token.
    fn fail(&self, reason: impl AsRef<str>) -> Fail {
        let token = self.token();
        let reason = reason.as_ref();
        let reason = match &token.tok {
            Tok::End => format!("{reason}, but the text ends"),
            tok => format!("{reason} at `{tok}`"),
        };
        Fail { line: token.line, reason, incomplete: token.last }
    }

    /// An error that names its own cause, at the token before the present one.
    fn error(&self, reason: impl Into<String>) -> Fail {
        let before = &self.tokens[self.at.saturating_sub(1)];
        Fail { line: before.line, reason: reason.into(), incomplete: before.last }
    }

    /// Runs `f` one level deeper.
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Fail {
                line: self.line(),
                reason: format!("nested more than {MAX_DEPTH} levels deep"),
                incomplete: false,
            });
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    /// Skips to the token after the bracket that closes the one just taken.
    fn skip_balanced(&mut self) -> Result<()> {
        let mut open = 1u32;
        while open > 0 {
            match &self.token().tok {
                Tok::End => return Err(self.fail("expected a closing bracket")),
                Tok::Punct("(" | "[" | "{") => open += 1,
                Tok::Punct(")" | "]" | "}") => open -= 1,
                _ => {}
            }
            self.next();
        }
        Ok(())
    }
}

//! Characters to tokens: comments, directives and `#define` are gone afterwards.

use super::expressions::Const;
use super::{Fail, MAX_DEPTH, MAX_TEXT, Result};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// Tokens at most, macros expanded.
const MAX_TOKENS: usize = 1 << 19;

/// The longest identifier: the kernel takes names in BTF up to 511 bytes.
const MAX_NAME: usize = 511;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tok {
    /// An identifier or keyword.
    Word(Rc<str>),
    /// An integer or character constant.
    Number(Const),
    /// A string, adjacent ones not yet joined.
    Text(Rc<str>),
    /// An operator or bracket.
    Punct(&'static str),
    /// After the last token.
    End,
}

impl fmt::Display for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tok::Word(word) => f.write_str(word),
            Tok::Number(number) => write!(f, "{}", number.value),
            Tok::Text(text) => write!(f, "\"{text}\""),
            Tok::Punct(punct) => f.write_str(punct),
            Tok::End => f.write_str("end of text"),
        }
    }
}

/// A token and where it is.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// What it is.
    pub(super) tok: Tok,
    /// Its line, from 1.
    pub(super) line: u32,
    /// Whether it touches the end of the text, so that more text might change it.
    pub(super) last: bool,
}

impl Token {
    pub(super) fn end() -> Self {
        Self { tok: Tok::End, line: 1, last: true }
    }
}

/// Operators and brackets that start with a byte, longest first.
fn puncts(first: u8) -> &'static [&'static str] {
    match first {
        b'{' => &["{"],
        b'}' => &["}"],
        b'(' => &["("],
        b')' => &[")"],
        b'[' => &["["],
        b']' => &["]"],
        b';' => &[";"],
        b',' => &[","],
        b':' => &[":"],
        b'?' => &["?"],
        b'~' => &["~"],
        b'.' => &["...", "."],
        b'*' => &["*=", "*"],
        b'/' => &["/=", "/"],
        b'%' => &["%=", "%"],
        b'^' => &["^=", "^"],
        b'=' => &["==", "="],
        b'!' => &["!=", "!"],
        b'+' => &["++", "+=", "+"],
        b'-' => &["->", "--", "-=", "-"],
        b'&' => &["&&", "&=", "&"],
        b'|' => &["||", "|=", "|"],
        b'<' => &["<<=", "<<", "<=", "<"],
        b'>' => &[">>=", ">>", ">=", ">"],
        _ => &[],
    }
}

/// Macros of libbpf's headers that the parser itself understands: their definitions are skipped.
const OWN_MACROS: [&str; 8] =
    ["__uint", "__type", "__array", "__ulong", "SEC", "__contains", "__aligned", "__always_inline"];

enum Macro {
    Object(Rc<[Token]>),
    Function,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: bool,
    /// Tokens that may still be looked at: macros that stand for nothing cost work as well.
    budget: usize,
    macros: HashMap<Rc<str>, Macro>,
}

/// Reads `text`, which starts at `line`, into tokens. The last one is [`Tok::End`].
///
/// # Errors
/// What is no token of C; directives that choose between texts; too much of anything.
pub(super) fn tokens(text: &str, line: u32) -> Result<Vec<Token>> {
    if text.len() > MAX_TEXT {
        let reason = format!("the text is longer than {MAX_TEXT} bytes");
        return Err(Fail { line, reason, incomplete: false });
    }
    let mut lexer =
        Lexer { text, at: 0, line, line_start: true, budget: MAX_TOKENS, macros: HashMap::new() };
    let mut out = Vec::new();
    while let Some(token) = lexer.token(false)? {
        lexer.expand(token, &mut out, &mut Vec::new())?;
    }
    let end = Token { tok: Tok::End, line: lexer.line, last: true };
    out.push(end);
    Ok(out)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self, n: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + n).copied()
    }

    fn fail(&self, reason: impl Into<String>) -> Fail {
        Fail { line: self.line, reason: reason.into(), incomplete: self.at >= self.text.len() }
    }

    fn unfinished(&self, line: u32, what: &str) -> Fail {
        Fail { line, reason: format!("{what} is not closed"), incomplete: true }
    }

    /// The next token; in a directive, none at the line's end.
    fn token(&mut self, directive: bool) -> Result<Option<Token>> {
        loop {
            let Some(byte) = self.peek(0) else { return Ok(None) };
            match byte {
                b'\n' if directive => return Ok(None),
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.line_start = true;
                }
                b'\\' if self.newline_after_backslash() => {}
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'/' if self.peek(1) == Some(b'/') => self.line_comment(),
                b'/' if self.peek(1) == Some(b'*') => self.block_comment()?,
                b'#' if self.line_start && !directive => {
                    self.at += 1;
                    self.directive()?;
                }
                _ => {
                    self.line_start = false;
                    return self.plain(byte).map(Some);
                }
            }
        }
    }

    fn newline_after_backslash(&mut self) -> bool {
        let n = if self.peek(1) == Some(b'\r') { 2 } else { 1 };
        let found = self.peek(n) == Some(b'\n');
        if found {
            self.at += n + 1;
            self.line += 1;
        }
        found
    }

    fn line_comment(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn block_comment(&mut self) -> Result<()> {
        let line = self.line;
        let rest = self.rest();
        let Some(len) = rest.get(2..).and_then(|rest| rest.find("*/")) else {
            return Err(self.unfinished(line, "the comment"));
        };
        let comment = &rest[..len + 4];
        self.line += count_lines(comment);
        self.at += comment.len();
        Ok(())
    }

    /// A token that begins with `byte`.
    fn plain(&mut self, byte: u8) -> Result<Token> {
        let line = self.line;
        let tok = match byte {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => self.identifier()?,
            b'0'..=b'9' => self.number()?,
            b'"' => Tok::Text(self.quoted(b'"')?.into()),
            b'\'' => self.character()?,
            _ => self.punct(byte)?,
        };
        Ok(Token { tok, line, last: self.at >= self.text.len() })
    }

    fn identifier(&mut self) -> Result<Tok> {
        let rest = self.rest();
        let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += len;
        if len > MAX_NAME {
            return Err(self.fail(format!("a name is longer than {MAX_NAME} bytes")));
        }
        Ok(Tok::Word(rest[..len].into()))
    }

    fn number(&mut self) -> Result<Tok> {
        let rest = self.rest();
        let is_part = |c: char| c == '_' || c == '.' || c.is_ascii_alphanumeric();
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += len;
        let word = &rest[..len];
        Const::literal(word)
            .map(Tok::Number)
            .ok_or_else(|| self.fail(format!("`{}` is no integer", clip(word))))
    }

    /// The content between `quote`s, escapes still in it.
    fn quoted(&mut self, quote: u8) -> Result<&'a str> {
        let bytes = self.rest().as_bytes();
        let mut len = 1;
        loop {
            match bytes.get(len) {
                None => return Err(self.unfinished(self.line, "the quotation")),
                Some(b'\n') => return Err(self.fail("the quotation is not closed on its line")),
                Some(b'\\') => len += 2,
                Some(&byte) if byte == quote => break,
                Some(_) => len += 1,
            }
        }
        let content = self.rest().get(1..len).unwrap_or_default();
        self.at += len + 1;
        Ok(content)
    }

    fn character(&mut self) -> Result<Tok> {
        let content = self.quoted(b'\'')?;
        match Const::character(content) {
            Some(value) => Ok(Tok::Number(value)),
            None => Err(self.fail(format!("`'{}'` is no character", clip(content)))),
        }
    }

    fn punct(&mut self, first: u8) -> Result<Tok> {
        let rest = self.rest();
        match puncts(first).iter().find(|punct| rest.starts_with(**punct)) {
            Some(punct) => {
                self.at += punct.len();
                Ok(Tok::Punct(punct))
            }
            None => {
                let c = rest.chars().next().unwrap_or_default();
                Err(self.fail(format!("`{}` has no place in C here", c.escape_default())))
            }
        }
    }

    fn directive(&mut self) -> Result<()> {
        let word = self.token(true)?;
        let name = match word.as_ref().map(|token| &token.tok) {
            // `#` alone, and `# 1 "file.c"` as a preprocessor leaves it.
            None | Some(Tok::Number(_)) => "include",
            Some(Tok::Word(name)) => name,
            Some(tok) => return Err(self.fail(format!("`#{tok}` is no directive"))),
        };
        match name {
            "include" | "line" => self.skip_line(),
            "pragma" => self.pragma(),
            "define" => self.define(),
            "undef" => {
                if let Some(Token { tok: Tok::Word(name), .. }) = self.token(true)? {
                    self.macros.remove(&name);
                }
                self.skip_line()
            }
            "if" | "ifdef" | "ifndef" | "elif" | "else" | "endif" => Err(self.fail(format!(
                "`#{name}` is not worked out here: leave only the lines that apply"
            ))),
            _ => Err(self.fail(format!(
                "`#{name}` is not understood: only #define, #include and #pragma are"
            ))),
        }
    }

    fn pragma(&mut self) -> Result<()> {
        match self.token(true)? {
            Some(Token { tok: Tok::Word(word), .. }) if &*word == "pack" => Err(self.fail(
                "`#pragma pack` is not understood: use __attribute__((packed)) on each struct",
            )),
            _ => self.skip_line(),
        }
    }

    /// Skips the rest of a line, comments that go on over its end included.
    fn skip_line(&mut self) -> Result<()> {
        loop {
            match self.peek(0) {
                None | Some(b'\n') => return Ok(()),
                Some(b'\\') if self.newline_after_backslash() => {}
                Some(b'/') if self.peek(1) == Some(b'*') => self.block_comment()?,
                Some(b'/') if self.peek(1) == Some(b'/') => self.line_comment(),
                Some(_) => {
                    self.at += 1;
                    while !self.text.is_char_boundary(self.at) {
                        self.at += 1;
                    }
                }
            }
        }
    }

    fn define(&mut self) -> Result<()> {
        let Some(Token { tok: Tok::Word(name), .. }) = self.token(true)? else {
            return Err(self.fail("#define needs a name"));
        };
        if OWN_MACROS.contains(&&*name) {
            return self.skip_line();
        }
        // Only a parenthesis that touches the name makes a macro with arguments.
        if self.peek(0) == Some(b'(') {
            self.macros.insert(name, Macro::Function);
            return self.skip_line();
        }
        let mut body = Vec::new();
        while let Some(token) = self.token(true)? {
            body.push(token);
        }
        self.macros.insert(name, Macro::Object(body.into()));
        Ok(())
    }

    /// Appends `token`, or what it stands for if it names a macro.
    fn expand(
        &mut self,
        token: Token,
        out: &mut Vec<Token>,
        inside: &mut Vec<Rc<str>>,
    ) -> Result<()> {
        let fail = |reason| Err(Fail { line: token.line, reason, incomplete: false });
        if self.budget == 0 {
            return fail(format!("the text has more than {MAX_TOKENS} words and signs"));
        }
        self.budget -= 1;
        let name = match &token.tok {
            Tok::Word(name) if !inside.contains(name) => name.clone(),
            _ => {
                out.push(token);
                return Ok(());
            }
        };
        let body = match self.macros.get(&name) {
            None => {
                out.push(token);
                return Ok(());
            }
            Some(Macro::Function) => {
                return fail(format!(
                    "the macro `{name}` takes arguments: write what it stands for instead"
                ));
            }
            Some(Macro::Object(body)) => body.clone(),
        };
        if inside.len() >= MAX_DEPTH as usize {
            return fail(format!("the macro `{name}` is nested too deep"));
        }
        inside.push(name);
        for part in body.iter() {
            let part = Token { line: token.line, last: token.last, ..part.clone() };
            self.expand(part, out, inside)?;
        }
        inside.pop();
        Ok(())
    }
}

fn count_lines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|&byte| byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// Enough of a word to recognise it in an error.
fn clip(word: &str) -> &str {
    match word.char_indices().nth(40) {
        Some((end, _)) => &word[..end],
        None => word,
    }
}

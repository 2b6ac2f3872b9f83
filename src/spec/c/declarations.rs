//! Declarations outside of any struct: types, typedefs and the maps. Functions are skipped, as
//! are variables in other sections, so that a program's text can be pasted.

use super::attributes::Attributes;
use super::lexer::{Tok, Token, tokens};
use super::specifiers::Storage;
use super::{Alias, MapVariable, Parser, Result};
use crate::spec::types::TypeId;
use std::rc::Rc;

impl Parser {
    /// Reads `text` as a whole file.
    pub(in super::super) fn file(&mut self, text: &str) -> Result<()> {
        let tokens = tokens(text, 1)?;
        self.note_own_tags(&tokens);
        self.with(tokens, |p| {
            while p.token().tok != Tok::End {
                p.declaration()?;
            }
            Ok(())
        })
    }

    /// Reads `text`, which starts at `line` of the whole, as one type.
    pub(in super::super) fn single_type(&mut self, text: &str, line: u32) -> Result<TypeId> {
        let tokens = tokens(text, line)?;
        self.note_own_tags(&tokens);
        self.with(tokens, |p| {
            let ty = p.type_name()?;
            match p.token().tok {
                Tok::End => Ok(ty),
                _ => Err(p.fail("expected nothing more after the type")),
            }
        })
    }

    /// Notes the tags that a text defines, before it is read: a mention that comes before the
    /// definition means that one too.
    fn note_own_tags(&mut self, tokens: &[Token]) {
        for pair in tokens.windows(2) {
            if let [Token { tok: Tok::Word(tag), .. }, Token { tok: Tok::Punct("{"), .. }] = pair {
                self.own_tags.insert(Rc::clone(tag));
            }
        }
    }

    /// Reads one declaration.
    pub(super) fn declaration(&mut self) -> Result<()> {
        if self.eat(";") || self.static_assert()? {
            return Ok(());
        }
        let specifiers = self.specifiers()?;
        if self.eat(";") {
            return Ok(());
        }
        loop {
            let mut attributes = specifiers.attributes.clone();
            let line = self.line();
            let (name, chunks) = self.declarator(&mut attributes)?;
            let Some(name) = name else { return Err(self.fail("expected a name or `;`")) };
            let function = Self::is_function(&chunks);
            let ty = self.build(specifiers.ty, &attributes.type_tags, chunks)?;
            self.attributes(&mut attributes)?;
            if specifiers.storage == Storage::Typedef {
                self.add_typedef(&name, ty, attributes.align)?;
            } else if function && self.eat("{") {
                return self.skip_balanced();
            } else {
                let initialised = self.eat("=");
                if initialised {
                    self.skip_initialiser()?;
                }
                if !self.is(";") && !self.is(",") {
                    return Err(self.fail("expected `;`"));
                }
                self.variable(MapVariable { name, line, ty, initialised }, &attributes)?;
            }
            if self.eat(";") {
                return Ok(());
            }
            if !self.eat(",") {
                return Err(self.fail("expected `;`"));
            }
        }
    }

    fn add_typedef(&mut self, name: &str, target: TypeId, align: u32) -> Result<()> {
        let id = self.types.typedef(name, target, align);
        if let Some(old) = self.typedefs.get(name).filter(|alias| !alias.known) {
            // C lets a typedef be repeated if it means the same.
            let measure = |id| (self.types.size(id), self.types.align(id));
            if measure(old.id) != measure(id) {
                return Err(self.error(format!("the typedef `{name}` is defined twice")));
            }
            return Ok(());
        }
        self.typedefs.insert(name.to_owned(), Alias { id, known: false });
        Ok(())
    }

    fn variable(&mut self, map: MapVariable, attributes: &Attributes) -> Result<()> {
        match attributes.section.as_deref() {
            Some(".maps") => self.maps.push(map),
            Some("maps") => {
                return Err(self.error(
                    "SEC(\"maps\") is libbpf's old form: write the map as struct { __uint(type, …); \
                     … } NAME SEC(\".maps\")",
                ));
            }
            _ => {
                let fields = self.types.record(map.ty).map_or(0, |record| record.fields.len());
                if fields > 0 {
                    let name = &map.name;
                    return Err(self.error(format!(
                        "`{name}` looks like a map: write SEC(\".maps\") after its name"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Skips to the `,` or `;` after an initialiser.
    fn skip_initialiser(&mut self) -> Result<()> {
        loop {
            match &self.token().tok {
                Tok::End => return Err(self.fail("expected `;`")),
                Tok::Punct("," | ";") => return Ok(()),
                Tok::Punct("(" | "[" | "{") => {
                    self.next();
                    self.skip_balanced()?;
                }
                _ => {
                    self.next();
                }
            }
        }
    }
}

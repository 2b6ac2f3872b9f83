//! Pointers, arrays and functions around a declared name.

use super::attributes::Attributes;
use super::specifiers::qualifier;
use super::{Parser, Result};
use crate::spec::types::{CType, Qualifier, TypeId, Unsized};

/// One step from the base type out to the declared name's type.
#[derive(Debug)]
pub(super) enum Chunk {
    Pointer { qualifiers: Vec<Qualifier>, tags: Vec<String> },
    Array(u32),
    Function { params: Vec<(Option<String>, TypeId)>, variadic: bool },
}

/// Steps at most: the kernel follows types no further than 32.
const MAX_CHUNKS: usize = 64;

impl Parser {
    /// Reads a declarator, with or without a name, and its steps from the base type outwards.
    pub(super) fn declarator(
        &mut self,
        attributes: &mut Attributes,
    ) -> Result<(Option<String>, Vec<Chunk>)> {
        let mut chunks = Vec::new();
        let name = self.nested(|p| p.declarator_into(attributes, &mut chunks))?;
        Ok((name, chunks))
    }

    fn declarator_into(
        &mut self,
        attributes: &mut Attributes,
        chunks: &mut Vec<Chunk>,
    ) -> Result<Option<String>> {
        self.attributes(attributes)?;
        while self.eat("*") {
            let pointer = self.pointer(attributes)?;
            self.push(chunks, pointer)?;
        }
        let mut inner = Vec::new();
        let mut name = None;
        if self.is("(") && self.opens_declarator() {
            self.next();
            name = self.nested(|p| p.declarator_into(attributes, &mut inner))?;
            self.expect(")")?;
        } else if self.word().is_some() {
            name = Some(self.name("a name")?);
        }
        let mut suffixes = Vec::new();
        loop {
            let chunk = if self.eat("[") {
                self.array()?
            } else if self.eat("(") {
                self.nested(Self::parameters)?
            } else {
                break;
            };
            self.push(&mut suffixes, chunk)?;
        }
        // `a[2][3]` is two arrays of three: the last suffix is nearest to the base type.
        for chunk in suffixes.into_iter().rev().chain(inner) {
            self.push(chunks, chunk)?;
        }
        self.attributes(attributes)?;
        Ok(name)
    }

    fn push(&self, chunks: &mut Vec<Chunk>, chunk: Chunk) -> Result<()> {
        if chunks.len() >= MAX_CHUNKS {
            return Err(self.error("the type has too many pointers, arrays or functions"));
        }
        chunks.push(chunk);
        Ok(())
    }

    /// What follows a `*`. Attributes that say nothing of the pointer go to the name.
    fn pointer(&mut self, attributes: &mut Attributes) -> Result<Chunk> {
        let mut own = Attributes::default();
        let mut qualifiers = Vec::new();
        loop {
            self.attributes(&mut own)?;
            let Some(qualifier) = self.word().and_then(qualifier) else { break };
            self.next();
            if !qualifiers.contains(&qualifier) {
                qualifiers.push(qualifier);
            }
        }
        let tags = std::mem::take(&mut own.type_tags);
        attributes.merge(own);
        Ok(Chunk::Pointer { qualifiers, tags })
    }

    /// Whether the `(` here groups a declarator, or starts a function's parameters.
    fn opens_declarator(&self) -> bool {
        match &self.ahead(1).tok {
            super::lexer::Tok::Punct("*" | "(" | "[") => true,
            super::lexer::Tok::Word(word) => {
                // `int (x)` declares x; `int (u32)` takes a u32; attributes may come first.
                matches!(&**word, "__attribute__" | "__attribute")
                    || !(self.is_typedef(word) || Self::is_type_word(word))
            }
            _ => false,
        }
    }

    /// What follows a `[`.
    fn array(&mut self) -> Result<Chunk> {
        while self.word().is_some_and(|word| word == "static" || qualifier(word).is_some()) {
            self.next();
        }
        if self.eat("]") {
            return Ok(Chunk::Array(0));
        }
        let count = self.constant_up_to(u32::MAX.into(), "an array's length")?;
        self.expect("]")?;
        Ok(Chunk::Array(count as u32))
    }

    /// What follows a function's `(`.
    fn parameters(&mut self) -> Result<Chunk> {
        let (mut params, mut variadic) = (Vec::new(), false);
        if self.eat(")") {
            return Ok(Chunk::Function { params, variadic });
        }
        loop {
            if self.eat("...") {
                variadic = true;
                self.expect(")")?;
                break;
            }
            let specifiers = self.specifiers()?;
            let mut attributes = specifiers.attributes;
            let (name, mut chunks) = self.declarator(&mut attributes)?;
            // A parameter that is an array or function is a pointer to it.
            if matches!(chunks.last(), Some(Chunk::Array(_))) {
                chunks.pop();
                chunks.push(Chunk::Pointer { qualifiers: Vec::new(), tags: Vec::new() });
            } else if Self::is_function(&chunks) {
                chunks.push(Chunk::Pointer { qualifiers: Vec::new(), tags: Vec::new() });
            }
            let ty = self.build(specifiers.ty, &attributes.type_tags, chunks)?;
            if !(ty == TypeId::VOID && params.is_empty() && name.is_none() && self.is(")")) {
                params.push((name, ty));
            }
            if self.eat(")") {
                break;
            }
            self.expect(",")?;
        }
        Ok(Chunk::Function { params, variadic })
    }

    /// Applies a declarator's steps to its base type.
    pub(super) fn build(
        &mut self,
        base: TypeId,
        tags: &[String],
        chunks: Vec<Chunk>,
    ) -> Result<TypeId> {
        let mut ty = base;
        let mut tags = tags.to_vec();
        for chunk in chunks {
            match chunk {
                Chunk::Pointer { qualifiers, tags: own } => {
                    // The first tag written is the outermost.
                    for tag in tags.iter().rev() {
                        ty = self.types.tagged(tag, ty);
                    }
                    ty = self.types.pointer(ty);
                    for qualifier in qualifiers {
                        ty = self.types.qualified(qualifier, ty);
                    }
                    tags = own;
                }
                Chunk::Array(count) => {
                    ty = self.types.array(ty, count).map_err(|why| {
                        let name = self.describe(ty);
                        self.error(match why {
                            Unsized::TooLarge => format!("an array of {count} {name} is too large"),
                            Unsized::Incomplete => format!("an array cannot be made of {name}"),
                        })
                    })?;
                    tags.clear();
                }
                Chunk::Function { params, variadic } => {
                    let returns = self.types.get(self.types.resolve(ty));
                    if matches!(returns, CType::Array { .. } | CType::Function { .. }) {
                        return Err(self.error("a function cannot return an array or a function"));
                    }
                    ty = self.types.function(ty, params, variadic);
                    tags.clear();
                }
            }
        }
        Ok(ty)
    }

    /// A type in a few words, for an error.
    pub(super) fn describe(&self, ty: TypeId) -> String {
        let ty = self.types.resolve(ty);
        match self.types.get(ty) {
            CType::Void => "void".to_owned(),
            CType::Function { .. } => "a function".to_owned(),
            CType::CRecord(r) => {
                let word = if r.union { "union" } else { "struct" };
                let name = r.name.as_deref().unwrap_or("without a name");
                match (&r.members, r.fields.is_empty()) {
                    (None, _) => format!("`{word} {name}`, which is not defined"),
                    (_, false) => format!("`{word} {name}`, which defines a map"),
                    _ => format!("`{word} {name}`"),
                }
            }
            CType::Enum(e) => {
                let name = e.name.as_deref().unwrap_or("without a name");
                match e.size {
                    None => format!("`enum {name}`, which is not defined"),
                    Some(_) => format!("`enum {name}`"),
                }
            }
            CType::Int { name, .. } | CType::Float { name, .. } => format!("`{name}`"),
            _ => format!("{} bytes", self.types.size(ty).unwrap_or(0)),
        }
    }
}

//! `struct { … }` and `union { … }`, a map's definition among them.

use super::attributes::Attributes;
use super::{Parser, Result};
use crate::spec::types::{CType, Declared, FieldValue, MapField, TypeId, Unsized};
use std::collections::HashSet;

/// Members at most, as many as BTF counts.
const MAX_MEMBERS: usize = 0xffff;

/// What the braces of a record hold.
#[derive(Default)]
struct Body {
    members: Vec<Declared>,
    fields: Vec<MapField>,
    names: HashSet<String>,
}

impl Parser {
    /// Reads what starts with `struct` or `union`.
    pub(super) fn record_type(&mut self) -> Result<TypeId> {
        let union = self.is_word("union");
        let word = if union { "union" } else { "struct" };
        self.next();
        let mut attributes = Attributes::default();
        self.attributes(&mut attributes)?;
        let name = self.optional_name();
        if !self.is("{") {
            return match name {
                Some(name) => self.tag_reference(word, &name),
                None => Err(self.fail("expected a tag or `{`")),
            };
        }
        self.next();
        let id = match &name {
            Some(name) => self.tag_definition(word, name)?,
            None => self.types.declare(union, None),
        };
        let body = self.nested(Self::body)?;
        self.attributes(&mut attributes)?;
        self.complete_record(id, body, &attributes)?;
        Ok(id)
    }

    fn complete_record(&mut self, id: TypeId, body: Body, attributes: &Attributes) -> Result<()> {
        let unknown = body.members.iter().find(|m| self.types.size(m.ty).is_none());
        if let Some(member) = unknown {
            let name = member.name.as_deref().unwrap_or("without a name");
            let reason = format!("the member `{name}` cannot be {}", self.describe(member.ty));
            return Err(self.error(reason));
        }
        let (packed, align) = (attributes.packed, attributes.align);
        self.types.complete(id, body.members, body.fields, packed, align).map_err(|why| {
            self.error(match why {
                Unsized::TooLarge => "the struct is too large",
                Unsized::Incomplete => "the struct has a member of unknown size",
            })
        })
    }

    /// Reads the members, after the `{`.
    fn body(&mut self) -> Result<Body> {
        let mut body = Body::default();
        while !self.eat("}") {
            if self.eat(";") || self.static_assert()? || self.map_field(&mut body)? {
                continue;
            }
            self.member(&mut body)?;
            if body.members.len() > MAX_MEMBERS {
                return Err(self.error(format!("a struct can have at most {MAX_MEMBERS} members")));
            }
        }
        Ok(body)
    }

    /// `_Static_assert(…);` says nothing of a layout.
    pub(super) fn static_assert(&mut self) -> Result<bool> {
        let found = self.is_word("_Static_assert") || self.is_word("static_assert");
        if found {
            self.next();
            self.expect("(")?;
            self.skip_balanced()?;
            self.expect(";")?;
        }
        Ok(found)
    }

    /// `__uint(NAME, VALUE);` and its like, which libbpf's headers define.
    fn map_field(&mut self, body: &mut Body) -> Result<bool> {
        let Some(word @ ("__uint" | "__ulong" | "__type" | "__array")) = self.word() else {
            return Ok(false);
        };
        let word = word.to_owned();
        self.next();
        let line = self.line();
        self.expect("(")?;
        let name = self.name("what to set, such as `max_entries`")?;
        self.expect(",")?;
        let value = match word.as_str() {
            "__uint" => {
                let what = format!("`{name}`");
                FieldValue::Number(self.constant_up_to(u32::MAX.into(), &what)?)
            }
            "__ulong" => {
                let what = format!("`{name}`");
                FieldValue::Number(self.constant_up_to(u64::MAX, &what)?)
            }
            "__type" => FieldValue::CType(self.type_name()?),
            _ => FieldValue::Elements(self.type_name()?),
        };
        self.expect(")")?;
        if !body.names.insert(name.clone()) {
            return Err(self.error(format!("`{name}` is set twice")));
        }
        body.fields.push(MapField { name, line, value });
        // The last `;` before the brace is often forgotten elsewhere; here clang insists on it too.
        self.expect(";")?;
        Ok(true)
    }

    /// Reads one declaration of members up to its `;`.
    fn member(&mut self, body: &mut Body) -> Result<()> {
        let specifiers = self.specifiers()?;
        if self.eat(";") {
            // A record without a tag is a member without a name; any other declares none.
            let anonymous = matches!(
                self.types.get(self.types.resolve(specifiers.ty)),
                CType::CRecord(record) if record.name.is_none()
            );
            if anonymous {
                self.take_names(specifiers.ty, &mut body.names)?;
                body.members.push(declared(None, specifiers.ty, None, specifiers.attributes));
            }
            return Ok(());
        }
        loop {
            let mut attributes = specifiers.attributes.clone();
            let (mut name, mut chunks) = (None, Vec::new());
            if !self.is(":") {
                (name, chunks) = self.declarator(&mut attributes)?;
                if name.is_none() {
                    return Err(self.fail("expected a member's name"));
                }
            }
            let tags = std::mem::take(&mut attributes.type_tags);
            let ty = self.build(specifiers.ty, &tags, chunks)?;
            let bits = if self.eat(":") { Some(self.width(ty, name.as_deref())?) } else { None };
            self.attributes(&mut attributes)?;
            if let Some(name) = &name
                && !body.names.insert(name.clone())
            {
                return Err(self.error(format!("the member `{name}` is there twice")));
            }
            body.members.push(declared(name, ty, bits, attributes));
            if self.eat(";") {
                return Ok(());
            }
            if !self.eat(",") {
                return Err(self.fail("expected `;`"));
            }
        }
    }

    /// The width of a bit-field of type `ty`, after the `:`.
    fn width(&mut self, ty: TypeId, name: Option<&str>) -> Result<u8> {
        let most = match self.types.get(self.types.resolve(ty)) {
            CType::Int { boolean: true, .. } => 1,
            CType::Int { size, .. } => u64::from(*size) * 8,
            CType::Enum(e) => u64::from(e.size.unwrap_or(4)) * 8,
            _ => return Err(self.error("a bit-field must be of an integer or enum type")),
        };
        let bits = self.constant_up_to(most, "a bit-field's width")?;
        match name {
            Some(name) if bits == 0 => Err(self
                .error(format!("the bit-field `{name}` has no bits; only one without a name may"))),
            _ => Ok(bits as u8),
        }
    }

    /// The names of an anonymous record's members count as its parent's.
    fn take_names(&self, ty: TypeId, names: &mut HashSet<String>) -> Result<()> {
        let mut records = vec![ty];
        while let Some(ty) = records.pop() {
            let members = self.types.record(ty).and_then(|record| record.members.as_ref());
            for member in members.into_iter().flatten() {
                match &member.name {
                    None => records.push(member.ty),
                    Some(name) if !names.insert(name.clone()) => {
                        return Err(self.error(format!("the member `{name}` is there twice")));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}

fn declared(
    name: Option<String>,
    ty: TypeId,
    bits: Option<u8>,
    attributes: Attributes,
) -> Declared {
    let Attributes { packed, align, decl_tags: tags, .. } = attributes;
    Declared { name, ty, bits, packed, align, tags }
}

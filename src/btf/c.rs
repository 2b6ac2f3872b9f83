//! Types as C writes them.

use super::{Btf, Kind};

/// Types that one declaration may mention, before it is cut with a `?`: cycles, and functions of
/// functions of functions, would have no end.
const STEPS: u32 = 256;

impl Btf {
    /// The type as in C, without a name: `struct flow_key`, `__u32`, `char[16]`, `void *`.
    pub fn spell(&self, id: u32) -> String {
        self.declare(id, "")
    }

    /// The declaration of `name` with a type: `char comm[16]`, `int (*handler)(void *)`.
    pub fn declare(&self, id: u32, name: &str) -> String {
        Speller { btf: self, steps: STEPS }.declarator(id, name.to_owned())
    }
}

/// Spells one type.
struct Speller<'a> {
    btf: &'a Btf,
    /// Types left to mention.
    steps: u32,
}

impl Speller<'_> {
    /// Builds a declaration from the name outwards.
    fn declarator(&mut self, id: u32, inner: String) -> String {
        let btf = self.btf;
        self.steps = self.steps.saturating_sub(1);
        let Some(found) = btf.get(id).filter(|_| self.steps > 0) else {
            self.steps = 0;
            return join("?", &inner);
        };
        let name = btf.name(found.name_at);
        match found.kind {
            Kind::Void => join("void", &inner),
            Kind::Ptr { of } if self.needs_brackets(of) => {
                self.declarator(of, format!("(*{inner})"))
            }
            Kind::Ptr { of } => self.declarator(of, format!("*{inner}")),
            Kind::Array { of, len } => self.declarator(of, format!("{inner}[{len}]")),
            Kind::FuncProto { of, .. } => {
                let params: Vec<_> = found
                    .kind
                    .params()
                    .map(|param| match param.of {
                        0 => "...".to_owned(),
                        id => self.declarator(id, btf.name(param.name_at).to_owned()),
                    })
                    .collect();
                let params = if params.is_empty() { "void".to_owned() } else { params.join(", ") };
                self.declarator(of, format!("{inner}({params})"))
            }
            Kind::Const { of } => self.qualified("const", of, inner),
            Kind::Volatile { of } => self.qualified("volatile", of, inner),
            Kind::Restrict { of } => self.qualified("restrict", of, inner),
            Kind::TypeTag { of } | Kind::DeclTag { of, .. } => self.declarator(of, inner),
            Kind::Var { of } | Kind::Func { of } => self.declarator(of, inner),
            Kind::Struct { .. } => join(&tagged("struct", name), &inner),
            Kind::Union { .. } => join(&tagged("union", name), &inner),
            Kind::Fwd { union: true } => join(&tagged("union", name), &inner),
            Kind::Fwd { union: false } => join(&tagged("struct", name), &inner),
            Kind::Enum { .. } => join(&tagged("enum", name), &inner),
            _ => join(name, &inner),
        }
    }

    /// Whether a pointer to this type is `(*name)`.
    fn needs_brackets(&self, id: u32) -> bool {
        matches!(self.resolve_tags(id), Some(Kind::Array { .. } | Kind::FuncProto { .. }))
    }

    /// A qualifier stands after the star of a pointer, and before any other type.
    fn qualified(&mut self, qualifier: &str, of: u32, inner: String) -> String {
        let pointer = matches!(self.resolve_tags(of), Some(Kind::Ptr { .. }));
        if pointer {
            let space = if inner.is_empty() { "" } else { " " };
            return self.declarator(of, format!("{qualifier}{space}{inner}"));
        }
        format!("{qualifier} {}", self.declarator(of, inner))
    }

    /// The kind behind type tags and further qualifiers, but not behind a typedef.
    fn resolve_tags(&self, id: u32) -> Option<Kind<'_>> {
        let mut id = id;
        for _ in 0..STEPS {
            match self.btf.get(id)?.kind {
                Kind::TypeTag { of }
                | Kind::Const { of }
                | Kind::Volatile { of }
                | Kind::Restrict { of } => id = of,
                kind => return Some(kind),
            }
        }
        None
    }
}

fn tagged(keyword: &str, name: &str) -> String {
    if name.is_empty() { format!("{keyword} {{…}}") } else { format!("{keyword} {name}") }
}

/// A type's name and what is declared with it.
fn join(name: &str, inner: &str) -> String {
    let space = if inner.is_empty() || inner.starts_with('[') { "" } else { " " };
    format!("{name}{space}{inner}")
}

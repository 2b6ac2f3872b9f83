//! Names that C can use, each for one thing.

use std::collections::{HashMap, HashSet};

/// Words that cannot name anything.
const KEYWORDS: [&str; 47] = [
    "alignas",
    "alignof",
    "auto",
    "bool",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "struct",
    "switch",
    "typedef",
    "typeof",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "_Alignas",
    "_Alignof",
    "_Bool",
    "_Noreturn",
    "_Static_assert",
    "SEC",
    "__int128",
    "__attribute__",
];

/// Words of the list above that are names in the C of BPF programs.
const ALLOWED: [&str; 4] = ["bool", "alignas", "alignof", "static_assert"];

/// The names given so far. BTF may have several types of one name; C may not.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    tags: HashSet<String>,
    ordinary: HashSet<String>,
    given: HashMap<u32, String>,
}

/// `name`, if C takes it.
pub(super) fn identifier(name: &str) -> Result<&str, String> {
    let keyword = KEYWORDS.contains(&name) && !ALLOWED.contains(&name);
    let letters = name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
    if keyword || !letters || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{name}` is no name in C"));
    }
    Ok(name)
}

/// `name` with what C does not take replaced.
pub(super) fn made_fit(name: &str) -> String {
    let fit = |c: char| if c == '_' || c.is_ascii_alphanumeric() { c } else { '_' };
    let mut fitted: String = name.chars().map(fit).collect();
    if identifier(&fitted).is_err() {
        fitted.insert(0, '_');
    }
    fitted
}

/// The first of `name`, `name___2`, `name___3`, … that is free.
fn free(name: &str, taken: &mut HashSet<String>) -> String {
    let mut free = name.to_owned();
    let mut n = 1u32;
    while !taken.insert(free.clone()) {
        n += 1;
        free = format!("{name}___{n}");
    }
    free
}

impl Names {
    /// The tag of the struct, union or enum `id`.
    pub(super) fn tag(&mut self, id: u32, name: &str) -> Result<String, String> {
        if let Some(given) = self.given.get(&id) {
            return Ok(given.clone());
        }
        let given = free(identifier(name)?, &mut self.tags);
        self.given.insert(id, given.clone());
        Ok(given)
    }

    /// The name of the typedef `id`.
    pub(super) fn ordinary(&mut self, id: u32, name: &str) -> Result<String, String> {
        if let Some(given) = self.given.get(&id) {
            return Ok(given.clone());
        }
        let given = free(identifier(name)?, &mut self.ordinary);
        self.given.insert(id, given.clone());
        Ok(given)
    }

    /// A name for a constant, a variable or a member, which no other has.
    pub(super) fn unique(&mut self, name: &str) -> Result<String, String> {
        Ok(free(identifier(name)?, &mut self.ordinary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_c() {
        let mut names = Names::default();
        assert_eq!(names.tag(1, "stats").as_deref(), Ok("stats"));
        assert_eq!(names.tag(2, "stats").as_deref(), Ok("stats___2"));
        assert_eq!(names.tag(1, "stats").as_deref(), Ok("stats"));
        assert_eq!(names.unique("stats").as_deref(), Ok("stats"));
        assert!(names.unique("int").is_err());
        assert!(identifier("a-b").is_err());
        assert_eq!(made_fit("my-map.1"), "my_map_1");
        assert_eq!(made_fit("1st"), "_1st");
        assert_eq!(made_fit("int"), "_int");
    }
}

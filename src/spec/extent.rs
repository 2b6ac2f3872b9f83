//! Where a C type that stands in bpftool's words without quotes ends.

/// What is still open at the end of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open(pub(super) &'static str);

/// Bytes of the type that `text` begins with: up to the first of `words` outside of brackets,
/// comments and quotations that is no struct's tag.
pub(super) fn of_type(text: &str, words: &[&str]) -> Result<usize, Open> {
    let bytes = text.as_bytes();
    let (mut at, mut end, mut open) = (0, 0, 0usize);
    let mut before = "";
    while let Some(byte) = bytes.get(at) {
        let rest = &text[at..];
        let len = match byte {
            b'/' if rest.starts_with("/*") => {
                2 + rest[2..].find("*/").ok_or(Open("a comment of the type"))? + 2
            }
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'"' | b'\'' => {
                let close = rest[1..].find(char::from(*byte));
                1 + close.ok_or(Open("a quotation of the type"))? + 1
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                let part = |c: char| c == '_' || c.is_ascii_alphanumeric();
                let len = rest.find(|c| !part(c)).unwrap_or(rest.len());
                let tag = matches!(before, "struct" | "union" | "enum");
                if open == 0 && at > 0 && !tag && words.contains(&&rest[..len]) {
                    return Ok(end);
                }
                before = &rest[..len];
                len
            }
            byte => {
                match byte {
                    b'{' | b'(' | b'[' => open += 1,
                    b'}' | b')' | b']' => open = open.saturating_sub(1),
                    _ => {}
                }
                if !byte.is_ascii_whitespace() {
                    before = "";
                }
                rest.chars().next().map_or(1, char::len_utf8)
            }
        };
        at += len;
        if !byte.is_ascii_whitespace() {
            end = at;
        }
    }
    if open > 0 { Err(Open("a bracket of the type")) } else { Ok(end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_ends_before_the_next_word() {
        let words = ["entries", "value"];
        for (text, ty) in [
            ("u32 entries 5", "u32"),
            ("struct { int entries; } value 3", "struct { int entries; }"),
            ("struct entries { int a; }entries 3", "struct entries { int a; }"),
            ("u32[2] /* value */ // entries\n value", "u32[2] /* value */ // entries"),
            ("struct { /* } */ int a; } entries 1", "struct { /* } */ int a; }"),
            ("int (*)(void)", "int (*)(void)"),
            ("é entries", "é"),
        ] {
            assert_eq!(of_type(text, &words), Ok(ty.len()), "{text}");
        }
        for (text, what) in [
            ("struct { int a; entries", "bracket"),
            ("struct { /* } entries", "comment"),
            ("int x[sizeof(\"a]", "quotation"),
        ] {
            assert!(of_type(text, &words).is_err_and(|open| open.0.contains(what)), "{text}");
        }
    }
}

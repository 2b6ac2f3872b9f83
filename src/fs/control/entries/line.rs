//! One line of `.entries`, taken apart: `{"key":…,"value":…}` in any order and with any white space.
//!
//! Only the outer object is read here. Where a part ends is found by its brackets and quotes; what
//! is between them is for the codec, which reads it as JSON of the part's type.

use std::borrow::Cow;

/// The parts of a line, each one JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value, or for `values` the array of all CPUs'.
    pub value: &'a [u8],
    /// Whether the line had `values`.
    pub per_cpu: bool,
}

/// Why a line is none, in words.
pub type LineFault = Cow<'static, str>;

/// Takes a line apart.
///
/// # Errors
/// If it is not an object with exactly the members `key` and `value` or `values`.
pub fn split(line: &[u8]) -> Result<Line<'_>, LineFault> {
    let mut scan = Scan { text: line, at: 0 };
    let (mut key, mut value) = (None, None);
    scan.byte(b'{', "the line is no JSON object")?;
    if scan.peek() == Some(b'}') {
        return Err("the object has no members; `key` and `value` are needed".into());
    }
    loop {
        let name = scan.name()?;
        scan.byte(b':', "a `:` is missing after a member's name")?;
        let part = scan.value()?;
        let twice = match &*name {
            "key" => key.replace(part).is_some(),
            "value" => value.replace((part, false)).is_some(),
            "values" => value.replace((part, true)).is_some(),
            _ => {
                let name: String = name.chars().flat_map(char::escape_debug).take(40).collect();
                return Err(
                    format!("there is no member `{name}`, only key, value and values").into()
                );
            }
        };
        if twice {
            return Err(format!("`{name}` stands where there is one already").into());
        }
        match scan.next() {
            Some(b',') => {}
            Some(b'}') => break,
            _ => return Err("the object does not end: `}` or `,` is missing".into()),
        }
    }
    if scan.peek().is_some() {
        return Err("something stands after the object".into());
    }
    match (key, value) {
        (Some(key), Some((value, per_cpu))) => Ok(Line { key, value, per_cpu }),
        (None, _) => Err("there is no `key`".into()),
        (_, None) => Err("there is no `value`".into()),
    }
}

/// The elements of a JSON array, handed to `each` one by one.
///
/// # Errors
/// If it is no array, or when `each` refuses.
pub fn elements<'a, E: From<LineFault>>(
    array: &'a [u8],
    mut each: impl FnMut(&'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut scan = Scan { text: array, at: 0 };
    scan.byte(b'[', "`values` is no array")?;
    if scan.peek() == Some(b']') {
        scan.at += 1;
    } else {
        loop {
            each(scan.value()?)?;
            match scan.next() {
                Some(b',') => {}
                Some(b']') => break,
                _ => {
                    return Err(
                        LineFault::from("`values` does not end: `]` or `,` is missing").into()
                    );
                }
            }
        }
    }
    match scan.peek() {
        None => Ok(()),
        Some(_) => Err(LineFault::from("something stands after `values`").into()),
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn byte(&mut self, wanted: u8, fault: &'static str) -> Result<(), LineFault> {
        if self.next() == Some(wanted) { Ok(()) } else { Err(fault.into()) }
    }

    /// A member's name.
    fn name(&mut self) -> Result<Cow<'a, str>, LineFault> {
        if self.peek() != Some(b'"') {
            return Err("a member's name in quotes is missing".into());
        }
        let start = self.at;
        self.string()?;
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        match quoted {
            b"\"key\"" => Ok("key".into()),
            b"\"value\"" => Ok("value".into()),
            b"\"values\"" => Ok("values".into()),
            _ => serde_json::from_slice::<String>(quoted)
                .map(Cow::from)
                .map_err(|error| format!("a member's name is no JSON string: {error}").into()),
        }
    }

    /// Passes a string, from its opening quote on.
    fn string(&mut self) -> Result<(), LineFault> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err("a string does not end".into()),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// One value: a string, an object or an array up to its end, or a number or word.
    fn value(&mut self) -> Result<&'a [u8], LineFault> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.string()?,
            Some(b'{' | b'[') => {
                let mut depth = 0_usize;
                loop {
                    match self.text.get(self.at) {
                        Some(b'"') => {
                            self.string()?;
                            continue;
                        }
                        Some(b'{' | b'[') => depth += 1,
                        Some(b'}' | b']') => depth -= 1,
                        Some(_) => {}
                        None => return Err("a bracket is not closed".into()),
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                let rest = self.text.get(start..).unwrap_or_default();
                let end = |c: &u8| matches!(c, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
                self.at = start + rest.iter().position(end).unwrap_or(rest.len());
                let word = rest.get(..self.at - start).unwrap_or_default();
                // The codec takes bare words too, but a line is JSON.
                if !is_number(word) && !matches!(word, b"true" | b"false" | b"null") {
                    let word = String::from_utf8_lossy(word);
                    let word: String = word.chars().flat_map(char::escape_debug).take(40).collect();
                    return Err(format!("`{word}` is no JSON value").into());
                }
            }
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }
}

/// Whether `word` is a number in JSON's grammar.
fn is_number(word: &[u8]) -> bool {
    fn digits(text: &[u8]) -> &[u8] {
        let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
        &text[end..]
    }
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let mut rest = match word {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', rest @ ..] => digits(rest),
        _ => return false,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = digits(fraction);
        if rest.len() == fraction.len() {
            return false;
        }
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            exponent => exponent,
        };
        rest = digits(exponent);
        if rest.len() == exponent.len() {
            return false;
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn parts(line: &str) -> Option<(&str, &str, bool)> {
        let line = split(line.as_bytes()).ok()?;
        let text = |part| std::str::from_utf8(part).unwrap();
        Some((text(line.key), text(line.value), line.per_cpu))
    }

    #[test]
    fn takes_lines_apart() {
        assert_eq!(parts(r#"{"key":1,"value":2}"#), Some(("1", "2", false)));
        assert_eq!(
            parts(" { \"values\" : [1, 2] ,\t\"key\" : \"a}\\\"\" } \r"),
            Some(("\"a}\\\"\"", "[1, 2]", true))
        );
        assert_eq!(
            parts(r#"{"\u006bey":{"a":[1,"]"]},"value":-1.5e3}"#),
            Some((r#"{"a":[1,"]"]}"#, "-1.5e3", false))
        );
    }

    #[test]
    fn refuses_what_is_no_line() {
        for line in [
            "",
            "{}",
            "[]",
            "1",
            r#"{"key":1}"#,
            r#"{"value":1}"#,
            r#"{"key":1,"value":2"#,
            r#"{"key":1,"value":2}}"#,
            r#"{"key":1,"value":2,}"#,
            r#"{"key":1,"key":1,"value":2}"#,
            r#"{"key":1,"value":2,"values":[2]}"#,
            r#"{"key":1,"value":2,"more":3}"#,
            r#"{key:1,"value":2}"#,
            r#"{"key":0x1,"value":2}"#,
            r#"{"key":01,"value":2}"#,
            r#"{"key":,"value":2}"#,
            r#"{"key":1 2,"value":2}"#,
            r#"{"key":eth0,"value":2}"#,
            r#"{"key":"a,"value":2}"#,
            r#"{"key":[1,"value":2}"#,
            r#"{"key":1.,"value":2}"#,
            r#"{"key":1e,"value":2}"#,
        ] {
            assert_eq!(parts(line), None, "{line}");
        }
    }

    #[test]
    fn elements_of_an_array() {
        let list = |array: &str| {
            let mut list = Vec::new();
            elements::<LineFault>(array.as_bytes(), |part| {
                list.push(String::from_utf8(part.to_vec()).unwrap());
                Ok(())
            })
            .map(|()| list)
        };
        assert_eq!(list("[1, {\"a\":[2]} ,\"x]\"]").unwrap(), ["1", "{\"a\":[2]}", "\"x]\""]);
        assert!(list(" [ ] ").unwrap().is_empty());
        for bad in ["1", "[1", "[1,]", "[,]", "[1]2", "[1 2]"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z\"\\\\{}]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What serde_json prints is taken apart into what it printed.
        #[test]
        fn agrees_with_serde(key in json(), value in json(), pretty in any::<bool>()) {
            let whole = serde_json::json!({"key": key, "value": value});
            let text =
                if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
            let text = text.unwrap();
            let line = split(text.as_bytes()).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(line.key).unwrap(), key);
            prop_assert_eq!(serde_json::from_slice::<Value>(line.value).unwrap(), value);
        }

        /// Any text: no panic, and what is accepted here with parts that are JSON is JSON.
        #[test]
        fn accepts_json_only(text in r#"[{}\[\]",:\\ 0-9a]{0,30}"#) {
            let text = format!(r#"{{"key":1,"value":{text}}}"#);
            if let Ok(line) = split(text.as_bytes())
                && serde_json::from_slice::<Value>(line.key).is_ok()
                && serde_json::from_slice::<Value>(line.value).is_ok()
            {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}

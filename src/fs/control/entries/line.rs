//! One line of `.entries`, taken apart: `{"key":…,"value":…}` in any order and with any white space.
//!
//! Only the outer object is read here; its parts are for the codec, which reads each as JSON of the
//! part's type.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The parts of a line, each one JSON document.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The key.
    pub key: &'a RawValue,
    /// The value, or those of all CPUs.
    pub value: LineValue<'a>,
}

/// What a line sets its key to.
#[derive(Debug, Clone, Copy)]
pub enum LineValue<'a> {
    /// `value`.
    One(&'a RawValue),
    /// `values`: an array of a value for each CPU.
    PerCpu(&'a RawValue),
}

/// Why a line is none, in words.
pub type LineFault = String;

/// The members as they stand in the line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
}

/// Takes a line apart.
///
/// # Errors
/// If it is not an object with exactly the members `key` and `value` or `values`.
pub fn split(line: &[u8]) -> Result<Line<'_>, LineFault> {
    // Looked at once: serde_json would look at each part again.
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("its byte {} is not UTF-8", error.valid_up_to() + 1))?;
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| fault(&error))?;
    let value = match (members.value, members.values) {
        (Some(value), None) => LineValue::One(value),
        (None, Some(values)) => LineValue::PerCpu(values),
        (None, None) => return Err("missing field `value`".to_owned()),
        (Some(_), Some(_)) => return Err("either `value` or `values`, not both".to_owned()),
    };
    Ok(Line { key: members.key, value })
}

/// The elements of `values`.
///
/// # Errors
/// If it is no array.
pub fn elements(values: &RawValue) -> Result<Vec<&RawValue>, LineFault> {
    serde_json::from_str(values.get()).map_err(|_| "`values` is no array".to_owned())
}

/// serde's words without its line number, which is always 1 and would be taken for that of the line in the
/// text.
fn fault(error: &serde_json::Error) -> LineFault {
    error.to_string().replace(" at line 1 column ", " at its character ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn parts(line: &str) -> Option<(&str, &str, bool)> {
        let line = split(line.as_bytes()).ok()?;
        let (value, per_cpu) = match line.value {
            LineValue::One(value) => (value, false),
            LineValue::PerCpu(values) => (values, true),
        };
        Some((line.key.get(), value.get(), per_cpu))
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
            let array: &RawValue =
                serde_json::from_str(array).map_err(|error| error.to_string())?;
            let parts = elements(array)?.into_iter().map(|part| part.get().to_owned());
            Ok::<_, LineFault>(parts.collect::<Vec<_>>())
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
            let (key_part, value_part, per_cpu) = parts(&text).unwrap_or_default();
            prop_assert_eq!(serde_json::from_str::<Value>(key_part).unwrap(), key);
            prop_assert_eq!(serde_json::from_str::<Value>(value_part).unwrap(), value);
            prop_assert!(!per_cpu);
        }

        /// Any text: no panic, and what is accepted here with parts that are JSON is JSON.
        #[test]
        fn accepts_json_only(text in r#"[{}\[\]",:\\ 0-9a]{0,30}"#) {
            let text = format!(r#"{{"key":1,"value":{text}}}"#);
            if split(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}

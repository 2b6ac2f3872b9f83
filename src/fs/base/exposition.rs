//! The text format that Prometheus reads (exposition format 0.0.4): samples under their metric's name, type
//! and help, each with labels. Its numbers are 64-bit floats to whoever reads them.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

/// A text in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    samples: usize,
}

impl Exposition {
    /// Begins a metric, whose samples follow: its type is `gauge`, `counter` or `untyped`.
    pub fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail. A help has no quotes to escape.
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample.
    pub fn sample<'a>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        let mut before = '{';
        for (label, value) in labels {
            self.text.push(before);
            before = ',';
            self.text.push_str(label);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self.samples += 1;
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

/// Names of labels, none twice.
#[derive(Debug)]
pub struct LabelNames(BTreeSet<String>);

impl LabelNames {
    /// With these taken.
    pub fn without(taken: &[&str]) -> Self {
        Self(taken.iter().map(|&name| name.to_owned()).collect())
    }

    /// The name of a label made of any text, with a number behind it if it is taken. The format knows
    /// letters, digits and `_`; what begins with two of them is Prometheus's own.
    pub fn name(&mut self, text: &str) -> String {
        let known = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut name: String = text.chars().map(known).collect();
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || name.starts_with("__")
        {
            name.insert_str(0, "key_");
        }
        let plain = name.len();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name.truncate(plain);
            // Writing to a String cannot fail.
            let _ = write!(name, "_{number}");
            number += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_what_is_escaped() {
        let mut text = Exposition::default();
        text.metric("m", "gauge", "How\nmany.");
        text.sample("m", [("a", "x\"y\\z\nü"), ("b", "")], 7);
        text.sample("m", [], "+Inf");
        assert_eq!(text.samples(), 2);
        assert_eq!(
            String::from_utf8(text.into_bytes()).unwrap(),
            "# HELP m How\\nmany.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\nü\",b=\"\"} 7\nm +Inf\n"
        );
    }

    #[test]
    fn names_of_labels() {
        let mut names = LabelNames::without(&["map", "field"]);
        for (text, name) in [
            ("saddr", "saddr"),
            ("p.cnt", "p_cnt"),
            ("p_cnt", "p_cnt_2"),
            ("p:cnt", "p_cnt_3"),
            ("map", "map_2"),
            ("__x", "key___x"),
            ("7", "key_7"),
            ("", "key_"),
            ("ü", "_"),
        ] {
            assert_eq!(names.name(text), name, "{text}");
        }
    }
}

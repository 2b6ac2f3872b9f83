//! What a text written to a new name makes: a map, a pin of something that is there, a directory.

use super::{Spec, SpecError};
use crate::sys::object::ObjectKind;

/// What to make.
#[derive(Debug, Clone)]
pub enum Making {
    /// A map.
    Map(Box<Spec>),
    /// A pin of what is loaded already: of this kind, with this id.
    Pin(ObjectKind, u32),
    /// A plain bpffs directory.
    Directory,
}

impl Making {
    /// Reads `id N`, `prog id N`, `link id N`, `directory`, or a SPEC.
    ///
    /// # Errors
    /// As for [`Spec::parse`]; for a text that is nothing of all this, both that it is no key here and
    /// what a SPEC looks like.
    pub fn parse(text: &[u8]) -> Result<Self, SpecError> {
        let words: Vec<&str> = match std::str::from_utf8(text) {
            Ok(text) if text.len() < 64 => text.split_ascii_whitespace().collect(),
            _ => Vec::new(),
        };
        let (kind, rest) = match words[..] {
            ["directory"] => return Ok(Self::Directory),
            ["id", ref rest @ ..] => (ObjectKind::Map, rest),
            ["map", "id", ref rest @ ..] => (ObjectKind::Map, rest),
            ["prog", "id", ref rest @ ..] => (ObjectKind::Prog, rest),
            ["link", "id", ref rest @ ..] => (ObjectKind::Link, rest),
            _ => return Spec::parse(text).map(|spec| Self::Map(Box::new(spec))),
        };
        match rest {
            // A line has ended: no shell tells of an error at close.
            [] => Err(SpecError {
                incomplete: !text.ends_with(b"\n"),
                reason: "`id` needs a number after it".into(),
            }),
            [id] if id.bytes().all(|c| c.is_ascii_digit()) && id.parse::<u32>().is_ok() => {
                Ok(Self::Pin(kind, id.parse().unwrap_or_default()))
            }
            _ => {
                let reason = format!("`id` needs one number after it, not `{}`", rest.join(" "));
                Err(SpecError { incomplete: false, reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_and_directories() {
        assert!(matches!(Making::parse(b"directory\n"), Ok(Making::Directory)));
        for (text, kind, id) in [
            ("id 7", ObjectKind::Map, 7),
            ("map id 7\n", ObjectKind::Map, 7),
            (" prog  id 12\n", ObjectKind::Prog, 12),
            ("link id 4294967295", ObjectKind::Link, u32::MAX),
        ] {
            let made = Making::parse(text.as_bytes());
            assert!(matches!(made, Ok(Making::Pin(k, i)) if (k, i) == (kind, id)), "{text}");
        }
        for text in ["id x", "prog id 1 2", "id 4294967296", "id -1", "directory x", "prog 7"] {
            assert!(!Making::parse(text.as_bytes()).unwrap_err().incomplete, "{text}");
        }
        assert!(Making::parse(b"prog id").unwrap_err().incomplete);
        assert!(!Making::parse(b"prog id\n").unwrap_err().incomplete);
        assert!(matches!(Making::parse(b"hash key 4 value 8 entries 1"), Ok(Making::Map(_))));
    }
}

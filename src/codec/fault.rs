//! Why a text is no value.

use std::fmt;

/// What kind of refusal a [`TextError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextErrorKind {
    /// The text may become a value with more bytes at its end.
    Incomplete,
    /// The text is no value of this type, whatever follows.
    Invalid,
    /// A number does not fit its type.
    Range,
}

/// A text that is no value: which member was wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// Decides the errno: EINVAL, or ERANGE for [`TextErrorKind::Range`].
    pub kind: TextErrorKind,
    /// One line for a person, such as
    /// `stats.packets: 300 does not fit an unsigned 8-bit integer (0 to 255)`.
    pub reason: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for TextError {}

/// A refusal on its way out: the member's path grows at its front.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: TextErrorKind,
    pub(super) path: String,
    pub(super) what: String,
    /// Whether more characters at the end could still make it right.
    pub(super) short: bool,
}

impl Fault {
    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self { kind: TextErrorKind::Invalid, path: String::new(), what: what.into(), short: false }
    }

    pub(super) fn range(what: impl Into<String>) -> Self {
        Self { kind: TextErrorKind::Range, ..Self::invalid(what) }
    }

    pub(super) fn incomplete(what: impl Into<String>) -> Self {
        Self { kind: TextErrorKind::Incomplete, ..Self::invalid(what) }
    }

    pub(super) fn short(what: impl Into<String>) -> Self {
        Self { short: true, ..Self::invalid(what) }
    }

    /// Says that the fault is inside member `name`.
    pub(super) fn inside(mut self, name: impl fmt::Display) -> Self {
        let index = self.path.starts_with('[') || self.path.is_empty();
        self.path = format!("{name}{}{}", if index { "" } else { "." }, self.path);
        self
    }
}

impl From<Fault> for TextError {
    fn from(fault: Fault) -> Self {
        let reason = if fault.path.is_empty() {
            fault.what
        } else {
            format!("{}: {}", fault.path, fault.what)
        };
        Self { kind: fault.kind, reason }
    }
}

/// At most 40 characters of a text, for a reason that stays one short line.
pub(super) fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(200)]);
    let mut short: String = text.chars().flat_map(char::escape_debug).take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

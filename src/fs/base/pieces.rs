//! A value's text that comes in pieces: when it is worth looking whether it is whole.
//!
//! To parse all that has come with each piece would take quadratic time. Brackets and quotes are
//! followed as they come instead, and what is no document is tried when its line ends, or when it has
//! become twice as long: so that a mistake near the start is still told soon.

/// Programs that copy write at least this much at a time while there is more.
pub const BLOCK: usize = 4096;

/// In how many brackets a text is by now, and whether in quotes.
#[derive(Debug, Default)]
pub struct Nesting {
    /// Brackets that are open.
    pub depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Nesting {
    /// Takes note of the next byte.
    pub fn follow(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            b'{' | b'[' if !self.quoted => self.depth += 1,
            b'}' | b']' if !self.quoted => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// What is known of the pieces of one text.
#[derive(Debug, Default)]
pub struct Pieces {
    len: usize,
    /// Bytes that there were when it was tried last.
    tried: usize,
    /// The first byte that is no white space.
    first: Option<u8>,
    last: Option<u8>,
    nesting: Nesting,
    /// The first piece's length, as long as all have had the same: a copy in blocks.
    block: Option<usize>,
    count: usize,
}

impl Pieces {
    /// Takes note of another piece.
    pub fn add(&mut self, piece: &[u8]) {
        for &byte in piece {
            if self.first.is_none() && !byte.is_ascii_whitespace() {
                self.first = Some(byte);
            }
            self.nesting.follow(byte);
        }
        self.block = match self.block {
            _ if self.count == 0 => Some(piece.len()),
            block => block.filter(|block| *block == piece.len()),
        };
        self.count += 1;
        self.len += piece.len();
        self.last = piece.last().copied().or(self.last);
    }

    /// Whether there is nothing but white space so far.
    pub fn is_blank(&self) -> bool {
        self.first.is_none()
    }

    /// Whether this is one string of a `strings` type without quotes that any further byte would
    /// lengthen: it ends with its line or its file.
    pub fn is_open_string(&self, strings: bool) -> bool {
        strings && self.last != Some(b'\n') && !matches!(self.first, None | Some(b'"' | b'['))
    }

    /// Whether to look if this is a value now; `strings`: of a type that is written without quotes.
    pub fn is_worth_a_try(&self, strings: bool) -> bool {
        let is_document = match self.first {
            Some(b'"' | b'[') => true,
            Some(b'{') => !strings,
            _ => false,
        };
        let has_ended = match is_document {
            true => self.nesting.depth == 0 && !self.nesting.quoted,
            false => self.last == Some(b'\n'),
        };
        has_ended || self.len < BLOCK || self.len / 2 >= self.tried
    }

    /// Begins anew with what is left of the text behind the values that it began with.
    pub fn restart(&mut self, rest: &[u8]) {
        let (block, count) = (self.block, self.count);
        *self = Self::default();
        self.add(rest);
        *self = Self { block, count, tried: rest.len(), ..std::mem::take(self) };
    }

    /// Notes that it was tried.
    pub fn tried(&mut self) {
        self.tried = self.len;
    }

    /// Whether the last piece, which made no value of it, is the end by all that can be seen: a line
    /// that is shorter than what programs write that copy. No shell tells of an error at close.
    pub fn ends_in_a_line(&self, piece: &[u8]) -> bool {
        let is_block = self.count > 1 && self.block.is_some();
        piece.len() < BLOCK && piece.ends_with(b"\n") && !is_block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str]) -> Pieces {
        let mut seen = Pieces::default();
        for piece in pieces {
            seen.add(piece.as_bytes());
        }
        seen
    }

    #[test]
    fn documents_end_with_their_brackets_and_quotes() {
        let long = format!("{{\"a\\\"{{\":\"{}", "x".repeat(BLOCK));
        for (end, whole) in
            [("", false), ("}", false), ("\"", false), ("\"}", true), ("\\\"}", false)]
        {
            let mut seen = of(&[&long]);
            seen.tried();
            seen.add(end.as_bytes());
            assert_eq!(seen.is_worth_a_try(false), whole, "{end:?}");
        }
    }

    #[test]
    fn long_texts_are_tried_when_they_have_doubled() {
        let mut tries = 0;
        let mut seen = Pieces::default();
        for _ in 0..1000 {
            seen.add(&[b'1'; 1000]);
            if seen.is_worth_a_try(false) {
                seen.tried();
                tries += 1;
            }
        }
        assert!((5..20).contains(&tries), "{tries}");
        seen.add(b"1\n");
        assert!(seen.is_worth_a_try(false), "a line that ends");
    }

    #[test]
    fn strings_go_on_until_their_end() {
        for (text, open) in [
            ("eth0", true),
            ("eth0\n", false),
            ("{x", true),
            ("\"eth0", false),
            ("[1,", false),
            (" ", false),
        ] {
            assert_eq!(of(&[text]).is_open_string(true), open, "{text:?}");
            assert!(!of(&[text]).is_open_string(false), "{text:?}");
        }
    }

    #[test]
    fn short_lines_are_ends_and_blocks_are_not() {
        let long = "x".repeat(BLOCK) + "\n";
        for (pieces, ends) in [
            (&["{\n"][..], true),
            (&["{"], false),
            (&["{", "1\n"], true),
            (&["{\n", "1\n"], false),
            (&[long.as_str()], false),
            (&[long.as_str(), "1\n"], true),
        ] {
            let last = pieces.last().unwrap();
            assert_eq!(of(pieces).ends_in_a_line(last.as_bytes()), ends, "{pieces:?}");
        }
    }
}

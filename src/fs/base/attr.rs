//! Attributes of nodes, made from those of the pins.

use crate::bpffs::Stat;
use crate::node::Ino;

/// What a node is to `stat(1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// A node's attributes.
#[derive(Debug, Clone, Copy)]
pub struct Attr {
    /// The inode number.
    pub ino: Ino,
    /// Directory, file or symlink.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Owner, the pin's times, and the mode that the node has (not the pin's).
    pub stat: Stat,
    /// When it was changed.
    pub changed: Changed,
    /// The pin's own, of a directory that the kernel may keep.
    pub pin: Option<Stat>,
}

impl Attr {
    /// Attributes whose inode number is yet to be set.
    pub fn new(kind: FileKind, size: u64, stat: Stat, changed: Changed) -> Self {
        Self { ino: Ino::ROOT, kind, size, stat, changed, pin: None }
    }
}

/// When a node was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// When its pin was.
    WithPin,
    /// When the text of this hash was first seen.
    Text(u64),
    /// As last told; now if nothing was.
    AsTold,
    /// At any moment.
    Now,
}

impl Changed {
    /// When this text was first seen.
    pub fn to(text: &[u8]) -> Self {
        // An odd factor, so that no two words in one place give the same. Texts are long, and nobody gains
        // by two that have one hash.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let add = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
        let (words, rest) = text.as_chunks::<8>();
        let hash =
            words.iter().fold(text.len() as u64, |hash, word| add(hash, u64::from_ne_bytes(*word)));
        Self::Text(rest.iter().fold(hash, |hash, byte| add(hash, u64::from(*byte))))
    }
}

/// A pin's mode without execution: a key's file.
pub fn file_mode(pin: u32) -> u32 {
    pin & 0o666
}

/// A pin's mode with `x` wherever there is `r` or `w`: a map's directory.
pub fn dir_mode(pin: u32) -> u32 {
    let rw = file_mode(pin);
    rw | (rw & 0o444) >> 2 | (rw & 0o222) >> 1
}

/// A mode for those alone that a pin lets read.
pub fn read_mode(pin: u32) -> u32 {
    pin & 0o444
}

/// A mode for those alone that a pin lets both read and write: they may read.
pub fn both_mode(pin: u32) -> u32 {
    pin & 0o444 & (pin & 0o222) << 1
}

/// A mode for those alone that a pin lets both read and write: they may do both.
pub fn both_rw_mode(pin: u32) -> u32 {
    let both = both_mode(pin);
    both | both >> 1
}

/// Whether a pin's mode lets somebody write who may not read. The length of a value's text would tell
/// them of it, and the kernel remembers a size for all, whoever asked: so none is told.
pub fn lets_in_blind(pin: u32) -> bool {
    (pin & 0o222) << 1 & !pin & 0o444 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_differ() {
        let texts =
            ["42\n", "43\n", "042\n", "42\n\0", "", "\0", "12345678\n", "12345679\n", "22345678\n"];
        for (n, text) in texts.iter().enumerate() {
            for other in &texts[..n] {
                assert_ne!(
                    Changed::to(text.as_bytes()),
                    Changed::to(other.as_bytes()),
                    "{text:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn modes_follow_the_pin() {
        let dirs = [(0o600, 0o700), (0o640, 0o750), (0o444, 0o555), (0o200, 0o300), (0, 0)];
        for (pin, dir) in dirs {
            assert_eq!(dir_mode(pin), dir, "{pin:o}");
        }
        assert_eq!(file_mode(0o1755), 0o644);
        assert_eq!(both_mode(0o642), 0o400);
        assert_eq!(both_rw_mode(0o642), 0o600);
        for (pin, blind) in
            [(0o644, false), (0o600, false), (0, false), (0o602, true), (0o200, true)]
        {
            assert_eq!(lets_in_blind(pin), blind, "{pin:o}");
        }
    }
}

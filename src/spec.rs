//! A map to be created: what a text says of it, and asking the kernel for it.
//!
//! [`Spec::parse`] reads either form of a SPEC, bpftool's words or a C definition as in a BPF
//! program; [`Spec::create`] makes the map, with BTF for the types given. All but `create` is pure:
//! text and types, no system call.
//!
//! | file | is |
//! |---|---|
//! | `words`, `extent` | bpftool's words to a [`Spec`] |
//! | `c` | C declarations to types: characters, expressions, declarators, structs |
//! | `definition` | a map's struct in C to a [`Spec`], as libbpf reads it |
//! | `types`, `layout` | C types, and where clang puts the members of a struct |
//! | `kinds`, `flags` | the kernel's kinds of map and flags, by name |
//! | `plan` | what a kind asks for, filled in and checked |
//! | `typed` | the types of key and value, made for their sizes if only those are known |
//! | `typing` | types for maps that have none of their own |
//! | `import` | the kernel's types, for a text that does not define them |
//! | `btf_writer` | types to the BTF that the kernel loads |
//! | `create`, `refusal`, `kernel_types` | the only files that ask the kernel |

mod btf_writer;
mod c;
mod create;
mod definition;
mod extent;
pub mod flags;
mod import;
mod kernel_types;
pub mod layout;
mod making;
mod plan;
mod refusal;
mod suggest;
mod typed;
pub mod types;
mod typing;
mod words;

pub(crate) use c::{MAX_TEXT, basic_int};
pub use create::{CreateError, Created, fit_name};
pub use making::Making;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
pub use typed::MapBtf;
use types::{TypeId, Types};
pub use typing::{Typing, TypingBtf};

/// A key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Nothing is said of it.
    Absent,
    /// Bytes without a type.
    Size(u32),
    /// A C type in [`Spec::types`].
    Type(TypeId),
}

/// The map that the maps in a map of maps are like.
#[derive(Debug, Clone)]
pub enum Inner {
    /// A pin, or a map directory of the mount.
    Path(PathBuf),
    /// A map's id.
    Id(u32),
    /// A map that exists only as this model.
    Definition(Box<Spec>),
}

/// A map to be created.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `enum bpf_map_type`; see [`crate::sys::map::kind`].
    pub kind: u32,
    /// The key.
    pub key: Part,
    /// The value.
    pub value: Part,
    /// Entries at most, or the bytes of a ring buffer.
    pub max_entries: Option<u32>,
    /// BPF_F_*; see [`flags`].
    pub flags: u32,
    /// Kind-specific, such as a bloom filter's number of hash functions.
    pub map_extra: u64,
    /// The NUMA node whose memory to take.
    pub numa_node: Option<u32>,
    /// The device to offload to, or 0.
    pub ifindex: u32,
    /// SHA-256 of the one program that may use the map (`excl_prog_hash` of BPF_MAP_CREATE).
    pub excl_prog_hash: Option<[u8; 32]>,
    /// For a map of maps: what its maps are like.
    pub inner: Option<Inner>,
    /// The kernel's name of the map, if the text asks for one.
    pub name: Option<String>,
    /// The types that key and value refer to.
    pub types: Arc<Types>,
    /// What of the text has no effect.
    pub note: Option<String>,
}

/// Why a text is no map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// Whether the text only breaks off: inside a brace, quotation or comment, or before there is
    /// a map in it. More text might complete it.
    pub incomplete: bool,
    /// What is wrong, where, and what would be right.
    pub reason: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SpecError {}

impl Spec {
    /// A map of this kind of which nothing else is said.
    pub fn new(kind: u32) -> Self {
        Self {
            kind,
            key: Part::Absent,
            value: Part::Absent,
            max_entries: None,
            flags: 0,
            map_extra: 0,
            numa_node: None,
            ifindex: 0,
            excl_prog_hash: None,
            inner: None,
            name: None,
            types: Arc::default(),
            note: None,
        }
    }

    /// Reads a map from bpftool's words or from a C definition, and checks that its kind can have
    /// what is asked for.
    ///
    /// # Errors
    /// What the text lacks or has too much of, by word or line.
    pub fn parse(text: &[u8]) -> Result<Self, SpecError> {
        if text.len() > MAX_TEXT {
            let reason = format!("the text is longer than {} bytes", MAX_TEXT);
            return Err(SpecError { incomplete: false, reason });
        }
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                return Err(SpecError {
                    // A character may be cut in two.
                    incomplete: error.error_len().is_none(),
                    reason: format!("byte {} is not UTF-8", error.valid_up_to() + 1),
                });
            }
        };
        if text.trim_ascii().is_empty() {
            let reason = "the text is empty: write for example `hash key u32 value u64 entries 10`";
            return Err(SpecError { incomplete: true, reason: reason.to_owned() });
        }
        let spec = match definition::is_c(text) {
            true => definition::parse(text)?,
            false => words::parse(text, 1, false)?,
        };
        plan::plan(&spec).map_err(|reason| SpecError { incomplete: false, reason })?;
        Ok(spec)
    }
}

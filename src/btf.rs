//! BTF, the kernel's type information: a map's types, owned and shareable between threads.
//!
//! [`Btf::parse`] checks a blob's structure once; types are then read in place by their id. A type
//! id inside a type may still be wrong: [`Btf::get`] gives `None` for it, and whoever follows ids
//! bounds their steps. Format: `Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`.

mod c;
mod types;

pub use types::{BtfMember, BtfType, EnumValue, Int, Kind, Param, Variable};

use std::fmt;
use std::sync::Arc;
use types::{record_len, u32_at};

/// Structs that the kernel finds in a value by their names, and whose bytes are its own
/// (`btf_get_field_type` in `kernel/bpf/btf.c`): left out on read, kept on write.
pub const KERNEL_STRUCTS: [&str; 10] = [
    "bpf_spin_lock",
    "bpf_res_spin_lock",
    "bpf_timer",
    "bpf_wq",
    "bpf_task_work",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
];

/// Types that follow each other (typedef, const, …) before a chain counts as a cycle.
const CHAIN: usize = 64;

/// Bytes of a name at most (the kernel takes 511).
const LONGEST: usize = 1023;

/// A BTF blob whose structure has been checked.
pub struct Btf {
    types: Box<[u8]>,
    strings: Box<str>,
    /// Where each type begins in `types`.
    offsets: Box<[u32]>,
    /// Whose types and strings come first.
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_name: u32,
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf").field("types", &self.offsets.len()).finish_non_exhaustive()
    }
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

fn broken<T>(why: impl Into<String>) -> Result<T, BtfError> {
    Err(BtfError(why.into()))
}

/// A section of the blob that the header points to.
fn section<'a>(blob: &'a [u8], header: usize, at: usize, what: &str) -> Result<&'a [u8], BtfError> {
    let (start, len) = (u32_at(blob, at) as usize, u32_at(blob, at + 4) as usize);
    let found = header.checked_add(start).and_then(|start| {
        let end = start.checked_add(len)?;
        blob.get(start..end)
    });
    match found {
        Some(found) => Ok(found),
        None => broken(format!("the BTF's {what} section lies outside its {} bytes", blob.len())),
    }
}

impl Btf {
    /// Checks a raw blob; `base` for split BTF (a module's, which builds on vmlinux's).
    ///
    /// # Errors
    /// If the blob is cut short, of another byte order or version, or malformed.
    pub fn parse(blob: &[u8], base: Option<Arc<Btf>>) -> Result<Self, BtfError> {
        const MAGIC: u16 = 0xeb9f;
        let Some(header) = blob.get(..24) else {
            return broken(format!("the BTF has {} bytes, fewer than its header", blob.len()));
        };
        match u16::from_ne_bytes([header[0], header[1]]) {
            MAGIC => {}
            magic if magic == MAGIC.swap_bytes() => {
                return broken("the BTF is of the other byte order");
            }
            magic => return broken(format!("the BTF begins with {magic:#06x}, not {MAGIC:#06x}")),
        }
        if header[2] != 1 {
            return broken(format!("the BTF is of version {}, not 1", header[2]));
        }
        let header_len = u32_at(blob, 4) as usize;
        if header_len < 24 {
            return broken(format!("the BTF's header has {header_len} bytes, not 24"));
        }
        let types = section(blob, header_len, 8, "type")?;
        let strings = section(blob, header_len, 16, "string")?;
        let Ok(strings) = std::str::from_utf8(strings) else {
            return broken("the BTF's names are not UTF-8");
        };
        if !strings.is_empty() && !strings.ends_with('\0') {
            return broken("the BTF's last name has no end");
        }
        let mut btf = Self {
            types: types.into(),
            strings: strings.into(),
            offsets: Box::default(),
            first_id: base.as_ref().map_or(1, |base| base.end_id()),
            first_name: base.as_ref().map_or(0, |base| base.end_name()),
            base,
        };
        btf.offsets = btf.index()?;
        Ok(btf)
    }

    /// Finds each type's beginning, and checks its length and the names in it.
    fn index(&self) -> Result<Box<[u32]>, BtfError> {
        let mut offsets = Vec::new();
        let mut at = 0;
        while at < self.types.len() {
            let id = u64::from(self.first_id) + offsets.len() as u64;
            let Some(len) = record_len(&self.types[at..]) else {
                return broken(format!("type {id} of the BTF is cut short or of an unknown kind"));
            };
            offsets.push(at as u32);
            let kind = self.read(at).kind;
            let named = match kind {
                Kind::Struct { .. } | Kind::Union { .. } => {
                    kind.members().all(|member| self.has_name(member.name_at))
                }
                Kind::Enum { .. } => kind.values().all(|value| self.has_name(value.name_at)),
                Kind::FuncProto { .. } => kind.params().all(|param| self.has_name(param.name_at)),
                _ => true,
            };
            if !named || !self.has_name(u32_at(&self.types, at)) {
                return broken(format!(
                    "type {id} of the BTF has a name that is too long or outside its strings"
                ));
            }
            at += len;
        }
        Ok(offsets.into())
    }

    /// One past the last type id.
    pub fn end_id(&self) -> u32 {
        self.first_id.saturating_add(self.offsets.len() as u32)
    }

    fn end_name(&self) -> u32 {
        self.first_name.saturating_add(self.strings.len() as u32)
    }

    /// Whether a name is inside the strings and of sane length.
    fn has_name(&self, at: u32) -> bool {
        let Some(own) = at.checked_sub(self.first_name) else { return true };
        let Some(rest) = self.strings.as_bytes().get(own as usize..) else { return at == 0 };
        at == 0 || rest.iter().take(LONGEST + 1).any(|&byte| byte == 0)
    }

    /// The name at an offset of the strings; empty for anonymous types.
    pub fn name(&self, at: u32) -> &str {
        match at.checked_sub(self.first_name) {
            Some(at) => {
                let rest = self.strings.get(at as usize..).unwrap_or_default();
                rest.split('\0').next().unwrap_or_default()
            }
            None => self.base.as_ref().map_or("", |base| base.name(at)),
        }
    }

    fn read(&self, at: usize) -> BtfType<'_> {
        BtfType::read(&self.types[at..])
    }

    /// The type of an id; `None` if there is none. Id 0 is `void`.
    pub fn get(&self, id: u32) -> Option<BtfType<'_>> {
        if id == 0 {
            return Some(BtfType { name_at: 0, kind: Kind::Void });
        }
        match id.checked_sub(self.first_id) {
            Some(at) => self.offsets.get(at as usize).map(|&at| self.read(at as usize)),
            None => self.base.as_ref()?.get(id),
        }
    }

    /// The first struct or union of that name, with its id.
    pub fn find_struct(&self, name: &str) -> Option<(u32, BtfType<'_>)> {
        let own = (self.first_id..self.end_id()).find_map(|id| {
            let found = self.get(id)?;
            let record = matches!(found.kind, Kind::Struct { .. } | Kind::Union { .. });
            (record && self.name(found.name_at) == name).then_some((id, found))
        });
        own.or_else(|| self.base.as_ref()?.find_struct(name))
    }

    /// Follows typedefs, qualifiers, tags and variables to the type itself; `None` if the chain
    /// leaves the BTF or does not end.
    pub fn resolve(&self, id: u32) -> Option<(u32, BtfType<'_>)> {
        let mut id = id;
        for _ in 0..CHAIN {
            let found = self.get(id)?;
            match found.kind.next() {
                Some(next) => id = next,
                None => return Some((id, found)),
            }
        }
        None
    }
}

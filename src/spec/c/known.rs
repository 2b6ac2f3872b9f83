//! What a BPF program finds in `vmlinux.h` or the kernel's and libbpf's headers, as far as a map
//! can use it without a program. A text may define any of these itself.

use super::expressions::Const;
use super::{Alias, Parser, Result, Tag, tokens};
use crate::btf::Btf;
use crate::spec::flags;
use crate::spec::import::{self, TypeSort};
use crate::spec::kernel_types;
use crate::spec::types::TypeId;
use crate::sys::map::kind;
use std::rc::Rc;

/// Typedefs and what they stand for.
const TYPEDEFS: [(&str, &str); 72] = [
    ("__u8", "unsigned char"),
    ("__u16", "unsigned short"),
    ("__u32", "unsigned int"),
    ("__u64", "unsigned long long"),
    ("__s8", "signed char"),
    ("__s16", "short"),
    ("__s32", "int"),
    ("__s64", "long long"),
    ("u8", "__u8"),
    ("u16", "__u16"),
    ("u32", "__u32"),
    ("u64", "__u64"),
    ("s8", "__s8"),
    ("s16", "__s16"),
    ("s32", "__s32"),
    ("s64", "__s64"),
    ("__be16", "__u16"),
    ("__be32", "__u32"),
    ("__be64", "__u64"),
    ("__le16", "__u16"),
    ("__le32", "__u32"),
    ("__le64", "__u64"),
    ("__sum16", "__u16"),
    ("__wsum", "__u32"),
    ("be16", "__be16"),
    ("be32", "__be32"),
    ("be64", "__be64"),
    ("le16", "__le16"),
    ("le32", "__le32"),
    ("le64", "__le64"),
    ("uint8_t", "__u8"),
    ("uint16_t", "__u16"),
    ("uint32_t", "__u32"),
    ("uint64_t", "__u64"),
    ("u_int8_t", "__u8"),
    ("u_int16_t", "__u16"),
    ("u_int32_t", "__u32"),
    ("u_int64_t", "__u64"),
    ("int8_t", "__s8"),
    ("int16_t", "__s16"),
    ("int32_t", "__s32"),
    ("int64_t", "__s64"),
    ("bool", "_Bool"),
    ("size_t", "unsigned long"),
    ("ssize_t", "long"),
    ("ptrdiff_t", "long"),
    ("intptr_t", "long"),
    ("uintptr_t", "unsigned long"),
    ("u_char", "unsigned char"),
    ("u_short", "unsigned short"),
    ("u_int", "unsigned int"),
    ("u_long", "unsigned long"),
    ("uint", "unsigned int"),
    ("ulong", "unsigned long"),
    ("pid_t", "int"),
    ("uid_t", "unsigned int"),
    ("gid_t", "unsigned int"),
    ("dev_t", "__u32"),
    ("loff_t", "long long"),
    ("umode_t", "unsigned short"),
    ("sector_t", "__u64"),
    ("ktime_t", "__s64"),
    ("dma_addr_t", "__u64"),
    // Ours: what they are is known by their names, or by the words and bytes in them.
    ("ipv4_t", "__be32"),
    ("ipv6_t", "__be32[4]"),
    ("mac_t", "__u8[6]"),
    ("port_t", "__be16"),
    ("ksym_t", "__u64"),
    ("hex8_t", "__u8"),
    ("hex16_t", "__u16"),
    ("hex32_t", "__u32"),
    ("hex64_t", "__u64"),
];

/// Structs by tag. The `bpf_` ones are opaque: the kernel knows them by name and size.
const STRUCTS: [(&str, &str); 18] = [
    ("in_addr", "struct in_addr { __be32 s_addr; };"),
    (
        "in6_addr",
        "struct in6_addr { union { __u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u; };",
    ),
    ("bpf_spin_lock", "struct bpf_spin_lock { __u32 val; };"),
    ("bpf_res_spin_lock", "struct bpf_res_spin_lock { __u32 val; };"),
    ("bpf_timer", "struct bpf_timer { __u64 __opaque[2]; };"),
    ("bpf_wq", "struct bpf_wq { __u64 __opaque[2]; };"),
    ("bpf_task_work", "struct bpf_task_work { __u64 __opaque; };"),
    ("bpf_dynptr", "struct bpf_dynptr { __u64 __opaque[2]; };"),
    ("bpf_list_head", "struct bpf_list_head { __u64 __opaque[2]; };"),
    ("bpf_list_node", "struct bpf_list_node { __u64 __opaque[3]; };"),
    ("bpf_rb_root", "struct bpf_rb_root { __u64 __opaque[2]; };"),
    ("bpf_rb_node", "struct bpf_rb_node { __u64 __opaque[4]; };"),
    ("bpf_refcount", "struct bpf_refcount { __u32 __opaque[1]; };"),
    ("bpf_lpm_trie_key", "struct bpf_lpm_trie_key { __u32 prefixlen; __u8 data[0]; };"),
    ("bpf_lpm_trie_key_hdr", "struct bpf_lpm_trie_key_hdr { __u32 prefixlen; };"),
    (
        "bpf_cgroup_storage_key",
        "struct bpf_cgroup_storage_key { __u64 cgroup_inode_id; __u32 attach_type; };",
    ),
    (
        "bpf_devmap_val",
        "struct bpf_devmap_val { __u32 ifindex; union { int fd; __u32 id; } bpf_prog; };",
    ),
    (
        "bpf_cpumap_val",
        "struct bpf_cpumap_val { __u32 qsize; union { int fd; __u32 id; } bpf_prog; };",
    ),
];

/// Numbers with a name, beyond map kinds and flags.
const CONSTANTS: [(&str, i128); 12] = [
    ("LIBBPF_PIN_NONE", 0),
    ("LIBBPF_PIN_BY_NAME", 1),
    ("TASK_COMM_LEN", 16),
    ("IFNAMSIZ", 16),
    ("ETH_ALEN", 6),
    ("NAME_MAX", 255),
    ("PATH_MAX", 4096),
    ("PERF_MAX_STACK_DEPTH", 127),
    ("BPF_OBJ_NAME_LEN", 16),
    ("BPF_TAG_SIZE", 8),
    ("BPF_BUILD_ID_SIZE", 20),
    ("UINT_MAX", 0xffff_ffff),
];

impl Parser {
    /// The typedef `name`, of the text or well known.
    pub(super) fn typedef_named(&mut self, name: &str) -> Result<Option<TypeId>> {
        if let Some(alias) = self.typedefs.get(name) {
            return Ok(Some(alias.id));
        }
        let Some((name, meaning)) = TYPEDEFS.iter().find(|(known, _)| *known == name) else {
            let id = self.kernels(TypeSort::Typedef, name);
            if let Some(id) = id {
                self.typedefs.insert(name.to_owned(), Alias { id, known: true });
            }
            return Ok(id);
        };
        let target = self.with(tokens(meaning, 1)?, |p| p.nested(Self::type_name))?;
        let id = self.types.typedef(name, target, 0);
        self.typedefs.insert((*name).to_owned(), Alias { id, known: true });
        Ok(Some(id))
    }

    /// Whether `name` is a typedef, without adding it.
    pub(super) fn is_typedef(&self, name: &str) -> bool {
        self.typedefs.contains_key(name)
            || TYPEDEFS.iter().any(|(known, _)| *known == name)
            || self.kernel_btf().is_some_and(|btf| import::has_typedef(&btf, name))
    }

    fn kernel_btf(&self) -> Option<Rc<Btf>> {
        self.kernel.as_ref()?.get_or_init(|| kernel_types::btf().ok().map(Rc::new)).clone()
    }

    /// The kernel's type of that name.
    fn kernels(&mut self, sort: TypeSort, name: &str) -> Option<TypeId> {
        let btf = self.kernel_btf()?;
        import::named(&mut self.types, &btf, sort, name)
    }

    /// The kernel's type with that tag, which the text does not define.
    pub(super) fn kernels_tag(&mut self, word: &'static str, name: &str) -> Option<Tag> {
        if self.own_tags.contains(name) {
            return None;
        }
        let sort = match word {
            "enum" => TypeSort::Enum,
            "union" => TypeSort::Union,
            _ => TypeSort::Struct,
        };
        let id = self.kernels(sort, name)?;
        let tag = Tag { id, word, known: true };
        self.tags.insert(name.to_owned(), tag);
        Some(tag)
    }

    /// The names of the well-known typedefs.
    pub(super) fn known_typedefs<'a>() -> impl Iterator<Item = &'a str> {
        TYPEDEFS.iter().map(|&(name, _)| name)
    }

    /// The well-known struct `name`, added if it is not there yet; none that the text defines.
    pub(super) fn known_struct(&mut self, name: &str) -> Result<Option<Tag>> {
        if self.own_tags.contains(name) {
            return Ok(None);
        }
        let Some((name, text)) = STRUCTS.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        // Its own declaration must not look here again.
        let id = self.types.declare(false, Some(name));
        let tag = Tag { id, word: "struct", known: false };
        self.tags.insert((*name).to_owned(), tag);
        self.with(tokens(text, 1)?, |p| p.nested(Self::declaration))?;
        let tag = Tag { known: true, ..tag };
        self.tags.insert((*name).to_owned(), tag);
        Ok(Some(tag))
    }

    /// The constant `name`: an enumerator of the text, or well known.
    pub(super) fn named_constant(&self, name: &str) -> Option<Const> {
        if let Some(c) = self.constants.get(name) {
            return Some(*c);
        }
        let value = if let Some(kind) = name.strip_prefix("BPF_MAP_TYPE_") {
            kind::by_name(kind)?.into()
        } else if name.starts_with("BPF_F_") {
            flags::by_name(name)?.into()
        } else {
            CONSTANTS.iter().find(|(known, _)| *known == name)?.1
        };
        Const::of(value)
    }
}

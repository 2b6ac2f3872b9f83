//! What the tests of map definitions share: clang's BTF, comparing types, a bpffs of one's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod cases;

use bpffuse::btf::{Btf, Kind};
use bpffuse::sys;
use bpffuse::sys::map::MapInfo;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// What a BPF program includes, as far as the texts here need it.
pub(crate) const HEADER: &str = r#"
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef unsigned long long __u64; typedef signed char __s8; typedef short __s16;
typedef int __s32; typedef long long __s64; typedef __u16 __be16; typedef __u32 __be32;
typedef __u64 __be64; typedef __u16 __le16; typedef __u32 __le32; typedef __u64 __le64;
typedef unsigned long size_t;
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define SEC(name) __attribute__((section(name), used))
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2 };
"#;

/// The BTF that clang makes of a text.
pub(crate) fn clang_btf(text: &str) -> Btf {
    let dir = TempDir::new().expect("a scratch directory");
    let (source, object) = (dir.path().join("a.c"), dir.path().join("a.o"));
    std::fs::write(&source, text).expect("write the source");
    let output = Command::new("clang")
        .args(["-target", "bpf", "-g", "-O2", "-w", "-ferror-limit=3", "-c"])
        .arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH))
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .output()
        .expect("run clang");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "clang: {errors}");
    let object = std::fs::read(&object).expect("read the object");
    Btf::parse(section(&object, ".BTF").expect("a .BTF section"), None).expect("clang's BTF")
}

/// A section of a 64-bit ELF file of this machine's byte order.
fn section<'a>(elf: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let number = |at: usize, len: usize| -> Option<usize> {
        let mut bytes = [0; 8];
        bytes.get_mut(..len)?.copy_from_slice(elf.get(at..at + len)?);
        Some(u64::from_le_bytes(bytes) as usize)
    };
    let (headers, size) = (number(40, 8)?, number(58, 2)?);
    let (count, names) = (number(60, 2)?, number(62, 2)?);
    let place = |i: usize| -> Option<(usize, usize)> {
        Some((number(headers + i * size + 24, 8)?, number(headers + i * size + 32, 8)?))
    };
    let (names, _) = place(names)?;
    (0..count).find_map(|i| {
        let start = names + number(headers + i * size, 4)?;
        let own = elf.get(start..)?.split(|byte| *byte == 0).next()?;
        let (start, len) = place(i)?;
        (own == name.as_bytes()).then(|| elf.get(start..start + len))?
    })
}

/// Whether the kernel loads this BTF; true where it cannot be asked.
pub(crate) fn kernel_takes(blob: &[u8]) -> Result<(), String> {
    match sys::object::btf_load(blob) {
        Ok(_) => Ok(()),
        Err(error) if error.errno == libc::EPERM => Ok(()),
        Err(error) => Err(format!("the kernel: {error}")),
    }
}

/// Whether two types have the same members at the same places, all the way down but for what
/// pointers point to.
pub(crate) fn same_type(a: &Btf, a_id: u32, b: &Btf, b_id: u32, path: &str) -> Result<(), String> {
    let differ = |what: &str| Err(format!("{path}: {what}"));
    let (Some((_, ta)), Some((_, tb))) = (a.resolve(a_id), b.resolve(b_id)) else {
        return differ("no such type");
    };
    match (ta.kind, tb.kind) {
        (Kind::Void, Kind::Void)
        | (Kind::Ptr { .. }, Kind::Ptr { .. })
        | (Kind::FuncProto { .. }, Kind::FuncProto { .. })
        | (Kind::Fwd { .. }, Kind::Fwd { .. }) => Ok(()),
        (Kind::Int(ia), Kind::Int(ib)) if ia == ib => Ok(()),
        (Kind::Float { size: sa }, Kind::Float { size: sb }) if sa == sb => Ok(()),
        (Kind::Array { of: oa, len: la }, Kind::Array { of: ob, len: lb }) if la == lb => {
            same_type(a, oa, b, ob, &format!("{path}[]"))
        }
        (Kind::Enum { size: sa, .. }, Kind::Enum { size: sb, .. }) if sa == sb => {
            // clang before 15 keeps only the low 32 bits of each.
            let values = |btf: &Btf, kind: Kind<'_>| -> Vec<(String, u32)> {
                kind.values().map(|v| (btf.name(v.name_at).to_owned(), v.value as u32)).collect()
            };
            match values(a, ta.kind) == values(b, tb.kind) {
                true => Ok(()),
                false => differ("other constants"),
            }
        }
        (Kind::Struct { size: sa, .. }, Kind::Struct { size: sb, .. })
        | (Kind::Union { size: sa, .. }, Kind::Union { size: sb, .. }) => {
            let (ma, mb): (Vec<_>, Vec<_>) =
                (ta.kind.members().collect(), tb.kind.members().collect());
            if ma.len() != mb.len() {
                return differ(&format!("{} members, not {}", ma.len(), mb.len()));
            }
            for (ma, mb) in ma.iter().zip(&mb) {
                let (na, nb) = (a.name(ma.name_at), b.name(mb.name_at));
                let path = format!("{path}.{na}");
                if (na, ma.bit_offset, ma.bits) != (nb, mb.bit_offset, mb.bits) {
                    return Err(format!(
                        "{path}: at bit {} width {}, not {nb} at bit {} width {}",
                        ma.bit_offset, ma.bits, mb.bit_offset, mb.bits
                    ));
                }
                same_type(a, ma.of, b, mb.of, &path)?;
            }
            if sa == sb { Ok(()) } else { differ(&format!("{sa} bytes, not {sb}")) }
        }
        (ka, kb) => differ(&format!("{ka:?}, not {kb:?}")),
    }
}

/// What the kernel would say of an array of such values.
pub(crate) fn array_of(value_size: u32) -> MapInfo {
    MapInfo {
        map_type: sys::map::kind::ARRAY,
        id: 1,
        key_size: 4,
        value_size,
        max_entries: 1,
        flags: 0,
        name: "m".to_owned(),
        btf_id: 1,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
        btf_vmlinux_id: 0,
        btf_vmlinux_value_type_id: 0,
        map_extra: 0,
        ifindex: 0,
    }
}

/// A bpffs of the test's own, unmounted when it ends.
pub(crate) struct BpfFs(TempDir);

impl BpfFs {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a mount point");
        sys::os::mount_bpffs(dir.path()).expect("mount a bpffs");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = sys::os::unmount(self.0.path(), true);
    }
}

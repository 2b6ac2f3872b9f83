//! The BTF of a map's key and value; for one that is only a size, with a type made for it.

use super::types::{Declared, TypeId, Types};
use super::{Part, Spec, btf_writer, plan};
use crate::sys::map::kind::{BtfUse, MapKind, Size};

/// Raw BTF for a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapBtf {
    /// What BPF_BTF_LOAD takes.
    pub bytes: Vec<u8>,
    /// The key's type in it; 0 for kinds without keys.
    pub key: u32,
    /// The value's type in it; 0 for kinds without values.
    pub value: u32,
}

impl Spec {
    /// The BTF that the map is created with, where the kernel takes any for its kind.
    ///
    /// # Errors
    /// What the kind does not allow; a `__contains` that names a struct which is not defined.
    pub fn btf(&self) -> Result<MapBtf, String> {
        let plan = plan::plan(self)?;
        let Some(value_size) = plan.value_size else {
            // The value's type is in the kernel's own BTF; the map's only has to be there.
            let (bytes, _) = btf_writer::write(&Types::default(), [TypeId::VOID; 2])?;
            return Ok(MapBtf { bytes, key: 0, value: 0 });
        };
        let mut types = (*self.types).clone();
        let key = self.type_of(&mut types, self.key, plan.key_size, true);
        let value = self.type_of(&mut types, self.value, value_size, false);
        let (bytes, ids) = btf_writer::write(&types, [key, value])?;
        Ok(MapBtf { bytes, key: ids[0], value: ids[1] })
    }

    /// The type of a key or value; one made for its size if only that is known.
    fn type_of(&self, types: &mut Types, part: Part, size: u32, is_key: bool) -> TypeId {
        if let Part::Type(id) = part {
            return id;
        }
        let kind = MapKind::of(self.kind);
        match size {
            0 => TypeId::VOID,
            // The kernel wants structs for these two.
            5.. if is_key && kind.key_size == Size::Prefix => prefix_key(types, size),
            16 if is_key && kind.key_size == Size::Cgroup => cgroup_key(types),
            4 if is_key && kind.btf == BtfUse::Needed => types.int("int", 4, true, false),
            1 => types.int("unsigned char", 1, false, false),
            2 => types.int("unsigned short", 2, false, false),
            4 => types.int("unsigned int", 4, false, false),
            8 => types.int("unsigned long long", 8, false, false),
            _ => {
                let byte = types.int("unsigned char", 1, false, false);
                types.array(byte, size).unwrap_or(TypeId::VOID)
            }
        }
    }
}

/// `struct { __u32 prefixlen; __u8 data[N]; }`, packed: it may have any number of bytes.
fn prefix_key(types: &mut Types, size: u32) -> TypeId {
    let length = types.int("unsigned int", 4, false, false);
    let byte = types.int("unsigned char", 1, false, false);
    let data = types.array(byte, size.saturating_sub(4)).unwrap_or(TypeId::VOID);
    record(types, "lpm_key", vec![("prefixlen", length), ("data", data)], true)
}

/// `struct bpf_cgroup_storage_key`
fn cgroup_key(types: &mut Types) -> TypeId {
    let inode = types.int("unsigned long long", 8, false, false);
    let attach = types.int("unsigned int", 4, false, false);
    let members = vec![("cgroup_inode_id", inode), ("attach_type", attach)];
    record(types, "bpf_cgroup_storage_key", members, false)
}

fn record(types: &mut Types, name: &str, members: Vec<(&str, TypeId)>, packed: bool) -> TypeId {
    let id = types.declare(false, Some(name));
    let members = members
        .into_iter()
        .map(|(name, ty)| Declared {
            name: Some(name.to_owned()),
            ty,
            bits: None,
            packed: false,
            align: 0,
            tags: Vec::new(),
        })
        .collect();
    match types.complete(id, members, Vec::new(), packed, 0) {
        Ok(()) => id,
        Err(_) => TypeId::VOID,
    }
}

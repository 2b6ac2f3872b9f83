//! Types of the kernel's BTF, taken over where a text does not define them.

use super::types::{CMember, CType, Enumeration, TypeId, Types};
use crate::btf::{Btf, BtfType, Kind};
use std::collections::HashMap;

/// Types inside one another, before they count as a cycle: the kernel resolves 32.
const DEPTH: u32 = 32;

/// Members and constants at most that one name may bring.
const COST: usize = 1 << 16;

/// What a name in C is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeSort {
    Struct,
    Union,
    Enum,
    Typedef,
}

/// The type of that name; `None` if the BTF has none of it, or none with a size.
pub(super) fn named(types: &mut Types, btf: &Btf, sort: TypeSort, name: &str) -> Option<TypeId> {
    let fits = |found: &BtfType<'_>| match found.kind {
        Kind::Struct { .. } => sort == TypeSort::Struct,
        Kind::Union { .. } => sort == TypeSort::Union,
        Kind::Enum { .. } => sort == TypeSort::Enum,
        Kind::Typedef { .. } => sort == TypeSort::Typedef,
        _ => false,
    };
    let id = (1..btf.end_id()).find(|id| {
        btf.get(*id).is_some_and(|found| fits(&found) && btf.name(found.name_at) == name)
    })?;
    Import { types, btf, done: HashMap::new(), cost: 0 }.take(id, 0)
}

/// Whether the BTF has a typedef of that name.
pub(super) fn has_typedef(btf: &Btf, name: &str) -> bool {
    (1..btf.end_id()).any(|id| {
        btf.get(id).is_some_and(|found| {
            matches!(found.kind, Kind::Typedef { .. }) && btf.name(found.name_at) == name
        })
    })
}

struct Import<'a> {
    types: &'a mut Types,
    btf: &'a Btf,
    done: HashMap<u32, TypeId>,
    cost: usize,
}

impl Import<'_> {
    fn take(&mut self, id: u32, depth: u32) -> Option<TypeId> {
        if let Some(done) = self.done.get(&id) {
            return Some(*done);
        }
        if depth > DEPTH {
            return None;
        }
        let btf = self.btf;
        let found = btf.get(id)?;
        let name = btf.name(found.name_at);
        let taken = match found.kind {
            Kind::Int(int) if matches!(int.size, 1 | 2 | 4 | 8 | 16) => {
                self.types.int(name, int.size as u8, int.signed, int.boolean)
            }
            Kind::Float { size: size @ (4 | 8) } => self.types.float(name, size as u8),
            // What it points to is not looked at.
            Kind::Ptr { .. } => self.types.pointer(TypeId::VOID),
            Kind::Array { of, len } => {
                let element = self.take(of, depth + 1)?;
                self.types.array(element, len).ok()?
            }
            Kind::Typedef { of } => {
                let target = self.take(of, depth + 1)?;
                self.types.typedef(name, target, 0)
            }
            Kind::Const { of }
            | Kind::Volatile { of }
            | Kind::Restrict { of }
            | Kind::TypeTag { of } => self.take(of, depth + 1)?,
            Kind::Enum { size: size @ (1 | 2 | 4 | 8), signed, .. } => {
                let mut values = Vec::new();
                for value in found.kind.values() {
                    self.pay()?;
                    let number = match signed {
                        true => i128::from(value.value as i64),
                        false => i128::from(value.value),
                    };
                    values.push((btf.name(value.name_at).to_owned(), number));
                }
                let name = (!name.is_empty()).then(|| name.to_owned());
                self.types
                    .enumeration(Enumeration { name, signed, size: Some(size as u8), values }, 0)
            }
            Kind::Struct { size, .. } => self.record(&found, name, false, size, depth)?,
            Kind::Union { size, .. } => self.record(&found, name, true, size, depth)?,
            _ => return None,
        };
        self.done.insert(id, taken);
        Some(taken)
    }

    fn pay(&mut self) -> Option<()> {
        self.cost += 1;
        (self.cost <= COST).then_some(())
    }

    /// A record with its members where the BTF says that they are.
    fn record(
        &mut self,
        found: &BtfType<'_>,
        name: &str,
        union: bool,
        size: u32,
        depth: u32,
    ) -> Option<TypeId> {
        let mut members = Vec::new();
        for member in found.kind.members() {
            self.pay()?;
            let ty = self.take(member.of, depth + 1)?;
            let name = self.btf.name(member.name_at);
            // An anonymous member that is no record has nothing to show.
            let is_record = matches!(self.types.get(self.types.resolve(ty)), CType::CRecord(_));
            if name.is_empty() && !is_record {
                continue;
            }
            members.push(CMember {
                name: (!name.is_empty()).then(|| name.to_owned()),
                ty,
                bit_offset: member.bit_offset,
                bits: u8::try_from(member.bits).ok().filter(|bits| *bits != 0),
                tags: Vec::new(),
            });
        }
        let name = (!name.is_empty()).then_some(name);
        Some(self.types.placed(union, name, members, size))
    }
}

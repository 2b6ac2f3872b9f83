//! Whether two types, each in its own BTF, have the same members at the same places.

use crate::btf::{Btf, Int, Kind};
use std::collections::HashSet;

/// How deep types may nest: the kernel goes no deeper than 32.
const MAX_DEPTH: u32 = 64;

/// A member of a struct, a union or a data section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ComparedMember<'a> {
    /// Empty for an anonymous record.
    pub(super) name: &'a str,
    /// Its type.
    pub(super) of: u32,
    /// Bits from the start.
    pub(super) offset: u32,
    /// Bits of a bit-field.
    pub(super) bits: Option<u8>,
}

/// The members that C can speak of: padding is left out, and old compilers' bit-fields, whose
/// place is in the integer type, are brought into today's form.
pub(super) fn members<'a>(btf: &'a Btf, kind: &Kind<'a>) -> Vec<ComparedMember<'a>> {
    if let Kind::DataSec { .. } = kind {
        let variable = |v: crate::btf::Variable| {
            let name = btf.get(v.var).map_or("", |var| btf.name(var.name_at));
            ComparedMember { name, of: v.var, offset: v.offset.saturating_mul(8), bits: None }
        };
        return kind.variables().map(variable).collect();
    }
    kind.members()
        .filter_map(|member| {
            let found = btf.resolve(member.of)?.1.kind;
            let (mut offset, mut bits) = (member.bit_offset, member.bits as u8);
            if let Kind::Int(int) = found
                && (int.bits != int.size.saturating_mul(8) || int.offset != 0)
                && bits == 0
            {
                offset = offset.saturating_add(int.offset);
                bits = int.bits as u8;
            }
            let name = btf.name(member.name_at);
            let record = matches!(found, Kind::Struct { .. } | Kind::Union { .. });
            let bits = (bits != 0).then_some(bits);
            (!name.is_empty() || record).then_some(ComparedMember {
                name,
                of: member.of,
                offset,
                bits,
            })
        })
        .collect()
}

/// The result, or the path of the first difference.
///
/// What pointers point to is not compared, but for the tags and names by which the kernel knows
/// what it keeps there.
pub(super) fn same(a: &Btf, a_id: u32, b: &Btf, b_id: u32) -> Result<(), String> {
    Comparison { a, b, seen: HashSet::new() }.same(a_id, b_id, "the type", 0)
}

struct Comparison<'a> {
    a: &'a Btf,
    b: &'a Btf,
    /// Pairs already compared, so that a type met often costs once.
    seen: HashSet<(u32, u32)>,
}

impl Comparison<'_> {
    fn same(&mut self, a_id: u32, b_id: u32, path: &str, depth: u32) -> Result<(), String> {
        let (a, b) = (self.a, self.b);
        let differ = |what: &str| Err(format!("{path}: {what}"));
        let (Some((a_id, ta)), Some((b_id, tb))) = (a.resolve(a_id), b.resolve(b_id)) else {
            return differ("there is no such type");
        };
        if depth > MAX_DEPTH {
            return differ("types are nested too deep");
        }
        if !self.seen.insert((a_id, b_id)) {
            return Ok(());
        }
        match (ta.kind, tb.kind) {
            (Kind::Void, Kind::Void) | (Kind::FuncProto { .. }, Kind::FuncProto { .. }) => Ok(()),
            (Kind::Ptr { of: a_of }, Kind::Ptr { of: b_of }) => {
                match tagged(a, a_of) == tagged(b, b_of) {
                    true => Ok(()),
                    false => differ("a pointer with another tag"),
                }
            }
            (Kind::Int(x), Kind::Int(y)) if (x.size, sign(x)) == (y.size, sign(y)) => Ok(()),
            (Kind::Float { size: x }, Kind::Float { size: y }) if x == y => Ok(()),
            (Kind::Array { of: x, len: lx }, Kind::Array { of: y, len: ly }) if lx == ly => {
                self.same(x, y, &format!("{path}[]"), depth + 1)
            }
            (Kind::Enum { size: x, signed: sx, .. }, Kind::Enum { size: y, signed: sy, .. })
                if (x, sx) == (y, sy) =>
            {
                match values(a, &ta.kind, x) == values(b, &tb.kind, y) {
                    true => Ok(()),
                    false => differ("other constants"),
                }
            }
            (
                Kind::Struct { size: x, .. } | Kind::DataSec { size: x, .. },
                Kind::Struct { size: y, .. },
            )
            | (Kind::Union { size: x, .. }, Kind::Union { size: y, .. })
                if x == y && address(a.name(ta.name_at)) == address(b.name(tb.name_at)) =>
            {
                self.same_members(&ta.kind, &tb.kind, path, depth)
            }
            (_, _) => differ("another kind or size"),
        }
    }

    fn same_members(
        &mut self,
        ka: &Kind<'_>,
        kb: &Kind<'_>,
        path: &str,
        depth: u32,
    ) -> Result<(), String> {
        let (ma, mb) = (members(self.a, ka), members(self.b, kb));
        if ma.len() != mb.len() {
            return Err(format!("{path}: {} members, not {}", mb.len(), ma.len()));
        }
        // A variable's name may be none in C.
        let section = matches!(ka, Kind::DataSec { .. });
        for (ma, mb) in ma.iter().zip(&mb) {
            let path = format!("{path}.{}", ma.name);
            let named = section || ma.name == mb.name;
            if !named || (ma.offset, ma.bits) != (mb.offset, mb.bits) {
                return Err(format!("{path}: another place"));
            }
            self.same(ma.of, mb.of, &path, depth + 1)?;
        }
        Ok(())
    }
}

/// The name of a struct whose text is an address, whatever its members.
fn address(name: &str) -> Option<&str> {
    Some(name).filter(|name| matches!(*name, "in_addr" | "in6_addr"))
}

fn sign(int: Int) -> (bool, bool) {
    (int.signed, int.boolean)
}

/// The tags of what a pointer points to, and if there are any, the name of the struct.
fn tagged(btf: &Btf, mut id: u32) -> (Vec<&str>, &str) {
    let mut tags = Vec::new();
    // Chains in loaded BTF end; a blob may be anything.
    for _ in 0..MAX_DEPTH {
        let Some(found) = btf.get(id) else { break };
        if let Kind::TypeTag { .. } = found.kind {
            tags.push(btf.name(found.name_at));
        }
        match found.kind.next() {
            Some(next) => id = next,
            None if tags.is_empty() => break,
            None => return (tags, btf.name(found.name_at)),
        }
    }
    (tags, "")
}

/// Names and values, these as far as `size` bytes hold them.
fn values<'a>(btf: &'a Btf, kind: &Kind<'a>, size: u32) -> Vec<(&'a str, u64)> {
    let mask = u64::MAX >> (64 - u64::from(size).clamp(1, 8) * 8);
    kind.values().map(|value| (btf.name(value.name_at), value.value & mask)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    /// The value's type of a map in words.
    fn value(ty: &str) -> (Btf, u32) {
        let text = format!("hash key 4 value '{ty}' entries 1");
        let own = Spec::parse(text.as_bytes()).expect("a map").btf().expect("its BTF");
        (Btf::parse(&own.bytes, None).expect("BTF"), own.value)
    }

    #[test]
    fn every_difference_is_found() {
        let base = "struct { u8 a; u32 b : 3; struct { int c[2]; enum { E = 1 } e; \
                    struct in_addr i; } d; void *p; }";
        let (a, a_id) = value(base);
        assert_eq!(same(&a, a_id, &a, a_id), Ok(()));
        for (from, to, why) in [
            ("u8 a", "u8 x", "another place"),
            ("u8 a", "s8 a", "another kind or size"),
            ("u32 b : 3", "u32 b : 4", "another place"),
            ("u32 b : 3", "u32 : 1; u32 b : 3", "another place"),
            ("c[2]", "c[3]", "another kind or size"),
            ("int c[2]", "float c[2]", "another kind or size"),
            ("E = 1", "E = 2", "other constants"),
            ("E = 1", "F = 1", "other constants"),
            ("} d;", "} d __attribute__((aligned(32)));", "another kind or size"),
            ("void *p;", "void *p; u8 q;", "another kind or size"),
            ("u8 a; u32 b : 3;", "u8 a, z; u32 b : 3;", "members"),
            ("struct in_addr i", "struct { __be32 s_addr; } i", "another kind or size"),
            ("void *p", "struct foo __kptr *p", "another tag"),
        ] {
            let (b, b_id) = value(&base.replace(from, to));
            let error = same(&a, a_id, &b, b_id).expect_err(to);
            assert!(error.contains(why), "{to}: {error}");
        }
    }

    #[test]
    fn pointers_to_kept_objects_are_told_apart_by_name() {
        let (a, a_id) = value("struct { struct foo __kptr *p; }");
        let (b, b_id) = value("struct { struct bar __kptr *p; }");
        assert!(same(&a, a_id, &b, b_id).is_err());
        let (c, c_id) = value("struct { struct foo *p; }");
        let (d, d_id) = value("struct { struct bar *p; }");
        assert_eq!(same(&c, c_id, &d, d_id), Ok(()));
    }
}

//! Structs, unions and data sections, compiled: anonymous members folded into their parent,
//! padding found, the shown member of each union chosen.

use super::compile::{Bare, Compiler};
use super::cover::{self, Bits};
use super::known::Known;
use super::plan::{Alternative, Item, NodeId, Num, PlanField, PlanNode};
use crate::btf::{BtfMember, Kind};
use std::collections::HashMap;
use std::rc::Rc;

/// Anonymous members inside one another, before they count as a cycle.
const FOLDS: usize = 32;

/// Members at most in a record that has unions folded in: each write compares them in pairs.
const OVERLAPPING: usize = 8192;

/// One record on its way into the plan.
pub(super) struct Builder {
    size: u32,
    fields: Vec<PlanField>,
    /// Bits that belong to a member, to the kernel or to a union, unsorted.
    covered: Vec<(u64, u64)>,
    weight: u64,
}

/// What holds for the members of a (folded) record.
#[derive(Clone)]
struct Around {
    /// Bits from the outermost record's beginning.
    base: u64,
    /// Whether reading shows them.
    shown: bool,
    /// Whether a union around them covers their padding.
    in_union: bool,
    /// Bits of the unions around them that become zero when one of them is written: all but
    /// those of its own alternative.
    clears: Rc<[(u64, u64)]>,
    /// The same in the plan.
    gaps: (u32, u32),
    depth: usize,
}

/// A member with its type.
struct Part<'b> {
    member: BtfMember,
    bare: Bare<'b>,
    /// From the (folded) record's first bit.
    start: u64,
    end: u64,
    special: bool,
}

impl Builder {
    pub(super) fn new(size: u32) -> Self {
        Self { size, fields: Vec::new(), covered: Vec::new(), weight: 1 }
    }

    /// A struct or union.
    pub(super) fn record<'b>(
        mut self,
        compiler: &mut Compiler<'b>,
        bare: &Bare<'b>,
    ) -> Result<NodeId, String> {
        let around = Around {
            base: 0,
            shown: true,
            in_union: false,
            clears: Rc::default(),
            gaps: (0, 0),
            depth: 0,
        };
        let items = self.fold(compiler, bare, &around)?;
        self.finish(compiler, items)
    }

    /// A data section: each variable is a member.
    pub(super) fn section<'b>(
        mut self,
        compiler: &mut Compiler<'b>,
        bare: &Bare<'b>,
    ) -> Result<NodeId, String> {
        for variable in bare.found.kind.variables() {
            compiler.pay(compiler.btf.get(variable.var).map_or(0, |var| var.name_at))?;
            let name =
                compiler.btf.get(variable.var).map_or("", |var| compiler.btf.name(var.name_at));
            let of = compiler.bare(variable.var)?;
            let of = of.of_member(name);
            let bits = (u64::from(variable.offset) * 8, u64::from(variable.size) * 8);
            let bits = (bits.0, bits.0 + bits.1);
            if compiler.is_special(&of) || name.is_empty() {
                self.cover(bits)?;
                continue;
            }
            let node = compiler.node(&of).map_err(|why| format!("{name}: {why}"))?;
            let size = compiler.plan.size_of(node) as u64;
            if size > u64::from(variable.size) {
                return Err(format!("variable {name} has {size} bytes, but room for fewer"));
            }
            let bits = (bits.0, bits.0 + size * 8);
            self.cover(bits)?;
            self.push(compiler, name, bits, node, true, (0, 0));
        }
        self.finish(compiler, Vec::new())
    }

    /// Adds the members of a record, and those of its anonymous members: what it is made of.
    fn fold<'b>(
        &mut self,
        compiler: &mut Compiler<'b>,
        bare: &Bare<'b>,
        around: &Around,
    ) -> Result<Vec<Item>, String> {
        if around.depth > FOLDS {
            return Err("anonymous members are nested too deep, or contain themselves".into());
        }
        let union = matches!(bare.found.kind, Kind::Union { .. });
        let size = u64::from(compiler.size(bare)?) * 8;
        let mut parts = Vec::new();
        for member in bare.found.kind.members() {
            compiler.pay(member.name_at)?;
            if let Some(part) = part(compiler, &member)? {
                if part.end > size {
                    let name = compiler.btf.name(member.name_at);
                    let whole = compiler.btf.spell(bare.id);
                    return Err(format!("member {name} reaches past the end of {whole}"));
                }
                parts.push(part);
            }
        }
        if union {
            hint_ipv6(compiler, &mut parts)?;
        }
        let best = if union { best_first(compiler, &parts)? } else { Vec::new() };
        let mut items = Vec::new();
        let mut alternatives = Vec::new();
        if union && !around.in_union {
            self.cover((around.base, around.base + size))?;
        }
        for (at, part) in parts.iter().enumerate() {
            let bits = (around.base + part.start, around.base + part.end);
            if !around.in_union && !union {
                self.cover_unless_folded(part, compiler, bits)?;
            }
            if part.special {
                continue;
            }
            let mut below = Around { base: bits.0, depth: around.depth + 1, ..around.clone() };
            if union {
                below.shown &= best.first() == Some(&at);
                below.in_union = true;
                let mut own = Vec::new();
                own_bits(compiler, part, bits.0, &mut own, around.depth)?;
                own.push((0, around.base));
                let mut clears = around.clears.to_vec();
                clears.extend(between(own, around.base + size));
                below.clears = clears.into();
                below.gaps = compiler.gaps(&below.clears)?;
            }
            let name = compiler.btf.name(part.member.name_at);
            let made = if name.is_empty() {
                self.fold(compiler, &part.bare, &below)?
            } else {
                let (bits, node) =
                    self.node(compiler, part, bits).map_err(|why| format!("{name}: {why}"))?;
                self.push(compiler, name, bits, node, below.shown, below.gaps);
                vec![Item::Field(self.fields.len() as u32 - 1)]
            };
            if union { alternatives.push((at, made)) } else { items.extend(made) }
        }
        if union {
            items.push(self.alternatives(compiler, alternatives, &best)?);
        }
        Ok(items)
    }

    /// A union as the ways to show it, the best first. Each has the bits that it does not show and another
    /// one does.
    fn alternatives(
        &mut self,
        compiler: &mut Compiler<'_>,
        made: Vec<(usize, Vec<Item>)>,
        best: &[usize],
    ) -> Result<Item, String> {
        let mut covers: HashMap<usize, Bits> = HashMap::new();
        for (at, items) in &made {
            covers.insert(*at, self.cover_of(compiler, items)?);
        }
        let all = cover::merged(covers.values().flatten().copied().collect());
        let mut made: HashMap<usize, Vec<Item>> = made.into_iter().collect();
        let mut alternatives = Vec::new();
        for at in best {
            let (Some(items), Some(cover)) = (made.remove(at), covers.get(at)) else { continue };
            let others = cover::without(&all, cover);
            self.clear_too(compiler, &items, &others)?;
            let hidden = compiler.gaps(&others)?;
            alternatives.push(Alternative { items, hidden });
        }
        Ok(Item::Union(alternatives))
    }

    /// Makes writing any of these items clear more bits.
    fn clear_too(
        &mut self,
        compiler: &mut Compiler<'_>,
        items: &[Item],
        more: &Bits,
    ) -> Result<(), String> {
        for item in items {
            match item {
                Item::Field(at) => {
                    let ranges = compiler.ranges(self.fields[*at as usize].clears);
                    let all =
                        cover::merged(ranges.into_iter().chain(more.iter().copied()).collect());
                    self.fields[*at as usize].clears = compiler.gaps(&all)?;
                }
                Item::Union(alternatives) => {
                    for alternative in alternatives {
                        self.clear_too(compiler, &alternative.items, more)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The bits that showing these items shows, from the record's first.
    fn cover_of(&self, compiler: &mut Compiler<'_>, items: &[Item]) -> Result<Bits, String> {
        let mut bits = Vec::new();
        for item in items {
            match item {
                Item::Field(at) => {
                    let field = &self.fields[*at as usize];
                    bits.extend(cover::of_field(&compiler.plan, &mut compiler.covers, field)?);
                }
                // One of the alternatives shows all that is not zero; else the whole record is shown in
                // hex.
                Item::Union(alternatives) => {
                    for alternative in alternatives {
                        bits.extend(self.cover_of(compiler, &alternative.items)?);
                    }
                }
            }
        }
        Ok(cover::merged(bits))
    }

    /// The member's node, and the bits that it covers.
    fn node<'b>(
        &self,
        compiler: &mut Compiler<'b>,
        part: &Part<'b>,
        bits: (u64, u64),
    ) -> Result<((u64, u64), NodeId), String> {
        let number = matches!(part.bare.found.kind, Kind::Int(_) | Kind::Enum { .. });
        if !number {
            return Ok((bits, compiler.node(&part.bare)?));
        }
        let num = compiler.num(&part.bare)?;
        let (shift, width) = (bits.0 % 8, bits.1 - bits.0);
        if shift == 0 && width == u64::from(num.size) * 8 {
            return Ok((bits, compiler.node(&part.bare)?));
        }
        let size = (shift + width).div_ceil(8);
        let num =
            Num { size: size as u8, shift: shift as u8, width: width as u8, big: false, ..num };
        Ok((bits, compiler.add(PlanNode::Num(num), 1)))
    }

    fn cover_unless_folded(
        &mut self,
        part: &Part<'_>,
        compiler: &Compiler<'_>,
        bits: (u64, u64),
    ) -> Result<(), String> {
        let anonymous =
            part.member.name_at == 0 || compiler.btf.name(part.member.name_at).is_empty();
        let folded = anonymous && !part.special;
        if folded { Ok(()) } else { self.cover(bits) }
    }

    /// Takes bits out of the padding.
    fn cover(&mut self, bits: (u64, u64)) -> Result<(), String> {
        if bits.1 > u64::from(self.size) * 8 {
            return Err("a member reaches past the end of its struct".into());
        }
        self.covered.push(bits);
        Ok(())
    }

    fn push(
        &mut self,
        compiler: &Compiler<'_>,
        name: &str,
        bits: (u64, u64),
        node: NodeId,
        shown: bool,
        clears: (u32, u32),
    ) {
        if shown {
            self.weight = self.weight.saturating_add(compiler.weights[node as usize]);
        }
        self.fields.push(PlanField {
            name: name.into(),
            label: Box::default(),
            offset: (bits.0 / 8) as u32,
            node,
            shown,
            clears,
            bits,
        });
    }

    /// Makes names differ, finds padding and overlaps, and adds the record to the plan.
    fn finish(mut self, compiler: &mut Compiler<'_>, items: Vec<Item>) -> Result<NodeId, String> {
        // Two static variables of different files may share a name in one data section.
        let mut names: HashMap<Box<str>, u32> = HashMap::new();
        for field in &mut self.fields {
            let mut name = field.name.clone();
            while let Some(count) = names.get_mut(&name) {
                *count += 1;
                name = format!("{}.{count}", field.name).into();
            }
            names.insert(name.clone(), 1);
            field.label = Compiler::label(&name);
            field.name = name;
        }
        let mut order: Vec<u32> = (0..self.fields.len() as u32).collect();
        order.sort_by(|&a, &b| self.fields[a as usize].name.cmp(&self.fields[b as usize].name));
        let overlap = |fields: &mut Vec<&PlanField>| {
            fields.retain(|field| field.bits.0 < field.bits.1);
            fields.sort_unstable_by_key(|field| field.bits);
            let pair = fields.windows(2).find(|pair| pair[1].bits.0 < pair[0].bits.1);
            pair.map(|pair| format!("members {} and {} overlap", pair[0].name, pair[1].name))
        };
        // Only unions may overlap, and of these one member is shown.
        if let Some(why) = overlap(&mut self.fields.iter().filter(|field| field.shown).collect()) {
            return Err(why);
        }
        let overlaps = overlap(&mut self.fields.iter().collect()).is_some();
        if overlaps && self.fields.len() > OVERLAPPING {
            return Err("the type has too many overlapping members".into());
        }
        let gaps = compiler.gaps(&between(self.covered, u64::from(self.size) * 8))?;
        let first = compiler.plan.fields.len() as u32;
        compiler.plan.fields.extend(self.fields);
        compiler.plan.by_name.extend(order);
        let end = compiler.plan.fields.len() as u32;
        let has_union = items.iter().any(|item| matches!(item, Item::Union(_)));
        let unions = has_union.then(|| {
            compiler.plan.trees.push(items);
            compiler.plan.trees.len() as u32 - 1
        });
        let node = PlanNode::Record { first, end, gaps, size: self.size, unions };
        Ok(compiler.add(node, self.weight))
    }
}

/// Where a member of a union is an IPv6 address, members with an address's bytes are shown as one, too.
fn hint_ipv6<'b>(compiler: &mut Compiler<'b>, parts: &mut [Part<'b>]) -> Result<(), String> {
    for part in parts.iter() {
        if compiler.known(&part.bare)? == Some(Known::Ipv6) {
            parts.iter_mut().for_each(|part| part.bare.hint = part.bare.hint.beside_ipv6());
            break;
        }
    }
    Ok(())
}

/// The members of a union in the order in which they are tried: addresses, then by size, of equals the
/// first.
fn best_first<'b>(compiler: &mut Compiler<'b>, parts: &[Part<'b>]) -> Result<Vec<usize>, String> {
    let mut order = Vec::new();
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| !part.special) {
        let rank = compiler.known(&part.bare)?.and_then(Known::rank).unwrap_or(u8::MAX);
        order.push((rank, std::cmp::Reverse(part.end - part.start), at));
    }
    order.sort_unstable();
    Ok(order.into_iter().map(|(_, _, at)| at).collect())
}

/// Finds a member's type and place; `None` for padding without a name.
fn part<'b>(compiler: &mut Compiler<'b>, member: &BtfMember) -> Result<Option<Part<'b>>, String> {
    let name = compiler.btf.name(member.name_at);
    let bare = compiler.bare(member.of)?;
    let bare = bare.of_member(name);
    let record = matches!(bare.found.kind, Kind::Struct { .. } | Kind::Union { .. });
    if name.is_empty() && !record {
        return Ok(None);
    }
    let special = compiler.is_special(&bare);
    let mut start = u64::from(member.bit_offset);
    let width = match bare.found.kind {
        Kind::Struct { .. } | Kind::Union { .. } => u64::from(compiler.size(&bare)?) * 8,
        Kind::Int(int) => {
            let num = compiler.num(&bare).map_err(|why| format!("{name}: {why}"))?;
            if member.bits == 0 && !num.whole() {
                start += u64::from(int.offset);
            }
            u64::from(num.width)
        }
        _ => {
            let node = compiler.node(&bare).map_err(|why| format!("{name}: {why}"))?;
            compiler.plan.size_of(node) as u64 * 8
        }
    };
    let number = matches!(bare.found.kind, Kind::Int(_) | Kind::Enum { .. });
    if !number && (member.bits != 0 || start % 8 != 0) || u64::from(member.bits) > width {
        return Err(format!("member {name} has {} bits at bit {start}", member.bits));
    }
    let bits = if member.bits == 0 { width } else { u64::from(member.bits) };
    Ok(Some(Part { member: *member, bare, start, end: start + bits, special }))
}

/// The bits of a union's member: of an anonymous struct, those of its members.
fn own_bits<'b>(
    compiler: &mut Compiler<'b>,
    part: &Part<'b>,
    base: u64,
    out: &mut Vec<(u64, u64)>,
    depth: usize,
) -> Result<(), String> {
    let anonymous = compiler.btf.name(part.member.name_at).is_empty();
    if part.special || !anonymous || !matches!(part.bare.found.kind, Kind::Struct { .. }) {
        out.push((base, base + part.end - part.start));
        return Ok(());
    }
    if depth > FOLDS {
        return Err("anonymous members are nested too deep, or contain themselves".into());
    }
    for member in part.bare.found.kind.members() {
        compiler.pay(member.name_at)?;
        if let Some(inner) = self::part(compiler, &member)? {
            own_bits(compiler, &inner, base + inner.start, out, depth + 1)?;
        }
    }
    Ok(())
}

/// What the ranges leave of `0..end`.
fn between(mut ranges: Vec<(u64, u64)>, end: u64) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut gaps = Vec::new();
    let mut at = 0;
    for (start, stop) in ranges {
        if start > at {
            gaps.push((at, start));
        }
        at = at.max(stop);
    }
    if at < end {
        gaps.push((at, end));
    }
    gaps
}

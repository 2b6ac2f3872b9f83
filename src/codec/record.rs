//! Structs, unions and data sections, compiled: anonymous members folded into their parent,
//! padding found, the shown member of each union chosen.

use super::compile::{Bare, Compiler};
use super::plan::{NodeId, Num, PlanField, PlanNode};
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
        self.fold(compiler, bare, &around)?;
        self.finish(compiler)
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
        self.finish(compiler)
    }

    /// Adds the members of a record, and those of its anonymous members.
    fn fold<'b>(
        &mut self,
        compiler: &mut Compiler<'b>,
        bare: &Bare<'b>,
        around: &Around,
    ) -> Result<(), String> {
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
        let len = |part: &Part<'_>| part.end - part.start;
        // The largest, and of equals the first.
        let largest = (0..parts.len())
            .filter(|&at| !parts[at].special)
            .reduce(|best, at| if len(&parts[at]) > len(&parts[best]) { at } else { best });
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
                below.shown &= largest == Some(at);
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
            if name.is_empty() {
                self.fold(compiler, &part.bare, &below)?;
                continue;
            }
            let (bits, node) =
                self.node(compiler, part, bits).map_err(|why| format!("{name}: {why}"))?;
            self.push(compiler, name, bits, node, below.shown, below.gaps);
        }
        Ok(())
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
    fn finish(mut self, compiler: &mut Compiler<'_>) -> Result<NodeId, String> {
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
        let node = PlanNode::Record { first, end, gaps, size: self.size, overlaps };
        Ok(compiler.add(node, self.weight))
    }
}

/// Finds a member's type and place; `None` for padding without a name.
fn part<'b>(compiler: &mut Compiler<'b>, member: &BtfMember) -> Result<Option<Part<'b>>, String> {
    let name = compiler.btf.name(member.name_at);
    let bare = compiler.bare(member.of)?;
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

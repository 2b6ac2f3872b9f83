//! Which bits of a value printing shows.

use super::plan::{CodecPlan, NodeId, PlanField, PlanNode};
use std::collections::HashMap;
use std::rc::Rc;

/// Ranges of bits, first to before last, sorted and apart.
pub(super) type Bits = Vec<(u64, u64)>;

/// For each node that was asked for, the bits that printing it shows, from its first.
pub(super) type Covers = HashMap<NodeId, Rc<[(u64, u64)]>>;

/// Ranges of an array's elements at most, before the type counts as too large to look into.
const RANGES: usize = 1 << 16;

/// The bits that a member shows, from its record's first.
pub(super) fn of_field(
    plan: &CodecPlan,
    known: &mut Covers,
    field: &PlanField,
) -> Result<Bits, String> {
    if let PlanNode::Num(_) = plan.node(field.node) {
        // A bit-field's bytes have others' bits, too.
        return Ok(vec![field.bits]);
    }
    let base = u64::from(field.offset) * 8;
    let cover = of_node(plan, known, field.node)?;
    Ok(cover.iter().map(|(start, end)| (base + start, base + end)).collect())
}

fn of_node(plan: &CodecPlan, covers: &mut Covers, id: NodeId) -> Result<Rc<[(u64, u64)]>, String> {
    if let Some(known) = covers.get(&id) {
        return Ok(Rc::clone(known));
    }
    let size = plan.size_of(id) as u64 * 8;
    let bits: Bits = match plan.node(id) {
        PlanNode::Num(num) => {
            vec![(u64::from(num.shift), u64::from(num.shift) + u64::from(num.width))]
        }
        PlanNode::Array { len, stride, elem } => {
            let stride = u64::from(stride) * 8;
            let cover = of_node(plan, covers, elem)?;
            match *cover {
                [(0, end)] if end == stride => vec![(0, size)],
                ref cover if cover.len().saturating_mul(len as usize) <= RANGES => {
                    (0..u64::from(len))
                        .flat_map(|at| {
                            cover.iter().map(move |(a, b)| (at * stride + a, at * stride + b))
                        })
                        .collect()
                }
                _ => return Err("a union has too large an array of parts".into()),
            }
        }
        PlanNode::Record { first, end, .. } => {
            let mut bits = Vec::new();
            for at in first..end {
                let field = &plan.fields[at as usize];
                let (offset, node, own) = (field.offset, field.node, field.bits);
                match plan.node(node) {
                    PlanNode::Num(_) => bits.push(own),
                    _ => {
                        let base = u64::from(offset) * 8;
                        let cover = of_node(plan, covers, node)?;
                        bits.extend(cover.iter().map(|(a, b)| (base + a, base + b)));
                    }
                }
            }
            merged(bits)
        }
        PlanNode::Float { .. }
        | PlanNode::Text { .. }
        | PlanNode::Bytes { .. }
        | PlanNode::Known { .. } => vec![(0, size)],
    };
    let bits: Rc<[(u64, u64)]> = bits.into();
    covers.insert(id, Rc::clone(&bits));
    Ok(bits)
}

/// The same bits, sorted and apart.
pub(super) fn merged(mut bits: Bits) -> Bits {
    bits.retain(|(start, end)| start < end);
    bits.sort_unstable();
    let mut merged: Bits = Vec::new();
    for (start, end) in bits {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// What `all` has and `some` has not.
pub(super) fn without(all: &Bits, some: &Bits) -> Bits {
    let mut left = Vec::new();
    for &(start, end) in all {
        let mut at = start;
        for &(from, to) in some.iter().filter(|(from, to)| *from < end && *to > start) {
            if from > at {
                left.push((at, from));
            }
            at = at.max(to);
        }
        if at < end {
            left.push((at, end));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(merged(vec![(8, 16), (0, 4), (3, 8), (20, 20)]), [(0, 16)]);
        assert_eq!(without(&vec![(0, 32)], &vec![(4, 8), (16, 24)]), [(0, 4), (8, 16), (24, 32)]);
        assert_eq!(without(&vec![(0, 8), (16, 24)], &vec![(4, 20)]), [(0, 4), (20, 24)]);
        assert!(without(&vec![(0, 8)], &vec![(0, 9)]).is_empty());
    }
}

//! How long and how short a text may be, whatever the bytes are.

use super::Codec;
use super::plan::{CodecPlan, NodeId, Num, PlanNode, Sort};

/// A float: the shortest decimal has 17 digits, a point, a sign and an exponent.
const FLOAT: usize = 32;
/// A byte of a string: `\u0001`.
const CHARACTER: usize = 6;

impl CodecPlan {
    /// Bytes of a node's JSON document at most.
    fn longest(&self, id: NodeId) -> usize {
        match self.node(id) {
            PlanNode::Num(num) => match num.sort {
                Sort::Enum(table) => {
                    let names = self.enums[table as usize].by_value.iter();
                    names.map(|(_, name)| name.len() + 2).max().unwrap_or(0).max(Num::LONGEST)
                }
                Sort::Number | Sort::Bool | Sort::Pointer | Sort::Kptr => Num::LONGEST,
            },
            PlanNode::Float { .. } => FLOAT,
            // As an array of numbers it takes less.
            PlanNode::Text { len, .. } => CHARACTER * len as usize + 2,
            PlanNode::Bytes { len } => 2 * len as usize + 4,
            PlanNode::Known { known, plain, .. } => known.longest().max(self.longest(plain)),
            PlanNode::Array { len, elem, .. } => {
                (len as usize).saturating_mul(self.longest(elem) + 1).saturating_add(2)
            }
            // All members of a union together are longer than the one that is shown. Only the union's bytes
            // in hex may be longer still.
            PlanNode::Record { first, end, size, .. } => {
                let members = self.fields(first, end).iter();
                let each = members.map(|field| field.label.len() + self.longest(field.node) + 1);
                each.fold(2 * size as usize + 4, usize::saturating_add)
            }
        }
    }

    /// Bytes of a node's JSON document at least.
    fn shortest(&self, id: NodeId) -> usize {
        match self.node(id) {
            PlanNode::Num(_) | PlanNode::Float { .. } => 1,
            PlanNode::Text { .. } => 2,
            PlanNode::Bytes { len } => 2 * len as usize + 4,
            PlanNode::Known { .. } => 4,
            PlanNode::Array { len, elem, .. } => {
                (len as usize).saturating_mul(self.shortest(elem) + 1)
            }
            PlanNode::Record { unions: Some(_), .. } => 2,
            PlanNode::Record { first, end, .. } => {
                let shown = self.fields(first, end).iter().filter(|field| field.shown);
                let each = shown.map(|field| field.label.len() + self.shortest(field.node) + 1);
                each.fold(1, usize::saturating_add)
            }
        }
    }
}

impl Codec {
    /// Bytes of one value's JSON at least.
    pub fn shortest_value(&self) -> usize {
        self.value.shortest(self.value.root)
    }

    /// Bytes of a key's JSON at most.
    pub fn longest_key(&self) -> usize {
        // A prefix is its name: an address and a length, or hex.
        self.key.longest(self.key.root).max(2 * self.key.size + 64)
    }

    /// Bytes of one value's JSON at most.
    pub fn longest_value(&self) -> usize {
        self.value.longest(self.value.root)
    }
}

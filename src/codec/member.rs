//! One member of a value, for `.field`.

use super::fault::TextError;
use super::plan::{CodecPlan, NodeId, PlanNode};
use std::sync::Arc;

/// An array's elements that are listed: an array of 64 MiB would not fit a directory.
const LISTED: u32 = 1 << 16;

/// A member of a value: a struct's or union's member, an array's element, a data section's
/// variable; or the whole value.
#[derive(Debug, Clone)]
pub struct Member {
    pub(super) plan: Arc<CodecPlan>,
    pub(super) node: NodeId,
    pub(super) offset: usize,
    /// Named as the text of all its members together: a leaf.
    together: bool,
}

/// What stands for a member with members as one text.
const TOGETHER: &[u8] = b".value";

impl Member {
    /// The member at `path`, below the whole value.
    pub(super) fn find(plan: &Arc<CodecPlan>, path: &[&[u8]]) -> Option<Self> {
        let mut member =
            Self { plan: Arc::clone(plan), node: plan.root, offset: 0, together: false };
        let path = match path {
            [path @ .., last] if *last == TOGETHER => {
                member.together = true;
                path
            }
            path => path,
        };
        for name in path {
            let name = std::str::from_utf8(name).ok()?;
            match plan.node(member.node) {
                PlanNode::Record { first, end, .. } => {
                    let at = plan.find(first..end, name, 0)?;
                    let field = &plan.fields(first, end)[at];
                    member.offset += field.offset as usize;
                    member.node = field.node;
                }
                PlanNode::Array { len, stride, elem } => {
                    let at: u32 = name.parse().ok().filter(|at| *at < len)?;
                    if at.to_string() != name {
                        return None;
                    }
                    member.offset += at as usize * stride as usize;
                    member.node = elem;
                }
                _ => return None,
            }
        }
        let is_found = !member.together || member.is_parted();
        is_found.then_some(member)
    }

    /// The names below it, in order; `None` if it is a leaf. Every member of a union is there; of
    /// an array the first 65,536 elements ([`super::Codec::member`] finds the others too).
    pub fn children(&self) -> Option<Vec<Vec<u8>>> {
        match self.plan.node(self.node) {
            _ if self.together => None,
            PlanNode::Record { first, end, .. } => {
                let names = self.plan.fields(first, end).iter().map(|field| field.name.as_bytes());
                let fits = |name: &&[u8]| {
                    !name.contains(&b'/') && !matches!(**name, [b'.'] | [b'.', b'.'])
                };
                Some(names.filter(fits).map(<[u8]>::to_vec).collect())
            }
            PlanNode::Array { len, .. } => {
                Some((0..len.min(LISTED)).map(|at| at.to_string().into_bytes()).collect())
            }
            _ => None,
        }
    }

    /// Whether it has members: it is a directory.
    pub fn has_children(&self) -> bool {
        !self.together && self.is_parted()
    }

    fn is_parted(&self) -> bool {
        matches!(self.plan.node(self.node), PlanNode::Record { .. } | PlanNode::Array { .. })
    }

    /// Whether it is a string: `char[N]`.
    pub fn is_text(&self) -> bool {
        self.plan.is_text(self.node)
    }

    /// Appends the member's JSON out of the whole value, without a newline.
    pub fn print(&self, value: &[u8], out: &mut Vec<u8>) {
        super::with_size(value, self.plan.size, |value| {
            self.plan.print(self.node, &value[self.offset..], out);
        });
    }

    /// Parses the member's text into its place in the whole value; all else stays, also what the
    /// unions around it hold beside it.
    ///
    /// # Errors
    /// As [`super::Codec::parse_value`].
    pub fn parse(&self, text: &[u8], value: &mut [u8]) -> Result<(), TextError> {
        super::check_size(value.len(), self.plan.size)?;
        Ok(self.plan.parse(self.node, text, &mut value[self.offset..], true)?)
    }
}

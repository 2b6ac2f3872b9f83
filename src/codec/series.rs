//! Numbers out of keys and values: what histograms are drawn of.

use super::Codec;
use super::plan::{CodecPlan, NodeId, Num, PlanNode, Sort};

/// An array of fewer integers is no histogram.
const LEAST: u32 = 4;

/// Where the numbers are.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The first array of at least [`LEAST`] integers in a value: the first of them, how many there
    /// are, and bytes from one to the next.
    series: Option<(Place, u32, usize)>,
    /// The first integer in a value.
    value: Option<Place>,
    /// The key, if it is an integer.
    key: Option<Num>,
}

/// An integer and where it is.
type Place = (Num, usize);

impl Numbers {
    /// Looks for them; `alone` is the key, or the only member in it, if that may be a number.
    pub(super) fn find(key: &CodecPlan, alone: Option<NodeId>, value: &CodecPlan) -> Self {
        let is_series = |id| match value.node(id) {
            PlanNode::Array { len, elem, .. } => len >= LEAST && integer(value, elem).is_some(),
            _ => false,
        };
        let series = first(value, value.root, 0, &is_series).and_then(|(id, offset)| {
            let PlanNode::Array { len, stride, elem } = value.node(id) else { return None };
            Some(((integer(value, elem)?, offset), len, stride as usize))
        });
        let number = first(value, value.root, 0, &|id| integer(value, id).is_some());
        let number = number.and_then(|(id, offset)| Some((integer(value, id)?, offset)));
        Self { series, value: number, key: alone.and_then(|alone| integer(key, alone)) }
    }
}

impl Codec {
    /// Whether values have an array of at least four integers.
    pub fn has_series(&self) -> bool {
        self.numbers.series.is_some()
    }

    /// Whether keys are integers, and values are or have one.
    pub fn has_buckets(&self) -> bool {
        self.numbers.key.is_some() && self.numbers.value.is_some()
    }

    /// The first array of at least four integers in a value, added up over the CPUs; `None` if values
    /// have none.
    pub fn series(&self, bytes: &[u8]) -> Option<Vec<i128>> {
        let ((num, offset), len, stride) = self.numbers.series?;
        let at = |index: u32| offset + index as usize * stride;
        Some((0..len).map(|index| self.sum_at(&num, at(index), bytes)).collect())
    }

    /// A value that is an integer, or the first integer in it, added up over the CPUs.
    pub fn number(&self, bytes: &[u8]) -> Option<i128> {
        let (num, offset) = self.numbers.value?;
        Some(self.sum_at(&num, offset, bytes))
    }

    /// A key that is an integer, or a struct of which it is the only member.
    pub fn key_number(&self, key: &[u8]) -> Option<i128> {
        let num = self.numbers.key?;
        let bytes = key.get(..usize::from(num.size))?;
        Some(num.extend(num.read(bytes)))
    }

    fn sum_at(&self, num: &Num, offset: usize, bytes: &[u8]) -> i128 {
        let cpus = 0..self.cpus.unwrap_or(1);
        let numbers = cpus.filter_map(|cpu| {
            let value = bytes.get(self.slot(cpu))?;
            let bytes = value.get(offset..offset + usize::from(num.size))?;
            Some(num.extend(num.read(bytes)))
        });
        numbers.fold(0, i128::saturating_add)
    }
}

/// The number that a node is, if it is an integer: no bool, no enum, no pointer.
fn integer(plan: &CodecPlan, id: NodeId) -> Option<Num> {
    match plan.node(id) {
        PlanNode::Num(num) if num.sort == Sort::Number => Some(num),
        _ => None,
    }
}

/// The first node below `id`, itself included, for which `fits` holds, and where it is.
fn first(
    plan: &CodecPlan,
    id: NodeId,
    offset: usize,
    fits: &impl Fn(NodeId) -> bool,
) -> Option<(NodeId, usize)> {
    if fits(id) {
        return Some((id, offset));
    }
    match plan.node(id) {
        PlanNode::Record { first: from, end, .. } => plan
            .fields(from, end)
            .iter()
            .find_map(|field| first(plan, field.node, offset + field.offset as usize, fits)),
        PlanNode::Array { len: 1.., elem, .. } => first(plan, elem, offset, fits),
        _ => None,
    }
}

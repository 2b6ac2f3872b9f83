//! Per-CPU values added up, member by member.

use super::digits::{push_fmt, push_int};
use super::plan::{CodecPlan, NodeId, Num, PlanNode, Sort};
use super::print::push_members;
use std::borrow::Cow;

/// Every CPU's bytes of one node.
#[derive(Clone, Copy)]
pub(super) struct Slots<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) stride: usize,
    pub(super) cpus: usize,
    /// Where the node begins in each slot.
    pub(super) offset: usize,
}

impl<'a> Slots<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.cpus).map(move |cpu| &self.bytes[cpu * self.stride + self.offset..])
    }

    /// The bits of `size` bytes that are set on any CPU: by them it is chosen which member shows a union.
    pub(super) fn any(self, size: u32) -> Cow<'a, [u8]> {
        let mut any = vec![0; size as usize];
        for bytes in self.iter() {
            any.iter_mut().zip(bytes).for_each(|(any, byte)| *any |= byte);
        }
        any.into()
    }

    /// The sum of floats of `size` bytes.
    pub(super) fn sum_floats(self, size: u32) -> f64 {
        let float = |bytes: &[u8]| match size {
            4 => bytes.first_chunk().map_or(0.0, |&b| f64::from(f32::from_ne_bytes(b))),
            _ => bytes.first_chunk().map_or(0.0, |&b| f64::from_ne_bytes(b)),
        };
        self.iter().map(float).sum()
    }

    pub(super) fn add(self, offset: usize) -> Self {
        Self { offset: self.offset + offset, ..self }
    }
}

impl CodecPlan {
    /// Appends the JSON of the sum. What is no number is shown if all CPUs have the same, else null.
    pub(super) fn print_sum(&self, id: NodeId, slots: Slots<'_>, out: &mut Vec<u8>) {
        match self.node(id) {
            PlanNode::Num(num) if num.sort == Sort::Number => sum_numbers(&num, slots, out),
            PlanNode::Float { size } => push_float(slots.sum_floats(size), out),
            PlanNode::Array { len, stride, elem } => {
                out.push(b'[');
                for at in 0..len as usize {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.print_sum(elem, slots.add(at * stride as usize), out);
                }
                out.push(b']');
            }
            PlanNode::Record { first, end, unions, size, .. } => {
                match self.shown(first..end, unions, || slots.any(size)) {
                    Some(fields) => push_members(fields, out, |field, out| {
                        self.print_sum(field.node, slots.add(field.offset as usize), out);
                    }),
                    None => out.extend_from_slice(b"null"),
                }
            }
            _ => {
                let start = out.len();
                let mut again = Vec::new();
                for (cpu, bytes) in slots.iter().enumerate() {
                    if cpu == 0 {
                        self.print(id, bytes, out);
                        continue;
                    }
                    again.clear();
                    self.print(id, bytes, &mut again);
                    if again != out[start..] {
                        out.truncate(start);
                        out.extend_from_slice(b"null");
                        return;
                    }
                }
            }
        }
    }
}

fn push_float(sum: f64, out: &mut Vec<u8>) {
    if sum.is_finite() {
        let _ = serde_json::to_writer(out, &sum);
    } else {
        push_fmt(format_args!("\"{}\"", sum.to_string().to_ascii_lowercase()), out);
    }
}

/// Adds whole numbers without overflow: 64-bit ones in 128 bits, 128-bit ones with a carry.
fn sum_numbers(num: &Num, slots: Slots<'_>, out: &mut Vec<u8>) {
    let numbers = slots.iter().map(|bytes| num.extend(num.read(bytes)));
    if num.width <= 64 {
        push_int(numbers.sum::<i128>(), out);
        return;
    }
    let (mut low, mut high) = (0_u128, 0_i128);
    for number in numbers {
        let (sum, carry) = low.overflowing_add(number as u128);
        low = sum;
        high += i128::from(carry) - i128::from(num.signed && number < 0);
    }
    match high {
        0 => push_fmt(format_args!("\"{low:#x}\""), out),
        1.. => push_fmt(format_args!("\"{high:#x}{low:032x}\""), out),
        _ => {
            // A negative sum in two's complement would have no end: a sign and the magnitude.
            let (magnitude, borrow) = (!low).overflowing_add(1);
            match !high + i128::from(borrow) {
                0 => push_fmt(format_args!("\"-{magnitude:#x}\""), out),
                rest => push_fmt(format_args!("\"-{rest:#x}{magnitude:032x}\""), out),
            }
        }
    }
}

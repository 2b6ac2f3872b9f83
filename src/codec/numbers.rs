//! The numbers in a value, each with where it is.

use super::Codec;
use super::plan::{CodecPlan, NodeId, PlanNode, Sort};
use super::sum::Slots;
use std::fmt::Write;

/// Who is told of a number: where it is, as `a.b.3`, empty for the value itself; and its text, as
/// Prometheus reads it.
type Tell<'a> = dyn FnMut(&str, &str) + 'a;

impl Codec {
    /// Tells of each number in a value: integers and floats, of a union those of the member that a value
    /// shows. Those of a per-CPU value are added up. What is shown in words (bool, enums, addresses) is
    /// none.
    pub fn numbers(&self, bytes: &[u8], tell: &mut Tell<'_>) {
        let cpus = self.cpus.unwrap_or(1);
        let stride = if self.cpus.is_some() { self.stride() } else { self.value.size };
        if bytes.len() < stride * cpus {
            return;
        }
        let slots = Slots { bytes, stride, cpus, offset: 0 };
        self.value.numbers(self.value.root, slots, &mut String::new(), tell);
    }
}

impl CodecPlan {
    fn numbers(&self, id: NodeId, slots: Slots<'_>, path: &mut String, tell: &mut Tell<'_>) {
        match self.node(id) {
            PlanNode::Num(num) if num.sort == Sort::Number => {
                let numbers = slots.iter().map(|bytes| num.extend(num.read(bytes)));
                if num.width <= 64 {
                    return tell(path, &numbers.sum::<i128>().to_string());
                }
                let float = |number| if num.signed { number as f64 } else { number as u128 as f64 };
                tell(path, &numbers.map(float).sum::<f64>().to_string());
            }
            PlanNode::Float { size } => tell(path, &float_text(slots.sum_floats(size))),
            PlanNode::Array { len, stride, elem } => {
                for at in 0..len {
                    let part = slots.add((at * stride) as usize);
                    inside(path, format_args!("{at}"), |path| self.numbers(elem, part, path, tell));
                }
            }
            PlanNode::Record { first, end, unions, size, .. } => {
                for field in
                    self.shown(first..end, unions, || slots.any(size)).into_iter().flatten()
                {
                    let part = slots.add(field.offset as usize);
                    inside(path, format_args!("{}", field.name), |path| {
                        self.numbers(field.node, part, path, tell);
                    });
                }
            }
            PlanNode::Num(_)
            | PlanNode::Text { .. }
            | PlanNode::Bytes { .. }
            | PlanNode::Known { .. } => {}
        }
    }
}

/// Calls `with` the path of a part.
fn inside(path: &mut String, name: std::fmt::Arguments<'_>, with: impl FnOnce(&mut String)) {
    let whole = path.len();
    if whole > 0 {
        path.push('.');
    }
    // Writing to a String cannot fail.
    let _ = path.write_fmt(name);
    with(path);
    path.truncate(whole);
}

fn float_text(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        number => number.to_string(),
    }
}

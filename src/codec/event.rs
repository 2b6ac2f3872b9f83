//! An event of a stream as text: what a program sent need not have its type's size.

use super::Codec;
use super::plan::{PlanField, PlanNode};
use super::print::push_json_hex;

impl Codec {
    /// Appends an event, whose type is the values' one: an object of its members. What follows them is
    /// `"rest":"0x…"`, and of a shorter event those members are there that it has whole; one that has not
    /// even the first, or has no members, is hex. Up to `slack` bytes behind it may be the ring's own, as in
    /// perf records, which are padded to 8.
    pub fn print_event(&self, event: &[u8], slack: usize, out: &mut Vec<u8>) {
        let plan = &self.value;
        let size = plan.size;
        if (size..=size + slack).contains(&event.len()) {
            return self.print_value(&event[..size], out);
        }
        let start = out.len();
        if event.len() > size {
            self.print_value(&event[..size], out);
            if out.last() == Some(&b'}') {
                out.pop();
                let comma: &[u8] = if out.len() > start + 1 { b"," } else { b"" };
                out.extend_from_slice(comma);
                out.extend_from_slice(b"\"rest\":");
                push_json_hex(&event[size..], out);
                out.push(b'}');
                return;
            }
            out.truncate(start);
            return push_json_hex(event, out);
        }
        let PlanNode::Record { first, end, unions, .. } = plan.node(plan.root) else {
            return push_json_hex(event, out);
        };
        let mut whole = event.to_vec();
        whole.resize(size, 0);
        let is_there = |field: &&PlanField| field.bits.1 <= event.len() as u64 * 8;
        let shown = plan.shown(first..end, unions, || whole.as_slice().into());
        let mut shown = shown.into_iter().flatten().filter(is_there).peekable();
        match shown.peek() {
            Some(_) => plan.print_members(shown, &whole, out),
            None => push_json_hex(event, out),
        }
    }
}

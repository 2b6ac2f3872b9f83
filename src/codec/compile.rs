//! BTF to a plan, once for each map.
//!
//! Nothing in the BTF is trusted: cycles end at a depth, sizes and offsets are checked against
//! each other, and a type that would print out of all proportion to its bytes is refused.

use super::cover::Covers;
use super::known::{Hint, Known};
use super::name::is_identifier;
use super::plan::{CodecPlan, Enumerators, Gap, NodeId, Num, PlanNode, Sort};
use super::print::push_json_str;
use super::record::Builder;
use crate::btf::{Btf, BtfType, Int, KERNEL_STRUCTS, Kind};
use std::collections::{HashMap, HashSet};

/// Structs and arrays inside one another, before a type counts as a cycle (the kernel: 32).
const DEPTH: usize = 32;

/// What one map's type may cost: members, enumerators and gaps. Anonymous structs folded into one
/// another would have no end.
const COST: usize = 1 << 18;

/// Compiles type `id`, which must have `size` bytes; else says why not.
pub(super) fn compile(btf: &Btf, id: u32, size: usize) -> Result<CodecPlan, String> {
    let mut compiler = Compiler {
        btf,
        plan: CodecPlan { size, ..CodecPlan::default() },
        memo: HashMap::new(),
        covers: HashMap::new(),
        tables: HashMap::new(),
        weights: Vec::new(),
        cost: 0,
        depth: 0,
    };
    let root = compiler.any(id)?;
    let mut plan = compiler.plan;
    plan.root = root;
    let found = plan.size_of(root);
    if found != size {
        return Err(format!("{} has {found} bytes, but the map says {size}", btf.spell(id)));
    }
    // An honest type has at most a number for each bit, and a few members without size.
    let weight = compiler.weights[root as usize];
    if weight > 64 * size as u64 + 4096 {
        return Err(format!("{} has {weight} members in {size} bytes", btf.spell(id)));
    }
    plan.has_lock = has_lock(btf, id);
    Ok(plan)
}

/// Whether the kernel finds a `bpf_spin_lock` in a value: in structs within structs, not in unions
/// (`btf_find_field` in `kernel/bpf/btf.c`).
fn has_lock(btf: &Btf, id: u32) -> bool {
    let mut todo = vec![id];
    let mut seen = HashSet::new();
    while let Some(id) = todo.pop() {
        let Some((_, found)) = btf.resolve(id).filter(|found| seen.insert(found.0)) else {
            continue;
        };
        match found.kind {
            Kind::Struct { .. } if btf.name(found.name_at) == "bpf_spin_lock" => return true,
            Kind::Struct { .. } => todo.extend(found.kind.members().map(|member| member.of)),
            Kind::DataSec { .. } => todo.extend(found.kind.variables().map(|var| var.var)),
            _ => {}
        }
    }
    false
}

/// Builds one plan.
pub(super) struct Compiler<'b> {
    pub(super) btf: &'b Btf,
    pub(super) plan: CodecPlan,
    /// The nodes made so far: by the type's id behind its typedefs and, for numbers and arrays, by what the
    /// typedefs' names say of byte order and addresses.
    memo: HashMap<(u32, bool, Hint), NodeId>,
    /// For each node, the bits that printing it shows, from its first.
    pub(super) covers: Covers,
    /// Enums' names by the enum's id.
    tables: HashMap<u32, u32>,
    /// For each node, the numbers and strings that printing it gives.
    pub(super) weights: Vec<u64>,
    cost: usize,
    depth: usize,
}

/// A type behind its typedefs.
#[derive(Clone, Copy)]
pub(super) struct Bare<'b> {
    pub(super) id: u32,
    pub(super) found: BtfType<'b>,
    /// Named `__be16`, `__be32` or `__be64` on the way.
    big: bool,
    /// What else the names on the way tell, and that of the member which it is.
    pub(super) hint: Hint,
}

impl Bare<'_> {
    /// The type of a member or variable of that name.
    pub(super) fn of_member(self, name: &str) -> Self {
        Self { hint: self.hint.of_member(name), ..self }
    }
}

impl<'b> Compiler<'b> {
    /// Follows typedefs and qualifiers, noting the byte order that their names tell.
    pub(super) fn bare(&self, id: u32) -> Result<Bare<'b>, String> {
        let (mut big, mut hint) = (false, Hint::default());
        let mut at = id;
        for _ in 0..2 * DEPTH {
            let Some(found) = self.btf.get(at) else {
                return Err(format!("type {at} is missing from the BTF"));
            };
            if let Kind::Typedef { .. } = found.kind {
                let name = self.btf.name(found.name_at);
                big |= matches!(name, "__be16" | "__be32" | "__be64");
                hint = hint.of_type(name);
            }
            match found.kind.next() {
                Some(next) => at = next,
                None => return Ok(Bare { id: at, found, big, hint }),
            }
        }
        Err(format!("the typedefs of type {id} do not end"))
    }

    /// Whether a type's bytes belong to the kernel; through arrays.
    pub(super) fn is_special(&self, bare: &Bare<'b>) -> bool {
        let mut kind = bare.found;
        for _ in 0..DEPTH {
            match kind.kind {
                Kind::Array { of, .. } => match self.bare(of) {
                    Ok(of) => kind = of.found,
                    Err(_) => return false,
                },
                Kind::Struct { .. } => {
                    return KERNEL_STRUCTS.contains(&self.btf.name(kind.name_at));
                }
                _ => return false,
            }
        }
        false
    }

    /// Whether a pointer's target is marked as the kernel's (`__kptr` in a program is a type tag).
    fn is_kptr(&self, to: u32) -> bool {
        const TAGS: [&str; 5] = ["kptr", "kptr_untrusted", "kptr_ref", "percpu_kptr", "uptr"];
        let mut at = to;
        for _ in 0..DEPTH {
            let Some(found) = self.btf.get(at) else { return false };
            let Kind::TypeTag { of } = found.kind else { return false };
            if TAGS.contains(&self.btf.name(found.name_at)) {
                return true;
            }
            at = of;
        }
        false
    }

    /// Counts a member or an enumerator with its name.
    pub(super) fn pay(&mut self, name_at: u32) -> Result<(), String> {
        self.spend(1 + self.btf.name(name_at).len() / 32)
    }

    fn spend(&mut self, cost: usize) -> Result<(), String> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > COST { Err("the type has too many members".into()) } else { Ok(()) }
    }

    pub(super) fn add(&mut self, node: PlanNode, weight: u64) -> NodeId {
        self.plan.nodes.push(node);
        self.weights.push(weight);
        (self.plan.nodes.len() - 1) as NodeId
    }

    /// The node of any type that has a size.
    pub(super) fn any(&mut self, id: u32) -> Result<NodeId, String> {
        let bare = self.bare(id)?;
        self.node(&bare)
    }

    pub(super) fn node(&mut self, bare: &Bare<'b>) -> Result<NodeId, String> {
        // A record's members have names of their own.
        let is_hinted = matches!(bare.found.kind, Kind::Int(_) | Kind::Array { .. });
        let key = (bare.id, bare.big, if is_hinted { bare.hint } else { Hint::default() });
        if let Some(&node) = self.memo.get(&key) {
            return Ok(node);
        }
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("the type has more than {DEPTH} levels, or contains itself"));
        }
        let node = self.build(bare);
        self.depth -= 1;
        let node = node?;
        self.memo.insert(key, node);
        Ok(node)
    }

    /// What is known of a type beyond C, such as that it is an address; `plain` is the node that it has in
    /// C.
    pub(super) fn known(&mut self, bare: &Bare<'b>) -> Result<Option<Known>, String> {
        Ok(match bare.found.kind {
            Kind::Struct { size, .. } => Known::of_struct(self.btf.name(bare.found.name_at), size),
            Kind::Int(int) => Known::of_number(&self.int(bare, int)?, bare.hint),
            Kind::Array { of, len } => {
                let of = self.bare(of)?;
                match of.found.kind {
                    Kind::Int(int) if !self.is_char(&of, int) && !of.hint.is_certain() => {
                        Known::of_array(&self.int(&of, int)?, len, bare.hint)
                    }
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// The node that a known type is in C. Structs are numbers in network order, or bytes.
    fn plain(&mut self, bare: &Bare<'b>) -> Result<NodeId, String> {
        match bare.found.kind {
            Kind::Struct { size: size @ 4, .. } => {
                let num = Num { big: true, ..Num::int(size as u8, false) };
                Ok(self.add(PlanNode::Num(num), 1))
            }
            Kind::Struct { size, .. } => Ok(self.add(PlanNode::Bytes { len: size }, 1)),
            Kind::Int(int) => {
                let num = self.int(bare, int)?;
                Ok(self.add(PlanNode::Num(num), 1))
            }
            Kind::Array { of, len } => self.array(of, len, Hint::default()),
            _ => Err(format!("{} is no address", self.btf.spell(bare.id))),
        }
    }

    fn build(&mut self, bare: &Bare<'b>) -> Result<NodeId, String> {
        if let Some(known) = self.known(bare)? {
            let plain = self.plain(bare)?;
            let is_struct = matches!(bare.found.kind, Kind::Struct { .. });
            return Ok(self.add(PlanNode::Known { known, plain, is_struct }, 1));
        }
        match bare.found.kind {
            Kind::Int(_) | Kind::Enum { .. } | Kind::Ptr { .. } => {
                let num = self.num(bare)?;
                Ok(self.add(PlanNode::Num(num), 1))
            }
            Kind::Float { size: size @ (4 | 8) } => Ok(self.add(PlanNode::Float { size }, 1)),
            Kind::Float { size } if size <= 64 => Ok(self.add(PlanNode::Bytes { len: size }, 1)),
            Kind::Array { of, len } => self.array(of, len, bare.hint),
            Kind::Struct { .. } | Kind::Union { .. } if self.is_special(bare) => {
                let size = self.size(bare)?;
                let gaps = (0, 0);
                let node = PlanNode::Record { first: 0, end: 0, gaps, size, unions: None };
                Ok(self.add(node, 1))
            }
            Kind::Struct { .. } | Kind::Union { .. } => {
                Builder::new(self.size(bare)?).record(self, bare)
            }
            Kind::DataSec { size, .. } => Builder::new(size).section(self, bare),
            _ => Err(format!("{} has no size", self.btf.spell(bare.id))),
        }
    }

    /// A struct's or union's size in bytes.
    pub(super) fn size(&self, bare: &Bare<'b>) -> Result<u32, String> {
        match bare.found.kind {
            Kind::Struct { size, .. } | Kind::Union { size, .. } if size <= i32::MAX as u32 => {
                Ok(size)
            }
            _ => Err(format!("{} has no size", self.btf.spell(bare.id))),
        }
    }

    /// Whether an integer is a character of a string.
    fn is_char(&self, bare: &Bare<'b>, int: Int) -> bool {
        let named = int.character || self.btf.name(bare.found.name_at) == "char";
        named && !int.boolean && int.size == 1 && int.bits == 8
    }

    /// An array, whose elements are what its own names tell, too.
    fn array(&mut self, of: u32, len: u32, hint: Hint) -> Result<NodeId, String> {
        let of = self.bare(of)?;
        let of = Bare { hint: of.hint.and(hint), ..of };
        let elem = self.node(&of)?;
        let stride = self.plan.size_of(elem);
        let bytes = stride as u64 * u64::from(len);
        if bytes > i32::MAX as u64 {
            return Err(format!("an array has {bytes} bytes"));
        }
        if let Kind::Int(int) = of.found.kind
            && self.is_char(&of, int)
        {
            return Ok(self.add(PlanNode::Text { len, elem }, 1));
        }
        // Elements without size are countless.
        let len = if stride == 0 { 0 } else { len };
        let weight = u64::from(len).saturating_mul(self.weights[elem as usize]).saturating_add(1);
        Ok(self.add(PlanNode::Array { len, stride: stride as u32, elem }, weight))
    }

    /// A number's storage: an integer's, enum's or pointer's.
    pub(super) fn num(&mut self, bare: &Bare<'b>) -> Result<Num, String> {
        match bare.found.kind {
            Kind::Ptr { of: to } => {
                let sort = if self.is_kptr(to) { Sort::Kptr } else { Sort::Pointer };
                Ok(Num { sort, ..Num::int(8, false) })
            }
            Kind::Int(int) => self.int(bare, int),
            Kind::Enum { size: size @ (1 | 2 | 4 | 8), signed, .. } => {
                let num = Num::int(size as u8, signed);
                let table = match self.tables.get(&bare.id) {
                    Some(&table) => table,
                    None => self.enumerators(bare, &num)?,
                };
                Ok(Num { sort: Sort::Enum(table), ..num })
            }
            Kind::Enum { size, .. } => Err(format!("an enum has {size} bytes")),
            _ => Err(format!("{} is no number", self.btf.spell(bare.id))),
        }
    }

    fn int(&self, bare: &Bare<'b>, int: Int) -> Result<Num, String> {
        let name = self.btf.name(bare.found.name_at);
        let wrong = || format!("integer {name} has {} bits in {} bytes", int.bits, int.size);
        let (1..=16, 1..=128) = (int.size, int.bits) else { return Err(wrong()) };
        if int.offset + int.bits > int.size * 8 {
            return Err(wrong());
        }
        let sort = if int.boolean { Sort::Bool } else { Sort::Number };
        let whole = Num { sort, ..Num::int(int.size as u8, int.signed) };
        if int.bits == int.size * 8 {
            return Ok(Num { big: bare.big, ..whole });
        }
        // Fewer bits than bytes: `_BitInt`, or an old compiler's bit-field.
        if int.offset > 7 {
            return Err(wrong());
        }
        Ok(Num { shift: int.offset as u8, width: int.bits as u8, ..whole })
    }

    /// Adds an enum's names; returns the table's index.
    fn enumerators(&mut self, bare: &Bare<'b>, num: &Num) -> Result<u32, String> {
        let mut table = Enumerators {
            name: self.btf.name(bare.found.name_at).into(),
            ..Enumerators::default()
        };
        for value in bare.found.kind.values() {
            self.pay(value.name_at)?;
            let name = self.btf.name(value.name_at);
            let bits = num.extend(u128::from(value.value) & num.mask()) as u64;
            if is_identifier(name) {
                table.by_name.push((name.into(), bits));
                table.by_value.push((bits, name.into()));
            }
        }
        // Stable sorts: of equals the first in the source stays.
        table.by_name.sort_by(|a, b| a.0.cmp(&b.0));
        table.by_name.dedup_by(|a, b| a.0 == b.0);
        table.by_value.sort_by_key(|entry| entry.0);
        table.by_value.dedup_by_key(|entry| entry.0);
        // A name of two values (no C compiler writes that) means the one it parses to.
        let back = std::mem::take(&mut table.by_value);
        table.by_value =
            back.into_iter().filter(|entry| table.value_of(&entry.1) == Some(entry.0)).collect();
        self.plan.enums.push(table);
        let index = (self.plan.enums.len() - 1) as u32;
        self.tables.insert(bare.id, index);
        Ok(index)
    }

    /// `"name":` as JSON writes it.
    pub(super) fn label(name: &str) -> Box<[u8]> {
        let mut label = Vec::with_capacity(name.len() + 3);
        push_json_str(name, &mut label);
        label.push(b':');
        label.into()
    }

    /// The bits of gaps, as ranges.
    pub(super) fn ranges(&self, gaps: (u32, u32)) -> Vec<(u64, u64)> {
        let of = |gap: &Gap| {
            let start = u64::from(gap.offset) * 8;
            match gap.mask {
                0xff => vec![(start, start + u64::from(gap.len) * 8)],
                mask => (0..8)
                    .filter(|bit| mask & bit_mask(*bit, *bit + 1) != 0)
                    .map(|bit| (start + bit, start + bit + 1))
                    .collect(),
            }
        };
        self.plan.gaps(gaps).iter().flat_map(of).collect()
    }

    /// Adds the bits of `ranges` as gaps; returns where they are.
    pub(super) fn gaps(&mut self, ranges: &[(u64, u64)]) -> Result<(u32, u32), String> {
        self.spend(ranges.len())?;
        let first = self.plan.gaps.len() as u32;
        for &(start, end) in ranges {
            push_gaps(start, end, &mut self.plan.gaps);
        }
        Ok((first, self.plan.gaps.len() as u32))
    }
}

/// Splits a range of bits into whole bytes and the parts of a byte before and after.
fn push_gaps(start: u64, end: u64, gaps: &mut Vec<Gap>) {
    let mut at = start;
    while at < end {
        let whole = at.is_multiple_of(8) && end - at >= 8;
        let next = if whole { end & !7 } else { end.min((at | 7) + 1) };
        let (low, high) = (at % 8, next - (at & !7));
        let mask = if whole { 0xff } else { bit_mask(low, high) };
        let len = if whole { (next - at) / 8 } else { 1 };
        gaps.push(Gap { offset: (at / 8) as u32, len: len as u32, mask });
        at = next;
    }
}

/// The bits from `low` to before `high` of a byte, as the host counts bit-fields' bits.
fn bit_mask(low: u64, high: u64) -> u8 {
    let mask = (0xff_u16 >> (8 - (high - low))) as u8;
    if cfg!(target_endian = "big") { mask << (8 - high) } else { mask << low }
}

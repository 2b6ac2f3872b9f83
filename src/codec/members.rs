//! The name of a struct: `saddr=10.0.0.1,dport=80`, nested `a.b=1`.
//!
//! Of a union that member is named which is shown of a value; a name may give any other, in any order, and
//! leave out members that are padding by their names: these are zero then.

use super::fault::Fault;
use super::fault::excerpt;
use super::name::{is_byte, is_identifier, push_text, unescape};
use super::parse::SeenMembers;
use super::plan::{CodecPlan, Gap, Item, NodeId, PlanNode, is_zero};
use super::word;

/// Longer readable names give way to hex (FUSE passes names of at most 1,024 bytes).
pub(super) const LONGEST: usize = 1023;

/// Members that a struct's name can have at most: a name of more would be too long.
const LEAVES: usize = 256;

/// One `path=value` of a struct's name.
#[derive(Debug)]
struct Leaf {
    /// `a.b` of `a.b=1`.
    path: Box<str>,
    offset: usize,
    node: NodeId,
    /// The bits that it has, from the key's first.
    bits: (usize, usize),
    /// Whether a name may leave it out.
    is_padding: bool,
}

/// What a name is made of.
#[derive(Debug)]
enum NamePart {
    /// A member, by its index among the leaves.
    Leaf(usize),
    /// Members one after the other.
    All(Vec<NamePart>),
    /// One of these, the best first, if what it would not show is zero.
    Any(Vec<(NamePart, Vec<Gap>)>),
}

/// The members of a key that is a struct or union.
#[derive(Debug)]
pub(super) struct Members {
    leaves: Vec<Leaf>,
    whole: NamePart,
    /// The bits that no leaf covers.
    gaps: Vec<Gap>,
    has_unions: bool,
}

impl Members {
    /// Those of a plan; `None` if they cannot name it.
    pub(super) fn new(plan: &CodecPlan) -> Option<Self> {
        let mut found = Finder { plan, leaves: Vec::new(), has_unions: false };
        let whole = found.part(plan.root, 0, "", true)?;
        let Finder { leaves, has_unions, .. } = found;
        if leaves.is_empty() {
            return None;
        }
        let gaps = uncovered(plan, &leaves);
        Some(Self { leaves, whole, gaps, has_unions })
    }

    /// Whether a key has bits that none of its members has.
    pub(super) fn has_stray_bits(&self, key: &[u8]) -> bool {
        !is_zero(&self.gaps, key)
    }

    /// Appends the name of a key. False if no name gives all of it back.
    pub(super) fn print(&self, plan: &CodecPlan, key: &[u8], name: &mut Vec<u8>) -> bool {
        let start = name.len();
        !self.has_stray_bits(key) && self.print_part(plan, &self.whole, key, start, name)
    }

    fn print_part(
        &self,
        plan: &CodecPlan,
        part: &NamePart,
        key: &[u8],
        start: usize,
        name: &mut Vec<u8>,
    ) -> bool {
        match part {
            NamePart::Leaf(at) => {
                let Some(leaf) = self.leaves.get(*at) else { return false };
                if name.len() > start {
                    name.push(b',');
                }
                name.extend_from_slice(leaf.path.as_bytes());
                name.push(b'=');
                let bytes = &key[leaf.offset..][..plan.size_of(leaf.node)];
                match plan.node(leaf.node) {
                    PlanNode::Num(num) => plan.print_num(&num, bytes, false, name),
                    PlanNode::Known { known, .. } => known.push_name(bytes, plan.describe, name),
                    PlanNode::Text { .. } => return push_text(bytes, name),
                    PlanNode::Float { .. } => return false,
                    _ => word::push_hex(bytes, name),
                }
                true
            }
            NamePart::All(parts) => {
                parts.iter().all(|part| self.print_part(plan, part, key, start, name))
            }
            NamePart::Any(parts) => parts.iter().any(|(part, hidden)| {
                let before = name.len();
                let shows = is_zero(hidden, key) && self.print_part(plan, part, key, start, name);
                if !shows {
                    name.truncate(before);
                }
                shows
            }),
        }
    }

    /// Parses a name into `key`, which is all zero.
    pub(super) fn parse(&self, plan: &CodecPlan, name: &str, key: &mut [u8]) -> Result<(), Fault> {
        let mut seen = SeenMembers::default();
        let mut count = 0;
        for (guess, part) in name.split(',').enumerate() {
            let Some((path, value)) = part.split_once('=') else {
                let part = excerpt(part.as_bytes());
                return Err(Fault::invalid(format!("`{part}` is not MEMBER=VALUE")));
            };
            let fits = |leaf: &Leaf| &*leaf.path == path;
            let at = match self.leaves.get(guess) {
                Some(leaf) if fits(leaf) => Some(guess),
                _ => self.leaves.iter().position(fits),
            };
            let Some((at, leaf)) = at.and_then(|at| Some((at, self.leaves.get(at)?))) else {
                let path = excerpt(path.as_bytes());
                return Err(Fault::invalid(format!("there is no member `{path}`")));
            };
            if self.has_unions {
                let overlaps = |at: &usize| {
                    self.leaves.get(*at).is_some_and(|other| {
                        other.path != leaf.path
                            && other.bits.0 < leaf.bits.1
                            && leaf.bits.0 < other.bits.1
                    })
                };
                if let Some(other) = seen.iter().find(overlaps).and_then(|at| self.leaves.get(at)) {
                    let what = format!("`{}` is in the same union: give one of them", other.path);
                    return Err(Fault::invalid(what).inside(path));
                }
            }
            if !seen.insert(at) {
                return Err(Fault::invalid("the member is given twice").inside(path));
            }
            count += 1;
            let bytes = &mut key[leaf.offset..][..plan.size_of(leaf.node)];
            match plan.node(leaf.node) {
                PlanNode::Text { .. } => unescape(value.as_bytes(), bytes),
                _ => plan.parse_word(leaf.node, value, bytes, false),
            }
            .map_err(|fault| fault.inside(path))?;
        }
        if count < self.leaves.len()
            && let Some(path) = self.missing(&self.whole, &seen)
        {
            return Err(Fault::invalid(format!("the member {path} is missing")));
        }
        Ok(())
    }

    /// The first member that is missing from a name which gives the members in `seen`.
    fn missing(&self, part: &NamePart, seen: &SeenMembers) -> Option<&str> {
        match part {
            NamePart::Leaf(at) => {
                let leaf = self.leaves.get(*at)?;
                (!leaf.is_padding && !seen.contains(*at)).then_some(&leaf.path)
            }
            NamePart::All(parts) => parts.iter().find_map(|part| self.missing(part, seen)),
            NamePart::Any(parts) => {
                let all_lack = parts.iter().all(|(part, _)| self.missing(part, seen).is_some());
                // Of the members of one that was begun, the first that it lacks.
                let begun = parts.iter().find(|(part, _)| self.has_any(part, seen));
                let (part, _) = begun.or(parts.first()).filter(|_| all_lack)?;
                self.missing(part, seen)
            }
        }
    }

    fn has_any(&self, part: &NamePart, seen: &SeenMembers) -> bool {
        match part {
            NamePart::Leaf(at) => seen.contains(*at),
            NamePart::All(parts) => parts.iter().any(|part| self.has_any(part, seen)),
            NamePart::Any(parts) => parts.iter().any(|(part, _)| self.has_any(part, seen)),
        }
    }

    /// What a name looks like.
    pub(super) fn example(&self) -> String {
        let mut paths = Vec::new();
        self.first_paths(&self.whole, &mut paths);
        format!("{}=…", paths.join("=…,"))
    }

    /// The first members of a name, of each union the best.
    fn first_paths<'a>(&'a self, part: &NamePart, paths: &mut Vec<&'a str>) {
        match part {
            NamePart::Leaf(at) if paths.len() < 8 => {
                paths.extend(self.leaves.get(*at).map(|leaf| &*leaf.path));
            }
            NamePart::Leaf(_) => {}
            NamePart::All(parts) => parts.iter().for_each(|part| self.first_paths(part, paths)),
            NamePart::Any(parts) => {
                parts.iter().take(1).for_each(|(part, _)| self.first_paths(part, paths));
            }
        }
    }
}

/// Finds the members of a plan.
struct Finder<'p> {
    plan: &'p CodecPlan,
    leaves: Vec<Leaf>,
    has_unions: bool,
}

impl Finder<'_> {
    /// The parts of a name for the node at `offset`; `None` if it cannot be named by its members. `shown`
    /// is false inside of all but the best way to show a union: there a member that no name can have, a
    /// float, does no harm.
    fn part(&mut self, id: NodeId, offset: usize, path: &str, shown: bool) -> Option<NamePart> {
        let plan = self.plan;
        let dot = if path.is_empty() { "" } else { "." };
        match plan.node(id) {
            _ if plan.size_of(id) == 0 => Some(NamePart::All(Vec::new())),
            PlanNode::Float { .. } if shown => None,
            PlanNode::Record { first, unions: Some(tree), .. } => {
                self.has_unions = true;
                let items = plan.trees.get(tree as usize)?;
                self.items(items, first, offset, path, shown)
            }
            PlanNode::Record { first, end, .. } => {
                let parts = (first..end).map(|at| self.field(at, offset, path, shown));
                Some(NamePart::All(parts.collect::<Option<_>>()?))
            }
            // An array of bytes is named in hex; one whose elements are more than bytes, or do not show all
            // of their bits, by its elements.
            PlanNode::Array { len, stride, elem } if !is_byte(plan, elem) => {
                if len as usize > LEAVES {
                    return None;
                }
                let elems = (0..len as usize).map(|at| {
                    let offset = offset + at * stride as usize;
                    self.part(elem, offset, &format!("{path}{dot}{at}"), shown)
                });
                Some(NamePart::All(elems.collect::<Option<_>>()?))
            }
            node => {
                let (start, len) = match node {
                    PlanNode::Num(num) => (usize::from(num.shift), usize::from(num.width)),
                    _ => (0, plan.size_of(id) * 8),
                };
                let start = offset * 8 + start;
                let leaf = Leaf {
                    path: path.into(),
                    offset,
                    node: id,
                    bits: (start, start + len),
                    is_padding: path.split('.').any(is_padding),
                };
                self.leaves.push(leaf);
                let chars: usize = self.leaves.iter().map(|leaf| leaf.path.len()).sum();
                let fits = self.leaves.len() <= LEAVES && chars <= LEAVES * LONGEST;
                fits.then(|| NamePart::Leaf(self.leaves.len() - 1))
            }
        }
    }

    fn field(&mut self, at: u32, offset: usize, path: &str, shown: bool) -> Option<NamePart> {
        let field = self.plan.fields.get(at as usize)?;
        let name = &*field.name;
        let dot = if path.is_empty() { "" } else { "." };
        let offset = offset + field.offset as usize;
        let path = format!("{path}{dot}{name}");
        if is_identifier(name) { self.part(field.node, offset, &path, shown) } else { None }
    }

    fn items(
        &mut self,
        items: &[Item],
        first: u32,
        offset: usize,
        path: &str,
        shown: bool,
    ) -> Option<NamePart> {
        let mut parts = Vec::new();
        for item in items {
            parts.push(match item {
                Item::Field(at) => self.field(first + at, offset, path, shown)?,
                Item::Union(alternatives) => {
                    let mut any = Vec::new();
                    for (at, alternative) in alternatives.iter().enumerate() {
                        let shown = shown && at == 0;
                        let part = self.items(&alternative.items, first, offset, path, shown)?;
                        let hidden = self.plan.gaps(alternative.hidden).iter();
                        let hidden =
                            hidden.map(|gap| Gap { offset: gap.offset + offset as u32, ..*gap });
                        any.push((part, hidden.collect()));
                    }
                    NamePart::Any(any)
                }
            });
        }
        Some(NamePart::All(parts))
    }
}

/// Whether a member only fills, by its name.
fn is_padding(name: &str) -> bool {
    ["_", "pad", "reserved"].iter().any(|start| name.starts_with(start))
}

/// The bits of a key that no leaf covers.
fn uncovered(plan: &CodecPlan, leaves: &[Leaf]) -> Vec<Gap> {
    let mut free = vec![0xff_u8; plan.size];
    for leaf in leaves {
        let bytes = &mut free[leaf.offset..][..plan.size_of(leaf.node)];
        match plan.node(leaf.node) {
            PlanNode::Num(num) => num.write(0, bytes),
            _ => bytes.fill(0),
        }
    }
    let gaps = free.iter().enumerate().filter(|&(_, &mask)| mask != 0);
    gaps.map(|(at, &mask)| Gap { offset: at as u32, len: 1, mask }).collect()
}

//! Inode numbers: a node's own hash, so that the same node keeps its number without being kept.
//!
//! A number stands in the table from the reply that told the kernel of it until the kernel forgets
//! it. Listings need no entry: they name numbers that a later look-up will give as well. The kernel keeps
//! a name as long as it has memory, and a user can ask for names without end: beyond so many, [`NodeTable::old`]
//! tells which it is to be asked to forget.

use super::Node;
use super::times::{PastTimes, Times};
use crate::bpffs::Pin;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

/// An inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root directory's, as FUSE has it.
    pub const ROOT: Self = Self(1);

    /// The one behind it, never 0, which is no inode number, nor the root's.
    fn next(self) -> Self {
        Self(self.0.wrapping_add(1).max(Self::ROOT.0 + 1))
    }
}

/// Nodes from which on the kernel is to be asked to forget some, and how many of those that were looked
/// up last it may keep then.
const MANY: usize = 1 << 15;
const KEPT: u64 = 1 << 14;

/// A shard with room for so many is made smaller when most of it is empty.
const ROOMY: usize = 1 << 10;

/// Locks that requests on different nodes do not share.
const SHARDS: usize = 16;

/// The keys are hashes already.
#[derive(Debug, Default)]
pub(super) struct Identity(u64);

/// The hash of inode numbers.
pub(super) type InoHash = BuildHasherDefault<Identity>;

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[derive(Debug)]
struct Slot {
    node: Arc<Node>,
    lookups: u64,
    /// The number of its last look-up among all.
    last: u64,
    times: Times,
}

/// A part of the numbers, under one lock.
#[derive(Debug, Default)]
struct Shard {
    slots: HashMap<Ino, Slot, InoHash>,
    past: PastTimes,
}

/// The nodes that the kernel knows, by inode number.
#[derive(Debug)]
pub struct NodeTable {
    shards: [RwLock<Shard>; SHARDS],
    len: AtomicUsize,
    /// Look-ups so far.
    asked: AtomicU64,
    /// More than so many are too many.
    many: AtomicUsize,
}

impl NodeTable {
    /// A table with the root alone.
    pub fn new(root: Node) -> Self {
        let table = Self {
            shards: Default::default(),
            len: AtomicUsize::new(1),
            asked: AtomicU64::new(0),
            many: AtomicUsize::new(MANY),
        };
        let times = Times::default();
        let slot = Slot { node: Arc::new(root), lookups: 1, last: u64::MAX, times };
        table.write(Ino::ROOT).slots.insert(Ino::ROOT, slot);
        table
    }

    fn shard(&self, number: Ino) -> &RwLock<Shard> {
        &self.shards[number.0 as usize % SHARDS]
    }

    fn read(&self, number: Ino) -> RwLockReadGuard<'_, Shard> {
        self.shard(number).read()
    }

    fn write(&self, number: Ino) -> RwLockWriteGuard<'_, Shard> {
        self.shard(number).write()
    }

    /// The number that a node gets, unless another node holds it.
    pub fn number(node: &Node) -> Ino {
        let mut hasher = SipHasher13::new();
        node.hash(&mut hasher);
        // 0 is no inode number, and 1 is the root's.
        Ino(hasher.finish().max(Ino::ROOT.0 + 1))
    }

    /// The node's number, counted as one more look-up that the kernel will forget. `moved` says whether
    /// two pins are one, before and after it was renamed: then the node keeps its number.
    pub fn intern(&self, node: Node, moved: impl Fn(&Pin, &Pin) -> bool) -> Ino {
        let mut number = Self::number(&node);
        let last = self.asked.fetch_add(1, Ordering::Relaxed);
        loop {
            let mut shard = self.write(number);
            let Shard { slots, past } = &mut *shard;
            match slots.entry(number) {
                Entry::Vacant(slot) => {
                    let times = past.take(number);
                    slot.insert(Slot { node: Arc::new(node), lookups: 1, last, times });
                    self.len.fetch_add(1, Ordering::Relaxed);
                    return number;
                }
                Entry::Occupied(mut slot) if *slot.get().node == node => {
                    slot.get_mut().lookups += 1;
                    slot.get_mut().last = last;
                    return number;
                }
                Entry::Occupied(mut slot) if slot.get().node.is_moved(&node, &moved) => {
                    slot.get_mut().lookups += 1;
                    slot.get_mut().last = last;
                    slot.get_mut().node = Arc::new(node);
                    return number;
                }
                // Two nodes with one hash: the later one moves on.
                Entry::Occupied(_) => number = number.next(),
            }
        }
    }

    /// The node with this number, if the kernel knows it.
    pub fn get(&self, number: Ino) -> Option<Arc<Node>> {
        self.read(number).slots.get(&number).map(|slot| Arc::clone(&slot.node))
    }

    /// Whether the kernel knows this node under its own number.
    pub fn knows(&self, node: &Node) -> bool {
        let number = Self::number(node);
        self.read(number).slots.get(&number).is_some_and(|slot| *slot.node == *node)
    }

    /// Since when a node that the kernel knows has the text with this hash, as far as was seen: of one
    /// never looked at, since now.
    pub fn since(&self, number: Ino, text: u64) -> SystemTime {
        match self.write(number).slots.get_mut(&number) {
            Some(slot) => slot.times.since(text),
            None => SystemTime::now(),
        }
    }

    /// Since when it has the text that it had when it was last looked at.
    pub fn told(&self, number: Ino) -> Option<SystemTime> {
        self.read(number).slots.get(&number)?.times.told()
    }

    /// Notes that a node was written to now: a text that is found to be new is new since then.
    pub fn written(&self, number: Ino) {
        if let Some(slot) = self.write(number).slots.get_mut(&number) {
            slot.times.write();
        }
    }

    /// Takes back `lookups` of a number; the last one removes the node. Whether memory was given back that
    /// is worth telling of.
    pub fn forget(&self, number: Ino, lookups: u64) -> bool {
        if number == Ino::ROOT {
            return false;
        }
        let mut shard = self.write(number);
        let Shard { slots, past } = &mut *shard;
        let Entry::Occupied(mut slot) = slots.entry(number) else { return false };
        let left = slot.get().lookups.saturating_sub(lookups);
        if left != 0 {
            slot.get_mut().lookups = left;
            return false;
        }
        past.keep(number, slot.remove().times);
        let is_roomy = slots.capacity() > ROOMY.max(4 * slots.len());
        if is_roomy {
            slots.shrink_to(2 * slots.len());
        }
        drop(shard);
        if self.len.fetch_sub(1, Ordering::Relaxed) < MANY {
            self.many.store(MANY, Ordering::Relaxed);
        }
        is_roomy
    }

    /// Whether the kernel is to be asked to forget some.
    pub fn has_many(&self) -> bool {
        self.len.load(Ordering::Relaxed) > self.many.load(Ordering::Relaxed)
    }

    /// All nodes but those that were looked up last: the kernel forgets those of them that nobody has
    /// open, or is in.
    pub fn old(&self) -> Vec<Ino> {
        let since = self.asked.load(Ordering::Relaxed).saturating_sub(KEPT);
        let mut old = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let slots = shard.slots.iter().filter(|(_, slot)| slot.last < since);
            old.extend(slots.map(|(number, _)| *number));
        }
        old
    }

    /// The kernel has been asked to forget these: those that are left are in use, and do not count among
    /// the many any more.
    pub fn asked_to_forget(&self, old: &[Ino]) {
        let is_left = |number: &&Ino| self.read(**number).slots.contains_key(number);
        let left = old.iter().filter(is_left).count();
        self.many.store(MANY + left, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{MapRef, Place, View};

    fn element(key: u8) -> Node {
        Node::In(MapRef::Id(7), Place::Element(View::Text, Arc::from([key])))
    }

    #[test]
    fn same_node_same_number() {
        let table = NodeTable::new(Node::Errors);
        let number = table.intern(element(1), |_, _| false);
        assert_eq!(number, table.intern(element(1), |_, _| false));
        assert_ne!(number, table.intern(element(2), |_, _| false));
        assert_eq!(number, NodeTable::number(&element(1)));
    }

    #[test]
    fn forgotten_with_its_last_look_up() {
        let table = NodeTable::new(Node::Errors);
        let number = table.intern(element(1), |_, _| false);
        table.intern(element(1), |_, _| false);
        table.forget(number, 1);
        assert_eq!(table.get(number).as_deref(), Some(&element(1)));
        table.forget(number, 1);
        assert_eq!(table.get(number), None);
        assert!(!table.knows(&element(1)));
    }

    #[test]
    fn the_oldest_of_many_are_to_be_forgotten() {
        let table = NodeTable::new(Node::Errors);
        let node = |n: u64| {
            let key = Arc::from(n.to_ne_bytes());
            Node::In(MapRef::Id(7), Place::Element(View::Text, key))
        };
        let intern = |n| table.intern(node(n), |_, _| false);
        (0..MANY as u64).for_each(|n| _ = intern(n));
        assert!(table.has_many());
        let first = intern(0);
        let old = table.old();
        assert_eq!(old.len() as u64, MANY as u64 - KEPT);
        assert!(old.iter().all(|number| *number != first && *number != Ino::ROOT));
        old[1..].iter().for_each(|number| _ = table.forget(*number, 1));
        table.asked_to_forget(&old);
        assert!(!table.has_many());
        // One is in use: it is told of again only when many have come.
        (0..MANY as u64 - KEPT + 2).for_each(|n| _ = intern(1 << 40 | n));
        assert!(table.has_many());
        assert_eq!(table.len.load(Ordering::Relaxed), 4 + MANY);
        let numbers =
            table.shards.iter().flat_map(|s| s.read().slots.keys().copied().collect::<Vec<_>>());
        let gives_back = numbers.filter(|number| table.forget(*number, 2)).count();
        assert!(gives_back >= SHARDS, "{gives_back}");
        assert_eq!(table.len.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_text_is_there_since_it_was_first_seen() {
        let table = NodeTable::new(Node::Errors);
        let number = table.intern(element(1), |_, _| false);
        assert_eq!(table.told(number), None);
        let first = table.since(number, 7);
        assert_eq!((table.since(number, 7), table.told(number)), (first, Some(first)));
        table.written(number);
        let written = SystemTime::now();
        assert_eq!(table.since(number, 7), first, "the same was written again");
        table.written(number);
        std::thread::sleep(std::time::Duration::from_millis(5));
        let second = table.since(number, 8);
        assert!(second >= written && second.elapsed().unwrap().as_millis() >= 5, "when written");
        assert!(table.since(number, 7) > second, "back again is new");
        let third = table.told(number);
        table.forget(number, 1);
        assert_eq!(table.told(number), None, "the kernel does not know it");
        table.intern(element(1), |_, _| false);
        assert_eq!((table.told(number), Some(table.since(number, 7))), (third, third));
    }

    #[test]
    fn root_is_never_forgotten() {
        let table = NodeTable::new(Node::Errors);
        table.forget(Ino::ROOT, 99);
        assert!(table.get(Ino::ROOT).is_some());
    }
}

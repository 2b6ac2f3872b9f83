//! A map's elements, and for each the comparison in which it last changed: once for all watchers, each of
//! which knows how far it has seen. Keys that are gone are kept as long as a watcher may believe that
//! they are there.

use super::knowledge::{Knowledge, KnownAsOf};
use super::snapshot::Snapshot;
use crate::map::room;
use crate::sys;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

/// When an element came, and when it last changed: numbers of comparisons.
#[derive(Debug, Clone, Copy)]
struct Mark {
    came: u64,
    changed: u64,
}

/// A key that was there from one comparison until before another.
#[derive(Debug, Clone, Copy)]
struct Gone {
    came: u64,
    went: u64,
}

impl Gone {
    /// Whether a watcher who has seen so much may believe that the key is there.
    fn is_believed(self, known: KnownAsOf) -> bool {
        self.came <= known.most && known.least < self.went
    }
}

/// The elements, their changes, and those that are gone.
#[derive(Debug, Default)]
pub(super) struct History {
    now: Snapshot,
    /// For the record in each place.
    marks: Vec<Mark>,
    gone: BTreeMap<Box<[u8]>, Gone>,
    /// The last comparison, and the last that found a difference.
    pub(super) number: u64,
    changed: u64,
}

/// A difference that a watcher does not know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News<'a> {
    /// Key and value.
    Set(&'a [u8], &'a [u8]),
    Deleted(&'a [u8]),
}

impl History {
    /// Bytes allocated, roughly: keys in a tree, with what the allocator adds.
    pub(super) fn allocated(&self) -> usize {
        let key = self.gone.keys().next().map_or(0, |key| key.len());
        self.now.allocated()
            + self.marks.capacity() * size_of::<Mark>()
            + self.gone.len() * (key + 64)
    }

    /// Keys kept that are gone.
    pub(super) fn gone(&self) -> usize {
        self.gone.len()
    }

    /// The map became `new`, by the comparison of this number. Deleted keys are kept for those who
    /// believe in them.
    ///
    /// # Errors
    /// ENOMEM: nothing has changed then.
    pub(super) fn advance(
        &mut self,
        mut new: Snapshot,
        number: u64,
        believers: &Believers,
    ) -> sys::Result<()> {
        if new.has_keys_of(&self.now) {
            new.order_of(&mut self.now);
            self.note_values(&new, number);
        } else {
            new.sort()?;
            let mut marks = Vec::new();
            room::reserve(&mut marks, new.met())?;
            marks.resize(new.met(), Mark { came: number, changed: number });
            self.note_keys(&new, &mut marks, number, believers);
            self.marks = marks;
            self.changed = number;
        }
        (self.now, self.number) = (new, number);
        Ok(())
    }

    /// Where no key came or went.
    fn note_values(&mut self, new: &Snapshot, number: u64) {
        // Whole pages at once, since most are equal.
        let page = new.stride.max(1) * 64;
        let pages = self.now.records.chunks(page).zip(new.records.chunks(page));
        for (ours, (old, new_page)) in self.marks.chunks_mut(64).zip(pages) {
            if old == new_page {
                continue;
            }
            let records = old.chunks_exact(new.stride).zip(new_page.chunks_exact(new.stride));
            for (mark, _) in ours.iter_mut().zip(records).filter(|(_, (a, b))| a != b) {
                mark.changed = number;
                self.changed = number;
            }
        }
    }

    /// Where keys came or went: both are walked by key.
    fn note_keys(
        &mut self,
        new: &Snapshot,
        marks: &mut [Mark],
        number: u64,
        believers: &Believers,
    ) {
        let old = &self.now;
        let (mut a, mut b) = (0, 0);
        while a < old.len() || b < new.len() {
            let order = if a == old.len() {
                Ordering::Greater
            } else if b == new.len() {
                Ordering::Less
            } else {
                old.key(a).cmp(new.key(b))
            };
            match order {
                Ordering::Less => {
                    let gone = Gone { came: self.marks[old.place(a)].came, went: number };
                    if believers.any(gone) {
                        self.gone.insert(old.key(a).into(), gone);
                    }
                    a += 1;
                }
                Ordering::Greater => {
                    // The key was here before and went. Whoever believes in the old one is told of its end
                    // by when that came.
                    if !self.gone.is_empty()
                        && let Some(gone) = self.gone.remove(new.key(b))
                    {
                        marks[new.place(b)].came = gone.came;
                    }
                    b += 1;
                }
                Ordering::Equal => {
                    let mark = &mut marks[new.place(b)];
                    *mark = self.marks[old.place(a)];
                    if old.value(a) != new.value(b) {
                        mark.changed = number;
                    }
                    a += 1;
                    b += 1;
                }
            }
        }
    }

    /// Forgets the deleted keys in which nobody believes any more.
    pub(super) fn forget(&mut self, believers: &Believers) {
        self.gone.retain(|_, gone| believers.any(*gone));
    }

    /// Whether there may be something that a watcher does not know; if not, there is nothing.
    pub(super) fn may_tell(&self, seen: &Knowledge) -> bool {
        self.changed > seen.least()
    }

    /// What a watcher does not know of the keys behind `after`, up to `last`, in their order.
    pub(super) fn news<'a>(
        &'a self,
        seen: &'a Knowledge,
        after: Option<&[u8]>,
        last: Option<&[u8]>,
    ) -> Walk<'a> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = last.map_or(Bound::Unbounded, Bound::Included);
        // From a later key to an earlier one there is nothing.
        let is_empty = matches!((after, last), (Some(after), Some(last)) if after >= last);
        let gone = if is_empty {
            btree_map::Range::default()
        } else {
            self.gone.range::<[u8], _>((from, to))
        };
        let end = if last.is_some() { self.now.after(last) } else { self.now.len() };
        Walk { history: self, seen, next: self.now.after(after), end, gone, deleted: None }
    }
}

/// A walk through what a watcher does not know.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    history: &'a History,
    seen: &'a Knowledge,
    /// Which key by order is looked at next, and which no more.
    next: usize,
    end: usize,
    gone: btree_map::Range<'a, Box<[u8]>, Gone>,
    /// The next deleted key, once it is looked for.
    deleted: Option<&'a [u8]>,
}

impl<'a> Iterator for Walk<'a> {
    type Item = News<'a>;

    fn next(&mut self) -> Option<News<'a>> {
        let (history, seen) = (self.history, self.seen);
        if self.deleted.is_none() {
            let gone = self.gone.by_ref();
            let believed = gone.find(|(key, gone)| gone.is_believed(seen.of(key)));
            self.deleted = believed.map(|(key, _)| &**key);
        }
        // Where all keys are known alike, none has to be looked at for that.
        let least = seen.least();
        let is_news = |n: &usize| {
            let changed = history.marks[history.now.place(*n)].changed;
            changed > least && changed > seen.of(history.now.key(*n)).least
        };
        let set = (self.next..self.end).find(is_news);
        let is_first = |set: usize| self.deleted.is_none_or(|key| history.now.key(set) < key);
        match set {
            Some(set) if is_first(set) => {
                self.next = set + 1;
                Some(News::Set(history.now.key(set), history.now.value(set)))
            }
            set => {
                self.next = set.unwrap_or(self.end);
                self.deleted.take().map(News::Deleted)
            }
        }
    }
}

/// Who may believe in what is gone: what all watchers know, to be searched.
#[derive(Debug)]
pub(super) struct Believers {
    /// By the least, with the greatest `most` of all up to there.
    known: Vec<KnownAsOf>,
}

impl Believers {
    /// Those who have seen so much.
    pub(super) fn of<'a>(seen: impl Iterator<Item = &'a Knowledge>) -> Self {
        let mut known: Vec<KnownAsOf> = seen.flat_map(Knowledge::known).collect();
        known.sort_unstable_by_key(|known| (known.least, known.most));
        known.dedup();
        let mut most = 0;
        for known in &mut known {
            most = most.max(known.most);
            known.most = most;
        }
        Self { known }
    }

    fn any(&self, gone: Gone) -> bool {
        let before = self.known.partition_point(|known| known.least < gone.went);
        before.checked_sub(1).is_some_and(|last| gone.came <= self.known[last].most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::snapshot;
    use super::*;

    fn advance(history: &mut History, elements: &[(u8, u8)], believers: &[&Knowledge]) {
        let number = history.number + 1;
        let believers = Believers::of(believers.iter().copied());
        history.advance(snapshot(elements), number, &believers).unwrap();
        history.forget(&believers);
    }

    fn news(history: &History, seen: &Knowledge) -> Vec<(u8, Option<u8>)> {
        let one = |news| match news {
            News::Set(key, value) => (key[0], Some(value[0])),
            News::Deleted(key) => (key[0], None),
        };
        history.news(seen, None, None).map(one).collect()
    }

    #[test]
    fn each_is_told_what_it_has_not_seen() {
        let mut history = History::default();
        let (none, first) = (Knowledge::all(0), Knowledge::all(1));
        advance(&mut history, &[(3, 3), (1, 1), (2, 2)], &[&none]);
        assert_eq!(news(&history, &none), [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
        assert!(!history.may_tell(&first));
        // Nothing came or went, in the kernel's order; then something did.
        advance(&mut history, &[(3, 4), (1, 1), (2, 2)], &[&none, &first]);
        assert_eq!(news(&history, &first), [(3, Some(4))]);
        advance(&mut history, &[(2, 2), (7, 7), (3, 4)], &[&none, &first]);
        assert_eq!(news(&history, &first), [(1, None), (3, Some(4)), (7, Some(7))]);
        assert_eq!(news(&history, &Knowledge::all(2)), [(1, None), (7, Some(7))]);
        assert_eq!(news(&history, &none), [(2, Some(2)), (3, Some(4)), (7, Some(7))]);
        advance(&mut history, &[(2, 2), (7, 7), (3, 4)], &[&first]);
        assert!(!history.may_tell(&Knowledge::all(3)));
    }

    #[test]
    fn what_nobody_believes_in_is_not_kept() {
        let mut history = History::default();
        let first = Knowledge::all(1);
        advance(&mut history, &[(1, 1)], &[]);
        for n in 2..200 {
            advance(&mut history, &[(n, 1)], &[&first]);
        }
        assert_eq!(history.gone(), 1, "keys that came and went untold are kept");
        assert_eq!(news(&history, &first), [(1, None), (199, Some(1))]);
        // Told of a key that comes again, it is told of its end again.
        advance(&mut history, &[(1, 5)], &[&first]);
        assert_eq!(news(&history, &first), [(1, Some(5))]);
        advance(&mut history, &[], &[&first]);
        assert_eq!(news(&history, &first), [(1, None)]);
        history.forget(&Believers::of([Knowledge::all(history.number)].iter()));
        assert_eq!(history.gone(), 0);
    }
}

//! What one watcher has been told.

use super::snapshot::{Change, Snapshot};
use crate::fs::control::entries::render::LinePrinter;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What one watcher knows, and what it has yet to be told.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    /// It joined after the present snapshot was begun: it waits for a newer one.
    pub(super) waits_for: u64,
    walk: Walk,
    /// Keys whose present state it does not know, with whether it believes that they are there.
    /// A key that it does not believe in and that is gone is not in here.
    unknown: BTreeMap<Box<[u8]>, bool>,
    /// The last of them that was told; the next one in order follows, so that none is passed over.
    last: Option<Box<[u8]>>,
    /// Text that was more than the last read asked for.
    rest: Vec<u8>,
}

/// Telling the elements that were there from the beginning, in the order of the snapshots.
#[derive(Debug, Default)]
enum Walk {
    #[default]
    Start,
    After(Box<[u8]>),
    Done,
}

impl Watcher {
    /// A watcher that begins with the snapshot of this number.
    pub(super) fn new(waits_for: u64) -> Self {
        Self { waits_for, ..Self::default() }
    }

    /// Bytes allocated, roughly: keys in a tree, with what the allocator adds.
    pub(super) fn allocated(&self) -> usize {
        let key = self.unknown.keys().next().map_or(0, |key| key.len());
        self.unknown.len() * (key + 48) + self.rest.capacity()
    }

    /// Takes note of a change between two snapshots.
    pub(super) fn note(&mut self, key: &[u8], change: Change) {
        let ahead = match &self.walk {
            Walk::Start => true,
            Walk::After(told) => key > &**told,
            Walk::Done => false,
        };
        if ahead {
            // The walk will come by.
            return;
        }
        match (self.unknown.get(key), change) {
            (None, change) => {
                self.unknown.insert(key.into(), change != Change::Added);
            }
            // It came and went again, untold.
            (Some(false), Change::Deleted) => {
                self.unknown.remove(key);
            }
            (Some(_), _) => {}
        }
    }

    /// Whether there is something to tell.
    pub(super) fn is_ready(&self, snapshot: &Snapshot) -> bool {
        !self.rest.is_empty()
            || !self.unknown.is_empty()
            || match &self.walk {
                Walk::Start => snapshot.after(None).is_some(),
                Walk::After(told) => snapshot.after(Some(told)).is_some(),
                Walk::Done => false,
            }
    }

    /// Up to `size` bytes of what is to be told; none if there is nothing.
    pub(super) fn tell(
        &mut self,
        snapshot: &Snapshot,
        printer: LinePrinter<'_>,
        size: usize,
    ) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.rest);
        while text.len() < size && self.line(snapshot, printer, &mut text) {}
        if text.len() > size {
            self.rest = text.split_off(size);
        }
        text
    }

    fn line(&mut self, snapshot: &Snapshot, printer: LinePrinter<'_>, text: &mut Vec<u8>) -> bool {
        let next = match &self.walk {
            Walk::Start => snapshot.after(None),
            Walk::After(told) => snapshot.after(Some(told)),
            Walk::Done => None,
        };
        if let Some((key, value)) = next {
            set(printer, key, value, text);
            self.walk = Walk::After(key.into());
            return true;
        }
        self.walk = Walk::Done;
        let after = self.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let key = self.unknown.range::<[u8], _>((after, Bound::Unbounded)).next();
        let Some(key) = key.or_else(|| self.unknown.iter().next()).map(|(key, _)| key.clone())
        else {
            return false;
        };
        self.unknown.remove(&key);
        match snapshot.get(&key) {
            Some(value) => set(printer, &key, value, text),
            None => {
                text.extend_from_slice(b"{\"op\":\"delete\",\"key\":");
                printer.codec.print_key(&key, text);
                text.extend_from_slice(b"}\n");
            }
        }
        self.last = Some(key);
        true
    }
}

fn set(printer: LinePrinter<'_>, key: &[u8], value: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(b"{\"op\":\"set\",");
    printer.members(key, value, text);
    text.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::snapshot;
    use super::*;
    use crate::codec::{Codec, Shape};

    fn codec() -> Codec {
        let shape = Shape {
            key_size: 1,
            value_size: 1,
            cpus: None,
            key_type_id: 0,
            value_type_id: 0,
            lpm: false,
        };
        Codec::new(&shape, None)
    }

    /// A map that changes, and one watcher of it.
    struct Scene {
        now: Snapshot,
        watcher: Watcher,
        codec: Codec,
    }

    impl Scene {
        fn new(elements: &[(u8, u8)]) -> Self {
            Self { now: snapshot(elements), watcher: Watcher::default(), codec: codec() }
        }

        fn becomes(&mut self, elements: &[(u8, u8)]) {
            let new = snapshot(elements);
            self.now.compare(&new, |key, change| self.watcher.note(key, change));
            self.now = new;
        }

        /// What a read gives, with `1=2` for a set and `-1` for a delete.
        fn read(&mut self, size: usize) -> String {
            let text = self.watcher.tell(
                &self.now,
                LinePrinter { codec: &self.codec, special: None, sums: false },
                size,
            );
            let text = String::from_utf8(text).unwrap();
            text.replace("{\"op\":\"set\",\"key\":", "")
                .replace("{\"op\":\"delete\",\"key\":", "-")
                .replace(",\"value\":", "=")
                .replace("}\n", " ")
        }
    }

    #[test]
    fn first_all_then_changes() {
        let mut scene = Scene::new(&[(1, 10), (2, 20)]);
        assert_eq!(scene.read(999), "1=10 2=20 ");
        assert!(!scene.watcher.is_ready(&scene.now));
        assert_eq!(scene.read(999), "");
        scene.becomes(&[(2, 21), (3, 30)]);
        assert!(scene.watcher.is_ready(&scene.now));
        assert_eq!(scene.read(999), "-1 2=21 3=30 ");
        assert_eq!(scene.read(999), "");
    }

    #[test]
    fn a_slow_reader_gets_the_latest_state() {
        let mut scene = Scene::new(&[(1, 10), (2, 20)]);
        scene.read(999);
        scene.becomes(&[(1, 11), (2, 20), (3, 1)]);
        scene.becomes(&[(1, 12)]);
        scene.becomes(&[(1, 12), (4, 4)]);
        assert_eq!(scene.read(999), "1=12 -2 4=4 ", "3 came and went untold");
    }

    #[test]
    fn a_deleted_key_that_comes_again_is_set() {
        let mut scene = Scene::new(&[(1, 10)]);
        scene.read(999);
        scene.becomes(&[]);
        scene.becomes(&[(1, 11)]);
        assert_eq!(scene.read(999), "1=11 ");
        scene.becomes(&[]);
        assert_eq!(scene.read(999), "-1 ");
    }

    #[test]
    fn changes_during_the_first_walk() {
        let mut scene = Scene::new(&[(1, 10), (5, 50), (9, 90)]);
        // One line at a time: the second is cut, and its rest comes first.
        scene.read(1);
        scene.becomes(&[(0, 1), (5, 51), (9, 90)]);
        let rest = scene.read(999);
        assert!(rest.ends_with("5=51 9=90 0=1 -1 "), "{rest}");
    }

    #[test]
    fn reads_of_any_size_give_the_same_text() {
        let whole = Scene::new(&[(1, 10), (2, 20), (3, 30)]).read(999);
        for size in 1..40 {
            let mut scene = Scene::new(&[(1, 10), (2, 20), (3, 30)]);
            let mut text = Vec::new();
            loop {
                let printer = LinePrinter { codec: &scene.codec, special: None, sums: false };
                let part = scene.watcher.tell(&scene.now, printer, size);
                assert!(part.len() <= size);
                if part.is_empty() {
                    break;
                }
                text.extend(part);
            }
            let mut again = Scene::new(&[(1, 10), (2, 20), (3, 30)]);
            assert_eq!(
                text,
                again.watcher.tell(
                    &again.now,
                    LinePrinter { codec: &again.codec, special: None, sums: false },
                    999
                ),
                "{whole}"
            );
        }
    }
}

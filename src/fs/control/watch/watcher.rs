//! What one watcher has been told.

use super::history::{History, News};
use super::knowledge::Knowledge;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held::{Held, Share};
use crate::fs::control::entries::render::LinePrinter;

/// What one watcher has been told: no key of its own, but how far it has seen.
#[derive(Debug)]
pub(super) struct Watcher {
    /// It joined after the present snapshot was begun: it waits for a newer one.
    pub(super) waits_for: u64,
    seen: Knowledge,
    /// The last key that was told, if not all are known: what follows it comes next, so that none is
    /// passed over.
    at: Option<Box<[u8]>>,
    /// Text that was more than the last read asked for.
    rest: Held,
    share: Share,
    /// So far behind that deleted keys were forgotten which it believes in.
    pub(super) is_lost: bool,
}

impl Watcher {
    /// A watcher that begins with the snapshot of this number, on the account of who asks now.
    pub(super) fn new(waits_for: u64) -> Self {
        Self {
            waits_for,
            seen: Knowledge::all(0),
            at: None,
            rest: Held::default(),
            share: Share::default(),
            is_lost: false,
        }
    }

    /// How far it has seen.
    pub(super) fn seen(&self) -> &Knowledge {
        &self.seen
    }

    /// Whether there is something to tell.
    pub(super) fn is_ready(&mut self, history: &History) -> bool {
        if !self.rest.is_empty() || self.is_lost {
            return true;
        }
        if !history.may_tell(&self.seen) {
            return false;
        }
        let at = self.at.as_deref();
        if history.news(&self.seen, at, None).next().is_some()
            || history.news(&self.seen, None, at).next().is_some()
        {
            return true;
        }
        // What there was came and went: not to be looked for again.
        self.know_all(history);
        false
    }

    fn know_all(&mut self, history: &History) {
        (self.seen, self.at) = (Knowledge::all(history.number), None);
        self.share.set(self.seen.allocated());
    }

    /// Up to `size` bytes of what is to be told; none if there is nothing.
    ///
    /// # Errors
    /// ENOBUFS for who is too far behind.
    pub(super) fn tell(
        &mut self,
        history: &History,
        printer: LinePrinter<'_>,
        size: usize,
    ) -> Result<Vec<u8>> {
        if self.is_lost {
            return Err(Error::new(
                libc::ENOBUFS,
                "more was deleted since the last read than is kept: open .watch again",
            ));
        }
        let mut text = self.rest.take();
        if text.len() < size && history.may_tell(&self.seen) {
            self.go_on(history, printer, size, &mut text);
        }
        if text.len() > size {
            self.rest.replace(text.split_off(size));
        }
        Ok(text)
    }

    /// Tells from where it was to the end, then from the beginning to there.
    fn go_on(
        &mut self,
        history: &History,
        printer: LinePrinter<'_>,
        size: usize,
        text: &mut Vec<u8>,
    ) {
        let at = self.at.take();
        let at = at.as_deref();
        // The key at which the text was enough.
        let mut tell = |after, last| {
            history.news(&self.seen, after, last).find_map(|news| {
                let key = line(printer, &news, text);
                (text.len() >= size).then(|| Box::<[u8]>::from(key))
            })
        };
        match tell(at, None) {
            Some(last) => {
                self.seen.mark(at, Some(&last), history.number);
                self.at = Some(last);
            }
            None => match at.and_then(|_| tell(None, at)) {
                Some(last) => {
                    self.seen.mark(at, None, history.number);
                    self.seen.mark(None, Some(&last), history.number);
                    self.at = Some(last);
                }
                None => return self.know_all(history),
            },
        }
        self.share.set(self.seen.allocated());
    }
}

/// Prints a line; gives its key.
fn line<'a>(printer: LinePrinter<'_>, news: &News<'a>, text: &mut Vec<u8>) -> &'a [u8] {
    match *news {
        News::Set(key, value) => {
            text.extend_from_slice(b"{\"op\":\"set\",");
            printer.members(key, value, text);
            text.extend_from_slice(b"}\n");
            key
        }
        News::Deleted(key) => {
            text.extend_from_slice(b"{\"op\":\"delete\",\"key\":");
            printer.codec.print_key(key, text);
            text.extend_from_slice(b"}\n");
            key
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Believers;
    use super::super::snapshot::tests::snapshot;
    use super::*;
    use crate::codec::{Codec, Shape};
    use std::collections::BTreeSet;

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
        now: History,
        watcher: Watcher,
        codec: Codec,
    }

    impl Scene {
        fn new(elements: &[(u8, u8)]) -> Self {
            let (now, watcher) = (History::default(), Watcher::new(0));
            let mut scene = Self { now, watcher, codec: codec() };
            scene.becomes(elements);
            scene
        }

        fn becomes(&mut self, elements: &[(u8, u8)]) {
            let believers = Believers::of(std::iter::once(self.watcher.seen()));
            self.now.advance(snapshot(elements), self.now.number + 1, &believers).unwrap();
            self.now.forget(&believers);
        }

        /// What a read gives, with `1=2` for a set and `-1` for a delete.
        fn read(&mut self, size: usize) -> String {
            let text = self.watcher.tell(
                &self.now,
                LinePrinter { codec: &self.codec, special: None, sums: false },
                size,
            );
            let text = text.unwrap();
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

    /// Reads of one line each, while all changes all the time: none is passed over, and it is not told
    /// what has not changed.
    #[test]
    fn small_reads_pass_nothing_over() {
        let mut scene = Scene::new(&(0..100).map(|key| (key, 0)).collect::<Vec<_>>());
        scene.read(99_999);
        let mut told = [0_u32; 100];
        for round in 1..=250 {
            scene.becomes(&(0..100).map(|key| (key, round)).collect::<Vec<_>>());
            let line = scene.read(1);
            assert_eq!(line.len(), 1);
            let line = scene.read(scene.watcher.rest.len());
            let key: usize = line
                .trim_start_matches("op\":\"set\",\"key\":")
                .split('=')
                .next()
                .unwrap()
                .trim_start_matches(|c: char| !c.is_ascii_digit())
                .parse()
                .unwrap();
            told[key] += 1;
        }
        assert!(told.iter().all(|&times| (2..=3).contains(&times)), "{told:?}");
        scene.becomes(&(0..100).map(|key| (key, 250)).collect::<Vec<_>>());
        let rest = scene.read(99_999);
        assert!(rest.matches('=').count() <= 100, "{rest}");
        assert_eq!(scene.read(999), "");
    }

    /// What was told during a slow first walk is told of again when it goes, spans joined or not.
    #[test]
    fn what_goes_after_a_slow_walk_is_told() {
        let all: Vec<_> = (0..200).map(|key| (key, 0)).collect();
        let mut scene = Scene::new(&all);
        let mut believed = BTreeSet::<u8>::new();
        let mut hear = |text: &str| {
            for word in text.split_whitespace() {
                match word.strip_prefix('-') {
                    Some(key) => _ = believed.remove(&key.parse().unwrap()),
                    None => _ = believed.insert(word.split('=').next().unwrap().parse().unwrap()),
                }
            }
            believed.len()
        };
        for n in 0..200_u8 {
            let first = scene.read(1);
            let rest = scene.read(scene.watcher.rest.len());
            hear(&format!("{}{rest}", first.trim_end()).replace("{\"op\":\"set\",\"key\":", ""));
            // One behind comes and goes, one changes.
            let mut now = all.clone();
            now[usize::from(n / 2)].1 = n;
            now.remove(usize::from(n / 3));
            scene.becomes(&now);
        }
        scene.becomes(&[(250, 1)]);
        assert_eq!(hear(&scene.read(99_999)), 1);
    }

    #[test]
    fn reads_of_any_size_give_the_same_text() {
        let whole = Scene::new(&[(1, 10), (2, 20), (3, 30)]).read(999);
        for size in 1..40 {
            let mut scene = Scene::new(&[(1, 10), (2, 20), (3, 30)]);
            let mut text = Vec::new();
            loop {
                let printer = LinePrinter { codec: &scene.codec, special: None, sums: false };
                let part = scene.watcher.tell(&scene.now, printer, size).unwrap();
                assert!(part.len() <= size);
                if part.is_empty() {
                    break;
                }
                text.extend(part);
            }
            let mut again = Scene::new(&[(1, 10), (2, 20), (3, 30)]);
            assert_eq!(
                text,
                again
                    .watcher
                    .tell(
                        &again.now,
                        LinePrinter { codec: &again.codec, special: None, sums: false },
                        999
                    )
                    .unwrap(),
                "{whole}"
            );
        }
    }
}

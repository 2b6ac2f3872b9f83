//! How far a watcher has seen: for each key, as of which comparison it knows it. What it has seen it
//! has seen in the order of keys, so that few spans of keys say it for all.

/// Spans kept at most: of more, those that differ least become one.
const SPANS: usize = 32;

/// Numbers of comparisons: a watcher knows a key as it was in one of them. Both are the same, but where
/// spans became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownAsOf {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl KnownAsOf {
    /// Before the first comparison: nothing is known.
    pub(super) const NOTHING: Self = Self { least: 0, most: 0 };

    fn with(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
}

/// Keys behind the span before, up to a last one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    /// `None`: all that follow.
    last: Option<Box<[u8]>>,
    known: KnownAsOf,
}

/// How far a watcher has seen.
#[derive(Debug)]
pub(super) struct Knowledge {
    /// In the order of keys.
    spans: Vec<Span>,
}

impl Knowledge {
    /// All keys are known as of one comparison.
    pub(super) fn all(number: u64) -> Self {
        let known = KnownAsOf { least: number, most: number };
        Self { spans: vec![Span { last: None, known }] }
    }

    /// Bytes allocated, roughly.
    pub(super) fn allocated(&self) -> usize {
        let keys = self.spans.iter().filter_map(|span| span.last.as_deref());
        self.spans.capacity() * size_of::<Span>() + keys.map(<[u8]>::len).sum::<usize>()
    }

    /// The earliest comparison as of which any key is known.
    pub(super) fn least(&self) -> u64 {
        self.spans.iter().map(|span| span.known.least).min().unwrap_or(0)
    }

    /// What is known of each span.
    pub(super) fn known(&self) -> impl Iterator<Item = KnownAsOf> + '_ {
        self.spans.iter().map(|span| span.known)
    }

    /// What is known of a key.
    pub(super) fn of(&self, key: &[u8]) -> KnownAsOf {
        let behind = |span: &Span| span.last.as_deref().is_some_and(|last| last < key);
        let n = self.spans.partition_point(behind);
        self.spans.get(n).map_or(KnownAsOf::NOTHING, |span| span.known)
    }

    /// All keys behind `after`, up to `last`, are known as of a comparison.
    pub(super) fn mark(&mut self, after: Option<&[u8]>, last: Option<&[u8]>, number: u64) {
        let old = std::mem::take(&mut self.spans);
        if let Some(after) = after {
            for span in &old {
                let reaches = span.last.as_deref().is_none_or(|last| last >= after);
                let last = if reaches { Some(Box::from(after)) } else { span.last.clone() };
                self.push(Span { last, known: span.known });
                if reaches {
                    break;
                }
            }
        }
        self.push(Span {
            last: last.map(Box::from),
            known: KnownAsOf { least: number, most: number },
        });
        if let Some(marked) = last {
            let follows = |span: &Span| span.last.as_deref().is_none_or(|last| last > marked);
            old.into_iter().filter(follows).for_each(|span| self.push(span));
        }
        while self.spans.len() > SPANS {
            self.join_two();
        }
    }

    /// A span behind all others, or part of the last one.
    fn push(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some(before) if before.known == span.known => before.last = span.last,
            _ => self.spans.push(span),
        }
    }

    /// Makes one of the two neighbours that differ least.
    fn join_two(&mut self) {
        let joined = |n: usize| self.spans[n].known.with(self.spans[n + 1].known);
        let width = |known: KnownAsOf| known.most - known.least;
        let pairs = 0..self.spans.len().saturating_sub(1);
        if let Some(n) = pairs.min_by_key(|&n| width(joined(n))) {
            self.spans[n + 1].known = joined(n);
            self.spans.remove(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(seen: &Knowledge, key: u8) -> (u64, u64) {
        let known = seen.of(&[key]);
        (known.least, known.most)
    }

    #[test]
    fn spans_split_and_join() {
        let mut seen = Knowledge::all(0);
        seen.mark(None, Some(&[10]), 1);
        seen.mark(Some(&[10]), Some(&[20]), 2);
        assert_eq!([0, 10, 11, 20, 21].map(|key| known(&seen, key).0), [1, 1, 2, 2, 0]);
        // In the midst of what was known before.
        seen.mark(Some(&[5]), Some(&[15]), 3);
        assert_eq!([5, 6, 15, 16, 21].map(|key| known(&seen, key).0), [1, 3, 3, 2, 0]);
        assert_eq!(seen.least(), 0);
        seen.mark(Some(&[15]), None, 3);
        assert_eq!([5, 6, 255].map(|key| known(&seen, key).0), [1, 3, 3]);
        assert_eq!(seen.spans.len(), 2);
        seen.mark(None, None, 4);
        assert_eq!(seen.spans, Knowledge::all(4).spans);
    }

    #[test]
    fn many_spans_become_few_and_nothing_is_forgotten() {
        let mut seen = Knowledge::all(0);
        for n in 0..200_u8 {
            seen.mark(
                (n > 0).then(|| [n - 1]).as_ref().map(|key| &key[..]),
                Some(&[n]),
                7 + u64::from(n),
            );
            assert!(seen.spans.len() <= SPANS);
        }
        for n in 0..200_u8 {
            let (least, most) = known(&seen, n);
            assert!((least..=most).contains(&(7 + u64::from(n))), "{n}: {least} to {most}");
        }
        assert_eq!(known(&seen, 201), (0, 0));
    }
}

//! "Did you mean …?" for a word that is not known.

/// The candidate nearest to `word`, if one is near enough to be a slip of the hand.
pub(super) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    // A word of this length is no slip, and comparing it would cost.
    if word.len() > 64 {
        return None;
    }
    let most = match word.chars().count() {
        0..4 => 1,
        4..7 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= most && candidate.len() <= 64)
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let up = row[j + 1];
            let replaced = diagonal + usize::from(ca != *cb);
            row[j] = left;
            left = replaced.min(up + 1).min(left + 1);
            diagonal = up;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_mended_and_a_stranger_is_not() {
        let kinds = ["hash", "array", "lpm_trie", "ringbuf"];
        assert_eq!(closest("hahs", kinds), Some("hash"));
        assert_eq!(closest("aray", kinds), Some("array"));
        assert_eq!(closest("LPM_TRE", kinds), Some("lpm_trie"));
        assert_eq!(closest("zebra", kinds), None);
        assert_eq!(closest("", kinds), None);
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, d) in
            [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }
}

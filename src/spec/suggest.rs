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
        .map(|candidate| (strsim::levenshtein(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
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
}

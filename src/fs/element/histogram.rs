//! Histograms, as bpftrace draws them: of an array in a value, or of a whole map.

use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::map::Map;
use crate::map::cursor::{Batch, Cursor};
use crate::node::BucketScale;
use std::collections::BTreeMap;
use std::io::Write;

/// Characters of the longest bar.
const BAR: i128 = 52;

/// Buckets of a map at most: of more nobody sees a shape.
const MOST: usize = 4096;

/// Empty buckets in a row that are drawn: more are left out, as those at the ends are.
const GAP: i128 = 256;

/// Appends a line for each bucket from the first to the last that is not empty.
pub fn draw(scale: BucketScale, buckets: BTreeMap<i128, i128>, text: &mut Vec<u8>) {
    let mut rows: Vec<(i128, i128)> = Vec::new();
    for (index, count) in buckets.into_iter().filter(|(_, count)| *count != 0) {
        if let Some((last, _)) = rows.last().copied()
            && index - last <= GAP
        {
            rows.extend((last + 1..index).map(|empty| (empty, 0)));
        }
        rows.push((index, count));
    }
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
    let labels: Vec<String> = rows.iter().map(|(index, _)| label(scale, *index)).collect();
    let width = |lens: &mut dyn Iterator<Item = usize>| lens.max().unwrap_or_default();
    let label_width = width(&mut labels.iter().map(String::len));
    let count_width = width(&mut rows.iter().map(|(_, count)| count.to_string().len()));
    for ((_, count), label) in rows.iter().zip(&labels) {
        let filled = bar(*count, most);
        let bar = "@".repeat(filled);
        // Writing to a vector cannot fail.
        let _ = writeln!(
            text,
            "{label:<label_width$} {count:>count_width$} |{bar:<width$}|",
            width = BAR as usize
        );
    }
}

/// Characters of a bar: of what is not empty at least one.
fn bar(count: i128, most: i128) -> usize {
    if count <= 0 {
        return 0;
    }
    // Very large counts are shared out before they are multiplied.
    let share = match count.checked_mul(BAR) {
        Some(product) => product / most,
        None => count / (most / BAR).max(1),
    };
    share.clamp(1, BAR) as usize
}

/// What a bucket counts: `[8, 16)`.
fn label(scale: BucketScale, index: i128) -> String {
    match (scale, u32::try_from(index)) {
        (BucketScale::Linear, _) => format!("[{index}, {})", index.saturating_add(1)),
        (BucketScale::Powers, Ok(0)) => "[0, 2)".to_owned(),
        (BucketScale::Powers, Ok(power @ 1..=69)) => {
            format!("[{}, {})", power_of_two(power), power_of_two(power + 1))
        }
        // Nothing has as much, so that it may be another sort of key.
        (BucketScale::Powers, _) => format!("[2^{index}, 2^{})", index.saturating_add(1)),
    }
}

/// `512`, `1K`, `2M`.
fn power_of_two(power: u32) -> String {
    let units = ["", "K", "M", "G", "T", "P", "E", "Z"];
    let unit = units.get(power as usize / 10).copied().unwrap_or_default();
    format!("{}{unit}", 1_u32 << (power % 10))
}

/// A whole map, whose integer keys are the buckets.
///
/// # Errors
/// EINVAL if keys or values are no integers; EFBIG for more buckets than can be seen; the kernel's.
pub fn of_map(map: &Map, scale: BucketScale, caller: Caller) -> Result<Vec<u8>> {
    let mut buckets = BTreeMap::new();
    let mut cursor = Cursor::new(map, true);
    let mut batch = Batch::default();
    let (key_size, value_len) = (map.info.key_size as usize, map.value_len());
    loop {
        cursor.next(map, &mut batch)?;
        if batch.count == 0 {
            break;
        }
        caller.go_on()?;
        let keys = batch.keys.chunks_exact(key_size.max(1));
        let values = batch.values.chunks_exact(value_len.max(1));
        for (key, value) in keys.zip(values).take(batch.count) {
            let wrong = |what: &str| {
                let reason = format!("a map as a histogram needs {what} that are integers");
                Error::new(libc::EINVAL, reason)
            };
            let index = map.codec.key_number(key).ok_or_else(|| wrong("keys"))?;
            let count = map.codec.number(value).ok_or_else(|| wrong("values"))?;
            if count != 0 {
                buckets.insert(index, count);
            }
            if buckets.len() > MOST {
                let reason = format!("the map has more than {MOST} buckets that are not empty");
                return Err(Error::new(libc::EFBIG, reason));
            }
        }
    }
    let mut text = Vec::new();
    draw(scale, buckets, &mut text);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(scale: BucketScale, counts: &[i128]) -> Vec<String> {
        let mut text = Vec::new();
        draw(scale, (0..).zip(counts.iter().copied()).collect(), &mut text);
        String::from_utf8(text)
            .unwrap()
            .lines()
            .map(|line| line.replace("@@@@@@@@@@", "T"))
            .collect()
    }

    #[test]
    fn buckets_from_the_first_to_the_last() {
        assert_eq!(
            drawn(BucketScale::Powers, &[0, 0, 0, 26, 0, 52, 0]),
            [
                format!("[8, 16)  26 |TT@@@@@@{}|", " ".repeat(26)),
                format!("[16, 32)  0 |{}|", " ".repeat(52)),
                "[32, 64) 52 |TTTTT@@|".to_owned(),
            ]
        );
        assert_eq!(drawn(BucketScale::Powers, &[1]), ["[0, 2) 1 |TTTTT@@|"]);
        assert_eq!(drawn(BucketScale::Linear, &[0, 1, 0]), ["[1, 2) 1 |TTTTT@@|"]);
        assert!(drawn(BucketScale::Powers, &[0; 9]).is_empty());
        assert!(drawn(BucketScale::Linear, &[]).is_empty());
    }

    #[test]
    fn wide_counts_and_far_buckets() {
        let lines = drawn(BucketScale::Linear, &[i128::from(u64::MAX), 1, i128::MAX]);
        assert!(lines[2].ends_with("|TTTTT@@|") && lines[1].contains("|@ "), "{lines:?}");
        let mut text = Vec::new();
        let far = [(-5, 1), (i128::from(u64::MAX), 1)].into_iter().collect();
        draw(BucketScale::Linear, far, &mut text);
        assert_eq!(String::from_utf8(text).unwrap().lines().count(), 2);
    }

    #[test]
    fn labels() {
        for (index, shown) in [
            (0, "[0, 2)"),
            (1, "[2, 4)"),
            (9, "[512, 1K)"),
            (10, "[1K, 2K)"),
            (63, "[8E, 16E)"),
            (70, "[2^70, 2^71)"),
            (-1, "[2^-1, 2^0)"),
        ] {
            assert_eq!(label(BucketScale::Powers, index), shown);
        }
    }
}

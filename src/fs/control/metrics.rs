//! `.metrics`: the numbers in all elements, in the text format that Prometheus reads.

use super::row::{Control, Rights, unlisted};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::exposition::{Exposition, LabelNames};
use crate::fs::base::facts::{Facts, line};
use crate::fs::base::open_file::TextFile;
use crate::map::cursor::{Batch, Cursor};
use crate::map::{Content, Map};
use serde_json::Value;
use std::sync::Arc;

/// Samples at most: a monitor that keeps more of one map has other troubles.
const MOST: usize = 10_000;

const METRIC: &str = "bpf_map_value";

/// `.metrics`
pub static METRICS: Control = Control {
    name: ".metrics",
    rights: Rights::Read,
    lacks,
    help: &[line(".metrics", "all numbers, as Prometheus reads them", "cat .metrics")],
    open: |open| {
        open.caller.long_work()?;
        Ok(Arc::new(TextFile::new(text(open.map, open.caller)?)))
    },
};

fn lacks(map: &Facts) -> Option<Error> {
    let reason = || format!("the values of {} are no numbers", map.kind.with_article());
    let has = matches!(map.kind.content, Content::Data | Content::StructOps);
    unlisted(map).or_else(|| (!has).then(|| Error::new(libc::EOPNOTSUPP, reason())))
}

fn text(map: &Map, caller: Caller) -> Result<Vec<u8>> {
    let mut text = Exposition::default();
    let help = "Numbers in the elements of a BPF map, those of a per-CPU map added up. Integers beyond \
                2^53 lose their last digits to whoever reads floats.";
    text.metric(METRIC, "untyped", help);
    let (key_size, value_len) = (map.info.key_size as usize, map.value_len());
    let (mut cursor, mut batch) = (Cursor::new(map, true), Batch::default());
    loop {
        cursor.next(map, &mut batch)?;
        if batch.count == 0 {
            return Ok(text.into_bytes());
        }
        for at in 0..batch.count {
            let key = batch.keys.get(at * key_size..).and_then(|keys| keys.get(..key_size));
            let value = batch.values.get(at * value_len..).and_then(|all| all.get(..value_len));
            if let (Some(key), Some(value)) = (key, value) {
                element(map, key, value, &mut text);
            }
            if text.samples() > MOST {
                let reason = format!(
                    "the map has more than {MOST} numbers: let a program add them up, or read .entries"
                );
                return Err(Error::new(libc::EFBIG, reason));
            }
        }
        caller.go_on()?;
    }
}

fn element(map: &Map, key: &[u8], value: &[u8], text: &mut Exposition) {
    let labels = labels(map, key);
    map.codec.numbers(value, &mut |path, number| {
        let field = (!path.is_empty()).then_some(("field", path));
        let of_key = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = [("map", map.info.name.as_str())].into_iter().chain(of_key).chain(field);
        text.sample(METRIC, labels, number);
    });
}

/// A label for each member of a key that has members; else `key`.
fn labels(map: &Map, key: &[u8]) -> Vec<(String, String)> {
    let mut json = Vec::new();
    map.codec.print_key(key, &mut json);
    // What was printed is JSON; were it not, it would be shown as it is.
    let key = serde_json::from_slice(&json)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&json).into_owned()));
    let mut names = LabelNames::without(&["map", "field"]);
    let mut labels = Vec::new();
    if key.is_object() {
        members("", &key, &mut names, &mut labels);
    } else {
        labels.push((names.name("key"), plain(&key)));
    }
    labels
}

fn members(path: &str, part: &Value, names: &mut LabelNames, labels: &mut Vec<(String, String)>) {
    let Value::Object(object) = part else { return labels.push((names.name(path), plain(part))) };
    for (name, part) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}_{name}") };
        members(&path, part, names, labels);
    }
}

/// A string without quotes; else the JSON.
fn plain(part: &Value) -> String {
    part.as_str().map_or_else(|| part.to_string(), str::to_owned)
}

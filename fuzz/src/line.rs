//! Lines of `.entries`: one is taken apart as JSON is, and what is printed is taken.

use super::source::Input;
use bpffuse::codec::TextError;
use bpffuse::fs::control::entries::line::{self, Line, LineFault};
use bpffuse::fs::control::entries::render::LinePrinter;
use serde_json::value::RawValue;
use std::collections::HashMap;

pub fn check(data: &[u8]) {
    let cpus = data.first().is_some_and(|first| first & 1 == 1).then_some(2);
    let Some(input) = Input::new(data.get(1..).unwrap_or_default(), cpus) else { return };
    if let Ok(line) = line::split(input.rest) {
        is_json(input.rest, &line);
        let (mut key, mut value) = (Vec::new(), vec![0; value_len(&input, cpus)]);
        if input.codec.parse_key(line.key, &mut key).is_ok()
            && parse(&input, cpus, &line, &mut value)
        {
            survives(&input, cpus, &key, &value);
        }
    }
    if input.size > 0 {
        let value =
            input.bytes().into_iter().cycle().take(value_len(&input, cpus)).collect::<Vec<_>>();
        survives(&input, cpus, &input.bytes(), &value);
    }
}

fn value_len(input: &Input<'_>, cpus: Option<usize>) -> usize {
    cpus.map_or(input.size, |cpus| cpus * input.size.next_multiple_of(8))
}

/// What is taken as a line is a JSON object of those parts, if the parts are JSON.
fn is_json(text: &[u8], line: &Line<'_>) {
    let part = |text| serde_json::from_slice::<&RawValue>(text);
    if part(line.key).is_err() || part(line.value).is_err() {
        return;
    }
    let name = if line.per_cpu { "values" } else { "value" };
    let whole: HashMap<String, &RawValue> = serde_json::from_slice(text).expect("a JSON object");
    assert_eq!(whole.len(), 2);
    assert_eq!(whole["key"].get().as_bytes(), line.key.trim_ascii());
    assert_eq!(whole[name].get().as_bytes(), line.value.trim_ascii());
}

/// As writing `.entries` does.
fn parse(input: &Input<'_>, cpus: Option<usize>, line: &Line<'_>, value: &mut [u8]) -> bool {
    if !line.per_cpu {
        return cpus.is_none() && input.codec.parse_value(line.value, value).is_ok();
    }
    let mut cpu = 0;
    let outcome = line::elements(line.value, |text| {
        if cpu < cpus.unwrap_or(0) {
            input.codec.parse_value(text, &mut value[input.codec.slot(cpu)])?;
        }
        cpu += 1;
        Ok::<(), Refused>(())
    });
    outcome.is_ok() && Some(cpu) == cpus
}

/// Why a line is refused; nobody asks.
struct Refused;

impl From<TextError> for Refused {
    fn from(_: TextError) -> Self {
        Self
    }
}

impl From<LineFault> for Refused {
    fn from(_: LineFault) -> Self {
        Self
    }
}

/// An element's line is taken, and its like is printed.
fn survives(input: &Input<'_>, cpus: Option<usize>, key: &[u8], value: &[u8]) {
    let printer = LinePrinter { codec: &input.codec, special: None, sums: false };
    let mut text = Vec::new();
    printer.line(key, value, &mut text);
    let shown = String::from_utf8_lossy(&text).into_owned();
    let line = line::split(&text).unwrap_or_else(|fault| panic!("{fault}: {shown}"));
    let (mut back_key, mut back) = (Vec::new(), value.to_vec());
    input.codec.parse_key(line.key, &mut back_key).unwrap_or_else(|e| panic!("{e}: {shown}"));
    assert!(parse(input, cpus, &line, &mut back), "{shown}");
    let mut again = Vec::new();
    printer.line(&back_key, &back, &mut again);
    assert_eq!(String::from_utf8_lossy(&again), shown);
}

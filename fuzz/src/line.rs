//! Lines of `.entries`: one is taken apart as JSON is, and what is printed is taken.

use super::source::Input;
use bpffuse::fs::control::entries::line::{self, Line, LineValue};
use bpffuse::fs::control::entries::render::LinePrinter;
use serde_json::value::RawValue;
use std::collections::HashMap;

pub fn check(data: &[u8]) {
    let cpus = data.first().is_some_and(|first| first & 1 == 1).then_some(2);
    let Some(input) = Input::new(data.get(1..).unwrap_or_default(), cpus) else { return };
    if let Ok(line) = line::split(input.rest) {
        is_object_of(input.rest, &line);
        let (mut key, mut value) = (Vec::new(), vec![0; value_len(&input, cpus)]);
        if input.codec.parse_key(line.key.get().as_bytes(), &mut key).is_ok()
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

/// What is taken as a line is a JSON object of those two parts.
fn is_object_of(text: &[u8], line: &Line<'_>) {
    let (name, value) = match line.value {
        LineValue::One(value) => ("value", value),
        LineValue::PerCpu(values) => ("values", values),
    };
    let whole: HashMap<String, &RawValue> = serde_json::from_slice(text).expect("a JSON object");
    assert_eq!(whole.len(), 2);
    assert_eq!(whole["key"].get(), line.key.get());
    assert_eq!(whole[name].get(), value.get());
}

/// As writing `.entries` does.
fn parse(input: &Input<'_>, cpus: Option<usize>, line: &Line<'_>, value: &mut [u8]) -> bool {
    match (line.value, cpus) {
        (LineValue::One(text), None) => {
            input.codec.parse_value(text.get().as_bytes(), value).is_ok()
        }
        (LineValue::PerCpu(texts), Some(cpus)) => {
            let Ok(texts) = line::elements(texts) else { return false };
            let mut parts = texts.iter().take(cpus).enumerate();
            texts.len() == cpus
                && parts.all(|(cpu, text)| {
                    let slot = &mut value[input.codec.slot(cpu)];
                    input.codec.parse_value(text.get().as_bytes(), slot).is_ok()
                })
        }
        (LineValue::One(_), Some(_)) | (LineValue::PerCpu(_), None) => false,
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
    input
        .codec
        .parse_key(line.key.get().as_bytes(), &mut back_key)
        .unwrap_or_else(|e| panic!("{e}: {shown}"));
    assert!(parse(input, cpus, &line, &mut back), "{shown}");
    let mut again = Vec::new();
    printer.line(&back_key, &back, &mut again);
    assert_eq!(String::from_utf8_lossy(&again), shown);
}

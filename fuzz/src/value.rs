//! Values: what is read can be written, and text is refused or is a value.

use super::source::Input;
use super::ty::{Bit, marks, mix, survives as comes_back};
use bpffuse::codec::Codec;

pub fn check(data: &[u8]) {
    let Some(input) = Input::new(data, None) else { return };
    read_is_written(&input);
    text_is_refused_or_a_value(&input);
    members(&input);
    // The same as the text of a per-CPU value.
    let Some(input) = Input::new(data, Some(2)) else { return };
    let mut bytes = vec![0; 2 * input.size.next_multiple_of(8)];
    if input.codec.parse_file(input.rest, &mut bytes).is_ok() {
        let text = printed(|out| input.codec.print_file(&bytes, out));
        input.codec.parse_file(&text, &mut bytes).expect("what was printed");
        assert_eq!(printed(|out| input.codec.print_file(&bytes, out)), text);
    }
    input.codec.print_sum(&bytes, &mut Vec::new());
}

fn printed(print: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    print(&mut out);
    out
}

/// The text of any bytes is one line of JSON and gives the same bytes, whatever was there before.
fn read_is_written(input: &Input<'_>) {
    let Input { codec, ty, .. } = input;
    let value = input.bytes();
    let text = printed(|out| codec.print_file(&value, out));
    let shown = String::from_utf8_lossy(&text);
    serde_json::from_slice::<serde_json::Value>(&text).expect("JSON");
    assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 1, "{shown}");
    let Some(ty) = ty else {
        let mut back = vec![0x5a; value.len()];
        codec.parse_file(&text, &mut back).expect("what was printed");
        assert_eq!(back, value, "{shown}");
        return;
    };
    let marks = marks(ty);
    let other = vec![0x5a; value.len()];
    let kept = mix(&marks, &other, &value, &other);
    let mut back = kept.clone();
    codec.parse_file(&text, &mut back).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert!(comes_back(&marks, &back, &value, &kept), "{shown}");
    assert!(!codec.whole_writes() || marks.iter().all(|&mark| mark == Bit::Data));
}

fn text_is_refused_or_a_value(input: &Input<'_>) {
    let codec = &input.codec;
    let mut value = input.bytes();
    if let Err(error) = codec.parse_value(input.rest, &mut value) {
        assert!(!error.reason.is_empty() && error.reason.len() < 4096, "{error}");
        return;
    }
    survives(codec, &value);
    if codec.whole_writes() {
        let mut again = vec![0xa5; value.len()];
        codec.parse_value(input.rest, &mut again).expect("what was taken before");
        assert_eq!(again, value, "the text says all of the value");
    }
}

/// What is printed of a value is taken, and printed again.
fn survives(codec: &Codec, value: &[u8]) {
    let text = printed(|out| codec.print_value(value, out));
    let mut back = value.to_vec();
    codec.parse_value(&text, &mut back).expect("what was printed");
    assert_eq!(printed(|out| codec.print_value(&back, out)), text);
}

/// Each member prints what it takes, and takes any text or refuses it.
fn members(input: &Input<'_>) {
    let value = input.bytes();
    let mut todo = vec![Vec::<Vec<u8>>::new()];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        let member = input.codec.member(&names).expect("a listed member");
        let text = printed(|out| member.print(&value, out));
        let mut back = value.clone();
        member.parse(&text, &mut back).expect("what was printed");
        assert_eq!(printed(|out| member.print(&back, out)), text);
        let _ = member.parse(input.rest, &mut back);
        let below = member.children().unwrap_or_default();
        todo.extend(below.into_iter().map(|child| [path.clone(), vec![child]].concat()));
        seen += 1;
        if seen > 64 {
            return;
        }
    }
}

//! Real maps of many types: what a C program stored is what is read, what was read can be
//! written, and `bpftool map dump` agrees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

mod codec_support;
#[path = "common/mod.rs"]
mod common;

use codec_support::{Bpffs, Opened, load_and_pin, open};
use common::object;
use common::require::require;
use serde_json::Value as Json;
use std::process::Command;
use tempfile::TempDir;

/// Loads types.bpf.c and runs store.c on its maps; gives (map, expected text) of each.
fn stored() -> (Bpffs, Vec<(String, String)>) {
    let dir = TempDir::new().unwrap();
    let bpffs = Bpffs::mount();
    load_and_pin(&object::compile("types"), &bpffs);
    let store = object::compile_program("store", dir.path());
    let output = Command::new(store).arg(bpffs.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| line.split_once('\t').unwrap());
    // The text's backslashes are C's; its quotes stand for JSON's.
    let lines = lines.map(|(map, text)| (map.to_owned(), text.replace('\'', "\"")));
    let lines: Vec<_> = lines.collect();
    assert!(lines.len() >= 60);
    (bpffs, lines)
}

fn value_of(map: &Opened) -> Vec<u8> {
    let mut value = vec![0; map.map.value_len()];
    map.map.lookup(&[0; 4], &mut value, 0).unwrap();
    value.truncate(map.info.value_size as usize);
    value
}

fn first_key(map: &Opened) -> Vec<u8> {
    let mut key = vec![0; map.info.key_size as usize];
    assert!(map.map.next_key(None, &mut key).unwrap());
    key
}

#[test]
fn values_read_as_c_stored_them_and_write_back() {
    require!("root", "bpf", "clang");
    let (bpffs, lines) = stored();
    for (name, text) in lines.iter().filter(|line| line.0.starts_with("v_")) {
        let map = open(&bpffs, name);
        assert_eq!(map.codec.fallback(), None, "{name}");
        let bytes = value_of(&map);
        assert_eq!(&map.text(&bytes), text, "{name}");
        // Pointers can only keep their value, so the present bytes are given; padding is zero.
        let mut back = bytes.clone();
        map.codec.parse_file(format!("{text}\n").as_bytes(), &mut back).unwrap();
        assert_eq!(back, bytes, "{name}");
        if !text.contains("\"0x") {
            let mut fresh = vec![0; bytes.len()];
            map.codec.parse_value(text.as_bytes(), &mut fresh).unwrap();
            assert_eq!(fresh, bytes, "{name}");
        }
    }
}

#[test]
fn keys_are_named_as_a_person_would_and_parse_back() {
    require!("root", "bpf", "clang");
    let (bpffs, lines) = stored();
    for (name, expected) in lines.iter().filter(|line| !line.0.starts_with("v_")) {
        let map = open(&bpffs, name);
        assert_eq!(map.codec.fallback(), None, "{name}");
        let key = first_key(&map);
        assert_eq!(&map.name(&key), expected, "{name}");
        let mut back = Vec::new();
        map.codec.parse_name(expected.as_bytes(), &mut back).unwrap();
        assert_eq!(back, key, "{name}");
        let mut json = Vec::new();
        map.codec.print_key(&key, &mut json);
        map.codec.parse_key(&json, &mut back).unwrap();
        assert_eq!(back, key, "{name} {}", String::from_utf8_lossy(&json));
    }
}

#[test]
fn data_sections_are_objects_of_variables() {
    require!("root", "bpf", "clang");
    let (bpffs, _) = stored();
    let section = |suffix: &str| {
        let names = std::fs::read_dir(bpffs.path()).unwrap();
        let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
        open(&bpffs, &{ names }.find(|name| name.ends_with(suffix)).unwrap())
    };
    let data = section("_data");
    assert_eq!(data.codec.fallback(), None);
    let json: Json = serde_json::from_str(&data.text(&value_of(&data))).unwrap();
    assert_eq!(json["answer"].to_string(), "42");
    assert_eq!(json["totals"]["bytes"].to_string(), "2");
    assert_eq!(json["greeting"], "hello");
    let rodata = section("_rodata");
    let json: Json = serde_json::from_str(&rodata.text(&value_of(&rodata))).unwrap();
    assert_eq!((json["limit"].to_string(), &json["verdict_of"]), ("9".into(), &"LOG".into()));
    let bss = section("_bss");
    let mut bytes = value_of(&bss);
    let member = bss.codec.member(&[b"zeroed", b"1", b"deep", b"inner", b"y"]).unwrap();
    member.parse(b"-3\n", &mut bytes).unwrap();
    let json: Json = serde_json::from_str(&bss.text(&bytes)).unwrap();
    assert_eq!(json["zeroed"][1]["deep"]["inner"]["y"].to_string(), "-3");
    assert_eq!(json["counter"].to_string(), "0");
}

/// The texts that bpftool gives otherwise, or not at all.
fn differs_on_purpose(name: &str) -> bool {
    // bpftool 7.1 prints no floats, and takes all enums for signed; where a number's highest byte comes
    // first, it mixes up the two halves of bit-fields in numbers of 128 bits.
    matches!(name, "v_float" | "v_double" | "v_mixed" | "v_tiny")
        || cfg!(target_endian = "big") && name == "v_bits128"
}

#[test]
fn bpftool_agrees() {
    require!("root", "bpf", "clang", "bpftool");
    let (bpffs, lines) = stored();
    let (mut compared, mut differ) = (0, Vec::new());
    for (name, text) in lines.iter().filter(|line| line.0.starts_with("v_")) {
        if differs_on_purpose(name) {
            continue;
        }
        let dump = Command::new("bpftool")
            .args(["-j", "map", "dump", "pinned"])
            .arg(bpffs.path().join(name))
            .output()
            .expect("bpftool starts")
            .stdout;
        let dump: Json = match serde_json::from_slice(&dump) {
            Ok(json) => json,
            Err(error) => panic!("{name}: {error}: {}", String::from_utf8_lossy(&dump)),
        };
        let theirs = &dump[0]["formatted"]["value"];
        let ours: Json = serde_json::from_str(text).unwrap();
        if !agree(&ours, theirs) {
            differ.push(format!("{name}: {ours} and bpftool's {theirs}"));
        }
        compared += 1;
    }
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(compared >= 40, "{compared}");
}

/// Whether our text says what bpftool says. Ours differs on purpose in these: numbers
/// in network order, addresses, one member of a union, bit-fields as numbers, folded members.
fn agree(ours: &Json, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Json::Object(ours), Json::Object(theirs)) => {
            let mut folded = Vec::new();
            fold(theirs, &mut folded);
            // Theirs also has the other members of unions. (Order: the expected texts have it.)
            ours.iter().all(|(name, ours)| {
                folded.iter().any(|(other, theirs)| other == name && agree(ours, theirs))
            })
        }
        (Json::Array(ours), Json::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| agree(a, b))
        }
        // A char that bpftool shows as such, a bit-field or a bool that it shows in hex.
        (_, Json::String(hex)) if hex.starts_with("0x") => {
            let wide = |json: &Json| {
                let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
                match text.as_str() {
                    "true" => Some(1),
                    "false" => Some(0),
                    text => match text.strip_prefix("0x") {
                        Some(hex) => u128::from_str_radix(hex, 16).ok(),
                        None => text.parse::<i128>().ok().map(|number| number as u128),
                    },
                }
            };
            match (wide(ours), wide(theirs)) {
                (Some(ours), Some(theirs)) => {
                    ours == theirs || (0..128).any(|bits| ours & ((1 << bits) - 1) == theirs)
                }
                // An enum's name for a bit-field.
                _ => ours.is_string(),
            }
        }
        (Json::String(ours), Json::String(theirs)) => ours == theirs,
        // A MAC address, of which bpftool shows the bytes.
        (Json::String(mac), Json::Array(theirs)) if mac.len() == 17 && theirs.len() == 6 => {
            let bytes = mac.split(':').map(|byte| u64::from_str_radix(byte, 16).ok());
            bytes.eq(theirs.iter().map(Json::as_u64))
        }
        // A string that bpftool takes for numbers, for lack of a NUL or for an unusual character.
        (Json::String(text), Json::Array(theirs)) => {
            let bytes = text.bytes().map(i64::from).chain(std::iter::repeat(0));
            text.len() <= theirs.len() && bytes.zip(theirs).all(|(a, b)| b.as_i64() == Some(a))
        }
        (Json::String(pointer), Json::Number(theirs)) => {
            let digits = pointer.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
            digits.is_some_and(|number| number.ok() == theirs.as_u64())
        }
        (Json::String(address), Json::Object(_)) => address.contains(['.', ':']),
        (Json::Number(_), Json::Number(_)) if ours == theirs => true,
        (Json::Number(ours), Json::Number(theirs)) => {
            let (ours, theirs) = (ours.to_string(), theirs.to_string());
            let (Ok(ours), Ok(theirs)) = (ours.parse::<u64>(), theirs.parse::<u64>()) else {
                return false;
            };
            let swapped = [
                u16::try_from(ours).is_ok_and(|ours| u64::from(ours.swap_bytes()) == theirs),
                u32::try_from(ours).is_ok_and(|ours| u64::from(ours.swap_bytes()) == theirs),
                ours.swap_bytes() == theirs,
            ];
            swapped.contains(&true)
        }
        _ => ours == theirs,
    }
}

/// Puts the members of bpftool's anonymous members into their parent.
fn fold<'a>(object: &'a serde_json::Map<String, Json>, out: &mut Vec<(&'a str, &'a Json)>) {
    for (name, json) in object {
        match json {
            Json::Object(inner) if name.is_empty() => fold(inner, out),
            _ => out.push((name, json)),
        }
    }
}

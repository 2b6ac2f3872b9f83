//! Key names: every key has one that leads back to it, and a name leads to a key or nowhere.

use super::source::Input;
use bpffuse::codec::NameMatch;

/// Bytes that a name of the readable form has at most.
const LONGEST: usize = 1023;

pub fn check(data: &[u8]) {
    let Some(input) = Input::new(data, None) else { return };
    if input.size == 0 {
        return;
    }
    leads_back(&input, &input.bytes());
    let mut key = Vec::new();
    if let Ok(found) = input.codec.parse_name(input.rest, &mut key) {
        assert_eq!(key.len(), input.size);
        assert!(input.lpm || found == NameMatch::Exact);
        leads_back(&input, &key);
    }
    if input.codec.parse_key(input.rest, &mut key).is_ok() {
        assert_eq!(key.len(), input.size);
        let mut json = Vec::new();
        input.codec.print_key(&key, &mut json);
        let mut back = Vec::new();
        input.codec.parse_key(&json, &mut back).expect("what was printed");
        let mut again = Vec::new();
        input.codec.print_key(&back, &mut again);
        assert_eq!(again, json);
    }
}

fn leads_back(input: &Input<'_>, key: &[u8]) {
    let mut name = Vec::new();
    input.codec.key_name(key, &mut name);
    let shown = String::from_utf8_lossy(&name);
    assert!(!name.is_empty() && name[0] != b'.', "{shown}");
    assert!(!name.contains(&b'/') && !name.contains(&0), "{shown}");
    assert!(name.len() <= LONGEST || name.len() == 2 * key.len(), "{shown}");
    let mut back = Vec::new();
    let found = input.codec.parse_name(&name, &mut back).expect("a name that was printed");
    assert_eq!(found, NameMatch::Exact, "{shown}");
    if input.lpm && back != key {
        // Host bits are no part of a prefix.
        let bits = u32::from_ne_bytes(key[..4].try_into().unwrap()) as usize;
        for bit in 0..bits.min((key.len() - 4) * 8) {
            let (at, mask) = (4 + bit / 8, 0x80 >> (bit % 8));
            assert_eq!(back[at] & mask, key[at] & mask, "{shown}");
        }
        assert_eq!(back[..4], key[..4], "{shown}");
        let mut again = Vec::new();
        input.codec.key_name(&back, &mut again);
        assert_eq!(again, name, "{shown}");
    } else {
        assert_eq!(back, key, "{shown}");
    }
}

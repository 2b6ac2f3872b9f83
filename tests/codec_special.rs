//! Members that belong to the kernel: left out on read, kept on write; locks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

mod codec_support;
#[path = "common/mod.rs"]
mod common;

use bpffuse::sys::map::{ANY, LOCK};
use codec_support::{Bpffs, load_and_pin, open};
use common::object;
use common::require::require;

fn loaded() -> Bpffs {
    let bpffs = Bpffs::mount();
    load_and_pin(&object::compile("special"), &bpffs);
    bpffs
}

#[test]
fn a_lock_is_left_out_and_the_value_read_and_written_under_it() {
    require!("root", "bpf", "clang");
    let bpffs = loaded();
    for (name, text) in [
        ("s_locked", r#"{"before":1,"after":2}"#),
        ("s_nested", r#"{"outer":3,"inner":{"before":1,"after":2}}"#),
    ] {
        let map = open(&bpffs, name);
        assert!(map.codec.has_lock(), "{name}");
        assert!(!map.codec.whole_writes(), "{name}");
        let key = 5_u32.to_ne_bytes();
        let mut value = vec![0; map.map.value_len()];
        map.codec.parse_value(text.as_bytes(), &mut value).unwrap();
        map.map.update(&key, &value, ANY).unwrap();
        // Older kernels look for a lock among the value's own members only.
        let mut flag = LOCK;
        if name == "s_nested" && map.map.update(&key, &value, ANY | LOCK).is_err() {
            common::kernel::lacks("locks inside of a member", false);
            flag = ANY;
        }
        map.map.update(&key, &value, ANY | flag).unwrap();
        value.fill(0xee);
        map.map.lookup(&key, &mut value, flag).unwrap();
        assert_eq!(map.text(&value), text, "{name}");
    }
}

#[test]
fn the_kernels_bytes_are_kept_on_write() {
    require!("root", "bpf", "clang");
    let bpffs = loaded();
    let map = open(&bpffs, "s_timed");
    assert!(!map.codec.has_lock());
    let mut value = vec![0xaa; 24];
    map.codec.parse_value(br#"{"count":1}"#, &mut value).unwrap();
    assert_eq!(value[..16], [0xaa; 16]);
    assert_eq!(value[16..20], 1_u32.to_ne_bytes());
    assert_eq!(value[20..], [0xaa; 4]);
    assert_eq!(map.text(&value), r#"{"count":1,"more":2863311530}"#);
    let error = map.codec.parse_value(br#"{"timer":1}"#, &mut value).unwrap_err();
    assert_eq!(error.reason, "there is no member `timer`, only count, more");
}

#[test]
fn special_members_of_many_kinds_are_left_out() {
    require!("root", "bpf", "clang");
    let bpffs = loaded();
    let map = open(&bpffs, "s_graph");
    assert_eq!(map.codec.fallback(), None);
    let value = vec![0; map.map.value_len()];
    assert_eq!(map.text(&value), r#"{"count":0}"#);
}

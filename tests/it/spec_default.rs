//! `mkdir` creates a map by the default SPEC.

use crate::common::require::require;
use crate::common::{Bed, refused};
use std::fs;

/// By default `hash key u32 value u64 entries 1024`; sizes may be C types, and then the map is
/// created with BTF, so every tool prints it typed.
#[test]
fn mkdir_creates_a_map() {
    require!("root", "bpf", "fuse", "bpftool", "jq");
    let bed = Bed::new();
    bed.ok("mkdir mnt/first");
    let shown = bed.ok(
        "bpftool -j map show pinned bpf/first | jq -c '[.type,.name,.bytes_key,.bytes_value,.max_entries]'",
    );
    assert_eq!(shown, "[\"hash\",\"first\",4,8,1024]\n");
    assert_eq!(bed.ok("stat -c '%F %a' mnt/first; ls -A mnt/first"), "directory 700\n");
    assert_eq!(bed.ok("echo 5 > mnt/first/7; cat mnt/first/7; ls mnt/first"), "5\n7\n");
    let typed = bed.ok("bpftool -j map dump pinned bpf/first | jq -c '.[0].formatted'");
    assert_eq!(typed, "{\"key\":7,\"value\":5}\n");
    assert_eq!(bed.ok("jq -r .btf_value_type mnt/first/.info"), "u64\n");
    bed.ok("rm -r mnt/first");
    assert!(!bed.pin("first").exists());
}

/// In nested directories; an existing NAME is EEXIST; bpffs's own refusals pass through.
#[test]
fn mkdir_names() {
    require!("root", "bpf", "fuse", "bpftool", "jq");
    let bed = Bed::new();
    bed.ok("mkdir -p bpf/d/e && mkdir mnt/d/e/m");
    let id = bed.open("d/e/m").info.id;
    refused(fs::create_dir(bed.at("d/e/m")), "EEXIST");
    refused(fs::create_dir(bed.at("d")), "EEXIST");
    assert_eq!(bed.open("d/e/m").info.id, id, "another map took its place");
    refused(fs::create_dir(bed.at("no/such/dir")), "ENOENT");
    refused(fs::create_dir(bed.at("with.dot")), "EPERM");
    assert!(fs::create_dir(bed.at(".hidden")).is_err());
    // "The kernel's map name is NAME made fit (15 characters of [A-Za-z0-9_.])".
    for (name, fit) in [("a-b c", "a_b_c"), ("a_name_that_is_too_long", "a_name_that_is_")] {
        fs::create_dir(bed.at(name)).unwrap();
        assert_eq!(bed.open(name).info.name, fit);
    }
    fs::create_dir(bed.at("größe")).unwrap();
    let name = bed.open("größe").info.name;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    assert!(name.len() <= 15 && name.chars().all(fits), "{name}");
}

/// `mkdir` with a mode, and the umask.
#[test]
fn mkdir_mode() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("umask 022; mkdir -m 750 mnt/m");
    assert_eq!(bed.ok("stat -c %a mnt/m"), "750\n");
    bed.ok("(umask 077; mkdir mnt/n); echo 1 > mnt/n/1");
}

/// `--default-map SPEC`.
#[test]
fn default_map_option() {
    require!("root", "bpf", "fuse", "bpftool", "jq");
    let bed = Bed::with(&["--default-map", "type lru_hash key 6 value 12 entries 99"]);
    bed.ok("mkdir mnt/m; echo 0x0102030405060708090a0b0c > mnt/m/00:11:22:33:44:55");
    let shown = bed.ok(
        "bpftool -j map show pinned bpf/m | jq -c '[.type,.bytes_key,.bytes_value,.max_entries]'",
    );
    assert_eq!(shown, "[\"lru_hash\",6,12,99]\n");
    assert_eq!(bed.list("m"), ["001122334455"]);
}

/// A default spec that is none is refused at the start, where somebody reads the message.
#[test]
fn bad_default_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::idle();
    for spec in ["nonsense", "type nonsense key 4 value 4 entries 4", "hash key 4 value"] {
        let stderr = bed.fails(&format!("bpffuse --default-map '{spec}' bpf mnt"));
        assert_eq!(stderr.lines().count(), 1, "one sentence: {stderr}");
        assert!(!bed.at(".help").exists(), "mounted all the same");
    }
}

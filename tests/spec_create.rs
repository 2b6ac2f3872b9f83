//! Every kind of map that user space can create, from words and from C, as the kernel then has it.

mod spec_support;

use bpffuse::spec::{CreateError, Created, Inner, Part, Spec, kinds};
use bpffuse::sys::map::{MapInfo, map_info};
use bpffuse::sys::object;
use spec_support::cases::{CASES, CPUS, texts};
use spec_support::{BpfFs, have_bpf};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

fn no_inner(inner: &Inner) -> Result<OwnedFd, CreateError> {
    Err(CreateError { errno: libc::ENOENT, reason: format!("{inner:?}") })
}

fn create(text: &str) -> (MapInfo, Created) {
    let spec = Spec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let created = spec.create("test", &no_inner).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let info = map_info(created.fd.as_fd()).expect("the map's info");
    (info, created)
}

fn possible_cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").expect("the CPUs");
    text.trim().rsplit('-').next().and_then(|n| n.parse::<u32>().ok()).expect("a number") + 1
}

#[test]
fn every_kind_from_words_and_from_c() {
    if !have_bpf() {
        return;
    }
    for (i, case) in CASES.into_iter().enumerate() {
        let (kind, _, _, [key, value, entries], flags, takes_btf) = case;
        for text in texts(case) {
            let (info, created) = create(&text);
            assert_eq!(info.map_type, i as u32 + 1, "{text}");
            let (info_value, value) = if kind == "struct_ops" {
                assert_ne!(info.btf_vmlinux_value_type_id, 0, "{text}");
                (value, value)
            } else {
                (info.value_size, value)
            };
            let entries = if entries == CPUS && kind.ends_with("array") || kind == "cpumap" {
                possible_cpus()
            } else {
                entries
            };
            assert_eq!(
                (info.key_size, info_value, info.max_entries),
                (key, value, entries),
                "{text}"
            );
            assert_eq!(info.flags, flags, "{text}");
            assert_eq!(info.name, "test", "{text}");
            let spec = Spec::parse(text.as_bytes()).expect("parsed before");
            let typed = [spec.key, spec.value].iter().any(|part| matches!(part, Part::Type(_)));
            let needed =
                kind.ends_with("k_storage") || matches!(kind, "inode_storage" | "cgrp_storage");
            assert_eq!(
                info.btf_id != 0,
                needed || typed && takes_btf,
                "{text}: {:?}",
                created.note
            );
            // Who asked for types and got none is told so.
            let told = created.note.as_ref().is_some_and(|note| note.contains("without BTF"));
            assert_eq!(told, typed && !takes_btf, "{text}: {:?}", created.note);
        }
    }
    assert_eq!(kinds::name(33), Some("arena"));
}

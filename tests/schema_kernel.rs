//! The kernel's own structs, thousands of real types, as C that lays them out the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "common/mod.rs"]
mod common;

use bpffuse::btf::{Btf, Kind};
use bpffuse::schema::{self, SchemaMap};
use bpffuse::sys::map::MapInfo;
use common::require::require;

fn info(value: u32, size: u32) -> MapInfo {
    MapInfo {
        map_type: 1,
        id: 1,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        flags: 0,
        name: "m".to_owned(),
        btf_id: 1,
        btf_key_type_id: 0,
        btf_value_type_id: value,
        btf_vmlinux_id: 0,
        btf_vmlinux_value_type_id: 0,
        map_extra: 0,
        ifindex: 0,
    }
}

#[test]
fn kernel_structs_are_said_in_c() {
    require!("kernel types");
    let blob = std::fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's BTF");
    let btf = Btf::parse(&blob, None).expect("the kernel's BTF");
    let every: u32 =
        std::env::var("BPFFUSE_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(101);
    let (mut said, mut unsaid) = (0, Vec::new());
    for id in (1..btf.end_id()).filter(|id| id % every == 0) {
        let Some(found) = btf.get(id) else { continue };
        let (Kind::Struct { size, .. } | Kind::Union { size, .. }) = found.kind else { continue };
        if size == 0 {
            continue;
        }
        let info = info(id, size);
        let text = schema::print(
            &SchemaMap { info: &info, btf: Some(&btf), kernel: None, inner: None, numa_node: None },
            "m",
        );
        match text.starts_with("/* Not all") {
            true => unsaid.push(format!(
                "{} {}",
                btf.name(found.name_at),
                text.lines().next().unwrap_or("")
            )),
            false => said += 1,
        }
    }
    eprintln!("{said} said, {} not", unsaid.len());
    for line in unsaid.iter().take(40) {
        eprintln!("{line}");
    }
    assert!(said > 0 && unsaid.len() * 50 < said, "{said} said; not {unsaid:#?}");
}

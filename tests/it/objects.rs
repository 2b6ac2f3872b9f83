//! Programs and links as files: what bpftool says of them, and an iterator link's own output.

use crate::common::require::require;
use crate::common::{Bed, object};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A pinned program: a read-only file, one JSON object (id, type, name, tag, map_ids, …)
#[test]
fn a_program_is_its_json() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    let links = object::compile("links");
    bed.ok(&format!("bpftool prog load {} bpf/prog", links.display()));
    let text = bed.ok("cat mnt/prog");
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text:?}");
    let (ours, theirs) = (json(&text), json(&bed.ok("bpftool -j prog show pinned bpf/prog")));
    for name in ["id", "type", "name", "tag", "map_ids", "uid", "gpl_compatible"] {
        assert!(!ours[name].is_null(), "{name} is missing: {text}");
        assert_eq!(ours[name], theirs[name], "{name}");
    }
    assert_eq!(ours["bytes_xlated"], theirs["bytes_xlated"]);
    // Computed from two clocks that are read one after the other, so the second may turn between.
    let loaded = |prog: &serde_json::Value| prog["loaded_at"].as_i64().expect("seconds");
    assert!(loaded(&ours).abs_diff(loaded(&theirs)) <= 1, "{text}");
    for name in ["run_time_ns", "run_cnt", "recursion_misses", "verified_insns"] {
        assert!(ours[name].is_u64(), "{name}: {text}");
    }
    assert_eq!(ours["map_ids"].as_array().map(Vec::len), Some(1));
    // Read only, also for root, whom no mode stops.
    let refused = bed.fails("echo 1 > mnt/prog");
    assert!(refused.contains("Permission denied"), "{refused}");
}

/// A pinned link: a read-only JSON object
#[test]
fn a_link_is_its_json() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    let links = object::compile("links");
    let opened = libbpf_rs::ObjectBuilder::default().open_file(&links).expect("an object file");
    let loaded = opened.load().expect("the kernel takes it");
    let prog = loaded.progs_mut().find(|prog| prog.name() == "count_switches").expect("a program");
    let mut link = prog.attach().expect("attached");
    link.pin(bed.pin("link")).expect("pinned");
    drop(link);
    let text = bed.ok("cat mnt/link");
    let theirs = json(&bed.ok("bpftool -j link show pinned bpf/link"));
    let ours = json(&text);
    for name in ["id", "type", "prog_id", "tp_name"] {
        assert!(!ours[name].is_null(), "{name} is missing: {text}");
        assert_eq!(ours[name], theirs[name], "{name}: {text}");
    }
    // Detached by rm: the pin was the link's only reference.
    bed.ok("rm mnt/link");
    bed.fails(&format!("bpftool link show id {}", ours["id"]));
}

/// For an iterator link, the iterator's own output, whatever pieces it is read in.
#[test]
fn an_iterator_gives_its_output() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    let iterator = object::compile("objects");
    bed.ok(&format!("bpftool iter pin {} bpf/tasks", iterator.display()));
    let whole = bed.ok("cat mnt/tasks");
    assert!(whole.lines().all(|line| line.starts_with("task ")), "{whole}");
    let own = std::process::id();
    assert!(whole.contains(&format!("task {own} ")), "this process is not among the tasks");
    assert!(whole.len() > 4096, "less than a page: {}", whole.len());
    for size in [1000, 4096, 65536] {
        let pieces = bed.ok(&format!("dd if=mnt/tasks bs={size} status=none"));
        assert!(pieces.contains(&format!("task {own} ")), "in pieces of {size}");
        assert!(pieces.ends_with(".\n"), "cut in pieces of {size}");
    }
}

/// The first cells of the reference's table whose head begins so, and whether they are always there.
fn fields_of(table: &str) -> Vec<(String, bool)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
    let reference = std::fs::read_to_string(path).unwrap();
    let rows = reference.lines().skip_while(|line| !line.starts_with(table)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let always = !cells[2].contains("optional");
        let names = cells[1].split('`').skip(1).step_by(2);
        names.map(|name| (name.to_owned(), always)).collect::<Vec<_>>()
    })
    .collect()
}

/// a list of fields for `.info`, PROG, LINK, `.maps.json`: all that are printed, and no others.
#[test]
fn fields_are_those_of_the_reference() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "jq");
    let bed = Bed::new();
    let links = object::compile("links");
    bed.ok(&format!("bpftool prog load {} bpf/prog", links.display()));
    bed.write("h", "hash key u32 value u64 entries 4");
    let id = bed.ok("jq .id mnt/h/.info");
    let line = bed.ok(&format!("jq -c 'select(.id == {})' mnt/.maps.json", id.trim()));
    for (table, text) in [
        ("| field of `.info`", bed.read("h/.info")),
        ("| field of `.info`", line),
        ("| field of PROG", bed.read("prog")),
    ] {
        let fields = fields_of(table);
        assert!(fields.len() > 10, "{table}: {fields:?}");
        let object = json(&text);
        let printed = object.as_object().expect("an object");
        for name in printed.keys() {
            assert!(fields.iter().any(|(field, _)| field == name), "{name} is in no row: {text}");
        }
        for (field, _) in fields.iter().filter(|(_, always)| *always) {
            assert!(printed.contains_key(field), "{field} is not printed: {text}");
        }
    }
}

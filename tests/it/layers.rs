//! The picture in `src/lib.rs`: each module uses only those right of it, and a crate that wraps a
//! kernel interface stays in its place.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module, and what it may use of ours.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli", "mount"]),
    ("cli", &[]),
    ("mount", &["cli", "fuse", "fs", "bpffs", "sys", "spec"]),
    ("fuse", &["fs"]),
    ("fs", &["node", "map", "codec", "btf", "bpffs", "spec", "schema", "sys"]),
    ("node", &["bpffs", "sys"]),
    ("bpffs", &["sys"]),
    ("schema", &["map", "btf", "spec", "sys"]),
    ("spec", &["btf", "sys"]),
    ("map", &["codec", "btf", "sys"]),
    ("codec", &["btf"]),
    ("btf", &[]),
    ("sys", &[]),
];

/// Crate, and the modules that may name it.
const WRAPPED: &[(&str, &[&str])] = &[("fuser", &["fuse", "mount"]), ("libbpf_rs", &["sys"])];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A file's top module, and its text up to its unit tests.
fn modules() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&src).expect("below src").to_owned();
        let top = below.components().next().expect("a name").as_os_str().to_string_lossy();
        let text = fs::read_to_string(&path).expect("readable");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        (top.trim_end_matches(".rs").to_owned(), text)
    };
    files.into_iter().map(read).filter(|(top, _)| top != "lib").collect()
}

/// The names behind `crate::` (or `bpffuse::`), in code that is no comment.
fn used(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| {
        let places = line.match_indices("crate::").chain(line.match_indices("bpffuse::"));
        places.map(|(at, path)| {
            let rest = &line[at + path.len()..];
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
        })
    })
    .map(str::to_owned)
    .collect()
}

#[test]
fn modules_use_only_what_is_right_of_them() {
    let modules = modules();
    assert!(modules.len() > 20, "the sources were not found");
    for (top, text) in modules {
        let row = MAY_USE.iter().find(|(module, _)| *module == top);
        let (_, allowed) = row.unwrap_or_else(|| panic!("module {top} is not in the picture"));
        for name in used(&text) {
            let fine = name == top || name.is_empty() || allowed.contains(&name.as_str());
            assert!(fine, "{top} uses {name}");
        }
    }
}

#[test]
fn kernel_crates_stay_in_their_modules() {
    for (top, text) in modules() {
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (name, homes) in WRAPPED {
            let named = code.contains(&format!("{name}::"));
            assert!(!named || homes.contains(&top.as_str()), "{top} names {name}");
        }
    }
}

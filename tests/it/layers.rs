//! The table in `src/lib.rs`: each module uses those that it says, and a crate that wraps a kernel
//! interface stays in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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

/// The rows of the table in `src/lib.rs`: a module, and what it may use of ours.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(lib).expect("src/lib.rs");
    // What is between backticks is a module's name.
    let names = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_end_matches(['|', ' ']).split(" | ").collect();
        let [module, _, uses] = cells[..] else { panic!("not three cells: {row}") };
        (module.trim_end_matches('`').to_owned(), names(uses).into_iter().collect())
    })
    .collect()
}

/// The table says what is so: nothing else is used, and nothing is allowed that nobody needs.
#[test]
fn modules_use_what_the_table_says() {
    let modules = modules();
    assert!(modules.len() > 20, "the sources were not found");
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (top, text) in modules {
        let names = used(&text).into_iter().filter(|name| *name != top && !name.is_empty());
        all.entry(top.clone()).or_default().extend(names);
    }
    let table = table();
    for (module, uses) in &all {
        let row = table.get(module).unwrap_or_else(|| panic!("{module} is not in the table"));
        assert_eq!(uses, row, "what {module} uses (left), and may use by the table (right)");
    }
    assert!(table.keys().eq(all.keys()), "the table has a module that is not there");
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

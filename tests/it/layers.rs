//! The tables in `src/lib.rs` and `src/fs.rs`: each module, and each room of the file system, uses those
//! that it says; a crate that wraps a kernel interface stays in its place; no files go in circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Crate, and the modules that may name it.
const WRAPPED: &[(&str, &[&str])] = &[("fuser", &["fuse", "mount"]), ("libbpf_rs", &["sys"])];

/// A source file: its path below `src` without `.rs`, and its code up to its unit tests.
#[derive(Debug, Clone)]
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        Self { path: path.to_owned(), code: lines.collect::<Vec<_>>().join("\n") }
    }

    fn top(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The room of the file system that it is in; `None` for `fs.rs` itself and all outside.
    fn room(&self) -> Option<&str> {
        self.path.strip_prefix("fs/").and_then(|below| below.split('/').next())
    }

    /// The paths behind `crate::`, with `super::` resolved, braces taken apart.
    fn paths(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let statements = self.code.split(';').filter_map(|text| {
            let at = text.rfind("use ")?;
            Some(text[at + 4..].split_whitespace().collect::<Vec<_>>().join(" "))
        });
        for statement in statements {
            expand("", &statement, &mut |path| found.extend(self.absolute(path)));
        }
        for start in ["crate::", "super::"] {
            for (at, _) in self.code.match_indices(start) {
                let rest = &self.code[at..];
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
                    .unwrap_or(rest.len());
                found.extend(self.absolute(rest[..end].trim_end_matches(':')));
            }
        }
        found
    }

    /// A path from the crate on, its segments with slashes.
    fn absolute(&self, path: &str) -> Option<String> {
        if let Some(path) = path.strip_prefix("crate::") {
            return Some(path.replace("::", "/"));
        }
        let mut base: Vec<&str> = self.path.split('/').collect();
        let mut rest = path.strip_prefix("self::").unwrap_or(path);
        let is_relative = rest != path || rest.starts_with("super::");
        while let Some(up) = rest.strip_prefix("super::") {
            base.pop();
            rest = up;
        }
        is_relative.then(|| base.into_iter().chain(rest.split("::")).collect::<Vec<_>>().join("/"))
    }
}

/// Tells each path in a `use` statement, whose braces may be nested.
fn expand(prefix: &str, tree: &str, tell: &mut impl FnMut(&str)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        return tell(format!("{prefix}{name}").trim_end_matches("::self"));
    };
    let (head, inner) = (&tree[..open], tree[open + 1..].strip_suffix('}').unwrap_or(""));
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(&format!("{prefix}{head}"), &inner[start..at], tell);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn sources() -> Vec<Source> {
    fn read(dir: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(dir).expect("src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root).expect("below src").with_extension("");
                let text = fs::read_to_string(&path).expect("readable");
                found.push(Source::new(&below.to_string_lossy(), &text));
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    read(&src, &src, &mut found);
    assert!(found.len() > 100, "the sources were not found");
    // A unit test's own file, and the list of modules.
    found.retain(|source| source.path != "lib" && !source.path.ends_with("/tests"));
    found
}

/// The rows of a table in a file's head: a module or room, and what it may use of ours.
fn table(file: &str) -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    rows(&fs::read_to_string(path).expect("readable"))
}

fn rows(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    // What is between backticks is a name.
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

/// What each of some parts uses of the others: by a file's part, and by a path's.
fn uses(
    sources: &[Source],
    part_of_file: impl Fn(&Source) -> Option<String>,
    part_of_path: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let Some(part) = part_of_file(source) else { continue };
        let used = source.paths().iter().filter_map(|path| part_of_path(path)).collect::<Vec<_>>();
        all.entry(part.clone()).or_default().extend(used.into_iter().filter(|used| *used != part));
    }
    all
}

/// The table says what is so: nothing else is used, and nothing is allowed that nobody needs.
#[track_caller]
fn compare(all: &BTreeMap<String, BTreeSet<String>>, table: &BTreeMap<String, BTreeSet<String>>) {
    for (part, uses) in all {
        let row = table.get(part).unwrap_or_else(|| panic!("{part} is not in the table"));
        assert_eq!(uses, row, "what {part} uses (left), and may use by the table (right)");
    }
    assert!(table.keys().eq(all.keys()), "the table has a part that is not there");
}

#[test]
fn modules_use_what_the_table_says() {
    let table = table("lib.rs");
    let first = |path: &str| path.split('/').next().map(str::to_owned);
    // `main` names the crate from outside.
    let sources: Vec<Source> = sources()
        .into_iter()
        .map(|source| Source { code: source.code.replace("bpffuse::", "crate::"), ..source })
        .collect();
    let all = uses(
        &sources,
        |source| Some(source.top().to_owned()),
        |path| first(path).filter(|top| table.contains_key(top)),
    );
    compare(&all, &table);
}

#[test]
fn rooms_use_what_the_table_says() {
    let table = table("fs.rs");
    let room_of_path = |path: &str| {
        let room = path.strip_prefix("fs/")?.split('/').next()?;
        table.contains_key(room).then(|| room.to_owned())
    };
    let all = uses(&sources(), |source| source.room().map(str::to_owned), room_of_path);
    compare(&all, &table);
}

/// Where a file implements the file system, or calls a method of it.
fn touches_fs(source: &Source) -> bool {
    let code = &source.code;
    let names_it = source.paths().contains("fs/Fs");
    code.contains("impl Fs ") || names_it || code.contains("&Fs)") || code.contains("&Fs,")
}

/// The file system with all its state is `op`'s alone: what another room needs, it is given.
#[test]
fn the_file_system_is_ops_alone() {
    for source in sources() {
        let is_op = source.room() == Some("op") || source.path == "fs";
        if source.path.starts_with("fs/") && !is_op {
            assert!(!touches_fs(&source), "{} uses Fs", source.path);
        }
    }
}

/// Circles of files that use each other, of more than two.
fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let files: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    // The longest part of a path that is a file.
    let file_of = |path: &str| {
        let mut path = path;
        loop {
            if let Some(file) = files.get(path) {
                return Some((*file).to_owned());
            }
            path = &path[..path.rfind('/')?];
        }
    };
    let edges: BTreeMap<String, BTreeSet<String>> = sources
        .iter()
        .map(|source| {
            let used = source.paths().iter().filter_map(|path| file_of(path)).collect();
            (source.path.clone(), used)
        })
        .collect();
    let reach = |from: &String| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(file) = todo.pop() {
            for next in edges.get(&file).into_iter().flatten() {
                if next != &file && seen.insert(next.clone()) {
                    todo.push(next.clone());
                }
            }
        }
        seen
    };
    let all: BTreeMap<String, BTreeSet<String>> =
        edges.keys().map(|file| (file.clone(), reach(file))).collect();
    let mut found = BTreeSet::new();
    for (file, reached) in &all {
        let circle: Vec<String> = reached
            .iter()
            .filter(|other| all.get(*other).is_some_and(|r| r.contains(file)))
            .cloned()
            .collect();
        if circle.len() > 2 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

#[test]
fn no_circle_of_more_than_two_files() {
    assert_eq!(circles(&sources()), Vec::<Vec<String>>::new());
}

/// The names of types that more than one file makes public.
fn shared_names(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        for line in source.code.lines().map(str::trim_start).filter(|line| line.starts_with("pub"))
        {
            let words: Vec<&str> = line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|w| !w.is_empty())
                .collect();
            let at = words.iter().position(|w| matches!(*w, "struct" | "enum" | "trait" | "type"));
            if let Some(name) = at.and_then(|at| words.get(at + 1)) {
                homes.entry((*name).to_owned()).or_default().push(source.path.clone());
            }
        }
    }
    homes.retain(|_, homes| homes.len() > 1);
    homes
}

/// A public name says which: `Error` and `Result` alone are each module's own.
#[test]
fn public_names_say_which() {
    let mut shared = shared_names(&sources());
    shared.retain(|name, _| name != "Error" && name != "Result");
    assert_eq!(shared, BTreeMap::new());
}

#[test]
fn kernel_crates_stay_in_their_modules() {
    for source in sources() {
        for (name, homes) in WRAPPED {
            let named = source.code.contains(&format!("{name}::"));
            assert!(!named || homes.contains(&source.top()), "{} names {name}", source.path);
        }
    }
}

/// Each rule finds what breaks it.
#[test]
fn the_rules_can_fail() {
    let source = |path: &str, text: &str| Source::new(path, text);
    let nested =
        source("fs/element/file", "use crate::{a::{b, c::D}, e}; fn f() { super::walk::go() }");
    let paths: Vec<String> = nested.paths().into_iter().collect();
    assert_eq!(paths, ["a/b", "a/c/D", "e", "fs/element/walk/go"]);
    let up =
        source("fs/base/maps", "use crate::fs::op::lookup::Found;\n#[cfg(test)]\nuse crate::spec;");
    let room = |path: &str| path.strip_prefix("fs/")?.split('/').next().map(str::to_owned);
    let all = uses(std::slice::from_ref(&up), |source| source.room().map(str::to_owned), room);
    assert_eq!(all["base"].iter().collect::<Vec<_>>(), ["op"]);
    assert!(!touches_fs(&up));
    for text in ["impl Fs {\n}", "use crate::fs::Fs;", "fn f(fs: &Fs) {}"] {
        assert!(touches_fs(&source("fs/element/x", text)), "{text}");
    }
    let circle = [
        source("a", "use crate::b::B;"),
        source("b", "use crate::c;"),
        source("c", "fn f() { crate::a::g() }"),
        source("d", "use crate::a;"),
    ];
    assert_eq!(circles(&circle), [["a", "b", "c"]]);
    assert!(circles(&circle[..2]).is_empty());
    let twice =
        [source("a", "pub struct Kind;"), source("b", "pub(crate) enum Kind {}\nstruct Own;")];
    assert_eq!(shared_names(&twice).keys().collect::<Vec<_>>(), ["Kind"]);
    let table = rows("//! | `a` | things | `b`, `c` |\n//! | `b` | more | nothing of ours |");
    assert_eq!(table["a"].len(), 2);
    assert!(table["b"].is_empty());
}

//! What is released agrees with itself: the version everywhere, and what the program is made of.

use bpffuse::cli::NOTICES;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

/// What a program prints in the repository; nothing if it fails, as git does outside of one.
fn output(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).current_dir(top()).output();
    let text = ran.ok().filter(|ran| ran.status.success()).map(|ran| String::from_utf8(ran.stdout));
    text.map(Result::unwrap).unwrap_or_default()
}

/// The crates that the program is built from, as `NAME VERSION`, without those for building and tests.
/// None where the tests run without Cargo, as on another kernel.
fn crates() -> Option<BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    Command::new(&cargo).arg("--version").output().ok()?;
    let target = "--target=x86_64-unknown-linux-gnu";
    let tree = output(&cargo, &["tree", "--locked", "-e=normal", "--prefix=none", target]);
    let named = tree.lines().filter_map(|line| line.split_once(" v"));
    let found: BTreeSet<String> = named
        .map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap_or_default()))
        .collect();
    assert!(found.len() > 20, "{tree}");
    Some(found)
}

/// `bpffuse --notices` has each crate, and libbpf. scripts/notices writes it.
#[test]
fn notices_are_of_all_that_is_inside() {
    let Some(crates) = crates() else { return };
    let (_, list) = NOTICES.split_once("the licences below:\n\n").expect("the list");
    let listed: BTreeSet<String> =
        list.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(listed, crates, "run scripts/notices");
    // And the text for each.
    let (_, texts) = NOTICES.split_once("-----").expect("the texts");
    for name in &listed {
        assert!(
            texts.contains(&format!("{name},")) || texts.contains(&format!("{name}:")),
            "{name}"
        );
    }
    assert!(texts.contains("Copyright (c) 2015 The Libbpf Authors"));
}

/// The bill of materials has them, too, and names nobody's directory.
#[test]
fn the_bill_of_materials_is_of_all_that_is_inside() {
    let Some(crates) = crates() else { return };
    let text = read("packaging/bpffuse.cdx.json");
    let bill: Value = serde_json::from_str(&text).unwrap();
    let name = |of: &Value| {
        format!("{} {}", of["name"].as_str().unwrap(), of["version"].as_str().unwrap())
    };
    let mut listed: BTreeSet<String> =
        bill["components"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(bill["metadata"]["component"]["version"], VERSION);
    listed.insert(format!("bpffuse {VERSION}"));
    let libbpf = listed.iter().find_map(|name| name.strip_prefix("libbpf-sys ")?.split_once("+v"));
    let libbpf = format!("libbpf {}", libbpf.expect("its version").1);
    assert!(listed.remove(&libbpf), "{libbpf}");
    assert_eq!(listed, crates, "run scripts/notices");
    assert!(!text.contains("file://"));
}

/// RELEASE.md: Cargo.toml, CHANGELOG.md, the documents and, where there is one, the tag say the same version.
#[test]
fn versions_agree() {
    let changes = read("CHANGELOG.md");
    let headings: Vec<&str> = changes.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let newest = headings.iter().find(|heading| **heading != "Unreleased").expect("a version");
    assert_eq!(newest.split(',').next(), Some(VERSION));
    for (path, before) in [
        ("packaging/kubernetes/daemonset.yaml", "image: localhost/bpffuse:"),
        ("docs/containers.md", "localhost/bpffuse:"),
        ("docs/containers.md", "docker://REGISTRY/bpffuse:"),
        ("docs/containers.md", "newTag: "),
    ] {
        let text = read(path);
        let named: Vec<&str> = text.split(before).skip(1).collect();
        assert!(!named.is_empty(), "{path} has no {before}");
        for rest in named {
            assert!(
                rest.starts_with(VERSION),
                "{path}: {before}{}",
                rest.lines().next().unwrap_or_default()
            );
        }
    }
    // A tagged commit is that version, with a date and with nothing left over.
    let tags = output("git", &["tag", "--points-at", "HEAD", "v*"]);
    if let Some(tag) = tags.lines().next() {
        assert_eq!(tag, format!("v{VERSION}"));
        assert!(newest.split_once(", ").is_some_and(|(_, date)| date.len() == 10), "{newest}");
        let unreleased =
            changes.split("## Unreleased").nth(1).and_then(|text| text.split("\n## ").next());
        assert_eq!(unreleased.map(str::trim), Some(""));
    }
}

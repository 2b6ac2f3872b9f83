//! What the tests' comments quote is a promise to users: it stands in the documents, word for word.

use std::fs;
use std::path::{Path, PathBuf};

/// Shorter quotes are names and texts.
const SENTENCE: usize = 18;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir` that end so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// Words in lower case with one space between them, whatever marks them.
fn words(text: &str) -> String {
    let plain = text.replace(['`', '*', '|'], " ").to_lowercase();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The quotes in the comments of a source, each on one line.
fn quotes(source: &str) -> Vec<String> {
    let mut comments = vec![String::new()];
    for line in source.lines() {
        let line = line.trim_start();
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
            Some(text) => comments.last_mut().unwrap().extend([" ", text.trim()]),
            None => comments.push(String::new()),
        }
    }
    let each = |comment: &String| {
        let parts: Vec<String> = comment.split('"').map(str::to_owned).collect();
        // What is between two quotes: there is an odd number of parts.
        let whole = parts.len() - usize::from(parts.len().is_multiple_of(2));
        parts[..whole].iter().skip(1).step_by(2).cloned().collect::<Vec<_>>()
    };
    comments.iter().flat_map(each).filter(|quote| quote.chars().count() >= SENTENCE).collect()
}

#[test]
fn quotes_stand_in_the_documents() {
    let mut documents = files(&top().join("docs"), ".md");
    documents.extend(["README.md", "SECURITY.md", "HACKING.md"].map(|name| top().join(name)));
    let documents: String =
        documents.iter().map(|path| words(&fs::read_to_string(path).unwrap()) + " ").collect();
    let (mut checked, mut missing) = (0, Vec::new());
    for path in files(&top().join("tests"), ".rs") {
        for quote in quotes(&fs::read_to_string(&path).unwrap()) {
            checked += 1;
            let mut parts = quote.split('…').map(words);
            let is_there =
                parts.all(|part| documents.contains(part.trim_matches([' ', '.', ',', ';', ':'])));
            if !is_there {
                missing.push(format!("{}: \"{quote}\"", path.display()));
            }
        }
    }
    assert!(checked >= 10, "only {checked} quotes were found");
    assert!(missing.is_empty(), "in no document:\n{}", missing.join("\n"));
}

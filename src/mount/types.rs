//! `--types FILE`: types for maps, read before anything is mounted.

use super::Error;
use crate::spec::Typing;
use crate::sys::describe;
use std::fs;
use std::path::PathBuf;

/// The definitions in these files, each with its place: `FILE:LINE`.
///
/// # Errors
/// A file that cannot be read or is no C, by name and line.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<(String, Typing)>, Error> {
    let mut found = Vec::new();
    for file in files {
        let shown = file.display();
        let text = fs::read_to_string(file)
            .map_err(|error| Error(format!("--types {shown}: {}", describe(&error))))?;
        let refused = |why: String| Error(format!("--types {shown}: {why}"));
        for typing in Typing::parse_file(&text).map_err(|error| refused(error.reason))? {
            typing.btf().map_err(|why| refused(format!("line {}: {why}", typing.line)))?;
            found.push((format!("{shown}:{}", typing.line), typing));
        }
    }
    Ok(found)
}

//! What must hold for any bytes: one function for each way in for text and bytes from outside.
//!
//! Two drivers call these functions: libFuzzer (`scripts/fuzz`), which looks for inputs by coverage,
//! and `tests/fuzz.rs`, which runs the seeds and changes of them for a few seconds in every test run
//! and needs no further tool.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // To fail is the point.
#![allow(unreachable_pub, reason = "a crate for libFuzzer, a module for the tests")]

#[allow(dead_code, reason = "of this builder only a part is needed")]
#[path = "../../tests/codec_support/blob.rs"]
mod blob;
mod btf;
mod line;
mod name;
mod source;
mod spec;
#[allow(dead_code, reason = "of these types only a part is needed")]
#[path = "../../tests/codec_support/ty.rs"]
mod ty;
mod value;

/// What must hold for an input; panics where it does not.
pub type Check = fn(&[u8]);

/// The targets by their names; `fuzz/seeds/NAME` has their first inputs.
pub const TARGETS: [(&str, Check); 6] = [
    ("spec_words", spec::check),
    ("spec_c", spec::check),
    ("value_text", value::check),
    ("key_name", name::check),
    ("entries_line", line::check),
    ("btf_blob", btf::check),
];

/// Runs one target on one input.
///
/// # Panics
/// If what must hold does not.
pub fn run(target: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.expect("a target's name").1(data);
}

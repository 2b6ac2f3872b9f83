//! The `bpffuse` command.
fn main() {}

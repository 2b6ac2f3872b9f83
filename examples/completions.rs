//! Prints the completions of `bpffuse` for a shell: `cargo run --example completions -- bash`.
//!
//! A program of its own, so that the daemon need not carry what generates them.

use bpffuse::cli::Cli;
use clap::{CommandFactory, Parser};
use clap_complete::Shell;

/// Prints the completions of bpffuse.
#[derive(Parser)]
struct Arguments {
    /// The shell that they are for
    shell: Shell,
}

fn main() {
    let shell = Arguments::parse().shell;
    clap_complete::generate(shell, &mut Cli::command(), "bpffuse", &mut std::io::stdout());
}

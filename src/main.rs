//! The `bpffuse` command.

use bpffuse::cli::{Config, NOTICES};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let config = match Config::parse(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    if config.notices {
        // A reader that has seen enough, such as head(1), is no failure.
        let _ = io::stdout().write_all(NOTICES.as_bytes());
        return ExitCode::SUCCESS;
    }
    match bpffuse::mount::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bpffuse: {error}");
            ExitCode::FAILURE
        }
    }
}

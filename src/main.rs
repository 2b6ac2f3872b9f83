//! The `bpffuse` command.

use bpffuse::cli::Config;
use std::process::ExitCode;

fn main() -> ExitCode {
    let config = match Config::parse(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    match bpffuse::mount::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bpffuse: {error}");
            ExitCode::FAILURE
        }
    }
}

//! From the command line to an answering mount, and its clean end.

mod attach;
mod checks;
mod log_file;
mod notify;
mod owner;
mod privileges;
mod probe;
mod serve;
mod types;
mod welcome;

use crate::cli::Config;
use crate::spec::Spec;
use crate::sys::describe;
use crate::sys::object::silence_libbpf;
use crate::sys::os::{self, Fork};
use log::LevelFilter;
use log_file::LogFile;
use serve::serve;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;

/// Why there is no mount: a sentence that names the remedy.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Mounts, and serves until the mount ends. In the background, returns when the mount answers.
///
/// # Errors
/// Whatever keeps the mount from answering.
pub fn run(config: &Config) -> Result<(), Error> {
    let log_file = start_log(config)?;
    if config.probe {
        return probe::answers(&config.mountpoint);
    }
    silence_libbpf();
    let default_map = Spec::parse(config.default_map.as_bytes())
        .map_err(|error| Error(format!("--default-map: {error}")))?;
    let types = types::read(&config.types)?;
    checks::surroundings()?;
    if let Some(mode) = config.make_mountpoint.filter(|_| !config.pretend) {
        checks::make_mountpoint(&config.mountpoint, mode)?;
    }
    checks::mountpoint(&config.mountpoint)?;
    checks::privileges()?;
    checks::apart(&config.bpffs, &config.mountpoint)?;
    let owner = owner::of(config)?;
    if config.pretend {
        return Ok(());
    }
    checks::bpffs(&config.bpffs, config.mount_bpffs)?;
    checks::open_to_all(config);
    if config.foreground {
        return serve(config, owner, default_map, types, log_file, || Ok(()));
    }
    match os::fork_daemon().map_err(|error| serve::no_thread(&error.into()))? {
        Fork::Parent(report) => {
            wait_for_daemon(report)?;
            welcome::say(config, owner.uid);
            Ok(())
        }
        Fork::Child(report) => {
            let mut report = Some(report);
            // The parent reads to the end: each report is the only one. It may have been killed,
            // which changes nothing here.
            let mut tell =
                |text: &str| report.take().map(|mut pipe| pipe.write_all(text.as_bytes()));
            let outcome = serve(config, owner, default_map, types, log_file, || {
                go_to_background(config)?;
                tell("mounted");
                Ok(())
            });
            if let Err(error) = &outcome {
                let parent_says_it = tell(&error.0).is_some();
                if !parent_says_it || config.log_file.is_some() {
                    log::error!("{error}");
                }
            }
            // The parent has said it, if anything was to be said.
            std::process::exit(i32::from(outcome.is_err()));
        }
    }
}

fn wait_for_daemon(mut report: File) -> Result<(), Error> {
    let mut text = String::new();
    match report.read_to_string(&mut text) {
        Ok(_) if text == "mounted" => Ok(()),
        Ok(_) if !text.is_empty() => Err(Error(text)),
        _ => Err(Error(
            "the daemon ended before the mount answered; --foreground -vv tells more".into(),
        )),
    }
}

/// Begins to log; gives the file if it is to be one.
fn start_log(config: &Config) -> Result<Option<LogFile>, Error> {
    let level = match config.verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    // fuser warns of each request that is deliberately not implemented.
    builder.filter_level(level).filter_module("fuser", level.min(LevelFilter::Error));
    builder.parse_default_env();
    let open = |path: &PathBuf| {
        LogFile::open(path).map_err(|error| {
            Error(format!("{}: {}; name a file to log to", path.display(), describe(&error)))
        })
    };
    let file = config.log_file.as_ref().map(open).transpose()?;
    if let Some(file) = file.clone() {
        builder.target(env_logger::Target::Pipe(Box::new(file)));
    }
    builder.try_init().map_err(|error| Error(error.to_string()))?;
    Ok(file)
}

/// Lets go of the terminal and of the directory that the daemon was started in.
fn go_to_background(config: &Config) -> Result<(), Error> {
    let_go_of_stdio()?;
    std::env::set_current_dir("/").map_err(|error| no_background(&error))?;
    log::info!("serving {}", config.mountpoint.display());
    Ok(())
}

/// Points standard input, output and error at nothing: nobody waits for them to be closed.
fn let_go_of_stdio() -> Result<(), Error> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| no_background(&error))?;
    os::redirect_stdio(&null).map_err(|error| no_background(&error))
}

fn no_background(error: &dyn fmt::Display) -> Error {
    Error(format!("cannot go to the background: {error}"))
}

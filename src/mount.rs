//! From the command line to an answering mount, and its clean end.

mod attach;
mod checks;
mod notify;
mod privileges;

use crate::bpffs::Bpffs;
use crate::cli::Config;
use crate::fs::{Fs, Settings};
use crate::fuse::Fuse;
use crate::spec::Spec;
use crate::sys::describe;
use crate::sys::object::silence_libbpf;
use crate::sys::os::{self, Fork};
use crate::sys::{limits, mounts};
use fuser::{Session, SessionACL};
use log::LevelFilter;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

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
    start_log(config)?;
    silence_libbpf();
    let default_map = Spec::parse(config.default_map.as_bytes())
        .map_err(|error| Error(format!("--default-map: {error}")))?;
    checks::mountpoint(&config.mountpoint)?;
    checks::privileges()?;
    if config.pretend {
        return Ok(());
    }
    checks::bpffs(&config.bpffs, config.mount_bpffs)?;
    checks::apart(&config.bpffs, &config.mountpoint)?;
    if config.foreground {
        return serve(config, default_map, || Ok(()));
    }
    match os::fork_daemon().map_err(|error| Error(error.to_string()))? {
        Fork::Parent(report) => wait_for_daemon(report),
        Fork::Child(report) => {
            let mut report = Some(report);
            // The parent reads to the end: each report is the only one. It may have been killed,
            // which changes nothing here.
            let mut tell =
                |text: &str| report.take().map(|mut pipe| pipe.write_all(text.as_bytes()));
            let outcome = serve(config, default_map, || {
                go_to_background(config)?;
                tell("mounted");
                Ok(())
            });
            if let Err(error) = &outcome {
                log::error!("{error}");
                tell(&error.0);
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

fn start_log(config: &Config) -> Result<(), Error> {
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
    if let Some(path) = &config.log_file {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| {
            Error(format!("{}: {}; name a file to log to", path.display(), describe(&error)))
        })?;
        builder.target(env_logger::Target::Pipe(Box::new(file)));
    }
    builder.try_init().map_err(|error| Error(error.to_string()))
}

/// Lets go of the terminal and of the directory that the daemon was started in.
fn go_to_background(config: &Config) -> Result<(), Error> {
    let failed = |error: &dyn fmt::Display| Error(format!("cannot go to the background: {error}"));
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| failed(&error))?;
    os::redirect_stdio(&null).map_err(|error| failed(&error))?;
    std::env::set_current_dir("/").map_err(|error| failed(&error))?;
    log::info!("serving {}", config.mountpoint.display());
    Ok(())
}

/// Why serving ended.
enum End {
    Signal(i32),
    Session(io::Result<()>),
}

/// Mounts, calls `ready` once the mount answers, and serves until the end.
fn serve(
    config: &Config,
    default_map: Spec,
    ready: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    // Before any thread: each one has its own, inherited.
    privileges::reduce()?;
    // As it is now: the working directory changes later.
    let mountpoint = config.mountpoint.canonicalize();
    let mountpoint =
        mountpoint.map_err(|error| checks::mountpoint_error(&config.mountpoint, &error))?;
    let bpffs = Bpffs::new(&config.bpffs).map_err(|error| {
        Error(format!("{}: {}; name the bpffs to show", config.bpffs.display(), describe(&error)))
    })?;
    let settings = Settings {
        owner: os::effective_uid(),
        mountpoint: mountpoint.clone(),
        read_only: config.flags.iter().any(|flag| flag == "ro"),
        default_map,
        watch_interval: config.watch_interval,
    };
    let fs = Fs::new(bpffs, settings)
        .map_err(|error| Error(format!("cannot start: {}", describe(&error))))?;
    limits::return_freed_memory();
    if let Err(error) = limits::raise_open_files() {
        log::info!("the limit of open files stays: {error}");
    }
    // Before the mount, so that no signal can end the process and leave a dead mount behind.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Error(format!("cannot handle signals: {}", describe(&error))))?;
    let kernel = attach::attach(config, &mountpoint)
        .map_err(|error| checks::session_error(&mountpoint, &error.into()))?;
    let device = mounts::at(&mountpoint).map(|mount| mount.device);
    let acl = if config.allow_other { SessionACL::All } else { SessionACL::Owner };
    let mut settings = fuser::Config::default();
    settings.n_threads = Some(config.threads);
    let started = Session::from_fd(Fuse(Arc::new(fs)), kernel, acl, settings)
        .and_then(Session::spawn)
        .map_err(|error| checks::session_error(&mountpoint, &error))
        .and_then(|session| {
            fs::metadata(&mountpoint).map_err(|error| no_answer(&mountpoint, &error))?;
            ready().map(|()| session)
        });
    let session = match started {
        Ok(session) => session,
        Err(error) => {
            // Why it did not start is what matters.
            let _ = attach::unmount(&mountpoint);
            return Err(error);
        }
    };
    // In the background, the caller is told by our return; a service that NOTIFY_SOCKET was meant
    // for may be somebody else.
    let notify = |state: &str| {
        if config.foreground {
            notify::notify(state);
        }
    };
    notify("READY=1");

    let (sender, ends) = mpsc::channel();
    let from_signals = sender.clone();
    let failed = |error: io::Error| {
        // Without us it could not be used any more.
        let _ = attach::detach(&mountpoint, device.as_deref());
        Error(format!("cannot start a thread: {}", describe(&error)))
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            signals.forever().map(End::Signal).try_for_each(|end| from_signals.send(end))
        })
        .map_err(failed)?;
    thread::Builder::new()
        .name("session".into())
        .spawn(move || sender.send(End::Session(session.join())))
        .map_err(failed)?;
    let end = ends.recv();
    notify("STOPPING=1");
    match end {
        Ok(End::Signal(signal)) => {
            log::info!("signal {signal}: unmounting {}", mountpoint.display());
            attach::detach(&mountpoint, device.as_deref())
        }
        Ok(End::Session(Err(error))) => {
            // Without us it could not be used any more; why it ended is what matters.
            let _ = attach::detach(&mountpoint, device.as_deref());
            Err(Error(format!("the mount ended: {}", describe(&error))))
        }
        Ok(End::Session(Ok(()))) | Err(_) => Ok(()),
    }
}

fn no_answer(mountpoint: &Path, error: &io::Error) -> Error {
    Error(format!("{}: the mount does not answer: {}", mountpoint.display(), describe(error)))
}

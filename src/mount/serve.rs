//! Serving: from the mount through its first answer to its end.

use super::log_file::LogFile;
use super::{Error, attach, checks, notify, privileges};
use crate::bpffs::Bpffs;
use crate::cli::Config;
use crate::fs::{Fs, Owner, Settings};
use crate::fuse::Fuse;
use crate::spec::{Spec, Typing};
use crate::sys::{describe, limits, mounts, os};
use fuser::{Session, SessionACL};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::{self, DirEntry};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long the threads may take to start. After that they are taken to have started: they are known by
/// their names alone, which fuser may change.
const ALL_ANSWER: Duration = Duration::from_secs(10);

/// Why serving ended.
enum End {
    Signal(i32),
    Session(io::Result<()>),
}

/// Mounts, calls `ready` once the mount answers, and serves until the end. SIGHUP is the end, unless there
/// is a `log_file` to open anew.
pub(super) fn serve(
    config: &Config,
    owner: Owner,
    default_map: Spec,
    types: Vec<(String, Typing)>,
    log_file: Option<LogFile>,
    ready: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    // Both before any thread: each one has its own privileges, inherited.
    privileges::reduce()?;
    limits::return_freed_memory();
    // As it is now: the working directory changes later.
    let mountpoint = config.mountpoint.canonicalize();
    let mountpoint =
        mountpoint.map_err(|error| checks::mountpoint_error(&config.mountpoint, &error))?;
    let bpffs = Bpffs::new(&config.bpffs).map_err(|error| {
        Error(format!("{}: {}; name the bpffs to show", config.bpffs.display(), describe(&error)))
    })?;
    let settings = Settings {
        owner,
        mountpoint: mountpoint.clone(),
        read_only: config.flags.iter().any(|flag| flag == "ro"),
        default_map,
        types,
        watch_interval: config.watch_interval,
    };
    let fs = Fs::new(bpffs, settings).map_err(|error| no_thread(&error))?;
    if let Err(error) = limits::raise_open_files() {
        log::info!("the limit of open files stays: {error}");
    }
    os::forget_children();
    let (sender, ends) = mpsc::channel();
    // Before the mount, so that no signal can end the process and leave a dead mount behind.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Error(format!("cannot handle signals: {}", describe(&error))))?;
    let from_signals = sender.clone();
    in_thread("signals", move || {
        let _ = signals.forever().try_for_each(|signal| match &log_file {
            Some(log_file) if signal == SIGHUP => {
                log_file.reopen();
                Ok(())
            }
            _ => from_signals.send(End::Signal(signal)),
        });
    })?;
    let kernel = attach::attach(config, owner.uid, &mountpoint)
        .map_err(|error| checks::session_error(&mountpoint, &error.into()))?;
    let own = mounts::identity(&mountpoint).map_err(|error| checks::no_mount_table(&error))?;
    let detach = || attach::detach(&mountpoint, own.as_ref());
    let served =
        start(config, &mountpoint, fs, kernel, sender).and_then(|()| follow(config, &ends, ready));
    match served {
        Ok(Ended::Unmounted) => Ok(()),
        Ok(Ended::Aborted) => {
            // What is left answers nobody.
            log::warn!("{}: the connection was aborted: unmounting", mountpoint.display());
            detach()
        }
        Ok(Ended::Signal(signal)) => {
            log::info!("signal {signal}: unmounting {}", mountpoint.display());
            detach()
        }
        Err(error) => {
            // Without us it could not be used any more; why it ended is what matters.
            let _ = detach();
            Err(error)
        }
    }
}

/// Starts to answer the kernel.
fn start(
    config: &Config,
    mountpoint: &Path,
    fs: Fs,
    kernel: OwnedFd,
    sender: Sender<End>,
) -> Result<(), Error> {
    // Who may come in, the file system decides by the owner, whom fuser does not know.
    let acl = SessionACL::All;
    let mut settings = fuser::Config::default();
    settings.n_threads = Some(config.threads);
    let tells = kernel.try_clone().map_err(|error| no_thread(&error))?;
    let fuse = Fuse::new(fs, tells).map_err(|error| no_thread(&error))?;
    // The kernel's first request is answered in here.
    let session = Session::from_fd(fuse, kernel, acl, settings)
        .map_err(|error| checks::session_error(mountpoint, &error))?;
    in_thread("session", move || {
        let _ = sender.send(End::Session(session.run()));
    })
}

/// How serving ended that had begun well.
enum Ended {
    /// The mount stands.
    Signal(i32),
    /// Another daemon may serve at the mount point by now, even with the same device number.
    Unmounted,
    /// Somebody has cut the connection (fusectl's abort); the mount stands.
    Aborted,
}

/// Calls `ready` once the mount answers, and waits for the end.
fn follow(
    config: &Config,
    ends: &Receiver<End>,
    ready: impl FnOnce() -> Result<(), Error>,
) -> Result<Ended, Error> {
    // In the background, the caller is told by our return; a service that NOTIFY_SOCKET was meant
    // for may be somebody else.
    let notify = |state: &str| {
        if config.foreground {
            notify::notify(state);
        }
    };
    let end = match end_before_all_answer(config.threads, ends) {
        Some(End::Session(Err(error))) => return Err(no_thread(&error)),
        Some(end) => Ok(end),
        None => {
            ready()?;
            notify("READY=1");
            ends.recv()
        }
    };
    notify("STOPPING=1");
    match end {
        Ok(End::Signal(signal)) => Ok(Ended::Signal(signal)),
        Ok(End::Session(Ok(()))) | Err(_) => Ok(Ended::Unmounted),
        Ok(End::Session(Err(error))) if error.kind() == io::ErrorKind::ConnectionAborted => {
            Ok(Ended::Aborted)
        }
        Ok(End::Session(Err(error))) => {
            Err(Error(format!("the mount ended: {}", describe(&error))))
        }
    }
}

/// Waits until all threads that answer the kernel run, or for an end before that: if one of them
/// cannot be started, the session ends although others have answered.
///
/// To ask the mount itself could take for ever: a thread that waits for an answer keeps the device
/// open, and so the kernel waiting, even while this process is ending.
fn end_before_all_answer(threads: usize, ends: &Receiver<End>) -> Option<End> {
    let answers = |task: &DirEntry| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.starts_with("fuser-"))
    };
    let start = Instant::now();
    // Without /proc there is nothing to wait by.
    while start.elapsed() < ALL_ANSWER
        && fs::read_dir("/proc/self/task")
            .is_ok_and(|tasks| tasks.flatten().filter(answers).count() < threads)
    {
        match ends.recv_timeout(Duration::from_millis(1)) {
            Err(RecvTimeoutError::Timeout) => {}
            end => return end.ok(),
        }
    }
    None
}

fn in_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| no_thread(&error))
}

/// Why there is no thread or process more.
pub(super) fn no_thread(error: &io::Error) -> Error {
    let why = describe(error);
    Error(match error.raw_os_error() {
        Some(libc::EAGAIN) => format!(
            "cannot start: {why}; raise the limit of processes: pids.max of its cgroup, TasksMax= of its service, or ulimit -u"
        ),
        _ => format!("cannot start: {why}; --foreground -vv tells more"),
    })
}

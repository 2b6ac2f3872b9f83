//! A place of its own for one test: a directory with a bpffs, a mount point and the real daemon,
//! all of which is gone afterwards, whether the test passed, panicked or hung.

use super::map::{Kind, RawMap};
use super::shell::{self, Ran, patience};
use super::{object, require};
use bpffuse::sys::map::NewMap;
use bpffuse::sys::os;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the daemon may take to answer after its start, and to end after a signal; all times
/// [`patience`].
const START: Duration = Duration::from_secs(30);

/// How long a test may take before its daemon is killed, which ends every call that waits for it;
/// seconds in the environment allow more.
const WATCHDOG: Duration = Duration::from_secs(300);

fn watchdog() -> Duration {
    let seconds = std::env::var("BPFFUSE_TEST_WATCHDOG").ok().and_then(|text| text.parse().ok());
    seconds.map_or(WATCHDOG, Duration::from_secs)
}

/// Begins the name of each bed's directory, so that `scripts/test` can clear up after a crash.
const PREFIX: &str = "bpffuse-test-";

/// One test's place. Its directory holds `bpf` (a bpffs), `mnt` (the mount point) and `log` (what
/// the daemon printed); shell commands run in it, so they can say `cat mnt/h/7`.
pub(crate) struct Bed {
    /// The directory as commands see it.
    pub(crate) dir: PathBuf,
    /// The mount point as this process reaches it.
    pub(crate) mnt: PathBuf,
    /// The bpffs as this process reaches it.
    pub(crate) bpf: PathBuf,
    daemon: Option<Child>,
    space: Option<Space>,
    reaper: Reaper,
    watchdog: Option<Watchdog>,
    home: Option<TempDir>,
}

/// A mount and network namespace of its own, kept by a sleeping process.
struct Space {
    holder: Child,
}

impl Bed {
    /// A bpffs and a daemon that serves it in the foreground.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with further arguments for the daemon.
    #[track_caller]
    pub(crate) fn with(args: &[&str]) -> Self {
        let mut bed = Self::idle();
        bed.start(args);
        bed
    }

    /// A bpffs and a mount point, but no daemon yet.
    pub(crate) fn idle() -> Self {
        let bed = Self::bare(None);
        os::mount_bpffs(&bed.bpf).expect("mount a bpffs");
        bed
    }

    /// A mount point and, at `bpf`, a plain directory: no bpffs, no daemon.
    pub(crate) fn without_bpffs() -> Self {
        Self::bare(None)
    }

    /// A mount and network namespace of its own, in which `setup` (bash) has run: nothing that is
    /// mounted, pinned below /sys/fs/bpf or configured there is seen outside. /run and /mnt are
    /// empty; `bpf` is a plain directory.
    pub(crate) fn private(setup: &str) -> Self {
        // The copies of other tests' mounts would keep their daemons from ending.
        let script = format!(
            "set -e; cd /; umount -i -l -a -t fuse.bpffuse || true
             mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /mnt; ip link set lo up
             {setup}
             echo ready; exec sleep infinity"
        );
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "--"])
            .args(["setpriv", "--pdeathsig", "KILL", "--", "bash", "-c", &script])
            .env("PATH", shell::SYSTEM_PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) starts");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("read the namespace's report");
        assert_eq!(line, "ready\n", "the namespace could not be set up");
        Self::bare(Some(Space { holder }))
    }

    fn bare(space: Option<Space>) -> Self {
        let home = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a directory");
        let dir = home.path().to_owned();
        // Unprivileged users are part of some tests.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("chmod");
        for name in ["bpf", "mnt"] {
            fs::create_dir(dir.join(name)).expect("mkdir");
        }
        // scripts/test clears up what a killed test process left; it must not touch a living one's.
        fs::write(dir.join("owner"), std::process::id().to_string()).expect("write");
        let reaper = Reaper {
            dir: dir.display().to_string(),
            mount_ns: space.as_ref().map(|space| {
                fs::read_link(format!("/proc/{}/ns/mnt", space.holder.id())).expect("a namespace")
            }),
        };
        let reach = match &space {
            Some(space) => {
                let seen = dir.strip_prefix("/").expect("an absolute path");
                PathBuf::from(format!("/proc/{}/root", space.holder.id())).join(seen)
            }
            None => dir.clone(),
        };
        Self {
            mnt: reach.join("mnt"),
            bpf: reach.join("bpf"),
            dir,
            daemon: None,
            space,
            watchdog: Some(Watchdog::new(reaper.clone())),
            reaper,
            home: Some(home),
        }
    }

    /// Starts the daemon in the foreground on `bpf` and `mnt` and waits until the mount answers.
    #[track_caller]
    pub(crate) fn start(&mut self, args: &[&str]) {
        let (bpf, mnt) = (self.shown("bpf"), self.shown("mnt"));
        let args: Vec<&str> = args.iter().copied().chain([bpf.as_str(), mnt.as_str()]).collect();
        self.start_on(&self.mnt.clone(), &args);
    }

    /// Starts `bpffuse -f ARGS` and waits until `mountpoint` answers.
    #[track_caller]
    pub(crate) fn start_on(&mut self, mountpoint: &Path, args: &[&str]) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        // The kernel keeps attributes of a mount that is dead by now, but has to ask for the other.
        let dev = |path: &Path| {
            let meta = fs::metadata(path).ok()?;
            nix::sys::statvfs::statvfs(path).ok().map(|_| meta.dev())
        };
        // What a dead daemon left is unmounted first: then the directory is its parent's again.
        let before = [dev(mountpoint), mountpoint.parent().and_then(dev)];
        let log = File::create(self.dir.join("log")).expect("the log file");
        let mut words = self.enter();
        words.extend(
            ["setpriv", "--pdeathsig", "TERM", "--", shell::BPFFUSE, "-f"].map(String::from),
        );
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(args)
            .current_dir(&self.dir)
            .env(shell::BED, &self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("dup"))
            .stderr(log)
            // Ctrl-C at the tests' terminal must not end a daemon before its test.
            .process_group(0);
        let mut daemon = command.spawn().expect("the daemon starts");
        let deadline = Instant::now() + START * patience();
        loop {
            if let Some(status) = daemon.try_wait().expect("wait") {
                panic!("the daemon ended at once, {status}:\n{}", self.log());
            }
            let now = dev(mountpoint);
            if now.is_some() && !before.contains(&now) {
                break;
            }
            if Instant::now() > deadline {
                let _ = daemon.kill();
                let _ = daemon.wait();
                panic!("not mounted after {START:?}:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.daemon = Some(daemon);
    }

    /// Ends the daemon by SIGTERM and waits for it; fails if it does not end cleanly.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let daemon = self.daemon.take().expect("the daemon runs");
        signal("TERM", daemon.id());
        let status = wait(daemon);
        assert!(status.success(), "after SIGTERM the daemon said {status}:\n{}", self.log());
    }

    /// The process id of the daemon that `start` started.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    /// The daemon's exit status, once it has ended by itself.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> std::process::ExitStatus {
        wait(self.daemon.take().expect("the daemon runs"))
    }

    /// The processes of bpffuse that belong to this bed, in the background or not.
    pub(crate) fn daemons(&self) -> Vec<u32> {
        self.reaper.find(|exe| exe.ends_with("bpffuse"))
    }

    /// What the daemon printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Runs `script` in bash in the bed's directory.
    pub(crate) fn run(&self, script: &str) -> Ran {
        self.run_for(shell::LIMIT, script)
    }

    /// The same, for at most `seconds`.
    pub(crate) fn run_for(&self, seconds: u64, script: &str) -> Ran {
        shell::bash(script, &self.dir, &self.enter(), seconds)
    }

    /// Starts `script` and goes on; it ends with the bed at the latest.
    pub(crate) fn spawn(&self, script: &str) -> Child {
        let mut command = shell::command(script, &self.dir, &self.enter(), shell::LIMIT);
        command.stdout(Stdio::piped()).spawn().expect("bash starts")
    }

    /// Runs `script`, which must work, and gives its standard output.
    #[track_caller]
    pub(crate) fn ok(&self, script: &str) -> String {
        self.run(script).ok()
    }

    /// Runs `script`, which must be refused, and gives its standard error.
    #[track_caller]
    pub(crate) fn fails(&self, script: &str) -> String {
        self.run(script).fails()
    }

    /// Runs `script`, which must be refused with `message` on standard error.
    #[track_caller]
    pub(crate) fn fails_with(&self, script: &str, message: &str) {
        let ran = self.run(script);
        let text = ran.clone().fails();
        assert!(text.contains(message), "expected {message:?} on standard error:\n{ran}");
    }

    /// Runs a Python script, which must work, and gives its standard output. `mnt` and `bpf` are
    /// reachable as for shell commands; `errno_of(function, *args)` gives an errno's name or None.
    #[track_caller]
    pub(crate) fn python(&self, script: &str) -> String {
        let prelude = "import errno, json, os, sys\n\
            def errno_of(function, *args):\n    \
                try: function(*args)\n    \
                except OSError as e: return errno.errorcode[e.errno]\n";
        let script = format!("{prelude}{}", dedent(script));
        self.ok(&format!("python3 - <<'END OF SCRIPT'\n{script}\nEND OF SCRIPT"))
    }

    /// `name` below the mount point.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.mnt.join(name)
    }

    /// `name` below the bpffs.
    pub(crate) fn pin(&self, name: &str) -> PathBuf {
        self.bpf.join(name)
    }

    /// The absolute path of `name` in the bed, as commands see it.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The text of a file of the mount.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|e| panic!("read {name}: {e}"))
    }

    /// Writes a file of the mount as `echo TEXT >` does, without the newline.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, text: &str) {
        let flags = libc::O_CREAT | libc::O_TRUNC;
        super::write_with(self.at(name), flags, text.as_bytes())
            .unwrap_or_else(|e| panic!("write {text:?} to {name}: {e}"));
    }

    /// The names in a directory of the mount, as getdents gives them: sorted, dots left out.
    #[track_caller]
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(name)).unwrap_or_else(|e| panic!("list {name}: {e}"));
        let mut names: Vec<String> = entries
            .map(|entry| {
                let entry = entry.unwrap_or_else(|e| panic!("list {name}: {e}"));
                entry.file_name().to_string_lossy().into_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// The refused operations, newest last.
    #[track_caller]
    pub(crate) fn errors(&self) -> Vec<String> {
        self.read(".errors").lines().map(String::from).collect()
    }

    /// Makes a map without BTF and pins it.
    #[track_caller]
    pub(crate) fn map(&self, pin: &str, kind: Kind, key: u32, value: u32, entries: u32) -> RawMap {
        RawMap::create(
            &self.pin(pin),
            &NewMap {
                map_type: kind.number(),
                name: "test".to_owned(),
                key_size: key,
                value_size: value,
                max_entries: entries,
                ..NewMap::default()
            },
        )
    }

    /// A pinned hash map without BTF: u32 keys, u64 values, 1,000 entries.
    #[track_caller]
    pub(crate) fn hash(&self, pin: &str) -> RawMap {
        self.map(pin, Kind::Hash, 4, 8, 1000)
    }

    /// Loads `tests/bpf/NAME.bpf.c` and pins each of its maps by its name in the bpffs.
    pub(crate) fn load(&self, name: &str) {
        object::load(name, &self.bpf);
    }

    /// Opens the map pinned at `name`.
    #[track_caller]
    pub(crate) fn open(&self, name: &str) -> RawMap {
        RawMap::open(&self.pin(name))
    }

    /// The words that put a command into the bed's namespaces, if it has its own.
    ///
    /// With the root and working directory of its holder: tests may themselves run in a chroot, and
    /// a directory of the outer namespace has no path inside.
    fn enter(&self) -> Vec<String> {
        let Some(space) = &self.space else { return Vec::new() };
        let id = space.holder.id().to_string();
        ["nsenter", "-t", &id, "--mount", "--net", "--root", "--wd", "--"]
            .map(String::from)
            .to_vec()
    }

    /// What helps to see why a test failed.
    fn report(&self) {
        let errors = shell::bash("cat mnt/.errors", &self.dir, &self.enter(), 5);
        eprintln!("=== the daemon's log\n{}", self.log());
        eprintln!("=== .errors\n{}{}===", errors.stdout, errors.stderr);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report();
        }
        if let Some(mut daemon) = self.daemon.take() {
            signal("TERM", daemon.id());
            let deadline = Instant::now() + Duration::from_secs(5) * patience();
            while daemon.try_wait().is_ok_and(|status| status.is_none()) {
                if Instant::now() > deadline {
                    let _ = daemon.kill();
                }
                if Instant::now() > deadline + START * patience() {
                    let id = daemon.id();
                    eprintln!("left behind: no signal ends the daemon {id}; `fusectl abort` may");
                    assert!(thread::panicking(), "the daemon cannot be killed");
                    break;
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.reaper.kill();
        if let Some(mut space) = self.space.take() {
            let _ = space.holder.kill();
            let _ = space.holder.wait();
        }
        self.watchdog.take();
        let mounts = mounts_below(&self.dir);
        for path in mounts.iter().rev() {
            let _ = os::unmount(path, true);
        }
        // Below what is still mounted are pins and maps, which removing the directory would destroy.
        let left = mounts_below(&self.dir);
        let home = self.home.take();
        if !left.is_empty() {
            eprintln!("left behind, still mounted: {left:?}");
            home.map(TempDir::keep);
        }
    }
}

/// Finds and kills what a bed started, however far removed: its directory is in the environment that
/// all of it inherits, and in the command line of a daemon that mount(8) started without one; and
/// whatever is in the bed's own mount namespace is the bed's.
#[derive(Clone)]
struct Reaper {
    dir: String,
    /// The bed's own mount namespace.
    mount_ns: Option<PathBuf>,
}

impl Reaper {
    /// Processes of this bed whose command line begins with a word for which `choose` holds.
    fn find(&self, choose: impl Fn(&str) -> bool) -> Vec<u32> {
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter(|id: &u32| *id != std::process::id())
            .filter(|id| {
                let read = |file: &str| {
                    let bytes = fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
                    String::from_utf8_lossy(&bytes).into_owned()
                };
                let line = read("cmdline");
                let ns = fs::read_link(format!("/proc/{id}/ns/mnt")).ok();
                let is_ours = line.contains(&self.dir)
                    || read("environ").contains(&self.dir)
                    || (ns.is_some() && ns == self.mount_ns);
                is_ours && choose(line.split('\0').next().unwrap_or_default())
            })
            .collect()
    }

    fn kill(&self) {
        for id in self.find(|_| true) {
            signal("KILL", id);
        }
    }
}

/// Kills a bed's daemon and commands if the test takes too long; then every call that waits for
/// them returns with an error, and the test fails instead of hanging.
struct Watchdog {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    fn new(reaper: Reaper) -> Self {
        let (done, wait): (_, Receiver<()>) = channel();
        let name = require::test_name();
        let thread = thread::spawn(move || {
            let limit = watchdog() * patience();
            if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("WATCHDOG: {name} takes more than {limit:?}; killing its processes");
                reaper.kill();
            }
        });
        Self { done: Some(done), thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.done.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How many descriptors a daemon has open for others. Each of its threads keeps four of its own:
/// what it watches and how it waits for that, and the last caller that it asked about.
pub(crate) fn open_files(pid: u32) -> usize {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    let (own, others): (Vec<_>, Vec<_>) = links.partition(|link| {
        ["anon_inode:inotify", "anon_inode:[eventpoll]"]
            .iter()
            .any(|name| link.as_os_str() == *name)
            || ["mountinfo", "syscall"].iter().any(|name| link.ends_with(name))
    });
    assert!(own.len() <= 4 * 8, "too many for its threads: {own:?}");
    others.len()
}

/// Sends a signal by its name.
pub(crate) fn signal(name: &str, pid: u32) {
    let kill = format!("kill -{name} {pid}");
    let _ = Command::new("bash").args(["-c", &kill]).stderr(Stdio::null()).status();
}

#[track_caller]
fn wait(mut child: Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + START * patience();
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the daemon did not end within {START:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Tries `what` until it holds, for at most 10 seconds times [`patience`].
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10) * patience();
    while !holds() {
        assert!(Instant::now() < deadline, "still not so after 10 s: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The mount points below `dir`, outermost first.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(unescape).filter(|point| point.starts_with(dir)).collect()
}

/// A path of mountinfo, in which some bytes are written as `\ooo`.
fn unescape(text: &str) -> PathBuf {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let code = rest.get(at + 1..at + 4).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        out.push_str(&rest[..at]);
        out.push(code.map_or('\\', char::from));
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    PathBuf::from(out + rest)
}

/// `text` without the indentation that its first line has.
fn dedent(text: &str) -> String {
    let text = text.trim_start_matches('\n');
    let indent = text.len() - text.trim_start_matches(' ').len();
    let lines = text.lines().map(|line| line.get(indent..).unwrap_or_else(|| line.trim_start()));
    lines.collect::<Vec<_>>().join("\n")
}

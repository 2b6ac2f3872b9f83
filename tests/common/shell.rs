//! Shell commands with a time limit: what a user would type, and what came back.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Where tests find commands: the system's own, whatever the caller's PATH holds.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program under test.
pub(crate) const BPFFUSE: &str = env!("CARGO_BIN_EXE_bpffuse");

/// The environment variable that marks what a bed started with the bed's directory.
pub(crate) const BED: &str = "BPFFUSE_TEST_BED";

/// Seconds that a command may take before it is killed, unless a test says otherwise; times
/// [`patience`].
pub(crate) const LIMIT: u64 = 180;

/// How many times longer than here everything may take: `BPFFUSE_TEST_PATIENCE`, 1 if it is unset.
/// For emulated and very busy machines.
pub(crate) fn patience() -> u32 {
    let set = std::env::var("BPFFUSE_TEST_PATIENCE").ok().and_then(|times| times.parse().ok());
    set.unwrap_or(1).max(1)
}

/// A command that ended.
#[derive(Clone)]
pub(crate) struct Ran {
    /// What was run, for messages.
    pub(crate) what: String,
    pub(crate) status: ExitStatus,
    /// Standard output; bytes that are no UTF-8 are replaced, see `bytes`.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Standard output as it came.
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, status, stdout, stderr, .. } = self;
        write!(f, "$ {what}\n--- {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
    }
}

impl Ran {
    /// Whether it was killed because it took too long.
    pub(crate) fn timed_out(&self) -> bool {
        self.status.code() == Some(137) || self.status.signal() == Some(9)
    }

    /// Its standard output; the test fails unless it exited with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.status.success(), "this should have worked:\n{self}");
        self.stdout
    }

    /// Its standard error; the test fails unless it exited with something other than 0 by itself.
    #[track_caller]
    pub(crate) fn fails(self) -> String {
        assert!(!self.status.success(), "this should have been refused:\n{self}");
        assert!(!self.timed_out(), "this took too long:\n{self}");
        self.stderr
    }
}

/// Runs `script` in bash in the directory `cwd`, behind `wrap` (such as nsenter and its arguments),
/// for at most `seconds`.
///
/// Output goes to files, not pipes: a daemon that the command leaves behind cannot hold the test up.
pub(crate) fn bash(script: &str, cwd: &Path, wrap: &[String], seconds: u64) -> Ran {
    let mut out = tempfile::tempfile().expect("a temporary file");
    let mut err = tempfile::tempfile().expect("a temporary file");
    let status = command(script, cwd, wrap, seconds)
        .stdout(out.try_clone().expect("dup"))
        .stderr(err.try_clone().expect("dup"))
        .status()
        .expect("timeout(1) starts");
    let bytes = contents(&mut out);
    Ran {
        what: script.to_owned(),
        status,
        stdout: String::from_utf8_lossy(&bytes).into_owned(),
        stderr: String::from_utf8_lossy(&contents(&mut err)).into_owned(),
        bytes,
    }
}

/// The command that [`bash`] runs, for those who want to start it and go on.
pub(crate) fn command(script: &str, cwd: &Path, wrap: &[String], seconds: u64) -> Command {
    let bin = Path::new(BPFFUSE).parent().expect("a directory").display().to_string();
    // nsenter leaves the working directory, so the script enters it itself.
    let script = format!("cd {} || exit 99\n{script}", quote(&cwd.display().to_string()));
    // What runs tests in the background may have SIGINT and SIGHUP ignored, and that is inherited.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=INT,QUIT,HUP", "timeout"])
        .args(["--signal=KILL", &(seconds * u64::from(patience())).to_string()])
        .args(wrap)
        .args(["bash", "-c", &script])
        .stdin(Stdio::null())
        .env("PATH", format!("{bin}:{SYSTEM_PATH}"))
        .env(BED, cwd)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("RUST_LOG");
    command
}

fn contents(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read back the output");
    bytes
}

/// `text` as one word of a shell script.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

//! The file of `--log-file`, which SIGHUP has opened anew, so that logrotate(8) can move it away.

use crate::sys::describe;
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

/// A file's mode if the log makes it: values are in it, which not everybody may read.
const MODE: u32 = 0o640;

/// The log's file. All clones of this write to the same one.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    /// Absolute: the daemon's working directory is another than the one that the path was given in.
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    /// Opens it, to append.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = path::absolute(path)?;
        let file = Arc::new(Mutex::new(open(&path)?));
        Ok(Self { path, file })
    }

    /// Opens what has the name now. Where that cannot be, the log goes on in the file that it has.
    pub(super) fn reopen(&self) {
        match open(&self.path) {
            Ok(file) => *self.file.lock() = file,
            Err(error) => log::error!(
                "{}: {}; the log goes on in the old file",
                self.path.display(),
                describe(&error)
            ),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(MODE).open(path)
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.file.lock().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().flush()
    }
}

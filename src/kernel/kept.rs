//! Programs that stay loaded while somebody asks: to load one takes as long as to run it over a thousand
//! maps.

use crate::btf::Btf;
use crate::sys::iter::IterProgram;
use parking_lot::Mutex;
use std::ffi::CStr;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// A program stays loaded for this long after somebody has asked.
const KEPT: Duration = Duration::from_secs(5);

/// Bytes that a run may write at most.
pub(super) const MOST: u64 = 64 << 20;

/// A program, loaded or not.
pub(super) struct Kept {
    /// Its name, as bpftool shows it.
    pub(super) name: &'static CStr,
    /// The kernel's function that it is attached to, which says what it runs over.
    pub(super) over: &'static str,
    /// Its instructions, for a kernel with this BTF; `None` if that lacks what they need.
    pub(super) assemble: fn(&Btf) -> Option<Vec<u64>>,
    /// The instructions, and the function's type id. What is found in the kernel's BTF stays true while
    /// the kernel runs.
    assembled: OnceLock<Option<(Vec<u64>, u32)>>,
    /// The loaded program, and when somebody asked last.
    loaded: Mutex<Option<(Arc<IterProgram>, Instant)>>,
}

impl Kept {
    pub(super) const fn new(
        name: &'static CStr,
        over: &'static str,
        assemble: fn(&Btf) -> Option<Vec<u64>>,
    ) -> Self {
        Self { name, over, assemble, assembled: OnceLock::new(), loaded: Mutex::new(None) }
    }

    /// Runs it once, and gives what it wrote. `None` where the kernel has not what it takes, or does not
    /// let us.
    pub(super) fn run(&'static self) -> Option<Vec<u8>> {
        self.load()?.run(MOST).ok()
    }

    /// The program, loaded now if it is not.
    fn load(&'static self) -> Option<Arc<IterProgram>> {
        let mut kept = self.loaded.lock();
        if let Some((loaded, asked)) = &mut *kept {
            *asked = Instant::now();
            return Some(Arc::clone(loaded));
        }
        let (instructions, over) = self.assembled()?;
        let loaded = Arc::new(IterProgram::load(self.name, instructions, *over).ok()?);
        // Without a thread that unloads it, it is not kept, and loaded anew each time.
        let thread = thread::Builder::new().name("bpf programs".to_owned());
        if thread.spawn(|| self.let_go()).is_ok() {
            *kept = Some((Arc::clone(&loaded), Instant::now()));
        }
        Some(loaded)
    }

    /// Waits until nobody asks any more, and unloads the program.
    fn let_go(&self) {
        let mut wait = KEPT;
        while !wait.is_zero() {
            thread::sleep(wait);
            let mut kept = self.loaded.lock();
            let asked = kept.as_ref().map_or(KEPT, |(_, asked)| asked.elapsed());
            wait = KEPT.saturating_sub(asked);
            if wait.is_zero() {
                *kept = None;
            }
        }
    }

    fn assembled(&self) -> Option<&(Vec<u64>, u32)> {
        if let Some(known) = self.assembled.get() {
            return known.as_ref();
        }
        // What could not be read now may be later.
        let kernel = super::btf()?;
        let assembled =
            || Some(((self.assemble)(&kernel)?, super::program::function(&kernel, self.over)?));
        self.assembled.get_or_init(assembled).as_ref()
    }
}

//! What this process may use of files and memory (getrlimit(2), mallopt(3)).

use super::{Call, Result, named};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Raises a soft limit to the hard one.
fn raise(resource: Resource) -> Result<()> {
    let (_, most) = named(Call::Getrlimit, getrlimit(resource))?;
    named(Call::Setrlimit, setrlimit(resource, most, most))
}

/// Raises the limit of open files as far as it may be raised: a walk over thousands of maps has many
/// open for a moment.
///
/// # Errors
/// Those of getrlimit(2) and setrlimit(2).
pub fn raise_open_files() -> Result<()> {
    raise(Resource::RLIMIT_NOFILE)
}

/// How many files this process may have open; few, if that cannot be known.
pub fn open_files() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE)
        .map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Lifts the limit of locked memory, which before Linux 5.11 maps count against, and buffers of
/// perf events on any; without CAP_SYS_RESOURCE, to the hard limit.
///
/// # Errors
/// Those of getrlimit(2) and setrlimit(2).
pub fn lift_locked_memory() -> Result<()> {
    named(Call::Setrlimit, setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY))
        .or_else(|_| raise(Resource::RLIMIT_MEMLOCK))
}

/// Has malloc(3) give memory back, before any thread is started (mallopt(3)).
///
/// Large buffers go back to the system as soon as they are freed: by default glibc keeps more and more
/// of them after the first (`M_MMAP_THRESHOLD`). And all threads share one heap (`M_ARENA_MAX`): each
/// of their own heaps keeps what it gave out once, and malloc_trim(3) cannot shrink it while anything
/// at its end is in use. After 200 readers of `.entries` the idle daemon kept 16 to 65 MiB in them in 7
/// of 9 rounds, and with one heap in none, at the same speed: what takes time here is the kernel's
/// calls.
pub fn return_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets numbers; no other thread runs yet, or it takes malloc's lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back to the system what is free now, for when there is nothing to do: the buffers of many
/// files that were open at once leave gaps that malloc(3) keeps (malloc_trim(3)).
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes malloc's own locks, and no pointer.
    unsafe {
        libc::malloc_trim(0);
    }
}

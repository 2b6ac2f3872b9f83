//! What the daemon keeps of root's rights, and why.

use super::Error;
use crate::sys::limits;
use crate::sys::privileges::{self, Capability};

/// What is kept; docs/reference.md says the same, and a test compares it with the kernel's view.
const KEPT: &[Capability] = &[
    // Maps, programs and BTF by id; unmounting. The kernel takes it for CAP_BPF and CAP_PERFMON too.
    Capability::SysAdmin,
    // Pins of whatever owner and mode: opened, renamed, removed,
    Capability::DacOverride,
    // … given another mode and times,
    Capability::Fowner,
    // … another owner,
    Capability::Chown,
    // … and the set-group-id bit of a directory whose group is not root's.
    Capability::Fsetid,
    // … and removed, renamed and changed for other users with no more rights than theirs (setfsuid,
    // setfsgid).
    Capability::Setuid,
    Capability::Setgid,
    // A cgroup by its id (open_by_handle_at).
    Capability::DacReadSearch,
    // What open(2) was called with, and a caller's descriptor that is to become a reference: of
    // callers that have more rights than we.
    Capability::SysPtrace,
    // The addresses in /proc/kallsyms, for the frames of stacks.
    Capability::Syslog,
    // Before Linux 6.9, creating maps of devices and sockets.
    Capability::NetAdmin,
];

/// Gives up all rights that serving does not need. Must be called before any thread is started.
pub(super) fn reduce() -> Result<(), Error> {
    // Needs a right that is given up. Where a limit stays, what meets it says so.
    if let Err(error) = limits::lift_locked_memory() {
        log::info!("the limit of locked memory stays: {error}");
    }
    privileges::keep_only(KEPT)
        .map_err(|error| Error(format!("cannot give up rights: {error}; allow it the call")))
}

//! What this process may do: its capabilities (capabilities(7)).

use super::{Call, Result, check_libc};

/// A capability that the daemon may want to keep; the numbers are those of `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "capabilities(7) describes each by this name")]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Setgid = 6,
    Setuid = 7,
    NetAdmin = 12,
    SysPtrace = 19,
    SysAdmin = 21,
    Syslog = 34,
}

impl Capability {
    /// Its bit in a set.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, as two words each.
const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`: 32 bits of each set.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Sets {
    pub(super) effective: u32,
    pub(super) permitted: u32,
    inheritable: u32,
}

/// Gives up all capabilities except `kept`, for good: this process and what it may execute later
/// can regain none (no_new_privs). Of `kept`, those stay that the process has now.
///
/// A thread's capabilities are its own. Must be called before any other thread is started; those
/// that are started later inherit.
///
/// # Errors
/// Of capget(2), capset(2) and prctl(2): only where something like seccomp forbids them.
pub fn keep_only(kept: &[Capability]) -> Result<()> {
    let mask = kept.iter().fold(0, |mask, one| mask | one.bit());
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
    // EINVAL before Linux 4.3, which has no ambient set.
    let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0);
    // Up to the last one that this kernel knows, even if we do not.
    for one in 0..u64::BITS.into() {
        match prctl(libc::PR_CAPBSET_READ, one, 0) {
            Err(_) => break,
            // Without CAP_SETPCAP the set stays as it is; no_new_privs makes it of no use.
            Ok(1) if mask >> one & 1 == 0 => drop(prctl(libc::PR_CAPBSET_DROP, one, 0)),
            Ok(_) => {}
        }
    }
    change(|sets| {
        for (sets, word) in sets.iter_mut().zip([mask as u32, (mask >> 32) as u32]) {
            sets.effective &= word;
            sets.permitted &= word;
            sets.inheritable = 0;
        }
    })
}

/// Changes this thread's capabilities; the first 32 come first.
pub(super) fn change(change: impl FnOnce(&mut [Sets; 2])) -> Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: version 3 takes a header and two sets, all of which outlive the call.
    let rc =
        unsafe { libc::syscall(libc::SYS_capget, &raw mut header, (&raw mut sets).cast::<Sets>()) };
    check_libc(Call::Capget, rc)?;
    change(&mut sets);
    // SAFETY: as above; the sets are only read.
    let rc = unsafe {
        libc::syscall(libc::SYS_capset, &raw mut header, (&raw const sets).cast::<Sets>())
    };
    check_libc(Call::Capset, rc).map(drop)
}

fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> Result<i64> {
    // SAFETY: the options used here take numbers, no pointers; those not used must be zero.
    check_libc(Call::Prctl, unsafe { libc::prctl(option, first, second, 0_u64, 0_u64) })
}

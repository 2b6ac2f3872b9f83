//! Ending cleanly, also while the next one starts.

use crate::common::require::require;
use crate::common::{Bed, eventually};

/// A daemon whose mount was unmounted leaves alone what was mounted there in the meantime, though that has
/// the same device number.
#[test]
fn the_old_daemon_leaves_the_new_mount_alone() {
    require!("root", "bpf", "fuse");
    let bed = Bed::idle();
    // The kernel gives the number of the old file system to the new one, sooner or later.
    bed.ok("for n in $(seq 100); do bpffuse bpf mnt && umount mnt || exit; done; bpffuse bpf mnt");
    eventually("the old daemons have ended", || bed.daemons().len() == 1);
    bed.ok("mountpoint mnt && cat mnt/.help > /dev/null && umount mnt");
}

/// A signal ends the daemon, but not what somebody has mounted over its mount.
#[test]
fn a_signal_does_not_unmount_what_is_mounted_over() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let pid = bed.pid();
    bed.ok(&format!(
        "mount -t tmpfs above mnt; kill {pid}
        while [ -d /proc/{pid} ] && ! grep -q Z /proc/{pid}/stat; do sleep 0.02; done
        grep -q ' tmpfs above ' /proc/self/mountinfo
        findmnt -n -o FSTYPE mnt | grep -qx tmpfs
        umount mnt"
    ));
}

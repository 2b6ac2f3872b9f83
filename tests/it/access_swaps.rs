//! A user who owns a directory in bpffs swaps what is in it while others walk there.

use crate::common::Bed;
use crate::common::require::require;

const USER: &str = "setpriv --reuid=1111 --regid=1111 --clear-groups --";

/// A directory that becomes a symlink to the mount itself, and back: no thread of the daemon may walk
/// into its own mount, where it would wait for itself, and soon all of them for each other.
#[test]
fn a_symlink_to_the_mount_itself_hangs_nobody() {
    require!("root", "bpf", "fuse", "bpftool", "setpriv", "python3");
    for threads in ["1", "2"] {
        let bed = Bed::with(&["-o", "allow_other", "--threads", threads]);
        bed.ok("mkdir bpf/mine; bpftool map create bpf/h type hash key 4 value 4 entries 4 name h
                mkdir -p bpf/mine/sub/deep bpf/mine/h; cp -P /dev/null all
                bpftool map create bpf/mine/sub/m type hash key 4 value 4 entries 4 name m
                bpftool map create bpf/mine/sub/deep/m type hash key 4 value 4 entries 4 name m
                bpftool map update pinned bpf/h key 1 0 0 0 value 7 0 0 0
                ln -s $PWD/mnt bpf/mine/link; chown -hR 1111 bpf/mine; chmod -R a+rX bpf/mine");
        let script = "
import ctypes, multiprocessing, os, time
libc = ctypes.CDLL(None)
end = time.time() + 4
def swap():
    while time.time() < end: libc.renameat2(-100, b'bpf/mine/sub', -100, b'bpf/mine/link', 2)
def walk(path):
    while time.time() < end:
        try: os.stat(path)
        except OSError: pass
paths = ['mnt/mine/sub/m', 'mnt/mine/sub/deep', 'mnt/mine/sub/deep/m', 'mnt/mine/sub/m'] * 2
all = [multiprocessing.Process(target=swap)] + [multiprocessing.Process(target=walk, args=(p,)) for p in paths]
for p in all: p.daemon = True; p.start()
time.sleep(5)
os._exit(0)
";
        std::fs::write(bed.dir.join("swap.py"), script).unwrap();
        let mut attack = bed.spawn(&format!("exec {USER} python3 swap.py"));
        std::thread::sleep(std::time::Duration::from_secs(6));
        let ran = bed.run_for(10, "cat mnt/h/1; ls mnt/mine; echo 8 > mnt/h/1; cat mnt/h/1");
        super::faults::kill_all(&bed, &mut attack);
        assert!(!ran.timed_out(), "the daemon waits for itself (threads: {threads})");
        let told = ran.ok();
        assert!(told.starts_with("7\n") && told.ends_with("8\n"), "{told}");
    }
}

//! The command line, from start to clean end.

use crate::common::bed::signal;
use crate::common::require::{partly, require};
use crate::common::shell::BPFFUSE;
use crate::common::{Bed, eventually, key32, refused};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A bed whose bpffs has a hash `h` with one element, 1 → 42, and no daemon yet.
fn idle_with_a_map() -> Bed {
    let bed = Bed::idle();
    bed.hash("h").set(&key32(1), &42u64.to_ne_bytes());
    bed
}

/// Fails unless `stderr` is one sentence on one line, for people, with one of `remedies` in it.
#[track_caller]
fn assert_one_sentence(stderr: &str, remedies: &[&str]) {
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one sentence on one line was expected:\n{stderr}");
    for debug in ["os error", "Err(", "Os {", "panicked", "RUST_BACKTRACE"] {
        assert!(!stderr.contains(debug), "not for people ({debug}): {stderr}");
    }
    let lower = stderr.to_lowercase();
    assert!(
        remedies.iter().any(|remedy| lower.contains(&remedy.to_lowercase())),
        "it names no remedy (one of {remedies:?}): {stderr}"
    );
}

/// Fails unless the bed's mount point is a plain directory again.
#[track_caller]
fn assert_not_mounted(bed: &Bed) {
    let table = bed.ok("cat /proc/self/mountinfo");
    let point = bed.shown("mnt");
    assert!(!table.contains(&point), "{point} is still mounted:\n{table}");
}

/// Goes to the background only when the mount answers: no wait, no retry after it returns.
#[test]
fn background_start_waits_for_the_mount() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    for _ in 0..10 {
        assert_eq!(bed.ok("bpffuse bpf mnt && cat mnt/h/1 && umount mnt"), "42\n");
        eventually("the daemon has ended", || bed.daemons().is_empty());
    }
}

/// The daemon in the background holds neither the caller's pipe nor its session or directory.
#[test]
fn background_daemon_lets_go_of_its_caller() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    assert_eq!(bed.run_for(20, "bpffuse bpf mnt 2>&1 | cat").ok(), "", "nothing to say");
    let daemons = bed.daemons();
    let [pid] = daemons[..] else { panic!("one daemon was expected: {daemons:?}") };
    let stat = bed.ok(&format!("ps -o ppid=,sid= -p {pid}"));
    assert_ne!(
        stat.split_whitespace().nth(1).unwrap(),
        bed.ok("ps -o sid= -p $$").trim(),
        "the daemon is in its caller's session"
    );
    let cwd = bed.ok(&format!("readlink /proc/{pid}/cwd"));
    assert_eq!(cwd, "/\n", "the daemon keeps its caller's directory busy");
    for fd in 0..3 {
        let target = bed.ok(&format!("readlink /proc/{pid}/fd/{fd}"));
        assert_eq!(target, "/dev/null\n", "descriptor {fd}");
    }
}

/// If that fails, the foreground process says why in one sentence …, and exits non-zero.
#[test]
fn background_start_reports_failure() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    let stderr = bed.fails("bpffuse bpf nowhere");
    assert!(stderr.contains("nowhere"), "it names the path: {stderr}");
    assert_one_sentence(&stderr, &["mkdir", "create"]);
    assert!(bed.daemons().is_empty(), "a daemon stays without a mount");
}

/// "-f, --foreground": the process itself serves, and exits with 0 after umount.
#[test]
fn foreground() {
    require!("root", "bpf", "fuse");
    let mut bed = idle_with_a_map();
    bed.start(&[]); // with -f
    assert_eq!(bed.daemons(), [bed.pid()], "the process itself serves");
    bed.ok("umount mnt");
    assert!(bed.wait_for_end().success(), "{}", bed.log());
    assert_not_mounted(&bed);

    let mut long = bed.spawn("exec bpffuse --foreground bpf mnt");
    eventually("it is mounted", || bed.at("h/1").exists());
    bed.ok("umount mnt");
    assert!(long.wait().unwrap().success());
}

/// "-h", "-V", and what is no command line at all.
#[test]
fn help_version_and_usage_errors() {
    require!("root");
    let bed = Bed::without_bpffs();
    assert_eq!(bed.ok("bpffuse -V"), format!("bpffuse {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(bed.ok("bpffuse --version"), bed.ok("bpffuse -V"));
    let long = bed.ok("bpffuse --help");
    for help in [bed.ok("bpffuse -h"), long] {
        for option in [
            "BPFFS",
            "MOUNTPOINT",
            "--foreground",
            "--read-only",
            "--default-map",
            "--threads",
            "--no-mount-bpffs",
            "--log-file",
            "--help",
            "--version",
            "-o",
            "-v",
        ] {
            assert!(help.contains(option), "{option} is not in the help:\n{help}");
        }
        // The usage and the list of arguments tell the same.
        assert!(help.contains("Usage: bpffuse [OPTIONS] [BPFFS] MOUNTPOINT\n"), "{help}");
        let arguments =
            help.split("Arguments:\n").nth(1).and_then(|text| text.split("\n\n").next());
        let names =
            arguments.unwrap_or_default().lines().map(|line| line.split_whitespace().next());
        assert_eq!(names.flatten().collect::<Vec<_>>(), ["[BPFFS]", "MOUNTPOINT"], "{help}");
    }
    for bad in ["bpffuse", "bpffuse --nonsense mnt", "bpffuse a b c", "bpffuse --threads many mnt"]
    {
        let stderr = bed.fails(bad);
        assert!(!stderr.is_empty(), "{bad} fails without a word");
    }
}

/// SIGINT, SIGTERM and SIGHUP all end it cleanly, in the foreground …
#[test]
fn signals_end_it_cleanly() {
    require!("root", "bpf", "fuse");
    for name in ["INT", "TERM", "HUP"] {
        let mut bed = idle_with_a_map();
        bed.start(&[]);
        assert_eq!(bed.read("h/1"), "42\n");
        signal(name, bed.pid());
        let status = bed.wait_for_end();
        assert!(status.success(), "after SIG{name}: {status}\n{}", bed.log());
        assert_not_mounted(&bed);
        assert!(bed.pin("h").exists(), "the pin went with the daemon");
    }
}

/// … and in the background.
#[test]
fn signals_end_the_background_daemon() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    for name in ["INT", "TERM", "HUP"] {
        bed.ok("bpffuse bpf mnt");
        let [pid] = bed.daemons()[..] else { panic!("one daemon was expected") };
        signal(name, pid);
        eventually("the daemon has ended", || bed.daemons().is_empty());
        assert_not_mounted(&bed);
    }
}

/// A signal ends it even while somebody's working directory and an open file are in the mount.
#[test]
fn a_signal_ends_it_while_the_mount_is_busy() {
    require!("root", "bpf", "fuse");
    let mut bed = idle_with_a_map();
    bed.start(&[]);
    let mut user = bed.spawn("cd mnt/h && exec 3<1 && touch ../../inside; sleep 100");
    // Made by a relative path: two up from the map is the bed itself.
    eventually("the user is inside", || bed.dir.join("inside").exists());
    signal("TERM", bed.pid());
    let status = bed.wait_for_end();
    assert!(status.success(), "{status}\n{}", bed.log());
    assert_not_mounted(&bed);
    let _ = user.kill();
    let _ = user.wait();
}

/// `umount MOUNTPOINT`, `fusermount3 -u`.
#[test]
fn umount_and_fusermount_end_it() {
    require!("root", "bpf", "fuse", "fusermount3");
    let bed = idle_with_a_map();
    for umount in ["umount mnt", "fusermount3 -u mnt"] {
        bed.ok(&format!("bpffuse bpf mnt && ls mnt/h && {umount}"));
        assert_not_mounted(&bed);
        eventually("the daemon has ended", || bed.daemons().is_empty());
    }
}

/// A second start on a busy mount point …: a clear error, and the first goes on undisturbed.
#[test]
fn busy_mount_point() {
    require!("root", "bpf", "fuse");
    let mut bed = idle_with_a_map();
    bed.start(&[]);
    for foreground in ["", "-f"] {
        let stderr = bed.fails(&format!("bpffuse {foreground} bpf mnt"));
        assert_one_sentence(&stderr, &["umount", "unmount", "fusermount3"]);
    }
    assert_eq!(bed.read("h/1"), "42\n", "the first mount is still there");
    let mounted = bed.ok("grep -c \"$PWD/mnt \" /proc/self/mountinfo");
    assert_eq!(mounted, "1\n", "mounted twice over");
}

/// … or over a dead one (`Transport endpoint is not connected`), gives a clear error or cleans the
/// dead one up.
#[test]
fn dead_mount_point() {
    require!("root", "bpf", "fuse");
    let mut bed = idle_with_a_map();
    bed.start(&[]);
    signal("KILL", bed.pid());
    assert!(!bed.wait_for_end().success());
    refused(fs::read_dir(&bed.mnt), "ENOTCONN");
    let again = bed.run("bpffuse bpf mnt");
    if !again.status.success() {
        assert_one_sentence(&again.stderr, &["umount", "unmount", "fusermount3"]);
        bed.ok("umount mnt && bpffuse bpf mnt");
    }
    assert_eq!(bed.read("h/1"), "42\n");
    let mounted = bed.ok("grep -c \"$PWD/mnt \" /proc/self/mountinfo");
    assert_eq!(mounted, "1\n", "the dead mount is still there below");
}

/// Not root … has its own message.
#[test]
fn not_root() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = idle_with_a_map();
    // The build directory may be closed to others.
    let own = bed.dir.join("bpffuse");
    fs::copy(BPFFUSE, &own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    let stderr = bed.fails(&format!("chown nobody mnt; {user} ./bpffuse bpf mnt"));
    assert_one_sentence(&stderr, &["root", "sudo"]);
    // What needs no rights works all the same.
    bed.ok(&format!("{user} ./bpffuse -V; {user} ./bpffuse -h"));
}

/// "no `CAP_BPF`": root without the capabilities, as in a container.
#[test]
fn root_without_capabilities() {
    require!("root", "bpf", "fuse", "setpriv");
    let bed = idle_with_a_map();
    let drop = "setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all --";
    let stderr = bed.fails(&format!("{drop} bpffuse bpf mnt"));
    assert_one_sentence(&stderr, &["CAP_BPF", "CAP_SYS_ADMIN"]);
    assert_not_mounted(&bed);
}

/// A cgroup in which at most so many threads can be; gone at the end.
struct PidsCgroup(PathBuf);

impl PidsCgroup {
    /// `None` where there is no pids controller that we may use.
    fn new(bed: &Bed) -> Option<Self> {
        let name = bed.dir.file_name()?.to_owned();
        let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        roots.iter().find_map(|root| {
            let dir = Path::new(root).join(&name);
            fs::create_dir(&dir).ok()?;
            let made = Self(dir);
            made.0.join("pids.max").exists().then_some(made)
        })
    }
}

impl Drop for PidsCgroup {
    fn drop(&mut self) {
        // Busy until its last process is gone.
        eventually("the cgroup is gone", || fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

/// Where threads cannot be started (a container's or a service's limit), whichever of them is the
/// first that is missing: a sentence, no wait without end, and no mount that nobody serves.
#[test]
fn too_few_threads() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    let Some(cgroup) = PidsCgroup::new(&bed) else {
        return partly("there is no pids cgroup to limit threads by");
    };
    let run = |limit: u32, options: &str| {
        bed.run_for(
            20,
            &format!(
                "echo $$ > {dir}/cgroup.procs; echo {limit} > {dir}/pids.max
                 exec bpffuse --threads 3 {options} bpf mnt",
                dir = cgroup.0.display()
            ),
        )
    };
    // Four of its own and three that answer are needed.
    for limit in 1..=6 {
        let ran = run(limit, "-f");
        assert!(!ran.status.success() && !ran.timed_out(), "{limit} threads: {ran}");
        assert_one_sentence(&ran.stderr, &["raise the limit of processes"]);
        assert_not_mounted(&bed);
    }
    // The last daemon, ended but perhaps not yet waited for, is counted as well.
    for limit in [1, 5] {
        assert_one_sentence(&run(limit, "").fails(), &["raise the limit of processes"]);
        assert_not_mounted(&bed);
        eventually("the daemon has ended", || bed.daemons().is_empty());
    }
    run(9, "").ok();
    assert_eq!(bed.ok("cat mnt/h/1; umount mnt"), "42\n");
}

/// "no `/dev/fuse`": its own message.
#[test]
fn no_fuse_device() {
    require!("root", "bpf", "fuse", "unshare");
    let bed = Bed::private(
        "mount -t bpf bpf /sys/fs/bpf
         mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5
         mkdir /mnt/maps",
    );
    let stderr = bed.fails("bpffuse /mnt/maps");
    assert!(stderr.contains("/dev/fuse"), "{stderr}");
    assert_one_sentence(&stderr, &["modprobe", "mknod", "--device"]);
}

/// A mount point that is missing, or no directory: one sentence each that names it.
#[test]
fn bad_mount_points() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    bed.ok("touch file; ln -s nowhere dangling");
    for foreground in ["", "-f"] {
        for bad in ["missing", "file", "dangling", "file/below", "bpf/h"] {
            let stderr = bed.fails(&format!("bpffuse {foreground} bpf {bad}"));
            assert!(stderr.contains(bad), "it names the path: {stderr}");
            assert_one_sentence(&stderr, &["mkdir", "create", "directory"]);
        }
    }
}

/// It mounts bpffs on `BPFFS` if nothing is mounted there (`--no-mount-bpffs` turns that off).
#[test]
fn mounts_bpffs_where_it_is_missing() {
    require!("root", "bpf", "fuse", "bpftool");
    let mut bed = Bed::without_bpffs();
    let stderr = bed.fails("bpffuse --no-mount-bpffs bpf mnt");
    assert_one_sentence(&stderr, &["mount -t bpf", "--no-mount-bpffs"]);
    assert_eq!(
        bed.ok("stat -f -c %T bpf"),
        bed.ok("stat -f -c %T ."),
        "it mounted one all the same"
    );
    bed.start(&[]);
    assert_eq!(bed.ok("stat -f -c %T bpf"), "bpf_fs\n");
    bed.ok("bpftool map create bpf/h type hash key 4 value 8 entries 4 name h && test -d mnt/h");
    bed.stop();
    bed.start(&["--no-mount-bpffs"]);
    assert_eq!(bed.list("h"), Vec::<String>::new(), "the maps outlive the daemon");
}

/// A BPFFS that is missing or no bpffs at all is named, and nothing is mounted over it.
#[test]
fn bad_bpffs() {
    require!("root", "bpf", "fuse");
    let bed = Bed::without_bpffs();
    let stderr = bed.fails("bpffuse nowhere mnt");
    assert!(stderr.contains("nowhere"), "{stderr}");
    assert_one_sentence(&stderr, &["mkdir", "create", "mount -t bpf", "bpffs"]);
    bed.ok("mount -t tmpfs tmpfs bpf");
    let stderr = bed.fails("bpffuse bpf mnt");
    assert_one_sentence(&stderr, &["mount -t bpf", "bpffs"]);
    assert_eq!(bed.ok("stat -f -c %T bpf"), "tmpfs\n", "something was mounted over it");
    assert_not_mounted(&bed);
}

/// `BPFFS` defaults to `/sys/fs/bpf`. One positional argument is the mount point.
#[test]
fn default_bpffs() {
    require!("root", "bpf", "fuse", "unshare", "bpftool");
    let bed = Bed::private("umount -l /sys/fs/bpf 2> /dev/null || true; mkdir /mnt/maps");
    bed.ok("bpffuse /mnt/maps");
    assert_eq!(bed.ok("stat -f -c %T /sys/fs/bpf"), "bpf_fs\n");
    bed.ok("bpftool map create /sys/fs/bpf/h type hash key 4 value 8 entries 4 name h");
    assert_eq!(bed.ok("echo 5 > /mnt/maps/h/1; cat /mnt/maps/h/1"), "5\n");
    bed.ok("umount /mnt/maps");
}

/// `mount -t fuse.bpffuse /sys/fs/bpf /mnt/maps -o allow_other` and an `/etc/fstab` line work.
#[test]
fn mount_command_and_fstab() {
    require!("root", "bpf", "fuse", "unshare", "mount.fuse3");
    // mount(8)'s helper looks along the system's PATH only.
    let bed = Bed::private(&format!(
        "mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps /run/bin
         ln -s {BPFFUSE} /run/bin/; mount --bind /run/bin /usr/local/bin"
    ));
    bed.ok("mount -t fuse.bpffuse /sys/fs/bpf /mnt/maps -o allow_other");
    let options = bed.ok("grep ' /mnt/maps ' /proc/self/mounts");
    assert!(options.contains("fuse.bpffuse"), "findmnt -t fuse.bpffuse finds it: {options}");
    assert!(options.contains("allow_other"), "{options}");
    bed.ok("mkdir /mnt/maps/h; echo 1 > /mnt/maps/h/1; umount /mnt/maps");

    bed.ok("echo '/sys/fs/bpf /mnt/maps fuse.bpffuse allow_other,noatime,ro,nofail,_netdev 0 0' > fstab
            mount -T fstab /mnt/maps");
    assert_eq!(bed.ok("cat /mnt/maps/h/1"), "1\n");
    let options = bed.ok("grep ' /mnt/maps ' /proc/self/mounts");
    for option in ["allow_other", "noatime", "ro"] {
        assert!(options.split([' ', ',']).any(|is| is == option), "{option}: {options}");
    }
    bed.ok("umount /mnt/maps");
    // A second mount over the busy one, through mount(8), fails as the program itself does.
    bed.ok("mount -t fuse.bpffuse /sys/fs/bpf /mnt/maps");
    bed.fails("mount -t fuse.bpffuse /sys/fs/bpf /mnt/maps");
}

/// The same with our own helper for mount(8), which is the program by another name: no libfuse.
#[test]
fn mount_command_with_our_own_helper() {
    require!("root", "bpf", "fuse", "unshare");
    // mount(8) looks for it in /sbin alone.
    let bed = Bed::private(&format!(
        "mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps /run/sbin /run/up /run/work
         mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=/run/up,workdir=/run/work /usr/sbin
         rm -f /usr/sbin/mount.fuse /usr/sbin/mount.fuse3
         ln -s {BPFFUSE} /usr/sbin/mount.fuse.bpffuse"
    ));
    bed.ok("mount -f -t fuse.bpffuse /sys/fs/bpf /mnt/maps; ! mountpoint -q /mnt/maps");
    bed.ok("mount -v -t fuse.bpffuse /sys/fs/bpf /mnt/maps -o allow_other,noatime");
    let options = bed.ok("grep ' /mnt/maps ' /proc/self/mounts");
    for option in ["fuse.bpffuse", "allow_other", "noatime"] {
        assert!(options.split([' ', ',']).any(|is| is == option), "{option}: {options}");
    }
    bed.ok("mkdir /mnt/maps/h; echo 1 > /mnt/maps/h/1; umount /mnt/maps");
    // As `mount -a` at boot: all of the table, with what other tools note in it.
    bed.ok("echo '/sys/fs/bpf /mnt/maps fuse.bpffuse ro,nofail,_netdev,x-systemd.automount 0 0' > fstab
            mount -T fstab -a");
    assert_eq!(bed.ok("cat /mnt/maps/h/1"), "1\n");
    bed.fails_with("echo 2 > /mnt/maps/h/1", "Read-only");
    bed.ok("umount /mnt/maps");
    let stderr = bed.fails("mount -t fuse.bpffuse /sys/fs/bpf /mnt/maps -o nonsense");
    assert!(stderr.contains("nonsense"), "{stderr}");
    bed.ok("mount -s -t fuse.bpffuse /sys/fs/bpf /mnt/maps -o nonsense; umount /mnt/maps");
}

/// "Type=notify": READY=1 when the mount answers, STOPPING=1 at the end, however it ends; at a path
/// and in the abstract namespace; in the background the caller knows by the return.
#[test]
fn systemd_is_told() {
    require!("root", "bpf", "fuse", "python3");
    let bed = idle_with_a_map();
    for (address, end) in [("notify", "umount mnt"), ("@", "kill -TERM $!")] {
        let address =
            if address == "@" { format!("@{}", bed.shown("x")) } else { bed.shown(address) };
        let heard = bed.python(&format!(
            r#"
            import socket, subprocess
            address = {address:?}
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            listener.settimeout(20)
            listener.bind(address.replace('@', '\0'))
            script = 'bpffuse -f bpf mnt & read; {end}; wait $!'
            shell = subprocess.Popen(['bash', '-c', script], stdin=subprocess.PIPE,
                                     env=os.environ | {{'NOTIFY_SOCKET': address}})
            print(listener.recv(99).decode(), open('mnt/h/1').read().strip())
            shell.communicate(b'\n')
            print(listener.recv(99).decode(), shell.returncode)
            subprocess.check_call(['bpffuse', 'bpf', 'mnt'], env=os.environ | {{'NOTIFY_SOCKET': address}})
            subprocess.check_call(['umount', 'mnt'])
            listener.settimeout(0.3)
            try: print('in the background:', listener.recv(99))
            except TimeoutError: pass
            "#
        ));
        assert_eq!(heard, "READY=1 42\nSTOPPING=1 0\n", "{end}");
    }
    // A socket that is not there is no reason not to serve.
    bed.ok("export NOTIFY_SOCKET=$PWD/gone; bpffuse -f bpf mnt & while ! test -e mnt/h; do sleep 0.1; done
            umount mnt; wait $!");
}

/// `-o OPT[,OPT…]` as FUSE programs take it: before or after the paths, joined, repeated.
#[test]
fn mount_options() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    let tries = [
        ("-o allow_other bpf mnt", &["allow_other", "rw"][..]),
        ("bpf mnt -o ro,noatime", &["ro", "noatime"]),
        ("bpf -oro mnt -o allow_other", &["ro", "allow_other"]),
        ("-o rw,nosuid,nodev,noexec,relatime,dev,suid bpf mnt", &["rw"]),
        ("-o nosuid,nodev,noexec bpf mnt", &["nosuid", "nodev", "noexec"]),
        ("-o nosymfollow,silent,loud,iversion,noiversion,mand,nomand bpf mnt", &["nosymfollow"]),
    ];
    for (arguments, expected) in tries {
        bed.ok(&format!("bpffuse {arguments}"));
        let line = bed.ok("grep \"$PWD/mnt \" /proc/self/mounts");
        let options: Vec<&str> = line.split(' ').nth(3).unwrap().split(',').collect();
        for option in expected.iter().chain(&["default_permissions"]) {
            assert!(options.contains(option), "{arguments}: {option} is not in {line}");
        }
        bed.ok("umount mnt");
        eventually("the daemon has ended", || bed.daemons().is_empty());
    }
    let stderr = bed.fails("bpffuse -o nonsense bpf mnt");
    assert!(stderr.contains("nonsense"), "it names the option: {stderr}");
    let stderr = bed.fails("bpffuse -o context=system_u:object_r:tmp_t:s0 bpf mnt");
    assert!(stderr.contains("SELinux"), "{stderr}");
}

/// A mount's flags are changed by the kernel, not by another daemon: the refusal names how, which works.
#[test]
fn remounting() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    bed.ok("bpffuse bpf mnt; ln -s h bpf/link; echo 1 > mnt/link/1");
    let stderr = bed.fails("bpffuse -o remount,ro bpf mnt");
    assert_one_sentence(&stderr, &["mount -i -o remount,ro mnt"]);
    bed.ok("mount -i -o remount,ro mnt");
    bed.fails_with("echo 2 > mnt/h/1", "Read-only");
    bed.ok("mount -i -o remount,rw,nosymfollow mnt; echo 2 > mnt/h/1");
    bed.fails_with("echo 3 > mnt/link/1", "symbolic links");
    assert_eq!(bed.ok("cat mnt/h/1; umount mnt"), "2\n");
}

/// "-r, --read-only" and "-o ro": everything can be read, nothing changed, EROFS.
#[test]
fn read_only() {
    require!("root", "bpf", "fuse");
    for args in [&["-r"][..], &["--read-only"], &["-o", "ro"]] {
        let mut bed = idle_with_a_map();
        bed.start(args);
        assert_eq!(bed.read("h/1"), "42\n");
        for change in [
            "echo 5 > mnt/h/1",
            "echo 5 > mnt/h/2",
            "rm mnt/h/1",
            "touch mnt/h/3",
            "mkdir mnt/new",
            "rm -r mnt/h",
            "mv mnt/h mnt/g",
            "chmod 640 mnt/h",
            "printf 12345678 > mnt/h/.raw/1",
        ] {
            bed.fails_with(change, "Read-only file system");
        }
        refused(fs::write(bed.at("h/1"), "5\n"), "EROFS");
        let map = bed.open("h");
        assert_eq!(map.keys().len(), 1, "something was changed");
        assert_eq!(map.get(&key32(1)), Some(42u64.to_ne_bytes().to_vec()));
    }
}

/// What is taken away as it is read stays in a read-only mount, also in one that became so.
#[test]
fn read_only_takes_nothing() {
    require!("root", "bpf", "fuse", "bpftool");
    let mut bed = idle_with_a_map();
    bed.ok("bpftool map create bpf/q type queue value 4 entries 4 name q
            bpftool map create bpf/ring type ringbuf entries 65536 name ring
            bpftool map update pinned bpf/q value 7 0 0 0");
    let refuses_all = |bed: &Bed| {
        for path in ["h/.pop/1", "q/.pop", "ring/.stream"] {
            bed.fails_with(&format!("cat mnt/{path}"), "Read-only file system");
        }
        assert_eq!(bed.read("h/1"), "42\n");
        assert_eq!(bed.read("q/head"), "7\n");
        assert!(bed.ok("cat mnt/.errors").contains("the mount is read-only"));
    };
    bed.start(&["-r"]);
    refuses_all(&bed);
    bed.stop();
    bed.start(&[]);
    bed.ok("mount -i -o remount,bind,ro mnt");
    refuses_all(&bed);
    bed.ok("mount -i -o remount,bind,rw mnt; cat mnt/h/.pop/1 mnt/q/.pop");
    assert_eq!(bed.open("h").keys().len(), 0);
}

/// `-v` (repeatable) beside `RUST_LOG`; `--log-file PATH`: a log, from the background too, at a
/// path relative to where it was started.
#[test]
fn logging() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    for (number, start) in
        ["bpffuse -vvv --log-file log-N bpf mnt", "RUST_LOG=trace bpffuse --log-file=log-N bpf mnt"]
            .iter()
            .enumerate()
    {
        let name = format!("log-{number}");
        bed.ok(&start.replace("log-N", &name));
        bed.ok("cat mnt/h/1; echo nonsense > mnt/h/1; umount mnt");
        eventually("the daemon has ended", || bed.daemons().is_empty());
        let log = fs::read_to_string(bed.dir.join(&name)).unwrap_or_default();
        assert!(!log.is_empty(), "{start}: no log");
    }
    let stderr = bed.fails("bpffuse --log-file missing/log bpf mnt");
    assert!(stderr.contains("missing/log"), "{stderr}");
    assert_one_sentence(&stderr, &["missing/log"]);
    assert_not_mounted(&bed);
}

/// "-v operations": those that change something or are refused, once each, with who and why; -vv all.
#[test]
fn operations_are_logged() {
    require!("root", "bpf", "fuse");
    for (option, shows_all) in [("-v", false), ("-vv", true)] {
        let bed = idle_with_a_map();
        bed.ok(&format!("bpffuse {option} --log-file log bpf mnt"));
        bed.ok("mkdir mnt/new; echo 7 > mnt/new/1; cat mnt/new/1; test -e mnt/new/2; rm mnt/new/1
                echo 1 > mnt/h/5; cat mnt/h/.pop/5; chmod 640 mnt/new; mv mnt/new mnt/old; rmdir mnt/old
                ! echo nonsense > mnt/h/1; umount mnt");
        eventually("the daemon has ended", || bed.daemons().is_empty());
        let log = fs::read_to_string(bed.dir.join("log")).unwrap();
        let count = |what: &str| log.lines().filter(|line| line.ends_with(what)).count();
        for change in [
            "mkdir /new",
            "create /new/1",
            "write /new/1 old=none new=7",
            "unlink /new/1",
            "open /h/.pop/5",
            "setattr /new",
            "rename /new to /old",
            "rmdir /old",
        ] {
            assert_eq!(count(&format!(" uid=0 {change}")), 1, "{option}: {change}:\n{log}");
        }
        let refusal = log.lines().find(|line| line.contains("write /h/1 EINVAL: `nonsense` is no"));
        let is_whole =
            refusal.is_some_and(|line| line.contains(" pid=") && line.contains(" uid=0 "));
        assert!(is_whole, "{option}:\n{log}");
        for other in ["lookup /new/1", "open /new/1", "read /new/1", "stat /", "release /new/1"] {
            assert_eq!(count(other) > 0, shows_all, "{option}: {other}:\n{log}");
        }
        assert_eq!(log.contains("lookup /new/2 ENOENT"), shows_all, "{option}:\n{log}");
    }
}

/// -v says the old and the new value of a write, of whichever view, in one word each.
#[test]
fn written_values_are_logged() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    bed.ok(r#"bpffuse bpf mnt
        echo "hash key u32 value 'struct { char who[8]; u32 n; }' entries 4" > mnt/s
        echo "percpu_hash key u32 value u32 entries 4" > mnt/p
        echo "hash key u32 value 'char[8]' entries 4" > mnt/names
        umount mnt"#);
    eventually("the daemon has ended", || bed.daemons().is_empty());
    bed.ok("bpffuse -v --log-file log bpf mnt");
    bed.ok(r#"
        echo 43 > mnt/h/1
        ! echo nonsense > mnt/h/1
        echo 44 > mnt/h/2
        echo '{"who":"a b"}' > mnt/s/1
        echo 7 > mnt/s/.field/1/n
        printf '\1\0\0\0\0\0\0\0' > mnt/h/.raw/01000000
        echo 1 > mnt/p/1; echo 2 > mnt/p/.cpu/0/1
        printf abc > mnt/names/1
        umount mnt"#);
    eventually("the daemon has ended", || bed.daemons().is_empty());
    let log = fs::read_to_string(bed.dir.join("log")).unwrap();
    let written: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(" uid=0 write "))
        .map(|(_, what)| what)
        .collect();
    let refused = |line: &&&str| line.starts_with("/h/1 EINVAL: ");
    assert_eq!(written.iter().filter(refused).count(), 1, "{log}");
    // The string's write, and its end.
    let without: Vec<&str> = written.iter().filter(|line| !refused(line)).copied().collect();
    let per_cpu = without.iter().position(|line| line.starts_with("/p/1 old=none new=1")).unwrap();
    assert_eq!(
        [&without[..per_cpu], &without[per_cpu + 1..]].concat(),
        [
            "/h/1 old=42 new=43",
            "/h/2 old=none new=44",
            r#"/s/1 old=none new={"who":"a\x20b","n":0}"#,
            "/s/.field/1/n old=0 new=7",
            "/h/.raw/01000000 old=43 new=1",
            "/p/.cpu/0/1 old=1 new=2",
            "/names/1",
            r#"/names/1 old=none new="abc""#,
        ],
        "{log}"
    );
    let mode = fs::metadata(bed.dir.join("log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "values are not for everybody: {mode:o}");
}

/// "With `--log-file`, SIGHUP reopens the log instead", in the foreground and in the background; and where
/// that cannot be, the log goes on in the old file.
#[test]
fn sighup_reopens_the_log() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    bed.ok("mkdir logs");
    let log = |name: &str| fs::read_to_string(bed.dir.join(name)).unwrap_or_default();
    // The one in the background has ended its parent when it is up.
    for (start, end) in [("bpffuse -v", ""), ("bpffuse -f -v", "&")] {
        bed.ok(&format!(
            "{start} --log-file logs/a bpf mnt > start 2>&1 {end}
            until grep -qs . mnt/.help; do sleep 0.01; done"
        ));
        let daemon = bed.daemons()[0];
        bed.ok("echo 1 > mnt/h/1; mv logs/a logs/b");
        signal("HUP", daemon);
        eventually("there is a new log", || bed.dir.join("logs/a").exists());
        bed.ok("echo 2 > mnt/h/1");
        assert!(log("logs/b").contains("new=1") && !log("logs/b").contains("new=2"), "{start}");
        assert!(log("logs/a").contains("new=2"), "{start}: {}", log("logs/a"));
        bed.ok("mv logs gone");
        signal("HUP", daemon);
        eventually("the old log says so", || log("gone/a").contains("goes on in the old file"));
        bed.ok("echo 3 > mnt/h/1");
        assert!(log("gone/a").contains("new=3"), "{start}: {}", log("gone/a"));
        bed.ok("rm gone/*; mv gone logs; umount mnt");
        eventually("the daemon has ended", || bed.daemons().is_empty());
    }
}

/// In the foreground `-v` goes to standard error, and without it there is silence.
#[test]
fn foreground_log() {
    require!("root", "bpf", "fuse");
    let mut bed = idle_with_a_map();
    bed.start(&[]);
    assert_eq!(bed.read("h/1"), "42\n");
    bed.stop();
    assert_eq!(bed.log(), "", "nothing to say, without -v");
    bed.start(&["-vvv"]);
    assert_eq!(bed.read("h/1"), "42\n");
    bed.stop();
    assert_ne!(bed.log(), "", "-vvv says nothing");
}

/// "`--threads N`".
#[test]
fn threads() {
    require!("root", "bpf", "fuse");
    for n in ["1", "2", "8"] {
        let mut bed = idle_with_a_map();
        bed.start(&["--threads", n]);
        bed.ok("for i in 1 2 3 4; do (for j in 1 2 3 4 5; do cat mnt/h/1; done) & done > /dev/null; wait");
        bed.stop();
    }
}

/// What is always mounted must cost nothing while nobody uses it: no thread of it wakes up.
#[test]
fn an_idle_daemon_sleeps() {
    require!("root", "bpf", "fuse");
    let mut bed = idle_with_a_map();
    bed.start(&[]);
    let sleeps = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", bed.pid())).expect("the daemon runs");
        tasks.map(|task| sleeps_of(&task.expect("a thread").path().join("status"))).sum()
    };
    for _ in 0..2 {
        assert_eq!(bed.read("h/1"), "42\n");
        eventually("a second passes without a wake-up", || {
            let before = sleeps();
            std::thread::sleep(Duration::from_secs(1));
            sleeps() == before
        });
    }
    bed.stop();
}

/// How often a thread has gone to sleep.
fn sleeps_of(status: &Path) -> u64 {
    let status = fs::read_to_string(status).expect("a thread's status");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.expect("the count of sleeps").trim().parse().expect("a number")
}

/// Mount points with spaces, through symlinks, and relative to the working directory.
#[test]
fn unusual_mount_points() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    bed.ok("mkdir 'my maps' deep; ln -s deep link");
    for point in ["'my maps'", "link", "./deep/../deep/", "\"$PWD/deep\""] {
        assert_eq!(
            bed.ok(&format!("bpffuse bpf {point}; cat {point}/h/1; umount {point}")),
            "42\n"
        );
    }
}

/// The mount point may be the bpffs itself, or lie in it, if that is not refused; in no case does
/// anything hang.
#[test]
fn mounting_over_the_bpffs_does_not_hang() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    bed.ok("mkdir bpf/inside");
    for point in ["bpf", "bpf/inside"] {
        let ran = bed.run_for(20, &format!("bpffuse bpf {point}"));
        assert!(!ran.timed_out(), "{ran}");
        if ran.status.success() {
            let ran = bed.run_for(20, &format!("ls {point}; cat {point}/h/1; umount {point}"));
            assert!(!ran.timed_out(), "{ran}");
            assert!(ran.stdout.ends_with("42\n"), "{ran}");
        } else {
            assert_one_sentence(&ran.stderr, &["another", "elsewhere", "outside", "other"]);
        }
    }
}

/// Several mounts of one bpffs, all served at once.
#[test]
fn several_mounts() {
    require!("root", "bpf", "fuse");
    let bed = idle_with_a_map();
    bed.ok("mkdir a b; bpffuse bpf a; bpffuse bpf b");
    assert_eq!(
        bed.ok("echo 7 > a/h/2; cat b/h/2; rm b/h/2; ls a/h; umount a; cat b/h/1; umount b"),
        "7\n1\n42\n"
    );
}

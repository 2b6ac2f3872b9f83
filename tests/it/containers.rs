//! The image: what is in it, and that it works as a container, with few rights and shared mounts.

use super::privileges::KEPT;
use crate::common::require::{partly, require};
use crate::common::shell::BPFFUSE;
use crate::common::{Bed, RawMap, eventually};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Where the mount of the image's own arguments is.
const MAPS: &str = "/run/bpffuse/maps";

/// Names the static program in the environment, if that is to be tried: scripts/image --test sets it.
const STATIC: &str = "BPFFUSE_TEST_STATIC";

/// crun(1), whose state is the bed's. Its cgroups are none: without CAP_SYS_RESOURCE it cannot limit
/// devices, and this machine's own may be in a form that it does not know.
const CRUN: &str = "crun --root /run/crun --cgroup-manager=disabled";

fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name).display().to_string()
}

/// A machine of its own with a bpffs and, as systemd has it, a shared /run. /run/bpffuse is what a
/// DaemonSet gets from it.
fn machine() -> Bed {
    Bed::private(
        "umount -R -l /sys/fs/cgroup || true; mount -t cgroup2 cgroup2 /sys/fs/cgroup
         mount -t bpf bpf /sys/fs/bpf; mkdir /run/bpffuse; mount --make-rshared /run",
    )
}

/// Builds `image` in the bed of a program, which is `program` there.
fn build_image(bed: &Bed, program: &str, options: &str) {
    let build = format!("{} --program program --output image {options}", script("image"));
    bed.ok(&format!("strip -o program {program} && {build}"));
}

/// A blob of the layout by its digest.
fn blob(bed: &Bed, digest: &Value) -> Vec<u8> {
    let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    let path = bed.dir.join("image/blobs/sha256").join(digest);
    assert_eq!(bed.ok(&format!("sha256sum < {}", path.display())), format!("{digest}  -\n"));
    fs::read(path).unwrap()
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The image's manifest and configuration.
fn image(bed: &Bed) -> (Value, Value) {
    let index = parsed(&fs::read(bed.dir.join("image/index.json")).unwrap());
    let entry = &index["manifests"][0];
    let bytes = blob(bed, &entry["digest"]);
    assert_eq!(entry["size"], bytes.len());
    let manifest = parsed(&bytes);
    let config = parsed(&blob(bed, &manifest["config"]["digest"]));
    (manifest, config)
}

/// The static program alone, built without a daemon, reproducible: twice the same digest (the
/// script's --check builds it twice), by the rules of the OCI image layout.
#[test]
fn the_image_is_one_program() {
    require!("root", "strip", "readelf", "sha256sum");
    let bed = Bed::without_bpffs();
    // Any program: that ours is one file is what scripts/package --static sees to.
    build_image(&bed, "/bin/true", "--check");
    assert_eq!(
        fs::read(bed.dir.join("image/oci-layout")).unwrap(),
        br#"{"imageLayoutVersion":"1.0.0"}"#
    );
    let (manifest, config) = image(&bed);
    let layers = manifest["layers"].as_array().unwrap();
    let [layer] = &layers[..] else { panic!("one layer was expected: {manifest}") };
    let packed = blob(&bed, &layer["digest"]);
    assert_eq!(layer["size"], packed.len());
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    fs::write(bed.dir.join("layer"), packed).unwrap();
    let listed =
        bed.ok("tar -tvzf layer --numeric-owner --full-time | sed 's/  *[0-9]* 1970/ 1970/'");
    assert_eq!(listed, "-rwxr-xr-x 0/0 1970-01-01 00:00:00 bpffuse\n");
    let unpacked = bed.ok("gzip -dc layer | sha256sum | cut -d ' ' -f 1");
    assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", unpacked.trim())]));
    assert_eq!(config["config"]["Entrypoint"][0], "/bpffuse");
    assert_eq!(
        config["config"]["Labels"]["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );
    // What it was built from and by whom is not in it.
    let second = bed.ok(&format!(
        "cp program other; touch -d 2002-02-02 other; chmod 700 other
         {} --program other --output there | tail -n 1; {} --program program --output here | tail -n 1
         cmp here.tar there.tar",
        script("image"),
        script("image")
    ));
    let digests: Vec<&str> = second.lines().collect();
    assert!(digests.len() == 2 && digests[0] == digests[1], "{second}");
    bed.fails_with(
        &format!("mkdir mine; {} --program program --output mine", script("image")),
        "there is something else",
    );
}

/// What a container gets of the machine.
#[derive(Clone, Copy)]
struct Given {
    proc: bool,
    fuse: &'static [&'static str],
    bpffs: bool,
    capabilities: bool,
    host_pid: bool,
}

const ALL: Given =
    Given { proc: true, fuse: &["bind"], bpffs: true, capabilities: true, host_pid: true };

/// An OCI bundle of the image, as the runtime of a node makes it.
struct Bundle<'a> {
    bed: &'a Bed,
    config: Value,
}

impl<'a> Bundle<'a> {
    fn new(bed: &'a Bed) -> Self {
        let built = std::env::var(STATIC);
        build_image(bed, built.as_deref().unwrap_or(BPFFUSE), "");
        let (manifest, config) = image(bed);
        let layer = manifest["layers"][0]["digest"].as_str().unwrap().replace(':', "/");
        bed.ok(&format!("mkdir -p b/rootfs; tar -xzf image/blobs/{layer} -C b/rootfs"));
        if built.is_err() {
            // The static one takes minutes to build.
            bed.ok("ldd program | grep -o '/[^ ]*' | xargs -I LIB cp -L --parents LIB b/rootfs");
            partly(
                "the debug program with its libraries in the bundle, not the static one; scripts/image --test has that",
            );
        }
        Self { bed, config: config["config"].clone() }
    }

    /// Writes the bundle's config.json; the reference's capabilities, no new privileges, nothing writable but
    /// the mount's place.
    fn write(&self, given: Given) {
        let names: Vec<&str> = KEPT.iter().map(|(name, _)| *name).collect();
        let names = if given.capabilities { names } else { Vec::new() };
        let words = |name: &str| self.config[name].as_array().unwrap().clone();
        let bind = |path: &str, options: &[&str]| json!({"destination": path, "type": "bind", "source": path, "options": options});
        let mut mounts = vec![
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid", "nodev"]}),
            bind("/run/bpffuse", &["rbind", "rshared"]),
        ];
        if given.proc {
            mounts.push(json!({"destination": "/proc", "type": "proc", "source": "proc"}));
        }
        if given.bpffs {
            mounts.push(bind("/sys/fs/bpf", &["rbind", "rslave"]));
        }
        if !given.fuse.is_empty() {
            mounts.push(bind("/dev/fuse", given.fuse));
        }
        let mut namespaces =
            vec![json!({"type": "mount"}), json!({"type": "ipc"}), json!({"type": "uts"})];
        if !given.host_pid {
            namespaces.push(json!({"type": "pid"}));
        }
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "args": ([words("Entrypoint"), words("Cmd")].concat()),
                "cwd": "/",
                "env": [format!("{}={}", crate::common::shell::BED, self.bed.dir.display())],
                "user": {"uid": 0, "gid": 0},
                "noNewPrivileges": true,
                "capabilities": {"bounding": names, "effective": names, "permitted": names},
            },
            "root": {"path": "rootfs", "readonly": true},
            "mounts": mounts,
            "linux": {"namespaces": namespaces, "rootfsPropagation": "rshared"},
        });
        fs::write(self.bed.dir.join("b/config.json"), config.to_string()).unwrap();
    }

    /// Starts it, and waits until the image's own probe is answered inside.
    #[track_caller]
    fn start(&self, given: Given) {
        self.write(given);
        self.bed.ok(&format!("{CRUN} run --detach -b b c > log 2>&1"));
        eventually("the probe is answered", || {
            self.bed.run(&format!("{CRUN} exec c /bpffuse --probe {MAPS}")).status.success()
        });
    }

    /// Ends it by a signal, and waits until it has ended.
    #[track_caller]
    fn end(&self, signal: &str) {
        self.bed.ok(&format!("{CRUN} kill c {signal}"));
        eventually("the container has ended", || {
            self.bed.ok(&format!("{CRUN} state c | jq -r .status")) == "stopped\n"
        });
        self.bed.ok(&format!("{CRUN} delete c"));
    }

    /// What it says instead of starting.
    fn says(&self, given: Given) -> String {
        self.write(given);
        self.bed.fails(&format!("{CRUN} run -b b c"))
    }
}

/// How many mounts of bpffuse the machine has.
fn mounts(bed: &Bed) -> usize {
    bed.ok("cat /proc/self/mountinfo").matches(" - fuse.bpffuse ").count()
}

/// Run in a test as an OCI bundle with the capabilities of the reference's table, not privileged, with mount
/// propagation: the mount appears outside, works, and is gone when the container ends.
#[test]
fn a_container_mounts_for_the_machine() {
    require!("root", "bpf", "fuse", "crun", "jq", "strip", "readelf", "ldd", "setpriv");
    let bed = machine();
    let bundle = Bundle::new(&bed);
    bundle.start(ALL);
    assert_eq!(mounts(&bed), 1);
    bed.ok(&format!("mkdir {MAPS}/hits; echo 42 > {MAPS}/hits/7; test -e /sys/fs/bpf/hits"));
    assert_eq!(bed.ok(&format!("cat {MAPS}/hits/7")), "42\n");
    // It is started with no more than it keeps.
    let status = bed.ok(&format!("cat /proc/$({CRUN} state c | jq .pid)/status"));
    let kept = KEPT.iter().fold(0_u64, |mask, (_, number)| mask | 1 << number);
    assert!(status.contains(&format!("CapBnd:\t{kept:016x}\n")), "{status}");
    // With the machine's process ids, it knows who was refused what.
    let refused = bed.ok(&format!("echo no > {MAPS}/hits/7 || echo $$; tail -n 1 {MAPS}/.errors"));
    let (pid, line) = refused.split_once('\n').unwrap();
    assert!(line.contains(&format!(" pid={pid} uid=0 write /hits/7 EINVAL: ")), "{refused}");
    // Somebody has a file open.
    bed.ok(&format!(
        "exec 3< {MAPS}/hits/7; {CRUN} kill c TERM; head -c 1 > /dev/null <&3 || true"
    ));
    eventually("the mount is gone", || mounts(&bed) == 0);
    eventually("it has ended", || {
        bed.ok(&format!("{CRUN} state c | jq -r .status")) == "stopped\n"
    });
    assert_eq!(bed.ok(&format!("ls -A {MAPS}; {CRUN} delete c; rm /sys/fs/bpf/hits")), "");
}

/// A container that was killed leaves a dead mount, and the next one cleans it. Who sees the mount by
/// propagation, as a pod with HostToContainer does, sees the next one.
#[test]
fn the_next_container_cleans_up() {
    require!("root", "bpf", "fuse", "crun", "jq", "strip", "readelf", "ldd", "unshare", "setpriv");
    let bed = machine();
    let mut bundle = Bundle::new(&bed);
    bundle.config["Cmd"] = json!(["-o", "X-mount.mkdir,allow_other", MAPS]);
    bundle.start(ALL);
    bed.ok(&format!(
        "chmod 711 /sys/fs/bpf; mkdir {MAPS}/hits {MAPS}/secret; echo 42 > {MAPS}/hits/7
         chgrp 4242 {MAPS}/hits; chmod g+r {MAPS}/hits"
    ));
    // The pod of docs/containers.md.
    let mut pod = bed.spawn(&format!(
        "exec unshare --mount --propagation slave setpriv --reuid 1000 --regid 1000 --groups 4242 bash -c '
         cat {MAPS}/hits/7; cat {MAPS}/secret/.info || echo no; echo 1 > {MAPS}/hits/7 || echo no
         until [ -e next ]; do sleep 0.05; done; cat {MAPS}/hits/7' 2> /dev/null"
    ));
    let mut said = BufReader::new(pod.stdout.take().unwrap()).lines();
    let mut says = || said.next().expect("a line").unwrap();
    assert_eq!([says(), says(), says()], ["42", "no", "no"]);
    bundle.end("KILL");
    bed.fails_with(&format!("ls {MAPS}"), "Transport endpoint is not connected");
    bed.fails_with(&format!("bpffuse --probe {MAPS}"), "the mount is dead");
    assert_eq!(mounts(&bed), 1);
    bundle.start(ALL);
    assert_eq!(mounts(&bed), 1, "the dead one is still there");
    assert_eq!(bed.ok(&format!("cat {MAPS}/hits/7; touch next")), "42\n");
    assert_eq!(says(), "42");
    pod.wait().unwrap();
    bundle.end("TERM");
    assert_eq!(mounts(&bed), 0);
    bed.fails_with(&format!("bpffuse --probe {MAPS}"), "no .help to read");
    bed.ok("rm /sys/fs/bpf/hits /sys/fs/bpf/secret");
}

/// It says a clear sentence when /proc, /dev/fuse or the bpffs is missing.
#[test]
fn what_a_container_lacks_is_said() {
    require!("root", "bpf", "fuse", "crun", "jq", "strip", "readelf", "ldd");
    let bed = machine();
    let bundle = Bundle::new(&bed);
    let cases = [
        (Given { proc: false, ..ALL }, "there is no /proc; mount -t proc proc /proc"),
        (
            Given { fuse: &[], ..ALL },
            "there is no /dev/fuse; load the module with modprobe fuse (a container: --device /dev/fuse)",
        ),
        (
            Given { fuse: &["bind", "nodev"], ..ALL },
            "/dev/fuse: Permission denied; let it be opened (a container: --device /dev/fuse)",
        ),
        (
            Given { bpffs: false, ..ALL },
            "/sys/fs/bpf: no bpffs is mounted here; mount -t bpf bpf /sys/fs/bpf",
        ),
        (
            Given { capabilities: false, ..ALL },
            "bpf(2) is not permitted; run it with CAP_SYS_ADMIN (a container: --cap-add SYS_ADMIN)",
        ),
    ];
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/containers.md");
    let document = fs::read_to_string(document).unwrap();
    for (given, sentence) in cases {
        assert!(document.contains(&format!("| `{sentence}` |")), "{sentence}");
        assert_eq!(bundle.says(given), format!("bpffuse: {sentence}\n"));
        assert_eq!(mounts(&bed), 0);
    }
}

/// docs/containers.md: what changes without the machine's process ids.
#[test]
fn without_the_machines_process_ids() {
    require!("root", "bpf", "fuse", "crun", "jq", "strip", "readelf", "ldd");
    let bed = machine();
    let bundle = Bundle::new(&bed);
    bundle.start(Given { host_pid: false, ..ALL });
    bed.ok(&format!("mkdir {MAPS}/hits; echo 42 > {MAPS}/hits/7; grep -q 42 {MAPS}/hits/7"));
    bed.fails(&format!("echo no > {MAPS}/hits/7"));
    let line = bed.ok(&format!("tail -n 1 {MAPS}/.errors"));
    assert!(line.contains(" pid=0 uid=0 write /hits/7 EINVAL: "), "{line}");
    // Nor who holds a map: the test itself does.
    let root = bed.bpf.display().to_string().replace(&bed.shown("bpf"), "");
    let map = RawMap::open(Path::new(&format!("{root}/sys/fs/bpf/hits")));
    let own = std::process::id();
    bed.fails_with(&format!("ls {MAPS}/.pid/{own}"), "No such file or directory");
    assert_eq!(bed.ok(&format!("jq -c .processes {MAPS}/hits/.info")), "[]\n");
    bundle.end("TERM");
    bundle.start(ALL);
    let seen = bed.ok(&format!("ls {MAPS}/.pid; jq -c '.processes[].pid' {MAPS}/hits/.info"));
    assert_eq!(seen.lines().filter(|pid| **pid == own.to_string()).count(), 2, "{seen}");
    drop(map);
    bundle.end("TERM");
    assert_eq!(mounts(&bed), 0);
    bed.ok("rm /sys/fs/bpf/hits");
}

/// `--probe` is 0 only for a mount of ours that answers.
#[test]
fn a_probe_tells_whether_it_answers() {
    require!("root", "bpf", "fuse");
    let mut bed = Bed::new();
    assert_eq!(bed.ok("bpffuse --probe mnt"), "");
    bed.fails_with("bpffuse --probe bpf", "bpf: no .help to read: ");
    bed.fails_with("bpffuse --probe nothing", "nothing: no .help to read");
    bed.fails_with("touch .help; bpffuse --probe .", ".: bpffuse is not mounted here");
    // It hangs: no thread of it runs any more.
    let pid = bed.pid();
    let hung = bed.run(&format!(
        "kill -STOP {pid}
         while grep -L '^State:.T' /proc/{pid}/task/*/status | grep -q .; do sleep .01; done
         bpffuse --probe mnt; code=$?; kill -CONT {pid}; exit $code"
    ));
    assert!(hung.clone().fails().contains("mnt: no answer within 5 seconds"), "{hung}");
    bed.ok("bpffuse --probe mnt");
    bed.stop();
    bed.fails_with("bpffuse --probe mnt", "mnt: no .help to read");
}

/// "0 if the mount answers within five seconds": where the daemon hangs with a request in its hands, the kernel
/// lets nobody end who waits for the answer.
#[test]
fn a_probe_ends_though_its_request_is_never_answered() {
    require!("root", "fuse", "python3");
    let bed = Bed::idle();
    let hangs = r#"
import ctypes, os, signal, struct
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
assert ctypes.CDLL(None).mount(b"hangs", b"mnt", b"fuse", 0, options) == 0
number = os.read(device, 1 << 20)[8:16]
header = struct.pack("=Ii8s", 80, 0, number)
os.write(device, header + struct.pack("=IIIIHHI", 7, 31, 0, 0, 0, 0, 4096).ljust(64, b"\0"))
open("ready", "w")
os.read(device, 1 << 20)
open("taken", "w")
signal.pause()
"#;
    bed.ok(&format!("cat > hangs.py << 'END'{hangs}END"));
    let hung = bed.run(
        "python3 hangs.py & until [ -e ready ]; do sleep .01; done
         bpffuse --probe mnt 2> told; echo $?; ls taken; cat told; kill $!; wait; umount -l mnt",
    );
    assert_eq!(hung.ok(), "1\ntaken\nbpffuse: mnt: no answer within 5 seconds\n");
    eventually("nobody asks any more", || bed.daemons().is_empty());
}

/// `-o X-mount.mkdir`, as mount(8) has it: the mount point is made if it is missing, and only then.
#[test]
fn the_mount_point_is_made() {
    require!("root", "bpf", "fuse");
    let bed = Bed::idle();
    bed.fails_with(
        "bpffuse bpf new/maps",
        "new/maps: no such directory; make it with mkdir -p new/maps",
    );
    bed.ok("bpffuse -o X-mount.mkdir bpf new/maps; bpffuse --probe new/maps; umount new/maps");
    assert_eq!(bed.ok("stat -c %a new/maps"), "755\n");
    bed.ok("bpffuse -o X-mount.mkdir=700,ro bpf other; umount other");
    assert_eq!(bed.ok("stat -c %a other"), "700\n");
    bed.fails_with("touch file; bpffuse -o X-mount.mkdir bpf file", "file: not a directory");
}

/// docs/containers.md gives a container README's capabilities, and the arguments that the image has.
#[test]
fn the_document_fits_the_image() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/containers.md");
    let document = fs::read_to_string(document).unwrap();
    let added = document.split("--cap-add ").skip(1).map(|rest| rest.split_whitespace().next());
    let mut added: Vec<String> =
        added.flatten().map(|name| format!("CAP_{}", name.trim_matches(['`', ')']))).collect();
    added.sort_unstable();
    // In the table of what is said there is one more.
    added.dedup();
    let mut kept: Vec<&str> = KEPT.iter().map(|(name, _)| *name).collect();
    kept.sort_unstable();
    assert_eq!(added, kept);
    let words = |name: &str| {
        let script = fs::read_to_string(script("image")).unwrap();
        let (_, list) = script.split_once(&format!("\"{name}\":[")).expect("the list");
        let list = format!("[{}]", list.split(']').next().unwrap());
        serde_json::from_str::<Vec<String>>(&list).unwrap()
    };
    let line = [words("Entrypoint"), words("Cmd")].concat().join(" ");
    assert!(document.contains(&format!("`{line}`")), "{line}");
}

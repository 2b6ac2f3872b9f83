//! What the tests of kinds share: BPF programs that can be run, processes that hold descriptors,
//! a cgroup, and a map of every kind.

use crate::common::kernel::calls_back;
use crate::common::{Bed, RawMap, bed::signal, eventually, object};
use bpffuse::btf::Btf;
use bpffuse::sys::map::{NewMap, kind as k};
use bpffuse::sys::object::btf_load;
use bpffuse::sys::os::page_size;
use libbpf_rs::{MapCore, Object, ObjectBuilder, ProgramInput};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;

/// The programs of an object of `tests/bpf`, with their maps pinned in the bed by name and they
/// themselves below `p/`.
pub(crate) struct Programs(pub(crate) Object);

impl Programs {
    pub(crate) fn load(bed: &Bed, name: &str) -> Self {
        let mut opened = ObjectBuilder::default().open_file(object::compile(name)).unwrap();
        let lacks = |name: &OsStr| name == "drain" && !calls_back();
        for mut program in opened.progs_mut().filter(|program| lacks(program.name())) {
            program.set_autoload(false);
        }
        let mut object = opened.load().expect("the kernel takes the programs");
        for mut map in object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if !name.contains('.') {
                map.pin(bed.pin(&name)).unwrap();
            }
        }
        fs::create_dir(bed.pin("p")).unwrap();
        for mut prog in object.progs_mut().filter(|prog| !lacks(prog.name())) {
            let name = prog.name().to_string_lossy().into_owned();
            prog.pin(bed.pin("p").join(name)).unwrap();
        }
        let_go_of_maps(&object);
        Self(object)
    }

    /// Runs a raw_tp program once with these arguments, on `cpu` if that matters: what it returns.
    pub(crate) fn run_raw(&self, name: &str, args: [u64; 2], cpu: Option<u32>) -> i32 {
        const ON_CPU: u32 = 1;
        let mut args = args.map(u64::to_ne_bytes).concat();
        let mut input = ProgramInput { context_in: Some(&mut args), ..Default::default() };
        if let Some(cpu) = cpu {
            (input.flags, input.cpu) = (ON_CPU, cpu);
        }
        self.run(name, input)
    }

    /// Runs a program on a packet: what it returns.
    pub(crate) fn run_packet(&self, name: &str) -> i32 {
        self.run(name, ProgramInput { data_in: Some(&[0; 64]), ..Default::default() })
    }

    fn run(&self, name: &str, input: ProgramInput<'_>) -> i32 {
        let prog = self.0.progs_mut().find(|prog| prog.name() == name).expect("a program");
        prog.test_run(input).expect("the program runs").return_value.cast_signed()
    }
}

/// Puts something else in the place of the maps' descriptors: a process that has a map open may be one that
/// reads its events.
fn let_go_of_maps(object: &Object) {
    let null = File::open("/dev/null").unwrap();
    for map in object.maps() {
        // SAFETY: both are descriptors of ours; what takes the other's number is the object's to close.
        #[allow(unsafe_code)]
        let put = unsafe { libc::dup2(null.as_raw_fd(), map.as_fd().as_raw_fd()) };
        assert!(put >= 0, "{}", std::io::Error::last_os_error());
    }
}

/// The id of a pinned program, by its JSON in the mount.
pub(crate) fn prog_id(bed: &Bed, name: &str) -> u32 {
    let info: serde_json::Value = serde_json::from_str(&bed.read(&format!("p/{name}"))).unwrap();
    info["id"].as_u64().unwrap() as u32
}

/// A Python process that opens something, says so, and holds it until it is dropped.
pub(crate) struct Holder {
    bell: File,
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    pid: u32,
}

impl Holder {
    /// Runs `script` in the bed's namespaces; it prints one line when it is ready, which is given,
    /// and then goes on. `bpf_get(path)` opens a pin there, `libc` is C's library, and `bell` is the
    /// name of a pipe from which it reads what [`Self::ring`] writes.
    pub(crate) fn start(bed: &Bed, script: &str) -> (Self, String) {
        const PRELUDE: &str = "
import ctypes, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def bpf_get(path):
    name = ctypes.create_string_buffer(path.encode())
    attr = ctypes.create_string_buffer(struct.pack('=QII', ctypes.addressof(name), 0, 0), 128)
    number = {'x86_64': 321, 'aarch64': 280, 's390x': 351}[os.uname().machine]
    fd = libc.syscall(number, 7, attr, 16)
    if fd < 0: raise OSError(ctypes.get_errno(), path)
    return fd
def check(rc):
    if rc < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return rc
def cookie(s): return struct.unpack('=Q', s.getsockopt(socket.SOL_SOCKET, 57, 8))[0]
def ready(*words): print(os.getpid(), *words, flush=True)
";
        let pipe = bed.ok("mktemp -u bell-XXXXXX");
        let pipe = pipe.trim();
        bed.ok(&format!("mkfifo {pipe}"));
        let script = script.replace("\n            ", "\n");
        fs::write(bed.dir.join("holder.py"), format!("{PRELUDE}bell = '{pipe}'\n{script}"))
            .unwrap();
        // For both directions, so that the open waits for nobody.
        let bell = OpenOptions::new().read(true).write(true).open(bed.dir.join(pipe)).unwrap();
        let mut child = bed.spawn("exec python3 holder.py");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let (pid, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let pid = pid.parse().unwrap_or_else(|_| panic!("the holder is not ready: {line:?}"));
        (Self { bell, child, out, pid }, rest.to_owned())
    }

    /// Its descriptor, as the mount takes it.
    pub(crate) fn fd(&self, number: &str) -> String {
        format!("{}:{number}", self.pid)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a line: the line that it answers.
    pub(crate) fn ring(&mut self, line: &str) -> String {
        writeln!(self.bell, "{line}").unwrap();
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // timeout(1) waits for it and so ends with it.
        signal("KILL", self.pid);
        let _ = self.child.wait();
    }
}

/// A cgroup of the cgroup2 hierarchy, mounted in the bed; removed with this.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    pub(crate) fn new(bed: &Bed) -> Self {
        let name = bed.ok(
            "mkdir -p cg; mountpoint -q cg || mount -t cgroup2 none cg; mktemp -d cg/bpffuse-kinds-XXXXXX",
        );
        Self(bed.dir.join(name.trim()))
    }

    /// Its id: the inode number of its directory.
    pub(crate) fn id(&self) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(&self.0).unwrap())
    }

    /// Moves a process into it.
    pub(crate) fn take_in(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was killed leaves it a moment later.
        for _ in 0..200 {
            match fs::remove_dir(&self.0) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                _ => return,
            }
        }
        eprintln!("left behind: {}", self.0.display());
    }
}

/// The int of a BTF object of one type, for the kinds that insist on BTF.
pub(crate) fn int_btf() -> OwnedFd {
    // void (0), int (1) as raw BTF: a header, one type of 16 bytes, the strings "\0int\0".
    let mut blob = Vec::new();
    blob.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
    blob.extend_from_slice(&[1, 0]);
    for word in [24_u32, 0, 16, 16, 5, 1, 1 << 24, 4, 1 << 24 | 32] {
        blob.extend_from_slice(&word.to_ne_bytes());
    }
    blob.extend_from_slice(b"\0int\0");
    btf_load(&blob).expect("load BTF")
}

/// Makes a small map of any kind and pins it as `name`.
pub(crate) fn make(bed: &Bed, name: &str, map_type: u32) -> RawMap {
    let (key_size, value_size, max_entries, flags) = match map_type {
        k::LPM_TRIE => (8, 4, 4, 1),
        k::STACK_TRACE => (4, 80, 4, 0),
        k::CGROUP_STORAGE | k::PERCPU_CGROUP_STORAGE => (16, 8, 0, 0),
        k::QUEUE | k::STACK | k::BLOOM_FILTER => (0, 4, 4, 0),
        k::SK_STORAGE | k::INODE_STORAGE | k::TASK_STORAGE | k::CGRP_STORAGE => (4, 4, 0, 1),
        k::RINGBUF | k::USER_RINGBUF => (0, 0, page_size() as u32, 0),
        k::ARENA => (0, 0, 1, 1 << 10),
        k::SOCKMAP | k::SOCKHASH | k::REUSEPORT_SOCKARRAY => (4, 8, 4, 0),
        k::CPUMAP => (4, 4, 1, 0),
        k::INSN_ARRAY => (4, 16, 4, 0),
        k::RHASH => (4, 4, 4, 1),
        _ => (4, 4, 4, 0),
    };
    let mut new = NewMap {
        map_type,
        name: name.to_owned(),
        key_size,
        value_size,
        max_entries,
        flags,
        ..NewMap::default()
    };
    let (btf, inner);
    match map_type {
        k::SK_STORAGE | k::INODE_STORAGE | k::TASK_STORAGE | k::CGRP_STORAGE => {
            btf = int_btf();
            new.btf = Some((btf.as_fd(), 1, 1));
        }
        k::ARRAY_OF_MAPS | k::HASH_OF_MAPS => {
            let like = NewMap {
                map_type: k::HASH,
                key_size: 4,
                value_size: 4,
                max_entries: 10,
                ..NewMap::default()
            };
            inner = bpffuse::sys::map::create(&like).unwrap();
            new.inner_map = Some(inner.as_fd());
        }
        k::STRUCT_OPS => {
            let blob = fs::read("/sys/kernel/btf/vmlinux").unwrap();
            let kernel = Btf::parse(&blob, None).unwrap();
            let (id, value) = kernel.find_struct("bpf_struct_ops_tcp_congestion_ops").unwrap();
            let bpffuse::btf::Kind::Struct { size, .. } = value.kind else { panic!("a struct") };
            // The kernel wants to see the program's BTF, and no types of it.
            btf = int_btf();
            new.btf = Some((btf.as_fd(), 0, 0));
            new.btf_vmlinux_value_type_id = id;
            (new.value_size, new.max_entries) = (size, 1);
        }
        _ => {}
    }
    RawMap::create(&bed.pin(name), &new)
}

/// Waits until the kernel has freed a map.
#[track_caller]
pub(crate) fn freed(id: u32) {
    eventually(&format!("map {id} is freed"), || {
        bpffuse::sys::object::map_by_id(id).is_err_and(|error| error.errno == libc::ENOENT)
    });
}

//! Which processes hold which maps, from the descriptors that /proc shows.
//!
//! A process that holds a map only by a mapping of its memory is not found: /proc does not tell. Nor is this
//! process.

use super::info::short_text;
use super::unless_gone;
use nix::dir::Dir;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstat};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

/// Whether /proc numbers processes as this process's PID namespace does: a daemon that was started in one
/// of its own under another's /proc would take strangers for its callers.
pub fn proc_is_ours() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| ourselves().is_ok_and(|pid| pid == std::process::id()))
}

/// A process that holds maps or programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id, as /proc has it.
    pub pid: u32,
    /// Its main thread's name, at most 15 bytes.
    pub comm: String,
    /// Ids of the maps that it has open.
    pub maps: Vec<u32>,
    /// Ids of the programs that it has open, by themselves or by a link.
    pub programs: Vec<u32>,
}

/// How many descriptors are looked at in /proc: of the processes of one user who is not root, and of all.
/// Each takes 4 us or more, and a user may have millions.
const OF_USER: usize = 100_000;
const OF_ALL: usize = 1_000_000;

/// How many descriptors may still be looked at.
struct Budget {
    of_all: usize,
    of_users: HashMap<libc::uid_t, usize>,
    exceeded: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self { of_all: OF_ALL, of_users: HashMap::new(), exceeded: false }
    }
}

impl Budget {
    /// Takes one of a user's; false if there is none left.
    fn take(&mut self, user: libc::uid_t) -> bool {
        let own = self.of_users.entry(user).or_insert(if user == 0 { OF_ALL } else { OF_USER });
        let left = (*own).min(self.of_all) > 0;
        if left {
            *own -= 1;
            self.of_all -= 1;
        }
        self.exceeded |= !left;
        left
    }
}

/// The processes that hold maps or programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// By id.
    pub all: Vec<Process>,
    /// Whether some user has more descriptors than are looked at, so that more may hold some.
    pub more: bool,
}

/// All processes that hold maps or programs. One that ends meanwhile is left out, and one that we may not
/// look into, without CAP_SYS_PTRACE.
///
/// # Errors
/// ENOENT without /proc; EMFILE, ENFILE, ENOMEM if not all could be looked at.
pub fn processes() -> io::Result<Processes> {
    let ourselves = ourselves()?;
    let mut found = Found::default();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|pid| *pid != ourselves) {
            found.look_for(pid)?;
        }
    }
    Ok(found.all())
}

/// One process; `None` if it holds neither maps nor programs, or there is none.
///
/// # Errors
/// As for [`processes`].
pub fn process(pid: u32) -> io::Result<Option<Process>> {
    let mut found = Found::default();
    found.look_for(pid)?;
    Ok(found.all().all.pop())
}

/// This process's id, as /proc has it.
///
/// # Errors
/// ENOENT without /proc.
pub fn ourselves() -> io::Result<u32> {
    let name = fs::read_link("/proc/self")?;
    let pid = name.to_str().and_then(|name| name.parse().ok());
    pid.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A descriptor of a process, in the table of files that one of its threads uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The process's id.
    pub pid: u32,
    /// The thread's; for the main thread the same.
    pub thread: u32,
    /// Its number.
    pub number: u32,
    /// The map that it is, if that is known.
    pub map: Option<u32>,
    /// The program that it is, or the one of a link that holds no more, if that is known.
    pub program: Option<u32>,
}

/// Those processes of which some descriptors are known, but for this one, as [`processes`] finds them.
///
/// # Errors
/// As for [`processes`].
pub fn holding(descriptors: &[Descriptor]) -> io::Result<Processes> {
    let ourselves = ourselves()?;
    let mut found = Found::default();
    let same_table = |a: &Descriptor, b: &Descriptor| (a.pid, a.thread) == (b.pid, b.thread);
    for table in descriptors.chunk_by(same_table) {
        if let Some(Descriptor { pid, thread, .. }) = table.first().filter(|d| d.pid != ourselves) {
            found.look_at(*pid, *thread, table)?;
        }
    }
    Ok(found.all())
}

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// What was found so far, by the process's id.
#[derive(Default)]
struct Found {
    processes: BTreeMap<u32, Process>,
    budget: Budget,
}

impl Found {
    fn all(self) -> Processes {
        let mut all: Vec<_> = self.processes.into_values().collect();
        for process in &mut all {
            for ids in [&mut process.maps, &mut process.programs] {
                ids.sort_unstable();
                ids.dedup();
            }
        }
        Processes { all, more: self.budget.exceeded }
    }

    /// All descriptors of a process: those in its main thread's table, and those of threads that have
    /// another one.
    fn look_for(&mut self, pid: u32) -> io::Result<()> {
        self.look_in(pid, pid)?;
        let Some(threads) = unless_gone(fs::read_dir(format!("/proc/{pid}/task")))? else {
            return Ok(());
        };
        for thread in threads {
            let Some(thread) = unless_gone(thread)? else { break };
            let thread = thread.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(thread) = thread
                && thread != pid
                && !share_files(pid, thread)
            {
                self.look_in(pid, thread)?;
            }
        }
        Ok(())
    }

    /// All descriptors in a thread's table.
    fn look_in(&mut self, pid: u32, thread: u32) -> io::Result<()> {
        let Some(home) = Home::of(pid, thread)? else { return Ok(()) };
        let descriptors = Dir::openat(&home.fd, "fd", DIRECTORY, Mode::empty());
        let Some(mut descriptors) = unless_gone(descriptors)? else { return Ok(()) };
        for entry in descriptors.iter() {
            let Some(name) = unless_gone(entry)? else { break };
            let number = name.file_name().to_str().ok().and_then(|name| name.parse().ok());
            if let Some(number) = number
                && self.look(&home, number)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Descriptors of a table.
    fn look_at(&mut self, pid: u32, thread: u32, table: &[Descriptor]) -> io::Result<()> {
        let Some(home) = Home::of(pid, thread)? else { return Ok(()) };
        let is_known = |of: &&Descriptor| of.map.is_some() || of.program.is_some();
        if table.iter().any(|descriptor| is_known(&descriptor)) {
            let Some(process) = self.process(&home)? else { return Ok(()) };
            process.maps.extend(table.iter().filter_map(|descriptor| descriptor.map));
            process.programs.extend(table.iter().filter_map(|descriptor| descriptor.program));
        }
        for descriptor in table.iter().filter(|descriptor| !is_known(descriptor)) {
            if self.look(&home, descriptor.number)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// A descriptor; tells whether more of the table need be looked at.
    fn look(&mut self, home: &Home, number: u32) -> io::Result<ControlFlow<()>> {
        const GO_ON: ControlFlow<()> = ControlFlow::Continue(());
        if !self.budget.take(home.user) {
            return Ok(ControlFlow::Break(()));
        }
        // One that was closed meanwhile.
        let link = format!("fd/{number}");
        let Some(link) = unless_gone(readlinkat(&home.fd, link.as_str()))? else {
            return Ok(GO_ON);
        };
        let (has_map, has_program) = match link.as_bytes() {
            b"anon_inode:bpf-map" => (true, false),
            b"anon_inode:bpf-prog" => (false, true),
            // A link holds its program, and the map that it belongs to if it does.
            b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => (true, true),
            _ => return Ok(GO_ON),
        };
        let Some(info) = home.read(&format!("fdinfo/{number}"))? else { return Ok(GO_ON) };
        let map = id(&info, "map_id").filter(|_| has_map);
        let program = id(&info, "prog_id").filter(|_| has_program);
        if map.is_none() && program.is_none() {
            return Ok(GO_ON);
        }
        let Some(process) = self.process(home)? else { return Ok(ControlFlow::Break(())) };
        process.maps.extend(map);
        process.programs.extend(program);
        Ok(GO_ON)
    }

    /// What was found of a process, which holds something; `None` if it is gone.
    fn process(&mut self, home: &Home) -> io::Result<Option<&mut Process>> {
        Ok(Some(match self.processes.entry(home.pid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Some(comm) = home.command()? else { return Ok(None) };
                let (maps, programs) = (Vec::new(), Vec::new());
                new.insert(Process { pid: home.pid, comm, maps, programs })
            }
        }))
    }
}

/// Whether two threads use the same table of files (kcmp(2)); said of those, too, that are gone.
fn share_files(a: u32, b: u32) -> bool {
    const KCMP_FILES: libc::c_int = 2;
    // SAFETY: takes numbers alone.
    let order = unsafe {
        libc::syscall(libc::SYS_kcmp, a as libc::pid_t, b as libc::pid_t, KCMP_FILES, 0, 0)
    };
    order <= 0
}

/// A thread's directory in /proc. All that is read below is of the thread that was found: when it has ended
/// nothing is, even if another has its id.
struct Home {
    fd: OwnedFd,
    pid: u32,
    /// Whose process it is.
    user: libc::uid_t,
}

impl Home {
    fn of(pid: u32, thread: u32) -> io::Result<Option<Self>> {
        let path = match thread == pid {
            true => format!("/proc/{pid}"),
            false => format!("/proc/{pid}/task/{thread}"),
        };
        let fd = open(path.as_str(), DIRECTORY | OFlag::O_PATH, Mode::empty());
        let Some(fd) = unless_gone(fd)? else { return Ok(None) };
        let Some(stat) = unless_gone(fstat(&fd))? else { return Ok(None) };
        Ok(Some(Self { fd, pid, user: stat.st_uid }))
    }

    /// The text of a file in it.
    fn read(&self, name: &str) -> io::Result<Option<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.fd, name, flags, Mode::empty());
        let Some(file) = unless_gone(file)? else { return Ok(None) };
        unless_gone(short_text(File::from(file)))
    }

    /// The name of the process's main thread.
    fn command(&self) -> io::Result<Option<String>> {
        let Some(main) = Self::of(self.pid, self.pid)? else { return Ok(None) };
        let comm = main.read("comm")?;
        Ok(comm.map(|comm| comm.strip_suffix('\n').unwrap_or(&comm).to_owned()))
    }
}

/// What a descriptor's info says by a name, such as `map_id`; no object has the id 0.
fn id(info: &str, name: &str) -> Option<u32> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok().filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::map::{NewMap, create, map_info};
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    #[test]
    fn numbers_of_fdinfo() {
        let info = "pos:\t0\nmap_type:\t1\nmap_id:\t12\nprog_id:\t0\nowner_prog_id:\t4\n";
        assert_eq!((id(info, "map_id"), id(info, "prog_id")), (Some(12), None));
        assert_eq!(id(info, "map"), None);
    }

    #[test]
    fn a_user_with_many_descriptors_takes_no_others_time() {
        let mut budget = Budget::default();
        assert!((0..OF_USER).all(|_| budget.take(1000)) && !budget.exceeded);
        assert!(!budget.take(1000) && budget.exceeded);
        // Others' are still looked at, root's more of them, but not without end.
        assert!(budget.take(1001));
        assert!((0..OF_ALL - OF_USER - 1).all(|_| budget.take(0)));
        assert!(!budget.take(0) && !budget.take(1001) && !budget.take(1002));
    }

    #[test]
    fn who_holds_a_map_is_found_while_it_lives() {
        let Ok(map) = create(&NewMap::small_array()) else {
            eprintln!("SKIPPED: no BPF maps can be created here");
            return;
        };
        let id = map_info(map.as_fd()).expect("a map").id;
        let holders = || -> Vec<Process> {
            let found = processes().expect("/proc");
            found.all.into_iter().filter(|process| process.maps.contains(&id)).collect()
        };
        // We hold it, and are not asked for.
        assert_eq!(holders(), []);
        // Twice, which counts once.
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::from(map.try_clone().expect("a descriptor")))
            .stdout(Stdio::from(map.try_clone().expect("a descriptor")))
            .spawn()
            .expect("sleep");
        let (pid, comm) = (child.id(), "sleep".to_owned());
        let expected = Process { pid, comm, maps: vec![id], programs: vec![] };
        assert_eq!(holders(), std::slice::from_ref(&expected));
        assert_eq!(process(pid).unwrap(), Some(expected));
        child.kill().expect("kill");
        // It is a zombie now, which holds nothing.
        let gone = || process(pid).unwrap().is_none();
        assert!((0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            gone()
        }));
        child.wait().expect("the end");
        assert_eq!(process(pid).unwrap(), None);
        assert_eq!(holders(), []);
    }
}

//! Which processes hold which maps, from the descriptors that /proc shows.
//!
//! A process that holds a map only by a mapping of its memory, or by a descriptor in a table that one of
//! its threads has for itself, is not found: /proc does not tell. Nor is this process.

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstat};
use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

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

/// Descriptors looked at of one user's processes, but for root's, and of all: each takes 4 us, and a user
/// may have millions.
const OF_USER: usize = 100_000;
const OF_ALL: usize = 1_000_000;

/// How many descriptors may still be looked at.
struct Budget {
    of_all: usize,
    of_users: HashMap<libc::uid_t, usize>,
    exceeded: bool,
}

impl Budget {
    fn new() -> Self {
        Self { of_all: OF_ALL, of_users: HashMap::new(), exceeded: false }
    }

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
/// Those of reading /proc.
pub fn processes() -> io::Result<Processes> {
    let ourselves = fs::read_link("/proc/self")?;
    let (mut all, mut budget) = (Vec::new(), Budget::new());
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().filter(|_| name != ourselves).and_then(|name| name.parse().ok());
        all.extend(pid.and_then(|pid| look(pid, &mut budget)));
    }
    all.sort_unstable_by_key(|process: &Process| process.pid);
    Ok(Processes { all, more: budget.exceeded })
}

/// One process; `None` if it holds neither maps nor programs, or there is none.
pub fn process(pid: u32) -> Option<Process> {
    look(pid, &mut Budget::new())
}

fn look(pid: u32, budget: &mut Budget) -> Option<Process> {
    // All below is of the process that is found now: if it ends, it is not found there any more, even
    // when another one has its id.
    let path = format!("/proc/{pid}");
    let directory = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let home = nix::fcntl::open(path.as_str(), directory | OFlag::O_PATH, Mode::empty()).ok()?;
    let mut descriptors = Dir::openat(&home, "fd", directory, Mode::empty()).ok()?;
    let user = fstat(&home).ok()?.st_uid;
    let mut infos = None;
    let (mut maps, mut programs) = (Vec::new(), Vec::new());
    // Only a Dir that is borrowed for reading gives its entries.
    let links = descriptors.as_fd().try_clone_to_owned().ok()?;
    for entry in descriptors.iter() {
        let entry = entry.ok()?;
        let name = entry.file_name();
        if !budget.take(user) {
            break;
        }
        // One that was closed meanwhile.
        let Ok(link) = readlinkat(&links, name) else { continue };
        let is_link = match link.as_bytes() {
            b"anon_inode:bpf-map" | b"anon_inode:bpf-prog" => false,
            b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => true,
            _ => continue,
        };
        if infos.is_none() {
            infos = Some(openat(&home, "fdinfo", directory, Mode::empty()).ok()?);
        }
        let Some(info) = infos.as_ref().and_then(|infos| read(infos, name)) else { continue };
        // A link holds its program, and the map that it belongs to if it does.
        let is_map = link.as_bytes() == b"anon_inode:bpf-map";
        maps.extend(number(&info, "map_id").filter(|_| is_map || is_link));
        programs.extend(number(&info, "prog_id").filter(|_| !is_map));
    }
    if maps.is_empty() && programs.is_empty() {
        return None;
    }
    for ids in [&mut maps, &mut programs] {
        ids.sort_unstable();
        ids.dedup();
    }
    let comm = read(&home, c"comm")?;
    let comm = comm.strip_suffix('\n').unwrap_or(&comm).to_owned();
    Some(Process { pid, comm, maps, programs })
}

/// What a descriptor's info says by a name, such as `map_id`; no object has the id 0.
fn number(info: &str, name: &str) -> Option<u32> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok().filter(|id| *id != 0)
}

/// A file's text, below a directory.
fn read(directory: impl AsFd, name: &CStr) -> Option<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    File::from(file).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::map::{NewMap, create, kind, map_info};
    use std::process::{Command, Stdio};

    #[test]
    fn numbers_of_fdinfo() {
        let info = "pos:\t0\nmap_type:\t1\nmap_id:\t12\nprog_id:\t0\nowner_prog_id:\t4\n";
        assert_eq!((number(info, "map_id"), number(info, "prog_id")), (Some(12), None));
        assert_eq!(number(info, "map"), None);
    }

    #[test]
    fn a_user_with_many_descriptors_takes_no_others_time() {
        let mut budget = Budget::new();
        assert!((0..OF_USER).all(|_| budget.take(1000)) && !budget.exceeded);
        assert!(!budget.take(1000) && budget.exceeded);
        // Others' are still looked at, root's more of them, but not without end.
        assert!(budget.take(1001));
        assert!((0..OF_ALL - OF_USER - 1).all(|_| budget.take(0)));
        assert!(!budget.take(0) && !budget.take(1001) && !budget.take(1002));
    }

    #[test]
    fn who_holds_a_map_is_found_while_it_lives() {
        let new = NewMap {
            map_type: kind::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            ..NewMap::default()
        };
        let Ok(map) = create(&new) else {
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
        assert_eq!(process(pid), Some(expected));
        child.kill().expect("kill");
        // It is a zombie now, which holds nothing.
        let gone = || process(pid).is_none();
        assert!((0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            gone()
        }));
        child.wait().expect("the end");
        assert_eq!(process(pid), None);
        assert_eq!(holders(), []);
    }
}

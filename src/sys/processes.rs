//! Which processes hold maps and programs: their descriptors, as proc(5) shows them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// A process that holds some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id, in the PID namespace of our /proc.
    pub pid: u32,
    /// Its command's name, at most 15 bytes.
    pub comm: String,
    /// The ids of the maps that it has open.
    pub maps: BTreeSet<u32>,
    /// The ids of the programs that it has open.
    pub programs: BTreeSet<u32>,
}

/// All that hold any, by id; ourselves left out, who open each map for a moment. Those that end
/// meanwhile are left out, too.
pub fn all() -> Vec<Holder> {
    let ours = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|process| process.file_name().to_str()?.parse().ok());
    let mut holders: Vec<Holder> = pids.filter(|pid| *pid != ours).filter_map(of).collect();
    holders.sort_unstable_by_key(|holder| holder.pid);
    holders
}

/// What one process holds; `None` if nothing, or if it is gone.
pub fn of(pid: u32) -> Option<Holder> {
    let (mut maps, mut programs) = (BTreeSet::new(), BTreeSet::new());
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        // What it is, costs a readlink(2); which one, a file of its own.
        let Ok(target) = fs::read_link(descriptor.path()) else { continue };
        let (ids, field) = match target.as_os_str().as_bytes() {
            b"anon_inode:bpf-map" => (&mut maps, "map_id:"),
            b"anon_inode:bpf-prog" => (&mut programs, "prog_id:"),
            _ => continue,
        };
        let Some(number) = descriptor.file_name().to_str().map(str::to_owned) else { continue };
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        let id: Option<u32> =
            info.lines().find_map(|line| line.strip_prefix(field)?.trim().parse().ok());
        ids.extend(id);
    }
    if maps.is_empty() && programs.is_empty() {
        return None;
    }
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder { pid, comm: comm.trim_end_matches('\n').to_owned(), maps, programs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_has_our_number() {
        let ours = std::process::id();
        assert!(all().iter().all(|holder| holder.pid != ours));
        assert_eq!(of(u32::MAX), None);
    }
}

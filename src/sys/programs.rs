//! Which programs use which maps.

use super::info::{ProgInfo, next_prog_id, prog_info};
use super::{Error, Result, object};
use std::collections::BTreeMap;
use std::os::fd::AsFd;

/// A loaded program, as far as maps are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Unique while it lives.
    pub id: u32,
    /// The function's name, at most 15 bytes.
    pub name: String,
    /// The maps that it uses, by id; those that it finds in other maps are not among them.
    pub maps: Vec<u32>,
}

impl From<ProgInfo> for Program {
    fn from(info: ProgInfo) -> Self {
        let mut maps = info.map_ids;
        maps.sort_unstable();
        maps.dedup();
        Self { id: info.id, name: info.name, maps }
    }
}

/// The programs that were loaded when the kernel was asked. One that ends meanwhile may be among them
/// or not, and so may one that comes.
#[derive(Debug, Default)]
pub struct Programs {
    by_id: BTreeMap<u32, Program>,
    /// Ids of the programs that use a map, by the map's id.
    of_maps: BTreeMap<u32, Vec<u32>>,
}

impl Programs {
    /// Asks for all programs of the machine: three calls for each.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN; EMFILE, ENOMEM.
    pub fn all() -> Result<Self> {
        let (mut programs, mut last) = (Self::default(), 0);
        while let Some(id) = next_prog_id(last)? {
            last = id;
            if let Some(program) = program(id)? {
                programs.add(program);
            }
        }
        Ok(programs)
    }

    fn add(&mut self, program: Program) {
        for map in &program.maps {
            self.of_maps.entry(*map).or_default().push(program.id);
        }
        self.by_id.insert(program.id, program);
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Program> {
        self.by_id.values()
    }

    /// The program with that id.
    pub fn get(&self, id: u32) -> Option<&Program> {
        self.by_id.get(&id)
    }

    /// Those that use a map, by id.
    pub fn of_map(&self, map: u32) -> impl Iterator<Item = &Program> {
        let ids = self.of_maps.get(&map).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| self.by_id.get(id))
    }
}

/// One program; `None` if there is none with that id, or no longer.
///
/// # Errors
/// As for [`Programs::all`].
pub fn program(id: u32) -> Result<Option<Program>> {
    match object::prog_by_id(id) {
        Ok(fd) => prog_info(fd.as_fd()).map(|info| Some(info.into())),
        Err(Error { errno: libc::ENOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Call, own};
    use super::*;
    use crate::sys::map::{NewMap, create, map_info};
    use crate::sys::processes::process;
    use libbpf_rs::libbpf_sys as bpf;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn maps_and_programs_find_each_other() {
        let mut programs = Programs::default();
        for (id, maps) in [(3, vec![10, 11]), (5, vec![]), (7, vec![11])] {
            programs.add(Program { id, name: format!("p{id}"), maps });
        }
        let of = |map| programs.of_map(map).map(|program| program.id).collect::<Vec<_>>();
        assert_eq!((of(10), of(11), of(12)), (vec![3], vec![3, 7], vec![]));
        assert_eq!(programs.iter().count(), 3);
        assert_eq!(programs.get(5).map(|program| program.name.as_str()), Some("p5"));
        assert!(programs.get(10).is_none());
    }

    /// A socket filter that names each of `maps` and does nothing.
    fn load(maps: &[OwnedFd]) -> Result<OwnedFd> {
        let mut insns: Vec<bpf::bpf_insn> = Vec::new();
        let insn = |code: u32, source: u32, imm| {
            let mut insn = bpf::bpf_insn { code: code as u8, imm, ..Default::default() };
            insn.set_src_reg(source as u8);
            insn
        };
        for map in maps {
            let load = bpf::BPF_LD | bpf::BPF_DW | bpf::BPF_IMM;
            insns.push(insn(load, bpf::BPF_PSEUDO_MAP_FD, map.as_raw_fd()));
            insns.push(insn(0, 0, 0));
        }
        insns.push(insn(bpf::BPF_ALU64 | bpf::BPF_MOV | bpf::BPF_K, 0, 0));
        insns.push(insn(bpf::BPF_JMP | bpf::BPF_EXIT, 0, 0));
        // SAFETY: the strings are NUL-terminated, there are as many instructions as said, and null
        // options are allowed.
        let prog = unsafe {
            bpf::bpf_prog_load(
                bpf::BPF_PROG_TYPE_SOCKET_FILTER,
                c"bpffuse_many".as_ptr(),
                c"GPL".as_ptr(),
                insns.as_ptr(),
                insns.len() as bpf::size_t,
                std::ptr::null_mut(),
            )
        };
        own(Call::ProgLoad, prog)
    }

    #[test]
    fn a_program_with_as_many_maps_as_may_be_is_found_by_each() {
        let Ok(maps) = (0..64).map(|_| create(&NewMap::small_array())).collect::<Result<Vec<_>>>()
        else {
            eprintln!("SKIPPED: no BPF maps can be created here");
            return;
        };
        let (many, few) = (load(&maps).expect("a program"), load(&maps[..1]).expect("another"));
        let id = |fd: &OwnedFd| prog_info(fd.as_fd()).expect("a program").id;
        let all = Programs::all().expect("the programs");
        let mut ids: Vec<u32> =
            maps.iter().map(|map| map_info(map.as_fd()).expect("a map").id).collect();
        for (at, map) in ids.iter().enumerate() {
            let of: Vec<u32> = all.of_map(*map).map(|program| program.id).collect();
            assert_eq!(of, if at == 0 { vec![id(&many), id(&few)] } else { vec![id(&many)] });
        }
        ids.sort_unstable();
        let found = all.get(id(&many)).expect("it is loaded");
        assert_eq!((found.name.as_str(), &found.maps), ("bpffuse_many", &ids));
        let gone = id(&few);
        drop(few);
        assert_eq!(program(gone), Ok(None));
        assert!(Programs::all().expect("the programs").get(gone).is_none());
    }

    /// Programs that come and go while all are asked for are no errors.
    #[test]
    fn programs_may_come_and_go() {
        let Ok(stays) = load(&[]) else {
            eprintln!("SKIPPED: no BPF programs can be loaded here");
            return;
        };
        let stays = prog_info(stays.as_fd()).map(|info| (info.id, stays)).expect("a program");
        let done = AtomicBool::new(false);
        let churn = || {
            while !done.load(Ordering::Relaxed) {
                drop(load(&[]));
            }
        };
        let all = || Programs::all().map(|all| all.get(stays.0).is_some());
        let found = std::thread::scope(|scope| {
            let writers = [scope.spawn(churn), scope.spawn(churn)];
            let found = (0..200).map(|_| all()).find(|found| *found != Ok(true));
            done.store(true, Ordering::Relaxed);
            writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
            found
        });
        assert_eq!(found, None);
    }

    #[test]
    fn who_holds_a_program_is_found() {
        let Ok(map) = create(&NewMap::small_array()) else {
            eprintln!("SKIPPED: no BPF maps can be created here");
            return;
        };
        let loaded = load(std::slice::from_ref(&map)).expect("a program");
        let id = prog_info(loaded.as_fd()).expect("a program").id;
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .stdin(std::process::Stdio::from(loaded))
            .spawn()
            .expect("sleep");
        let holder = process(child.id());
        let uses = program(id).map(|program| program.map(|program| program.maps));
        child.kill().expect("kill");
        child.wait().expect("the end");
        let holder = holder.expect("/proc").expect("it holds the program");
        assert_eq!((holder.maps, holder.programs), (vec![], vec![id]));
        assert_eq!(uses, Ok(Some(vec![map_info(map.as_fd()).expect("a map").id])));
        // Nobody else had it.
        assert_eq!(program(id), Ok(None));
    }
}

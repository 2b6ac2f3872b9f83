//! Which processes hold which maps.
//!
//! `/proc/PID/fd` of every process tells, at 4 us a descriptor. A program that runs over all open files
//! finds those few that are BPF's thirty times as fast, and which map or program each is; what others are is
//! then read from /proc. Where the program cannot be had, or tells the processes' ids of another namespace than /proc,
//! /proc alone is asked.

use super::kept::{Kept, MOST};
use super::program::*;
use crate::btf::Btf;
use crate::sys::processes::{self, Descriptor, Processes};
use std::io;

/// Bytes that a descriptor takes in what the program writes: the ids of process and thread, its number,
/// the map's id or 0, and the program's or 0, in 4 each.
const RECORD: usize = 20;

/// `ANON_INODE_FS_MAGIC` (`include/uapi/linux/magic.h`): the file system of what has no file.
const ANON_INODE_FS: i32 = 0x0904_1934;

/// What the programs run over.
const OVER: &str = "bpf_iter_task_file";

/// A kernel that is locked down lets no program read where no type says what is there, as this one does.
static WITH_IDS: Kept = Kept::new(c"bpffuse_holders", OVER, |btf| assemble(btf, &ids(btf)?));
static WITHOUT: Kept = Kept::new(c"bpffuse_holders", OVER, |btf| assemble(btf, &[]));

/// All processes that hold maps or programs.
///
/// # Errors
/// As for [`processes::processes`].
pub fn holders() -> io::Result<Processes> {
    let output = WITH_IDS.run().or_else(|| WITHOUT.run()).unwrap_or_default();
    let descriptors = read(&output);
    // The loaded program itself is a descriptor of ours.
    let ourselves = processes::ourselves()?;
    if descriptors.iter().any(|descriptor| descriptor.pid == ourselves) {
        let mut found = processes::holding(&descriptors)?;
        found.more |= output.len() as u64 >= MOST;
        Ok(found)
    } else {
        processes::processes()
    }
}

fn read(output: &[u8]) -> Vec<Descriptor> {
    let (records, _) = output.as_chunks::<RECORD>();
    let word = |record: &[u8; RECORD], at: usize| {
        let bytes = record.get(at * 4..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    let descriptor = |record| Descriptor {
        pid: word(record, 0),
        thread: word(record, 1),
        number: word(record, 2),
        map: Some(word(record, 3)).filter(|id| *id != 0),
        program: Some(word(record, 4)).filter(|id| *id != 0),
    };
    records.iter().map(descriptor).collect()
}

const LEN: i16 = RECORD as i16;

/// Where a short name is in a `struct dentry`: in the struct itself, by another member's name since Linux
/// 6.14.
fn name(btf: &Btf) -> Option<i16> {
    offset(btf, "dentry", "d_shortname").or_else(|| offset(btf, "dentry", "d_iname"))
}

/// Where the program keeps what it has read on its way to an id, below the record.
const READ: i16 = -32;

/// The last type of link (`enum bpf_link_type`) that is known below.
const LAST_LINK: i32 = 13;

/// The types of links that hold a program and no map, a bit each: not iterators (4) and struct_ops (9), and
/// not what is newer than these.
const LINKS_WITHOUT_MAP: i32 = 0b11_1101_1110_1110;

/// A part of the program: puts the id of a map, or of a program, or of a link's one, into the record. The
/// file is r7, its dentry r9.
fn ids(btf: &Btf) -> Option<Vec<u64>> {
    // What is `len` bytes at a place in what r3 points to.
    let read = |at: (&str, &str), len: i32, to: i16| {
        Some([
            insn(ADD_NUMBER, 3, 0, 0, offset(btf, at.0, at.1)?.into()),
            insn(MOVE_NUMBER, 2, 0, 0, len),
            insn(MOVE, 1, 10, 0, 0),
            insn(ADD_NUMBER, 1, 0, 0, to.into()),
            insn(CALL, 0, 0, 0, PROBE_READ_KERNEL),
        ])
    };
    let object = insn(LOAD64, 3, 7, offset(btf, "file", "private_data")?, 0);
    let pointer = insn(LOAD64, 3, 10, READ, 0);

    let map = read(("bpf_map", "id"), 4, 12 - LEN)?;
    let mut program = read(("bpf_prog", "aux"), 8, READ)?.to_vec();
    program.push(pointer);
    program.extend(read(("bpf_prog_aux", "id"), 4, 16 - LEN)?);
    let mut link = read(("bpf_link", "prog"), 8, READ)?.to_vec();
    link.push(pointer);
    let to_end = (link.len() + program.len()) as i16 + 1;
    let mut link_type = read(("bpf_link", "type"), 4, READ)?.to_vec();
    link_type.extend([
        insn(LOAD32, 1, 10, READ, 0),
        insn(IF_GREATER, 1, 0, to_end + 4, LAST_LINK),
        insn(MOVE_NUMBER, 2, 0, 0, 1),
        insn(SHIFT_LEFT, 2, 1, 0, 0),
        insn(AND_NUMBER, 2, 0, 0, LINKS_WITHOUT_MAP),
        insn(IF_EQUAL, 2, 0, to_end, 0),
        object,
    ]);

    let link = [link_type, link].concat();
    let [over_map, over_link] = [map.len(), link.len()].map(|len| len as i16 + 1);
    let to_end = over_link + program.len() as i16 - 1;
    let [is_map, is_program, is_link] = [*b"map\0", *b"prog", *b"link"].map(i32::from_ne_bytes);
    let mut part = vec![
        object,
        insn(LOAD32, 4, 9, name(btf)?.checked_add(4)?, 0),
        insn(IF_NOT_EQUAL_32, 4, 0, over_map, is_map),
    ];
    part.extend(map);
    part.extend([
        insn(GO_ON, 0, 0, to_end + 2, 0),
        insn(IF_EQUAL_32, 4, 0, over_link, is_program),
        insn(IF_NOT_EQUAL_32, 4, 0, to_end, is_link),
    ]);
    part.extend(link);
    part.extend(program);
    Some(part)
}

/// The program: called for each open file, it writes a record of one that has no file and whose name
/// begins with `bpf`: only the kernel gives such names there. `more` completes the record.
fn assemble(btf: &Btf, more: &[u64]) -> Option<Vec<u64>> {
    let context = |member| offset(btf, "bpf_iter__task_file", member);
    let dentry = offset(btf, "file", "f_path")?.checked_add(offset(btf, "path", "dentry")?)?;
    let [bpf, bpf_] = [*b"bpf-", *b"bpf_"].map(i32::from_ne_bytes);

    let mut write = vec![
        // The task is r8.
        insn(LOAD32, 1, 8, offset(btf, "task_struct", "tgid")?, 0),
        insn(STORE32, 10, 1, -LEN, 0),
        insn(LOAD32, 1, 8, offset(btf, "task_struct", "pid")?, 0),
        insn(STORE32, 10, 1, 4 - LEN, 0),
        insn(LOAD32, 1, 6, context("fd")?, 0),
        insn(STORE32, 10, 1, 8 - LEN, 0),
        insn(SET32, 10, 0, 12 - LEN, 0),
        insn(SET32, 10, 0, 16 - LEN, 0),
    ];
    write.extend(more);
    write.extend([
        insn(LOAD64, 1, 6, context("meta")?, 0),
        insn(LOAD64, 1, 1, offset(btf, "bpf_iter_meta", "seq")?, 0),
        insn(MOVE, 2, 10, 0, 0),
        insn(ADD_NUMBER, 2, 0, 0, (-LEN).into()),
        insn(MOVE_NUMBER, 3, 0, 0, LEN.into()),
        insn(CALL, 0, 0, 0, SEQ_WRITE),
    ]);
    let rest = write.len() as i16;
    // The file is r7.
    let filter = [
        insn(LOAD64, 1, 7, offset(btf, "file", "f_inode")?, 0),
        insn(LOAD64, 1, 1, offset(btf, "inode", "i_sb")?, 0),
        insn(LOAD64, 1, 1, offset(btf, "super_block", "s_magic")?, 0),
        insn(IF_NOT_EQUAL, 1, 0, rest + 4, ANON_INODE_FS),
        insn(LOAD64, 9, 7, dentry, 0),
        insn(LOAD32, 1, 9, name(btf)?, 0),
        insn(IF_EQUAL_32, 1, 0, 1, bpf),
        insn(IF_NOT_EQUAL_32, 1, 0, rest, bpf_),
    ];
    let rest = rest + filter.len() as i16;
    let mut program = vec![
        insn(MOVE, 6, 1, 0, 0),
        // At the end of the list there is neither.
        insn(LOAD64, 7, 6, context("file")?, 0),
        insn(IF_EQUAL, 7, 0, rest + 2, 0),
        insn(LOAD64, 8, 6, context("task")?, 0),
        insn(IF_EQUAL, 8, 0, rest, 0),
    ];
    program.extend(filter);
    program.extend(write);
    program.extend([insn(MOVE_NUMBER, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::map::{NewMap, create, map_info};
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn maps_are_told_by_id_and_found_without() {
        let (Ok(map), Some(known), Some(plain)) =
            (create(&NewMap::small_array()), WITH_IDS.run(), WITHOUT.run())
        else {
            eprintln!("SKIPPED: no BPF iterators can be loaded here");
            return;
        };
        let number = map.as_raw_fd() as u32;
        let id = map_info(map.as_fd()).expect("a map").id;
        let ours = |output: &[u8]| {
            let is_it = |d: &Descriptor| d.pid == std::process::id() && d.number == number;
            read(output).into_iter().find(is_it).map(|descriptor| descriptor.map)
        };
        assert_eq!((ours(&known), ours(&plain)), (Some(Some(id)), Some(None)));
    }
}

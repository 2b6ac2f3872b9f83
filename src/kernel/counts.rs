//! How many elements the maps of this machine have, without a walk over any.
//!
//! Since Linux 6.6 a map of the hash kinds counts what is put in and taken out, for each CPU, and the
//! kernel's function `bpf_map_sum_elem_count` adds that up. A program that runs over all maps gives
//! every map's number at once: 0.2 us a map, whatever it holds.

use super::kept::Kept;
use super::program::*;
use crate::btf::Btf;

/// Bytes that a map takes in what the program writes: its id in 8, its count in 8.
const RECORD: usize = 16;

/// The numbers of elements of all maps that count them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Map id and count, by id.
    counts: Vec<(u32, u64)>,
}

impl Counts {
    /// How many elements the map with this id has; `None` if it does not count, or did not exist when
    /// the kernel was asked.
    ///
    /// A map that programs change meanwhile has a number from some moment of the question, give or take
    /// what each CPU was about to do.
    pub fn of(&self, map: u32) -> Option<u64> {
        let at = self.counts.binary_search_by_key(&map, |(id, _)| *id).ok()?;
        self.counts.get(at).map(|(_, count)| *count)
    }

    fn read(output: &[u8]) -> Self {
        let (records, _) = output.as_chunks::<RECORD>();
        let counts = records.iter().map(|record| {
            let (id, count) = record.split_at(RECORD / 2);
            let number =
                |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
            // Of an element that one CPU put in and another took out meanwhile, the taking alone may be
            // counted: the sum may be negative.
            (number(id) as u32, u64::try_from(number(count)).unwrap_or(0))
        });
        let mut counts: Vec<_> = counts.collect();
        // As the kernel gives them, unless it has begun to use ids again.
        counts.sort_unstable();
        Self { counts }
    }
}

/// Asks for all maps' counts. `None` where the kernel cannot tell: before Linux 6.6, without a JIT or
/// its BTF, or if we may not load the program (CAP_BPF, CAP_PERFMON).
pub fn counts() -> Option<Counts> {
    static PROGRAM: Kept = Kept::new(c"bpffuse_counts", "bpf_iter_bpf_map", assemble);
    PROGRAM.run().map(|output| Counts::read(&output))
}

/// The program: called for each map, it writes a record of one that counts.
fn assemble(btf: &Btf) -> Option<Vec<u64>> {
    let sum = function(btf, "bpf_map_sum_elem_count")?.cast_signed();
    const LEN: i16 = RECORD as i16;
    let write = [
        // The map is r7.
        insn(MOVE, 1, 7, 0, 0),
        insn(CALL, 0, OF_KERNEL, 0, sum),
        insn(STORE64, 10, 0, 8 - LEN, 0),
        insn(LOAD32, 1, 7, offset(btf, "bpf_map", "id")?, 0),
        insn(STORE64, 10, 1, -LEN, 0),
        insn(LOAD64, 1, 6, offset(btf, "bpf_iter__bpf_map", "meta")?, 0),
        insn(LOAD64, 1, 1, offset(btf, "bpf_iter_meta", "seq")?, 0),
        insn(MOVE, 2, 10, 0, 0),
        insn(ADD_NUMBER, 2, 0, 0, (-LEN).into()),
        insn(MOVE_NUMBER, 3, 0, 0, LEN.into()),
        insn(CALL, 0, 0, 0, SEQ_WRITE),
    ];
    let rest = write.len() as i16;
    let mut program = vec![
        insn(MOVE, 6, 1, 0, 0),
        insn(LOAD64, 7, 6, offset(btf, "bpf_iter__bpf_map", "map")?, 0),
        // At the end of the list there is no map.
        insn(IF_EQUAL, 7, 0, rest + 2, 0),
        // Kinds that do not count have no counters, and the function says 0 of them.
        insn(LOAD64, 1, 7, offset(btf, "bpf_map", "elem_count")?, 0),
        insn(IF_EQUAL, 1, 0, rest, 0),
    ];
    program.extend(write);
    program.extend([insn(MOVE_NUMBER, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_id() {
        let record = |id: u64, count: i64| [id.to_ne_bytes(), count.to_ne_bytes()].concat();
        let mut output = [record(7, 3), record(2, 1 << 40), record(9, -1)].concat();
        // A read that was cut short.
        output.extend([1; 5]);
        let counts = Counts::read(&output);
        assert_eq!([7, 2, 9, 3].map(|id| counts.of(id)), [Some(3), Some(1 << 40), Some(0), None]);
    }
}

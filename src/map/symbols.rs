//! The kernel's symbols, by address (`/proc/kallsyms`).

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Symbols are read again after this long: modules and BPF programs come and go.
const FRESH: Duration = Duration::from_secs(1);

/// A symbol farther away than this is not an address's own. User space's addresses are lower than any symbol, but
/// for s390x, where both count from 0.
const FARTHEST: u64 = 1 << 24;

static LAST: Mutex<Option<(Instant, Arc<Symbols>)>> = Mutex::new(None);

/// Where the kernel's functions begin.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// Address, and where the name is in `names`; by address.
    starts: Vec<(u64, u32, u32)>,
    names: String,
}

/// The symbols as they are now, or were less than a second ago: reading them takes 50 ms.
pub(super) fn current() -> Arc<Symbols> {
    let mut last = LAST.lock();
    match &*last {
        Some((read, symbols)) if read.elapsed() < FRESH => Arc::clone(symbols),
        _ => {
            let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
            let symbols = Arc::new(Symbols::parse(&text));
            *last = Some((Instant::now(), Arc::clone(&symbols)));
            symbols
        }
    }
}

impl Symbols {
    fn parse(text: &str) -> Self {
        let mut symbols = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            // All zero without the right to see them.
            let address = u64::from_str_radix(address, 16).unwrap_or(0);
            if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
                continue;
            }
            let at = symbols.names.len() as u32;
            symbols.names.push_str(name);
            symbols.starts.push((address, at, name.len() as u32));
        }
        symbols.starts.sort_unstable();
        symbols
    }

    /// `0xADDRESS`, and behind it the function and the offset in it, if it is known.
    pub(super) fn describe(&self, address: u64) -> String {
        let after = self.starts.partition_point(|(start, ..)| *start <= address);
        let found = after.checked_sub(1).and_then(|at| self.starts.get(at));
        match found {
            Some(&(start, at, len)) if address - start < FARTHEST => {
                let name = self.names.get(at as usize..(at + len) as usize).unwrap_or_default();
                format!("{address:#x} {name}+{:#x}", address - start)
            }
            _ => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_find_their_function() {
        let symbols = Symbols::parse(
            "ffffffff81000200 T second\nffffffff81000100 t first\t[module]\n\
             ffffffff81000180 D data\n0000000000000000 T hidden\n",
        );
        assert_eq!(symbols.describe(0xffff_ffff_8100_01ff), "0xffffffff810001ff first+0xff");
        assert_eq!(symbols.describe(0xffff_ffff_8100_0200), "0xffffffff81000200 second+0x0");
        assert_eq!(symbols.describe(0xffff_ffff_8100_00ff), "0xffffffff810000ff");
        assert_eq!(symbols.describe(0x7fff_1234), "0x7fff1234");
    }
}

//! `/.metrics`: how full the machine's maps are, what programs cost, and what was refused here, in the text
//! format that Prometheus reads.

use super::machine;
use super::pins::Pins;
use super::table;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Result, errno_name};
use crate::fs::base::exposition::Exposition;
use crate::fs::base::maps::Maps;
use crate::fs::base::refusals::Refusals;
use crate::kernel::counts::counts;
use crate::map::Listing;
use crate::sys::info::ProgInfo;
use crate::sys::map::kind::MapKind;
use std::fs;
use std::os::fd::AsFd;

/// A metric of a map: its name, its help, and its number of a map, if that has one.
type OfMap = (&'static str, &'static str, fn(&Counted) -> Option<u64>);

const OF_MAPS: [OfMap; 3] = [
    (
        "bpf_map_entries",
        "Elements in the map; not of arrays, which are always full, nor where only a long walk would tell.",
        |map| map.entries,
    ),
    ("bpf_map_max_entries", "Elements that the map has room for.", |map| map.max_entries),
    ("bpf_map_memory_bytes", "Memory of the map, as the kernel accounts for it.", |map| map.memory),
];

/// What is counted of a map, under each of its pins.
struct Counted {
    labels: [String; 3],
    pins: Vec<String>,
    entries: Option<u64>,
    max_entries: Option<u64>,
    memory: Option<u64>,
}

/// The text.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; EMFILE and the like if not all could be looked at.
pub fn text(maps: &Maps, pins: &Pins, refusals: &Refusals, caller: Caller) -> Result<Vec<u8>> {
    let mut text = Exposition::default();
    let counted = count_all(maps, pins, caller)?;
    for (name, help, number) in OF_MAPS {
        text.metric(name, "gauge", help);
        for map in &counted {
            let Some(number) = number(map) else { continue };
            let [id, map_name, kind] = &map.labels;
            for pin in &map.pins {
                let labels = [("id", id), ("name", map_name), ("type", kind), ("pin", pin)];
                text.sample(name, labels.map(|(label, value)| (label, value.as_str())), number);
            }
        }
    }
    if programs_are_counted() {
        of_programs(&mut text)?;
    }
    let name = "bpffuse_refusals_total";
    text.metric(
        name,
        "counter",
        "Operations that this mount has refused, as /.errors tells of them.",
    );
    for (errno, times) in refusals.counts() {
        text.sample(name, [("errno", errno_name(errno).as_str())], times);
    }
    Ok(text.into_bytes())
}

fn count_all(maps: &Maps, pins: &Pins, caller: Caller) -> Result<Vec<Counted>> {
    let counts = counts();
    let mut pins = pins.of_all(&maps.bpffs, caller)?;
    let mut counted = Vec::new();
    for map in machine::maps()? {
        let (fd, info) = map?;
        let kind = MapKind::of(info.map_type);
        let memory = crate::sys::info::fdinfo(fd.as_fd(), "memlock");
        let is_full = kind.listing == Listing::Index;
        counted.push(Counted {
            labels: [info.id.to_string(), info.name.clone(), table::type_of(&info)],
            pins: pins.remove(&info.id).unwrap_or_else(|| vec![String::new()]),
            max_entries: Some(info.max_entries.into()),
            memory: memory.and_then(|bytes| bytes.parse().ok()),
            entries: if is_full { None } else { table::count_shortly(fd, &info, counts.as_ref()) },
        });
        caller.go_on()?;
    }
    Ok(counted)
}

/// Whether the kernel counts what programs run: `kernel.bpf_stats_enabled`.
fn programs_are_counted() -> bool {
    fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|on| on.trim() == "1")
}

fn of_programs(text: &mut Exposition) -> Result<()> {
    let programs = machine::programs()?.collect::<Result<Vec<_>>>()?;
    let mut metric = |name: &str, help: &str, number: fn(&ProgInfo) -> String| {
        text.metric(name, "counter", help);
        for program in &programs {
            let id = program.id.to_string();
            let labels = [("id", &*id), ("name", &*program.name), ("type", &*program.type_name)];
            text.sample(name, labels, number(program));
        }
    };
    metric("bpf_program_run_seconds_total", "Time that the program ran.", |program| {
        let ns = program.run_time_ns;
        format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
    });
    metric("bpf_program_runs_total", "How often the program ran.", |program| {
        program.run_cnt.to_string()
    });
    Ok(())
}

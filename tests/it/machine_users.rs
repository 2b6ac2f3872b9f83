//! Who uses the machine's maps: programs of others', processes that hold no map by themselves, and what
//! comes and goes meanwhile.

use crate::common::require::require;
use crate::common::{Bed, eventually, key32, object};
use crate::kinds_common::{Holder, Programs, prog_id};
use bpffuse::sys::map::{NewMap, create, kind};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// The lines of `.maps.json`, by id.
fn maps(bed: &Bed) -> BTreeMap<u64, Value> {
    let text = bed.read(".maps.json");
    let object =
        |line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(object).map(|map| (map["id"].as_u64().expect("an id"), map)).collect()
}

/// The words of a map's line in `.maps`, by the header's.
fn row(bed: &Bed, id: u32) -> BTreeMap<String, String> {
    let text = bed.read(".maps");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let header = words(text.lines().next().expect("a header"));
    let row = text.lines().map(words).find(|row| row[0] == id.to_string()).expect("a line");
    assert_eq!(header.len(), row.len(), "{text}");
    header.into_iter().zip(row).collect()
}

/// A process that holds a program, and so the program's maps, but no map by itself.
#[test]
fn a_process_that_holds_a_program_alone() {
    require!("root", "bpf", "fuse", "python3", "clang");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "links");
    let id = prog_id(&bed, "count_switches");
    // Nobody holds it any more but its pin.
    drop(programs);
    let (holder, _) =
        Holder::start(&bed, "bpf_get('bpf/p/count_switches')\nready()\ntime.sleep(1000)");
    let pid = holder.pid();
    let map: Value = serde_json::from_str(&bed.read("calls/.info")).unwrap();
    let map_id = map["id"].as_u64().unwrap();
    assert_eq!(map["programs"], serde_json::json!([{"id": id, "name": "count_switches"}]));
    assert_eq!(map["processes"], serde_json::json!([{"pid": pid, "comm": "python3"}]));
    assert!(bed.list(".pid").contains(&pid.to_string()));
    for dir in [format!(".pid/{pid}"), format!(".prog/{id}")] {
        let names = bed.list(&dir);
        let leads = |name: &String| {
            let target = std::fs::read_link(bed.at(&format!("{dir}/{name}"))).unwrap();
            target.to_str() == Some(&*format!("../../.id/{map_id}"))
        };
        assert!(names.iter().any(leads), "{dir}: {names:?}");
        bed.ok(&format!("cd mnt/{dir}; for map in *; do jq .id $map/.info; done"));
    }
    let line = row(&bed, map_id as u32);
    // Beside the test of a list that was cut off, this one is, too.
    assert_eq!(line["PROCESSES"].trim_end_matches(",…"), format!("{pid}:python3"));
    assert_eq!(line["PROGRAMS"], format!("{id}:count_switches"));
    drop(holder);
    eventually("the process is gone", || !bed.at(&format!(".pid/{pid}")).exists());
    let map: Value = serde_json::from_str(&bed.read("calls/.info")).unwrap();
    assert_eq!(map["processes"], serde_json::json!([]));
}

/// What ends meanwhile is left out, nothing fails because of it.
#[test]
fn what_ends_meanwhile_is_left_out() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let stays = bed.hash("stays").info.id;
    let new = NewMap {
        map_type: kind::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..NewMap::default()
    };
    // One without a name that stays: of the others there may be none at the moment of a look.
    let _nameless = create(&new).expect("a map");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                drop((0..20).map(|_| create(&new).expect("a map")).collect::<Vec<_>>());
                let _ = std::process::Command::new("true").status();
            }
        });
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..15 {
                assert!(maps(&bed).contains_key(&stays.into()));
                assert_eq!(row(&bed, stays)["COUNT"], "0");
                assert!(bed.list(".name").iter().any(|name| name.contains(':')));
                bed.list(".pid");
                bed.list(".prog");
            }
        }));
        done.store(true, Ordering::Relaxed);
        looked.expect("nothing fails");
    });
}

/// The small programs that tell counts and holders stay loaded only while somebody asks.
#[test]
fn what_is_asked_for_is_not_kept_for_good() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[1; 8]);
    let links = || {
        let names = std::fs::read_dir(format!("/proc/{}/fd", bed.pid())).unwrap().flatten();
        let targets = names.filter_map(|name| std::fs::read_link(name.path()).ok());
        targets.filter(|target| target.to_string_lossy().contains("bpf_link")).count()
    };
    assert_eq!(links(), 0);
    for _ in 0..20 {
        assert_eq!(bed.read("h/.count"), "1\n");
        bed.read("h/.info");
    }
    assert!(links() <= 2, "each is loaded once");
    eventually("they are unloaded", || links() == 0);
}

/// "A list that ends in `…` may have more": of links that may hold a map, too, only /proc tells, and it has an end.
#[test]
fn a_list_that_was_cut_off_says_so() {
    require!("root", "bpf", "fuse", "python3", "clang", "bpftool");
    let bed = Bed::new();
    bed.hash("held");
    bed.ok(&format!("bpftool iter pin {} bpf/tasks", object::compile("objects").display()));
    let hold = "
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (18_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
bpf_get('bpf/held')
link = bpf_get('bpf/tasks')
for _ in range(17_000): os.dup(link)
os.setuid(65534)
libc.prctl(4, 1, 0, 0, 0)
ready()
time.sleep(1000)";
    let holders = [(); 6].map(|()| Holder::start(&bed, hold).0);
    // In a moment: whoever asks who holds a map looks at all of these.
    let told = bed.run(
        "ls mnt/.pid | tail -n 1; cat mnt/.pid/…; grep held mnt/.maps | grep -o ',…$'
         jq -r .processes_unknown mnt/held/.info",
    );
    drop(holders);
    let sign = "a user has more descriptors than are looked at: there may be more processes\n";
    assert_eq!(told.ok(), format!("…\n{sign},…\n{sign}"));
    eventually("all is looked at", || !bed.at(".pid/…").exists());
    assert!(!bed.list(".pid").contains(&"…".to_owned()));
}

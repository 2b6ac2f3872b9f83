//! `/.maps`, `/.maps.json`, `/.name`, `/.prog`, `/.pid`: every map of the machine, and who uses it. Other
//! tests' maps, programs and processes come and go meanwhile.

use crate::common::require::require;
use crate::common::{Bed, Kind, eventually, key32};
use crate::kinds_common::{Holder, Programs, prog_id};
use bpffuse::kernel::counts::counts;
use bpffuse::sys::map::{NewMap, create, kind, map_info};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};

const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";

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

/// "A table for people", and "the same, one JSON object a line".
#[test]
fn tables_tell_all_of_a_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let (full, array) = (bed.hash("full"), bed.map("array", Kind::Array, 4, 8, 50));
    (0..7).for_each(|n| full.set(&key32(n), &[1; 8]));
    let (full, array) = (full.info, array.info);
    let line = row(&bed, full.id);
    let expected = [("TYPE", "hash"), ("KEY", "4"), ("VALUE", "8"), ("COUNT", "7")];
    for (column, word) in expected {
        assert_eq!(line[column], word, "{line:?}");
    }
    assert_eq!(line["MAX"], full.max_entries.to_string());
    assert_eq!(line["USE%"], (700 / full.max_entries).to_string());
    assert_eq!(line["PINS"], bed.pin("full").to_str().unwrap());
    // An array is full, which says nothing.
    let line = row(&bed, array.id);
    assert_eq!((line["COUNT"].as_str(), line["USE%"].as_str()), ("50", "-"), "{line:?}");
    let all = maps(&bed);
    let of_file: Value = serde_json::from_str(&bed.read("full/.info")).unwrap();
    let of_table = &all[&full.id.into()];
    for member in ["type", "name", "count", "max_entries", "memlock", "pins", "programs"] {
        assert_eq!(of_table[member], of_file[member], "{member}");
    }
    assert_eq!(of_table["count"], 7);
    assert_eq!(all[&array.id.into()]["count"], 50);
}

/// "Where several maps share a name each is `NAME:N`, and NAME alone is the newest (not listed)."
#[test]
fn a_thousand_maps_of_one_name() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let name = format!("many{}", std::process::id());
    let new = NewMap {
        map_type: kind::HASH,
        name: name.clone(),
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        flags: 1,
        ..NewMap::default()
    };
    let made: Vec<_> = (0..1000).map(|_| create(&new).expect("a map")).collect();
    let ids: Vec<u32> = made.iter().map(|fd| map_info(fd.as_fd()).expect("a map").id).collect();
    let listed = bed.list(".name");
    for id in &ids {
        assert!(listed.contains(&format!("{name}:{id}")));
    }
    assert!(!listed.contains(&name));
    let (first, last) = (ids[0], ids[999]);
    let target = |name: &str| std::fs::read_link(bed.at(name)).unwrap();
    assert_eq!(
        target(&format!(".name/{name}:{first}")).to_str(),
        Some(&*format!("../.id/{first}"))
    );
    assert_eq!(target(&format!(".name/{name}")).to_str(), Some(&*format!("../.id/{last}")));
    bed.ok(&format!("echo 5 > mnt/.name/{name}/3; test $(cat mnt/.id/{last}/3) = 5"));
    let all = maps(&bed);
    assert!(ids.iter().all(|id| all[&u64::from(*id)]["name"] == name.as_str()));
    assert_eq!(row(&bed, last)["USE%"], if counts().is_some() { "100" } else { "-" });
    drop(made);
    assert!(std::fs::read_link(bed.at(&format!(".name/{name}:{first}"))).is_err());
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
    assert_eq!(line["PROCESSES"], format!("{pid}:python3"));
    assert_eq!(line["PROGRAMS"], format!("{id}:count_switches"));
    drop(holder);
    eventually("the process is gone", || !bed.at(&format!(".pid/{pid}")).exists());
    let map: Value = serde_json::from_str(&bed.read("calls/.info")).unwrap();
    assert_eq!(map["processes"], serde_json::json!([]));
}

/// A program of others' that pins nothing, in the background, and its pid.
fn tool(bed: &Bed, command: &str) -> (Child, u32) {
    let mut tool = bed.spawn(&format!("echo $$; exec {command}"));
    let mut line = String::new();
    BufReader::new(tool.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("its pid");
    (tool, line.trim().parse().expect("its pid"))
}

/// Waits until the process has maps with these words in their names.
fn wait_for_maps(bed: &Bed, pid: u32, wanted: &[&str]) {
    eventually(&format!("there are maps {wanted:?}"), || {
        let names = std::fs::read_dir(bed.at(&format!(".pid/{pid}"))).into_iter().flatten();
        let names: Vec<_> = names.flatten().map(|name| name.file_name()).collect();
        let has = |wanted: &&str| names.iter().any(|name| name.to_string_lossy().contains(wanted));
        wanted.iter().all(has)
    });
}

/// Ends it, and looks that it is not there any more.
fn end(bed: &Bed, (mut tool, pid): (Child, u32)) {
    crate::common::bed::signal("INT", pid);
    tool.wait().expect("its end");
    eventually("its maps are gone", || !bed.at(&format!(".pid/{pid}")).exists());
}

/// bpftrace pins nothing: its maps are found by its process, in the second command.
#[test]
fn the_maps_of_bpftrace() {
    require!("root", "bpf", "fuse", "bpftrace");
    let bed = Bed::new();
    let tracer = tool(
        &bed,
        "bpftrace -e 'BEGIN { @starts = count(); @seen[7] = 42; @sizes = hist(9); }
         interval:s:1000 { exit(); }'",
    );
    wait_for_maps(&bed, tracer.1, &["starts", "seen", "sizes"]);
    let seen = format!("cat mnt/.pid/{}/*seen*/.entries", tracer.1);
    eventually("BEGIN has run", || bed.run(&seen).stdout.contains("\"key\":"));
    end(&bed, tracer);
}

/// Debian's libbpf-tools keep what they count in maps that they do not pin either.
#[test]
fn the_maps_of_libbpf_tools() {
    require!("root", "bpf", "fuse", "runqlat", "softirqs");
    let bed = Bed::new();
    let tools = [("runqlat 1000", "hists"), ("softirqs 1000", "bss")];
    let tools = tools.map(|(command, wanted)| {
        let tool = tool(&bed, command);
        wait_for_maps(&bed, tool.1, &[wanted]);
        (tool, command.split(' ').next().expect("a word"))
    });
    for (tool, name) in &tools {
        let dir = format!(".pid/{}", tool.1);
        for map in bed.list(&dir) {
            let info: Value =
                serde_json::from_str(&bed.read(&format!("{dir}/{map}/.info"))).unwrap();
            let holder = serde_json::json!({"pid": tool.1, "comm": name});
            assert!(info["processes"].as_array().expect("a list").contains(&holder), "{info}");
        }
        // Its programs use its maps.
        let told = bed.ok(&format!(
            "cd mnt/{dir}; for map in *; do jq -r '.programs[].name' $map/.info; done"
        ));
        assert!(told.lines().count() >= 2, "{name}: {told:?}");
    }
    tools.into_iter().for_each(|(tool, _)| end(&bed, tool));
}

/// "What ends meanwhile is left out, nothing fails because of it."
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

/// "All of this is the mount owner's alone (0700, 0400)."
#[test]
fn nobody_else_sees_the_machine() {
    require!("root", "bpf", "fuse", "setpriv", "jq");
    let bed = Bed::with(&["-o", "allow_other"]);
    let id = bed.hash("open").info.id;
    bed.ok("chmod o+r bpf/open");
    for name in [".maps", ".maps.json"] {
        assert_eq!(bed.ok(&format!("stat -c %a mnt/{name}")), "400\n");
        bed.fails_with(&format!("{NOBODY} cat mnt/{name}"), "Permission denied");
    }
    for name in [".name", ".prog", ".pid"] {
        assert_eq!(bed.ok(&format!("stat -c %a mnt/{name}")), "700\n");
        bed.fails_with(&format!("{NOBODY} ls mnt/{name}"), "Permission denied");
        bed.fails_with(&format!("{NOBODY} ls mnt/{name}/1"), "Permission denied");
    }
    bed.fails_with(&format!("{NOBODY} ls mnt/.id/{id}"), "Permission denied");
    let told = bed.ok(&format!("{NOBODY} jq -c 'has(\"processes\")' mnt/open/.info"));
    assert_eq!(
        (told.as_str(), bed.ok("jq -c 'has(\"processes\")' mnt/open/.info")),
        ("false\n", "true\n".to_owned())
    );
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

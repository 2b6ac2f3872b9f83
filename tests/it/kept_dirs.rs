//! The kernel keeps directories, and yet whoever does something below one meets what is there.
//!
//! A table: what another program does to bpffs by calls of its own, times what a user asks for next. Each
//! cell is one call right after the change, again and again, with the kernel's picture warm. Each round
//! goes from one of two states to the other. `BPFFUSE_ROUNDS=10000 BPFFUSE_TEST_PATIENCE=20` is
//! for longer (half an hour), and `BPFFUSE_CELL='mode × open'` for some cells.

use crate::common::kernel::since;
use crate::common::require::require;
use crate::common::{Bed, RawMap, errno, key32};
use bpffuse::sys::acting::acting_only_as;
use bpffuse::sys::{object, os};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{self, AccessFlags};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const USER: libc::uid_t = 1111;

fn rounds() -> usize {
    std::env::var("BPFFUSE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Two maps, each in directories of its own: `up/a/h` and what takes its place.
struct Ground {
    bed: Bed,
    maps: [RawMap; 2],
}

/// What is at `up/a/h` after a change.
#[derive(Debug, Clone, Copy, PartialEq)]
enum There {
    /// One of the two maps.
    Map(usize),
    Refused(i32),
}

struct Change {
    what: &'static str,
    /// Makes the first or the second state.
    make: fn(&Ground, bool),
    second: There,
    /// Whether it is done to a directory of the bpffs, and not to the map alone.
    of_dir: bool,
    /// Whether it sets a state, and does not go to and fro.
    sets: bool,
}

struct Ask {
    what: &'static str,
    /// Asks for something of the map at a path; tells which map that reached, if that can be seen.
    ask: fn(&Ground, &Path) -> io::Result<Option<usize>>,
    /// Whether it is asked for in the directory that the map is in.
    in_dir: bool,
    by_root: bool,
}

impl Ground {
    fn new(args: &[&str]) -> Self {
        let mut all = vec!["-o", "allow_other"];
        all.extend(args);
        let bed = Bed::with(&all);
        for dir in ["up", "up/a", "up/z", "other", "other/a", "mid"] {
            fs::create_dir(bed.pin(dir)).unwrap();
            open_to(&bed.pin(dir), 0o755);
        }
        open_to(&bed.bpf, 0o755);
        let maps = ["up/a/h", "up/z/h"].map(|pin| bed.hash(pin));
        for (map, value) in maps.iter().zip([7_u64, 42]) {
            for key in [1, 3] {
                map.set(&key32(key), &value.to_ne_bytes());
            }
        }
        maps[1].set(&key32(5), &[0; 8]);
        fs::hard_link(bed.pin("up/z/h"), bed.pin("up/a/g")).unwrap();
        fs::hard_link(bed.pin("up/z/h"), bed.pin("other/a/h")).unwrap();
        std::os::unix::fs::symlink("z", bed.pin("up/l")).unwrap();
        open_to(&bed.pin("up/a/h"), 0o666);
        open_to(&bed.pin("up/z/h"), 0o666);
        Self { bed, maps }
    }

    fn pin(&self, name: &str) -> PathBuf {
        self.bed.pin(name)
    }

    fn exchange(&self, one: &str, other: &str) {
        match os::rename(&self.pin(one), &self.pin(other), libc::RENAME_EXCHANGE) {
            Ok(()) => {}
            // Older kernels' bpffs has no such call: to who asks afterwards three are the same.
            Err(error) if error.errno == libc::EINVAL => {
                self.rename(one, "third");
                self.rename(other, one);
                self.rename("third", other);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.pin(from), self.pin(to)).unwrap();
    }

    fn mode(&self, name: &str, is_second: bool, mode: u32) {
        open_to(&self.pin(name), if is_second { mode } else { 0o755 });
    }
}

fn open_to(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const CHANGES: &[Change] = &[
    Change {
        what: "the map and another exchanged",
        make: |ground, _| ground.exchange("up/a/h", "up/a/g"),
        second: There::Map(1),
        of_dir: false,
        sets: false,
    },
    Change {
        what: "its directory and another exchanged",
        make: |ground, _| ground.exchange("up/a", "up/z"),
        second: There::Map(1),
        of_dir: true,
        sets: false,
    },
    Change {
        what: "the directory above and another exchanged",
        make: |ground, _| ground.exchange("up", "other"),
        second: There::Map(1),
        of_dir: true,
        sets: false,
    },
    Change {
        what: "its directory and a symlink exchanged",
        make: |ground, _| ground.exchange("up/a", "up/l"),
        second: There::Map(1),
        of_dir: true,
        sets: false,
    },
    Change {
        what: "the map renamed",
        make: |ground, second| match second {
            true => ground.rename("up/a/h", "up/a/away"),
            false => ground.rename("up/a/away", "up/a/h"),
        },
        second: There::Refused(libc::ENOENT),
        of_dir: false,
        sets: false,
    },
    Change {
        what: "the map unpinned, and pinned anew",
        make: |ground, second| {
            if second {
                fs::remove_file(ground.pin("up/a/h")).unwrap();
            } else {
                object::obj_pin(ground.maps[0].fd.as_fd(), &ground.pin("up/a/h")).unwrap();
                open_to(&ground.pin("up/a/h"), 0o666);
            }
        },
        second: There::Refused(libc::ENOENT),
        of_dir: false,
        sets: false,
    },
    Change {
        what: "its directory renamed",
        make: |ground, second| match second {
            true => ground.rename("up/a", "mid/a"),
            false => ground.rename("mid/a", "up/a"),
        },
        second: There::Refused(libc::ENOENT),
        of_dir: true,
        sets: false,
    },
    Change {
        what: "the directory above renamed",
        make: |ground, second| match second {
            true => ground.rename("up", "down"),
            false => ground.rename("down", "up"),
        },
        second: There::Refused(libc::ENOENT),
        of_dir: true,
        sets: false,
    },
    Change {
        what: "the map's mode",
        make: |ground, second| open_to(&ground.pin("up/a/h"), if second { 0o600 } else { 0o666 }),
        second: There::Refused(libc::EACCES),
        of_dir: false,
        sets: true,
    },
    Change {
        what: "its directory's mode",
        make: |ground, second| ground.mode("up/a", second, 0o700),
        second: There::Refused(libc::EACCES),
        of_dir: true,
        sets: true,
    },
    Change {
        what: "the mode of the directory above",
        make: |ground, second| ground.mode("up", second, 0o750),
        second: There::Refused(libc::EACCES),
        of_dir: true,
        sets: true,
    },
    Change {
        what: "the root's mode",
        make: |ground, second| ground.mode("", second, 0o711 & !0o1),
        second: There::Refused(libc::EACCES),
        of_dir: true,
        sets: true,
    },
    Change {
        what: "its directory's owner",
        make: |ground, second| {
            open_to(&ground.pin("up/a"), 0o700);
            let uid = if second { 0 } else { USER };
            std::os::unix::fs::chown(ground.pin("up/a"), Some(uid), None).unwrap();
        },
        second: There::Refused(libc::EACCES),
        of_dir: true,
        sets: true,
    },
    Change {
        what: "its directory's group",
        make: |ground, second| {
            open_to(&ground.pin("up/a"), 0o770);
            let gid = if second { 0 } else { USER };
            std::os::unix::fs::chown(ground.pin("up/a"), None, Some(gid)).unwrap();
        },
        second: There::Refused(libc::EACCES),
        of_dir: true,
        sets: true,
    },
    Change {
        what: "its directory and a closed one exchanged, with the map in it all the time",
        make: |ground, second| {
            if second {
                open_to(&ground.pin("mid"), 0o700);
                ground.rename("up/a/h", "mid/h");
                ground.exchange("up/a", "mid");
            } else {
                ground.exchange("up/a", "mid");
                ground.rename("mid/h", "up/a/h");
            }
        },
        second: There::Refused(libc::EACCES),
        of_dir: true,
        sets: false,
    },
];

/// Tells by what a map lacks or has which of the two was reached, and makes that as before.
fn changed(
    ground: &Ground,
    is: impl Fn(&RawMap) -> bool,
    mend: impl Fn(&RawMap, u64),
) -> Option<usize> {
    let at = ground.maps.iter().position(is)?;
    mend(&ground.maps[at], [7, 42][at]);
    Some(at)
}

const ASKS: &[Ask] = &[
    Ask {
        what: "open and read",
        ask: |_, map| {
            let text = fs::read_to_string(map.join("1"))?;
            Ok(["7\n", "42\n"].iter().position(|known| *known == text))
        },
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "stat",
        ask: |_, map| Ok(Some(fs::metadata(map.join("1"))?.size() as usize - 2)),
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "access",
        ask: |_, map| {
            let effective = AtFlags::AT_EACCESS;
            unistd::faccessat(AT_FDCWD, &map.join("1"), AccessFlags::R_OK, effective)?;
            Ok(None)
        },
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "open(O_TRUNC) and write",
        ask: |ground, map| {
            fs::write(map.join("1"), "99\n")?;
            let is = |map: &RawMap| map.get(&key32(1)) == Some(99_u64.to_ne_bytes().to_vec());
            Ok(changed(ground, is, |map, value| map.set(&key32(1), &value.to_ne_bytes())))
        },
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "open(O_EXCL) and write",
        ask: |ground, map| {
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).open(map.join("2"))?;
            io::Write::write_all(&mut file, b"1\n")?;
            let is = |map: &RawMap| map.get(&key32(2)).is_some();
            Ok(changed(ground, is, |map, _| map.delete(&key32(2))))
        },
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "unlink",
        ask: |ground, map| {
            fs::remove_file(map.join("3"))?;
            let is = |map: &RawMap| map.get(&key32(3)).is_none();
            Ok(changed(ground, is, |map, value| map.set(&key32(3), &value.to_ne_bytes())))
        },
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "list",
        ask: |_, map| Ok(Some(fs::read_dir(map)?.count() - 2)),
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "truncate",
        ask: |_, map| {
            unistd::truncate(&map.join("1"), 0)?;
            Ok(None)
        },
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "chmod",
        // Nothing that would change. Who does not own it is refused by what the kernel keeps, as by stat.
        ask: |_, map| fs::set_permissions(map, fs::Permissions::from_mode(0o777)).map(|()| None),
        in_dir: false,
        by_root: true,
    },
    Ask {
        what: "a view's key",
        ask: |_, map| fs::metadata(map.join(".raw/01000000")).map(|_| None),
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "a control",
        ask: |_, map| {
            let text = fs::read_to_string(map.join(".count"))?;
            Ok(["2\n", "3\n"].iter().position(|known| *known == text))
        },
        in_dir: false,
        by_root: false,
    },
    Ask {
        what: "mkdir of a name that is taken",
        ask: |_, map| match fs::create_dir(map) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(None),
            result => result.and(Err(io::Error::other("made"))),
        },
        in_dir: true,
        by_root: false,
    },
    Ask {
        what: "mkdir",
        ask: |ground, map| {
            fs::create_dir(map.with_file_name("new"))?;
            fs::remove_file(ground.pin("up/a/new"))?;
            Ok(None)
        },
        in_dir: true,
        by_root: true,
    },
    Ask {
        what: "symlink",
        ask: |ground, map| {
            std::os::unix::fs::symlink("h", map.with_file_name("new"))?;
            fs::remove_file(ground.pin("up/a/new"))?;
            Ok(None)
        },
        in_dir: true,
        by_root: true,
    },
    Ask {
        what: "rename",
        ask: |_, map| {
            fs::rename(map, map.with_file_name("new"))?;
            fs::rename(map.with_file_name("new"), map)?;
            Ok(None)
        },
        in_dir: true,
        by_root: true,
    },
];

/// Asks in a state, and compares.
fn ask(ground: &Ground, change: &Change, ask: &Ask, there: There) {
    let uid = if ask.by_root { 0 } else { USER };
    let path = ground.bed.at("up/a/h");
    let got = match uid {
        0 => (ask.ask)(ground, &path),
        uid => acting_only_as(uid, uid, || (ask.ask)(ground, &path)).unwrap(),
    };
    let got = match got {
        // Some say nothing of which map they reached.
        Ok(reached) => match (reached, there) {
            (None, There::Map(_)) => there,
            (Some(map), _) => There::Map(map),
            (None, There::Refused(_)) => There::Map(usize::MAX),
        },
        Err(error) => match error.raw_os_error() {
            Some(errno) => There::Refused(errno),
            None => panic!("{error}"),
        },
    };
    if got != there {
        let name = |there| match there {
            There::Map(n) => format!("map {n}"),
            There::Refused(number) => errno::name(number),
        };
        let (got, there) = (name(got), name(there));
        panic!("{} × {}: {got}, not {there}\n{}", change.what, ask.what, ground.bed.log());
    }
}

/// Whether a cell says anything, and is wanted: `BPFFUSE_CELL` may have a part of its name.
fn applies(change: &Change, ask: &Ask) -> bool {
    let wanted = std::env::var("BPFFUSE_CELL").unwrap_or_default();
    if !format!("{} × {}", change.what, ask.what).contains(&wanted) {
        return false;
    }
    let is_right = change.second == There::Refused(libc::EACCES);
    // What is made in the directory is not the map's business, and root is let in.
    (change.of_dir || !ask.in_dir) && !(is_right && ask.by_root)
}

fn table(part: usize, parts: usize) {
    let args: &[&str] = if part.is_multiple_of(2) { &["--threads", "1"] } else { &[] };
    let ground = Ground::new(args);
    for (n, change) in CHANGES.iter().enumerate() {
        if n % parts != part {
            continue;
        }
        if change.sets {
            (change.make)(&ground, false);
        }
        for what in ASKS.iter().filter(|ask| applies(change, ask)) {
            for round in 0..rounds() {
                for _ in 0..if round == 0 { 5 } else { 1 } {
                    ask(&ground, change, what, There::Map(0));
                }
                (change.make)(&ground, true);
                for _ in 0..1 + round % 3 {
                    ask(&ground, change, what, change.second);
                }
                (change.make)(&ground, false);
            }
        }
        for dir in ["up", "up/a", "up/z", ""] {
            open_to(&ground.pin(dir), 0o755);
            std::os::unix::fs::chown(ground.pin(dir), Some(0), Some(0)).unwrap();
        }
    }
}

/// Side by side, each with a part of the table, and with the CPUs busy: what has changed is told of late.
fn tables(part: usize) {
    require!("root", "bpf", "fuse");
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let table = scope.spawn(|| table(part, 4));
        let outcome = table.join();
        end.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn whoever_asks_below_meets_what_is_there_1() {
    tables(0);
}

#[test]
fn whoever_asks_below_meets_what_is_there_2() {
    tables(1);
}

#[test]
fn whoever_asks_below_meets_what_is_there_3() {
    tables(2);
}

#[test]
fn whoever_asks_below_meets_what_is_there_4() {
    tables(3);
}

/// What is removed or renamed in the mount is so for the next call, whatever the kernel had kept.
#[test]
fn what_is_changed_here_is_seen_at_once() {
    require!("root", "bpf", "fuse");
    if !since((6, 16)) {
        // The kernel forgets a name a moment later there.
        return;
    }
    let bed = Bed::new();
    let (new, other) = (bed.at("new"), bed.at("other"));
    let spec = "array key u32 value u64 entries 4\n";
    for _ in 0..30 {
        for remove in ["unpin", "rmdir", "rename"] {
            fs::write(&new, spec).unwrap_or_else(|error| panic!("before {remove}: {error}"));
            for _ in 0..5 {
                assert!(new.join("1").exists() && new.is_dir());
            }
            match remove {
                "unpin" => fs::write(new.join(".unpin"), "1\n").unwrap(),
                "rmdir" => fs::remove_dir(&new).unwrap(),
                _ => {
                    fs::rename(&new, &other).unwrap();
                    assert!(!new.exists() && other.join("1").exists());
                    fs::remove_dir(&other).unwrap();
                }
            }
        }
    }
}

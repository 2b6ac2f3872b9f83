//! Through the mount and by bpf(2) at the same moment: of BPF_NOEXIST, and of deletes and `.pop`, on one
//! key exactly one succeeds. Whoever looks first and acts then would be found here.

use super::random::Random;
use crate::common::Bed;
use crate::common::errno::{self, open_with};
use crate::common::require::require;
use bpffuse::sys::map::NOEXIST;
use libc::{O_CREAT, O_EXCL};
use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Each meets a window of 1 us with some percent.
const ROUNDS: usize = 1000;

/// How long the direct call may wait, in turns of a loop: about as long as a call of the mount takes.
const TURNS: usize = 15_000;

fn name(outcome: io::Result<()>) -> String {
    match outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.raw_os_error().map_or_else(|| error.to_string(), errno::name),
    }
}

/// Runs both at the same moment, the direct one after a random while; what they got.
fn both(
    random: &mut Random,
    mount: impl FnOnce() -> io::Result<()> + Send,
    direct: impl FnOnce() -> io::Result<()>,
) -> [String; 2] {
    let turns = random.below(TURNS);
    let started = AtomicBool::new(false);
    thread::scope(|scope| {
        let mount = scope.spawn(|| {
            started.store(true, Ordering::SeqCst);
            mount()
        });
        while !started.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
        (0..turns).for_each(|_| std::hint::spin_loop());
        let direct = name(direct());
        [name(mount.join().unwrap()), direct]
    })
}

#[test]
fn of_two_at_once_one_succeeds() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let raw = bed.hash("h");
    let mut random = Random::new(1, 0);
    let (path, pop) = (bed.at("h/1"), bed.at("h/.pop/1"));
    let key = 1_u32.to_ne_bytes();
    let by_errno = |done: bpffuse::sys::Result<()>| {
        done.map_err(|error| io::Error::from_raw_os_error(error.errno))
    };
    let mut first = [0; 2];
    for round in 0..ROUNDS {
        let mut file = open_with(&path, O_CREAT | O_EXCL).unwrap();
        let made = both(
            &mut random,
            // The open's flag, but the write's effect.
            || file.write_all(b"7\n"),
            || by_errno(raw.fd.update(&key, &8_u64.to_ne_bytes(), NOEXIST)),
        );
        let winner = match made.each_ref().map(String::as_str) {
            ["ok", "EEXIST"] => 0,
            ["EEXIST", "ok"] => 1,
            _ => panic!("O_EXCL by the mount and BPF_NOEXIST, round {round}: {made:?}"),
        };
        first[winner] += 1;
        assert_eq!(raw.get(&key).unwrap()[0], [7, 8][winner], "round {round}");
        drop(file);
        let taken = both(
            &mut random,
            || if round % 2 == 0 { fs::remove_file(&path) } else { fs::read(&pop).map(drop) },
            || by_errno(raw.fd.delete(&key)),
        );
        let one =
            matches!(taken.each_ref().map(String::as_str), ["ok", "ENOENT"] | ["ENOENT", "ok"]);
        assert!(one, "deleted by the mount and bpf(2), round {round}: {taken:?}");
        assert_eq!(raw.get(&key), None);
    }
    println!("the mount was first {} times, bpf(2) {} times", first[0], first[1]);
    assert!(first.iter().all(|&times| times > 0), "they never met: {first:?}");
}

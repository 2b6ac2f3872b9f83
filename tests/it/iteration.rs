//! A key listed throughout a listing is listed exactly
//! once, whatever is inserted and deleted meanwhile. Every listing ends.

use crate::common::require::require;
use crate::common::{Bed, Kind, RawMap, key32, refused};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Lists `dir` and gives the u32 keys with how often each was listed, by key, up to `count`; keys
/// beyond are counted in the second number.
fn listing(dir: &Path, count: usize) -> (Vec<u8>, usize) {
    let mut times = vec![0u8; count];
    let mut others = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name();
        let key: usize = name.to_str().unwrap().parse().unwrap();
        match times.get_mut(key) {
            Some(seen) => *seen = seen.saturating_add(1),
            None => others += 1,
        }
    }
    (times, others)
}

/// Inserts and deletes keys from `from` on until told to stop; gives how many it did.
fn churn(map: &RawMap, from: u32, stop: &AtomicBool) -> u64 {
    let value = vec![1; map.fd.value_len()];
    let mut done = 0;
    let mut state = u64::from(from);
    while !stop.load(Ordering::Relaxed) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let key = key32(from + (state >> 40) as u32 % 50_000);
        if state & (1 << 20) == 0 {
            map.set(&key, &value);
        } else {
            let _ = map.fd.delete(&key);
        }
        done += 1;
    }
    done
}

/// Lists a map of `stable` keys `listings` times while two threads churn 50,000 other keys each.
fn list_under_churn(kind: Kind, flags: u32, stable: u32, listings: usize) {
    let bed = Bed::new();
    let map = RawMap::create(
        &bed.pin("h"),
        &bpffuse::sys::map::NewMap {
            map_type: kind.number(),
            key_size: 4,
            value_size: 8,
            max_entries: stable + 120_000,
            flags,
            ..Default::default()
        },
    );
    map.fill32(stable, &vec![1; map.fd.value_len()]);
    let stop = AtomicBool::new(false);
    let work = AtomicU64::new(0);
    thread::scope(|scope| {
        for from in [1_000_000, 2_000_000] {
            let (map, stop, work) = (&map, &stop, &work);
            scope.spawn(move || work.fetch_add(churn(map, from, stop), Ordering::Relaxed));
        }
        let results: Vec<_> =
            (0..listings).map(|_| listing(&bed.at("h"), stable as usize)).collect();
        stop.store(true, Ordering::Relaxed);
        for (n, (times, others)) in results.iter().enumerate() {
            let missing = times.iter().filter(|&&t| t == 0).count();
            let twice = times.iter().filter(|&&t| t > 1).count();
            assert_eq!((missing, twice), (0, 0), "listing {n} of {kind:?}: (missing, twice)");
            assert!(*others <= 200_000, "listing {n}: {others} keys of 100,000 that come and go");
        }
    });
    let work = work.into_inner();
    assert!(work > 10_000, "the writers changed only {work} keys: this was no churn");
}

/// 100,000 stable keys listed under churn by two writer threads, 20 listings, none missing, none
/// twice.
#[test]
fn stable_keys_under_churn() {
    require!("root", "bpf", "fuse");
    list_under_churn(Kind::Hash, 0, 100_000, 20);
}

/// The same without preallocation, and per CPU.
#[test]
fn stable_keys_under_churn_other_kinds() {
    const NO_PREALLOC: u32 = 1;
    require!("root", "bpf", "fuse");
    list_under_churn(Kind::Hash, NO_PREALLOC, 20_000, 10);
    list_under_churn(Kind::PercpuHash, 0, 20_000, 10);
}

/// A listing of 1,000,000 keys complete with the daemon's peak memory under 64 MiB; Memory does
/// not grow with the map.
#[test]
fn a_million_keys_in_little_memory() {
    require!("root", "bpf", "fuse");
    const KEYS: u32 = 1_000_000;
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, KEYS);
    map.fill32(KEYS, &[1; 8]);
    let (times, others) = listing(&bed.at("h"), KEYS as usize);
    assert_eq!(others, 0);
    assert!(times.iter().all(|&t| t == 1), "a key is missing or listed twice");
    let count = bed.run_for(200, "ls -f mnt/h | wc -l").ok();
    assert_eq!(count.trim().parse(), Ok(KEYS + 2), "with . and ..");
    let status = fs::read_to_string(format!("/proc/{}/status", bed.pid())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 64 * 1024, "the daemon's peak memory was {kib} KiB");
}

/// rewinddir(3): a new listing, which shows the map as it is then.
#[test]
fn rewinddir() {
    require!("root", "bpf", "fuse", "perl");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 10_000);
    map.fill32(5000, &[1; 8]);
    let out = bed.ok(
        r#"perl -e '
            use strict;
            opendir(my $d, "mnt/h") or die;
            my @all = grep { !/^\./ } readdir $d;
            rewinddir $d;
            my @again = grep { !/^\./ } readdir $d;
            rewinddir $d;
            readdir $d for 1 .. 2000;                 # in the middle
            system("rm mnt/h/17; echo 1 > mnt/h/77777");
            rewinddir $d;
            my %new = map { $_ => 1 } grep { !/^\./ } readdir $d;
            print scalar(@all), " ", scalar(@again), " ", scalar(keys %new), " ",
                exists $new{17} ? "stale" : "fresh", " ", exists $new{77777} ? "fresh" : "stale", "\n";
        '"#,
    );
    assert_eq!(out, "5000 5000 5000 fresh fresh\n");
}

/// telldir(3) and seekdir(3): going back to a place goes on from there.
#[test]
fn seekdir() {
    require!("root", "bpf", "fuse", "perl");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 8, 10_000).fill32(5000, &[1; 8]);
    let out = bed.ok(r#"perl -e '
            use strict;
            opendir(my $d, "mnt/h") or die;
            my @all = readdir $d;
            for my $at (0, 1, 2, 3, 100, 2500, 4999, 5001) {
                rewinddir $d;
                readdir $d for 1 .. $at;
                my $place = telldir $d;
                my @rest = readdir $d;
                seekdir $d, $place;
                my @again = readdir $d;
                print "at $at: ", scalar(@rest), " and ", scalar(@again), "\n"
                    if "@rest" ne "@again" or @rest != @all - $at;
            }
        '"#);
    assert_eq!(out, "", "left: where the rest was another the second time");
}

/// getdents64(2) with buffers that hold a name or two: every name once.
#[test]
fn small_getdents_buffers() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 8, 3000).fill32(3000, &[1; 8]);
    bed.map("long", Kind::Hash, 100, 4, 100);
    bed.python(
        r#"
        import ctypes, struct
        libc = ctypes.CDLL(None, use_errno=True)
        SYS_getdents64 = {"x86_64": 217, "aarch64": 61, "s390x": 220}[os.uname().machine]
        def names(path, size):
            fd, out = os.open(path, os.O_RDONLY | os.O_DIRECTORY), []
            buf = ctypes.create_string_buffer(size)
            while n := libc.syscall(SYS_getdents64, fd, buf, size):
                assert n > 0, os.strerror(ctypes.get_errno())
                at = 0
                while at < n:
                    length = struct.unpack_from("H", buf.raw, at + 16)[0]
                    out.append(buf.raw[at + 19 : at + length].split(b"\0")[0])
                    at += length
            os.close(fd)
            return [name for name in out if name not in (b".", b"..")]
        for i in range(100):
            open("mnt/long/" + "%0200x" % i, "w").write("1\n")
        for size in (32, 48, 64, 280, 1000, 5000):
            found = names("mnt/h", size)
            assert sorted(map(int, found)) == list(range(3000)), (size, len(found))
        for size in (280, 1000):
            found = names("mnt/long", size)
            assert len(found) == 100 == len(set(found)), (size, len(found))
        "#,
    );
}

/// "rm -rf" and those who list and delete in turn: everything goes, each name once.
#[test]
fn listing_while_deleting() {
    require!("root", "bpf", "fuse", "find");
    let bed = Bed::new();
    let fill = |count: u32| {
        let map = bed.map("h", Kind::Hash, 4, 8, 50_000);
        map.fill32(count, &[1; 8]);
        map
    };
    // One open listing, each name deleted as it comes.
    let map = fill(50_000);
    let mut seen = HashSet::new();
    for entry in fs::read_dir(bed.at("h")).unwrap() {
        let entry = entry.unwrap();
        assert!(seen.insert(entry.file_name()), "{:?} twice", entry.file_name());
        fs::remove_file(entry.path()).unwrap();
    }
    assert_eq!((seen.len(), map.keys().len()), (50_000, 0), "(listed, left)");
    fs::remove_dir(bed.at("h")).unwrap();

    let map = fill(20_000);
    bed.ok("rm -rf mnt/h");
    assert!(!bed.pin("h").exists() && map.keys().is_empty());

    let map = fill(20_000);
    bed.ok("find mnt/h -type f -delete");
    assert!(map.keys().is_empty(), "find -delete left {}", map.keys().len());

    map.fill32(20_000, &[1; 8]);
    bed.ok("cd mnt/h; ls -f | grep -v '^\\.' | xargs rm");
    assert!(map.keys().is_empty(), "xargs rm left {}", map.keys().len());
}

/// Several listings of one map at once, each with its own place.
#[test]
fn listings_side_by_side() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 8, 30_000).fill32(30_000, &[1; 8]);
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..6).map(|_| scope.spawn(|| listing(&bed.at("h"), 30_000))).collect();
        for thread in threads {
            let (times, _) = thread.join().unwrap();
            assert!(times.iter().all(|&t| t == 1), "a key is missing or listed twice");
        }
    });
}

/// Empty, one element, and all kinds of plain table: each key once.
#[test]
fn small_maps_of_each_kind() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in Kind::ALL {
        for count in [1u32, 2, 3, 5, 100] {
            let name = format!("{}_{count}", kind.name());
            // An LRU map keeps some slots for itself.
            let map = bed.map(&name, kind, 4, 8, count * if kind.is_array() { 1 } else { 20 });
            if !kind.is_array() {
                assert_eq!(bed.list(&name), Vec::<String>::new(), "{name}: empty");
                for key in 0..count {
                    map.set(&key32(key), &vec![0; map.fd.value_len()]);
                }
            }
            let (times, others) = listing(&bed.at(&name), count as usize);
            assert!(times.iter().all(|&t| t == 1) && others == 0, "{name}: {times:?} {others}");
        }
    }
}

/// A map that is replaced or unpinned in the middle of a listing: the listing ends.
#[test]
fn the_map_goes_while_it_is_listed() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 20_000);
    map.fill32(20_000, &[1; 8]);
    drop(map);
    let mut entries = fs::read_dir(bed.at("h")).unwrap();
    entries.next().unwrap().unwrap();
    fs::remove_file(bed.pin("h")).unwrap();
    let rest = entries.take(100_000).count();
    assert!(rest < 20_001, "{rest} more names");
    assert!(fs::read_dir(bed.at("h")).is_err());
}

/// Keys whose names no path can hold are not passed over in silence: listing them is refused with a
/// reason, and `.entries` has them.
#[test]
fn keys_without_a_name() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("long", Kind::Hash, 2100, 8, 4);
    assert!(bed.list("long").is_empty());
    map.set(&[7; 2100], &[1; 8]);
    refused(fs::read_dir(bed.at("long")).and_then(|mut dir| dir.next().unwrap()), "ENAMETOOLONG");
    let said = bed.errors().pop().unwrap();
    assert!(said.contains(".entries has the element"), "{said}");
    assert_eq!(bed.ok("cat mnt/long/.count; wc -l < mnt/long/.entries"), "1\n1\n");
}

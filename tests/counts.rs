//! What the kernel says of the number of elements is what a walk finds: of every kind of map that has
//! such a number, whatever is done to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "common/mod.rs"]
mod common;

use bpffuse::kernel::counts::counts;
use bpffuse::map::Map;
use bpffuse::map::cursor::{Batch, Cursor};
use bpffuse::spec::Spec;
use bpffuse::sys::map::kind::{self, MapKind};
use bpffuse::sys::map::{ANY, EXIST, NOEXIST, NewMap, create};
use common::kernel::{lacks, lacks_map};
use common::map::key32;
use common::require::require;
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const NO_PREALLOC: u32 = 1;
const NO_COMMON_LRU: u32 = 2;

/// Kind, flags, and whether it counts.
const KINDS: [(u32, u32, bool); 20] = [
    (kind::HASH, 0, true),
    (kind::HASH, NO_PREALLOC, true),
    (kind::PERCPU_HASH, 0, true),
    (kind::PERCPU_HASH, NO_PREALLOC, true),
    (kind::LRU_HASH, 0, true),
    (kind::LRU_HASH, NO_COMMON_LRU, true),
    (kind::LRU_PERCPU_HASH, 0, true),
    (kind::LRU_PERCPU_HASH, NO_COMMON_LRU, true),
    (kind::HASH_OF_MAPS, 0, true),
    (kind::HASH_OF_MAPS, NO_PREALLOC, true),
    (kind::ARRAY, 0, false),
    (kind::PERCPU_ARRAY, 0, false),
    (kind::ARRAY_OF_MAPS, 0, false),
    (kind::LPM_TRIE, NO_PREALLOC, false),
    (kind::DEVMAP_HASH, 0, false),
    (kind::SOCKHASH, 0, false),
    (kind::STACK_TRACE, 0, false),
    (kind::QUEUE, 0, false),
    (kind::STACK, 0, false),
    (kind::BLOOM_FILTER, 0, false),
];

/// Whether this kernel counts.
fn can_count() -> bool {
    !lacks("count of elements", counts().is_some())
}

/// A map of 256 elements at most; of the kinds that hold maps, with what they hold.
fn make(number: u32, flags: u32, max_entries: u32) -> (Map, Option<Map>) {
    let kind = MapKind::of(number);
    let inner = kind.holds_maps().then(|| make(kind::ARRAY, 0, 1).0);
    let key_size = match number {
        kind::LPM_TRIE => 8,
        kind::QUEUE | kind::STACK | kind::BLOOM_FILTER => 0,
        _ => 4,
    };
    let new = NewMap {
        map_type: number,
        key_size,
        value_size: if matches!(kind.value_size, kind::Size::OneOf([4, ..])) { 4 } else { 8 },
        max_entries,
        flags,
        inner_map: inner.as_ref().map(|map| map.raw().as_fd()),
        ..NewMap::default()
    };
    let fd = create(&new).unwrap_or_else(|error| panic!("{}: {error}", kind.name));
    (Map::open(fd).expect("a map"), inner)
}

fn walk(map: &Map) -> u64 {
    let (mut cursor, mut batch) = (Cursor::new(map, false), Batch::default());
    let mut count = 0;
    loop {
        cursor.next(map, &mut batch).expect("a walk");
        if batch.count == 0 {
            return count;
        }
        count += batch.count as u64;
    }
}

fn counted(map: &Map) -> Option<u64> {
    counts().expect("the counts").of(map.info.id)
}

/// A number from 0 that is as good as random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % sides
    }
}

/// A call that changes the map, or is refused: single ones with every flag, and batches.
fn change(map: &Map, value: &[u8], dice: &mut Dice, keys: u32) {
    let key = key32(dice.roll(keys));
    let raw = map.raw();
    let refused = match dice.roll(10) {
        0..3 => raw.update(&key, value, ANY).err(),
        3 => raw.update(&key, value, NOEXIST).err(),
        4 => raw.update(&key, value, EXIST).err(),
        5 | 6 => raw.delete(&key).err(),
        7 => raw.take(&key, &mut vec![0; map.value_len()], 0).err(),
        side => {
            let many = 1 + dice.roll(20);
            let from = dice.roll(keys);
            let batch: Vec<u8> = (from..from + many).flat_map(u32::to_ne_bytes).collect();
            let many = many as usize;
            match side {
                8 => raw.update_batch(&batch, &value.repeat(many), many, 0).1.err(),
                _ => raw.delete_batch(&batch, many).1.err(),
            }
        }
    };
    if let Some(error) = refused {
        let known =
            [libc::ENOENT, libc::EEXIST, libc::E2BIG, libc::ENOMEM, libc::EOPNOTSUPP, libc::EBUSY];
        assert!(known.contains(&error.errno), "{error}");
    }
}

#[test]
fn the_number_is_what_a_walk_finds() {
    require!("root", "bpf");
    if !can_count() {
        return;
    }
    for (number, flags, counts_itself) in KINDS {
        if lacks_map(number) {
            continue;
        }
        let (map, inner) = make(number, flags, 256);
        let name = map.kind.name;
        assert_eq!(map.kind.counts_itself(), counts_itself, "{name}");
        if !counts_itself {
            assert_eq!(counted(&map), None, "{name}");
            continue;
        }
        let value = match &inner {
            Some(inner) => {
                use std::os::fd::AsRawFd;
                inner.raw().as_fd().as_raw_fd().to_ne_bytes().to_vec()
            }
            None => vec![1; map.value_len()],
        };
        assert_eq!(counted(&map), Some(0), "{name} {flags}");
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut seen = BTreeSet::new();
        // More keys than there is room for: maps fill up, and those with an order of use push out.
        // Each change of a map of maps waits for all programs that may look at it.
        let (rounds, changes) = if map.kind.holds_maps() { (12, 20) } else { (150, 30) };
        for round in 0..rounds {
            for _ in 0..changes {
                change(&map, &value, &mut dice, if round % 3 == 0 { 1000 } else { 300 });
            }
            let walked = walk(&map);
            assert_eq!(counted(&map), Some(walked), "{name} {flags} in round {round}");
            seen.insert(walked);
        }
        assert!(seen.len() > 5 && seen.last() > Some(&50), "{name}: only {seen:?}");
    }
}

/// While two threads put in and take out, the number is about what is there; and when they have ended, what they did to the counters of several CPUs has added up.
#[test]
fn the_number_is_right_under_writers() {
    const STAY: u32 = 500;
    const COME_AND_GO: u32 = 200;
    require!("root", "bpf");
    if !can_count() {
        return;
    }
    for (number, flags, counts_itself) in KINDS {
        // The room of those with an order of use is shared out to CPUs, and they push out early.
        let pushes_out = matches!(number, kind::LRU_HASH | kind::LRU_PERCPU_HASH);
        if !counts_itself || MapKind::of(number).holds_maps() || lacks_map(number) {
            continue;
        }
        let (map, _) = make(number, flags, if pushes_out { 20_000 } else { STAY + COME_AND_GO });
        let name = map.kind.name;
        let value = vec![1; map.value_len()];
        for n in 0..STAY {
            map.update(&key32(1_000_000 + n), &value, ANY).expect("room");
        }
        let done = AtomicU32::new(0);
        thread::scope(|scope| {
            let writers: Vec<_> = [1, 2]
                .map(|seed| {
                    let (map, value, done) = (&map, &value, &done);
                    scope.spawn(move || {
                        let mut dice = Dice(seed);
                        for _ in 0..20_000 {
                            // Batches reach a little beyond.
                            change(map, value, &mut dice, COME_AND_GO - 20);
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .into();
            while done.load(Ordering::Relaxed) < 2 {
                let count = counted(&map).expect("a number");
                // What is done between the looks at one CPU's number and the next one's may show by half.
                let (least, most) = (STAY - COME_AND_GO, STAY + 2 * COME_AND_GO);
                assert!((least..=most).contains(&(count as u32)), "{name} {flags}: {count}");
            }
            writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        });
        assert_eq!(counted(&map), Some(walk(&map)), "{name} {flags}");
    }
}

/// The elements of local storage are with what they belong to, and nobody counts them.
#[test]
fn storages_have_no_number() {
    require!("root", "bpf");
    if !can_count() {
        return;
    }
    for name in ["sk_storage", "inode_storage", "task_storage", "cgrp_storage"] {
        if lacks_map(kind::by_name(name).expect("a kind")) {
            continue;
        }
        let spec = Spec::parse(format!("type {name} value u64").as_bytes()).expect("a definition");
        let created = spec.create("s", &|_| unreachable!("no inner map")).expect("a storage");
        let map = Map::open(created.fd).expect("a map");
        assert_eq!(counted(&map), None, "{name}");
    }
}

/// The answer has all maps of the machine, those that are gone and come meanwhile included or not.
#[test]
fn a_thousand_maps_at_once() {
    require!("root", "bpf");
    if !can_count() {
        return;
    }
    let maps: Vec<_> = (0..1000).map(|n| (n % 4, make(kind::HASH, NO_PREALLOC, 4).0)).collect();
    for (n, map) in &maps {
        (0..*n).for_each(|key| map.update(&key32(key), &[1; 8], ANY).expect("room"));
    }
    let all = counts().expect("the counts");
    for (n, map) in &maps {
        assert_eq!(all.of(map.info.id), Some((*n).into()));
    }
    let gone = maps[500].1.info.id;
    drop(maps);
    assert_eq!(counts().expect("the counts").of(gone), None);
}

//! What a map's calls do with answers that need an old kernel, a full bucket or an unlucky moment: a
//! stand-in for the kernel gives them ([`crate::sys::map::fake`]).

mod kernel;

use super::cursor::{Batch, Cursor};
use super::load::Load;
use super::{ANY, EXIST, Map, MapInfo, NOEXIST, trie};
use crate::sys::Call;
use crate::sys::map::fake::{Answering, answer_by};
use crate::sys::map::{MapFd, kind};
use kernel::FakeKernel;
use std::cell::RefCell;
use std::rc::Rc;

/// A map of a kind with keys of 4 bytes and values of 8, and the kernel that has it.
fn map(number: u32, max_entries: u32) -> (Map, Rc<RefCell<FakeKernel>>, Answering) {
    let info = MapInfo {
        map_type: number,
        id: 1,
        key_size: if number == kind::LPM_TRIE { 5 } else { 4 },
        value_size: match number {
            kind::HASH_OF_MAPS => 4,
            kind::INSN_ARRAY => 16,
            _ => 8,
        },
        max_entries,
        flags: 0,
        name: String::new(),
        btf_id: 0,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
        btf_vmlinux_id: 0,
        btf_vmlinux_value_type_id: 0,
        map_extra: 0,
        ifindex: 0,
    };
    let room = max_entries as usize;
    let kernel = Rc::new(RefCell::new(FakeKernel { buckets: 256, room, ..FakeKernel::default() }));
    let answering = answer_by({
        let kernel = Rc::clone(&kernel);
        move |element| kernel.borrow_mut().answer(element)
    });
    (
        Map::of(MapFd::fake(&info), info, super::typing::Chosen::default()).expect("a map"),
        kernel,
        answering,
    )
}

fn key(bucket: u8, n: u16) -> Vec<u8> {
    let [a, b] = n.to_be_bytes();
    vec![bucket, a, b, 0]
}

fn fill(kernel: &RefCell<FakeKernel>, keys: impl IntoIterator<Item = Vec<u8>>, value_len: usize) {
    kernel.borrow_mut().elements.extend(keys.into_iter().map(|key| (key, vec![7; value_len])));
}

/// All keys that a walk gives, and the errors on the way, from each of which it goes on.
fn walk(map: &Map, values: bool) -> (Vec<Vec<u8>>, Vec<i32>) {
    let (mut cursor, mut batch) = (Cursor::new(map, values), Batch::default());
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    loop {
        match cursor.next(map, &mut batch) {
            Ok(()) if batch.count == 0 => return (keys, errors),
            Ok(()) => {
                let size = map.info.key_size as usize;
                assert_eq!(batch.keys.len(), batch.count * size);
                assert_eq!(
                    batch.values.len(),
                    if values { batch.count * map.value_len() } else { 0 }
                );
                keys.extend(batch.keys.chunks_exact(size).map(<[u8]>::to_vec));
            }
            Err(error) => errors.push(error.errno),
        }
        assert!(errors.len() < 100, "{errors:?}");
    }
}

fn sorted(mut keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    keys.sort();
    keys
}

#[test]
fn a_bucket_that_does_not_fit_makes_the_batch_grow() {
    let (map, kernel, _answering) = map(kind::HASH, 20_000);
    let all: Vec<_> = (0..9000).map(|n| key(3, n)).chain((0..10).map(|n| key(9, n))).collect();
    fill(&kernel, all.clone(), 8);
    assert_eq!(walk(&map, true), (all, vec![]));
    assert_eq!(kernel.borrow().full, 2);
    assert_eq!(kernel.borrow().asked[..3], [4096, 8192, 16_384]);
}

#[test]
fn a_bucket_that_never_fits_is_an_error() {
    let (map, kernel, _answering) = map(kind::HASH, 10);
    // More than max_entries, which no kernel has.
    fill(&kernel, (0..11).map(|n| key(0, n)), 8);
    let (mut cursor, mut batch) = (Cursor::new(&map, false), Batch::default());
    let error = cursor.next(&map, &mut batch).expect_err("no room");
    assert_eq!((error.call, error.errno), (Call::MapLookupBatch, libc::ENOSPC));
}

#[test]
fn short_and_empty_batches_are_no_end() {
    for number in [kind::HASH, kind::LRU_HASH, kind::PERCPU_HASH] {
        let (map, kernel, _answering) = map(number, 1000);
        kernel.borrow_mut().buckets = 1;
        let all: Vec<_> =
            [0, 1, 77, 255].into_iter().flat_map(|b| [key(b, 1), key(b, 2)]).collect();
        fill(&kernel, all.clone(), map.value_len());
        assert_eq!(walk(&map, false), (all.clone(), vec![]));
        assert_eq!(walk(&map, true), (all, vec![]));
    }
}

#[test]
fn elements_with_the_end_are_given() {
    let (map, kernel, _answering) = map(kind::HASH, 1000);
    // The last bucket comes with ENOENT in the same answer.
    kernel.borrow_mut().buckets = 300;
    fill(&kernel, [key(255, 1)], 8);
    assert_eq!(walk(&map, false), (vec![key(255, 1)], vec![]));
    assert_eq!(kernel.borrow().asked.len(), 1);
}

#[test]
fn a_walk_goes_on_after_an_error() {
    // In a batch, in a trie, from key to key, and by index.
    for number in [kind::HASH, kind::LPM_TRIE, kind::DEVMAP_HASH, kind::SOCKMAP] {
        for call in 1..12 {
            let (map, kernel, _answering) = map(number, 8);
            let keys = |n: u8| match number {
                kind::LPM_TRIE => [&32_u32.to_ne_bytes()[..], &[n]].concat(),
                _ => u32::from(n).to_ne_bytes().to_vec(),
            };
            kernel.borrow_mut().buckets = 2;
            fill(&kernel, (0..7).map(keys), 8);
            kernel.borrow_mut().answers.insert(call, libc::EINTR);
            let (given, errors) = walk(&map, false);
            assert_eq!(sorted(given), sorted((0..7).map(keys).collect()), "{number}, call {call}");
            assert!(errors.is_empty() || errors == [libc::EINTR], "{number}, call {call}");
        }
    }
}

#[test]
fn kernels_without_batches_are_walked_key_by_key() {
    // Maps of maps have none before Linux 5.17.
    let (map, kernel, _answering) = map(kind::HASH_OF_MAPS, 300);
    kernel.borrow_mut().no_batches = true;
    let all: Vec<_> = (0..200).map(|n| key(n, 0)).collect();
    fill(&kernel, all.clone(), 4);
    assert_eq!(walk(&map, true), (all, vec![]));
}

#[test]
fn a_key_that_goes_restarts_the_kernels_walk_but_not_ours() {
    for number in [kind::DEVMAP_HASH, kind::LPM_TRIE] {
        for call in 1..60 {
            let (map, kernel, _answering) = map(number, 100);
            let keys = |n: u8| match number {
                kind::LPM_TRIE => [&8_u32.to_ne_bytes()[..], &[n]].concat(),
                _ => key(n, 0),
            };
            fill(&kernel, (0..50).map(keys), 8);
            // The key that the walk stands on, and some before it.
            let gone = (call as u8 / 2..call as u8).map(keys).collect();
            kernel.borrow_mut().gone.insert(call, gone);
            let (given, errors) = walk(&map, false);
            assert!(errors.is_empty(), "{errors:?}");
            let mut once = sorted(given.clone());
            once.dedup();
            assert_eq!(once.len(), given.len(), "{number}: a key came twice, call {call}");
            let kept: Vec<_> = kernel.borrow().elements.keys().cloned().collect();
            assert!(kept.iter().all(|key| given.contains(key)), "{number}: lost, call {call}");
        }
    }
}

#[test]
fn a_trie_that_keeps_losing_its_keys_ends() {
    let (map, kernel, _answering) = map(kind::LPM_TRIE, 4);
    let keys = |n: u8| [&8_u32.to_ne_bytes()[..], &[n]].concat();
    fill(&kernel, (0..4).map(keys), 8);
    let (mut cursor, mut batch) = (Cursor::new(&map, false), Batch::default());
    cursor.next(&map, &mut batch).expect("all");
    assert_eq!(batch.count, 4);
    // All gone, and others in their place, before those that were given.
    kernel.borrow_mut().elements.clear();
    fill(&kernel, [keys(0)], 8);
    cursor.next(&map, &mut batch).expect("the end");
    assert_eq!(batch.count, 0);
}

#[test]
fn whether_a_trie_has_a_prefix_by_both_ways() {
    let keys = |n: u8| [&8_u32.to_ne_bytes()[..], &[n]].concat();
    for ask in [trie::has_by_restart, trie::has_by_walk] {
        let (map, kernel, _answering) = map(kind::LPM_TRIE, 100);
        assert_eq!(ask(map.raw(), &keys(1)), Ok(false));
        fill(&kernel, [keys(2), keys(4), keys(6)], 8);
        for n in 0..8 {
            let there = matches!(n, 2 | 4 | 6);
            assert_eq!(ask(map.raw(), &keys(n)), Ok(there), "{n}");
        }
        // The first key goes away in the middle of the question.
        for call in 1..6 {
            let calls = kernel.borrow().calls;
            kernel.borrow_mut().gone.insert(calls + call, vec![keys(2)]);
            assert_eq!(ask(map.raw(), &keys(4)), Ok(true), "{call}");
            assert_eq!(ask(map.raw(), &keys(5)), Ok(false), "{call}");
            fill(&kernel, [keys(2)], 8);
        }
    }
}

#[test]
fn loading_without_batches_is_one_by_one() {
    // Per-CPU arrays and tries of Linux 5.10 and 6.1.
    for number in [kind::PERCPU_HASH, kind::HASH] {
        let (map, kernel, _answering) = map(number, 100);
        kernel.borrow_mut().no_batches = true;
        let mut load = Load::default();
        (0..5).for_each(|n| load.push(&key(n, 0), &vec![1; map.value_len()]));
        assert_eq!(load.store(&map), (5, Ok(())));
        assert_eq!(kernel.borrow().elements.len(), 5);
        assert!(load.is_empty());
        let before = kernel.borrow().calls;
        (0..3).for_each(|n| load.push(&key(n, 1), &vec![1; map.value_len()]));
        assert_eq!(load.store(&map), (3, Ok(())));
        assert_eq!(kernel.borrow().calls, before + 3, "batches were tried again");
    }
}

#[test]
fn loading_stops_at_the_element_that_was_refused() {
    let (map, kernel, _answering) = map(kind::HASH, 3);
    let mut load = Load::default();
    (0..5).for_each(|n| load.push(&key(n, 0), &[1; 8]));
    let (stored, outcome) = load.store(&map);
    let error = outcome.expect_err("full");
    assert_eq!((stored, error.call, error.errno), (3, Call::MapUpdateElem, libc::ENOSPC));
    assert_eq!(kernel.borrow().elements.len(), 3);
    // Refused before it began, with the count left as it was: nothing is taken for stored.
    let calls = kernel.borrow().calls;
    kernel.borrow_mut().answers.insert(calls + 1, libc::EINVAL);
    (0..2).for_each(|n| load.push(&key(n, 0), &[2; 8]));
    assert_eq!(load.store(&map), (2, Ok(())));
    assert_eq!(kernel.borrow().elements[&key(1, 0)], [2; 8]);
}

#[test]
fn errors_are_the_kernels_but_for_those_of_its_own_numbers() {
    let (map, kernel, _answering) = map(kind::HASH, 1);
    let mut value = Vec::new();
    assert_eq!(map.lookup(&key(0, 0), &mut value), Ok(false));
    assert_eq!(map.update(&key(0, 0), &[1; 8], NOEXIST), Ok(()));
    let errno = |outcome: crate::sys::Result<()>| outcome.expect_err("refused").errno;
    assert_eq!(errno(map.update(&key(0, 0), &[1; 8], NOEXIST)), libc::EEXIST);
    assert_eq!(errno(map.update(&key(1, 0), &[1; 8], EXIST)), libc::ENOENT);
    assert_eq!(errno(map.update(&key(1, 0), &[1; 8], ANY)), libc::ENOSPC);
    // 524 has no name in user space.
    let taken = map.take(&key(0, 0), &mut value).expect_err("no such call");
    assert_eq!((taken.call, taken.errno), (Call::MapLookupAndDeleteElem, libc::EOPNOTSUPP));
    // Of lengths that are not the map's, the kernel is not asked.
    let calls = kernel.borrow().calls;
    assert_eq!(errno(map.update(&[0; 3], &[1; 8], ANY)), libc::EINVAL);
    assert_eq!(errno(map.update(&key(0, 0), &[1; 7], ANY)), libc::EINVAL);
    assert_eq!(errno(map.delete(&[])), libc::EINVAL);
    assert_eq!(kernel.borrow().calls, calls);
}

#[test]
fn slots_are_looked_for_where_the_kernel_does_not() {
    // Arrays of maps and programs refuse BPF_NOEXIST and BPF_EXIST.
    let (map, kernel, _answering) = map(kind::CPUMAP, 4);
    let errno = |outcome: crate::sys::Result<()>| outcome.expect_err("refused").errno;
    assert_eq!(errno(map.update(&[1, 0, 0, 0], &[1; 8], EXIST)), libc::ENOENT);
    assert_eq!(map.update(&[1, 0, 0, 0], &[1; 8], NOEXIST), Ok(()));
    assert_eq!(errno(map.update(&[1, 0, 0, 0], &[1; 8], NOEXIST)), libc::EEXIST);
    assert_eq!(map.update(&[1, 0, 0, 0], &[2; 8], EXIST), Ok(()));
    assert_eq!(kernel.borrow().elements[&vec![1, 0, 0, 0]], [2; 8]);
}

#[test]
fn one_cpus_value_is_set_alone_where_the_kernel_can() {
    for (number, one_cpu) in [
        (kind::PERCPU_HASH, true),
        (kind::PERCPU_HASH, false),
        (kind::PERCPU_ARRAY, true),
        (kind::PERCPU_ARRAY, false),
    ] {
        let (map, kernel, _answering) = map(number, 4);
        kernel.borrow_mut().one_cpu = one_cpu;
        let key = [1, 0, 0, 0];
        let last = map.cpus() - 1;
        // What was read before it; by now programs have counted on.
        let mut values = vec![0; map.value_len()];
        values[8 * last..].copy_from_slice(&[7; 8]);
        let mut counted = vec![9; map.value_len()];
        kernel.borrow_mut().elements.insert(key.to_vec(), counted.clone());
        assert_eq!(map.update_cpu(&key, &values, last as u32, ANY), Ok(()));
        counted[8 * last..].copy_from_slice(&[7; 8]);
        assert_eq!(kernel.borrow().elements[&key.to_vec()], counted, "{number}");
        assert_eq!(kernel.borrow().alone, usize::from(one_cpu), "{number}");
    }
}

#[test]
fn a_new_elements_other_cpus_have_zeros() {
    let (map, kernel, _answering) = map(kind::PERCPU_HASH, 4);
    kernel.borrow_mut().one_cpu = true;
    let (key, last) = ([1, 0, 0, 0], map.cpus() - 1);
    let values = vec![7; map.value_len()];
    let missing = map.update_cpu(&key, &values, last as u32, EXIST).expect_err("there is none");
    assert_eq!(missing.errno, libc::ENOENT);
    assert_eq!(map.update_cpu(&key, &values, last as u32, NOEXIST), Ok(()));
    let mut made = vec![0; map.value_len()];
    made[8 * last..].copy_from_slice(&[7; 8]);
    assert_eq!(kernel.borrow().elements[&key.to_vec()], made);
    assert_eq!(kernel.borrow().alone, 0);
}

#[test]
fn instructions_have_the_kernels_type() {
    let (map, kernel, _answering) = map(kind::INSN_ARRAY, 1);
    let value = [5_u32, 6, 7, 0].map(u32::to_ne_bytes).concat();
    kernel.borrow_mut().elements.insert(vec![0; 4], value);
    let (mut value, mut text) = (Vec::new(), Vec::new());
    assert_eq!(map.lookup(&[0; 4], &mut value), Ok(true));
    map.print_value(&value, &mut text);
    assert_eq!(text, br#"{"orig_off":5,"xlated_off":6,"jitted_off":7}"#);
    assert_eq!(map.codec.value_type().as_deref(), Some("struct bpf_insn_array_value"));
}

/// A hash that grows loses the place of a batch when a key goes, and gives a key again: it is walked key by
/// key.
#[test]
fn a_growing_hash_is_walked_once() {
    let (map, kernel, _answering) = map(kind::RHASH, 300);
    let all: Vec<_> = (0..200).map(|n| key(n, 0)).collect();
    fill(&kernel, all.clone(), 8);
    kernel.borrow_mut().gone.insert(50, vec![key(20, 0)]);
    let (given, errors) = walk(&map, true);
    assert!(errors.is_empty(), "{errors:?}");
    let mut once = sorted(given.clone());
    once.dedup();
    assert_eq!(once.len(), given.len());
    assert!(all.iter().filter(|of| **of != key(20, 0)).all(|of| given.contains(of)));
    assert!(kernel.borrow().asked.is_empty());
}

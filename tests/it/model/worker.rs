//! One thread: what it knows, what it does next, and how results are compared.

use super::Run;
use super::keys::Key;
use super::plan::{KEYS, Map, Sort};
use super::random::Random;
use crate::common::errno;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

/// A thread with keys of its own, and what it knows of them.
pub(super) struct Worker<'r> {
    pub(super) run: &'r Run,
    pub(super) number: usize,
    pub(super) random: Random,
    /// Its keys, by map.
    pub(super) keys: Vec<Vec<Key>>,
    /// The values of its keys, by map: what must be there.
    pub(super) values: Vec<Vec<Option<Vec<u8>>>>,
    /// Directories that it has made so far.
    pub(super) made: u64,
    /// Operations that it has done.
    pub(super) done: u64,
}

/// An element of a worker's own.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) map: usize,
    pub(super) key: usize,
}

type Operation<'r> = fn(&mut Worker<'r>, At);

impl<'r> Worker<'r> {
    pub(super) fn new(run: &'r Run, number: usize, random: Random) -> Self {
        let maps = &run.plan.maps;
        let keys: Vec<_> = maps.iter().map(|map| map.keys(number)).collect();
        let zero = |map: &Map| match map.sort {
            Sort::Array => Some(vec![0; map.value_len()]),
            _ => None,
        };
        let values = maps.iter().map(|map| vec![zero(map); KEYS]).collect();
        Self { run, number, random, keys, values, made: 0, done: 0 }
    }

    /// One operation and its checks.
    pub(super) fn step(&mut self) {
        if self.random.one_in(6) {
            self.shared();
        } else {
            let operations: [(usize, Operation<'r>); 30] = [
                (200, Self::read),
                (180, Self::write_any),
                (80, Self::write_new),
                (80, Self::write_existing),
                (40, Self::touch),
                (100, Self::unlink),
                (60, Self::stat),
                (40, Self::raw_read),
                (40, Self::raw_write),
                (30, Self::member_read),
                (30, Self::member_write),
                (40, Self::cpu_read),
                (40, Self::cpu_write),
                (20, Self::sum),
                (40, Self::pop),
                (60, Self::refused),
                (20, Self::incomplete),
                (20, Self::no_key),
                (20, Self::opened_before),
                (30, Self::changed_meanwhile),
                (20, Self::read_and_write),
                (20, Self::pieces),
                (50, Self::changed_directly),
                (10, Self::rename),
                (20, Self::longest),
                (8, Self::list),
                (8, Self::entries),
                (20, Self::load),
                (8, Self::particulars),
                (4, Self::tree),
            ];
            let total: usize = operations.iter().map(|(weight, _)| weight).sum();
            let mut choice = self.random.below(total);
            let chosen = operations.iter().find(|(weight, _)| {
                let found = choice < *weight;
                choice = choice.wrapping_sub(*weight);
                found
            });
            let maps = &self.run.plan.maps;
            let at = loop {
                let map = self.random.below(maps.len());
                if maps[map].owner.is_none_or(|owner| owner == self.number) {
                    break At { map, key: self.random.below(KEYS) };
                }
            };
            let operation = chosen.expect("a choice below the sum of weights").1;
            operation(self, at);
            self.check(at);
        }
        self.done += 1;
    }

    /// Notes what is done just now, for messages.
    pub(super) fn doing(&self, what: &str, at: At) {
        let (map, key) = (&self.map(at).name, &self.key(at).name);
        let what = format!("{} by {}: {what} {map}/{key}", self.done, self.number);
        self.run.doing(self.number, what);
    }

    pub(super) fn map(&self, at: At) -> &'r Map {
        &self.run.plan.maps[at.map]
    }

    pub(super) fn key(&self, at: At) -> &Key {
        &self.keys[at.map][at.key]
    }

    pub(super) fn value(&self, at: At) -> Option<&Vec<u8>> {
        self.values[at.map][at.key].as_ref()
    }

    /// The value that is there, or zeros.
    pub(super) fn present(&self, at: At) -> Vec<u8> {
        self.value(at).cloned().unwrap_or_else(|| vec![0; self.map(at).value_len()])
    }

    pub(super) fn set(&mut self, at: At, value: Option<Vec<u8>>) {
        self.values[at.map][at.key] = value;
    }

    /// What an update must give: whether there is room for the element.
    pub(super) fn room(&self, at: At) -> Result<(), i32> {
        let there = self.values[at.map].iter().flatten().count();
        // The other maps have room for all keys of all.
        let full = self.map(at).owner.is_some() && there >= self.map(at).room;
        if full && self.value(at).is_none() { Err(libc::ENOSPC) } else { Ok(()) }
    }

    /// The element's file, under one of its names.
    pub(super) fn path(&mut self, at: At) -> PathBuf {
        let typed = self.random.one_in(8);
        let key = self.key(at);
        let name = if typed { &key.typed } else { &key.name };
        self.run.bed.mnt.join(&self.map(at).name).join(name)
    }

    /// The element's file in a view, such as `.pop`.
    pub(super) fn view(&self, at: At, view: &str) -> PathBuf {
        let key = self.key(at);
        let name = if view == ".raw" { key.hex() } else { key.name.clone() };
        self.run.bed.mnt.join(&self.map(at).name).join(view).join(name)
    }

    /// Fails unless a result is the model's.
    #[track_caller]
    pub(super) fn same<T: PartialEq + Debug>(&self, got: io::Result<T>, want: Result<T, i32>) {
        let got = got.map_err(|error| error.raw_os_error().map_or(error.to_string(), errno::name));
        assert_eq!(got, want.map_err(errno::name), "left: got, right: the model");
    }

    /// Fails unless bpf(2) shows of an element what the model does.
    #[track_caller]
    pub(super) fn check(&self, at: At) {
        let map = self.map(at);
        let mut want = self.value(at);
        if map.sort == Sort::Trie && want.is_none() && at.key % 2 == 1 {
            // A look-up of the absent address finds the network around it.
            want = self.value(At { key: at.key - 1, ..at });
        }
        let got = map.raw.get(&self.key(at).bytes);
        assert_eq!(got.as_ref(), want, "{}/{} by bpf(2)", map.name, self.key(at).name);
    }

    /// Compares all elements of its own.
    pub(super) fn check_all(&self) {
        for (map, keys) in self.keys.iter().enumerate() {
            if self.run.plan.maps[map].owner.is_none_or(|owner| owner == self.number) {
                (0..keys.len()).for_each(|key| self.check(At { map, key }));
            }
        }
    }
}

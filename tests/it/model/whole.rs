//! Operations on a whole map: listing, `.entries`, `.count`, `.clear`, `.info`, `.schema`, `.help`.

use super::plan::{KEYS, Map, Sort, TINY};
use super::worker::{At, Worker};
use crate::common::errno::write_with;
use libc::O_TRUNC;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

impl Worker<'_> {
    fn dir(&self, at: At) -> PathBuf {
        self.run.bed.mnt.join(&self.map(at).name)
    }

    /// Nobody else changes this worker's keys, so each that is there is listed exactly once.
    pub(super) fn list(&mut self, at: At) {
        self.doing("list the map of", at);
        let mut names = HashSet::new();
        for entry in fs::read_dir(self.dir(at)).expect("the map is there") {
            let name = entry.expect("the listing goes on").file_name().into_string().unwrap();
            assert!(names.insert(name.clone()), "{name} is listed twice");
        }
        for (key, value) in self.keys[at.map].iter().zip(&self.values[at.map]) {
            assert_eq!(names.contains(&key.name), value.is_some(), "{} is listed", key.name);
        }
    }

    /// So it is with the lines of `.entries`.
    pub(super) fn entries(&mut self, at: At) {
        self.doing("read .entries of the map of", at);
        let map = self.map(at);
        let text = fs::read_to_string(self.dir(at).join(".entries")).expect("it can be read");
        let mut keys = HashSet::new();
        for line in text.lines() {
            let key = line.find(",\"value").map(|end| &line[..end]).expect("a key and a value");
            assert!(keys.insert(key), "{key} stands there twice");
        }
        let lines: HashSet<&str> = text.lines().collect();
        for (key, value) in self.keys[at.map].iter().zip(&self.values[at.map]) {
            let start = format!("{{\"key\":{}", key.json);
            assert_eq!(keys.contains(start.as_str()), value.is_some(), "{start} is there");
            if let Some(value) = value {
                let line = map.line(&key.json, value);
                assert!(lines.contains(line.as_str()), "{line} is missing");
            }
        }
    }

    /// Lines written to `.entries`, at times with a bad one: what is before it stands.
    pub(super) fn load(&mut self, at: At) {
        let map = self.map(at);
        let mut text = String::new();
        let mut changed = Vec::new();
        let mut want = Ok(());
        for _ in 0..1 + self.random.below(6) {
            let at = At { key: self.random.below(KEYS), ..at };
            let mut value = self.present(at);
            let (line, errno) = self.line(map, at, &mut value);
            text += &line;
            want = errno.map_or_else(|| self.room(at), Err);
            if want.is_err() {
                break;
            }
            if self.value(at).is_none() {
                // So that what is full is known on the way.
                self.set(at, Some(value));
                changed.push(at);
            } else {
                self.set(at, Some(value));
            }
        }
        self.doing(&format!("write {text:?} to .entries of the map of"), at);
        let cut = self.random.below(text.len());
        let written = OpenOptions::new().write(true).open(self.dir(at).join(".entries")).and_then(
            |mut file: File| {
                file.write_all(&text.as_bytes()[..cut])?;
                file.write_all(&text.as_bytes()[cut..])
            },
        );
        self.same(written, want);
        changed.into_iter().for_each(|at| self.check(at));
    }

    /// A line of `.entries`; an errno if it is a bad one.
    fn line(&mut self, map: &Map, at: At, value: &mut [u8]) -> (String, Option<i32>) {
        let key = self.key(at).json.clone();
        if self.random.one_in(12) {
            let (line, errno) = self.random.one_of(&[
                ("{\"key\":KEY}", libc::EINVAL),
                ("{\"key\":KEY,\"value\":{\"no\":1}}", libc::EINVAL),
                ("{\"key\":true,\"value\":1}", libc::EINVAL),
                ("nonsense", libc::EINVAL),
                ("{\"key\":KEY,\"value\":18446744073709551616}", libc::ERANGE),
            ]);
            // A number is no value of a struct at all.
            let struct_refuses = map.shape == super::texts::Shape::Stats;
            let errno = if struct_refuses { libc::EINVAL } else { errno };
            return (line.replace("KEY", &key) + "\n", Some(errno));
        }
        let size = map.shape.size();
        let lines = match map.cpus {
            Some(cpus) if self.random.one_in(2) => cpus,
            _ => 1,
        };
        let writes: Vec<_> = (0..lines).map(|_| map.shape.write_json(&mut self.random)).collect();
        for (cpu, slot) in value.chunks_exact_mut(size).enumerate() {
            writes[cpu % lines].apply(slot);
        }
        let texts: Vec<&str> = writes.iter().map(|write| write.text.trim()).collect();
        let line = match lines {
            1 => format!("{{\"key\":{key},\"value\":{}}}\n", texts[0]),
            _ => format!("{{\"values\": [{}], \"key\":{key} }}\n", texts.join(", ")),
        };
        (line, None)
    }

    /// What the map says of itself; and one that is this worker's alone is emptied.
    pub(super) fn particulars(&mut self, at: At) {
        let map = self.map(at);
        self.doing("read .info, .count, .schema and .help of the map of", at);
        let read =
            |name: &str| fs::read_to_string(self.dir(at).join(name)).expect("it can be read");
        let info: serde_json::Value = serde_json::from_str(&read(".info")).expect("JSON");
        assert_eq!(info["id"], map.raw.info.id);
        assert_eq!(info["max_entries"], map.room);
        let count: usize = read(".count").trim().parse().expect("a number");
        let own = self.values[at.map].iter().flatten().count();
        match (map.owner, map.sort) {
            (Some(_), _) => assert_eq!(count, own),
            (None, Sort::Array) => assert_eq!(count, map.room),
            (None, _) => assert!((own..=KEYS * (super::WORKERS + 1)).contains(&count), "{count}"),
        }
        assert!(read(".schema").contains("SEC(\".maps\")"));
        assert!(read(".help").contains(".entries"));
        if map.sort == Sort::Array {
            self.same(write_with(self.dir(at).join(".clear"), O_TRUNC, b"1\n"), Err(libc::EPERM));
        }
        if map.owner.is_some() {
            assert!(own <= TINY);
            self.doing("clear the map of", at);
            self.same(write_with(self.dir(at).join(".clear"), O_TRUNC, b"1\n"), Ok(()));
            self.values[at.map].fill(None);
            (0..KEYS).for_each(|key| self.check(At { key, ..at }));
        }
    }
}

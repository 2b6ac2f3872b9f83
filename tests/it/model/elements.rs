//! Operations on one element of a worker's own, each with the model's answer.

use super::plan::{Map, Sort};
use super::texts::Shape;
use super::worker::{At, Worker};
use crate::common::errno::{open_then_write, open_with, write_with};
use libc::{O_CREAT, O_EXCL, O_TRUNC};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Read, Seek, Write as _};
use std::time::SystemTime;

impl Map {
    fn is_hash(&self) -> bool {
        self.sort == Sort::Hash
    }
}

impl Worker<'_> {
    /// What reading the element must give.
    fn text(&self, at: At) -> Result<String, i32> {
        self.value(at).map(|value| self.map(at).text(value)).ok_or(libc::ENOENT)
    }

    /// Some text to write, and the value after it.
    fn some_write(&mut self, at: At) -> (String, Vec<u8>) {
        let mut value = self.present(at);
        let text = self.run.plan.maps[at.map].write(&mut self.random, &mut value);
        (text, value)
    }

    pub(super) fn read(&mut self, at: At) {
        self.doing("read", at);
        let path = self.path(at);
        self.same(fs::read_to_string(path), self.text(at));
    }

    fn write(&mut self, at: At, flags: i32, allowed: Result<(), i32>) {
        let (text, value) = self.some_write(at);
        self.doing(&format!("write {text:?} with {flags:#o} to"), at);
        let path = self.path(at);
        let want = allowed.and_then(|()| self.room(at));
        self.same(write_with(path, flags, text.as_bytes()), want);
        if want.is_ok() {
            self.set(at, Some(value));
        }
    }

    pub(super) fn write_any(&mut self, at: At) {
        let flags = if self.random.one_in(4) { O_CREAT } else { O_CREAT | O_TRUNC };
        self.write(at, flags, Ok(()));
    }

    pub(super) fn write_new(&mut self, at: At) {
        let allowed = if self.value(at).is_some() { Err(libc::EEXIST) } else { Ok(()) };
        self.write(at, O_CREAT | O_EXCL, allowed);
    }

    pub(super) fn write_existing(&mut self, at: At) {
        let allowed = if self.value(at).is_some() { Ok(()) } else { Err(libc::ENOENT) };
        let flags = if self.random.one_in(4) { O_TRUNC } else { 0 };
        self.write(at, flags, allowed);
    }

    pub(super) fn touch(&mut self, at: At) {
        self.doing("touch", at);
        let path = self.path(at);
        let want = self.room(at);
        let times = FileTimes::new().set_modified(SystemTime::now());
        // Without utimensat the last close makes the element, as `: >` does.
        let by_close = want.is_ok() && self.random.one_in(2);
        let touched = open_with(path, O_CREAT | libc::O_NONBLOCK | libc::O_NOCTTY)
            .and_then(|file| if by_close { Ok(()) } else { file.set_times(times) });
        self.same(touched, want);
        if want.is_ok() {
            let value = self.present(at);
            self.set(at, Some(value));
        }
    }

    pub(super) fn unlink(&mut self, at: At) {
        self.doing("unlink", at);
        let want = match (self.map(at).sort, self.value(at)) {
            (Sort::Array, _) => Err(libc::EPERM),
            (_, Some(_)) => Ok(()),
            (_, None) => Err(libc::ENOENT),
        };
        let path = if self.random.one_in(8) { self.view(at, ".raw") } else { self.path(at) };
        self.same(fs::remove_file(path), want);
        if want.is_ok() {
            self.set(at, None);
        }
    }

    pub(super) fn stat(&mut self, at: At) {
        self.doing("stat", at);
        let path = self.path(at);
        let want = self.text(at).map(|text| text.len() as u64);
        self.same(fs::metadata(path).map(|meta| meta.len()), want);
    }

    pub(super) fn raw_read(&mut self, at: At) {
        self.doing("read .raw of", at);
        let want = self.value(at).cloned().ok_or(libc::ENOENT);
        self.same(fs::read(self.view(at, ".raw")), want);
    }

    pub(super) fn raw_write(&mut self, at: At) {
        self.doing("write .raw of", at);
        let (_, mut value) = self.some_write(at);
        let too_long = self.random.one_in(5);
        if too_long {
            value.push(0);
        }
        let want = if too_long { Err(libc::EINVAL) } else { self.room(at) };
        self.same(write_with(self.view(at, ".raw"), O_CREAT | O_TRUNC, &value), want);
        if want.is_ok() {
            self.set(at, Some(value));
        }
    }

    pub(super) fn member_read(&mut self, at: At) {
        if self.map(at).shape != Shape::Stats {
            return self.read(at);
        }
        let name = self.random.one_of(&["packets", "delta", "tag"]);
        self.doing(&format!("read .field {name} of"), at);
        let want = self.value(at).map(|value| self.map(at).member_text(name, value));
        let path = self.view(at, ".field").join(name);
        self.same(fs::read_to_string(path), want.ok_or(libc::ENOENT));
    }

    pub(super) fn member_write(&mut self, at: At) {
        if self.map(at).shape != Shape::Stats {
            return self.write_any(at);
        }
        let mut value = self.present(at);
        let (name, text) = self.run.plan.maps[at.map].member(&mut self.random, &mut value);
        self.doing(&format!("write {text:?} to .field {name} of"), at);
        let want = if self.value(at).is_some() { Ok(()) } else { Err(libc::ENOENT) };
        let path = self.view(at, ".field").join(name);
        self.same(write_with(path, O_TRUNC, (text + "\n").as_bytes()), want);
        if want.is_ok() {
            self.set(at, Some(value));
        }
    }

    pub(super) fn cpu_read(&mut self, at: At) {
        let map = self.map(at);
        let Some(cpus) = map.cpus else {
            self.doing("read .cpu/0 of", at);
            return self.same(fs::read_to_string(self.view(at, ".cpu/0")), Err(libc::ENOENT));
        };
        let cpu = self.random.below(cpus + 1);
        self.doing(&format!("read .cpu/{cpu} of"), at);
        let size = map.shape.size();
        let slot = self.value(at).and_then(|value| value.get(cpu * size..(cpu + 1) * size));
        let want = slot.map(|slot| map.shape.json(slot) + "\n").ok_or(libc::ENOENT);
        self.same(fs::read_to_string(self.view(at, &format!(".cpu/{cpu}"))), want);
    }

    pub(super) fn cpu_write(&mut self, at: At) {
        let map = self.map(at);
        let Some(cpus) = map.cpus else { return self.write_any(at) };
        let cpu = self.random.below(cpus);
        let write = map.shape.write(&mut self.random);
        self.doing(&format!("write {:?} to .cpu/{cpu} of", write.text), at);
        let mut value = self.present(at);
        write.apply(&mut value[cpu * map.shape.size()..][..map.shape.size()]);
        let path = self.view(at, &format!(".cpu/{cpu}"));
        self.same(write_with(path, O_CREAT | O_TRUNC, (write.text + "\n").as_bytes()), Ok(()));
        self.set(at, Some(value));
    }

    pub(super) fn sum(&mut self, at: At) {
        let map = self.map(at);
        self.doing("read .sum of", at);
        let value = self.value(at).filter(|_| map.cpus.is_some());
        let want = value.map(|value| map.sum(value)).ok_or(libc::ENOENT);
        self.same(fs::read_to_string(self.view(at, ".sum")), want);
    }

    pub(super) fn pop(&mut self, at: At) {
        self.doing("pop", at);
        let want = if self.map(at).is_hash() { self.text(at) } else { Err(libc::EOPNOTSUPP) };
        let taken = want.is_ok();
        self.same(fs::read_to_string(self.view(at, ".pop")), want);
        if taken {
            self.set(at, None);
        }
    }

    /// Text that is no value changes nothing.
    pub(super) fn refused(&mut self, at: At) {
        let (text, errno) = self.map(at).shape.refused(&mut self.random);
        self.doing(&format!("write {text:?} to"), at);
        let path = self.path(at);
        self.same(write_with(path, O_CREAT | O_TRUNC, format!("{text}\n").as_bytes()), Err(errno));
    }

    /// Nor does text that never gets complete.
    pub(super) fn incomplete(&mut self, at: At) {
        let text = match self.map(at).shape {
            Shape::Number => return self.read(at),
            Shape::Stats => "{\"packets\":1,",
        };
        self.doing(&format!("write {text:?} to"), at);
        let path = self.path(at);
        self.same(write_with(path, O_CREAT | O_TRUNC, text.as_bytes()), Ok(()));
    }

    /// A name that is no key is not there, and cannot be made.
    pub(super) fn no_key(&mut self, at: At) {
        let map = self.map(at);
        let mut names = vec!["nokey".to_owned(), "from=1".to_owned(), "10.0.0_8".to_owned()];
        if map.sort == Sort::Array {
            names.push(map.room.to_string());
        }
        let name = &names[self.random.below(names.len())];
        self.doing(&format!("use the name {name} in the map of"), at);
        let path = self.run.bed.mnt.join(&map.name).join(name);
        self.same(fs::read_to_string(&path), Err(libc::ENOENT));
        self.same(write_with(&path, O_CREAT, b"1\n"), Err(libc::EINVAL));
        self.same(fs::remove_file(&path), Err(libc::ENOENT));
    }

    /// What is read is the value at the open, whatever changed since.
    pub(super) fn opened_before(&mut self, at: At) {
        let Ok(want) = self.text(at) else { return self.read(at) };
        self.doing("open, change and read", at);
        let path = self.path(at);
        let mut file = File::open(path).expect("a present element");
        let (_, value) = self.some_write(at);
        self.map(at).raw.set(&self.key(at).bytes, &value);
        let mut text = String::new();
        self.same(file.read_to_string(&mut text).map(|_| text), Ok(want));
        self.set(at, Some(value));
    }

    /// The flag of an update is the open's, whatever happened since.
    pub(super) fn changed_meanwhile(&mut self, at: At) {
        let map = self.map(at);
        if map.sort == Sort::Array || self.room(at).is_err() {
            return self.read(at);
        }
        let path = self.path(at);
        let (text, value) = self.some_write(at);
        let key = self.key(at).bytes.clone();
        if self.value(at).is_some() {
            self.doing("open, delete and write", at);
            let outcome = open_then_write(path, 0, || map.raw.delete(&key), text.as_bytes());
            self.same(outcome, Err(libc::ENOENT));
            self.set(at, None);
        } else {
            self.doing("open with O_EXCL, make and write", at);
            let made = || map.raw.set(&key, &value);
            let outcome = open_then_write(path, O_CREAT | O_EXCL, made, text.as_bytes());
            self.same(outcome, Err(libc::EEXIST));
            self.set(at, Some(value));
        }
    }

    /// One handle for both: what was written is read.
    pub(super) fn read_and_write(&mut self, at: At) {
        let Ok(before) = self.text(at) else { return self.stat(at) };
        let path = self.path(at);
        let (text, value) = self.some_write(at);
        self.doing(&format!("read, write {text:?} and read"), at);
        let mut file = OpenOptions::new().read(true).write(true).open(path).expect("it is there");
        let mut got = String::new();
        self.same(file.read_to_string(&mut got).map(|_| got), Ok(before));
        self.same(file.rewind().and_then(|()| file.write_all(text.as_bytes())), Ok(()));
        self.set(at, Some(value));
        let mut got = String::new();
        self.same(
            file.rewind().and_then(|()| file.read_to_string(&mut got)).map(|_| got),
            self.text(at),
        );
    }

    /// A document in two pieces.
    pub(super) fn pieces(&mut self, at: At) {
        if self.map(at).shape != Shape::Stats || self.map(at).cpus.is_some() {
            return self.read(at);
        }
        let (text, value) = self.some_write(at);
        if !text.starts_with('{') {
            return self.read(at);
        }
        let cut = 1 + self.random.below(text.len() - 2);
        self.doing(&format!("write {:?} and the rest of {text:?} to", &text[..cut]), at);
        let path = self.path(at);
        let outcome = open_with(path, O_CREAT | O_TRUNC).and_then(|mut file| {
            file.write_all(&text.as_bytes()[..cut])?;
            file.write_all(&text.as_bytes()[cut..])
        });
        self.same(outcome, Ok(()));
        self.set(at, Some(value));
    }

    /// A change by bpf(2) is seen at once.
    pub(super) fn changed_directly(&mut self, at: At) {
        self.doing("change by bpf(2)", at);
        let map = self.map(at);
        let key = self.key(at).bytes.clone();
        if map.sort != Sort::Array && self.value(at).is_some() && self.random.one_in(2) {
            map.raw.delete(&key);
            self.set(at, None);
        } else if self.room(at).is_ok() {
            let (_, value) = self.some_write(at);
            map.raw.set(&key, &value);
            self.set(at, Some(value));
        }
        self.read(at);
    }

    /// Keys keep their names, so that mv(1) copies and deletes.
    pub(super) fn rename(&mut self, at: At) {
        let other = At { key: (at.key + 1) % self.keys[at.map].len(), ..at };
        self.doing("rename", at);
        let (from, to) = (self.path(at), self.path(other));
        let want = if self.value(at).is_some() { libc::EXDEV } else { libc::ENOENT };
        self.same(fs::rename(&from, &to), Err(want));
        if self.value(at).is_some() && self.value(other).is_none() {
            self.doing("link", at);
            self.same(fs::hard_link(&from, &to), Err(libc::EPERM));
        }
    }

    /// An address without a length finds the longest prefix that covers it.
    pub(super) fn longest(&mut self, at: At) {
        if self.map(at).sort != Sort::Trie {
            return self.read(at);
        }
        let net = At { key: at.key - at.key % 2, ..at };
        let host = At { key: net.key + 1, ..at };
        let itself = self.random.one_in(2);
        let found =
            [host, net].into_iter().skip(usize::from(!itself)).find(|at| self.value(*at).is_some());
        let address = format!("10.{}.{}.{}", self.number, at.key / 2, if itself { 7 } else { 9 });
        self.doing(&format!("look up {address}, by"), at);
        let want = found.ok_or(libc::ENOENT).and_then(|at| self.text(at));
        let path = self.run.bed.mnt.join(&self.map(at).name).join(address);
        self.same(fs::read_to_string(path), want);
    }
}

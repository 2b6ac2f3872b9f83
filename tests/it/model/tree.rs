//! Operations on pins: mkdir, rename, rmdir; and that no map outlives its pin.

use super::worker::{At, Worker};
use super::{Run, plan};
use crate::common::errno::write_with;
use crate::common::{RawMap, eventually};
use bpffuse::sys::object::map_by_id;
use libc::{O_CREAT, O_TRUNC};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

/// The ids of maps that were made and removed.
#[derive(Default)]
pub(super) struct Gone(Mutex<Vec<u32>>);

impl Gone {
    pub(super) fn add(&self, id: u32) {
        self.0.lock().unwrap().push(id);
    }
}

impl Worker<'_> {
    /// A map made by mkdir, used, renamed and removed.
    pub(super) fn tree(&mut self, at: At) {
        self.made += 1;
        let mnt = &self.run.bed.mnt;
        let name = format!("made{}_{}", self.number, self.made);
        let other = format!("other{}_{}", self.number, self.made);
        // At times by way of a directory.
        let to =
            if self.random.one_in(2) { mnt.join("dir").join(&other) } else { mnt.join(&other) };
        let from = mnt.join(&name);
        self.doing(&format!("mkdir {name}, and not"), at);
        self.same(fs::create_dir(&from), Ok(()));
        self.same(fs::create_dir(&from), Err(libc::EEXIST));
        let id = self.run.bed.open(&name).info.id;
        for key in 0..3 {
            self.same(write_with(from.join(key.to_string()), O_CREAT, b"7\n"), Ok(()));
        }
        self.same(fs::remove_dir(&from), Err(libc::ENOTEMPTY));
        self.doing(&format!("rename {name}, and not"), at);
        self.same(fs::rename(&from, &to), Ok(()));
        self.same(fs::read_to_string(from.join("1")), Err(libc::ENOENT));
        self.same(fs::read_to_string(to.join("1")), Ok("7\n".to_owned()));
        self.same(fs::read_dir(&to).map(Iterator::count), Ok(3));
        self.doing(&format!("remove {other}, and not"), at);
        if self.random.one_in(2) {
            self.same(write_with(to.join(".clear"), O_TRUNC, b"1\n"), Ok(()));
        } else {
            (0..3).for_each(|key| self.same(fs::remove_file(to.join(key.to_string())), Ok(())));
        }
        self.same(fs::read_dir(&to).map(Iterator::count), Ok(0));
        self.same(fs::remove_dir(&to), Ok(()));
        self.same(fs::metadata(&to).map(drop), Err(libc::ENOENT));
        self.run.gone.add(id);
    }
}

/// Ends the daemon and the bpffs; fails if a map of this run is still loaded afterwards.
pub(super) fn nothing_lingers(run: Run) {
    let Run { bed, plan, gone, .. } = run;
    let removed = gone.0.into_inner().unwrap();
    eventually("the maps that were removed are gone", || removed.iter().all(is_gone));
    // Whatever is pinned, those of the disturbances' programs too.
    let pins = fs::read_dir(&bed.bpf).expect("the bpffs").map(|entry| entry.expect("a pin"));
    let kept: Vec<u32> = pins
        .filter(|pin| !pin.file_type().expect("a type").is_dir() && is_name(&pin.file_name()))
        .map(|pin| RawMap::open(&pin.path()).info.id)
        .collect();
    assert!(kept.len() >= plan.maps.len(), "a map is not pinned any more");
    assert!(!kept.iter().any(is_gone), "a map is gone that is pinned");
    drop::<plan::Plan>(plan);
    drop(bed);
    eventually("the maps are gone with their pins", || kept.iter().all(is_gone));
}

/// Whether a pin is ours: the kernel's own have a dot in their names.
fn is_name(name: &OsStr) -> bool {
    !name.as_bytes().contains(&b'.')
}

fn is_gone(id: &u32) -> bool {
    map_by_id(*id).is_err_and(|error| error.errno == libc::ENOENT)
}

//! What else happens on a machine meanwhile: clients are killed, pins come and go, the same bpffs is
//! mounted once more, events and changes are followed and left.

use super::plan::Sort;
use super::random::Random;
use super::{Run, WORKERS};
use crate::common::bed::signal;
use crate::common::map::{Kind, RawMap, key32};
use crate::common::{eventually, shell};
use crate::kinds_common::Programs;
use bpffuse::sys::map::NewMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Disturbs a run.
pub(super) struct Disturber<'r> {
    run: &'r Run,
    random: Random,
    programs: Programs,
    made: u64,
}

impl<'r> Disturber<'r> {
    pub(super) fn new(run: &'r Run, random: Random) -> Self {
        Self { run, random, programs: Programs::load(&run.bed, "streams"), made: 0 }
    }

    /// One thing after the other.
    pub(super) fn until_the_end(mut self) {
        let mut done = [0_u64; 5];
        while !self.run.stop.load(Ordering::Relaxed) && !self.run.is_over() {
            let what = self.random.below(done.len());
            let (name, act): (_, fn(&mut Self)) = match what {
                0 => ("kill a client", Self::kill_a_client),
                1 => ("pin and unpin", Self::pin_and_unpin),
                2 => ("mount once more", Self::mount_once_more),
                3 => ("follow events", Self::follow_events),
                _ => ("follow changes", Self::follow_changes),
            };
            self.run.doing(WORKERS, format!("disturbance {}: {name}", done[what]));
            act(&mut self);
            done[what] += 1;
            thread::sleep(Duration::from_millis(20));
        }
        self.run.doing(WORKERS, "nothing: the disturber has ended".to_owned());
        let [killed, pins, mounts, streams, watches] = done;
        println!(
            "{killed} clients killed, {pins} pins made and removed, {mounts} further mounts, \
             {streams} streams and {watches} watches followed"
        );
    }

    fn client(&self, program: &str, args: &[String]) -> Child {
        Command::new(program)
            .args(args)
            .env(shell::BED, &self.run.bed.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a client starts")
    }

    fn some_map(&mut self) -> String {
        let maps: Vec<_> = self.run.plan.common().collect();
        let map = maps[self.random.below(maps.len())];
        self.run.bed.mnt.join(&map.name).display().to_string()
    }

    /// SIGKILL in the midst of whatever it does.
    fn kill_a_client(&mut self) {
        let map = self.some_map();
        let events = self.run.bed.mnt.join("events/.stream").display().to_string();
        let (program, args) = match self.random.below(6) {
            0 => ("cat", vec![format!("{map}/.watch")]),
            1 => ("cat", vec![events]),
            2 => ("grep", vec!["-r".into(), "nothing".into(), map]),
            // Waits for its standard input, with the file open.
            3 => ("dd", vec![format!("of={map}/.entries"), "conv=nocreat".into()]),
            4 => ("tar", vec!["-cf".into(), "/dev/null".into(), map]),
            _ => ("dd", vec![format!("if={map}/.entries"), "bs=1".into(), "of=/dev/null".into()]),
        };
        let mut client = self.client(program, &args);
        thread::sleep(Duration::from_millis(self.random.below(100) as u64));
        client.kill().expect("kill");
        client.wait().expect("wait");
    }

    /// A map that another program makes and removes is seen, and its elements are gone, at once.
    fn pin_and_unpin(&mut self) {
        self.made += 1;
        let name = format!("pin{}", self.made);
        let (pin, dir) = (self.run.bed.pin(&name), self.run.bed.at(&name));
        let new = NewMap {
            map_type: Kind::Hash.number(),
            name: "pin".to_owned(),
            key_size: 4,
            value_size: 8,
            max_entries: 10,
            ..NewMap::default()
        };
        let map = RawMap::create(&pin, &new);
        let n = self.made;
        map.set(&key32(1), &n.to_ne_bytes());
        assert_eq!(fs::read_to_string(dir.join("1")).expect("the new map"), format!("{n}\n"));
        let open = File::open(dir.join("1")).expect("the new map");
        fs::remove_file(&pin).expect("unpin");
        assert!(fs::read_to_string(dir.join("1")).is_err(), "{name}/1 is still there");
        // The kernel keeps the directory until it is told.
        eventually(&format!("{name} is gone"), || fs::metadata(&dir).is_err());
        drop(open);
        self.run.gone.add(map.info.id);
    }

    /// A second daemon for the same bpffs.
    fn mount_once_more(&mut self) {
        self.made += 1;
        let point = self.run.bed.dir.join(format!("mnt{}", self.made));
        fs::create_dir(&point).expect("mkdir");
        let before = fs::metadata(&point).expect("stat").dev();
        let args = ["-f".to_owned(), self.run.bed.shown("bpf"), point.display().to_string()];
        let mut daemon = self.client(shell::BPFFUSE, &args);
        eventually("the second mount answers", || {
            fs::metadata(&point).is_ok_and(|meta| meta.dev() != before)
        });
        for map in self.run.plan.common().filter(|map| map.sort == Sort::Array) {
            let names = fs::read_dir(point.join(&map.name)).expect("a listing").count();
            assert_eq!(names, map.room, "{} in the second mount", map.name);
        }
        signal("TERM", daemon.id());
        let status = daemon.wait().expect("wait");
        assert!(status.success(), "the second daemon: {status}");
        fs::remove_dir(&point).expect("the mount point is a plain directory again");
    }

    /// Events of a ring buffer, as far as no client that is killed takes them.
    fn follow_events(&mut self) {
        let path = self.run.bed.at("events/.events/event");
        let file = match File::open(path) {
            // A client that was killed just now still has it.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return,
            opened => opened.expect("the stream"),
        };
        self.programs.run_raw("to_ring", [0, 100], None);
        for line in BufReader::with_capacity(256, file).lines().take(self.random.below(50)) {
            let line = line.expect("an event");
            assert!(line.starts_with("{\"seq\":") && line.ends_with("\"tester\"}"), "{line}");
        }
    }

    /// Changes of a map that the workers and the other process change all the time.
    fn follow_changes(&mut self) {
        let map = self.some_map();
        let mut client = Command::new("cat")
            .arg(format!("{map}/.watch"))
            .env(shell::BED, &self.run.bed.dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client starts");
        let text = BufReader::new(client.stdout.take().expect("a pipe"));
        let mut lines = 0;
        for line in text.lines().take(1 + self.random.below(100)) {
            let line = line.expect("UTF-8");
            let change: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert!(change["op"] == "set" || change["op"] == "delete", "{line}");
            lines += 1;
        }
        client.kill().expect("kill");
        client.wait().expect("wait");
        assert!(lines > 0, "the changes of {map} ended by themselves");
    }
}

//! Nodes' attributes.

use super::lookup::Found;
use super::sizes::Asked;
use crate::bpffs::{Pin, Stat};
use crate::fs::Fs;
use crate::fs::base::attr::{Attr, Changed, FileKind, both_mode, dir_mode, read_mode};
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{ENDLESS, has_large_values};
use crate::fs::control;
use crate::fs::control::row::Rights;
use crate::fs::element::access::{self, Told};
use crate::fs::element::view;
use crate::fs::help;
use crate::node::{Ino, Machine, MapRef, Node, Place, View};
use crate::sys::object::ObjectKind;
use std::ffi::OsStr;

/// Longest file name, except hex names of long keys; for statfs(2), in bytes.
pub const NAME_MAX: u32 = 1023;

impl Fs {
    /// The attributes of a node that the kernel knows.
    ///
    /// # Errors
    /// ENOENT if what it stood for is gone.
    pub fn getattr(&self, ino: Ino, caller: Caller) -> Result<Found> {
        let node = self.node(ino)?;
        self.admit_to(&node, None, caller)?;
        self.check_same(ino, &node, caller)?;
        let attr = self.attr_now(ino, caller, Asked::Size)?;
        let kept = attr.pin.is_some_and(|pin| self.keep(&node, ino, pin, None, caller));
        Ok(Found { kept, ..self.found(ino, attr) })
    }

    /// The attributes after a change: a size that nobody asked for costs no walk.
    pub(super) fn attr_after(&self, ino: Ino, caller: Caller) -> Result<Attr> {
        Ok(self.found(ino, self.attr_now(ino, caller, Asked::Nothing)?).attr)
    }

    fn attr_now(&self, ino: Ino, caller: Caller, asked: Asked) -> Result<Attr> {
        let node = self.node(ino)?;
        let asked = self.open_size(ino, caller).map_or(asked, Asked::Of);
        match self.attr(&node, caller, asked) {
            Ok(attr) => Ok(attr),
            // Gone since it was looked up: as a file that was unlinked, for those who hold it open. Nor
            // must `echo v > k` fail because somebody deleted k while it was opened. Or created by
            // open(2) and not yet written.
            Err(error) if error.errno == libc::ENOENT => {
                let Node::In(at, Place::Element(view, _)) = &*node else { return Err(error) };
                let (map, stat) = self.maps.open(at)?;
                if self.promises.open(ino, caller).is_some() {
                    return Ok(access::attr(&map, view, stat, Told::PROMISED));
                }
                let mut attr = access::attr(&map, view, stat, Told::GONE);
                if let Asked::Of(size) = asked {
                    attr.size = size;
                }
                attr.stat.nlink = 0;
                Ok(attr)
            }
            Err(error) => Err(error),
        }
    }

    /// Attributes of a directory, symlink or object in bpffs, from those of the pin.
    pub(super) fn pin_attr(
        &self,
        node: &Node,
        stat: Stat,
        caller: Caller,
        asked: Asked,
    ) -> Result<Attr> {
        let changed = Changed::WithPin;
        match node {
            Node::Symlink(pin) => {
                let size = self.maps.bpffs.readlink(pin)?.as_os_str().len() as u64;
                Ok(Attr::new(FileKind::Symlink, size, stat, changed))
            }
            Node::Object(_, kind) => {
                // BPF_OBJ_GET opens a link for reading and writing alone.
                let mode = match kind {
                    ObjectKind::Link => both_mode(stat.mode),
                    ObjectKind::Map | ObjectKind::Prog | ObjectKind::Other => read_mode(stat.mode),
                };
                let (size, _) = self.text_size(node, &Stat { mode, ..stat }, caller, asked)?;
                let stat = Stat { mode, ..stat };
                Ok(Attr::new(FileKind::File, size, stat, changed))
            }
            Node::In(at, place) => Ok(map_dir(at, place, stat)),
            Node::Dir(_) => Ok(Attr { pin: Some(stat), ..dir(stat.mode, stat) }),
            Node::New(..) | Node::Ids | Node::Machine(_) | Node::Errors | Node::Help(_) => {
                Ok(dir(stat.mode, stat))
            }
        }
    }

    /// A node's attributes, the inode number yet to be set.
    pub(super) fn attr(&self, node: &Node, caller: Caller, asked: Asked) -> Result<Attr> {
        let root = || self.maps.bpffs.stat(&self.maps.bpffs.root());
        match node {
            Node::Dir(pin) | Node::Symlink(pin) | Node::Object(pin, _) => {
                self.pin_attr(node, self.maps.bpffs.stat(pin)?, caller, asked)
            }
            Node::New(dir, _) => self.new_attr(dir),
            Node::In(at, place) => self.place_attr(node, (at, place), caller, asked),
            Node::Ids => {
                let stat = self.maps.stat(&MapRef::Id(0))?;
                Ok(dir(0o700, Stat { uid: 0, nlink: 2, ..stat }))
            }
            Node::Machine(machine) => {
                let told = match machine {
                    Machine::Metrics
                    | Machine::Table
                    | Machine::Json
                    | Machine::ProgramInfo(_)
                    | Machine::MoreProcesses => self.text_size(node, &root()?, caller, asked)?,
                    Machine::List(_)
                    | Machine::Link(..)
                    | Machine::Programs
                    | Machine::Processes => (0, Changed::WithPin),
                };
                self.machine_attr(machine, told)
            }
            Node::Errors => {
                let stat = Stat { uid: 0, ..root()? };
                Ok(file(0o400, self.text_size(node, &stat, caller, asked)?, stat))
            }
            Node::Help(dir) => {
                let stat = self.attr(dir, caller, Asked::Nothing)?.stat;
                let told = self.text_size(node, &stat, caller, asked)?;
                Ok(file(read_mode(stat.mode), told, stat))
            }
        }
    }

    fn place_attr(
        &self,
        node: &Node,
        (at, place): (&MapRef, &Place),
        caller: Caller,
        asked: Asked,
    ) -> Result<Attr> {
        match place {
            Place::Root | Place::View(_) | Place::Cpus | Place::EventTypes => {
                Ok(map_dir(at, place, self.maps.stat(at)?))
            }
            Place::Control(name) => {
                let stat = self.maps.stat(at)?;
                let rights =
                    control::named(OsStr::new(name)).map_or(Rights::Read, |row| row.rights);
                let told = self.text_size(node, &stat, caller, asked)?;
                Ok(file(rights.mode(stat.mode), told, stat))
            }
            Place::Whole(_) => {
                let stat = self.maps.stat(at)?;
                let told = self.text_size(node, &stat, caller, asked)?;
                Ok(file(read_mode(stat.mode), told, stat))
            }
            Place::Events(_) => {
                let stat = self.maps.stat(at)?;
                let mode = control::stream::STREAM.rights.mode(stat.mode);
                Ok(file(mode, (ENDLESS, Changed::Now), stat))
            }
            Place::Element(view, key) => {
                let (map, stat) = self.maps.open(at)?;
                if has_large_values(&map) {
                    caller.long_work()?;
                }
                match access::seen(&self.maps, at, &map, view, key)? {
                    Some((told, text)) => {
                        if let (Asked::Size, Some(text)) = (asked, text) {
                            self.keep_told(caller, node, text, Maps::keep_file_again);
                        }
                        let size = match asked {
                            // A file that was opened to make the element has no text to read: 0 bytes,
                            // which others must not be told.
                            Asked::Of(0) | Asked::Size | Asked::Nothing => told.size,
                            Asked::Of(size) => size,
                        };
                        Ok(access::attr(&map, view, stat, Told { size, ..told }))
                    }
                    // Who opened it has it: cat asks for the size only then.
                    None if *view == View::Pop => {
                        let size = match asked {
                            Asked::Of(size) => size,
                            Asked::Size | Asked::Nothing => Told::GONE.size,
                        };
                        Ok(access::attr(&map, view, stat, Told { size, ..Told::GONE }))
                    }
                    None => Err(Error::missing("the key is gone")),
                }
            }
            Place::Link(name) => {
                let stat = Stat { mode: 0o777, nlink: 1, ..self.maps.stat(at)? };
                let size = self.links.kept_target(&self.maps, at, name)?.as_os_str().len() as u64;
                let changed = Changed::WithPin;
                Ok(Attr::new(FileKind::Symlink, size, stat, changed))
            }
        }
    }

    /// The attributes of a name that is yet to become a map, in a directory of bpffs.
    pub(super) fn new_attr(&self, dir: &Pin) -> Result<Attr> {
        let stat = self.maps.bpffs.stat(dir)?;
        Ok(file(0o600, (0, Changed::WithPin), Stat { uid: 0, ..stat }))
    }

    /// The text of a directory's `.help`.
    pub(super) fn help(&self, dir: &Node) -> Result<Vec<u8>> {
        let is_root = *dir == Node::Dir(self.maps.bpffs.root());
        let map = match dir.in_map() {
            Some((at, _)) => Some(help::MapHelp::of(at, &self.maps.open(at)?.0)),
            None => None,
        };
        Ok(help::render(dir, is_root, map.as_ref()))
    }
}

/// A directory of a map, which the kernel may keep if that is pinned: bpffs tells when it changes.
fn map_dir(at: &MapRef, place: &Place, stat: Stat) -> Attr {
    let pin = match at {
        MapRef::Pin(_) => Some(stat),
        MapRef::Id(_) => None,
    };
    Attr { pin, ..dir(map_dir_mode(place, stat.mode), stat) }
}

/// A directory of a map: `w` is for those in which elements are made or deleted.
pub(super) fn map_dir_mode(place: &Place, pin: u32) -> u32 {
    let is_changed = place.keys().is_some_and(|view| {
        let allows = view::allows(&view);
        allows.create || allows.delete
    });
    dir_mode(if is_changed { pin } else { read_mode(pin) })
}

fn file(mode: u32, (size, changed): (u64, Changed), stat: Stat) -> Attr {
    let stat = Stat { mode, nlink: 1, ..stat };
    Attr::new(FileKind::File, size, stat, changed)
}

fn dir(mode: u32, stat: Stat) -> Attr {
    let stat = Stat { mode, nlink: stat.nlink.max(2), ..stat };
    Attr::new(FileKind::Dir, 0, stat, Changed::WithPin)
}

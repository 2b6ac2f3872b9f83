//! How large files are whose text is made when they are opened.
//!
//! Tools believe sizes: tar and rsync read no further, sendfile(2) reads nothing of a file of size 0. So
//! a text that ends has its size, for which it is made, and kept for the open that follows at once; and
//! who has a file open is told the size of what that reads.

use crate::bpffs::Stat;
use crate::fs::Fs;
use crate::fs::base::attr::{Changed, lets_in_blind};
use crate::fs::base::caller::{Caller, Groups};
use crate::fs::base::error::{Error, Result};
use crate::fs::base::held;
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{ENDLESS, OpenFile, TextFile, UNKNOWN, WHOLE, has_large_values};
use crate::fs::base::opened::OpenedFile;
use crate::fs::control;
use crate::fs::control::row::Reads;
use crate::fs::element::access;
use crate::node::{Ino, Machine, MapRef, Node, Place, View};
use std::ffi::OsStr;
use std::sync::Arc;

/// What is asked of a node's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// How large it is now.
    Size,
    /// Nothing: any answer will do that is not 0.
    Nothing,
    /// The caller has it open, and so many bytes to read in it.
    Of(u64),
}

impl Fs {
    /// The size of what the caller's process reads of a file that it has open.
    pub(super) fn open_size(&self, ino: Ino, caller: Caller) -> Option<u64> {
        self.opened.newest(ino, |open: &OpenedFile| match open.size_just_opened() {
            Some(size) if caller.is_beside(open.opener) => Some(size),
            _ => None,
        })
    }

    /// Keeps the text of an element whose size is told, for the open that follows at once.
    pub(super) fn keep_told(
        &self,
        caller: Caller,
        node: &Node,
        text: Vec<u8>,
        keep: fn(&Maps, Caller, &Node, &Arc<dyn OpenFile>),
    ) {
        let is_taken = matches!(node, Node::In(_, Place::Element(View::Pop, _)));
        if !is_taken && text.len() <= WHOLE && held::check(text.len()).is_ok() {
            let file: Arc<dyn OpenFile> = Arc::new(TextFile::new(text));
            keep(&self.maps, caller, node, &file);
        }
    }

    /// The size of a file that is no element, and when it was changed.
    pub(super) fn text_size(
        &self,
        node: &Node,
        stat: &Stat,
        caller: Caller,
        asked: Asked,
    ) -> Result<(u64, Changed)> {
        let at = node.in_map().map(|(at, _)| at);
        let reads = match node.in_map() {
            Some((_, Place::Control(name))) => {
                let control = control::named(OsStr::new(name));
                control.map_or(Reads::Text, |control| control.rights.reads())
            }
            Some(_) | None => Reads::Text,
        };
        match (reads, asked) {
            (Reads::Nothing, _) => Ok((0, Changed::WithPin)),
            (Reads::Endless, _) => Ok((ENDLESS, Changed::Now)),
            _ if !self.may_know(node, stat, caller)? => Ok((WHOLE as u64, Changed::Now)),
            (Reads::Text | Reads::Next, Asked::Of(size)) => Ok((size, Changed::AsTold)),
            (Reads::Text | Reads::Next, Asked::Nothing) => Ok((WHOLE as u64, Changed::AsTold)),
            (Reads::Next, Asked::Size) => self.next_size(at, caller),
            (Reads::Text, Asked::Size) => self.made_size(node, caller),
        }
    }

    /// Whether a size may be told: it says something of the text to who may not read that. The kernel
    /// remembers one size for all, so of a map it is told to all or none.
    fn may_know(&self, node: &Node, stat: &Stat, caller: Caller) -> Result<bool> {
        match node {
            Node::In(..) => Ok(!lets_in_blind(stat.mode)),
            Node::Object(..) => caller.may(stat, 0o4, &Groups::new()),
            Node::Machine(Machine::Metrics) => match self.maps.owner.metrics_group {
                Some(group) if !caller.is_owner => caller.is_in(group),
                Some(_) | None => Ok(caller.is_owner),
            },
            Node::Machine(_) | Node::Errors => Ok(caller.is_owner),
            Node::Dir(_) | Node::Symlink(_) | Node::New(..) | Node::Ids | Node::Help(_) => Ok(true),
        }
    }

    /// The size of a text that is made now.
    fn made_size(&self, node: &Node, caller: Caller) -> Result<(u64, Changed)> {
        match self.open_node(node, libc::O_RDONLY, caller) {
            Ok(file) => {
                let (size, changed) = (file.size().unwrap_or(UNKNOWN), file.changed());
                self.maps.keep_file(caller, node, &file);
                Ok((size, changed))
            }
            Err(error) if error.is_later || error.errno == libc::EINTR => Err(error),
            // Reading it will say why.
            Err(Error { errno: libc::EOPNOTSUPP | libc::EACCES | libc::EPERM, .. }) => {
                Ok((0, Changed::Now))
            }
            Err(_) => Ok((UNKNOWN, Changed::Now)),
        }
    }

    /// The size of the element that a queue's `.pop` would take. It is never 0, nor of an empty queue:
    /// there may be one when it is read.
    fn next_size(&self, at: Option<&MapRef>, caller: Caller) -> Result<(u64, Changed)> {
        let Some(at) = at else { return Ok((ENDLESS, Changed::Now)) };
        let (map, _) = self.maps.open(at)?;
        if has_large_values(&map) {
            caller.long_work()?;
        }
        let told = access::told(&self.maps, at, &map, &View::Pop, &[])?;
        Ok(told.map_or((1, Changed::Now), |told| (told.size, told.changed)))
    }
}

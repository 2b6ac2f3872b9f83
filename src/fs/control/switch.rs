//! Controls that do something when `1` is written to them.

use super::row::Opening;
use crate::fs::base::caller::Caller;
use crate::fs::base::error::{Error, Result};
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{OpenFile, part};
use crate::node::MapRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An open control: the text that reading gives, and what writing `1` does.
#[derive(Debug)]
pub struct Switch {
    maps: Arc<Maps>,
    at: MapRef,
    opener: Caller,
    text: Vec<u8>,
    act: Act,
    /// Whether it was done.
    done: AtomicBool,
}

/// What writing `1` does, to which map, for whom.
pub type Act = fn(&Maps, &MapRef, Caller) -> Result<()>;

impl Switch {
    /// Opens a control that gives `text`, and does `act` when `1` is written.
    pub fn open(open: &Opening<'_>, text: Vec<u8>, act: Act) -> Arc<dyn OpenFile> {
        let (maps, at) = (Arc::clone(open.maps), open.at.clone());
        // It is written beside the threads that answer, too.
        let opener = Caller { beside: true, ..open.caller };
        Arc::new(Self { maps, at, opener, text, act, done: AtomicBool::new(false) })
    }
}

impl OpenFile for Switch {
    fn whole(&self) -> Option<&[u8]> {
        Some(&self.text)
    }

    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        reply(part(&self.text, offset, size));
        Ok(())
    }

    /// What has begun to change a map is finished, whoever is gone by then.
    fn is_long(&self) -> bool {
        true
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        match data.trim_ascii() {
            b"1" => {
                (self.act)(&self.maps, &self.at, self.opener)?;
                self.done.store(true, Ordering::Relaxed);
                Ok(data.len())
            }
            // The newline after a `1` that came alone.
            b"" if self.done.load(Ordering::Relaxed) => Ok(data.len()),
            _ => Err(Error::new(libc::EINVAL, "only 1 can be written here")),
        }
    }
}

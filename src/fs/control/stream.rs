//! `.stream`: the events of a ring buffer or perf event array, a line each, and those written to a
//! user ring buffer; `.events/TYPE`: the same, typed.
//!
//! The kernel's ring is the buffer: events stay there until somebody reads, and are turned into text
//! a read at a time, so that memory here is bounded and a slow reader loses nothing that the ring
//! still holds.

pub mod event;
mod holders;
pub mod open_streams;
mod own_descriptor;
mod perf;
mod reader;
mod source;
mod taken;
mod writer;

use super::row::{Control, Opening, Rights, unknown_to};
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::{Facts, line, line_if};
use crate::fs::base::open_file::{Access, OpenFile};
use crate::sys::map::kind as k;
use event::EventCodec;
use reader::EventReader;
use std::sync::Arc;
use taken::TakenStream;
use writer::EventWriter;

/// `.stream`
pub static STREAM: Control = Control {
    name: ".stream",
    rights: Rights::Stream,
    lacks,
    help: &[
        line_if(is_read, ".stream", "events as they come, a line each", "head -n 3 .stream"),
        line_if(is_read, ".events/T", "the same, typed by the struct T", "cat .events/event"),
        line_if(
            |map| !is_read(map),
            ".stream",
            "a line, in hex, is an event",
            "echo 0x0a0b > .stream",
        ),
        line_if(
            |map| map.kind.number == k::RINGBUF,
            ".stream",
            "from a program that reads: it gets the rest",
            "(exec 3<> .stream; echo take >&3; head -n 3 <&3)",
        ),
        line_if(
            |map| map.kind.number == k::PERF_EVENT_ARRAY,
            ".stream",
            "for good from a program that reads",
            "(exec 3<> .stream; echo take >&3; head -n 3 <&3)",
        ),
    ],
    open: |opening| open(opening, EventCodec::given(opening.map)),
};

/// Why a map has no events; `None` if it has.
pub fn lacks(map: &Facts) -> Option<Error> {
    (!map.kind.is_stream()).then(|| unknown_to(map, ".stream"))
}

fn is_read(map: &Facts) -> bool {
    map.kind.number != k::USER_RINGBUF
}

/// The directory of typed events.
pub const EVENTS: &str = ".events";
/// Its help.
pub const EVENTS_HELP: &[crate::fs::base::facts::HelpLine] =
    &[line("T", "the events, typed by the struct T", "cat event")];

/// Opens `.events/TYPE`.
///
/// # Errors
/// ENOENT if there is no such type; those of `.stream`.
pub fn open_typed(opening: &Opening<'_>, type_name: &str) -> Result<Arc<dyn OpenFile>> {
    opening.caller.long_work()?;
    open(opening, EventCodec::named(opening.map, type_name)?)
}

/// # Errors
/// EBUSY if there is a reader already; EOPNOTSUPP to write what is read, or the reverse; EPERM for
/// others than the mount's owner where the kernel asks for CAP_PERFMON.
fn open(opening: &Opening<'_>, codec: EventCodec) -> Result<Arc<dyn OpenFile>> {
    let Opening { maps, map, access, caller, state, .. } = opening;
    // A reader may be about to be gone; and each CPU gets a ring.
    caller.long_work()?;
    let refuse = |reason: &'static str| Err(Error::new(libc::EOPNOTSUPP, reason));
    match (map.kind.number, access) {
        (k::USER_RINGBUF, Access { read: true, .. }) => {
            refuse("programs read this ring; user space writes it")
        }
        (k::USER_RINGBUF, Access { read: false, .. }) => {
            Ok(Arc::new(EventWriter::open(&state.streams, map, codec)?))
        }
        (number, Access { read, write }) => {
            if number == k::PERF_EVENT_ARRAY {
                maps.owner.only(*caller, "opening perf events")?;
            }
            match (read, write) {
                (true, false) => {
                    holders::check(map.info.id, *caller)?;
                    Ok(Arc::new(EventReader::open(&state.streams, map, Arc::new(codec))?))
                }
                // Who writes `take` wants what another reader would get.
                (true, true) => Ok(Arc::new(TakenStream::new(opening, codec))),
                (false, _) => {
                    refuse("programs write this ring: open it for reading, or for both to take it")
                }
            }
        }
    }
}

//! The files of a map that are no elements: one row each, in the file of its name.

pub mod clear;
pub mod count;
pub mod entries;
pub mod freeze;
pub mod info;
pub mod metrics;
pub mod queue;
pub mod row;
pub mod schema;
pub mod state;
pub mod stream;
pub mod switch;
pub mod types;
pub mod unpin;
pub mod watch;

use row::Control;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Every control, in the order of the help.
pub static CONTROLS: &[&Control] = &[
    &queue::POP,
    &queue::PUSH,
    &stream::STREAM,
    &info::INFO,
    &schema::SCHEMA,
    &types::TYPE,
    &entries::ENTRIES,
    &count::COUNT,
    &metrics::METRICS,
    &clear::CLEAR,
    &freeze::FREEZE,
    &unpin::UNPIN,
    &watch::WATCH,
];

/// The control of that name.
pub fn named(name: &OsStr) -> Option<&'static Control> {
    CONTROLS.iter().copied().find(|control| control.name.as_bytes() == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use row::Rights;
    use std::collections::BTreeSet;

    #[test]
    fn each_name_once() {
        let names: BTreeSet<_> = CONTROLS.iter().map(|control| control.name).collect();
        assert_eq!(names.len(), CONTROLS.len());
        assert!(names.iter().all(|name| named(OsStr::new(name)).unwrap().name == *name));
    }

    #[test]
    fn modes_follow_the_pin() {
        for (rights, mode) in [
            (Rights::Read, 0o444),
            (Rights::Follow, 0o444),
            (Rights::Write, 0o220),
            (Rights::ReadWrite, 0o664),
            (Rights::Take, 0o440),
            (Rights::Stream, 0o660),
        ] {
            assert_eq!(rights.mode(0o664), mode, "{rights:?}");
        }
    }
}

//! `.info`: what the kernel says of a map, and where it is pinned, as one JSON object.

use super::row::{Control, Rights, nothing_lacks};
use crate::fs::base::error::Error;
use crate::fs::base::facts::line;
use crate::fs::base::open_file::TextFile;
use crate::fs::tree::map_info::{About, object};
use crate::fs::tree::table;
use std::sync::Arc;

/// `.info`
pub static INFO: Control = Control {
    name: ".info",
    rights: Rights::Read,
    lacks: nothing_lacks,
    help: &[line(".info", "id, type, sizes, flags, types, pins", "jq .max_entries .info")],
    open: |open| {
        // All pins are walked.
        open.caller.long_work()?;
        let id = open.map.info.id;
        let pins = open.state.pins.of_map(id, open.at, &open.maps.bpffs, open.caller);
        open.caller.go_on()?;
        let reason = |error: Error| error.reason.into_owned();
        let about = About {
            count: table::count_open(open.map),
            pins: pins.map_err(reason),
            programs: table::programs_of(id).map_err(reason),
            // Who runs what is nobody's business but the owner's.
            processes: open.caller.is_owner.then(|| table::processes_of(id).map_err(reason)),
        };
        Ok(Arc::new(TextFile::new(format!("{}\n", object(open.map, about)).into_bytes())))
    },
};

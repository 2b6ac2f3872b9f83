//! `.info`: what the kernel says of a map, and where it is pinned, as one JSON object.

use super::row::{Control, Rights, nothing_lacks};
use crate::fs::base::error::Result;
use crate::fs::base::facts::line;
use crate::fs::base::open_file::TextFile;
use crate::map::Map;
use crate::spec::flags;
use crate::sys::map::kind::BtfUse;
use serde_json::{Value, json};
use std::sync::Arc;

/// `.info`
pub static INFO: Control = Control {
    name: ".info",
    rights: Rights::Read,
    lacks: nothing_lacks,
    help: &[line(".info", "id, type, sizes, flags, types, pins", "jq .max_entries .info")],
    open: |open| {
        let id = open.map.info.id;
        let pins = open.state.pins.of_map(id, open.at, &open.maps.bpffs, open.caller);
        let mut about = About::default();
        if open.caller.uid == open.maps.owner {
            let users = Users::of_map(id)?;
            about = users.about(&open.map.info);
        }
        about.pins = Some(pins.map_err(|error| error.reason.into_owned()));
        about.count = table::count(&open.map.info, kernel::counts().as_ref());
        Ok(Arc::new(TextFile::new(format!("{}\n", object(open.map, about)).into_bytes())))
    },
};

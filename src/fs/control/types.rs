//! `.type`: the types of keys, values and events, and others in their place.

use super::row::{Control, Opening, Rights, nothing_lacks};
use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::line;
use crate::fs::base::given::{self, TYPED_HERE};
use crate::fs::base::held::Held;
use crate::fs::base::maps::Maps;
use crate::fs::base::open_file::{OpenFile, part, unfinished};
use crate::fs::tree::map_info::type_origin;
use crate::map::typing::GivenTypes;
use crate::map::{Map, load_btf};
use crate::node::MapRef;
use crate::schema;
use crate::spec::Typing;
use parking_lot::Mutex;
use std::sync::Arc;

/// Bytes of text at most, as of a new map's.
const LONGEST: usize = 1 << 20;

/// `.type`
pub static TYPE: Control = Control {
    name: TYPED_HERE,
    rights: Rights::ReadWrite,
    lacks: nothing_lacks,
    help: &[
        line(".type", "the types, and where they are from", "cat .type"),
        line(".type", "take others: key TYPE value TYPE, or C; btf: its own", "echo btf > .type"),
    ],
    open: |open| Ok(Arc::new(TypeFile::open(open)?)),
};

/// An open `.type`.
#[derive(Debug)]
struct TypeFile {
    maps: Arc<Maps>,
    at: MapRef,
    text: Vec<u8>,
    /// What is not yet a whole definition.
    written: Mutex<Held>,
}

impl TypeFile {
    fn open(open: &Opening<'_>) -> Result<Self> {
        if open.access.write {
            open.maps.owner.only(open.caller, "giving a map other types")?;
        }
        // The kernel's types may have to be read.
        open.caller.long_work()?;
        Ok(Self {
            maps: Arc::clone(open.maps),
            at: open.at.clone(),
            text: if open.access.read { render(open.map).into_bytes() } else { Vec::new() },
            written: Mutex::default(),
        })
    }

    /// Takes what was written. False if more must come.
    fn apply(&self, text: &[u8]) -> Result<bool> {
        let invalid = |why: String| Error::new(libc::EINVAL, why);
        let text = std::str::from_utf8(text)
            .map_err(|error| invalid(format!("byte {} is not UTF-8", error.valid_up_to() + 1)))?;
        let (map, _) = self.maps.open(&self.at)?;
        if text.trim() == "btf" {
            self.maps.give_types(map.info.id, None);
            return Ok(true);
        }
        let typing = match Typing::parse(text) {
            Ok(typing) => typing,
            Err(error) if error.incomplete => return Ok(false),
            Err(error) => return Err(invalid(error.reason)),
        };
        let types = given::of(&typing, TYPED_HERE.to_owned()).map_err(invalid)?;
        map.check_types(&types).map_err(invalid)?;
        if types.event != 0 && !map.kind.is_stream() {
            return Err(invalid(format!("{} has no events", map.kind.with_article())));
        }
        self.maps.give_types(map.info.id, Some(Arc::new(types)));
        Ok(true)
    }
}

/// Types that somebody gave, to be printed.
pub(super) fn of(types: &GivenTypes) -> schema::Typed<'_> {
    schema::Typed { btf: &types.btf, key: types.key, value: types.value, event: types.event }
}

/// The definition in force, behind a comment that says where it is from.
fn render(map: &Map) -> String {
    let name = if map.info.name.is_empty() { "map" } else { &map.info.name };
    let origin = type_origin(map).replace("*/", "* /");
    let unused = match &map.typed.unused {
        Some(why) => format!("/* not used: {} */\n", why.replace("*/", "* /")),
        None => String::new(),
    };
    let own = match &map.typed.types {
        Some(types) if types.key != 0 && types.value != 0 => None,
        _ if map.info.btf_id == 0 => None,
        _ => load_btf(map.info.btf_id).ok(),
    };
    let own_types = own.as_ref().filter(|_| map.btf_unused.is_none()).map(|btf| schema::Typed {
        btf,
        key: map.info.btf_key_type_id,
        value: map.info.btf_value_type_id,
        event: 0,
    });
    let given = map.typed.types.as_deref().map(of);
    let sizes = [map.info.key_size, map.info.value_size];
    let text = schema::types(given.as_slice(), own_types.as_slice(), sizes, name);
    format!("/* from {origin} */\n{unused}{text}")
}

impl OpenFile for TypeFile {
    fn whole(&self) -> Option<&[u8]> {
        Some(&self.text)
    }

    fn read(&self, offset: u64, size: usize, reply: &mut dyn FnMut(&[u8])) -> Result<()> {
        reply(part(&self.text, offset, size));
        Ok(())
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let mut written = self.written.lock();
        written.append(data)?;
        if written.len() > LONGEST {
            written.clear();
            return Err(Error::new(libc::EFBIG, "the text is longer than any definition"));
        }
        // Words without an end may go on.
        if written.ends_with(b"\n") {
            match self.apply(&written) {
                Ok(false) => {}
                Ok(true) => written.clear(),
                Err(error) => {
                    written.clear();
                    return Err(error);
                }
            }
        }
        Ok(data.len())
    }

    fn is_long(&self) -> bool {
        true
    }

    fn is_at_rest(&self) -> bool {
        self.written.lock().is_empty()
    }

    fn release(&self) -> Result<()> {
        let written = self.written.lock().take();
        if written.is_empty() || self.apply(&written)? { Ok(()) } else { Err(unfinished()) }
    }
}

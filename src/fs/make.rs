//! Making maps.

use super::Fs;
use super::error::Result;
use crate::sys::map::{NewMap, create, kind};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

impl Fs {
    pub(super) fn make(&self, _spec: &str, name: &OsStr) -> Result<OwnedFd> {
        let name = name
            .as_bytes()
            .iter()
            .take(15)
            .map(|&c| if c.is_ascii_alphanumeric() || c == b'_' { c as char } else { '_' });
        let new = NewMap {
            map_type: kind::HASH,
            name: name.collect(),
            key_size: 4,
            value_size: 8,
            max_entries: 1024,
            ..NewMap::default()
        };
        Ok(create(&new)?)
    }
}

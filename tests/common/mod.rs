//! What the integration tests share: a bed of its own for each test, commands with a time limit,
//! maps to look at the file system's work from the other side, and honest skipping.
//!
//! Use it from a test crate with `#[path = "../common/mod.rs"] mod common;`.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test crate uses a part of it")]

pub(crate) mod bed;
pub(crate) mod errno;
pub(crate) mod kernel;
pub(crate) mod map;
pub(crate) mod object;
pub(crate) mod order;
pub(crate) mod require;
pub(crate) mod shell;

pub(crate) use bed::{Bed, eventually};
pub(crate) use errno::{open_then_write, refused, write_with};
pub(crate) use map::{Kind, RawMap, key32};
pub(crate) use order::{host_order, number};
pub(crate) use shell::{Ran, patience};

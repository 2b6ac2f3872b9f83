//! bpffuse from the outside: the real program on real maps, one module for each capability.
//!
//! One binary, because linking costs more than running. To add a capability, add a file here and
//! its `mod` line below. Each test names the line of the interface that it checks, takes a
//! [`common::Bed`] of its own, and begins with what it needs: `require!("root", "bpf", "fuse")`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod agreement;
mod backup;
mod bed;
mod controls;
mod create;
mod entries;
mod errors;
mod iteration;
mod keys;
mod kinds;
mod layers;
mod lifecycle;
mod model;
mod objects;
mod readme;
mod spec_default;
mod streams;
mod text;
mod tools;
mod tree;
mod views;
mod watch;
mod xdp_filter;

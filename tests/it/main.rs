//! bpffuse from the outside: the real program on real maps, one module for each capability.
//!
//! One binary, because linking costs more than running. To add a capability, add a file here and
//! its `mod` line below. Each test says which promise it checks, takes a
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
mod access_matrix;
mod access_paths;
mod access_setattr;
mod access_swaps;
mod agreement;
mod alerts;
mod attacks;
mod backup;
mod bed;
mod closes;
mod containers;
mod controls;
mod copies;
mod create;
mod entries;
mod errors;
mod faults;
mod fresh;
mod help;
mod histograms;
mod install;
mod iteration;
mod kept_dirs;
mod kernels;
mod keys;
mod kinds;
mod kinds_common;
mod kinds_every;
mod kinds_links;
mod kinds_programs;
mod kinds_sockets;
mod kinds_streams;
mod kinds_traces;
mod kinds_views;
mod known;
mod kubernetes;
mod layers;
mod lifecycle;
mod machine;
mod machine_tools;
mod machine_users;
mod manual;
mod metrics;
mod model;
mod mounts;
mod objects;
mod owner;
mod pieces;
mod privileges;
mod quotes;
mod readme;
mod release;
mod restart;
mod spec_default;
mod streams;
mod text;
mod times;
mod tools;
mod tree;
mod typing;
mod unpin;
mod views;
mod waiting;
mod watch;
mod welcome;
mod xdp_filter;

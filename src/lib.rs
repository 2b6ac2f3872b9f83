//! bpffuse: pinned eBPF maps as directories, with one file per key.
//!
#![doc = include_str!("../docs/tour.svg")]
//!
//! # The data's way
//!
//! ```text
//! FUSE request → fuse (decode) → fs (an operation on a node) → map (bpf calls)
//!              → codec (bytes ⇄ text by BTF) → reply
//! ```
//!
//! One direction, no way back: each layer calls only those right of it and returns plain values.
//!
//! `tests/it/layers.rs` compares this table with the sources:
//!
//! | module | holds | may use |
//! |---|---|---|
//! | `main` | the command | `cli`, `mount` |
//! | `cli` | the command line → [`cli::Config`] | nothing of ours |
//! | `mount` | mounting, background, signals, unmounting | `cli`, `fuse`, `fs`, `bpffs`, `spec`, `sys` |
//! | `fuse` | `fuser::Filesystem`: decode, call `fs`, reply; who waits | `fs`, `sys` |
//! | `fs` | what operations mean; open files; controls, one file each | `node`, `map`, `codec`, `btf`, `bpffs`, `schema`, `kernel`, `spec`, `sys` |
//! | `node` | what a path means; inode numbers | of `bpffs` and `sys` the plain types |
//! | `bpffs` | walking pins: what is at a path, rename, unpin | `sys` |
//! | `schema` | a map → the C text that `spec` makes the same map of | `btf`, `kernel`, `spec`, `sys` |
//! | `kernel` | what the kernel knows of maps but tells by no call, by BPF iterators | `btf`, `sys` |
//! | `spec` | a text that describes a map → BPF_MAP_CREATE, with BTF for its types | `btf`, `sys` |
//! | `map` | an open map; [`map::cursor`], iteration | `codec`, `btf`, `sys` |
//! | `codec` | a BTF type compiled once into a plan that prints and parses; key names | `btf` |
//! | `btf` | a map's types, owned, read from the kernel's blob | nothing of ours |
//! | `sys` | bpf(2) and other calls with their errno; all `unsafe`; [`sys::map::kind`], a row for each kind of map | nothing of ours |
//!
//! # Freshness
//!
//! Nothing of a map is cached. The kernel keeps directories ([`fs::base::kept_dirs`]), and who comes by
//! what it keeps is checked (`fs::op::ways`). A node names a pin by path and inode, and every operation looks
//! whether that inode is still there, or asks the kernel whether anything has changed since it
//! looked (`bpffs::seen`); an open map is kept for less than a second ([`fs::base::maps`]), and what it
//! holds is asked anew each time.

pub mod bpffs;
pub mod btf;
pub mod cli;
pub mod codec;
pub mod fs;
pub mod fuse;
pub mod kernel;
pub mod map;
pub mod mount;
pub mod node;
pub mod schema;
pub mod spec;
pub mod sys;

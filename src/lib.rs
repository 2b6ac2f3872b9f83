//! bpffuse: pinned eBPF maps as directories, with one file per key.
#![deny(rustdoc::broken_intra_doc_links)]

pub mod btf;
pub mod codec;
pub mod spec;
pub mod sys;

//! What all rooms need.

pub mod attr;
pub mod by_ino;
pub mod caller;
pub mod error;
pub mod exposition;
pub mod facts;
pub mod given;
pub mod handles;
pub mod held;
pub mod journal;
pub mod kept;
pub mod kept_dirs;
pub mod listing;
pub mod maps;
pub mod open_file;
pub mod opened;
pub mod operation;
pub mod owner;
pub mod pieces;
pub mod pool;
pub mod quota;
pub mod refusals;

//! The operations of the file system: decides by node, calls the rooms.

pub mod attr;
pub mod change;
pub mod dir;
pub mod lookup;
pub mod machine;
pub mod make;
pub mod open;
pub mod open_dir;
pub mod rename;
mod sizes;
pub mod ways;

//! bpffs's own directories, and the machine's objects by id.

pub mod ids;
pub mod known_names;
pub mod machine;
pub mod make;
pub mod map_info;
pub mod metrics;
pub mod names;
pub mod object;
pub mod pins;
pub mod place;
pub mod table;

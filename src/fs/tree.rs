//! bpffs's own directories, and the machine's objects by id.

pub mod ids;
pub mod make;
pub mod object;
pub mod pins;
pub mod place;

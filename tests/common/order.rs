//! The two byte orders of machines.
#![allow(dead_code, reason = "each test crate uses a part of it")]

/// What is expected where a number's lowest byte comes first, or where its highest does.
pub(crate) fn host_order<T>(little: T, big: T) -> T {
    if cfg!(target_endian = "big") { big } else { little }
}

/// The number that 1, 2, 4 or 8 bytes are.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    let add = |number, byte: &u8| number << 8 | u64::from(*byte);
    host_order(bytes.iter().rev().fold(0, add), bytes.iter().fold(0, add))
}

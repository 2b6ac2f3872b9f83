//! Memory for values. Their size comes from whoever made the map, up to gigabytes: where there is no
//! room, one operation is refused, and the process goes on.

use crate::sys::{Call, Error, Result};

/// Values from this size on must have room for their text too before they are read.
const LARGE: usize = 1 << 20;
/// Bytes of text for each byte of a large value, spare capacity of a growing buffer included. Hex
/// takes 2, an array of small numbers 4.
const TEXT: usize = 8;

fn none<T>(_: T) -> Error {
    Error { call: Call::Malloc, errno: libc::ENOMEM }
}

/// Makes `buffer` `len` zeros.
///
/// # Errors
/// ENOMEM if there is no room for them, or for the text that is made of them.
pub fn zeros(buffer: &mut Vec<u8>, len: usize) -> Result<()> {
    buffer.clear();
    if len >= LARGE {
        let mut text: Vec<u8> = Vec::new();
        text.try_reserve_exact(len.saturating_mul(TEXT)).map_err(none)?;
        // Else the compiler leaves out an allocation that nobody uses.
        std::hint::black_box(&text);
    }
    resize(buffer, len)
}

/// Makes room for `more` items.
///
/// # Errors
/// ENOMEM if there is none.
pub fn reserve<T>(buffer: &mut Vec<T>, more: usize) -> Result<()> {
    buffer.try_reserve_exact(more).map_err(none)
}

/// Makes `buffer` `len` bytes long; what it holds stays, and zeros follow.
///
/// # Errors
/// ENOMEM if there is no room for them.
pub fn resize(buffer: &mut Vec<u8>, len: usize) -> Result<()> {
    buffer.try_reserve_exact(len.saturating_sub(buffer.len())).map_err(none)?;
    buffer.resize(len, 0);
    Ok(())
}

/// Appends `bytes` to `buffer`.
///
/// # Errors
/// ENOMEM if there is no room for them.
pub fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    buffer.try_reserve(bytes.len()).map_err(none)?;
    buffer.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_refused() {
        let mut buffer = b"old".to_vec();
        zeros(&mut buffer, 4).unwrap();
        assert_eq!(buffer, [0; 4]);
        for len in [usize::MAX, usize::MAX / 2, usize::MAX / 16] {
            assert_eq!(zeros(&mut buffer, len).map_err(|error| error.errno), Err(libc::ENOMEM));
        }
    }
}

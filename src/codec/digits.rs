//! Digits: integers, hex and addresses, as bytes and as text.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Appends a decimal integer.
pub(super) fn push_int(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends through `core::fmt`, which cannot fail on a vector.
pub(super) fn push_fmt(args: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    let _ = out.write_fmt(args);
}

/// Appends an IPv4 address.
pub(super) fn push_ipv4(bytes: &[u8], out: &mut Vec<u8>) {
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_int(byte, out);
    }
}

/// Appends an IPv6 address.
pub(super) fn push_ipv6(bytes: &[u8], out: &mut Vec<u8>) {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[..16]);
    push_fmt(format_args!("{}", Ipv6Addr::from(octets)), out);
}

/// Parses an IPv4, MAC or IPv6 address into 4, 6 or 16 bytes, in network order. `bytes` stays as it was if
/// it is none.
pub(super) fn address(word: &str, bytes: &mut [u8]) -> bool {
    match bytes.len() {
        4 => word.parse::<Ipv4Addr>().map(|ip| bytes.copy_from_slice(&ip.octets())).is_ok(),
        16 => word.parse::<Ipv6Addr>().map(|ip| bytes.copy_from_slice(&ip.octets())).is_ok(),
        6 => {
            let mac = word.as_bytes();
            mac.len() == 17
                && mac[2..].iter().step_by(3).all(|&c| c == mac[2] && matches!(c, b':' | b'-'))
                && set_all(mac.chunks(3).map(|pair| hex_byte(&pair[..2])), bytes)
        }
        _ => false,
    }
}

pub(super) fn hex_digit(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|digit| digit as u8)
}

/// Two hex digits.
pub(super) fn hex_byte(digits: &[u8]) -> Option<u8> {
    match digits {
        &[high, low] => Some(hex_digit(high)? << 4 | hex_digit(low)?),
        _ => None,
    }
}

/// Stores as many values as there are bytes. If one is missing, or there are more or fewer, `bytes` stays as
/// it was.
pub(super) fn set_all(values: impl Iterator<Item = Option<u8>>, bytes: &mut [u8]) -> bool {
    let found: Option<Vec<u8>> = values.take(bytes.len() + 1).collect();
    let Some(found) = found.filter(|found| found.len() == bytes.len()) else { return false };
    bytes.copy_from_slice(&found);
    true
}

/// Appends `bytes` as hex digits.
pub(super) fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for &byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

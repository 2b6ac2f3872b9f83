//! One element as a line of JSON.

use crate::codec::Codec;

/// Appends `"key":…,"value":…`, or `"values":[…]` of all CPUs: what lines of `.entries` and
/// `.watch` share.
pub fn members(codec: &Codec, key: &[u8], value: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(b"\"key\":");
    codec.print_key(key, text);
    match codec.cpus() {
        None => {
            text.extend_from_slice(b",\"value\":");
            codec.print_value(value, text);
        }
        Some(cpus) => {
            text.extend_from_slice(b",\"values\":[");
            for cpu in 0..cpus {
                if cpu > 0 {
                    text.push(b',');
                }
                codec.print_value(value.get(codec.slot(cpu)).unwrap_or_default(), text);
            }
            text.push(b']');
        }
    }
}

/// Appends a line of `.entries`.
pub fn line(codec: &Codec, key: &[u8], value: &[u8], text: &mut Vec<u8>) {
    text.push(b'{');
    members(codec, key, value, text);
    text.extend_from_slice(b"}\n");
}

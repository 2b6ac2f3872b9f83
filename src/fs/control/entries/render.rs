//! One element as a line of JSON.

use crate::codec::Codec;
use crate::map::Map;

/// How a map's elements are printed.
#[derive(Debug, Clone, Copy)]
pub struct LinePrinter<'a> {
    /// For keys, and values that are data.
    pub codec: &'a Codec,
    /// For values that are not: maps, programs, stacks and the like.
    pub special: Option<&'a Map>,
    /// Whether values are summed up over the CPUs.
    pub sums: bool,
}

impl<'a> LinePrinter<'a> {
    /// A printer of this map's elements.
    pub fn new(map: &'a Map) -> Self {
        Self { codec: &map.codec, special: map.is_special().then_some(map), sums: false }
    }

    /// Appends a line of `.entries`.
    pub fn line(&self, key: &[u8], value: &[u8], text: &mut Vec<u8>) {
        text.push(b'{');
        self.members(key, value, text);
        text.extend_from_slice(b"}\n");
    }

    /// Appends `"key":…,"value":…`, or `"values":[…]` of all CPUs: what lines of `.entries` and
    /// `.watch` share.
    pub fn members(&self, key: &[u8], value: &[u8], text: &mut Vec<u8>) {
        text.extend_from_slice(b"\"key\":");
        self.codec.print_key(key, text);
        match (self.special, self.codec.cpus()) {
            (Some(map), _) => {
                text.extend_from_slice(b",\"value\":");
                map.print_value(value, text);
            }
            (None, Some(_)) if self.sums => {
                text.extend_from_slice(b",\"value\":");
                self.codec.print_sum(value, text);
            }
            (None, None) => {
                text.extend_from_slice(b",\"value\":");
                self.codec.print_value(value, text);
            }
            (None, Some(cpus)) => {
                text.extend_from_slice(b",\"values\":[");
                for cpu in 0..cpus {
                    if cpu > 0 {
                        text.push(b',');
                    }
                    let value = value.get(self.codec.slot(cpu)).unwrap_or_default();
                    self.codec.print_value(value, text);
                }
                text.push(b']');
            }
        }
    }
}

//! Values as text, written down without the codec.

use super::plan::Map;
use super::random::Random;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Eight bytes without BTF.
    Number,
    /// [`Shape::STATS`].
    Stats,
}

/// What a text sets of a value; the rest keeps what it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Write {
    pub(super) text: String,
    packets: Option<u64>,
    delta: Option<i32>,
    tag: Option<[u8; 4]>,
}

impl Write {
    /// The value after the write.
    pub(super) fn apply(&self, slot: &mut [u8]) {
        if let Some(packets) = self.packets {
            slot[..8].copy_from_slice(&packets.to_ne_bytes());
        }
        if let Some(delta) = self.delta {
            slot[8..12].copy_from_slice(&delta.to_ne_bytes());
        }
        if let Some(tag) = self.tag {
            slot[12..16].copy_from_slice(&tag);
        }
    }
}

fn packets(slot: &[u8]) -> u64 {
    u64::from_ne_bytes(slot[..8].try_into().unwrap())
}

fn delta(slot: &[u8]) -> i32 {
    i32::from_ne_bytes(slot[8..12].try_into().unwrap())
}

fn tag(slot: &[u8]) -> &str {
    std::str::from_utf8(&slot[12..16]).unwrap().trim_end_matches('\0')
}

/// A string and its bytes in a `char[4]`.
fn any_tag(random: &mut Random) -> (String, [u8; 4]) {
    let text: String = (0..random.below(5)).map(|_| random.one_of(&['a', 'k', 'z'])).collect();
    let mut bytes = [0; 4];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    (text, bytes)
}

fn hex_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

impl Shape {
    /// The type as a SPEC has it.
    pub(super) const STATS: &'static str = "'struct { __u64 packets; __s32 delta; char tag[4]; }'";

    /// Bytes of one CPU's value; a multiple of 8, so that per-CPU slots have no padding.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Number => 8,
            Self::Stats => 16,
        }
    }

    /// One value as a JSON document.
    pub(super) fn json(self, slot: &[u8]) -> String {
        match self {
            Self::Number => packets(slot).to_string(),
            Self::Stats => format!(
                "{{\"packets\":{},\"delta\":{},\"tag\":\"{}\"}}",
                packets(slot),
                delta(slot),
                tag(slot)
            ),
        }
    }

    /// Some text that a write takes.
    pub(super) fn write(self, random: &mut Random) -> Write {
        let number = random.number();
        if self == Self::Number {
            let text = match random.below(6) {
                0 => format!("{number:#x}"),
                1 => format!("{number:#b}"),
                2 => hex_bytes(&number.to_ne_bytes()),
                3 if number >> 63 == 1 => format!("{}", number as i64),
                4 => format!("  {number} "),
                _ => number.to_string(),
            };
            return Write { text, packets: Some(number), ..Write::default() };
        }
        let delta = random.number() as i32;
        let (name, tag) = any_tag(random);
        let packets = Some(number);
        match random.below(6) {
            0 => Write { text: format!("{{\"packets\":{number}}}"), packets, ..Write::default() },
            1 => Write {
                text: format!("{{ \"delta\": {delta} }}"),
                delta: Some(delta),
                ..Write::default()
            },
            2 => Write { text: "{}".to_owned(), ..Write::default() },
            3 => {
                let bytes = [&number.to_ne_bytes()[..], &delta.to_ne_bytes(), &tag].concat();
                Write { text: hex_bytes(&bytes), packets, delta: Some(delta), tag: Some(tag) }
            }
            4 => Write {
                text: format!("{{\"tag\":\"{name}\",\"packets\":\"{number:#x}\"}}"),
                packets,
                tag: Some(tag),
                ..Write::default()
            },
            _ => Write {
                text: format!("{{\"packets\":{number},\"delta\":{delta},\"tag\":\"{name}\"}}"),
                packets,
                delta: Some(delta),
                tag: Some(tag),
            },
        }
    }

    /// Some JSON, as `.entries` wants it.
    pub(super) fn write_json(self, random: &mut Random) -> Write {
        loop {
            let write = self.write(random);
            let text = write.text.trim();
            let decimal = text.bytes().all(|c| c.is_ascii_digit());
            if text.starts_with('{') || (decimal && text.len() < 20) {
                return write;
            }
        }
    }

    /// Some text that a write refuses, and its errno.
    pub(super) fn refused(self, random: &mut Random) -> (&'static str, i32) {
        use libc::{EINVAL, ERANGE};
        match self {
            Self::Number => random.one_of(&[
                ("nonsense", EINVAL),
                ("1.5", EINVAL),
                ("1 2", EINVAL),
                ("007", EINVAL),
                ("{\"packets\":1}", EINVAL),
                ("18446744073709551616", ERANGE),
                ("0x10000000000000000", ERANGE),
                ("-9223372036854775809", ERANGE),
            ]),
            Self::Stats => random.one_of(&[
                ("nonsense", EINVAL),
                ("[1,2]", EINVAL),
                ("{\"packets\":1,\"nope\":2}", EINVAL),
                ("{\"packets\":1,\"packets\":2}", EINVAL),
                ("{\"packets\":1}}", EINVAL),
                ("{\"tag\":\"abcde\"}", EINVAL),
                ("{\"packets\":7,\"delta\":2147483648}", ERANGE),
                ("{\"delta\":-2147483649}", ERANGE),
                ("{\"packets\":18446744073709551616}", ERANGE),
            ]),
        }
    }
}

impl Map {
    /// The values of all CPUs.
    fn slots<'v>(&self, value: &'v [u8]) -> std::slice::ChunksExact<'v, u8> {
        value.chunks_exact(self.shape.size())
    }

    /// The text of an element's file.
    pub(super) fn text(&self, value: &[u8]) -> String {
        self.slots(value).map(|slot| self.shape.json(slot) + "\n").collect()
    }

    /// An element's line in `.entries`.
    pub(super) fn line(&self, key: &str, value: &[u8]) -> String {
        let values: Vec<_> = self.slots(value).map(|slot| self.shape.json(slot)).collect();
        match self.cpus {
            None => format!("{{\"key\":{key},\"value\":{}}}", values[0]),
            Some(_) => format!("{{\"key\":{key},\"values\":[{}]}}", values.join(",")),
        }
    }

    /// The text of `.sum`.
    pub(super) fn sum(&self, value: &[u8]) -> String {
        let packets: i128 = self.slots(value).map(|slot| i128::from(packets(slot))).sum();
        if self.shape == Shape::Number {
            return format!("{packets}\n");
        }
        let delta: i64 = self.slots(value).map(|slot| i64::from(delta(slot))).sum();
        let mut tags = self.slots(value).map(tag);
        let first = tags.next().unwrap_or_default();
        let tag = if tags.all(|tag| tag == first) { format!("\"{first}\"") } else { "null".into() };
        format!("{{\"packets\":{packets},\"delta\":{delta},\"tag\":{tag}}}\n")
    }

    /// Some text for all CPUs, and the value that it makes of `value`.
    pub(super) fn write(&self, random: &mut Random, value: &mut [u8]) -> String {
        let lines = match self.cpus {
            Some(cpus) if random.one_in(2) => cpus,
            _ => 1,
        };
        let writes: Vec<_> = (0..lines).map(|_| self.shape.write(random)).collect();
        for (cpu, slot) in value.chunks_exact_mut(self.shape.size()).enumerate() {
            writes[cpu % lines].apply(slot);
        }
        writes.into_iter().map(|write| write.text + "\n").collect()
    }

    /// A member's name, some text for it, its text after that and what the text makes of `value`.
    pub(super) fn member(&self, random: &mut Random, value: &mut [u8]) -> (&'static str, String) {
        let (name, write) = match random.below(3) {
            0 => {
                let n = random.number();
                ("packets", Write { text: n.to_string(), packets: Some(n), ..Write::default() })
            }
            1 => {
                let n = random.number() as i32;
                ("delta", Write { text: n.to_string(), delta: Some(n), ..Write::default() })
            }
            _ => {
                let (text, tag) = any_tag(random);
                ("tag", Write { text: format!("\"{text}\""), tag: Some(tag), ..Write::default() })
            }
        };
        value.chunks_exact_mut(self.shape.size()).for_each(|slot| write.apply(slot));
        (name, write.text)
    }

    /// The text of a member's file.
    pub(super) fn member_text(&self, name: &str, value: &[u8]) -> String {
        let of = |slot| match name {
            "packets" => format!("{}\n", packets(slot)),
            "delta" => format!("{}\n", delta(slot)),
            _ => format!("\"{}\"\n", tag(slot)),
        };
        self.slots(value).map(of).collect()
    }
}

//! What is more than a number or an array of bytes, and known to be so: addresses, symbols, numbers in
//! hex. Here is all that differs between them: which types they are, how they print, parse and name keys.
//!
//! A type is known by its name in C, by its shape, or by the words in the names around it: its
//! member's, and those of the typedefs on the way. Whatever it is, it is also what it is in C, so that a
//! number is taken wherever an address is printed ([`super::plan::PlanNode::Known`]).

use super::digits::{address, push_fmt, push_hex, push_ipv4, push_ipv6};
use super::plan::{Num, Sort};

/// The kernel's symbol at an address, as in its stacks: `0x… name+0x…`.
pub type Describe = fn(u64) -> String;

/// What bytes are known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// 4 bytes in network order.
    Ipv4,
    /// 16 bytes in network order.
    Ipv6,
    /// 6 bytes.
    Mac,
    /// The address of a function or of data in the kernel.
    Symbol,
    /// A number, in hex.
    Hex(Num),
}

/// Words in a name that make it an address's.
const ADDRESS: [&str; 18] = [
    "addr", "address", "ip", "ip4", "ipv4", "saddr", "daddr", "src", "dst", "vip", "rip", "gw",
    "gateway", "nexthop", "peer", "remote", "local", "endpoint",
];

/// Those that also say which sort of address, so that they hold for a number in host order, too.
const IPV4: [&str; 2] = ["ip4", "ipv4"];

/// Those that make 16 bytes an address, and no number.
const IPV6: [&str; 2] = ["ip6", "ipv6"];

/// Words that make it something else.
const OTHER: [&str; 8] = ["id", "port", "mark", "seq", "spi", "vni", "label", "len"];

/// What the names around a type say of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Hint {
    /// An address.
    address: bool,
    /// An IPv4 address.
    ipv4: bool,
    /// An IPv6 address, if it has the bytes for one.
    ipv6: bool,
    /// The type's own name is one of those that say what they are.
    named: Option<Named>,
}

/// Names of types that say how they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Named {
    /// `ksym_t`
    Symbol,
    /// `hex8_t`, `hex16_t`, `hex32_t`, `hex64_t`: so many bytes.
    Hex(u8),
}

impl Hint {
    /// What else the name of a member or variable says.
    pub(super) fn of_member(mut self, name: &str) -> Self {
        self.add_words(name);
        self
    }

    /// What else the name of a typedef says.
    pub(super) fn of_type(mut self, name: &str) -> Self {
        self.add_words(name);
        let named = match name {
            "ksym_t" => Some(Named::Symbol),
            "hex8_t" => Some(Named::Hex(1)),
            "hex16_t" => Some(Named::Hex(2)),
            "hex32_t" => Some(Named::Hex(4)),
            "hex64_t" => Some(Named::Hex(8)),
            _ => None,
        };
        self.named = self.named.or(named);
        self
    }

    /// Whether it says what a number is, wherever it stands: an array of such is no other thing.
    pub(super) fn is_certain(self) -> bool {
        self.ipv4 || self.named.is_some()
    }

    /// What both say.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            address: self.address | other.address,
            ipv4: self.ipv4 | other.ipv4,
            ipv6: self.ipv6 | other.ipv6,
            named: self.named.or(other.named),
        }
    }

    /// That it stands in a union with an IPv6 address.
    pub(super) fn beside_ipv6(self) -> Self {
        Self { ipv6: true, ..self }
    }

    fn add_words(&mut self, name: &str) {
        let has = |list: &[&str]| {
            words(name).any(|word| list.iter().any(|known| known.eq_ignore_ascii_case(word)))
        };
        if has(&OTHER) {
            return;
        }
        self.address |= has(&ADDRESS);
        self.ipv4 |= has(&IPV4);
        self.ipv6 |= has(&ADDRESS) || has(&IPV6);
    }
}

/// The words of a name: it is split at `_`, and behind digits.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').flat_map(|part| {
        let mut rest = part;
        std::iter::from_fn(move || {
            let digits = rest.find(|c: char| c.is_ascii_digit());
            let end = digits.and_then(|start| {
                let end = rest[start..].find(|c: char| !c.is_ascii_digit())?;
                Some(start + end)
            });
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            (!word.is_empty()).then_some(word)
        })
    })
}

impl Known {
    /// Bytes of its JSON at most.
    pub(super) fn longest(self) -> usize {
        match self {
            Self::Ipv4 => "\"255.255.255.255\"".len(),
            Self::Ipv6 => 48,
            Self::Mac => "\"00:11:22:33:44:55\"".len(),
            // Both are at most so long: KSYM_NAME_LEN and MODULE_NAME_LEN.
            Self::Symbol => 512 + 64 + Num::LONGEST,
            Self::Hex(_) => Num::LONGEST,
        }
    }

    /// What a struct is, by its name.
    pub(super) fn of_struct(name: &str, size: u32) -> Option<Self> {
        match (name, size) {
            ("in_addr", 4) => Some(Self::Ipv4),
            ("in6_addr", 16) => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// What an integer is.
    pub(super) fn of_number(num: &Num, hint: Hint) -> Option<Self> {
        if !num.whole() || num.sort != Sort::Number {
            return None;
        }
        match hint.named {
            Some(Named::Symbol) if num.size == 8 && !num.big => return Some(Self::Symbol),
            Some(Named::Hex(size)) if num.size == size => return Some(Self::Hex(*num)),
            Some(Named::Symbol | Named::Hex(_)) | None => {}
        }
        let is_address = hint.ipv4 || hint.address && num.big;
        (num.size == 4 && !num.signed && is_address).then_some(Self::Ipv4)
    }

    /// What an array of integers is.
    pub(super) fn of_array(elem: &Num, len: u32, hint: Hint) -> Option<Self> {
        if !elem.whole() || elem.sort != Sort::Number || elem.signed {
            return None;
        }
        match (elem.size, len) {
            (1, 6) => Some(Self::Mac),
            (1, 16) if hint.ipv6 => Some(Self::Ipv6),
            (4, 4) if elem.big => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// Which of a union's members comes first, least first: `None` for what is no address.
    pub(super) fn rank(self) -> Option<u8> {
        match self {
            Self::Ipv4 => Some(0),
            Self::Ipv6 => Some(1),
            Self::Mac => Some(2),
            Self::Symbol | Self::Hex(_) => None,
        }
    }

    /// Appends what stands in a key's name, where no space may be.
    pub(super) fn push_name(self, bytes: &[u8], describe: Option<Describe>, out: &mut Vec<u8>) {
        let start = out.len();
        self.push(bytes, describe, out);
        for byte in out.iter_mut().skip(start).filter(|byte| **byte == b' ') {
            *byte = b':';
        }
        // Symbols may have any characters.
        let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"_.:@+-".contains(&byte);
        if self == Self::Symbol && !out.iter().skip(start).all(plain) {
            out.truncate(start);
            self.push(bytes, None, out);
        }
    }

    /// Appends one JSON document.
    pub(super) fn push_json(self, bytes: &[u8], describe: Option<Describe>, out: &mut Vec<u8>) {
        out.push(b'"');
        self.push(bytes, describe, out);
        out.push(b'"');
    }

    fn push(self, bytes: &[u8], describe: Option<Describe>, out: &mut Vec<u8>) {
        match self {
            Self::Ipv4 => push_ipv4(bytes, out),
            Self::Ipv6 => push_ipv6(bytes, out),
            Self::Mac => {
                for (at, &byte) in bytes.iter().take(6).enumerate() {
                    if at > 0 {
                        out.push(b':');
                    }
                    push_hex(&[byte], out);
                }
            }
            Self::Symbol => {
                let address = Num::int(8, false).read(bytes) as u64;
                match describe {
                    Some(describe) if address != 0 => {
                        out.extend_from_slice(describe(address).as_bytes());
                    }
                    Some(_) | None => push_fmt(format_args!("{address:#x}"), out),
                }
            }
            Self::Hex(num) => push_fmt(format_args!("{:#x}", num.read(bytes)), out),
        }
    }

    /// Parses what [`Self::push_json`] and [`Self::push_name`] print, but numbers, which are the plain
    /// type's. False if it is none.
    pub(super) fn parse(self, word: &str, bytes: &mut [u8]) -> bool {
        match self {
            Self::Ipv4 | Self::Ipv6 | Self::Mac => address(word, bytes),
            Self::Symbol => {
                // The address tells; the symbol behind it is for people.
                let Some((number, _)) = word.split_once([' ', ':']) else { return false };
                let digits = number.strip_prefix("0x").unwrap_or_default();
                let address = u64::from_str_radix(digits, 16).ok();
                let address = address.filter(|_| digits.bytes().all(|c| c.is_ascii_hexdigit()));
                address.is_some_and(|address| {
                    bytes.copy_from_slice(&address.to_ne_bytes());
                    true
                })
            }
            Self::Hex(_) => false,
        }
    }

    /// What would be right, for a reason.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Ipv4 => "an IPv4 address such as 10.0.0.1",
            Self::Ipv6 => "an IPv6 address such as fd00::1",
            Self::Mac => "a MAC address such as 00:11:22:33:44:55",
            Self::Symbol => "an address in the kernel such as 0xffffffff81000000",
            Self::Hex(_) => "a number such as 0x1f",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_words() {
        let of = |name| words(name).collect::<Vec<_>>();
        assert_eq!(of("src_ip4"), ["src", "ip4"]);
        assert_eq!(of("__ip6addr"), ["ip6", "addr"]);
        assert_eq!(of("v4addr2"), ["v4", "addr2"]);
        assert_eq!(of("_"), Vec::<&str>::new());
        assert_eq!(of("naïve_4é"), ["naïve", "4", "é"]);
    }

    #[test]
    fn words_tell_addresses() {
        let big = Num { big: true, ..Num::int(4, false) };
        let host = Num::int(4, false);
        let known = |num: &Num, name: &str| Known::of_number(num, Hint::default().of_member(name));
        for name in ["saddr", "vip", "remote_ip4", "dst", "SRC", "gw_addr"] {
            assert_eq!(known(&big, name), Some(Known::Ipv4), "{name}");
        }
        for name in ["x", "src_port", "peer_id", "ip_len", "addrs", "ipx", "ipv6"] {
            assert_eq!(known(&big, name), None, "{name}");
        }
        for (name, is) in [("ip4", true), ("my_ipv4", true), ("saddr", false), ("ip4_id", false)] {
            assert_eq!(known(&host, name).is_some(), is, "{name}");
        }
        // What is no unsigned number of four bytes is none.
        for num in [Num::int(4, true), Num::int(8, false), Num { width: 31, ..host }] {
            assert_eq!(known(&num, "ip4"), None, "{num:?}");
        }
    }

    #[test]
    fn symbols_are_read_back() {
        let describe: Describe = |at| format!("{at:#x} tcp_v4_rcv+0x10");
        let bytes = 0xffff_ffff_8100_0010_u64.to_ne_bytes();
        let (mut json, mut name) = (Vec::new(), Vec::new());
        Known::Symbol.push_json(&bytes, Some(describe), &mut json);
        Known::Symbol.push_name(&bytes, Some(describe), &mut name);
        assert_eq!(json, b"\"0xffffffff81000010 tcp_v4_rcv+0x10\"");
        assert_eq!(name, b"0xffffffff81000010:tcp_v4_rcv+0x10");
        for text in [&json[1..json.len() - 1], &name] {
            let mut back = [0; 8];
            assert!(Known::Symbol.parse(std::str::from_utf8(text).unwrap(), &mut back));
            assert_eq!(back, bytes);
        }
        for text in ["0x", "0x+1 a", " a", "1 a", "tcp_v4_rcv"] {
            assert!(!Known::Symbol.parse(text, &mut [0; 8]), "{text}");
        }
    }
}

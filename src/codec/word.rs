//! Single words: numbers, addresses and hex bytes, as people type them.

pub(super) use super::digits::{address, hex_byte, push_hex};
use super::digits::{hex_digit, set_all};
use super::fault::{Fault, excerpt};
use super::plan::{CodecPlan, Num, Sort};

/// An integer as it was written.
struct Literal {
    negative: bool,
    /// `None` if it has more than 128 bits.
    magnitude: Option<u128>,
    /// Written with `0x`, `0o` or `0b`: the bits are meant, so that `0xff` is -1 in a signed byte.
    bits: bool,
}

/// Reads an integer literal: decimal without leading zeros, `0x`, `0o`, `0b`, each with a sign.
fn literal(word: &str) -> Option<Literal> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => return None,
        _ => (10, digits),
    };
    let bits = radix != 10;
    if !bits && digits.len() <= 18 && !digits.is_empty() {
        // Nearly every number: no need for 128 bits.
        let mut magnitude = 0_u64;
        for digit in digits.bytes() {
            if !digit.is_ascii_digit() {
                return None;
            }
            magnitude = magnitude * 10 + u64::from(digit - b'0');
        }
        return Some(Literal { negative, magnitude: Some(magnitude.into()), bits });
    }
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = u128::from_str_radix(digits, radix).ok();
    Some(Literal { negative, magnitude, bits })
}

impl Literal {
    /// Its bits in `num`, if it fits. Negative numbers are two's complement in unsigned types too.
    fn fit(&self, num: &Num) -> Option<u128> {
        let magnitude = self.magnitude?;
        let half = 1_u128 << (num.width - 1);
        if self.negative {
            return (magnitude <= half).then(|| magnitude.wrapping_neg() & num.mask());
        }
        let most = if num.signed && !self.bits { half - 1 } else { num.mask() };
        (magnitude <= most).then_some(magnitude)
    }
}

/// What a number's type is and which numbers fit, for a reason.
fn limits(num: &Num) -> String {
    let (width, mask) = (num.width, num.mask());
    if num.signed {
        format!("a signed {width}-bit integer (-{} to {})", (mask >> 1) + 1, mask >> 1)
    } else {
        format!("an unsigned {width}-bit integer (0 to {mask})")
    }
}

/// What would be right for a number of this sort.
fn wanted(plan: &CodecPlan, num: &Num) -> String {
    match num.sort {
        Sort::Bool => "true, false or a number".into(),
        Sort::Enum(table) => {
            let table = &plan.enums[table as usize];
            let names: Vec<_> = table.by_value.iter().take(8).map(|entry| &*entry.1).collect();
            let more = if table.by_value.len() > 8 { ", …" } else { "" };
            format!("a number or a name of enum {} ({}{more})", table.name, names.join(", "))
        }
        Sort::Pointer | Sort::Kptr => "an address such as 0x0".into(),
        Sort::Number if num.width == 1 => "0 or 1".into(),
        Sort::Number => limits(num),
    }
}

/// Parses a word into the bits of `num`.
fn bits(plan: &CodecPlan, num: &Num, word: &str) -> Result<u128, Fault> {
    match num.sort {
        Sort::Bool if word == "true" => return Ok(1),
        Sort::Bool if word == "false" => return Ok(0),
        Sort::Enum(table) => {
            if let Some(bits) = plan.enums[table as usize].value_of(word) {
                // In a bit-field the enumerator must survive the cut.
                let cut = u128::from(bits) & num.mask();
                return if num.extend(cut) as u64 == bits {
                    Ok(cut)
                } else {
                    Err(Fault::range(format!("{word} does not fit {} bits", num.width)))
                };
            }
        }
        _ => {}
    }
    match literal(word) {
        Some(literal) => literal.fit(num).ok_or_else(|| {
            Fault::range(format!("{} does not fit {}", excerpt(word.as_bytes()), limits(num)))
        }),
        None if is_fraction(word) => Err(Fault::invalid(format!(
            "{} has a fraction or an exponent, but {} is needed",
            excerpt(word.as_bytes()),
            wanted(plan, num)
        ))),
        None => Err(Fault::invalid(format!(
            "`{}` is not {}",
            excerpt(word.as_bytes()),
            wanted(plan, num)
        ))),
    }
}

/// A JSON number that is no integer.
fn is_fraction(word: &str) -> bool {
    word.contains(['.', 'e', 'E']) && word.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Parses a word into a number's bytes, in every accepted spelling.
///
/// `fixed`: a pointer of the kernel's may only be given the value that it has.
pub(super) fn number(
    plan: &CodecPlan,
    num: &Num,
    word: &str,
    bytes: &mut [u8],
    fixed: bool,
) -> Result<(), Fault> {
    if num.sort == Sort::Kptr && fixed {
        return match bits(plan, num, word)? {
            same if same == num.read(bytes) => Ok(()),
            _ => Err(Fault::invalid(
                "this pointer is the kernel's and cannot be written: leave it out",
            )),
        };
    }
    match bits(plan, num, word) {
        Ok(value) => num.write(value, bytes),
        Err(fault) => {
            if !num.whole() || !address(word, &mut bytes[..usize::from(num.size)]) {
                let whole = num.whole();
                if !whole || !spaced_hex(word.as_bytes(), &mut bytes[..usize::from(num.size)]) {
                    return Err(fault);
                }
            }
        }
    }
    Ok(())
}

/// Exactly `bytes.len()` pairs of hex digits without separators. Else `bytes` stays as it was: what is no
/// hex may be something else, which does not set every bit.
pub(super) fn packed_hex(digits: &[u8], bytes: &mut [u8]) -> bool {
    digits.len() == bytes.len() * 2 && set_all(digits.chunks_exact(2).map(hex_byte), bytes)
}

/// `0a 0b` or `0x0a 0x0b`: one token for each byte, at least two. Else `bytes` stays as it was.
pub(super) fn spaced_hex(text: &[u8], bytes: &mut [u8]) -> bool {
    let tokens = text.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty());
    let values = tokens.map(|token| {
        let digits = match token {
            [b'0', b'x' | b'X', digits @ ..] => digits,
            digits => digits,
        };
        match digits {
            &[digit] => hex_digit(digit),
            digits => hex_byte(digits),
        }
    });
    bytes.len() > 1 && set_all(values, bytes)
}

/// Hex bytes in memory order for a type of this size: `0x` and all digits, or separate bytes.
pub(super) fn hex(text: &[u8], bytes: &mut [u8]) -> bool {
    match text {
        [b'0', b'x' | b'X', digits @ ..] if packed_hex(digits, bytes) => true,
        _ => spaced_hex(text, bytes),
    }
}

/// Whether `text` is the beginning of hex bytes that would need more digits for `len` bytes.
pub(super) fn is_short_hex(text: &[u8], len: usize) -> bool {
    let digits = match text {
        [b'0', b'x' | b'X', rest @ ..] => rest,
        rest => rest,
    };
    let count = digits.iter().filter(|digit| digit.is_ascii_hexdigit()).count();
    count < len * 2
        && digits
            .iter()
            .all(|c| c.is_ascii_hexdigit() || c.is_ascii_whitespace() || matches!(c, b'x' | b'X'))
}

/// Parses a float of 4 or 8 bytes: a decimal, `nan`, `inf`, `-inf`, or its bytes in hex.
pub(super) fn float(word: &str, bytes: &mut [u8]) -> Result<(), Fault> {
    let text = word.as_bytes();
    if word.starts_with("0x") || text.contains(&b' ') {
        if hex(text, bytes) {
            return Ok(());
        }
        let digits = bytes.len() * 2;
        return Err(Fault::invalid(format!(
            "`{}` is not a number or `0x` and {digits} hex digits",
            excerpt(text)
        )));
    }
    let number = text.iter().any(u8::is_ascii_digit);
    let fits = match bytes.len() {
        4 => word.parse::<f32>().map(|value| {
            bytes.copy_from_slice(&value.to_ne_bytes());
            value.is_finite()
        }),
        _ => word.parse::<f64>().map(|value| {
            bytes.copy_from_slice(&value.to_ne_bytes());
            value.is_finite()
        }),
    };
    match fits {
        Ok(finite) if finite || !number => Ok(()),
        Ok(_) => Err(Fault::range(format!(
            "{} does not fit a {}-bit float",
            excerpt(text),
            bytes.len() * 8
        ))),
        Err(_) => Err(Fault::invalid(format!("`{}` is not a number", excerpt(text)))),
    }
}

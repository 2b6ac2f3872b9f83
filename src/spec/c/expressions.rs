//! Integer constant expressions, with the types and wrap-around that C gives them on BPF.

use super::lexer::Tok;
use super::{Parser, Result};
use crate::spec::types::{CType, TypeId};

/// An integer constant of type `int`, `unsigned int`, `long` or `unsigned long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Const {
    /// The value, within its type.
    pub(super) value: i128,
    /// Whether its type is 64 bits wide.
    wide: bool,
    /// Whether its type is unsigned.
    unsigned: bool,
}

const INT: (bool, bool) = (false, false);
const UNSIGNED_LONG: (bool, bool) = (true, true);

fn fits(value: i128, (wide, unsigned): (bool, bool)) -> bool {
    let bits = if wide { 64 } else { 32 };
    match unsigned {
        true => (0..1i128 << bits).contains(&value),
        false => (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(&value),
    }
}

impl Const {
    /// `value` brought into the type's range, as a conversion does.
    fn wrap(value: i128, (wide, unsigned): (bool, bool)) -> Self {
        let value = match (wide, unsigned) {
            (false, false) => i128::from(value as i32),
            (false, true) => i128::from(value as u32),
            (true, false) => i128::from(value as i64),
            (true, true) => i128::from(value as u64),
        };
        Self { value, wide, unsigned }
    }

    /// A truth value.
    fn truth(value: bool) -> Self {
        Self::wrap(value.into(), INT)
    }

    /// The first of C's types that holds `value`.
    pub(super) fn of(value: i128) -> Option<Self> {
        [INT, (true, false), UNSIGNED_LONG]
            .into_iter()
            .find(|ty| fits(value, *ty))
            .map(|ty| Self::wrap(value, ty))
    }

    /// A literal such as `10`, `0x1fUL` or `0b11`.
    pub(super) fn literal(word: &str) -> Option<Self> {
        let lower = word.to_ascii_lowercase();
        let (radix, digits) = match lower.get(..2) {
            Some("0x") => (16, &lower[2..]),
            Some("0b") => (2, &lower[2..]),
            _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
            _ => (10, lower.as_str()),
        };
        let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let (digits, suffix) = digits.split_at(end);
        // `0u` and the like: the only digit was taken for octal's sign.
        let digits = if digits.is_empty() && radix == 8 { "0" } else { digits };
        let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
        let (unsigned, long) = match suffix {
            "" => (false, false),
            "u" => (true, false),
            "l" | "ll" => (false, true),
            "ul" | "ull" | "lu" | "llu" => (true, true),
            _ => return None,
        };
        let types = [INT, (false, true), (true, false), UNSIGNED_LONG];
        types
            .into_iter()
            // A decimal literal takes an unsigned type only if nothing else holds it.
            .filter(|&(_, u)| u == unsigned || (u && (radix != 10 || value > i64::MAX.into())))
            .filter(|&(wide, _)| wide || !long)
            .find(|ty| fits(value, *ty))
            .map(|ty| Self::wrap(value, ty))
    }

    /// The content of a character constant, one character or escape.
    pub(super) fn character(content: &str) -> Option<Self> {
        let byte = match content.as_bytes() {
            [byte] if *byte != b'\\' => *byte,
            [b'\\', b'x', hex @ ..] => {
                u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?
            }
            [b'\\', octal @ b'0'..=b'7', ..] if content.len() <= 4 => {
                let _ = octal;
                u8::from_str_radix(&content[1..], 8).ok()?
            }
            [b'\\', escape] => match escape {
                b'a' => 7,
                b'b' => 8,
                b't' => 9,
                b'n' => 10,
                b'v' => 11,
                b'f' => 12,
                b'r' => 13,
                b'\\' | b'\'' | b'"' | b'?' => *escape,
                _ => return None,
            },
            _ => return None,
        };
        // `char` is signed on BPF.
        Some(Self::wrap(i128::from(byte as i8), INT))
    }

    fn is_true(self) -> bool {
        self.value != 0
    }

    /// The type both operands are brought to.
    fn common(self, other: Self) -> (bool, bool) {
        let wide = self.wide || other.wide;
        let unsigned = |c: Self| c.unsigned && c.wide == wide;
        (wide, unsigned(self) || unsigned(other))
    }
}

/// The binary operators and how tightly they bind.
const OPERATORS: [(&str, u8); 18] = [
    ("||", 1),
    ("&&", 2),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("==", 6),
    ("!=", 6),
    ("<", 7),
    (">", 7),
    ("<=", 7),
    (">=", 7),
    ("<<", 8),
    (">>", 8),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("%", 10),
];

/// The result, or why there is none.
fn binary(op: &str, a: Const, b: Const) -> std::result::Result<Const, &'static str> {
    let ty = a.common(b);
    let (x, y) = (Const::wrap(a.value, ty).value, Const::wrap(b.value, ty).value);
    let value = match op {
        "||" => return Ok(Const::truth(a.is_true() || b.is_true())),
        "&&" => return Ok(Const::truth(a.is_true() && b.is_true())),
        "==" => return Ok(Const::truth(x == y)),
        "!=" => return Ok(Const::truth(x != y)),
        "<" => return Ok(Const::truth(x < y)),
        ">" => return Ok(Const::truth(x > y)),
        "<=" => return Ok(Const::truth(x <= y)),
        ">=" => return Ok(Const::truth(x >= y)),
        "<<" | ">>" => {
            let bits = if a.wide { 64 } else { 32 };
            if !(0..bits).contains(&b.value) {
                return Err("shifts by more bits than there are");
            }
            let value = if op == "<<" { a.value << b.value } else { a.value >> b.value };
            return Ok(Const::wrap(value, (a.wide, a.unsigned)));
        }
        "/" | "%" if y == 0 => return Err("divides by zero"),
        "|" => x | y,
        "^" => x ^ y,
        "&" => x & y,
        "+" => x + y,
        "-" => x - y,
        // Both are at most 64 bits wide: only two large unsigned ones pass 127 bits.
        "*" => x.wrapping_mul(y),
        "/" => x / y,
        _ => x % y,
    };
    Ok(Const::wrap(value, ty))
}

impl Parser {
    /// Reads a constant expression.
    pub(super) fn constant(&mut self) -> Result<Const> {
        self.nested(|p| {
            let condition = p.operand(1)?;
            if !p.eat("?") {
                return Ok(condition);
            }
            let yes = p.constant()?;
            p.expect(":")?;
            let no = p.constant()?;
            let chosen = if condition.is_true() { yes } else { no };
            Ok(Const::wrap(chosen.value, yes.common(no)))
        })
    }

    /// Reads operators that bind at least as tightly as `least`.
    fn operand(&mut self, least: u8) -> Result<Const> {
        let mut left = self.unary()?;
        loop {
            let Tok::Punct(punct) = self.token().tok else { return Ok(left) };
            let Some(&(op, binds)) = OPERATORS.iter().find(|(op, _)| *op == punct) else {
                return Ok(left);
            };
            if binds < least {
                return Ok(left);
            }
            self.next();
            let right = self.operand(binds + 1)?;
            left = binary(op, left, right)
                .map_err(|reason| self.error(format!("the expression {reason}")))?;
        }
    }

    fn unary(&mut self) -> Result<Const> {
        let Tok::Punct(op) = self.token().tok else { return self.primary() };
        match op {
            "-" | "+" | "~" | "!" => {
                self.next();
                let c = self.nested(Self::unary)?;
                let ty = (c.wide, c.unsigned);
                Ok(match op {
                    "-" => Const::wrap(-c.value, ty),
                    "~" => Const::wrap(!c.value, ty),
                    "!" => Const::truth(!c.is_true()),
                    _ => c,
                })
            }
            "(" => {
                self.next();
                if self.starts_type() {
                    let ty = self.type_name()?;
                    self.expect(")")?;
                    let c = self.nested(Self::unary)?;
                    return self.cast(c, ty);
                }
                let c = self.constant()?;
                self.expect(")")?;
                Ok(c)
            }
            _ => Err(self.fail("expected a constant number")),
        }
    }

    fn cast(&self, c: Const, ty: TypeId) -> Result<Const> {
        let (size, signed) = match self.types.get(self.types.resolve(ty)) {
            CType::Int { boolean: true, .. } => return Ok(Const::truth(c.is_true())),
            CType::Int { size, signed, .. } => (*size, *signed),
            CType::Enum(e) => (e.size.unwrap_or(4), e.signed),
            _ => return Err(self.error("a constant can only be cast to an integer type")),
        };
        let value = match (size, signed) {
            (1, true) => i128::from(c.value as i8),
            (1, false) => i128::from(c.value as u8),
            (2, true) => i128::from(c.value as i16),
            (2, false) => i128::from(c.value as u16),
            _ => return Ok(Const::wrap(c.value, (size > 4, !signed))),
        };
        Ok(Const::wrap(value, INT))
    }

    fn primary(&mut self) -> Result<Const> {
        let token = self.token().clone();
        match &token.tok {
            Tok::Number(c) => {
                self.next();
                Ok(*c)
            }
            Tok::Word(word) => match &**word {
                "sizeof" => self.size_or_align(false),
                "_Alignof" | "alignof" | "__alignof__" | "__alignof" => self.size_or_align(true),
                _ => match self.named_constant(word) {
                    Some(c) => {
                        self.next();
                        Ok(c)
                    }
                    None => Err(self.fail("expected a constant number: no such constant is known")),
                },
            },
            _ => Err(self.fail("expected a constant number")),
        }
    }

    fn size_or_align(&mut self, align: bool) -> Result<Const> {
        let word = self.name("sizeof")?;
        self.expect("(")?;
        if !self.starts_type() {
            return Err(self.fail(format!("`{word}` is understood of a type only")));
        }
        let ty = self.type_name()?;
        self.expect(")")?;
        let Some(size) = self.types.size(ty) else {
            return Err(self.error(format!("`{word}` of a type whose size is not known")));
        };
        let value = if align { self.types.align(ty) } else { size };
        Ok(Const::wrap(value.into(), UNSIGNED_LONG))
    }

    /// A constant expression that must lie in `0..=most`; `what` says which for the error.
    pub(super) fn constant_up_to(&mut self, most: u64, what: &str) -> Result<u64> {
        let c = self.constant()?;
        match u64::try_from(c.value) {
            Ok(value) if value <= most => Ok(value),
            _ => Err(self.error(format!("{what} is {}, but must be 0 to {most}", c.value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, tokens};

    fn value(text: &str) -> Result<i128, String> {
        let tokens = tokens(text, 1).map_err(|fail| fail.reason)?;
        let mut parser = Parser::new();
        parser.with(tokens, |p| p.constant()).map(|c| c.value).map_err(|fail| fail.reason)
    }

    #[test]
    fn values_are_those_of_c() {
        for (text, expected) in [
            ("1 + 2 * 3", 7),
            ("(1 + 2) * 3", 9),
            ("10 - 3 - 2", 5),
            ("1 << 2 + 1", 8),
            ("1 | 2 == 2 && 4 & 6", 1),
            ("1 << 31", -0x8000_0000),
            ("1U << 31", 0x8000_0000),
            ("1ULL << 63", 1 << 63),
            ("~0", -1),
            ("~0U", 0xffff_ffff),
            ("0xffffffff", 0xffff_ffff),
            ("-1 < 0U", 0),
            ("-1L < 0U", 1),
            ("2 > 1 ? 10 : 20", 10),
            ("1 ? 2 : 0 ? 3 : 4", 2),
            ("017", 15),
            ("0", 0),
            ("0b101", 5),
            ("'a'", 97),
            ("'\\n' + '\\x10' + '\\012'", 36),
            ("sizeof(int[3][2])", 24),
            ("sizeof(struct { char c; long l; })", 16),
            ("_Alignof(short)", 2),
            ("(unsigned char)300", 44),
            ("(signed char)200", -56),
            ("-7 / 2", -3),
            ("-7 % 2", -1),
            ("BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE", 5),
            ("18446744073709551615", u64::MAX.into()),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_says_why() {
        for (text, reason) in [
            ("1 / 0", "divides by zero"),
            ("1 << 40", "shifts"),
            ("nowhere", "`nowhere`"),
            ("1 +", "the text ends"),
            ("18446744073709551616", "no integer"),
            ("1.5", "no integer"),
            ("sizeof(void)", "not known"),
            ("sizeof(x)", "of a type only"),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let deep = "(".repeat(10_000);
        assert!(value(&deep).unwrap_err().contains("levels deep"));
        let deep = "- ".repeat(10_000);
        assert!(value(&deep).unwrap_err().contains("levels deep"));
    }
}

//! A builder of raw BTF, for types that the compiler at hand does not make, and for broken ones.

/// A BTF blob in the making.
#[derive(Default, Clone)]
pub struct Blob {
    pub types: Vec<u8>,
    pub strings: Vec<u8>,
    count: u32,
    /// Records without members, which are there once.
    empty: Vec<(String, u32)>,
}

/// A member: name, type, bit offset, bit-field width or 0.
pub type Member<'a> = (&'a str, u32, u32, u32);

impl Blob {
    pub fn new() -> Self {
        Self { strings: vec![0], ..Self::default() }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    pub fn raw(
        &mut self,
        name: &str,
        kind: u32,
        vlen: u32,
        flag: bool,
        last: u32,
        rest: &[u32],
    ) -> u32 {
        let name = self.name(name);
        let info = u32::from(flag) << 31 | kind << 24 | vlen;
        for word in [&[name, info, last], rest].concat() {
            self.types.extend(word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    /// `encoding`: 1 signed, 2 char, 4 bool.
    pub fn int(&mut self, name: &str, size: u32, encoding: u32) -> u32 {
        self.raw(name, 1, 0, false, size, &[(encoding << 24) | (size * 8)])
    }

    pub fn ptr(&mut self, of: u32) -> u32 {
        self.raw("", 2, 0, false, of, &[])
    }

    pub fn array(&mut self, of: u32, len: u32) -> u32 {
        self.raw("", 3, 0, false, 0, &[of, of, len])
    }

    /// `kind`: 4 struct, 5 union.
    pub fn record(&mut self, kind: u32, name: &str, size: u32, members: &[Member<'_>]) -> u32 {
        if let Some((_, id)) = self.empty.iter().find(|known| members.is_empty() && known.0 == name)
        {
            return *id;
        }
        let flag = members.iter().any(|member| member.3 != 0);
        let mut rest = Vec::new();
        for &(name, of, at, bits) in members {
            rest.extend([self.name(name), of, if flag { bits << 24 | at } else { at }]);
        }
        let id = self.raw(name, kind, members.len() as u32, flag, size, &rest);
        if members.is_empty() && ["in_addr", "in6_addr", "bpf_timer"].contains(&name) {
            self.empty.push((name.to_owned(), id));
        }
        id
    }

    pub fn enumeration(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, u64)],
    ) -> u32 {
        let mut rest = Vec::new();
        for &(name, value) in values {
            rest.extend([self.name(name), value as u32]);
            if size == 8 {
                rest.push((value >> 32) as u32);
            }
        }
        let kind = if size == 8 { 19 } else { 6 };
        self.raw(name, kind, values.len() as u32, signed, size, &rest)
    }

    /// `kind`: 8 typedef, 9 volatile, 10 const, 11 restrict, 18 type tag, 7 forward.
    pub fn alias(&mut self, kind: u32, name: &str, of: u32) -> u32 {
        self.raw(name, kind, 0, false, of, &[])
    }

    pub fn float(&mut self, name: &str, size: u32) -> u32 {
        self.raw(name, 16, 0, false, size, &[])
    }

    /// The id that the next type gets.
    pub fn next_id(&self) -> u32 {
        self.count + 1
    }

    pub fn finish(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut blob = 0xeb9f_u16.to_ne_bytes().to_vec();
        blob.extend([1, 0]);
        for word in [24, 0, types, types, strings] {
            blob.extend(word.to_ne_bytes());
        }
        blob.extend(&self.types);
        blob.extend(&self.strings);
        blob
    }
}

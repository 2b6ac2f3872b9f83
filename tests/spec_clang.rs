//! The types of a C definition lie where clang puts them: random types, compared member by member
//! with the BTF that `clang -target bpf` makes of the same text.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "common/mod.rs"]
mod common;
mod spec_support;

use bpffuse::btf::{Btf, Kind};
use bpffuse::schema::{self, SchemaMap};
use bpffuse::spec::Spec;
use bpffuse::sys::map::MapInfo;
use common::require::require;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use spec_support::{HEADER, array_of, clang_btf, same_type};
use std::fmt::Write;

/// Types compared by default; `BPFFUSE_CLANG_TYPES=5000` for a longer run.
const TYPES: usize = 400;

/// Integer types that can be bit-fields, with their widths.
const INTEGERS: [(&str, u8); 18] = [
    ("char", 8),
    ("unsigned char", 8),
    ("signed char", 8),
    ("short", 16),
    ("unsigned short int", 16),
    ("int", 32),
    ("unsigned", 32),
    ("long", 64),
    ("unsigned long", 64),
    ("long long int", 64),
    ("unsigned long long", 64),
    ("_Bool", 1),
    ("__u8", 8),
    ("__s16", 16),
    ("__u32", 32),
    ("__be32", 32),
    ("__u64", 64),
    ("__int128", 128),
];

const OTHERS: [&str; 7] =
    ["float", "double", "long double", "unsigned __int128", "__be16", "__le64", "size_t"];

#[derive(Debug, Clone)]
enum Ty {
    Integer(usize),
    Other(usize),
    Pointer(Box<Ty>),
    Callback,
    Array(Box<Ty>, Vec<u8>),
    Enum {
        values: Vec<i64>,
        packed: bool,
    },
    Record(Record),
    /// With an alignment, a typedef cannot be an array's element in newer clang.
    Typedef(Box<Ty>, Option<u8>),
    Qualified(&'static str, Box<Ty>),
}

#[derive(Debug, Clone)]
struct Record {
    union: bool,
    packed: bool,
    align: Option<u8>,
    /// Attributes before the tag, or after the brace.
    before: bool,
    tagged: bool,
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
enum Member {
    Plain { ty: Ty, packed: bool, align: Option<u8>, first: bool, twice: bool },
    Bits { ty: usize, width: u8, named: bool, packed: bool, align: Option<u8> },
    Anonymous(Record),
    Empty(Ty),
}

fn align() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![6 => Just(None), 1 => (0u8..6).prop_map(Some)]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

fn ty() -> BoxedStrategy<Ty> {
    let leaf = prop_oneof![
        6 => (0..INTEGERS.len()).prop_map(Ty::Integer),
        2 => (0..OTHERS.len()).prop_map(Ty::Other),
        1 => Just(Ty::Callback),
        2 => (prop::collection::vec(prop_oneof![
                3 => -3i64..300,
                1 => any::<i32>().prop_map(i64::from),
                1 => any::<u32>().prop_map(i64::from),
                1 => any::<i64>(),
            ], 1..4), rarely())
            .prop_map(|(values, packed)| Ty::Enum { values, packed }),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            2 => inner.clone().prop_map(|ty| Ty::Pointer(Box::new(ty))),
            2 => (inner.clone(), prop::collection::vec(1u8..5, 1..3))
                .prop_map(|(ty, dims)| Ty::Array(Box::new(ty), dims)),
            4 => record(inner.clone()).prop_map(Ty::Record),
            1 => (inner.clone(), align()).prop_map(|(ty, align)| Ty::Typedef(Box::new(ty), align)),
            1 => (prop_oneof![Just("const"), Just("volatile")], inner)
                .prop_map(|(word, ty)| Ty::Qualified(word, Box::new(ty))),
        ]
    })
    .boxed()
}

fn member(inner: BoxedStrategy<Ty>) -> impl Strategy<Value = Member> {
    prop_oneof![
        5 => (inner.clone(), rarely(), align(), any::<bool>(), rarely()).prop_map(
            |(ty, packed, align, first, twice)| Member::Plain { ty, packed, align, first, twice }
        ),
        5 => (0..INTEGERS.len(), any::<u8>(), prop::bool::weighted(0.8), rarely(), align())
            .prop_map(|(ty, width, named, packed, align)| {
                Member::Bits { ty, width, named, packed, align }
            }),
        1 => record_of(prop::collection::vec(
                inner.clone().prop_map(|ty| Member::Plain {
                    ty, packed: false, align: None, first: false, twice: false,
                }), 1..3))
            .prop_map(|mut record| { record.tagged = false; Member::Anonymous(record) }),
        1 => inner.prop_map(Member::Empty),
    ]
}

fn record(inner: BoxedStrategy<Ty>) -> impl Strategy<Value = Record> {
    record_of(prop::collection::vec(member(inner), 1..6))
}

fn record_of(members: impl Strategy<Value = Vec<Member>>) -> impl Strategy<Value = Record> {
    (rarely(), rarely(), align(), any::<bool>(), any::<bool>(), members).prop_map(
        |(union, packed, align, before, tagged, members)| Record {
            union,
            packed,
            align,
            before,
            tagged,
            members,
        },
    )
}

/// Writes one type's text; what needs a name of its own goes before it.
struct Writer {
    prefix: String,
    count: u32,
    before: String,
}

impl Writer {
    fn name(&mut self, of: &str) -> String {
        self.count += 1;
        format!("{}_{of}{}", self.prefix, self.count)
    }

    fn attributes(packed: bool, align: Option<u8>) -> String {
        let packed = if packed { " __attribute__((packed))" } else { "" };
        let align =
            align.map_or(String::new(), |a| format!(" __attribute__((aligned({})))", 1 << a));
        format!("{packed}{align}")
    }

    /// The declaration of `name` with type `ty`.
    fn declare(&mut self, ty: &Ty, name: &str) -> String {
        match ty {
            Ty::Integer(i) => format!("{} {name}", INTEGERS[*i].0),
            Ty::Other(i) => format!("{} {name}", OTHERS[*i]),
            Ty::Pointer(to) => {
                let inner = match **to {
                    Ty::Array(..) | Ty::Callback => format!("(*{name})"),
                    _ => format!("*{name}"),
                };
                self.declare(to, &inner)
            }
            Ty::Callback => format!("int (*{name})(void *ctx, const char *, int n, ...)"),
            Ty::Array(of, dims) => {
                let dims: String = dims.iter().map(|n| format!("[{n}]")).collect();
                let of = without_alignment(of);
                self.declare(&of, &format!("{name}{dims}"))
            }
            Ty::Enum { values, packed } => {
                let tag = self.name("e");
                let mut body = String::new();
                for (i, value) in values.iter().enumerate() {
                    // i64::MIN has no literal.
                    let value = if *value == i64::MIN { 0 } else { *value };
                    let _ = write!(body, "{tag}_{i} = {value}, ");
                }
                format!("enum {tag} {{ {body}}}{} {name}", Self::attributes(*packed, None))
            }
            Ty::Record(record) => {
                let text = self.record(record, None);
                format!("{text} {name}")
            }
            Ty::Typedef(of, align) => {
                let alias = self.name("t");
                let text = self.declare(of, &alias);
                let text = format!("typedef {text}{};\n", Self::attributes(false, *align));
                self.before.push_str(&text);
                format!("{alias} {name}")
            }
            Ty::Qualified(word, of) => format!("{word} {}", self.declare(of, name)),
        }
    }

    fn record(&mut self, record: &Record, tag: Option<&str>) -> String {
        let word = if record.union { "union" } else { "struct" };
        let tag = match tag {
            Some(tag) => tag.to_owned(),
            None if record.tagged => self.name("s"),
            None => String::new(),
        };
        let attributes = Self::attributes(record.packed, record.align);
        let (first, last) = match record.before {
            true => (attributes.as_str(), ""),
            false => ("", attributes.as_str()),
        };
        let body: String = record.members.iter().map(|member| self.member(member)).collect();
        format!("{word}{first} {tag} {{\n{body}}}{last}")
    }

    fn member(&mut self, member: &Member) -> String {
        match member {
            Member::Plain { ty, packed, align, first, twice } => {
                let name = self.name("m");
                let attributes = Self::attributes(*packed, *align);
                let text = self.declare(ty, &name);
                match (first, twice) {
                    // Before the type they would belong to a struct that is defined there.
                    (true, _) if !matches!(ty, Ty::Record(_) | Ty::Enum { .. }) => {
                        format!("{attributes} {text};\n")
                    }
                    (_, true) => {
                        let second = self.name("m");
                        format!("{text}{attributes}, {second};\n")
                    }
                    _ => format!("{text}{attributes};\n"),
                }
            }
            Member::Bits { ty, width, named, packed, align } => {
                let (ty, most) = INTEGERS[*ty];
                // clang's own BTF has no room for wider ones.
                let most = most.min(64);
                let width = width % (most + 1);
                if !named {
                    return format!("{ty} : {width};\n");
                }
                let name = self.name("b");
                let attributes = Self::attributes(*packed, *align);
                format!("{ty} {name} : {}{attributes};\n", width.max(1))
            }
            Member::Anonymous(record) => format!("{};\n", self.record(record, None)),
            Member::Empty(ty) => {
                let name = self.name("z");
                let ty = without_alignment(ty);
                format!("{};\n", self.declare(&ty, &format!("{name}[0]")))
            }
        }
    }
}

/// The type without the typedefs whose alignment no array element may have.
fn without_alignment(ty: &Ty) -> Ty {
    match ty {
        Ty::Typedef(of, Some(_)) => without_alignment(of),
        Ty::Typedef(of, None) => Ty::Typedef(Box::new(without_alignment(of)), None),
        Ty::Qualified(word, of) => Ty::Qualified(word, Box::new(without_alignment(of))),
        Ty::Array(of, dims) => Ty::Array(Box::new(without_alignment(of)), dims.clone()),
        ty => ty.clone(),
    }
}

/// The text that defines `struct cN` or `union cN`.
fn text(n: usize, record: &Record) -> String {
    let mut writer = Writer { prefix: format!("c{n}"), count: 0, before: String::new() };
    let record = writer.record(record, Some(&format!("c{n}")));
    format!("{}{record};\n", writer.before)
}

/// The map with this type as its value.
fn map(text: &str, ty: &str) -> String {
    format!(
        "{text}struct {{\n\t__uint(type, BPF_MAP_TYPE_ARRAY);\n\t__type(key, __u32);\n\
         \t__type(value, {ty});\n\t__uint(max_entries, 1);\n}} m SEC(\".maps\");\n"
    )
}

#[test]
fn random_types_lie_where_clang_puts_them() {
    require!("compiler");
    let count = std::env::var("BPFFUSE_CLANG_TYPES").ok().and_then(|n| n.parse().ok());
    let count: usize = count.unwrap_or(TYPES);
    let seed = std::env::var("BPFFUSE_CLANG_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = record(ty());
    let texts: Vec<(&str, String)> = (0..count)
        .map(|n| {
            let mut record = strategy.new_tree(&mut runner).expect("a type").current();
            record.union = n % 8 == 7;
            // So that its size is never 0, which no value may have.
            record.members.insert(
                0,
                Member::Plain {
                    ty: Ty::Integer(5),
                    packed: false,
                    align: None,
                    first: false,
                    twice: false,
                },
            );
            (if record.union { "union" } else { "struct" }, text(n, &record))
        })
        .collect();
    let mut all = HEADER.to_owned();
    let mut printed = HEADER.to_owned();
    for (n, (word, text)) in texts.iter().enumerate() {
        let _ = writeln!(all, "{text}{word} c{n} v{n};");
    }
    let clang = clang_btf(&all);
    let mut wrong = Vec::new();
    for (n, (word, text)) in texts.iter().enumerate() {
        match compare(&clang, text, &format!("{word} c{n}"), n) {
            Ok(schema) => printed.push_str(&schema),
            Err(why) => wrong.push(format!("{why}\n{text}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ, the first:\n{}", wrong.len(), wrong[0]);
    // What `.schema` prints of these types, clang lays out the same again.
    let again = clang_btf(&printed);
    for (n, (_, text)) in texts.iter().enumerate() {
        let find = |btf: &Btf| btf.find_struct(&format!("c{n}")).expect("the struct").0;
        if let Err(why) = same_type(&clang, find(&clang), &again, find(&again), "again") {
            panic!("c{n}: {why}\n{text}");
        }
    }
}

/// Compares with clang's, and gives what `.schema` prints.
fn compare(clang: &Btf, text: &str, ty: &str, n: usize) -> Result<String, String> {
    let spec = Spec::parse(map(text, ty).as_bytes()).map_err(|error| error.reason)?;
    let ours = spec.btf()?;
    let btf = Btf::parse(&ours.bytes, None).map_err(|error| error.to_string())?;
    let (theirs, _) =
        clang.find_struct(ty.split(' ').next_back().unwrap_or(ty)).ok_or("clang left it out")?;
    same_type(&btf, ours.value, clang, theirs, ty)?;
    let info = MapInfo {
        btf_key_type_id: ours.key,
        btf_value_type_id: ours.value,
        ..array_of(btf.get(ours.value).map_or(0, |found| match found.kind {
            Kind::Struct { size, .. } | Kind::Union { size, .. } => size,
            _ => 0,
        }))
    };
    let schema = schema::print(
        &SchemaMap { info: &info, btf: Some(&btf), kernel: None, inner: None, numa_node: None },
        &format!("map{n}"),
    );
    if schema.contains("Not all types") {
        return Err(schema);
    }
    // The kernel takes no float off its alignment, and no packed enum in a struct that has
    // bit-fields, wherever the BTF comes from.
    let refused = ["float", "double", "enum"].iter().any(|word| text.contains(word));
    if refused && text.contains("packed") {
        return Ok(schema);
    }
    spec_support::kernel_takes(&ours.bytes)?;
    Ok(schema)
}

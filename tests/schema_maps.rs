//! `.schema` of every kind of map makes the same map again, and clang agrees about its types.

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
use bpffuse::codec::{Codec, Shape};
use bpffuse::kernel::hidden::hidden;
use bpffuse::schema::{self, SchemaMap};
use bpffuse::spec::{CreateError, Inner, Spec, flags};
use bpffuse::sys::map::kind::{self, MapKind};
use bpffuse::sys::map::{MapInfo, map_info};
use bpffuse::sys::object as btf_objects;
use common::kernel::lacks_map;
use common::object;
use common::require::{self, require};
use spec_support::cases::{CASES, texts};
use spec_support::{clang_btf, same_type};
use std::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};

/// A map as `.schema` sees it.
struct Seen {
    fd: OwnedFd,
    info: MapInfo,
    btf: Option<Btf>,
    numa_node: Option<u32>,
    inner: Option<MapInfo>,
}

fn no_inner(inner: &Inner) -> Result<OwnedFd, CreateError> {
    Err(CreateError { errno: libc::ENOENT, reason: format!("{inner:?}") })
}

fn create(text: &str, kernel: &Btf) -> Seen {
    let spec = Spec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let fd = spec.create("m", &no_inner).unwrap_or_else(|error| panic!("{text}\n{error}")).fd;
    let seen = seen(fd);
    let asks =
        MapKind::of(seen.info.map_type).holds_maps() || seen.info.flags & flags::NUMA_NODE != 0;
    let hidden = asks.then(|| hidden(seen.info.id, kernel).expect("the inner map"));
    let numa_node = hidden.as_ref().map(|hidden| hidden.numa_node);
    Seen { numa_node, inner: hidden.and_then(|hidden| hidden.inner), ..seen }
}

fn print(seen: &Seen) -> String {
    schema::of(seen.fd.as_fd(), "m", None, None).expect("a definition")
}

/// All that must be the same in a copy.
fn comparable(seen: &Seen) -> (MapInfo, Option<u32>, Option<MapInfo>) {
    let info =
        MapInfo { id: 0, btf_id: 0, btf_key_type_id: 0, btf_value_type_id: 0, ..seen.info.clone() };
    (info, seen.numa_node, seen.inner.clone())
}

fn kernel_btf() -> Btf {
    let blob = std::fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's BTF");
    Btf::parse(&blob, None).expect("the kernel's BTF")
}

/// What a program includes, and what these headers may be too old to have.
fn includes() -> String {
    let mut text = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n".to_owned();
    for kind in kind::names() {
        let number = kind::by_name(kind).expect("a kind");
        let _ = writeln!(text, "#define BPF_MAP_TYPE_{} {number}", kind.to_uppercase());
    }
    for flag in flags::all() {
        let number = flags::by_name(flag).expect("a flag");
        let _ = writeln!(text, "#define BPF_F_{} {number}", flag.to_uppercase());
    }
    text + "#ifndef __ulong\n#define __ulong(name, val) enum { name##_value = val } name\n#endif\n\
            #ifndef __contains\n#define __contains(a, b)\n#endif\n"
}

/// Whether clang can be asked, too; says so if not.
fn can_clang() -> bool {
    let can = require::can_compile();
    if !can {
        require::partly("clang is not asked");
    }
    can
}

/// The types of `key` and `value` of the variable `name`.
fn map_types(btf: &Btf, name: &str) -> [Option<u32>; 2] {
    let var = (1..btf.end_id()).find_map(|id| {
        let found = btf.get(id)?;
        match found.kind {
            Kind::Var { of } if btf.name(found.name_at) == name => btf.resolve(of),
            _ => None,
        }
    });
    let (_, map) = var.expect("the map in clang's BTF");
    ["key", "value"].map(|part| {
        let member = map.kind.members().find(|m| btf.name(m.name_at) == part)?;
        match btf.get(member.of)?.kind {
            Kind::Ptr { of } => Some(of),
            _ => None,
        }
    })
}

/// Whether clang gives the same layout for the text.
fn agree_with_clang(schema: &str, seen: &Seen) {
    let Some(btf) = &seen.btf else { return };
    let clang = clang_btf(&(includes() + schema));
    let [key, value] = map_types(&clang, "m");
    for (own, theirs) in [(seen.info.btf_key_type_id, key), (seen.info.btf_value_type_id, value)] {
        if let (1.., Some(theirs)) = (own, theirs) {
            same_type(btf, own, &clang, theirs, "m")
                .unwrap_or_else(|why| panic!("{schema}\n{why}"));
        }
    }
}

fn round_trip(text: &str, kernel: &Btf) -> (Seen, String) {
    let first = create(text, kernel);
    let schema = print(&first);
    assert!(!schema.contains("Not all types"), "{text}\n{schema}");
    let second = create(&schema, kernel);
    assert_eq!(comparable(&first), comparable(&second), "{text}\n{schema}");
    assert_eq!(print(&second), schema, "{text}");
    match (&first.btf, &second.btf) {
        (None, None) => {}
        (Some(a), Some(b)) => {
            for (a_id, b_id) in [
                (first.info.btf_key_type_id, second.info.btf_key_type_id),
                (first.info.btf_value_type_id, second.info.btf_value_type_id),
            ] {
                same_type(a, a_id, b, b_id, "m").unwrap_or_else(|why| panic!("{schema}\n{why}"));
            }
        }
        _ => panic!("one has BTF and one has not\n{text}\n{schema}"),
    }
    (first, schema)
}

#[test]
fn every_kind_is_made_again() {
    require!("root", "bpf", "kernel types");
    let kernel = kernel_btf();
    let clang = can_clang();
    for (number, case) in (1..).zip(CASES) {
        if lacks_map(number) {
            continue;
        }
        let [words, _, c] = texts(case);
        round_trip(&words, &kernel);
        let (first, schema) = round_trip(&c, &kernel);
        if clang {
            agree_with_clang(&schema, &first);
        }
    }
}

/// Definitions whose types are harder than those of the kinds.
const HARD: [&str; 8] = [
    // A lock, a timer and a pointer that the kernel keeps.
    "struct task_struct { int pid; };
     struct elem { struct bpf_spin_lock lock; struct bpf_timer timer; struct task_struct __kptr *task; __u64 n; };
     struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, struct elem); __uint(max_entries, 4); } m SEC(\".maps\");",
    // A list of a program's own objects.
    "struct node { long n; struct bpf_list_node link; };
     struct head { struct bpf_spin_lock lock; struct bpf_list_head list __contains(node, link); };
     struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, struct head); __uint(max_entries, 1); } m SEC(\".maps\");",
    // Types that refer to each other.
    "struct b; struct a { struct b *b; struct a *next; void (*call)(struct a *, const struct b *, int); };
     typedef struct b b_t; struct b { struct a a; b_t *self; };
     struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u64); __type(value, b_t); __uint(max_entries, 4); } m SEC(\".maps\");",
    // Wide and narrow enums, and one without a name as a whole value.
    "enum wide { LOW = -1, HIGH = 0x7fffffffffffffff }; enum __attribute__((packed)) narrow { A, B = 255 };
     struct v { enum wide w; enum narrow n; enum { X = 1, Y } inside; enum byte : __u8 { Z = 3 } z; };
     struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, enum wide); __type(value, struct v); __uint(max_entries, 4); } m SEC(\".maps\");",
    "typedef enum { ONE = 1, TWO } choice; struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, choice);
     __type(value, choice); __uint(max_entries, 4); __uint(numa_node, 0); } m SEC(\".maps\");",
    // Anonymous types, arrays of arrays, addresses.
    "struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __type(key, struct { struct in6_addr src; __be16 port; } __attribute__((packed)));
     __type(value, struct { union { __u8 bytes[2][3]; struct { char name[16]; }; }; const volatile int *p; _Bool on : 1; }[2]);
     __uint(max_entries, 4); } m SEC(\".maps\");",
    // Padding that only attributes explain.
    "struct v { __u8 a; __u32 b __attribute__((aligned(64))); __u8 c; } __attribute__((aligned(128)));
     struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, struct v); __uint(max_entries, 2);
     __uint(map_flags, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG); } m SEC(\".maps\");",
    "struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __type(key, struct { __u32 prefixlen; struct in_addr addr; });
     __type(value, unsigned __int128); __uint(max_entries, 4); __uint(map_flags, 1); } m SEC(\".maps\");",
];

#[test]
fn hard_types_are_made_again() {
    require!("root", "bpf", "kernel types");
    let kernel = kernel_btf();
    let clang = can_clang();
    for text in HARD {
        let (first, schema) = round_trip(text, &kernel);
        assert!(first.btf.is_some(), "{text}");
        // Older headers have no lists, and a timer without members.
        if clang && !["bpf_list", "bpf_timer"].iter().any(|name| text.contains(name)) {
            agree_with_clang(&schema, &first);
        }
    }
}

/// Enums at the ends of their ranges, and signed ones that no constant tells: the text has the same
/// constants for clang, of a type of the same sign.
#[test]
fn enums_keep_their_values_and_sign() {
    require!("root", "bpf", "kernel types");
    let kernel = kernel_btf();
    let clang = can_clang();
    const MIN: u64 = 1 << 63;
    for (fixed, size, values) in [
        (": long long", 8, vec![("LEAST", "(-0x7fffffffffffffff - 1)", MIN), ("ONE", "1", 1)]),
        (": long long", 8, vec![("A", "-1", u64::MAX), ("B", "0x7fffffffffffffff", MIN - 1)]),
        (": long long", 8, vec![("A", "5", 5)]),
        ("", 8, vec![("MOST", "0xffffffffffffffff", u64::MAX), ("HALF", "1ULL << 63", MIN)]),
        (
            "",
            4,
            vec![
                ("LEAST", "-2147483648", -2_147_483_648_i64 as u64),
                ("B", "2147483647", 2_147_483_647),
            ],
        ),
        ("", 4, vec![("TOP", "1U << 31", 1 << 31)]),
        (": int", 4, vec![("A", "1", 1)]),
        (": signed char", 1, vec![("A", "127", 127)]),
        (": signed char", 1, vec![("A", "-128", -128_i64 as u64)]),
        (": unsigned char", 1, vec![("A", "255", 255)]),
    ] {
        let list: Vec<_> = values.iter().map(|(name, c, _)| format!("{name} = {c}")).collect();
        let text = format!(
            "enum e {fixed} {{ {} }}; struct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32);
             __type(value, enum e); __uint(max_entries, 4); }} m SEC(\".maps\");",
            list.join(", ")
        );
        let (first, schema) = round_trip(&text, &kernel);
        let btf = first.btf.as_ref().unwrap();
        let (_, found) = btf.resolve(first.info.btf_value_type_id).unwrap();
        let Kind::Enum { size: bytes, signed, .. } = found.kind else { panic!("{schema}") };
        let mask = u64::MAX >> (64 - size * 8);
        let given: Vec<_> = found.kind.values().map(|v| v.value & mask).collect();
        assert_eq!(given, values.iter().map(|v| v.2 & mask).collect::<Vec<_>>(), "{schema}");
        assert_eq!(u64::from(bytes), size, "{schema}");
        if clang {
            let sign = if signed { "<" } else { ">" };
            let mut checks = format!(
                "_Static_assert(sizeof(enum e) == {size} && (enum e)-1 {sign} 0, \"type\");\n"
            );
            for (name, _, value) in values {
                let _ = writeln!(
                    checks,
                    "_Static_assert((unsigned long long){name} == {value:#x}ULL, \"{name}\");"
                );
            }
            clang_btf(&(includes() + &schema + &checks));
        }
    }
}

#[test]
fn the_model_of_an_empty_map_of_maps_is_found() {
    require!("root", "bpf", "kernel types");
    let kernel = kernel_btf();
    let text = "hash_of_maps key 4 entries 3 inner_map { hash key 6 value 12 entries 77 flags no_prealloc }";
    let seen = create(text, &kernel);
    let inner = seen.inner.as_ref().expect("the inner map's model");
    let kind = kind::by_name("hash").expect("a kind");
    assert_eq!((inner.map_type, inner.key_size, inner.value_size), (kind, 6, 12));
    assert_eq!((inner.max_entries, inner.flags), (77, 1));
    drop(seen.fd);
    // Another map's id finds nothing of it.
    assert!(hidden(u32::MAX >> 1, &kernel).is_err());
}

#[test]
fn the_types_of_a_map_that_is_held_are_given() {
    require!("root", "bpf", "kernel types");
    let kernel = kernel_btf();
    let text = "array_of_maps entries 2 inner_map { hash key 4 value 12 entries 5 }";
    let outer = create(text, &kernel);
    let inner =
        create("hash key u32 value struct { u8 kind; enum { A, B } e; u32 n; } entries 9", &kernel);
    let schema =
        schema::of(outer.fd.as_fd(), "m", Some(inner.fd.as_fd()), None).expect("a definition");
    assert!(schema.contains("u32 n;") && schema.contains("max_entries, 5"), "{schema}");
    let again = create(&schema, &kernel);
    assert_eq!(again.inner, outer.inner, "{schema}");
}

#[test]
fn a_map_of_maps_whose_model_is_unknown_says_so() {
    require!("kernel types");
    let kernel = kernel_btf();
    let mut info = spec_support::array_of(4);
    info.map_type = kind::by_name("array_of_maps").expect("a kind");
    let map =
        SchemaMap { info: &info, btf: None, kernel: Some(&kernel), inner: None, numa_node: None };
    let schema = schema::print(&map, "m");
    assert!(schema.contains("not known while it holds none"), "{schema}");
    let error = Spec::parse(schema.as_bytes()).expect_err("no inner map");
    assert!(error.reason.contains("needs a map that its maps are like"), "{error}");
}

/// A map that is open here, as `.schema` sees it.
fn seen(fd: OwnedFd) -> Seen {
    let info = map_info(fd.as_fd()).expect("the map's info");
    let btf = (info.btf_id != 0).then(|| {
        let (blob, _) = btf_objects::btf_blob(info.btf_id).expect("the map's BTF");
        Btf::parse(&blob, None).expect("BTF")
    });
    Seen { fd, info, btf, numa_node: None, inner: None }
}

/// Every map of the object that clang makes of `tests/bpf/NAME.bpf.c`.
fn every_map_of(name: &str) {
    let kernel = kernel_btf();
    let mut loaded = libbpf_rs::ObjectBuilder::default()
        .open_file(object::compile(name))
        .and_then(|object| object.load())
        .expect("the kernel takes the object");
    let mut count = 0;
    for map in loaded.maps_mut() {
        let first = seen(map.as_fd().try_clone_to_owned().expect("the map"));
        let schema = print(&first);
        let name = &first.info.name;
        assert!(!schema.contains("Not all types"), "{name}\n{schema}");
        let second = create(&schema, &kernel);
        let named = |info: &MapInfo| MapInfo { name: String::new(), ..info.clone() };
        assert_eq!(named(&comparable(&first).0), named(&comparable(&second).0), "{schema}");
        let (Some(a), Some(b)) = (&first.btf, &second.btf) else { panic!("{name}\n{schema}") };
        let value = (first.info.btf_value_type_id, second.info.btf_value_type_id);
        // A data section is a struct in C; its variables lie where they did.
        if let Some(Kind::DataSec { .. }) = a.get(value.0).map(|found| found.kind) {
            let (_, section) = a.resolve(value.0).expect("the section");
            let (_, record) = b.resolve(value.1).expect("the struct");
            let places: Vec<_> = section.kind.variables().map(|v| v.offset * 8).collect();
            let members: Vec<_> = record.kind.members().map(|m| m.bit_offset).collect();
            assert_eq!(places, members, "{schema}");
            // What the original shows is read by the copy.
            let size = first.info.value_size as usize;
            let codec = |seen: &Seen, btf| {
                let shape = Shape {
                    key_size: 4,
                    value_size: size,
                    cpus: None,
                    key_type_id: seen.info.btf_key_type_id,
                    value_type_id: seen.info.btf_value_type_id,
                    lpm: false,
                };
                Codec::new(&shape, Some(btf))
            };
            let (from, to) = (codec(&first, a), codec(&second, b));
            let mut text = Vec::new();
            from.print_value(&vec![1; size], &mut text);
            let (mut back, mut own) = (vec![0; size], vec![0; size]);
            from.parse_value(&text, &mut own).expect("its own text");
            to.parse_value(&text, &mut back).unwrap_or_else(|error| {
                panic!("{}{schema}{}", String::from_utf8_lossy(&text), error.reason)
            });
            assert_eq!(back, own, "{schema}");
            for (v, m) in section.kind.variables().zip(record.kind.members()) {
                same_type(a, v.var, b, m.of, name).unwrap_or_else(|why| panic!("{schema}\n{why}"));
            }
        } else {
            same_type(a, value.0, b, value.1, name).unwrap_or_else(|why| panic!("{schema}\n{why}"));
        }
        count += 1;
    }
    assert!(count > 2);
}

#[test]
fn maps_of_compiled_programs_are_made_again() {
    require!("root", "bpf", "kernel types", "clang");
    every_map_of("types");
}

#[test]
fn maps_with_the_kernels_own_fields_are_made_again() {
    require!("root", "bpf", "kernel types", "clang");
    every_map_of("special");
}

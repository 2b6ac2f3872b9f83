//! What a text says, and what is said of a text that is wrong. No kernel is asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use bpffuse::spec::{Inner, Part, Spec, SpecError, flags};
use std::path::Path;

fn parse(text: &str) -> Spec {
    Spec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refused(text: &str) -> SpecError {
    match Spec::parse(text.as_bytes()) {
        Ok(spec) => panic!("{text}\n{spec:?}"),
        Err(error) => error,
    }
}

fn size(spec: &Spec, part: Part) -> Option<u32> {
    match part {
        Part::Absent => None,
        Part::Size(size) => Some(size),
        Part::Type(id) => spec.types.size(id),
    }
}

fn sizes(spec: &Spec) -> (Option<u32>, Option<u32>) {
    (size(spec, spec.key), size(spec, spec.value))
}

#[test]
fn words_are_read() {
    let spec = parse("type hash key 4 value 8 entries 1024 name h flags no_prealloc,numa_node=0\n");
    assert_eq!((spec.kind, spec.max_entries, spec.name.as_deref()), (1, Some(1024), Some("h")));
    assert_eq!((spec.key, spec.value), (Part::Size(4), Part::Size(8)));
    assert_eq!((spec.flags, spec.numa_node), (flags::NO_PREALLOC, Some(0)));

    let spec = parse("  BPF_MAP_TYPE_ARRAY\tvalue\nu16 entries 0x10 map_extra 7 ifindex 3");
    assert_eq!((spec.kind, spec.max_entries, spec.map_extra, spec.ifindex), (2, Some(16), 7, 3));
    assert_eq!(sizes(&spec), (None, Some(2)));
}

#[test]
fn words_take_c_types_with_and_without_quotes() {
    for (value, bytes) in [
        ("u8", 1),
        ("unsigned long long int", 8),
        ("'char[16]'", 16),
        ("char [16]", 16),
        ("u32[2][3]", 24),
        ("struct { __u64 packets; __u64 bytes; }", 16),
        ("'struct { __u64 packets; __u64 bytes; }'", 16),
        ("\"struct { __u64 packets; __u64 bytes; }\"", 16),
        ("struct stats { u64 n; struct { u8 key; u8 value; } entries; }", 16),
        ("struct key { u32 type; u32 flags; }", 8),
        ("struct{u8 a;u8 b;}", 2),
        ("struct in6_addr", 16),
        ("enum { A, B }", 4),
        ("struct { enum { A, B = 5, C } e; char c[C + A]; }", 12),
        ("void *", 8),
        ("struct { u8 a; } __attribute__((aligned(4)))", 4),
        ("struct {\n  // a comment\n  u8 a; /* another */\n}", 1),
    ] {
        for text in [
            format!("hash key u32 value {value} entries 10 name x"),
            format!("hash value {value} key u32 entries 10 name x\n"),
        ] {
            let spec = parse(&text);
            assert_eq!(sizes(&spec), (Some(4), Some(bytes)), "{text}");
            assert_eq!((spec.max_entries, spec.name.as_deref()), (Some(10), Some("x")), "{text}");
        }
    }
}

#[test]
fn qualifiers_have_three_spellings_wherever_they_stand() {
    for (plain, others) in [
        ("const", ["__const", "__const__"]),
        ("volatile", ["__volatile", "__volatile__"]),
        ("restrict", ["__restrict", "__restrict__"]),
    ] {
        for place in
            ["Q int *p", "int Q *p", "int * Q p", "int ** Q p", "int * Q * p", "int (* Q p)[2]"]
                .into_iter()
                .chain(["int (*p)(int a[Q])", "int (*p)(int a[static Q 2])"])
                // Only pointers can be restrict.
                .filter(|place| {
                    plain != "restrict" || !(place.starts_with('Q') || place.starts_with("int Q"))
                })
        {
            let read = |word| {
                let declared = place.replace('Q', word);
                let spec =
                    parse(&format!("hash key u32 value 'struct v {{ {declared}; }}' entries 1"));
                format!("{:?}", spec.types)
            };
            for other in others {
                assert_eq!(read(other), read(plain), "{place} with {other}");
            }
            let alone = parse(&format!(
                "hash key u32 value 'struct v {{ {}; }}' entries 1",
                place.replace('Q', "")
            ));
            if !place.contains('[') || place.contains("(* Q") {
                assert_ne!(read(plain), format!("{:?}", alone.types), "{place} with {plain}");
            }
        }
    }
}

#[test]
fn flags_are_names_and_numbers() {
    for (text, bits) in [
        ("no_prealloc", 1),
        ("BPF_F_NO_PREALLOC|zero_seed", 65),
        ("rdonly_prog, mmapable", 128 + 1024),
        ("rdonly_prog ,mmapable", 128 + 1024),
        ("5", 5),
        ("0x11", 17),
        ("RDONLY,0x20", 8 + 32),
        (
            "wronly,stack_build_id,clone,preserve_elems,inner_map,link",
            16 + 32 + 512 + 2048 + 4096 + 8192,
        ),
    ] {
        let spec = parse(&format!("hash key 4 value 4 flags {text} entries 1"));
        assert_eq!(spec.flags, bits, "{text}");
        assert_eq!(spec.max_entries, Some(1), "{text}");
    }
    assert_eq!(parse("hash key 4 value 4 entries 1 flags numa_node=2").numa_node, Some(2));
    assert_eq!(parse("hash key 4 value 4 entries 1 numa_node 2").numa_node, Some(2));
}

#[test]
fn inner_maps_are_paths_ids_and_words() {
    let inner = |text: &str| parse(&format!("array_of_maps inner_map {text} entries 2")).inner;
    for text in ["/sys/fs/bpf/m", "pinned /sys/fs/bpf/m", "'/sys/fs/bpf/m'"] {
        assert!(
            matches!(inner(text), Some(Inner::Path(path)) if path == Path::new("/sys/fs/bpf/m")),
            "{text}"
        );
    }
    for text in ["id 12", "12", "id 0xc"] {
        assert!(matches!(inner(text), Some(Inner::Id(12))), "{text}");
    }
    match inner("{ hash key u32 value struct { u8 a[3]; } entries 5 }") {
        Some(Inner::Definition(spec)) => {
            assert_eq!((spec.kind, spec.max_entries), (1, Some(5)));
            assert_eq!(sizes(&spec), (Some(4), Some(3)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_map_is_the_one_of_the_words() {
    let (default, words) = (
        parse("type hash key u32 value u64 entries 1024"),
        parse("hash key u32 value u64 entries 1024"),
    );
    assert_eq!((default.kind, default.max_entries), (words.kind, words.max_entries));
    assert_eq!(sizes(&default), sizes(&words));
    assert!(default.btf().is_ok());
}

#[test]
fn a_program_can_be_pasted() {
    let spec = parse(
        r#"
        // SPDX-License-Identifier: GPL-2.0
        #include "vmlinux.h"
        #include <bpf/bpf_helpers.h>
        #define MAX_FLOWS (1 << 10)
        #define SLOTS 4 /* of them */
        #define PACKED __attribute__((packed))
        #define __uint(name, val) int (*name)[val]

        char LICENSE[] SEC("license") = "GPL";
        const volatile int limit = 3, other[2] = { 1, 2 };
        static __always_inline int helper(struct xdp_md *ctx, int n) { if (n) { return 1; } return 0; }
        extern int bpf_kfunc(void *p) __ksym;
        typedef struct flow flow_t;
        enum state { IDLE, BUSY = 1 << 3, DONE };
        struct flow {
            __be32 saddr, daddr;
            __u16 ports[SLOTS / 2];
            enum state state : 4;
            _Bool seen : 1;
            __u8 : 0;
            unsigned long long packets;
            char name[sizeof(struct in6_addr)];
        } PACKED;
        _Static_assert(sizeof(struct flow) == 37, "size");

        struct {
            __uint(type, BPF_MAP_TYPE_LRU_HASH);
            __uint(max_entries, MAX_FLOWS * 2);
            __type(key, __u32);
            __type(value, flow_t);
            __uint(pinning, LIBBPF_PIN_BY_NAME);
        } flows SEC(".maps");

        SEC("xdp")
        int prog(struct xdp_md *ctx)
        {
            struct flow *f = bpf_map_lookup_elem(&flows, &(__u32){ 0 });
            return f ? XDP_PASS : XDP_DROP;
        }
        "#,
    );
    assert_eq!((spec.kind, spec.max_entries), (9, Some(2048)));
    assert_eq!(sizes(&spec), (Some(4), Some(37)));
}

#[test]
fn the_model_of_inner_maps_is_no_second_map() {
    let spec = parse(
        "struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
                        __type(key, int); __type(value, int); } one SEC(\".maps\"), two SEC(\".maps\");
         struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 2); __type(key, int);
                  __array(values, struct inner); } outer SEC(\".maps\") = { .values = { &one, &two } };",
    );
    assert_eq!(spec.kind, 13);
    assert!(matches!(spec.inner, Some(Inner::Definition(inner)) if inner.kind == 2));
    assert!(spec.note.is_some_and(|note| note.contains("initial values")));
}

/// A map of this value type.
fn with(types: &str, value: &str) -> String {
    format!(
        "{types}\nstruct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, {value});
         __uint(max_entries, 1); }} m SEC(\".maps\");"
    )
}

#[test]
fn errors_name_the_word_and_what_would_be_right() {
    for (text, reason) in [
        ("hahs key 4 value 4 entries 1", "unknown kind of map `hahs`: did you mean `hash`?"),
        (
            "type nothing_known key 4",
            "unknown kind of map `nothing_known`: the kinds are hash, array",
        ),
        ("key 4 value 4 entries 1\n", "the kind of map is missing"),
        ("hash key 4 value 4 entrys 1", "unknown word `entrys`: did you mean `entries`?"),
        ("hash key 4\nvalue 4\nbogus 1 entries 3", "line 3: unknown word `bogus`"),
        ("hash array key 4 value 4", "unknown word `array`"),
        ("hash key 4 key 8 value 4 entries 1", "`key` is there twice"),
        ("hash value 4 entries 1", "a hash needs a key: `key SIZE` or `key TYPE`"),
        ("hash key 4 entries 1", "a hash needs a value"),
        ("hash key 4 value 4", "a hash needs a largest number of entries: `entries N`"),
        ("hash key 4 value 4 entries 0", "must have at least one"),
        ("hash key 0 value 4 entries 1", "must have at least one byte"),
        ("hash key 4 value 4 entries", "`entries` needs a number after it"),
        ("hash key 4 value 4 entries many", "`entries` needs a number after it, not `many`"),
        ("hash key 4 value 4 entries 4294967296", "is more than 4294967295"),
        ("hash key 4 value 4 entries -1", "needs a number after it, not `-1`"),
        (
            "hash key 4 value 4 entries 1 flags no_preallok",
            "unknown flag `no_preallok`: did you mean `no_prealloc`?",
        ),
        ("hash key 4 value 4 entries 1 flags xyzzy", "the flags are no_prealloc, no_common_lru"),
        ("hash key 4 value 4 entries 1 flags 0x100000000", "more than 32 bits"),
        ("hash key 4 value 4 entries 1 flags rdonly=3", "only numa_node takes a number"),
        ("hash key 4 value 4 entries 1 numa_node 1 flags numa_node=2", "two different NUMA nodes"),
        ("hash key 4 value 4 entries 1 name a-b", "`name a-b` must be 1 to 15 characters"),
        ("hash key 4 value 4 entries 1 name abcdefghijklmnop", "must be 1 to 15 characters"),
        (
            "hash key u33 value 4 entries 1",
            "in the type of the key: unknown type `u33`: did you mean `u32`?",
        ),
        ("hash key 'u32 x' value 4 entries 1", "expected a type alone, without the name `x`"),
        ("hash key 'struct foo' value 4 entries 1", "the key is of a type that is not defined"),
        ("hash key 4 value 'struct { int a; int a; }' entries 1", "the member `a` is there twice"),
        ("hash key 4 value 4 entries 1 inner_map id 3", "a hash holds no maps"),
        ("array_of_maps entries 1", "needs a map that its maps are like"),
        (
            "array_of_maps entries 1 inner_map { hash key 4 value 4 }",
            "in the inner map: a hash needs",
        ),
        (
            "array_of_maps entries 1 inner_map { array_of_maps entries 1 inner_map 3 }",
            "cannot hold maps themselves",
        ),
        ("array key 8 value 4 entries 1", "the key of an array is 8 bytes, but must be 4"),
        ("lpm_trie key 4 value 4 entries 1", "must be 5 to 260"),
        ("lpm_trie key 261 value 4 entries 1", "must be 5 to 260"),
        ("queue key 4 value 4 entries 1", "a queue has no key: leave it out"),
        ("ringbuf value 4 entries 4096", "a ringbuf has no value"),
        ("sk_storage value 4 entries 5", "has no largest number of entries"),
        ("stack_trace value 12 entries 1", "must be a multiple of 8"),
        ("struct_ops value 8", "`value 'struct bpf_struct_ops_"),
        ("struct_ops value 'struct other'", "must be a `struct bpf_struct_ops_"),
    ] {
        let error = refused(text);
        assert!(error.reason.contains(reason), "{text}\n{error}");
        // A line has a number only where there are several.
        let several = text.trim().contains('\n');
        assert_eq!(error.reason.starts_with("line "), several, "{text}\n{error}");
        assert!(!error.incomplete, "{text}");
    }
}

#[test]
fn errors_in_c_name_the_line() {
    let map = |body: &str| format!("\n\nstruct {{\n{body}\n}} m SEC(\".maps\");\n");
    for (text, reason) in [
        (
            map("__uint(type, BPF_MAP_TYPE_HAHS);"),
            "line 4: expected a constant number: no such constant",
        ),
        (map("__uint(max_entries, 4);"), "the map's kind is missing"),
        (
            map("__uint(type, 1); __uint(typo, 4);"),
            "line 4: a map has no `typo`: did you mean `type`?",
        ),
        (map("__uint(type, 1); __uint(type, 2);"), "line 4: `type` is set twice"),
        (map("__uint(type, 1); __type(max_entries, int);"), "write __uint(max_entries, NUMBER)"),
        (map("__uint(type, 1); __uint(key, 4);"), "write __type(key, TYPE)"),
        (
            map("__uint(type, 1); __uint(max_entries, -1);"),
            "`max_entries` is -1, but must be 0 to 4294967295",
        ),
        (map("__uint(type, 1); __uint(max_entries, 1ull << 32);"), "but must be 0 to 4294967295"),
        (map("__uint(type, 1); int x;"), "`x` is no part of a map"),
        (
            map("__uint(type, 1); __type(key, int); __uint(key_size, 8);"),
            "key_size is 8, but the type of the key has 4 bytes",
        ),
        (
            map("__uint(type, 12); __array(values, int);"),
            "`values` must be the definition of a map",
        ),
        (with("", "struct foo"), "the value is of a type that is not defined"),
        (with("", "foo"), "unknown type `foo`: its definition must come before the map"),
        (with("struct foo { int a; };", "foo"), "did you mean `struct foo`?"),
        (
            with("struct foo { struct bar b; };", "struct foo"),
            "the member `b` cannot be `struct bar`, which is not defined",
        ),
        (
            with("struct foo { int a; }; struct foo { int b; };", "struct foo"),
            "`struct foo` is defined twice",
        ),
        (with("union foo { int a; };", "struct foo"), "`foo` is the tag of an `union`"),
        (with("enum e { A, B, A };", "enum e"), "the constant `A` is defined twice"),
        (with("enum e { A = 1ull << 63, B = -1 };", "enum e"), "no integer of 64 bits"),
        (
            with("struct s { int a : 33; };", "struct s"),
            "a bit-field's width is 33, but must be 0 to 32",
        ),
        (with("struct s { int a : 0; };", "struct s"), "has no bits"),
        (with("struct s { float a : 3; };", "struct s"), "must be of an integer or enum type"),
        (with("struct s { int a[-1]; };", "struct s"), "an array's length is -1"),
        (with("struct s { int a[1 << 29][1 << 29]; };", "struct s"), "is too large"),
        (with("struct s { void f(int); };", "struct s"), "cannot be a function"),
        (with("struct s { int a __attribute__((aligned(3))); };", "struct s"), "power of two"),
        (
            with("struct s { int a __attribute__((vector_size(16))); };", "struct s"),
            "`vector_size` is not understood",
        ),
        (
            with("struct s { struct in_addr a; }; struct in_addr { __u64 q; };", "struct s"),
            "the member `a` cannot be `struct in_addr`, which is not defined",
        ),
        (with("typedef int t; typedef long t;", "t"), "the typedef `t` is defined twice"),
        (
            with("#define F(x) x\nstruct s { int a[F(3)]; };", "struct s"),
            "the macro `F` takes arguments",
        ),
        (with("#ifdef X\n#endif", "int"), "line 1: `#ifdef` is not worked out here"),
        (with("#pragma pack(1)", "int"), "`#pragma pack` is not understood"),
        (with("struct s { int a@; };", "struct s"), "`@` has no place in C here"),
        (with("struct s { unsigned float a; };", "struct s"), "`unsigned float` is no type"),
        ("struct bpf_map_def SEC(\"maps\") m = { .type = 1 };".to_owned(), "is libbpf's old form"),
        ("struct { __uint(type, 1); } m;".to_owned(), "write SEC(\".maps\") after its name"),
        (
            with("", "int") + &with("", "int").replace(" m SEC", " n SEC"),
            "two maps, `m` and `n`: write one at a time",
        ),
    ] {
        let error = refused(&text);
        assert!(error.reason.contains(reason), "{text}\n{error}");
        assert!(!error.incomplete, "{text}\n{error}");
    }
}

#[test]
fn text_that_breaks_off_is_incomplete_at_every_byte() {
    let c = r#"/* a map */
#define N 4
struct stats { __u64 packets; char name[N]; enum { A, B } e : 3; } __attribute__((packed));
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, struct stats); // the value
    __uint(max_entries, 1 << N);
} m SEC(".maps");"#;
    for end in 0..c.len() {
        let error = refused(&c[..end]);
        assert!(error.incomplete, "{}\n{error}", &c[..end]);
    }
    parse(c);
    for words in [
        "hash key u32 value 'struct { u32 a;",
        "hash key u32 value \"struct { u32 a; }",
        "hash key u32 value struct { u32 a; ",
        "hash key u32 value struct { u32 /* a; } entries 10 ",
        "array_of_maps inner_map { hash key 4 value 4",
        "",
        " \n",
        "str",
        "stru",
    ] {
        assert!(refused(words).incomplete, "{words}");
    }
    // A character that is cut in two may yet be whole.
    let cut = &"/* ä".as_bytes()[..4];
    assert!(Spec::parse(cut).is_err_and(|error| error.incomplete));
    assert!(Spec::parse(b"hash \xff key").is_err_and(|error| !error.incomplete));
}

#[test]
fn hostile_texts_are_refused_fast() {
    let deep = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    let mut macros = "#define A0\n".to_owned();
    for i in 1..39 {
        macros += &format!("#define A{i} A{} A{}\n", i - 1, i - 1);
    }
    let typedefs: String = (0..40_000)
        .map(|i| {
            format!(
                "typedef {} t{i};",
                if i == 0 { "struct s".into() } else { format!("t{}", i - 1) }
            )
        })
        .collect();
    let grown: String = (0..60)
        .map(|i| {
            format!(
                "struct g{i} {{ {} a, b; }};",
                if i == 0 { "int".into() } else { format!("struct g{}", i - 1) }
            )
        })
        .collect();
    let texts = [
        deep("struct { struct { ", "} a; } b;", 20_000),
        with(
            &format!("struct s {{ int a[{}1{}]; }};", "(".repeat(50_000), ")".repeat(50_000)),
            "struct s",
        ),
        with(&format!("struct s {{ int a[{} 1]; }};", "- ".repeat(50_000)), "struct s"),
        with(&format!("struct s {{ int a[{}2]; }};", "1 ? 1 : ".repeat(50_000)), "struct s"),
        with(&format!("struct s {{ int {}a; }};", "*".repeat(100_000)), "struct s"),
        with(
            &format!("struct s {{ int {}a{}; }};", "(".repeat(50_000), ")".repeat(50_000)),
            "struct s",
        ),
        with(&format!("struct s {{ int a{}; }};", "[1]".repeat(50_000)), "struct s"),
        with(&format!("int f{};", "(int g".repeat(50_000)), "int"),
        with(&format!("{} int x;", "__attribute__((".repeat(50_000)), "int"),
        with(&format!("typeof({} int x;", "typeof(".repeat(50_000)), "int"),
        format!("{macros}A38 struct {{ }} m;"),
        "#define A B\n#define B A\nstruct A m;".to_owned(),
        with(&format!("{typedefs} struct x {{ t39999 a; }};"), "struct x"),
        with(&grown, "struct g59"),
        with(
            &format!("enum e {{ {} }};", (0..70_000).map(|i| format!("E{i},")).collect::<String>()),
            "enum e",
        ),
        with(
            &format!(
                "struct s {{ {} }};",
                (0..70_000).map(|i| format!("char m{i};")).collect::<String>()
            ),
            "struct s",
        ),
        format!("array_of_maps inner_map {}", "{ array_of_maps inner_map ".repeat(30_000)),
        format!(
            "array_of_maps inner_map {}{}",
            "{ array_of_maps inner_map ".repeat(30_000),
            "}".repeat(30_000)
        ),
        format!("hash key u32 value {} entries 1", "[".repeat(500_000)),
        "x".repeat(2 << 20),
        "key ".repeat(200_000),
        format!("hash flags {}", "a,".repeat(400_000)),
        format!("hash key {}", "'".repeat(100_001)),
        format!("struct {} {{ int a; }};", "n".repeat(100_000)),
        format!("hash {}", "z".repeat(500_000)),
        with(&format!("struct s {{ int a[0x{}]; }};", "f".repeat(100_000)), "struct s"),
        "\"".to_owned() + &"\\".repeat(100_000),
        "struct { __uint(type, '".to_owned(),
        "struct { __uint(type, '\\x".to_owned() + &"f".repeat(1000) + "'",
    ];
    for text in texts {
        let error = refused(&text);
        let head: String = text.chars().take(60).collect();
        assert!(error.reason.len() < 1000, "{head}: {}", error.reason);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 3000, ..Default::default() })]

    /// Whatever is written, there is an answer.
    #[test]
    fn no_text_panics(parts in proptest::collection::vec(proptest::sample::select(PARTS.to_vec()), 0..30)) {
        let _ = Spec::parse(parts.concat().as_bytes());
        let _ = Spec::parse(parts.join(" ").as_bytes());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = Spec::parse(&bytes);
    }
}

const PARTS: [&str; 64] = [
    "struct",
    "union",
    "enum",
    "typedef",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    "*",
    ":",
    "=",
    "<<",
    "-",
    "?",
    "1",
    "0",
    "0x",
    "0xffffffffffffffff",
    "4294967296",
    "a",
    "b",
    "int",
    "unsigned",
    "long",
    "char",
    "float",
    "__u32",
    "u64",
    "const",
    "__attribute__((packed))",
    "__attribute__((aligned(",
    "__uint(",
    "__type(",
    "__array(",
    "type",
    "key",
    "value",
    "values",
    "max_entries",
    "flags",
    "SEC(\".maps\")",
    "#define a b\n",
    "#define b a a\n",
    "/*",
    "*/",
    "//",
    "\n",
    "\"",
    "'",
    "\\",
    "é",
    "hash",
    "array",
    "entries",
    "inner_map",
    "id",
    "numa_node=",
    "sizeof",
    "...",
    "in6_addr",
];

/// A text that defines a struct which headers have means its own, also where it is mentioned before.
#[test]
fn a_texts_own_struct_is_meant_before_its_definition() {
    for text in [
        "struct in_addr; typedef struct in_addr a_t; struct in_addr { __u64 q; };",
        "typedef struct in_addr a_t; struct in_addr { __u64 q; };",
        "struct n { struct in_addr *next; }; struct in_addr { __u64 q; }; typedef struct in_addr a_t;",
        "#define BODY { __u64 q; }\nstruct in_addr *p; struct __attribute__((packed)) in_addr BODY;
         typedef struct in_addr a_t;",
    ] {
        let spec = parse(&format!(
            "{text} struct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, a_t);
             __type(value, struct in_addr); __uint(max_entries, 1); }} m SEC(\".maps\");"
        ));
        assert_eq!(sizes(&spec), (Some(8), Some(8)), "{text}");
    }
    let spec = parse(
        "hash key 'struct { struct in_addr *p; struct in_addr { __u64 q; } a; }' value 4 entries 1",
    );
    assert_eq!(sizes(&spec), (Some(16), Some(4)));
    let spec = parse("hash key 'struct in_addr' value 4 entries 1");
    assert_eq!(sizes(&spec), (Some(4), Some(4)));
}

//! Maps made by writing a SPEC (`docs/reference.md` has both forms), and `.schema`, which is one.

use crate::common::kernel::lacks_map;
use crate::common::require::require;
use crate::common::{Bed, eventually, key32};
use bpffuse::sys::map::kind::by_name;
use serde_json::{Map, Value};

/// `.info` without what differs between two maps that are alike.
fn likeness(bed: &Bed, name: &str) -> Map<String, Value> {
    let text = bed.ok(&format!("cat mnt/{name}/.info"));
    let info: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let Value::Object(mut info) = info else { panic!("{text}") };
    for own in ["id", "name", "pins", "btf_id", "memlock"] {
        info.shift_remove(own);
    }
    info
}

fn reason(bed: &Bed) -> String {
    bed.ok("tail -n 1 mnt/.errors")
}

/// NAME is a file until the write, then the map: what sets its mode while it is open still sets
/// the map's.
#[test]
fn a_spec_file_is_copied_with_its_mode() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo 'hash key 4 value 8 entries 10' > spec; chmod 640 spec; cp spec moved");
    bed.ok("cp -p spec mnt/copied; install -m 604 spec mnt/installed; mv moved mnt/moved");
    bed.ok("test ! -e moved");
    assert_eq!(bed.ok("stat -c %a bpf/copied bpf/installed bpf/moved"), "640\n604\n640\n");
    assert_eq!(bed.ok("jq -r .type mnt/*/.info | uniq -c | xargs"), "3 hash\n");
}

/// `echo SPEC > DIR/NAME`: a map by SPEC, then `.info` of both equal but for id, name and pins.
#[test]
fn a_schema_makes_the_same_map_of_every_kind() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    bed.ok("echo 'hash key 4 value 4 entries 8' > mnt/inner");
    for (kind, rest) in [
        ("hash", "key 4 value 8 entries 10"),
        ("hash", "key u32 value 'struct { __u64 packets; __u64 bytes; }' entries 10"),
        ("array", "key u32 value u64 entries 10 flags mmapable"),
        ("prog_array", "key 4 value 4 entries 3"),
        ("perf_event_array", "key 4 value 4 entries 2"),
        ("percpu_hash", "key u32 value u64 entries 10 flags no_prealloc"),
        ("percpu_array", "key u32 value u64 entries 10"),
        ("stack_trace", "key 4 value 80 entries 10"),
        ("cgroup_array", "key 4 value 4 entries 2"),
        ("lru_hash", "key u64 value u64 entries 10"),
        ("lru_percpu_hash", "key u64 value u64 entries 10"),
        ("lpm_trie", "key 8 value 4 entries 10"),
        ("array_of_maps", "key 4 value 4 entries 2 inner_map bpf/inner"),
        ("hash_of_maps", "key 4 value 4 entries 2 inner_map bpf/inner"),
        ("devmap", "key 4 value 4 entries 2"),
        ("sockmap", "key 4 value 8 entries 2"),
        ("cpumap", "key 4 value 4 entries 2"),
        ("xskmap", "key 4 value 4 entries 2"),
        ("sockhash", "key 4 value 8 entries 2"),
        ("reuseport_sockarray", "key 4 value 8 entries 2"),
        ("array_of_maps", "entries 2 inner_map { lpm_trie key 8 value u64 entries 7 }"),
        ("queue", "value u32 entries 4"),
        ("stack", "value u32 entries 4"),
        ("sk_storage", "key 4 value u64"),
        ("devmap_hash", "key 4 value 4 entries 2"),
        ("ringbuf", "entries 4096"),
        ("inode_storage", "key 4 value u64"),
        ("task_storage", "key 4 value u64"),
        ("bloom_filter", "value u32 entries 4 map_extra 3"),
        ("user_ringbuf", "entries 4096"),
        ("cgrp_storage", "key 4 value u64"),
        ("arena", "entries 2"),
    ] {
        if lacks_map(by_name(kind).unwrap()) {
            continue;
        }
        // The inner map's path is seen from the daemon.
        let spec = format!("{kind} {rest}").replace("bpf/", &format!("{}/", bed.bpf.display()));
        bed.ok(&format!("cat > mnt/a <<'END'\n{spec}\nEND"));
        let shown = likeness(&bed, "a");
        assert_eq!(shown["type"], kind, "{spec}");
        let id = bed.ok("jq .id mnt/a/.info");
        bed.ok("cat mnt/a/.schema > mnt/b");
        assert_eq!(shown, likeness(&bed, "b"), "{spec}:\n{}", bed.read("a/.schema"));
        assert_ne!(id, bed.ok("jq .id mnt/b/.info"), "one map under two names: {spec}");
        // Here, since the kernel would keep the directories of what another program removes for a moment.
        bed.ok("rmdir mnt/a mnt/b");
        eventually("the names are free", || !bed.at("a").exists() && !bed.at("b").exists());
    }
}

/// Then the map is created with BTF, so every tool prints it typed
#[test]
fn types_reach_every_tool() {
    require!("root", "bpf", "fuse", "bpftool", "jq");
    let bed = Bed::new();
    bed.ok("cat > mnt/stats <<'END'
struct flow { __u32 saddr; __u16 dport; };
enum verdict { PASS, DROP = 7 };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow);
	__type(value, enum verdict);
	__uint(max_entries, 100);
} anything SEC(\".maps\");
END
echo DROP > mnt/stats/saddr=1,dport=80");
    assert_eq!(
        bed.ok("bpftool -j map dump pinned bpf/stats | jq -c '.[].formatted'"),
        "{\"key\":{\"saddr\":1,\"dport\":80},\"value\":\"DROP\"}\n"
    );
}

/// Kinds that take no BTF are made without, whatever types are asked for, and `.info` says so.
#[test]
fn info_says_that_a_kind_takes_no_btf() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    bed.ok(
        "echo 'queue value u32 entries 4' > mnt/q; echo 'hash key u32 value u32 entries 4' > mnt/h",
    );
    let unused = bed.ok("jq -r .btf_unused mnt/q/.info mnt/h/.info");
    assert_eq!(unused, "the kernel takes no BTF for this kind of map\nnull\n");
}

/// "where the kernel takes none (queues, stacks), this mount alone knows them".
#[test]
fn types_that_the_kernel_does_not_take_are_known_here() {
    require!("root", "bpf", "fuse", "jq");
    let mut bed = Bed::new();
    bed.ok("echo \"queue value 'struct { u32 id; ipv4_t from; }' entries 4\" > mnt/q
         echo '{\"id\":7,\"from\":\"10.0.0.1\"}' > mnt/q/.push");
    let typed = "{\"id\":7,\"from\":\"10.0.0.1\"}\n";
    assert_eq!(bed.ok("cat mnt/q/head; jq -r .types mnt/q/.info"), format!("{typed}.type\n"));
    // What the text says of no type has none, and so does what has no types at all.
    bed.ok("echo 'stack value 4 entries 4' > mnt/s; echo 'devmap value u32 entries 4' > mnt/d");
    assert_eq!(bed.ok("cat mnt/[sd]/.info | jq -r .types"), "sizes\nsizes\n");
    // `.schema` makes one like it, and `btf` takes the types back.
    assert_eq!(
        bed.ok("cat mnt/q/.schema > mnt/r; echo '{\"id\":1}' > mnt/r/.push; cat mnt/r/head"),
        "{\"id\":1,\"from\":\"0.0.0.0\"}\n"
    );
    bed.ok("echo btf > mnt/q/.type");
    assert_eq!(bed.ok("cat mnt/q/head"), "72057636987600903\n");
    bed.stop();
    bed.start(&[]);
    assert_eq!(bed.ok("jq -r .types mnt/r/.info"), "sizes\n");
}

/// An unknown word, type or flag is EINVAL and creates nothing, each with its line in `/.errors`.
#[test]
fn what_is_no_spec_creates_nothing() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (spec, names) in [
        ("nonsense", "nonsense"),
        ("hash key 4 value 4 entries 1 colour red", "colour"),
        ("hash key u33 value 4 entries 1", "u33"),
        ("hash key 4 value 4 entries 1 flags shiny", "shiny"),
        ("hash key 4 value 4", "entries"),
        ("array key 8 value 4 entries 1", "key"),
        ("hash key 4 value 4 entries 1 entries 2", "entries"),
        ("hash key 4 value 4 entries 99999999999", "99999999999"),
    ] {
        let error = bed.fails(&format!("echo '{spec}' > mnt/new"));
        assert!(error.contains("Invalid argument"), "{spec}: {error}");
        let line = reason(&bed);
        assert!(line.contains(" EINVAL: ") && line.contains(names), "{spec}: {line}");
        bed.fails("test -e bpf/new");
    }
    // Nothing but the name, as touch(1) has it, is no map either.
    bed.fails("touch mnt/new");
    assert!(reason(&bed).contains("EINVAL"), "{}", reason(&bed));
    assert!(bed.fails("echo 'hash key 4 value 4 entries 1' > mnt/a.b").contains("not permitted"));
    assert_eq!(bed.ok("ls bpf | grep -v debug || true"), "");
}

/// A SPEC may come in pieces, and one that breaks off creates nothing.
#[test]
fn a_spec_in_pieces() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("{ printf 'struct s { __u32 a; '; sleep 0.1; printf '__u32 b; };\\nstruct { __uint(type, '; \
            printf 'BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, struct s); '; \
            printf '__uint(max_entries, 5); } m SEC(\".maps\");\\n'; } > mnt/pieces; \
            echo '{\"b\":2}' > mnt/pieces/1");
    assert_eq!(bed.read("pieces/1"), "{\"a\":0,\"b\":2}\n");
    bed.ok("python3 - <<'END'
import errno, os
fd = os.open('mnt/cut', os.O_WRONLY | os.O_CREAT)
os.write(fd, b'struct { __uint(type, ')
try:
    os.close(fd)
except OSError as error:
    assert error.errno == errno.EINVAL, error
else:
    raise SystemExit('close did not complain')
END");
    bed.fails("test -e bpf/cut");
}

/// `cat a/.schema > b && cat a/.entries > b/.entries` copies a map
#[test]
fn a_map_is_copied_by_two_files() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    bed.ok("echo \"percpu_hash key u32 value 'struct { __u64 hits; char name[8]; }' entries 50\" > mnt/a
            for i in 1 2 3; do echo \"{\\\"hits\\\":$i,\\\"name\\\":\\\"n$i\\\"}\" > mnt/a/$i; done
            cat mnt/a/.schema > mnt/b && cat mnt/a/.entries > mnt/b/.entries
            diff -r mnt/a mnt/b");
    assert_eq!(bed.ok("cat mnt/b/.count"), "3\n");
}

/// The inner map of a SPEC may be named by a path of this mount, which the daemon must not open as
/// others do: with one thread, it would wait for itself.
#[test]
fn an_inner_map_by_its_path_in_the_mount() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::with(&["--threads", "1"]);
    bed.ok("echo 'hash key 4 value 4 entries 8' > mnt/inner");
    let id = bed.ok("jq .id mnt/inner/.info").trim().to_owned();
    for (n, inner) in
        [bed.shown("mnt/inner"), bed.shown("bpf/inner"), "inner".to_owned(), format!("id {id}")]
            .iter()
            .enumerate()
    {
        bed.ok(&format!(
            "echo 'hash_of_maps key 4 value 4 entries 2 inner_map {inner}' > mnt/o{n}
             ln -s ../inner mnt/o{n}/1; test $(cat mnt/o{n}/1/.count) = 0"
        ));
    }
    for (n, inner) in ["absent", "/etc/passwd", "id 4294967295"].iter().enumerate() {
        bed.fails(&format!(
            "echo 'hash_of_maps key 4 value 4 entries 2 inner_map {inner}' > mnt/bad{n}"
        ));
        assert!(reason(&bed).contains("inner_map: "), "{}", reason(&bed));
    }
}

/// `id N`, `prog id N`, `link id N` pin what is loaded already; `directory` makes a plain one.
#[test]
fn pins_by_id() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "jq", "setpriv");
    let bed = Bed::with(&["-o", "allow_other"]);
    let map = bed.hash("h");
    map.set(&key32(1), &7_u64.to_ne_bytes());
    bed.ok("echo directory > mnt/dir; echo id $(jq .id mnt/h/.info) > mnt/dir/again; cat mnt/dir/again/1");
    assert_eq!(
        bed.ok("jq -c .pins mnt/h/.info | tr , '\n' | wc -l; stat -c %F bpf/dir"),
        "2\ndirectory\n"
    );
    let object = crate::common::object::compile("links");
    bed.ok(&format!("bpftool prog loadall {} bpf/progs", object.display()));
    bed.ok("p=$(ls mnt/progs | head -n 1); echo prog id $(jq .id mnt/progs/$p) > mnt/dir/prog; jq .id mnt/dir/prog");
    for (text, errno) in [
        ("id 4294967295", "No such file"),
        ("prog id 4294967295", "No such file"),
        ("link id 4294967295", "No such file"),
        ("id x", "Invalid argument"),
        ("directory x", "Invalid argument"),
    ] {
        bed.fails_with(&format!("echo {text} > mnt/dir/not"), errno);
    }
    bed.ok("chmod 1777 bpf");
    bed.fails_with(
        "setpriv --reuid=1111 --regid=1111 --clear-groups -- sh -c 'echo directory > mnt/mine'",
        "ermi",
    );
    assert_eq!(bed.ok("ls mnt/dir"), "again\nprog\n");
}

/// A value, or a word of another tool's, is answered with what a new name can become.
#[test]
fn what_a_new_name_can_become() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (text, reasons) in [
        ("5", &["no map of this name", "hash key u32 value u64"][..]),
        ("-7", &["no map of this name"]),
        ("{\"a\":1}", &["no map of this name"]),
        ("nonsense", &["no map of this name", "the kinds are"]),
        ("hash key 4 value 8 max_entries 5", &["did you mean `entries`?"]),
        ("hash key u32 value u64 max_entries 5", &["did you mean `entries`?"]),
        ("hash key u32 value struct { u64 a; } entrys 5", &["did you mean `entries`?"]),
        ("hash key u32 valu u64 entries 5", &["did you mean `value`?"]),
        // What a variable that is not set leaves of `id $ID`: no shell tells of an error at close.
        ("id", &["`id` needs a number after it"]),
        ("prog id ", &["`id` needs a number after it"]),
        ("link id", &["`id` needs a number after it"]),
        ("hash key_size 4 value 8 entries 5", &["did you mean `key`?"]),
        ("hahs key 4 value 8 entries 5", &["did you mean `hash`?"]),
    ] {
        bed.fails_with(&format!("echo '{text}' > mnt/new"), "Invalid argument");
        let line = bed.errors().pop().unwrap_or_default();
        assert!(reasons.iter().all(|reason| line.contains(reason)), "{text}: {line}");
    }
    assert_eq!(bed.ok("ls -I '*.debug' bpf"), "");
}

/// Words that come in pieces are not taken before their end: `entries 10` may go on.
#[test]
fn words_in_pieces() {
    require!("root", "bpf", "fuse", "python3", "jq");
    let bed = Bed::new();
    bed.python(
        "
        fd = os.open('mnt/new', os.O_CREAT | os.O_WRONLY, 0o600)
        for piece in b'hash key 4 value 8 entries 10', b'24':
            os.write(fd, piece)
        os.close(fd)",
    );
    assert_eq!(bed.ok("jq .max_entries mnt/new/.info"), "1024\n");
}

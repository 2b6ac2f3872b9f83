//! Views of parts of a value: `.field`, `.cpu` and `.sum`; and removing a map that a program uses.

use crate::common::kernel::lacks_taking;
use crate::common::object;
use crate::common::require::require;
use crate::common::{Bed, eventually};

const STATS: &str =
    "value 'struct { __u64 packets; struct { __u32 a; __u8 b[3]; } in; }' entries 8";

/// `.field/KEY/a/b`: one member of a struct, union, array or variable, as a file; nested ones as
/// directories, changes only that member.
#[test]
fn members_are_files() {
    require!("root", "bpf", "fuse", "bpftool", "find", "jq");
    let bed = Bed::new();
    bed.ok(&format!(
        "echo \"hash key u32 {STATS}\" > mnt/s
        echo '{{\"packets\":5,\"in\":{{\"a\":7,\"b\":[1,2,3]}}}}' > mnt/s/9"
    ));
    assert_eq!(
        bed.ok("cd mnt/s/.field; find . -type f | sort"),
        "./9/in/a\n./9/in/b/0\n./9/in/b/1\n./9/in/b/2\n./9/packets\n"
    );
    assert_eq!(bed.ok("cat mnt/s/.field/9/packets mnt/s/.field/9/in/b/2"), "5\n3\n");
    bed.ok("echo 0x2a > mnt/s/.field/9/in/b/1; echo 6 > mnt/s/.field/9/packets");
    assert_eq!(
        bed.ok("bpftool -j map dump pinned bpf/s | jq -c '.[0].formatted.value'"),
        "{\"packets\":6,\"in\":{\"a\":7,\"b\":[1,42,3]}}\n"
    );
    // A refused member changes nothing, and what is a part is neither made nor deleted alone.
    let error = bed.fails("echo 256 > mnt/s/.field/9/in/b/1");
    assert!(error.contains("out of range"), "{error}");
    assert_eq!(bed.read("s/9"), "{\"packets\":6,\"in\":{\"a\":7,\"b\":[1,42,3]}}\n");
    bed.fails("cat mnt/s/.field/9/nothing");
    for absent in ["nothing", "in/b/3"] {
        let error = bed.fails(&format!("echo 1 > mnt/s/.field/9/{absent}"));
        assert!(error.contains("No such file"), "{error}");
    }
    bed.fails("rm mnt/s/.field/9/packets");
    bed.fails("rmdir mnt/s/.field/9");
    bed.fails("cat mnt/s/.field/10/packets");
    assert_eq!(bed.ok("ls mnt/s"), "9\n");
}

/// A union's member changes its own bytes, and those of the larger member beyond it stay.
#[test]
fn a_union_s_member_leaves_the_rest() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo \"hash key u32 value 'struct { union { __u8 small; __u8 bytes[4]; } u; }' entries 8\" > mnt/s
        echo '{\"u\":{\"bytes\":[1,2,3,4]}}' > mnt/s/1
        echo 9 > mnt/s/.field/1/u/small");
    assert_eq!(bed.read("s/1"), "{\"u\":{\"bytes\":[9,2,3,4]}}\n");
    // The value written as a whole: the member named is all that the union has.
    bed.ok("echo '{\"u\":{\"small\":7}}' > mnt/s/1");
    assert_eq!(bed.read("s/1"), "{\"u\":{\"bytes\":[7,0,0,0]}}\n");
}

/// `.field` of a variable in `.data` likewise
#[test]
fn variables_are_files() {
    require!("root", "bpf", "fuse", "clang", "bpftool");
    let bed = Bed::new();
    let source = bed.dir.join("globals.bpf.c");
    std::fs::write(
        &source,
        "int level = 3;\nunsigned char gains[2] = {4, 5};\n\
         __attribute__((section(\"socket\"), used)) int prog(void *ctx) { return level + gains[1]; }\n\
         __attribute__((section(\"license\"), used)) char _license[] = \"GPL\";\n",
    )
    .expect("written");
    bed.ok("clang -target bpf -g -O2 -c globals.bpf.c -o globals.bpf.o
            bpftool prog loadall globals.bpf.o bpf/progs pinmaps bpf/maps");
    let data = bed.ok("ls mnt/maps | grep data").trim().to_owned();
    bed.ok(&format!(
        "echo 8 > mnt/maps/{data}/.field/0/level; echo 9 > mnt/maps/{data}/.field/0/gains/1"
    ));
    let shown = bed.read(&format!("maps/{data}/0"));
    assert!(shown.contains("\"level\":8") && shown.contains("[4,9]"), "{shown}");
}

/// "`.pop` lists nothing, so that `cat .pop/*` takes nothing."
#[test]
fn nothing_is_taken_by_who_takes_all() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo 'hash key u32 value u32 entries 4' > mnt/h; echo 5 > mnt/h/1; echo 6 > mnt/h/2");
    assert_eq!(bed.ok("ls -A mnt/h/.pop"), "");
    bed.fails("cat mnt/h/.pop/*");
    assert_eq!(bed.ok("cat mnt/h/.count"), "2\n");
    if !lacks_taking(&bed.open("h")) {
        assert_eq!(bed.ok("cat mnt/h/.pop/2"), "6\n");
    }
}

/// `.cpu/N/KEY`: one CPU's value, "that CPU's alone"; `.sum/KEY`: numbers added up over the
/// CPUs, member by member.
#[test]
fn cpus_apart_and_together() {
    require!("root", "bpf", "fuse", "jq");
    let bed = Bed::new();
    bed.ok(&format!(
        "echo \"percpu_hash key u32 {STATS}\" > mnt/s
        echo '{{\"packets\":1,\"in\":{{\"a\":4294967295,\"b\":[250,0,0]}}}}' > mnt/s/1"
    ));
    let cpus: u64 = bed.ok("ls mnt/s/.cpu | wc -l").trim().parse().expect("a number");
    assert_eq!(bed.read("s/1").lines().count() as u64, cpus);
    bed.ok("echo '{\"packets\":100}' > mnt/s/.cpu/0/1");
    assert_eq!(bed.ok("head -n 1 mnt/s/1 | jq .packets"), "100\n");
    // Wider than the members themselves.
    let sum = format!(
        "{{\"packets\":{},\"in\":{{\"a\":{},\"b\":[{},0,0]}}}}\n",
        99 + cpus,
        4_294_967_295 * cpus,
        250 * cpus
    );
    assert_eq!(bed.read("s/.sum/1"), sum);
    let error = bed.fails("echo 1 > mnt/s/.sum/1");
    assert!(error.contains("ermission denied"), "{error}");
    // One line of a new element through one CPU leaves the others zero.
    bed.ok("echo '{\"packets\":7}' > mnt/s/.cpu/0/2");
    assert_eq!(bed.ok("jq .packets mnt/s/.sum/2"), "7\n");
    bed.fails(&format!("ls mnt/s/.cpu/{cpus}"));
    bed.ok("echo 'hash key 4 value 4 entries 1' > mnt/plain");
    bed.fails("ls mnt/plain/.cpu");
    bed.fails("ls mnt/plain/.sum");
    bed.ok("echo 'array value 4 entries 1' > mnt/list");
    bed.fails("ls mnt/list/.cpu");
    let reason = bed.ok("tail -n 1 mnt/.errors");
    assert!(reason.contains("an array has no value per CPU"), "{reason}");
}

/// What `.pop` took is its reader's, even if the reader asks for the size first, as cat does, and is
/// slow about it: the attributes that came with the name have expired by then.
#[test]
fn what_was_popped_is_not_lost() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.ok("mkdir mnt/h; echo 42 > mnt/h/1");
    if lacks_taking(&bed.open("h")) {
        return;
    }
    let text = bed.python(
        "
        import time
        taken = os.open('mnt/h/.pop/1', os.O_RDONLY)
        time.sleep(0.1)
        os.fstat(taken)
        print(os.read(taken, 100))
        print(errno_of(os.stat, 'mnt/h/.pop/1'))",
    );
    assert_eq!(text, "b'42\\n'\nENOENT\n");
}

/// Unpinning a map that a program uses: the pin goes, the program keeps its map.
#[test]
fn a_map_in_use_is_unpinned() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "jq");
    let bed = Bed::new();
    let links = object::compile("links");
    bed.ok(&format!("bpftool prog loadall {} bpf/progs pinmaps bpf/maps", links.display()));
    let id = bed.ok("jq .id mnt/maps/calls/.info").trim().to_owned();
    bed.ok("rmdir mnt/maps/calls");
    bed.fails("test -e bpf/maps/calls");
    bed.ok(&format!("sleep 1.2; bpftool map show id {id}; jq -e '.map_ids == [{id}]' mnt/progs/*"));
    // The program was the last to hold it, but for those who look at all maps of the machine just now.
    bed.ok("rm mnt/progs/count_switches");
    eventually("the map is gone", || {
        !bed.run(&format!("bpftool map show id {id}")).status.success()
    });
}

//! "Sizes and copies": whatever reads a file gets the whole text of one moment, or an error; never
//! nothing, a part or padding.

use crate::common::require::require;
use crate::common::{Bed, Kind, host_order, key32};
use crate::kinds_common::Programs;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A function `each FILE`, which reads a file in every way and fails where one differs from cat(1),
/// or the size does.
const EACH: &str = r#"
cat > copy.js <<'END'
const [from, to] = process.argv.slice(2); require("fs").copyFileSync(from, to);
END
each() {
    want=$(cat "$1" | md5sum) || return
    same() { [ "$(md5sum)" = "$want" ] || { echo "$1: $2"; return 1; }; }
    [ "$(cat "$1" | wc -c)" = "$(stat -c %s "$1")" ] || { echo "$1: stat says $(stat -c %s "$1")"; return 1; }
    cat "$1" | same "$1" cat || return
    busybox cat "$1" | same "$1" 'busybox cat' || return
    rm -rf out; mkdir out
    cp "$1" out/a && same "$1" cp < out/a || return
    busybox cp "$1" out/b && same "$1" 'busybox cp' < out/b || return
    python3 -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$1" out/c && same "$1" shutil < out/c || return
    timeout 20 node copy.js "$1" out/d && same "$1" node < out/d || return
    tar cf out/tar "$1" && tar xOf out/tar | same "$1" tar || return
    rsync -a "$1" out/e && same "$1" rsync < out/e || return
    zip -q out/zip "$1" && unzip -p out/zip | same "$1" zip || return
    dd if="$1" bs=7 status=none | same "$1" dd || return
    tail -c +1 "$1" | same "$1" tail || return
    busybox dd if="$1" bs=64k 2> said | same "$1" 'busybox dd' || { cat said; return 1; }
    git -c core.bigFileThreshold=1 hash-object "$1" > out/f || return
    [ "$(cat "$1" | git hash-object --stdin)" = "$(cat out/f)" ] || { echo "$1: git"; return 1; }
}
"#;

/// Each finite text of at most 4 MiB has its exact size at stat, and every program copies it whole.
#[test]
fn every_program_copies_the_whole_text() {
    require!("root", "bpf", "fuse", "clang", "bpftool", "python3", "tar", "rsync", "git");
    let bed = Bed::new();
    bed.load("maps");
    bed.ok(r#"cd mnt; echo 42 > hash_u64/1; echo 7 > phash_u64/1
        echo '{"packets":1,"bytes":2}' > hash_stats/7; echo eth0 > v_text/9"#);
    let big = bed.map("big", Kind::Array, 4, 100_000, 1);
    big.set(&key32(0), &[7; 100_000]);
    bed.map("many", Kind::Hash, 4, 8, 30_000).fill32(30_000, &[1; 8]);
    bed.ok("echo queue value 8 entries 8 > mnt/q; echo 5 > mnt/q/.push");
    let files = [
        "hash_u64/1",
        "phash_u64/1",
        "hash_stats/7",
        "v_text/9",
        "big/0",
        "q/head",
        "hash_u64/.raw/01000000",
        "hash_stats/.field/7/packets",
        "phash_u64/.cpu/0/1",
        "phash_u64/.sum/1",
        "hash_u64/.type",
        "hash_stats/.type",
        "hash_stats/.metrics",
        "hash_u64/.schema",
        "hash_stats/.schema",
        "hash_u64/.entries",
        "many/.entries",
        "hash_u64/.count",
        "many/.count",
        "hash_u64/.freeze",
        "hash_u64/.help",
        ".help",
        ".id/.help",
        "hash_u64/.field/.help",
        ".errors",
    ];
    for file in files {
        bed.ok(&format!("{EACH}\neach mnt/{file}"));
    }
    // What a program's look at it changes: one reading's size and text are of one moment.
    for file in ["hash_u64/.info", ".maps", ".maps.json", ".metrics"] {
        bed.ok(&format!(
            "for i in 1 2 3; do
                busybox cat mnt/{file} > a; [ -s a ]; cp mnt/{file} b; [ -s b ]
                tar cf c mnt/{file} && tar xOf c > d; [ -s d ] && [ $(tail -c 1 d | xxd -p) = 0a ]
            done"
        ));
    }
}

/// A long `.entries` has an upper bound as its size, and what reads to the end has all of it.
#[test]
fn a_long_text_is_never_cut_in_silence() {
    require!("root", "bpf", "fuse", "tar", "rsync", "python3");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 8, 300_000).fill32(200_000, &[1; 8]);
    bed.ok("cat mnt/h/.entries > all; [ $(wc -l < all) = 200000 ]
        [ $(stat -c %s mnt/h/.entries) -ge $(stat -c %s all) ]
        busybox cat mnt/h/.entries | cmp - all; cp mnt/h/.entries b; cmp b all
        busybox cp mnt/h/.entries c; cmp c all; dd if=mnt/h/.entries bs=64k status=none | cmp - all
        python3 -c 'import shutil; shutil.copyfile(\"mnt/h/.entries\", \"d\")'; cmp d all");
    bed.fails("tar cf t mnt/h/.entries");
    bed.fails("rsync mnt/h/.entries e");
}

/// Runs `act` while another program changes element 1 of the map `h` between 9 and 123456789.
fn beside_a_program(bed: &Bed, act: impl FnOnce()) {
    let (map, stop) = (bed.open("h"), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in [9_u64, 123_456_789].into_iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                map.set(&key32(1), &n.to_ne_bytes());
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}

/// Fails unless `script`, which writes values to `out`, wrote whole ones alone.
#[track_caller]
fn whole_ones(bed: &Bed, script: &str) {
    bed.ok(&format!("{script}\n[ -s out ]"));
    let out = fs::read_to_string(bed.dir.join("out")).unwrap();
    let odd: Vec<_> = out.lines().filter(|line| !["9", "123456789"].contains(line)).collect();
    assert!(odd.is_empty() && out.len() > 50, "{script}: {odd:?} of {}", out.lines().count());
}

/// On keys under a writer each read is one of the values written.
#[test]
fn copies_beside_a_program_are_whole() {
    require!("root", "bpf", "fuse", "python3", "tar", "rsync");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &9_u64.to_ne_bytes());
    beside_a_program(&bed, || {
        for script in [
            "for i in $(seq 200); do busybox cat mnt/h/1; done > out",
            "for i in $(seq 100); do cp mnt/h/1 mnt/h/2; cat mnt/h/2; done > out",
            "for i in $(seq 100); do cat mnt/h/1 > mnt/h/3; cat mnt/h/3; done > out",
            "for i in $(seq 100); do busybox cp mnt/h/1 copy; cat copy; done > out",
            "for i in $(seq 50); do tar c mnt/h/1 | tar xO; done > out",
            "for i in $(seq 20); do rm -f copy; rsync mnt/h/1 copy; cat copy; done > out",
            "cat > all.js <<'END'
             const fs = require('fs');
             for (let i = 0; i < 200; i++) {
                fs.copyFileSync('mnt/h/1', 'copy'); process.stdout.write(fs.readFileSync('copy'));
                process.stdout.write(fs.readFileSync('mnt/h/1'));
             }
END
             timeout 60 node all.js > out",
        ] {
            whole_ones(&bed, script);
        }
        let out = bed.python(
            "
            import shutil
            for n in range(300):
                shutil.copyfile('mnt/h/1', 'copy')
                print(open('copy').read(), end='')
            ",
        );
        assert_eq!(out.lines().filter(|line| ["9", "123456789"].contains(line)).count(), 300);
    });
}

/// copy_file_range(2) is refused as such, with the errno upon which every program reads: newer kernels
/// make EIO of one that is refused where it would read the page cache.
#[test]
fn copies_in_the_kernel_are_refused_first() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::with(&["-vv"]);
    bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
    let said = bed.python(
        "
        import errno
        src, dst = os.open('mnt/h/1', os.O_RDONLY), os.open('mnt/h/2', os.O_WRONLY | os.O_CREAT)
        for n in range(2):
            print(errno_of(os.copy_file_range, src, dst, 100))
        ",
    );
    assert_eq!(said, "EINVAL\nEINVAL\n");
    bed.ok("cat mnt/h/1 > mnt/h/3; cp mnt/h/1 mnt/h/4");
    assert_eq!(bed.ok("cat mnt/h/[34]"), "42\n".repeat(2));
    let log = bed.log();
    assert!(log.contains("/h/1: copy_file_range is refused"), "{log}");
    assert!(!log.contains("a read through the page cache"), "{log}");
    // busybox copies by sendfile(2), which before Linux 6.5 is a read like any other.
    bed.ok("busybox cp mnt/h/1 mnt/h/5; cmp mnt/h/1 mnt/h/5");
}

/// A program that writes the same value through the mount again and again does not make the file look
/// empty to others (O_TRUNC), nor does one that deletes it and makes it anew.
#[test]
fn a_writer_empties_nothing() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
    bed.ok("(while [ ! -e stop ]; do echo 42 > mnt/h/1; done) & writer=$!
        for i in $(seq 400); do busybox cat mnt/h/1; done | sort | uniq -c > out
        touch stop; wait $writer");
    assert_eq!(bed.ok("cat out").split_whitespace().collect::<Vec<_>>(), ["400", "42"]);
    bed.ok("rm stop; (while [ ! -e stop ]; do rm mnt/h/1; echo 42 > mnt/h/1; done) & writer=$!
        for i in $(seq 300); do busybox cat mnt/h/1 > one 2> why && { [ -s one ] && cat one || echo empty; }; done |
            sort -u > out
        touch stop; wait $writer");
    assert_eq!(bed.ok("cat out"), "42\n");
}

/// What an open file has is not empty to sendfile(2) because its element is gone.
#[test]
fn a_deleted_element_is_not_empty() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
    let said = bed.python(
        "
        import time
        fd = os.open('mnt/h/1', os.O_RDONLY)
        os.unlink('mnt/h/1')
        while os.fstat(fd).st_nlink: time.sleep(0.01)
        refusal = errno_of(os.sendfile, os.open('copy', os.O_WRONLY | os.O_CREAT), fd, 0, 100)
        print(refusal in ('EINVAL', 'EIO') or open('copy').read() == '42\\n')
        print(os.read(fd, 100).decode(), end='')
        ",
    );
    assert_eq!(said, "True\n42\n");
}

/// `busybox cat .pop` gives the element that it takes.
#[test]
fn what_is_taken_is_not_lost() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.ok("echo queue value 8 entries 8 > mnt/q");
    bed.hash("h");
    for take in ["busybox cat", "cat", "busybox cp -f", "cp"] {
        let to = if take.contains("cp") { "out && cat out" } else { "" };
        assert_eq!(
            bed.ok(&format!("echo 123 > mnt/q/.push; {take} mnt/q/.pop {to}")),
            "123\n",
            "{take}"
        );
        bed.ok("test -z \"$(ls mnt/q)\"; echo 456 > mnt/h/7");
        assert_eq!(bed.ok(&format!("{take} mnt/h/.pop/7 {to}")), "456\n", "{take}");
        bed.ok("test ! -e mnt/h/7");
    }
    bed.fails("busybox cat mnt/q/.pop");
    // An empty queue's is not empty to who opens it when there is something again.
    bed.ok("[ $(stat -c %s mnt/q/.pop) -gt 0 ]");
}

/// Files without an end have a size, so that they are read.
#[test]
fn endless_files_are_read() {
    require!("root", "bpf", "fuse", "clang", "user_ringbuf maps", "callbacks");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
    let line = "{\"op\":\"set\",\"key\":1,\"value\":42}\n";
    // It waits for the next line, and so does not see that nobody reads on.
    let first = |file: &str| {
        bed.ok(&format!(
            "rm -f got; timeout 100 busybox cat mnt/{file} > got & until grep -qs . got; do sleep 0.02; done
            kill $!; cat got"
        ))
    };
    assert_eq!(first("h/.watch"), line);
    let programs = Programs::load(&bed, "streams");
    let one_two = host_order("0x0100000002000000", "0x0000000100000002");
    bed.ok(&format!("echo {one_two} > mnt/commands/.stream"));
    programs.run_raw("drain", [0, 0], None);
    assert_eq!(first("events/.events/event"), "{\"seq\":1,\"twice\":2,\"who\":\"tester\"}\n");
    for file in ["h/.watch", "events/.stream", "events/.events/event"] {
        assert!(fs::metadata(bed.at(file)).unwrap().len() > 0, "{file}");
    }
}

/// A private mapping shows a text of one page; of a longer one it is refused, by SIGBUS.
#[test]
fn private_mappings() {
    require!("root", "bpf", "fuse", "python3", "git");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &42_u64.to_ne_bytes());
    bed.map("big", Kind::Array, 4, 5000, 1);
    let map = |file| {
        format!(
            "import mmap
with open('mnt/{file}') as file:
    size = os.fstat(file.fileno()).st_size
    text = mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ)[:]
    print(text == open('mnt/{file}', 'rb').read())
"
        )
    };
    assert_eq!(bed.python(&map("h/1")), "True\n");
    assert_eq!(bed.python(&map("h/.help")), "True\n");
    let ran = bed.run(&format!("python3 -c \"import os\n{}\"; echo $?", map("big/0")));
    assert_eq!(ran.stdout.trim(), "135", "{ran}");
    // What was mapped once is not shown for another text.
    for n in [43_u64, 123_456, 9] {
        bed.open("h").set(&key32(1), &n.to_ne_bytes());
        assert_eq!(bed.python(&map("h/1")), "True\n");
    }
    bed.ok("git init -q r; g='git --git-dir=r/.git --work-tree=mnt/h'; $g add -A
        g=\"git --git-dir=$PWD/r/.git --work-tree=$PWD/mnt/h\"; cd mnt/h
        echo 10 > 1; [ $($g diff -U0 | tail -n 1) = +10 ]");
}

/// Programs and links, whose text is made by the kernel.
#[test]
fn objects_are_copied_whole() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "clang", "bpftool", "tar", "python3");
    let bed = Bed::new();
    let _programs = Programs::load(&bed, "streams");
    let pinned = bed.ok("find mnt/p -type f | sort");
    for file in pinned.lines() {
        bed.ok(&format!("{EACH}\neach {file}"));
    }
}

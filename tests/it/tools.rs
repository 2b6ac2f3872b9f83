//! Ordinary programs on the mount: each sees what the map holds, and changes it as it would a file.

use crate::common::require::require;
use crate::common::{Bed, key32};

/// A bed with typed maps that hold a few elements.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.load("maps");
    bed.ok(r#"cd mnt
        echo 42 > hash_u64/1; echo 43 > hash_u64/2; echo 7 > phash_u64/1
        echo '{"packets":1,"bytes":2}' > hash_stats/1; echo 5 > array_u64/3; echo eth0 > v_text/9"#);
    bed
}

/// find: by name, type, size and depth.
#[test]
fn find() {
    require!("root", "bpf", "fuse", "clang", "find");
    let bed = bed();
    assert_eq!(bed.ok("find mnt/hash_u64 -type f | sort"), "mnt/hash_u64/1\nmnt/hash_u64/2\n");
    assert_eq!(bed.ok("find mnt -mindepth 1 -maxdepth 1 -type d -name 'hash_*' | wc -l"), "2\n");
    assert_eq!(bed.ok("find mnt/hash_u64 -size -4c -type f -name 2 -exec cat {} +"), "43\n");
    assert_eq!(bed.ok("find mnt -type f -path '*_u64/*' -empty | wc -l"), "0\n");
}

/// ls -la: one line for each key, with the size of its text.
#[test]
fn ls_la() {
    require!("root", "bpf", "fuse", "clang");
    let bed = bed();
    let out = bed.ok("ls -la mnt/hash_u64 | tail -n +4 | awk '{print $1, $3, $5, $NF}'");
    assert_eq!(out, "-rw------- root 3 1\n-rw------- root 3 2\n");
    bed.ok(
        "ls -laR mnt; ls -l --time-style=full-iso mnt; ls -i mnt/hash_u64; ls -lt mnt; ls -F mnt",
    );
    // Inode numbers are stable while the file stays, and differ between files.
    assert_eq!(bed.ok("stat -c %i mnt/hash_u64/1 mnt/hash_u64/2 | sort -u | wc -l"), "2\n");
}

/// grep -r: every value is seen.
#[test]
fn grep_r() {
    require!("root", "bpf", "fuse", "clang");
    let bed = bed();
    assert_eq!(bed.ok("cd mnt; grep -rl 4[23] hash_u64 | sort"), "hash_u64/1\nhash_u64/2\n");
    assert_eq!(bed.ok("cd mnt; grep -r eth0 --exclude='*.debug' ."), "./v_text/9:\"eth0\"\n");
}

/// cp: out of the mount, into it, within it, and back.
#[test]
fn cp() {
    require!("root", "bpf", "fuse", "clang");
    let bed = bed();
    bed.ok("cp mnt/hash_stats/1 saved; cp saved mnt/hash_stats/2; cp mnt/hash_stats/1 mnt/hash_stats/3");
    let text = "{\"packets\":1,\"bytes\":2}\n";
    assert_eq!(bed.ok("cat saved mnt/hash_stats/2 mnt/hash_stats/3"), text.repeat(3));
    // Over a present one, and a whole map out and into another.
    bed.ok("cp mnt/hash_u64/2 mnt/hash_u64/1; cp -r mnt/hash_u64 copy; cp copy/* mnt/lru_u64/");
    assert_eq!(
        bed.ok("cat mnt/hash_u64/1; ls copy mnt/lru_u64; cat mnt/lru_u64/*"),
        "43\ncopy:\n1\n2\n\nmnt/lru_u64:\n1\n2\n43\n43\n"
    );
    // A per-CPU value, all lines of it.
    bed.ok("cp mnt/phash_u64/1 mnt/phash_u64/5; cmp mnt/phash_u64/1 mnt/phash_u64/5");
    bed.ok("cp --no-clobber mnt/hash_u64/2 mnt/hash_u64/1");
}

/// tar c | tar t, and tar x of what was read: the same tree.
#[test]
fn tar() {
    require!("root", "bpf", "fuse", "clang", "tar");
    let bed = bed();
    let out = bed.ok("cd mnt; tar c hash_u64 hash_stats | tar t | sort");
    assert_eq!(out, "hash_stats/\nhash_stats/1\nhash_u64/\nhash_u64/1\nhash_u64/2\n");
    bed.ok("mkdir out; tar c -C mnt hash_u64 hash_stats phash_u64 v_text | tar x -C out
            for m in hash_u64 hash_stats phash_u64 v_text; do diff -r mnt/$m out/$m; done");
    // tar believes st_size: it would warn of a file that shrank or grew.
    assert_eq!(bed.run("tar cf /dev/null -C mnt array_stats plru_u64 scalars").stderr, "");
    bed.ok(
        "tar cf a.tar -C mnt hash_u64; rm mnt/hash_u64/*; tar xf a.tar -C mnt; cat mnt/hash_u64/1",
    );
}

/// diff -r: no difference between a map and its copy, one where there is one.
#[test]
fn diff_r() {
    require!("root", "bpf", "fuse", "clang", "diff");
    let bed = bed();
    bed.ok("cp -r mnt/hash_u64 copy; diff -r mnt/hash_u64 copy");
    bed.ok("echo 44 > mnt/hash_u64/2; echo 1 > mnt/hash_u64/3");
    let out = bed.run("diff -r copy mnt/hash_u64").stdout;
    assert_eq!(
        out,
        "diff -r copy/2 mnt/hash_u64/2\n1c1\n< 43\n---\n> 44\nOnly in mnt/hash_u64: 3\n"
    );
}

/// rsync: a second run copies nothing that has not changed (by content).
#[test]
fn rsync() {
    require!("root", "bpf", "fuse", "clang", "rsync");
    let bed = bed();
    bed.ok(
        "mkdir out; rsync -rc mnt/hash_u64 mnt/hash_stats out/; diff -r mnt/hash_u64 out/hash_u64",
    );
    assert_eq!(bed.ok("rsync -rci mnt/hash_u64 mnt/hash_stats out/"), "");
    // Into a map: rsync writes a temporary name first unless told to write in place.
    bed.ok("echo 99 > out/hash_u64/1; rsync -rc --inplace out/hash_u64/ mnt/hash_u64/");
    assert_eq!(bed.read("hash_u64/1"), "99\n");
}

/// jq: every value is a JSON document.
#[test]
fn jq() {
    require!("root", "bpf", "fuse", "clang", "jq");
    let bed = bed();
    assert_eq!(bed.ok("jq .packets mnt/hash_stats/1"), "1\n");
    assert_eq!(bed.ok("jq -s add mnt/phash_u64/1"), format!("{}\n", 7 * cpus()));
    bed.ok("jq -c '.packets += 10' mnt/hash_stats/1 > new; cat new > mnt/hash_stats/1");
    assert_eq!(bed.read("hash_stats/1"), "{\"packets\":11,\"bytes\":2}\n");
    // jq's own pretty printing, over many lines, is accepted too.
    bed.ok("jq '.bytes = 5' mnt/hash_stats/1 > new; cp new mnt/hash_stats/1");
    assert_eq!(bed.read("hash_stats/1"), "{\"packets\":11,\"bytes\":5}\n");
}

fn cpus() -> usize {
    bpffuse::sys::map::possible_cpus().unwrap()
}

/// python3 open(): reading, writing, exclusive, appending nothing.
#[test]
fn python() {
    require!("root", "bpf", "fuse", "clang", "python3");
    let bed = bed();
    let out = bed.python(
        r#"
        m = "mnt/hash_stats/"
        print(json.load(open(m + "1")))
        with open(m + "2", "w") as f:
            json.dump({"packets": 3, "bytes": 4}, f)      # writes in pieces, flushed at close
        print(open(m + "2").read().strip())
        def make(): open(m + "2", "x").write("{}")
        print(errno_of(make))
        def bad():
            with open(m + "2", "w") as f: f.write("nonsense")
        print(errno_of(bad))
        print(sorted(os.listdir(m)), os.path.getsize(m + "2"), os.path.isfile(m + "2"))
        os.remove(m + "2")
        print(os.path.exists(m + "2"))
        "#,
    );
    let expected = "{'packets': 1, 'bytes': 2}\n{\"packets\":3,\"bytes\":4}\nEEXIST\nEINVAL\n['1', '2'] 24 True\nFalse\n";
    assert_eq!(out, expected, "(left: got, right: expected)");
}

/// dd: block sizes, conv=excl and conv=nocreat.
#[test]
fn dd() {
    require!("root", "bpf", "fuse", "clang");
    let bed = bed();
    assert_eq!(
        bed.ok("dd if=mnt/hash_u64/1 bs=1 status=none; dd if=mnt/hash_u64/1 bs=1M status=none"),
        "42\n42\n"
    );
    bed.ok("echo 8 | dd of=mnt/hash_u64/8 conv=excl status=none");
    bed.fails("echo 9 | dd of=mnt/hash_u64/8 conv=excl status=none");
    bed.ok("echo 9 | dd of=mnt/hash_u64/8 conv=nocreat status=none");
    bed.fails("echo 9 | dd of=mnt/hash_u64/9 conv=nocreat status=none");
    assert_eq!(bed.ok("cat mnt/hash_u64/8; ls mnt/hash_u64"), "9\n1\n2\n8\n");
}

/// The shell's own: redirection in all forms, read, test, globs, tee, sponge-like pipes.
#[test]
fn shell_idioms() {
    require!("root", "bpf", "fuse", "clang");
    let bed = bed();
    assert_eq!(
        bed.ok("read -r x < mnt/hash_u64/1; echo $((x + 1)) > mnt/hash_u64/1; cat mnt/hash_u64/1"),
        "43\n"
    );
    assert_eq!(bed.ok("echo 50 | tee mnt/hash_u64/5; cat mnt/hash_u64/5"), "50\n50\n");
    assert_eq!(bed.ok("x=$(< mnt/hash_u64/5); echo \"<$x>\""), "<50>\n");
    assert_eq!(
        bed.ok("cd mnt/hash_u64; for k in *; do echo $k=$(cat $k); done"),
        "1=43\n2=43\n5=50\n"
    );
    assert_eq!(bed.ok("wc -l < mnt/phash_u64/1; wc -c < mnt/hash_u64/1; md5sum < mnt/hash_u64/1 > sum; head -n 1 mnt/hash_u64/1"), format!("{}\n3\n43\n", cpus()));
    bed.ok(
        "sort mnt/phash_u64/1 | uniq -c; install -m 600 mnt/hash_u64/1 out; cmp out mnt/hash_u64/1",
    );
    bed.ok(
        "xargs -a mnt/hash_u64/1 echo; sed s/4/5/ mnt/hash_u64/1 > tmp; cat tmp > mnt/hash_u64/1",
    );
    assert_eq!(bed.read("hash_u64/1"), "53\n");
    // printf and echo of several words for a map of bytes.
    bed.ok("echo 0 1 2 3 4 5 6 7 8 9 a b > mnt/v_octets/1 || echo 00 01 02 03 04 05 06 07 08 09 0a 0b > mnt/v_octets/1");
    assert_eq!(bed.read("v_octets/1"), "[0,1,2,3,4,5,6,7,8,9,10,11]\n");
}

/// vim: a scripted edit in place, with its swap and backup files kept elsewhere.
#[test]
fn vim() {
    require!("root", "bpf", "fuse", "clang", "vim");
    let bed = bed();
    bed.ok("vim -es -u NONE -i NONE -n -c 'set nobackup nowritebackup' -c '%s/\"packets\":1/\"packets\":77/' -c wq mnt/hash_stats/1 < /dev/null");
    assert_eq!(bed.read("hash_stats/1"), "{\"packets\":77,\"bytes\":2}\n");
    assert_eq!(bed.list("hash_stats"), ["1"]);
}

/// Editors' and programs' other ways to write: sed -i cannot make its temporary file in a map, says
/// so, and harms nothing.
#[test]
fn sed_in_place_harms_nothing() {
    require!("root", "bpf", "fuse", "clang");
    let bed = bed();
    bed.run("sed -i s/42/99/ mnt/hash_u64/1");
    assert_eq!(bed.list("hash_u64"), ["1", "2"]);
    assert!(["42\n", "99\n"].contains(&bed.read("hash_u64/1").as_str()));
}

/// Reading by sendfile, splice and shared mappings, as some tools do, is refused, and they fall back.
#[test]
fn other_ways_to_read() {
    require!("root", "bpf", "fuse", "clang", "python3");
    let bed = bed();
    let out = bed.python(
        r#"
        import mmap, shutil
        shutil.copyfile("mnt/hash_stats/1", "out")          # sendfile / copy_file_range
        print(open("out").read().strip())
        src = os.open("mnt/hash_stats/1", os.O_RDONLY)
        r, w = os.pipe()
        print(errno_of(os.splice, src, w, 100, 0))
        print(errno_of(os.sendfile, os.open("copy", os.O_WRONLY | os.O_CREAT), src, 0, 100))
        print(errno_of(mmap.mmap, src, 2, mmap.MAP_SHARED, mmap.PROT_READ))
        "#,
    );
    // EIO is how newer kernels tell of any error of a page's READ; before Linux 6.5 both are reads like any other.
    let out = out.replace("EIO", "EINVAL").replace("None", "EINVAL");
    assert_eq!(out, "{\"packets\":1,\"bytes\":2}\nEINVAL\nEINVAL\nENODEV\n");
    bed.ok("cat < mnt/hash_u64/1 | cat; cp --reflink=auto --sparse=always mnt/hash_u64/1 out; cmp out mnt/hash_u64/1");
}

/// Eight clients at once, reading, writing, listing: none sees an error or a mixture.
#[test]
fn clients_side_by_side() {
    require!("root", "bpf", "fuse", "clang");
    let bed = bed();
    let out = bed.ok("for c in $(seq 8); do (
            for i in $(seq 30); do
                echo $c$i > mnt/hash_u64/1$c || exit
                x=$(cat mnt/hash_u64/1$c); [ $x = $c$i ] || echo \"$x is not $c$i\"
                ls mnt/hash_u64 > /dev/null; rm mnt/hash_u64/1$c
            done
         ) & done; wait; ls mnt/hash_u64");
    assert_eq!(out, "1\n2\n");
    assert_eq!(bed.open("hash_u64").get(&key32(1)), Some(42u64.to_ne_bytes().to_vec()));
}

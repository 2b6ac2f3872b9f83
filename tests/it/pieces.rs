//! No shell tells of an error at close, so errors come from write(2) wherever they can; and long texts,
//! which come in pieces.

use crate::common::require::require;
use crate::common::{Bed, Kind, key32, patience};
use std::time::{Duration, Instant};

/// A bed with a hash, a map of structs, one of strings of 5,000 bytes, and a queue.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.ok("cd mnt
        echo 'hash key u32 value u64 entries 2' > h
        echo \"hash key u32 value 'struct { u64 packets; u64 bytes; }' entries 10\" > flows
        echo \"hash key u32 value 'char[5000]' entries 2\" > text
        echo \"queue value 12 entries 10\" > q
        echo 42 > h/1; echo '{\"packets\":1,\"bytes\":2}' > flows/7; echo eth0 > text/1");
    bed
}

/// The newest reason in `.errors` has these words.
#[track_caller]
fn says(bed: &Bed, words: &str) {
    let last = bed.errors().pop().unwrap_or_default();
    assert!(last.contains(" write ") && last.contains(words), "{words}: {last}");
}

/// A first write of nothing but white space is EINVAL, from whichever shell or program, and "so is a
/// write of less than 4,096 bytes that ends in a newline and is not yet a value".
#[test]
fn a_text_that_is_no_value_yet_is_refused_by_write() {
    require!("root", "bpf", "fuse", "jq", "python3");
    let bed = bed();
    for shell in ["bash", "dash", "busybox sh"] {
        for (line, reason) in [
            ("echo '{\"packets\":5' > mnt/flows/7", "ends early"),
            ("echo '\"abc' > mnt/flows/7", "ends early"),
            ("echo '{' > mnt/flows/8", "ends early"),
            ("echo $EMPTY > mnt/h/1", "empty"),
            ("echo ' ' > mnt/h/1", "empty"),
            ("printf '  ' > mnt/h/2", "empty"),
            ("echo > mnt/text/1", "empty"),
            ("echo '[1,2' > mnt/text/1", "ends early"),
            ("echo '\"0x0102' > mnt/q/.push", "ends early"),
            ("echo $EMPTY > mnt/q/.push", "empty"),
            ("echo > mnt/flows/.field/7/packets", "empty"),
            ("echo $EMPTY > mnt/h/.clear", "only 1"),
            ("echo $EMPTY > mnt/new", "empty"),
            ("echo abc > mnt/flows/.raw/07000000", "16 bytes"),
            ("{ printf '{'; echo '\"packets\":5'; } > mnt/flows/7", "ends early"),
        ] {
            bed.fails(&format!("cat > s <<'END'\n{line}\nEND\n{shell} s"));
            says(&bed, reason);
        }
    }
    bed.fails("echo '\"{\\\"packets\\\":\"' | jq -r . > mnt/flows/7");
    let out = bed.python(
        r#"
        def write(text):
            with open("mnt/flows/7", "w", 1) as file: file.write(text)
        print(errno_of(write, "{\n"), errno_of(write, " \n"))
        "#,
    );
    assert_eq!(out, "EINVAL EINVAL\n");
    // Nothing has changed, and nothing was made.
    assert_eq!(bed.read("flows/7"), "{\"packets\":1,\"bytes\":2}\n");
    assert_eq!((bed.read("h/1"), bed.read("text/1")), ("42\n".into(), "\"eth0\"\n".into()));
    assert_eq!((bed.list("flows"), bed.list("h")), (vec!["7".into()], vec!["1".into()]));
    assert_eq!(bed.list("q"), [""; 0]);
}

/// Longer text in pieces waits, as before: what jq prints, copies in blocks, and a long document.
#[test]
fn longer_text_waits() {
    require!("root", "bpf", "fuse", "jq", "python3");
    let bed = bed();
    bed.ok("jq '.packets = 5' mnt/flows/7 > new; cp new mnt/flows/7; cat new > mnt/flows/8");
    assert_eq!(bed.ok("cat mnt/flows/*"), "{\"packets\":5,\"bytes\":2}\n".repeat(2));
    // A document with a newline wherever a block ends.
    let out = bed.python(
        r#"
        text = '{"packets":9' + ' ' * 6000 + '\n' + ' ' * 6000 + ',\n"bytes":10}\n'
        for size in 1, 17, 4096, 5000, 1 << 20:
            fd = os.open("mnt/flows/7", os.O_WRONLY | os.O_TRUNC)
            for at in range(0, len(text), size): os.write(fd, text[at:at + size].encode())
            os.close(fd)
            print(open("mnt/flows/7").read().strip())
        # A long one that is cut: its last piece, a short line, is refused.
        fd = os.open("mnt/flows/7", os.O_WRONLY | os.O_TRUNC)
        os.write(fd, text[:6000].encode())
        print(errno_of(os.write, fd, b'7\n'))
        "#,
    );
    assert_eq!(out, "{\"packets\":9,\"bytes\":10}\n".repeat(5) + "EINVAL\n");
}

/// A bare string of any length without a newline, in one piece or many, is stored whole at close.
#[test]
fn a_bare_string_is_stored_whole() {
    require!("root", "bpf", "fuse", "python3");
    let bed = bed();
    for len in [1, 999, 1000, 4000, 4095, 4096, 4097, 4999, 5000] {
        bed.ok(&format!(
            "head -c {len} /dev/zero | tr '\\0' x > s; wanted=$(cat s)
            is() {{ [ \"$(cat mnt/text/1)\" = \"\\\"$wanted\\\"\" ] || {{ echo $*; exit 1; }}; }}
            for how in 'dd bs=1M' 'dd bs=1000' 'dd bs=4096' 'dd bs=1' cat; do
                $how < s > mnt/text/1 2> /dev/null; is $how; echo 0 > mnt/text/1
            done
            cp s mnt/text/1; is cp; echo 0 > mnt/text/1
            printf %s $wanted > mnt/text/1; is printf; echo 0 > mnt/text/1
            printf '%s\\n' $wanted > mnt/text/1; is printf line"
        ));
    }
    // One that is too long changes nothing, in however many pieces.
    bed.ok("echo before > mnt/text/1; head -c 5001 /dev/zero | tr '\\0' x > long");
    for how in ["bs=1M", "bs=1000", "bs=4096"] {
        bed.fails(&format!("dd if=long of=mnt/text/1 {how} status=none"));
        assert_eq!(bed.read("text/1"), "\"before\"\n", "{how}");
    }
    // It is seen whole or not at all.
    let out = bed.python(
        r#"
        fd = os.open("mnt/text/1", os.O_WRONLY | os.O_CREAT)
        for piece in "eth", "er", "net": os.write(fd, piece.encode()); print(open("mnt/text/1").read(), end="")
        os.close(fd); print(open("mnt/text/1").read(), end="")
        "#,
    );
    assert_eq!(out, "\"before\"\n".repeat(3) + "\"ethernet\"\n");
}

/// What a string without a newline will meet when it is stored is told by write(2) all the same.
#[test]
fn a_bare_strings_errors_are_heard() {
    require!("root", "bpf", "fuse");
    let bed = bed();
    bed.ok("printf two > mnt/text/2");
    bed.fails_with("printf three > mnt/text/3", "No space left");
    bed.ok("printf twice > mnt/text/2");
    bed.fails_with("printf '%6000s' x > mnt/text/2", "nvalid argument");
    assert_eq!(bed.ok("cat mnt/text/*"), "\"eth0\"\n\"twice\"\n");
}

/// One huge value in pieces takes linear time, as a document and as bytes.
#[test]
fn a_huge_value_in_pieces() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    let size = 4 << 20;
    let map = bed.map("big", Kind::Array, 4, size, 1);
    let start = Instant::now();
    for (text, byte) in [
        ("'\"0x' + 'ab' * size + '\"\\n'", 0xab),
        ("'0x' + 'cd' * size", 0xcd),
        ("'0x' + 'ef' * size + '\\n'", 0xef),
    ] {
        bed.python(&format!(
            "
            size = {size}
            text = ({text}).encode()
            fd = os.open('mnt/big/0', os.O_WRONLY)
            for at in range(0, len(text), 4096): os.write(fd, text[at:at + 4096])
            os.close(fd)
            "
        ));
        assert!(map.get(&key32(0)).unwrap().iter().all(|b| *b == byte), "{text}");
    }
    bed.ok("head -c 4M /dev/zero | dd of=mnt/big/.raw/00000000 bs=4096 status=none");
    assert!(map.get(&key32(0)).unwrap().iter().all(|byte| *byte == 0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60) * patience(), "{took:?}");
}

//! What a start says at a terminal, and that it says nothing elsewhere.

use crate::common::Bed;
use crate::common::require::require;

/// On a terminal the parent prints one line: how many maps are pinned, how many the machine has, and where
/// to look.
#[test]
fn a_start_at_a_terminal_says_where_to_look() {
    require!("root", "bpf", "fuse", "script", "bpftool");
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps");
    let at_terminal =
        "script -qec 'bpffuse /mnt/maps' /dev/null < /dev/null | tr -d '\\r'; umount /mnt/maps";
    let said = bed.ok(at_terminal);
    assert_eq!(said.lines().count(), 1, "{said}");
    let words: Vec<&str> = said.split(' ').collect();
    assert_eq!(words[..4], ["/mnt/maps:", "0", "pinned", "of"], "{said}");
    assert!(words[4].parse::<u32>().is_ok(), "{said}");
    assert!(
        said.contains("cat /mnt/maps/.maps ") && said.contains("cat /mnt/maps/.help "),
        "{said}"
    );
    // Two pins of one map are one map.
    bed.ok("bpffuse /mnt/maps; mkdir /mnt/maps/h
            bpftool map pin pinned /sys/fs/bpf/h /sys/fs/bpf/again; umount /mnt/maps");
    let said = bed.ok(at_terminal);
    assert!(said.starts_with("/mnt/maps: 1 pinned of "), "{said}");
    assert_eq!(bed.ok("bpffuse /mnt/maps; umount /mnt/maps"), "");
}

//! man/bpffuse.8 says what the program does: its options, its examples, the rights it keeps.

use crate::common::Bed;
use crate::common::require::{is_command, require};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man/bpffuse.8");

/// The page as text: what follows each `.SH` of that name, roff's escapes read.
fn section(name: &str) -> String {
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, section) = page.split_once(&format!("\n.SH {name}\n")).expect("the section");
    let section = section.split("\n.SH ").next().unwrap();
    section.replace("\\-", "-").replace("\\(aq", "'").replace("\\(ga", "`").replace("\\(dq", "\"")
}

/// The words that begin with a dash, without what is behind them.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c.is_whitespace() || "\"[]|,=".contains(c));
    let options = words.map(|word| word.trim_end_matches(['.', ':']));
    options.filter(|word| word.len() > 1 && word.starts_with('-')).map(str::to_owned).collect()
}

#[test]
fn options_are_those_of_help() {
    require!("root");
    let bed = Bed::without_bpffs();
    // An option's line is indented by two or, without a short form, by six; its text is far behind.
    let help = bed.ok("bpffuse --help | grep -E '^ {2,6}-'");
    let help = help.lines().filter_map(|line| line.trim_start().split("  ").next());
    let help = help.collect::<Vec<_>>().join("\n");
    let page = section("OPTIONS");
    let page: String = {
        let mut lines = page.lines();
        let mut tags = String::new();
        while let Some(line) = lines.next() {
            if line == ".TP" {
                writeln!(tags, "{}", lines.next().unwrap_or_default()).unwrap();
            }
        }
        tags
    };
    assert_eq!(options(&page), options(&help), "{page}\n{help}");
    assert!(options(&page).len() > 10);
}

/// The examples, in one shell: a line that begins with `# ` is a command, and those below it are
/// what it prints.
#[test]
fn examples_work() {
    require!("root", "bpf", "fuse", "unshare", "ip");
    let text = section("EXAMPLES");
    let blocks = text.split("\n.EX\n").skip(1).map(|block| block.split("\n.EE").next().unwrap());
    let (mut script, mut expected) = ("exec 2>&1\n".to_owned(), String::new());
    for line in blocks.flat_map(str::lines) {
        writeln!(expected, "{line}").unwrap();
        if let Some(command) = line.strip_prefix("# ") {
            writeln!(script, "echo '# '{}\n{command}", crate::common::shell::quote(command))
                .unwrap();
        }
    }
    assert!(expected.lines().count() > 20, "the examples are gone");
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps");
    let printed = bed.ok(&script);
    // A script's messages say on which line it is; a user's shell does not.
    let printed: String = printed
        .lines()
        .map(|line| match line.split_once(": line ").zip(line.split_once(": echo")) {
            Some(((shell, _), (_, message))) => format!("{shell}: echo{message}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    assert_eq!(printed, expected);
}

/// Both programs that format it find nothing wrong with it.
#[test]
fn the_page_is_well_formed() {
    require!("root", "man");
    let bed = Bed::without_bpffs();
    let text = bed.run(&format!("MANWIDTH=80 man --warnings -l {PAGE}"));
    assert_eq!(text.stderr, "");
    assert!(text.ok().contains("bpffuse, mount.fuse.bpffuse - pinned eBPF maps"));
    if is_command("mandoc") {
        assert_eq!(bed.ok(&format!("mandoc -T lint {PAGE}")), "");
    }
}

/// Each control that a directory's `.help` has is in the page.
#[test]
fn controls_are_those_of_help() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for (name, spec) in [
        ("hash", "hash key u32 value u64 entries 4"),
        ("percpu", "percpu_array key u32 value u64 entries 4"),
        ("queue", "queue value u32 entries 4"),
        ("bloom", "bloom_filter value u32 entries 4"),
        ("ring", "ringbuf entries 4096"),
    ] {
        bed.write(name, spec);
    }
    let help = bed.ok("cat mnt/.help mnt/*/.help");
    let words = help.lines().filter_map(|line| line.split([' ', '/', ',']).next());
    let controls: BTreeSet<&str> = words.filter(|word| word.starts_with('.')).collect();
    assert!(controls.len() > 14, "{controls:?}");
    let page = section("CONTROLS");
    for control in controls {
        assert!(page.contains(control), "{control} is not in the page");
    }
}

/// The reference and the page name the same rights (and privileges.rs, those that the kernel shows).
#[test]
fn rights_are_those_of_the_reference() {
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        words.filter(|word| word.starts_with("CAP_")).map(str::to_owned).collect()
    };
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
    let reference = fs::read_to_string(reference).unwrap();
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `CAP_"));
    let rows: String =
        rows.map(|row| format!("CAP_{}\n", row.split('|').next().unwrap())).collect();
    assert_eq!(names(&section("ACCESS")), names(&rows));
}

//! The documents' `console` blocks are run, and their output compared: what they show is what happens.
//!
//! A line that begins with `# ` is a command, lines with `> ` right below it are the rest of it, and
//! the lines below those are its output; `…` in them stands for any text, and a line `…` for any
//! lines. A document's commands run in one shell, in namespaces of their own, in a directory with
//! the files of `docs/`. `BPFFUSE_UPDATE_README=1 cargo test --test it readme` writes the present
//! output into the documents; look at the difference before you commit it.

use crate::common::Bed;
use crate::common::require::require;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Ends each command's output in the session's own output.
const MARK: &str = "<<< end of output >>>";

/// Seconds that a document's commands may take; some of them wait for events.
const LIMIT: u64 = 200;

fn path(document: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(document)
}

/// A command of a document, and the line that it is on.
struct Step {
    command: String,
    output: String,
    line: usize,
}

/// The commands of all `console` blocks, in order.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            if let Some(command) = line.strip_prefix("# ") {
                let (command, output) = (command.to_owned(), String::new());
                steps.push(Step { command, output, line: number + 1 });
                continue;
            }
            let step = steps.last_mut().expect("a block begins with a command");
            match line.strip_prefix("> ") {
                Some(more) if step.output.is_empty() => write!(step.command, "\n{more}").unwrap(),
                _ => writeln!(step.output, "{line}").unwrap(),
            }
        }
    }
    steps
}

/// Runs the commands in one shell, in namespaces of their own; gives each one's output.
fn run(bed: &Bed, steps: &[Step]) -> Vec<String> {
    let mut script = "exec 2>&1\n".to_owned();
    for step in steps {
        writeln!(script, "{}\necho '{MARK}'", step.command).unwrap();
    }
    let ran = bed.run_for(LIMIT, &script).ok();
    // A script's messages say on which line it is; a user's shell does not.
    let mut outputs: Vec<String> = ran
        .split(&format!("{MARK}\n"))
        .map(|output| output.lines().fold(String::new(), |text, line| text + &plain(line) + "\n"))
        .collect();
    assert_eq!(outputs.pop().as_deref(), Some(""), "the session ended early:\n{ran}");
    outputs
}

/// `line` without bash's "line N: ".
fn plain(line: &str) -> String {
    let Some((shell, rest)) = line.split_once(": line ") else { return line.to_owned() };
    match rest.split_once(": ") {
        Some((number, message)) if number.chars().all(|c| c.is_ascii_digit()) => {
            format!("{shell}: {message}")
        }
        _ => line.to_owned(),
    }
}

/// Whether `text` is `pattern`, in which `…` stands for anything on a line, and as a line for any
/// lines.
fn fits(text: &str, pattern: &str) -> bool {
    fn lines_fit(text: &[&str], pattern: &[&str]) -> bool {
        match (text, pattern) {
            (_, ["…", rest @ ..]) => (0..=text.len()).any(|at| lines_fit(&text[at..], rest)),
            ([line, text @ ..], [first, rest @ ..]) => {
                line_fits(line, first) && lines_fit(text, rest)
            }
            (text, pattern) => text.is_empty() && pattern.is_empty(),
        }
    }
    let (text, pattern): (Vec<_>, Vec<_>) = (text.lines().collect(), pattern.lines().collect());
    lines_fit(&text, &pattern)
}

fn line_fits(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut any = false;
    for part in parts {
        any = true;
        let Some(at) = rest.find(part) else { return false };
        rest = if part.is_empty() { "" } else { &rest[at + part.len()..] };
    }
    any || rest.is_empty()
}

/// Runs the commands of `document`, of which there are `at_least` so many, and compares.
fn check(document: &str, at_least: usize) {
    let text = fs::read_to_string(path(document)).unwrap();
    let steps = steps(&text);
    assert!(steps.len() >= at_least, "{document} has only {} commands", steps.len());
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps /run/netns");
    bed.ok(&format!("cp -r {}/* .", path("docs").display()));
    // What a reader who typed it all has on the machine; `xdp` is libxdp's, which keeps it.
    let machine = || {
        bed.ok(
            "ls -A -I xdp /sys/fs/bpf /run /run/netns /mnt/maps; ip -br link | cut -d ' ' -f 1; ls",
        )
    };
    let before = machine();
    let outputs = run(&bed, &steps);
    assert_eq!(machine(), before, "{document} does not clear up after itself");
    if std::env::var_os("BPFFUSE_UPDATE_README").is_some() {
        fs::write(path(document), updated(&text, &steps, &outputs)).unwrap();
        return;
    }
    for (step, output) in steps.iter().zip(&outputs) {
        assert!(
            fits(output, &step.output),
            "{document} line {}: # {}\n--- it says\n{}--- it printed\n{output}---",
            step.line,
            step.command,
            step.output
        );
    }
}

/// The document with the output that came, where it is another.
fn updated(text: &str, steps: &[Step], outputs: &[String]) -> String {
    let mut new = String::new();
    let mut lines = text.lines().peekable();
    let mut steps = steps.iter().zip(outputs);
    let mut inside = false;
    while let Some(line) = lines.next() {
        writeln!(new, "{line}").unwrap();
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && line.starts_with("# ") {
            let (step, output) = steps.next().expect("as many steps as commands");
            while let Some(more) = lines.next_if(|l| l.starts_with("> ")) {
                writeln!(new, "{more}").unwrap();
            }
            while lines.next_if(|l| !l.starts_with("# ") && !l.starts_with("```")).is_some() {}
            let is_right = fits(output, &step.output);
            new.push_str(if is_right { &step.output } else { output });
        }
    }
    new
}

/// README … At most 1,500 words, as wc(1) counts them.
#[test]
fn the_readme_is_short() {
    let words = fs::read_to_string(path("README.md")).unwrap().split_whitespace().count();
    assert!(words <= 1500, "{words} words");
}

/// five lines from a real program, beside what bpftool needs for the same: they do the same.
#[test]
fn the_first_lines_do_what_bpftools_do() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "bpftool");
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let mut blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (ours, bpftools) = (blocks.next().unwrap(), blocks.next().unwrap());
    assert_eq!((ours.lines().count(), bpftools.lines().count()), (5, 5));
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps");
    bed.ok(
        "ip link add v0 type veth peer name v1 && ip link set v0 up && xdp-filter load -m skb v0
            bpffuse /mnt/maps",
    );
    let look = "cat /mnt/maps/xdp-filter/filter_ipv[46]/.sum/.entries";
    let after = |lines: &str| bed.ok(&format!("set -e; {{ {lines} }} > /dev/null; {look}"));
    let before = bed.ok(look);
    let start = "echo 1 > /mnt/maps/xdp-filter/filter_ipv4/.clear; echo 1 > /mnt/maps/xdp-filter/filter_ipv6/.clear";
    // Up to each line, and not only to the last: the fifth takes back what the second did.
    for lines in 2..=5 {
        let [one, other] = [ours, bpftools].map(|block| {
            bed.ok(start);
            after(&block.lines().take(lines).fold(String::new(), |all, line| all + line + "\n"))
        });
        assert_eq!(one, other, "{lines} lines");
        assert_ne!(one, before, "{lines} lines change nothing");
    }
    bed.ok("xdp-filter unload v0; ip link del v0; umount /mnt/maps");
}

/// A two-minute tour with real output.
#[test]
fn the_readme_shows_what_happens() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "jq", "bpftool", "runuser", "bpftrace");
    check("README.md", 30);
}

/// Recipes …; every example is run by a test.
#[test]
fn the_recipes_work() {
    require!(
        "root",
        "bpf",
        "fuse",
        "clang",
        "xdp-filter",
        "ip",
        "jq",
        "bpftool",
        "runuser",
        "watch",
        "bpftrace"
    );
    check("docs/recipes.md", 60);
}

#[test]
fn the_reference_shows_what_happens() {
    require!("root", "bpf", "fuse", "jq", "xxd");
    check("docs/reference.md", 20);
}

#[test]
fn backups_are_as_described() {
    require!("root", "bpf", "fuse", "tar", "rsync", "git", "jq");
    check("docs/backup.md", 15);
}

/// A page docs/surprises.md …, examples run by a test.
#[test]
fn what_surprises_is_so() {
    require!("root", "bpf", "fuse", "jq", "bpftool", "vim", "python3");
    check("docs/surprises.md", 20);
}

/// README with a terminal picture of the tour: of the tour as it is now.
#[test]
fn the_picture_is_of_the_tour() {
    let picture = fs::read_to_string(path("docs/tour.svg")).unwrap();
    let drawn = Command::new(path("scripts/tour-picture")).output().expect("it starts");
    assert!(
        picture == String::from_utf8_lossy(&drawn.stdout),
        "the tour has changed: scripts/tour-picture > docs/tour.svg"
    );
    // What it shows is what the document says, whatever the script makes of it.
    let shown: Vec<String> = picture
        .lines()
        .filter(|line| line.starts_with("<text "))
        .map(|line| {
            let texts = line.split('<').filter_map(|tag| tag.split_once('>'));
            let text: String = texts.map(|(_, text)| text).collect();
            text.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
        })
        .collect();
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let said: Vec<String> = steps(&readme)
        .into_iter()
        .flat_map(|step| {
            let output = step.output.lines().map(String::from).collect::<Vec<_>>();
            let command = format!("# {}", step.command.replace('\n', "\n> "));
            command.lines().map(String::from).chain(output).collect::<Vec<_>>()
        })
        .collect();
    let is_said = said.windows(shown.len()).any(|part| part == shown);
    assert!((8..=15).contains(&shown.len()) && is_said, "{shown:#?}");
}

/// The comparison itself: `…` is anything on its line, or any lines, and nothing else is.
#[test]
fn comparison() {
    assert!(fits("a\nb\n", "a\nb\n"));
    assert!(!fits("a\nb\n", "a\n"));
    assert!(!fits("ab\n", "a\n"));
    assert!(fits("2026 pid=3 x\n", "… pid=… x\n"));
    assert!(!fits("2026 pid=3 y\n", "… pid=… x\n"));
    assert!(fits("total 7\n", "total …\n"));
    assert!(fits("a\nb\nc\nd\n", "a\n…\nd\n") && fits("a\n", "a\n…\n"));
    assert!(!fits("a\nb\nc\n", "a\n…\nd\n") && !fits("a\n", "b\n…\n"));
    assert_eq!(plain("bash: line 12: echo: write error"), "bash: echo: write error");
    assert_eq!(plain("in line 12: x"), "in line 12: x");
}

/// Commands of several lines, and what is output although it looks like more of a command.
#[test]
fn commands_and_their_output() {
    let text = "a\n```console\n# for x in 1 2; do\n> echo $x\n> done\n1\n2\n# diff a b\n1c1\n> 3\n```\n# b\n";
    let steps = steps(text);
    let all: Vec<_> = steps.iter().map(|s| (s.line, &*s.command, &*s.output)).collect();
    assert_eq!(
        all,
        [(3, "for x in 1 2; do\necho $x\ndone", "1\n2\n"), (8, "diff a b", "1c1\n> 3\n")]
    );
    let outputs = ["1\n2\n".to_owned(), "1c1\n> 4\n".to_owned()];
    assert_eq!(updated(text, &steps, &outputs), text.replace("> 3", "> 4"));
}

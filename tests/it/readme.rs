//! The README's `console` blocks are run, and their output compared: what it shows is what happens.
//!
//! A line that begins with `# ` is a command, the lines below it are its output; `…` in them stands
//! for any text. `BPFFUSE_UPDATE_README=1 cargo test --test it readme` writes the present output
//! into the README; look at the difference before you commit it.

use crate::common::Bed;
use crate::common::require::require;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Ends each command's output in the session's own output.
const MARK: &str = "<<< end of output >>>";

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// A command of the README, and the line that it is on.
struct Step<'a> {
    command: &'a str,
    output: String,
    line: usize,
}

/// The commands of all `console` blocks, in order.
fn steps(readme: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut inside = false;
    for (number, line) in readme.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            if let Some(command) = line.strip_prefix("# ") {
                steps.push(Step { command, output: String::new(), line: number + 1 });
            } else {
                let step = steps.last_mut().expect("a block begins with a command");
                step.output.push_str(line);
                step.output.push('\n');
            }
        }
    }
    steps
}

/// Runs the commands in one shell, in namespaces of their own; gives each one's output.
fn run(bed: &Bed, steps: &[Step<'_>]) -> Vec<String> {
    let mut script = "exec 2>&1\n".to_owned();
    for step in steps {
        writeln!(script, "{}\necho '{MARK}'", step.command).unwrap();
    }
    // A script's messages say on which line it is; a user's shell does not.
    let ran = bed.ok(&script);
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

/// Whether `text` is `pattern`, in which `…` stands for anything on a line.
fn fits(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<_>, Vec<_>) = (text.lines().collect(), pattern.lines().collect());
    text.len() == pattern.len()
        && text.iter().zip(pattern).all(|(line, pattern)| {
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
        })
}

/// "a two-minute tour with real output".
#[test]
fn the_readme_shows_what_happens() {
    require!("root", "bpf", "fuse", "xdp-filter", "ip", "jq", "bpftool", "runuser");
    let readme = fs::read_to_string(path()).unwrap();
    let steps = steps(&readme);
    assert!(steps.len() > 30, "the tour is gone");
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf; mkdir /mnt/maps");
    let outputs = run(&bed, &steps);
    if std::env::var_os("BPFFUSE_UPDATE_README").is_some() {
        fs::write(path(), updated(&readme, &steps, &outputs)).unwrap();
        return;
    }
    for (step, output) in steps.iter().zip(&outputs) {
        assert!(
            fits(output, &step.output),
            "README.md line {}: # {}\n--- the README says\n{}--- it printed\n{output}---",
            step.line,
            step.command,
            step.output
        );
    }
}

/// The README with the output that came, where it is another.
fn updated(readme: &str, steps: &[Step<'_>], outputs: &[String]) -> String {
    let mut text = String::new();
    let mut lines = readme.lines().enumerate().peekable();
    let mut steps = steps.iter().zip(outputs);
    let mut inside = false;
    while let Some((_, line)) = lines.next() {
        writeln!(text, "{line}").unwrap();
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && line.starts_with("# ") {
            let (step, output) = steps.next().expect("as many steps as commands");
            while lines.next_if(|(_, l)| !l.starts_with("# ") && !l.starts_with("```")).is_some() {}
            let is_right = fits(output, &step.output);
            text.push_str(if is_right { &step.output } else { output });
        }
    }
    text
}

/// The comparison itself: `…` is anything on its line, and nothing else is.
#[test]
fn comparison() {
    assert!(fits("a\nb\n", "a\nb\n"));
    assert!(!fits("a\nb\n", "a\n"));
    assert!(!fits("ab\n", "a\n"));
    assert!(fits("2026 pid=3 x\n", "… pid=… x\n"));
    assert!(!fits("2026 pid=3 y\n", "… pid=… x\n"));
    assert!(fits("total 7\n", "total …\n"));
    assert_eq!(plain("bash: line 12: echo: write error"), "bash: echo: write error");
    assert_eq!(plain("in line 12: x"), "in line 12: x");
}

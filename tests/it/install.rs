//! What is installed beside the program: completions, and the systemd unit.

use crate::common::Bed;
use crate::common::require::require;
use crate::common::shell::BPFFUSE;
use bpffuse::cli::Cli;
use clap::CommandFactory;
use clap_complete::Shell;
use std::fs;
use std::path::{Path, PathBuf};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/bpffuse.service");

/// The options as `--help` has them, in their long form.
fn long_options(bed: &Bed) -> Vec<String> {
    let found = bed.ok("bpffuse --help | grep -oE '^ .{2,6}--[a-z-]+' | grep -oE -e '--[a-z-]+'");
    let found: Vec<String> = found.lines().map(str::to_owned).collect();
    assert!(found.len() > 8, "{found:?}");
    found
}

/// Where they are in the repository.
fn kept(shell: Shell) -> PathBuf {
    let name = match shell {
        Shell::Bash => "bpffuse.bash",
        Shell::Zsh => "_bpffuse",
        _ => "bpffuse.fish",
    };
    Path::new(TOP).join("packaging/completions").join(name)
}

/// The completions that a package gets, as `completions` in the bed's directory.
fn completions(bed: &Bed, shell: Shell) {
    fs::copy(kept(shell), bed.dir.join("completions")).unwrap();
}

/// A package is built without what makes them, so they are kept: BPFFUSE_UPDATE_COMPLETIONS=1 writes them anew.
#[test]
fn completions_are_those_of_the_options() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut made = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "bpffuse", &mut made);
        if std::env::var_os("BPFFUSE_UPDATE_COMPLETIONS").is_some() {
            fs::write(kept(shell), &made).unwrap();
        }
        let is = fs::read(kept(shell)).unwrap_or_default();
        assert!(is == made, "{shell}: run this test with BPFFUSE_UPDATE_COMPLETIONS=1");
    }
}

#[test]
fn bash_completes_options() {
    require!("root");
    let bed = Bed::without_bpffs();
    completions(&bed, Shell::Bash);
    let complete = |words: &str, number: u32| {
        bed.ok(&format!(
            ". ./completions; COMP_WORDS=({words}) COMP_CWORD={number}
             _bpffuse bpffuse \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        ))
    };
    assert_eq!(complete("bpffuse --def", 1), "--default-map\n");
    assert_eq!(complete("bpffuse -f --no-m", 2), "--no-mount-bpffs\n");
    // Values: mount options by name, files by what is there.
    assert_eq!(complete("bpffuse -o allow", 2), "allow_other\n");
    assert!(complete("bpffuse -o ''", 2).contains("metrics_group="));
    bed.ok("touch my_types.c");
    assert_eq!(complete("bpffuse --types my_", 2), "my_types.c\n");
    for option in long_options(&bed) {
        assert!(complete("bpffuse --", 1).lines().any(|is| is == option), "{option}");
    }
    assert!(bed.ok(". ./completions; complete -p bpffuse").contains("_bpffuse"));
}

#[test]
fn zsh_completes_options() {
    require!("root", "zsh");
    let bed = Bed::without_bpffs();
    completions(&bed, Shell::Zsh);
    bed.ok("zsh -n completions");
    for option in long_options(&bed) {
        bed.ok(&format!("grep -qFe '{option}' completions"));
    }
    // Completion needs a terminal; that it loads and is registered does not.
    let registered = "autoload -U compinit && compinit -D -u && source ./completions
                      print -r -- $_comps[bpffuse]";
    fs::write(bed.dir.join("script"), registered).unwrap();
    assert_eq!(bed.ok("HOME=$PWD zsh -f script"), "_bpffuse\n");
}

#[test]
fn fish_completes_options() {
    require!("root", "fish");
    let bed = Bed::without_bpffs();
    completions(&bed, Shell::Fish);
    let complete =
        "export HOME=$PWD; fish --private -c 'source completions; complete -C \"bpffuse --";
    let found = bed.ok(&format!("{complete}def\"'"));
    assert!(found.starts_with("--default-map\t"), "{found}");
    let values = bed.ok("export HOME=$PWD; fish --private -c 'source completions; complete -C \"bpffuse -o allow\"'");
    assert_eq!(
        values.lines().map(|line| line.split('\t').next()).collect::<Vec<_>>(),
        [Some("allow_other")]
    );
    let all = bed.ok(&format!("{complete}\"'"));
    for option in long_options(&bed) {
        assert!(
            all.lines().any(|line| line.split('\t').next() == Some(&option)),
            "{option}: {all}"
        );
    }
}

/// The values of a directive of the unit.
fn directive(name: &str) -> Vec<String> {
    let unit = fs::read_to_string(UNIT).unwrap();
    let values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Its systemd unit is hardened: to what the daemon keeps itself, and without a mount namespace,
/// in which nobody else would see the mount.
#[test]
fn the_unit_fits_the_daemon() {
    let mut rights = directive("CapabilityBoundingSet");
    rights.sort_unstable();
    let mut kept: Vec<_> = super::privileges::KEPT.iter().map(|(name, _)| *name).collect();
    kept.sort_unstable();
    assert_eq!(rights, kept);
    assert_eq!(directive("Type"), ["notify"]);
    assert!(directive("ExecStart").contains(&"--foreground".to_owned()));
    let unit = fs::read_to_string(UNIT).unwrap();
    for line in unit.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split('=').next().unwrap();
        // Those of systemd.exec(5) that make one.
        let makes_one = ["Private", "Protect", "ReadOnly", "ReadWrite", "Inaccessible", "Bind"]
            .iter()
            .chain(&[
                "ExecPaths",
                "NoExecPaths",
                "TemporaryFileSystem",
                "Root",
                "Mount",
                "DynamicUser",
            ])
            .any(|start| name.starts_with(start));
        assert!(!makes_one, "{line}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    require!("root", "systemd-analyze");
    let bed = Bed::without_bpffs();
    // It looks whether the program is there.
    let unit = fs::read_to_string(UNIT).unwrap().replace("/usr/bin/bpffuse", BPFFUSE);
    fs::write(bed.dir.join("bpffuse.service"), unit).unwrap();
    let ran = bed.run("systemd-analyze verify --man=no ./bpffuse.service");
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{ran}");
    assert!(ran.status.success());
}

/// The unit's own command line, with the values of /etc/default/bpffuse as its comments have them.
#[test]
fn the_units_command_line_mounts() {
    require!("root", "bpf", "fuse", "unshare");
    let bed = Bed::private("mount -t bpf bpf /sys/fs/bpf");
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/default");
    let line = |name: &str| directive(name).join(" ").replace("/usr/bin/bpffuse", "bpffuse");
    bed.ok(&format!(
        "set -e; export {}; {}
         {} & while ! test -e /mnt/maps/.help; do sleep 0.1; done; umount /mnt/maps; wait $!",
        line("Environment"),
        line("ExecStartPre").trim_start_matches('-'),
        line("ExecStart"),
    ));
    // All of it is said there, and the commented values are the unit's own.
    let said = fs::read_to_string(values).unwrap();
    for value in directive("Environment") {
        assert!(said.lines().any(|line| line == format!("#{value}")), "{value}");
    }
}

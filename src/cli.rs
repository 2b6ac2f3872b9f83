//! The command line, and the settings that it resolves to.

mod mount8;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{ArgAction, Parser, ValueHint};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// Where bpffs is unless the command line says otherwise.
const BPFFS: &str = "/sys/fs/bpf";

/// What `mkdir` makes unless the command line says otherwise.
const DEFAULT_MAP: &str = "hash key u32 value u64 entries 1024";

/// The licences of what is inside the program; `scripts/notices` makes them.
pub const NOTICES: &str = include_str!("../packaging/notices.txt");

/// As clap's own, but for the arguments: it knows of no optional one before one that is required.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Arguments:
  [BPFFS]     The bpffs to show [default: /sys/fs/bpf]
  MOUNTPOINT  The directory to mount on

Options:
{options}{after-help}";

/// Shows pinned eBPF maps as directories, with one file per key.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    override_usage = "bpffuse [OPTIONS] [BPFFS] MOUNTPOINT",
    help_template = HELP,
    after_help = "Example:\n  bpffuse /mnt/maps; ls /mnt/maps; cat /mnt/maps/.help; umount /mnt/maps"
)]
pub struct Cli {
    /// The mount point, after the bpffs to show if that is not /sys/fs/bpf
    #[arg(value_name = "MOUNTPOINT", num_args = 1..=2, required = true,
        value_hint = ValueHint::DirPath)]
    paths: Vec<PathBuf>,

    /// Stay in the foreground
    #[arg(short, long)]
    foreground: bool,

    /// Mount options, as mount(8) passes them: allow_other, ro, noatime, …
    #[arg(short, value_name = "OPT[,OPT…]", action = ArgAction::Append,
        value_parser = MountOptions, hide_possible_values = true)]
    options: Vec<String>,

    /// Allow no change
    #[arg(short, long)]
    read_only: bool,

    /// Whose the mount is, beside root: by default who typed sudo, else root alone
    #[arg(long, value_name = "USER", value_hint = ValueHint::Username)]
    owner: Option<String>,

    /// The group that may read /.metrics, whoever else may come in
    #[arg(long, value_name = "GROUP", value_hint = ValueHint::Other)]
    metrics_group: Option<String>,

    /// The map that mkdir makes, in bpftool's words
    #[arg(long, value_name = "SPEC", value_hint = ValueHint::Other, default_value = DEFAULT_MAP)]
    default_map: String,

    /// Types for maps by their names, in C, for those that have none or say too little; repeatable
    #[arg(long, value_name = "FILE", action = ArgAction::Append, value_hint = ValueHint::FilePath)]
    types: Vec<PathBuf>,

    /// How often a map that is watched is compared: seconds, or with a unit (ms, s, m)
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, default_value = "1", value_parser = interval)]
    watch_interval: Duration,

    /// Threads that answer requests, 1 to 64; by default one for each CPU, 4 at most
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,

    /// Do not mount bpffs where there is none
    #[arg(long)]
    no_mount_bpffs: bool,

    /// Log what changes something, with old and new values, or is refused; -vv: every operation. Seen with -f or --log-file
    #[arg(short, action = ArgAction::Count)]
    verbose: u8,

    /// Append the log to this file instead of standard error. With it, SIGHUP reopens the log
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    log_file: Option<PathBuf>,

    /// Mount nothing: is 0 if the mount at MOUNTPOINT answers within 5 seconds (for probes of containers)
    #[arg(long)]
    probe: bool,

    /// Mount nothing: print the licences of what is inside the program
    #[arg(long, exclusive = true)]
    notices: bool,

    /// Whether unknown mount options are passed over
    #[arg(skip)]
    sloppy: bool,

    /// Whether mount(8) calls
    #[arg(skip)]
    by_mount: bool,

    /// Whether all is done but mounting
    #[arg(skip)]
    pretend: bool,
}

/// What bpffuse is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The bpffs to show.
    pub bpffs: PathBuf,
    /// Where to mount.
    pub mountpoint: PathBuf,
    /// Whether to stay in the foreground.
    pub foreground: bool,
    /// Whether users other than the mount's owner may come in.
    pub allow_other: bool,
    /// Whose the mount is, by name or number, if that is said.
    pub owner: Option<String>,
    /// The group that may read `/.metrics`, by name or number.
    pub metrics_group: Option<String>,
    /// Whether mount(8) has called, for the machine.
    pub by_mount: bool,
    /// Mount flags that the kernel knows, such as `ro` or `noatime`.
    pub flags: Vec<String>,
    /// The map that mkdir makes.
    pub default_map: String,
    /// Files with types for maps.
    pub types: Vec<PathBuf>,
    /// How often a map that is watched is compared.
    pub watch_interval: Duration,
    /// Threads that answer requests.
    pub threads: usize,
    /// Whether to mount bpffs where there is none.
    pub mount_bpffs: bool,
    /// How often -v was given.
    pub verbose: u8,
    /// Where the log goes instead of standard error.
    pub log_file: Option<PathBuf>,
    /// Whether to look only whether the mount answers.
    pub probe: bool,
    /// Whether to print [`NOTICES`] and no more.
    pub notices: bool,
    /// The mode to make the mount point with if it is missing: `-o X-mount.mkdir`, as for mount(8).
    pub make_mountpoint: Option<u32>,
    /// Whether to look only whether mounting would be possible, as `mount -f` asks.
    pub pretend: bool,
}

impl Config {
    /// Reads a command line, the program's name first. As `mount.fuse.bpffuse` it is mount(8)'s.
    ///
    /// # Errors
    /// A usage error, or the help or version that was asked for: clap prints either.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        let cli = mount8::parse(&args).unwrap_or_else(|| Cli::try_parse_from(&args))?;
        let mut paths = cli.paths.into_iter().rev();
        let mountpoint = paths.next().unwrap_or_default();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut config = Self {
            bpffs: paths.next().unwrap_or_else(|| BPFFS.into()),
            mountpoint,
            foreground: cli.foreground,
            allow_other: false,
            owner: cli.owner,
            metrics_group: cli.metrics_group,
            by_mount: cli.by_mount,
            flags: Vec::new(),
            default_map: cli.default_map,
            types: cli.types,
            watch_interval: cli.watch_interval,
            threads: cli.threads.map_or(cpus.min(4), usize::from),
            mount_bpffs: !cli.no_mount_bpffs,
            verbose: cli.verbose,
            log_file: cli.log_file,
            probe: cli.probe,
            notices: cli.notices,
            make_mountpoint: None,
            pretend: cli.pretend,
        };
        for option in cli.options.iter().flat_map(|list| list.split(',')) {
            let known = config.mount_option(option);
            if !cli.sloppy {
                known?;
            }
        }
        if cli.read_only {
            config.set_flag("ro");
        }
        Ok(config)
    }

    fn mount_option(&mut self, option: &str) -> Result<(), clap::Error> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value) {
            ("allow_other", None) => self.allow_other = true,
            ("owner", Some(user)) => self.owner = Some(user.to_owned()),
            ("metrics_group", Some(group)) => self.metrics_group = Some(group.to_owned()),
            ("types", Some(file)) => self.types.push(file.into()),
            ("X-mount.mkdir", mode) => {
                let mode = u32::from_str_radix(mode.unwrap_or("755"), 8);
                let mode = mode.ok().filter(|mode| *mode <= 0o7777);
                self.make_mountpoint = Some(mode.ok_or_else(|| {
                    usage_error(format!("mount option '{option}': the mode is octal, such as 755"))
                })?);
            }
            (
                "ro" | "rw" | "dev" | "nodev" | "suid" | "nosuid" | "exec" | "noexec" | "atime"
                | "noatime" | "sync" | "async" | "dirsync" | "symfollow" | "nosymfollow",
                None,
            ) => self.set_flag(name),
            // Set in any case, without a meaning here, or meant for mount(8) and systemd, which pass
            // them on regardless.
            (
                ""
                | "default_permissions"
                | "relatime"
                | "norelatime"
                | "strictatime"
                | "nostrictatime"
                | "lazytime"
                | "nolazytime"
                | "diratime"
                | "nodiratime"
                | "iversion"
                | "noiversion"
                | "mand"
                | "nomand"
                | "silent"
                | "loud"
                | "defaults"
                | "auto"
                | "noauto"
                | "user"
                | "nouser"
                | "users"
                | "owner"
                | "group"
                | "nofail"
                | "_netdev"
                | "nonempty",
                None,
            )
            | ("fsname" | "subtype" | "comment", Some(_)) => {}
            _ if name.starts_with("x-") || name.starts_with("X-") => {}
            ("remount", None) => {
                return Err(usage_error(format!(
                    "the kernel alone changes flags of a mount; mount -i -o remount,ro {} asks it",
                    self.mountpoint.display()
                )));
            }
            ("context" | "fscontext" | "defcontext" | "rootcontext", Some(_)) => {
                return Err(usage_error(format!(
                    "mount option '{option}': SELinux labels cannot be set; leave it out"
                )));
            }
            _ => {
                return Err(usage_error(format!(
                    "unknown mount option '{option}'; known are allow_other, owner, types, ro and mount(8)'s generic ones"
                )));
            }
        }
        Ok(())
    }

    /// Sets a flag; of two that contradict each other, the last one holds, as with mount(8).
    fn set_flag(&mut self, flag: &str) {
        let opposite = match flag {
            "ro" => "rw",
            "rw" => "ro",
            "sync" => "async",
            "async" => "sync",
            flag => flag.strip_prefix("no").unwrap_or(flag),
        };
        self.flags
            .retain(|old| old != flag && old != opposite && old.strip_prefix("no") != Some(flag));
        self.flags.push(flag.to_owned());
    }
}

/// Takes any list of mount options, which [`Config::mount_option`] reads; completions offer these.
#[derive(Clone)]
struct MountOptions;

impl TypedValueParser for MountOptions {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let offered = [
            ("allow_other", "let other users in, as the pins' modes allow"),
            ("ro", "allow no change"),
            ("nosymfollow", "follow no symbolic links"),
            ("noatime", "as for any file system"),
            ("X-mount.mkdir", "make the mount point if it is missing"),
            ("owner=", "as --owner"),
            ("metrics_group=", "as --metrics-group"),
            ("types=", "as --types"),
        ];
        Some(Box::new(offered.into_iter().map(|(name, help)| PossibleValue::new(name).help(help))))
    }
}

fn usage_error(message: String) -> clap::Error {
    clap::Error::raw(clap::error::ErrorKind::InvalidValue, message + "\n")
}

/// Reads a time such as `1`, `0.5`, `200ms`, `2s` or `1m`: from 10 ms to a day.
fn interval(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("the unit is ms, s or m".into()),
    };
    let seconds = number.parse::<f64>().map_err(|_| "not a number".to_owned())? * unit;
    if (0.01..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("from 10ms to 86400s".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Config, clap::Error> {
        let args = std::iter::once("bpffuse").chain(args.split_whitespace());
        Config::parse(args.map(OsString::from))
    }

    #[test]
    fn command_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn one_path_is_the_mount_point() {
        let config = parse("/mnt").unwrap();
        assert_eq!((config.bpffs, config.mountpoint), ("/sys/fs/bpf".into(), "/mnt".into()));
        assert!(config.mount_bpffs && !config.foreground);
    }

    #[test]
    fn notices_need_no_mount_point() {
        assert!(parse("--notices").unwrap().notices && !parse("/mnt").unwrap().notices);
        assert!(parse("--notices /mnt").is_err());
        assert!(NOTICES.lines().count() > 100);
    }

    /// What completions offer for -o is accepted.
    #[test]
    fn offered_mount_options_are_known() {
        for option in MountOptions.possible_values().unwrap() {
            let value = if option.get_name().ends_with('=') { "x" } else { "" };
            let line = format!("/mnt -o {}{value}", option.get_name());
            assert!(parse(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn as_mount_8_calls_it() {
        let config = parse("/sys/fs/bpf /mnt -o rw,allow_other,nodev,x-systemd.automount").unwrap();
        assert!(config.allow_other);
        assert_eq!(config.flags, ["rw", "nodev"]);
    }

    #[test]
    fn as_mount_8_calls_its_helper() {
        let helper = |args: &str| {
            let args = std::iter::once("/sbin/mount.fuse.bpffuse").chain(args.split_whitespace());
            Config::parse(args.map(OsString::from))
        };
        let config = helper("/b /mnt -nvf -o rw,allow_other -t fuse.bpffuse").unwrap();
        assert_eq!((config.bpffs, config.mountpoint), ("/b".into(), "/mnt".into()));
        assert!(config.allow_other && config.pretend && !config.foreground && config.mount_bpffs);
        assert_eq!(config.verbose, 1);
        assert!(helper("/b /mnt -s -o bogus,ro").unwrap().flags == ["ro"]);
        for wrong in ["/mnt", "/b /mnt -o bogus", "/b /mnt -r", "/b /mnt -N 7", "/b /mnt c"] {
            assert!(helper(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_option_holds() {
        assert_eq!(parse("/mnt -o ro,rw,noatime,atime").unwrap().flags, ["rw", "atime"]);
        assert_eq!(parse("/mnt -r -o rw").unwrap().flags, ["ro"]);
    }

    #[test]
    fn the_mount_point_can_be_made() {
        assert_eq!(parse("/mnt").unwrap().make_mountpoint, None);
        assert_eq!(parse("/mnt -o X-mount.mkdir").unwrap().make_mountpoint, Some(0o755));
        assert_eq!(parse("/mnt -o X-mount.mkdir=0700").unwrap().make_mountpoint, Some(0o700));
        for mode in ["", "8", "77777"] {
            assert!(parse(&format!("/mnt -o X-mount.mkdir={mode}")).is_err(), "{mode}");
        }
    }

    #[test]
    fn intervals_have_units() {
        for (text, ms) in [("1", 1000), ("0.5", 500), ("20ms", 20), ("2s", 2000), ("1m", 60_000)] {
            let config = parse(&format!("/mnt --watch-interval {text}")).unwrap();
            assert_eq!(config.watch_interval.as_millis(), ms, "{text}");
        }
        for text in ["0", "1ms", "-1", "nan", "inf", "1h", "ms", "1e9"] {
            assert!(parse(&format!("/mnt --watch-interval {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for args in ["", "a b c", "/mnt -o bogus", "/mnt --threads 0", "/mnt -o threads"] {
            assert!(parse(args).is_err(), "{args}");
        }
    }
}

//! How mount(8) calls us, under the name `mount.fuse.bpffuse`: its letters are others than ours.

use super::Cli;
use clap::{ArgAction, Parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Mounts for mount(8), as `mount -t fuse.bpffuse` and /etc/fstab have it.
#[derive(Debug, Parser)]
#[command(override_usage = "mount.fuse.bpffuse BPFFS MOUNTPOINT [-sfnv] [-o OPT[,OPT…]] [-t TYPE]")]
struct Helper {
    /// The bpffs to show
    bpffs: PathBuf,

    /// The mount point
    mountpoint: PathBuf,

    /// Mount options
    #[arg(short, value_name = "OPT[,OPT…]", action = ArgAction::Append)]
    options: Vec<String>,

    /// Pass over unknown mount options
    #[arg(short)]
    sloppy: bool,

    /// Do everything but mount
    #[arg(short)]
    fake: bool,

    /// Nothing: there is no mtab
    #[arg(short)]
    no_mtab: bool,

    /// Log more
    #[arg(short, action = ArgAction::Count)]
    verbose: u8,

    /// Nothing: there is one type
    #[arg(short, value_name = "TYPE")]
    type_: Option<String>,
}

/// Reads the command line if it is mount(8)'s, by the program's name.
pub(super) fn parse(args: &[OsString]) -> Option<Result<Cli, clap::Error>> {
    let name = Path::new(args.first()?).file_name()?;
    if !name.as_bytes().starts_with(b"mount.") {
        return None;
    }
    let cli = Helper::try_parse_from(args).and_then(|helper| {
        // What is not mount(8)'s to say has its default.
        let paths = [helper.bpffs.into_os_string(), helper.mountpoint.into_os_string()];
        let line = [OsString::from("bpffuse"), "--".into()].into_iter().chain(paths);
        let defaults = Cli::try_parse_from(line)?;
        Ok(Cli {
            options: helper.options,
            sloppy: helper.sloppy,
            by_mount: true,
            pretend: helper.fake,
            verbose: helper.verbose,
            ..defaults
        })
    });
    Some(cli)
}

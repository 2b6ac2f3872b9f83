//! What must hold before mounting, each with its own sentence when it does not.

use super::Error;
use crate::cli::Config;
use crate::sys::{describe, mounts, object, os};
use nix::sys::statvfs::statvfs;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes the mount point, and what is above it, where there is nothing.
pub(super) fn make_mountpoint(path: &Path, mode: u32) -> Result<(), Error> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(|error| mountpoint_error(path, &error)),
        // Among the others is ENOTCONN, of a dead mount.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A directory that can be mounted on; a dead mount on it is cleaned away.
pub(super) fn mountpoint(path: &Path) -> Result<(), Error> {
    // The kernel keeps attributes of a mount that is dead by now, but has to ask for this.
    let asked = |meta: fs::Metadata| statvfs(path).map_err(io::Error::from).map(|_| meta);
    match fs::metadata(path).and_then(asked) {
        Ok(meta) if !meta.is_dir() => {
            let shown = path.display();
            return Err(Error(format!("{shown}: not a directory; name one to mount on")));
        }
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            log::warn!("{}: unmounting what a dead daemon left", path.display());
            os::unmount(path, true).map_err(|error| {
                let shown = path.display();
                Error(format!("{shown}: a dead mount is in the way ({error}); umount -l {shown}"))
            })?;
            return mountpoint(path);
        }
        Err(error) => return Err(mountpoint_error(path, &error)),
    }
    if mounted(path)?.as_deref() == Some("fuse.bpffuse") {
        let shown = path.display();
        return Err(Error(format!(
            "{shown}: bpffuse is mounted here already; umount {shown} first"
        )));
    }
    Ok(())
}

/// Why a path is no mount point.
pub(super) fn mountpoint_error(path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error(format!("{shown}: no such directory; make it with mkdir -p {shown}"))
        }
        _ => Error(format!("{shown}: {}; choose another mount point", describe(error))),
    }
}

/// The type of what is mounted at `path` itself, if anything is.
pub(super) fn mounted(path: &Path) -> Result<Option<String>, Error> {
    let Ok(path) = path.canonicalize() else { return Ok(None) };
    let mount = mounts::at(&path).map_err(|error| no_mount_table(&error))?;
    Ok(mount.map(|mount| mount.kind))
}

/// That it cannot be known what is mounted where.
pub(super) fn no_mount_table(error: &crate::sys::Error) -> Error {
    Error(format!("/proc/self/mountinfo: {error}; mount /proc"))
}

/// With a bpffs that others may write to, plain bpf(2) turns "may read" into "may write" (BPF_OBJ_GET
/// read-only, BPF_OBJ_PIN under a name of one's own): nothing that we could hold back.
pub(super) fn open_to_all(config: &Config) {
    let mode = fs::metadata(&config.bpffs).map(|meta| meta.mode()).unwrap_or(0);
    if config.allow_other && mode & 0o022 != 0 {
        let shown = config.bpffs.display();
        log::warn!(
            "{shown}: others may write here (mode {:o}), so who may read a map can pin it anew and write to it \
             by bpf(2); chmod 755 {shown} keeps them from that",
            mode & 0o7777
        );
    }
}

/// Root, /dev/fuse, and the right to use bpf(2).
pub(super) fn privileges() -> Result<(), Error> {
    if os::effective_uid() != 0 {
        return Err(Error("only root can mount maps; run it with sudo".into()));
    }
    if !Path::new("/dev/fuse").exists() {
        return Err(Error(
            "there is no /dev/fuse; load the module with modprobe fuse (a container: --device /dev/fuse)"
                .into(),
        ));
    }
    // A container may have the file and yet not the device.
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Err(Error(format!(
            "/dev/fuse: {}; let it be opened (a container: --device /dev/fuse)",
            describe(&error)
        )));
    }
    match object::next_map_id(0) {
        Err(error) if error.errno == libc::EPERM => Err(Error(
            "bpf(2) is not permitted; run it with CAP_SYS_ADMIN (a container: --cap-add SYS_ADMIN)"
                .into(),
        )),
        Err(error) if error.errno == libc::ENOSYS => {
            Err(Error("this kernel has no bpf(2); use one with CONFIG_BPF_SYSCALL".into()))
        }
        _ => Ok(()),
    }
}

/// A bpffs at `path`, mounted now if there is none and `mount` says so.
pub(super) fn bpffs(path: &Path, mount: bool) -> Result<(), Error> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(Error(format!("{shown}: not a directory; name the bpffs to show"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error(format!("{shown}: no such directory; name the bpffs to show")));
        }
        Err(error) => {
            return Err(Error(format!("{shown}: {}; name the bpffs to show", describe(&error))));
        }
    }
    if os::fs_magic(path).map_err(|error| Error(format!("{shown}: {error}")))? == os::BPF_FS_MAGIC {
        return Ok(());
    }
    if let Some(other) = mounted(path)? {
        return Err(Error(format!(
            "{shown}: {other} is mounted here, not bpffs; name the bpffs to show, or umount {shown}"
        )));
    }
    if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error(format!(
            "{shown}: not a bpffs, and not empty to mount one on; name the bpffs to show"
        )));
    }
    if !mount {
        return Err(Error(format!("{shown}: no bpffs is mounted here; mount -t bpf bpf {shown}")));
    }
    log::info!("mounting bpffs on {shown}");
    os::mount_bpffs(path).map_err(|error| match error.errno {
        libc::ENODEV => Error("this kernel has no bpffs; use one with CONFIG_BPF_SYSCALL".into()),
        libc::EPERM => {
            Error(format!("{shown}: mounting bpffs is not permitted; run it with CAP_SYS_ADMIN"))
        }
        _ => Error(format!(
            "{shown}: cannot mount bpffs: {error}; mount -t bpf bpf {shown} tells more"
        )),
    })
}

/// The mount point must not be a bpffs, nor in one: it would hide it, or the daemon would wait for itself.
pub(super) fn apart(bpffs: &Path, mountpoint: &Path) -> Result<(), Error> {
    let Ok(mountpoint) = mountpoint.canonicalize() else { return Ok(()) };
    let holding = |path: &Path| mounts::holding(path).map_err(|error| no_mount_table(&error));
    if holding(&mountpoint)? != "bpf" {
        return Ok(());
    }
    let shown = mountpoint.display();
    let is_bpffs = mounted(&mountpoint)?.is_some();
    let of_first = bpffs.canonicalize().ok().map(|bpffs| holding(&bpffs)).transpose()?;
    Err(Error(match is_bpffs {
        true if of_first.is_some_and(|kind| kind != "bpf") => format!(
            "{shown}: this is the bpffs, and {} is not; swap the two: bpffuse {shown} {}",
            bpffs.display(),
            bpffs.display()
        ),
        true => {
            format!("{shown}: this is a bpffs, which a mount on it would hide; mount elsewhere")
        }
        false => format!("{shown}: inside a bpffs; mount elsewhere"),
    }))
}

/// What the daemon cannot do without: it must be missed before the parent says that all is well.
pub(super) fn surroundings() -> Result<(), Error> {
    if fs::read_link("/proc/self/exe").is_err() {
        return Err(Error("there is no /proc; mount -t proc proc /proc".into()));
    }
    if fs::OpenOptions::new().read(true).write(true).open("/dev/null").is_err() {
        return Err(Error("there is no /dev/null; mknod -m 666 /dev/null c 1 3".into()));
    }
    Ok(())
}

/// Why fuser could not mount.
pub(super) fn session_error(mountpoint: &Path, error: &io::Error) -> Error {
    let shown = mountpoint.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Error(format!("{shown}: mounting is not permitted; run it with CAP_SYS_ADMIN"))
        }
        _ => Error(format!(
            "{shown}: cannot mount: {}; --foreground -vv tells more",
            describe(error)
        )),
    }
}

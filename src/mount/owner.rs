//! Whose the mount is: root's, or the user's who is named or who typed sudo(8).

use super::Error;
use crate::cli::Config;
use crate::fs::Owner;
use nix::unistd::{Group, Uid, User};

/// Whose the mount is, and who else may come in.
///
/// # Errors
/// If there is no such user, or no such group.
pub(super) fn of(config: &Config) -> Result<Owner, Error> {
    let metrics_group = config.metrics_group.as_deref().map(gid).transpose()?;
    Ok(Owner { uid: uid(config)?, allow_other: config.allow_other, metrics_group })
}

/// A group's gid.
fn gid(group: &str) -> Result<u32, Error> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    match Group::from_name(group) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) | Err(_) => Err(Error(format!(
            "--metrics-group {group}: there is no such group; name one, or give a number"
        ))),
    }
}

/// The owner's uid.
///
/// # Errors
/// If there is no such user.
fn uid(config: &Config) -> Result<u32, Error> {
    let Some(owner) = &config.owner else { return Ok(typed_sudo(config).unwrap_or(0)) };
    if let Ok(uid) = owner.parse() {
        return Ok(uid);
    }
    match User::from_name(owner) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) | Err(_) => Err(Error(format!(
            "--owner {owner}: there is no such user; name one, or give a number"
        ))),
    }
}

/// Who called us through sudo(8). mount(8) mounts for the machine, whoever types it.
fn typed_sudo(config: &Config) -> Option<u32> {
    if config.by_mount {
        return None;
    }
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

/// A uid as people know it: with its name, if it has one.
pub(super) fn name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

//! Whose the mount is: root's, or the user's who is named or who typed sudo(8).

use super::Error;
use crate::cli::Config;
use nix::unistd::{Uid, User};

/// The owner's uid.
///
/// # Errors
/// If there is no such user.
pub(super) fn uid(config: &Config) -> Result<u32, Error> {
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

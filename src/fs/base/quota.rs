//! How many things of a kind users may have open: one of them, and all but the owner together.

use super::error::{Error, Result};
use super::held;
use crate::sys::limits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Files and directories that one user may have open.
const FILES: usize = 16_384;

/// Files and directories, whatever they hold.
pub static OPEN: LazyLock<Quota> = LazyLock::new(|| Quota::new("files", FILES, 4 * FILES));

/// Descriptors that this process keeps for as long as a file is open: half are left to the owner, and
/// to what is open for a moment.
pub static DESCRIPTORS: LazyLock<Quota> = LazyLock::new(|| {
    let most = limits::open_files();
    Quota::new("files that keep a descriptor", most / 4, most / 2)
});

/// What may be open, and what is.
#[derive(Debug)]
pub struct Quota {
    what: &'static str,
    one: usize,
    all: usize,
    users: Mutex<HashMap<u32, usize>>,
}

/// So many are open, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    quota: &'static Quota,
    /// Whose; the owner's are not counted.
    uid: Option<u32>,
    count: usize,
}

impl Quota {
    fn new(what: &'static str, one: usize, all: usize) -> Self {
        Self { what, one, all, users: Mutex::default() }
    }

    /// Counts `count` more for who asks this thread.
    ///
    /// # Errors
    /// EMFILE if that is more than this user may have, or all users together.
    pub fn take(&'static self, count: usize) -> Result<Permit> {
        self.take_for(held::asking(), count)
    }

    /// Whether one more may be opened.
    ///
    /// # Errors
    /// As for [`Quota::take`].
    pub fn check(&'static self) -> Result<()> {
        self.take(1).map(drop)
    }

    /// Counts one more for who asks this thread, who was allowed it by [`Quota::check`].
    pub fn count(&'static self) -> Permit {
        let uid = held::asking();
        if let Some(uid) = uid {
            *self.users.lock().entry(uid).or_default() += 1;
        }
        Permit { quota: self, uid, count: 1 }
    }

    fn take_for(&'static self, uid: Option<u32>, count: usize) -> Result<Permit> {
        if let Some(uid) = uid {
            let mut users = self.users.lock();
            let all: usize = users.values().sum();
            let mine = users.get(&uid).copied().unwrap_or(0);
            let (whose, most) = match (mine + count > self.one, all + count > self.all) {
                (false, false) => {
                    users.insert(uid, mine + count);
                    return Ok(Permit { quota: self, uid: Some(uid), count });
                }
                (true, _) => ("this user has", self.one),
                (false, true) => ("users have", self.all),
            };
            let reason = format!("{whose} {most} {} open already: close some", self.what);
            return Err(Error::new(libc::EMFILE, reason));
        }
        Ok(Permit { quota: self, uid: None, count })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(uid) = self.uid else { return };
        let mut users = self.quota.users.lock();
        if let Some(count) = users.get_mut(&uid) {
            *count = count.saturating_sub(self.count);
            if *count == 0 {
                users.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_and_all_users_are_bounded_and_the_owner_is_not() {
        static QUOTA: LazyLock<Quota> = LazyLock::new(|| Quota::new("things", 4, 6));
        let errno = |uid, count| QUOTA.take_for(Some(uid), count).err().map(|error| error.errno);
        let first = QUOTA.take_for(Some(1), 4).unwrap();
        assert_eq!(errno(1, 1), Some(libc::EMFILE));
        assert_eq!(errno(2, 3), Some(libc::EMFILE));
        assert_eq!(errno(2, 2), None);
        drop(QUOTA.take_for(None, 100).unwrap());
        drop(first);
        assert_eq!(errno(1, 4), None);
        assert!(QUOTA.users.lock().is_empty());
    }
}

//! What open files and directories hold, counted: who may only read a map must not be able to take all of
//! the machine's memory by opening it again and again.

use super::caller::Caller;
use super::error::{Error, Result};
use crate::map::{Map, room};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};

/// Bytes that open files may hold together before no more are opened. What one file holds is not
/// limited here: a value may be as large as the kernel lets it.
const MOST: usize = 1 << 30;
/// Bytes that the files of all but the mount's owner and root may hold together: the rest is a reserve.
const MOST_OF_OTHERS: usize = MOST / 4 * 3;
/// Bytes that the files of one such user may hold.
const MOST_OF_ONE: usize = MOST / 4;
/// Values up to this size are always served: the kernel spends as much on a file that is open.
const SMALL: usize = 1 << 10;
/// With counts for so many users, those who hold nothing any more are dropped.
const USERS_KEPT: usize = 1024;

/// Of the whole process, since memory is.
static ALL: LazyLock<Budget> = LazyLock::new(Budget::default);

#[derive(Debug, Default)]
struct Budget {
    used: AtomicUsize,
    others: AtomicUsize,
    /// What each user's files hold, as long as they hold anything.
    users: Mutex<HashMap<u32, Weak<AtomicUsize>>>,
}

impl Budget {
    /// What the files of a user hold.
    fn user(&self, uid: u32) -> Arc<AtomicUsize> {
        let mut users = self.users.lock();
        if let Some(held) = users.get(&uid).and_then(Weak::upgrade) {
            return held;
        }
        if users.len() >= USERS_KEPT {
            users.retain(|_, held| held.strong_count() > 0);
        }
        let held = Arc::new(AtomicUsize::new(0));
        users.insert(uid, Arc::downgrade(&held));
        held
    }
}

thread_local! {
    /// For whom this thread opens files: [`asks`]. Threads of our own open none.
    static ASKS: Cell<Option<u32>> = const { Cell::new(None) };
}

/// What is opened by this thread from now on counts as this caller's.
pub fn asks(caller: &Caller) {
    ASKS.set((!caller.is_owner).then_some(caller.uid));
}

/// For which user this thread opens files now; `None` for the owner.
pub(super) fn asking() -> Option<u32> {
    ASKS.get()
}

/// On whose account something is held.
#[derive(Debug, Clone)]
struct Payer {
    budget: &'static Budget,
    /// `None` for the mount's owner and root.
    user: Option<Arc<AtomicUsize>>,
}

impl Payer {
    fn of(budget: &'static Budget, uid: Option<u32>) -> Self {
        Self { budget, user: uid.map(|uid| budget.user(uid)) }
    }

    fn asking() -> Self {
        Self::of(&ALL, ASKS.get())
    }

    fn check(&self, size: usize) -> Result<()> {
        if size <= SMALL {
            return Ok(());
        }
        let is_over = |held: &AtomicUsize, most| held.load(Ordering::Relaxed) > most;
        let full = |whose: &str, most: usize| {
            let reason = format!("{whose} hold {} MiB already: close some", most >> 20);
            Err(Error::new(libc::ENOMEM, reason))
        };
        match &self.user {
            Some(user) if is_over(user, MOST_OF_ONE) => full("this user's open files", MOST_OF_ONE),
            Some(_) if is_over(&self.budget.others, MOST_OF_OTHERS) => {
                full("the open files of users", MOST_OF_OTHERS)
            }
            _ if is_over(&self.budget.used, MOST) => full("open files", MOST),
            _ => Ok(()),
        }
    }

    fn add(&self, bytes: usize) {
        // To take away, a number is added that wraps around to the right sum.
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(user) = &self.user {
            self.budget.others.fetch_add(bytes, Ordering::Relaxed);
            user.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Whether who asks has room for the text of another value of `size` bytes. To be asked before it is
/// made, where a file is opened.
///
/// # Errors
/// ENOMEM if open files hold too much already, all together or this user's.
pub fn check(size: usize) -> Result<()> {
    Payer::asking().check(size)
}

/// Whether there is room for another walk over a map, which holds some of its elements at a time. To
/// be asked before it begins.
///
/// # Errors
/// As for [`check`].
pub fn check_walk(map: &Map) -> Result<()> {
    check(walk_size(map))
}

fn walk_size(map: &Map) -> usize {
    let element = map.info.key_size as usize + map.value_len();
    element.saturating_mul(map.info.max_entries as usize)
}

/// Bytes that an open file or directory says it holds, in whatever form, on the account of who opened it.
#[derive(Debug)]
pub struct Share {
    counted: usize,
    payer: Payer,
}

impl Share {
    fn of(payer: Payer) -> Self {
        Self { counted: 0, payer }
    }

    /// Another one on the same account.
    pub fn another(&self) -> Self {
        Self::of(self.payer.clone())
    }

    /// Counts so many bytes from now on, instead of those before.
    pub fn set(&mut self, bytes: usize) {
        self.payer.add(bytes.wrapping_sub(self.counted));
        self.counted = bytes;
    }

    /// Whether there is room for `size` bytes more.
    ///
    /// # Errors
    /// As for [`check`].
    pub fn check(&self, size: usize) -> Result<()> {
        self.payer.check(size)
    }

    /// Whether there is room for another walk over a map.
    ///
    /// # Errors
    /// As for [`check`].
    pub fn check_walk(&self, map: &Map) -> Result<()> {
        self.payer.check(walk_size(map))
    }
}

impl Default for Share {
    /// On the account of who asks this thread now.
    fn default() -> Self {
        Self::of(Payer::asking())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Text that an open file holds, counted.
#[derive(Debug)]
pub struct Held {
    bytes: Vec<u8>,
    share: Share,
}

impl Held {
    /// Counts `bytes` until they are dropped, as held for who asks this thread now.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self::of(Payer::asking(), bytes)
    }

    /// Counts `bytes` until they are dropped, as held for `opener`.
    pub fn by(opener: &Caller, bytes: Vec<u8>) -> Self {
        Self::of(Payer::of(&ALL, (!opener.is_owner).then_some(opener.uid)), bytes)
    }

    fn of(payer: Payer, bytes: Vec<u8>) -> Self {
        let mut held = Self { bytes, share: Share::of(payer) };
        held.count();
        held
    }

    /// Counts what is allocated now.
    fn count(&mut self) {
        self.share.set(self.bytes.capacity());
    }

    /// Appends `more`.
    ///
    /// # Errors
    /// ENOMEM if there is no room, or open files hold too much already.
    pub fn append(&mut self, more: &[u8]) -> Result<()> {
        self.check(self.bytes.len().saturating_add(more.len()))?;
        room::append(&mut self.bytes, more)?;
        self.count();
        Ok(())
    }

    /// Whether there is room for `size` bytes.
    ///
    /// # Errors
    /// As for [`check`].
    pub fn check(&self, size: usize) -> Result<()> {
        self.share.payer.check(size)
    }

    /// Forgets the bytes, not the room for them.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Forgets what is behind the first `len` bytes, not the room for it.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Forgets the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Gives the bytes away: they count no more.
    pub fn take(&mut self) -> Vec<u8> {
        self.replace(Vec::new())
    }

    /// Holds other bytes instead, and gives those.
    pub fn replace(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let old = std::mem::replace(&mut self.bytes, bytes);
        self.count();
        old
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(outcome: Result<()>) -> Option<i32> {
        outcome.err().map(|error| error.errno)
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        static BUDGET: LazyLock<Budget> = LazyLock::new(Budget::default);
        let owner = || Payer::of(&BUDGET, None);
        let used = || BUDGET.used.load(Ordering::Relaxed);
        let small = Held::of(owner(), vec![0; 1000]);
        let mut grows = Held::of(owner(), Vec::new());
        grows.append(&[7; 5000]).unwrap();
        assert!(used() >= 6000, "{}", used());
        // As large as one value may be.
        let large = Held::of(owner(), Vec::with_capacity(MOST));
        assert_eq!(errno(grows.append(b"x")), Some(libc::ENOMEM));
        assert_eq!(errno(owner().check(SMALL + 1)), Some(libc::ENOMEM));
        owner().check(SMALL).unwrap();
        assert_eq!(grows.len(), 5000, "what was refused has changed nothing");
        drop(large);
        grows.append(b"x").unwrap();
        assert_eq!(grows.take().len(), 5001);
        drop((small, grows));
        assert_eq!(used(), 0);
    }

    #[test]
    fn users_have_shares_and_the_owner_a_reserve() {
        static BUDGET: LazyLock<Budget> = LazyLock::new(Budget::default);
        let user = |uid| Payer::of(&BUDGET, Some(uid));
        let fills = |uid| Held::of(user(uid), Vec::with_capacity(MOST_OF_ONE + 1));
        let first = fills(1000);
        assert_eq!(errno(user(1000).check(SMALL + 1)), Some(libc::ENOMEM));
        user(1000).check(SMALL).unwrap();
        user(1001).check(MOST).unwrap();
        let more = [fills(1001), fills(1002)];
        assert_eq!(errno(user(1003).check(SMALL + 1)), Some(libc::ENOMEM));
        Payer::of(&BUDGET, None).check(MOST).unwrap();
        drop(first);
        user(1000).check(MOST).unwrap();
        user(1003).check(MOST).unwrap();
        drop(more);
        assert_eq!(BUDGET.others.load(Ordering::Relaxed), 0);
        // Nobody's count is kept for ever.
        for uid in 0..3000 {
            drop(user(uid));
        }
        assert!(BUDGET.users.lock().len() <= USERS_KEPT);
    }
}

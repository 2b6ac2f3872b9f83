//! Telling the kernel what to forget: FUSE's notifications.

use crate::fs::Ino;
use crate::fs::base::kept_dirs::KernelCache;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

/// `enum fuse_notify_code` of `include/uapi/linux/fuse.h`; the third since Linux 6.16, the last since 6.18.
const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
const INC_EPOCH: i32 = 8;
const PRUNE: i32 = 9;

/// A descriptor of the connection.
#[derive(Debug)]
pub(super) struct Kernel(File);

impl Kernel {
    pub(super) fn new(connection: File) -> Self {
        Self(connection)
    }

    fn send(&self, code: i32, body: &[&[u8]]) -> io::Result<()> {
        let len = 16 + body.iter().map(|part| part.len()).sum::<usize>();
        let mut message = Vec::with_capacity(len);
        // `struct fuse_out_header`: no more than one batch, or one name, follows.
        message.extend((len as u32).to_ne_bytes());
        message.extend(code.to_ne_bytes());
        message.extend(0_u64.to_ne_bytes());
        body.iter().for_each(|part| message.extend_from_slice(part));
        // The kernel takes a message whole, or not at all.
        (&self.0).write(&message).map(drop)
    }

    /// Asks to forget inodes that nobody uses: `struct fuse_notify_prune_out`.
    ///
    /// # Errors
    /// EINVAL: the kernel knows no such message.
    pub(super) fn prune(&self, nodes: &[Ino]) -> io::Result<()> {
        let numbers: Vec<u8> = nodes.iter().flat_map(|ino| ino.0.to_ne_bytes()).collect();
        let count = (nodes.len() as u32).to_ne_bytes();
        self.send(PRUNE, &[&count, &[0; 12], &numbers])
    }
}

impl KernelCache for Kernel {
    /// `struct fuse_notify_inval_inode_out`; by an offset below 0, no pages are looked at, nor is anything
    /// locked.
    fn forget_attributes(&self, ino: Ino) -> bool {
        let body: [&[u8]; 3] =
            [&ino.0.to_ne_bytes(), &(-1_i64).to_ne_bytes(), &0_i64.to_ne_bytes()];
        self.send(INVAL_INODE, &body).is_ok()
    }

    fn forget_names(&self) -> bool {
        self.send(INC_EPOCH, &[]).is_ok()
    }

    /// `struct fuse_notify_inval_entry_out`.
    fn forget_name(&self, dir: Ino, name: &OsStr) {
        let len = (name.len() as u32).to_ne_bytes();
        let body: [&[u8]; 5] = [&dir.0.to_ne_bytes(), &len, &[0; 4], name.as_bytes(), &[0]];
        // Most are there; if not, the kernel has forgotten it already.
        let _ = self.send(INVAL_ENTRY, &body);
    }
}

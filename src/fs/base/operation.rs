//! What the kernel asks for on behalf of a program.

/// An operation, as `/.errors` and the log name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Finding a name.
    Lookup,
    /// Attributes.
    Stat,
    /// chmod(2), chown(2), utimensat(2).
    Setattr,
    /// readlink(2)
    Readlink,
    /// mknod(2)
    Mknod,
    /// mkdir(2)
    Mkdir,
    /// unlink(2)
    Unlink,
    /// rmdir(2)
    Rmdir,
    /// symlink(2)
    Symlink,
    /// rename(2)
    Rename,
    /// link(2)
    Link,
    /// open(2) of a file that is there.
    Open,
    /// open(2) of a new file.
    Create,
    /// read(2)
    Read,
    /// poll(2)
    Poll,
    /// write(2)
    Write,
    /// close(2)
    Close,
    /// The last close of a file, which nobody waits for.
    Release,
    /// opendir(3)
    Opendir,
    /// readdir(3)
    Readdir,
    /// statfs(2)
    Statfs,
}

impl Op {
    /// Its name in a line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Stat => "stat",
            Self::Setattr => "setattr",
            Self::Readlink => "readlink",
            Self::Mknod => "mknod",
            Self::Mkdir => "mkdir",
            Self::Unlink => "unlink",
            Self::Rmdir => "rmdir",
            Self::Symlink => "symlink",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Poll => "poll",
            Self::Write => "write",
            Self::Close => "close",
            Self::Release => "release",
            Self::Opendir => "opendir",
            Self::Readdir => "readdir",
            Self::Statfs => "statfs",
        }
    }

    /// Whether it changes something when it succeeds.
    pub fn changes(self) -> bool {
        match self {
            Self::Setattr
            | Self::Mknod
            | Self::Mkdir
            | Self::Unlink
            | Self::Rmdir
            | Self::Symlink
            | Self::Rename
            | Self::Link
            | Self::Create
            | Self::Write => true,
            Self::Lookup
            | Self::Stat
            | Self::Readlink
            | Self::Open
            | Self::Read
            | Self::Poll
            | Self::Close
            | Self::Release
            | Self::Opendir
            | Self::Readdir
            | Self::Statfs => false,
        }
    }
}

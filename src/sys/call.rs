//! The system calls that can fail, by name.

use std::fmt;

macro_rules! calls {
    ($($call:ident = $name:literal,)*) => {
        /// A system call, or what stands for several of them, in an [`super::Error`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Call {
            $(#[doc = $name] $call,)*
        }

        impl Call {
            /// Its name as in its man page, such as `BPF_MAP_UPDATE_ELEM`; what stands for several calls
            /// in words.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$call => $name,)*
                }
            }
        }
    };
}

calls! {
    BtfGetFdById = "BPF_BTF_GET_FD_BY_ID",
    BtfLoad = "BPF_BTF_LOAD",
    IterCreate = "BPF_ITER_CREATE",
    LinkCreate = "BPF_LINK_CREATE",
    LinkGetFdById = "BPF_LINK_GET_FD_BY_ID",
    MapCreate = "BPF_MAP_CREATE",
    MapDeleteBatch = "BPF_MAP_DELETE_BATCH",
    MapDeleteElem = "BPF_MAP_DELETE_ELEM",
    MapFreeze = "BPF_MAP_FREEZE",
    MapGetFdById = "BPF_MAP_GET_FD_BY_ID",
    MapGetNextId = "BPF_MAP_GET_NEXT_ID",
    MapGetNextKey = "BPF_MAP_GET_NEXT_KEY",
    MapLookupAndDeleteElem = "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
    MapLookupBatch = "BPF_MAP_LOOKUP_BATCH",
    MapLookupElem = "BPF_MAP_LOOKUP_ELEM",
    MapUpdateBatch = "BPF_MAP_UPDATE_BATCH",
    MapUpdateElem = "BPF_MAP_UPDATE_ELEM",
    ObjGet = "BPF_OBJ_GET",
    ObjGetInfoByFd = "BPF_OBJ_GET_INFO_BY_FD",
    ObjPin = "BPF_OBJ_PIN",
    ProgGetFdById = "BPF_PROG_GET_FD_BY_ID",
    ProgGetNextId = "BPF_PROG_GET_NEXT_ID",
    ProgLoad = "BPF_PROG_LOAD",
    Capget = "capget",
    Capset = "capset",
    CloseRange = "close_range",
    Setpriority = "setpriority",
    Dup = "dup2",
    EpollCreate = "epoll_create1",
    EpollCtl = "epoll_ctl",
    EventFd = "eventfd",
    Fork = "fork",
    Getrlimit = "getrlimit",
    InotifyAddWatch = "inotify_add_watch",
    InotifyInit = "inotify_init1",
    Malloc = "malloc",
    Mmap = "mmap",
    Mount = "mount",
    Open = "open",
    OpenByHandleAt = "open_by_handle_at",
    OpenAt2 = "openat2",
    PerfEventOpen = "perf_event_open",
    PidfdGetfd = "pidfd_getfd",
    PidfdOpen = "pidfd_open",
    Pipe = "pipe2",
    Prctl = "prctl",
    Read = "read",
    RenameAt2 = "renameat2",
    Setfsuid = "setfsuid",
    Setrlimit = "setrlimit",
    Statfs = "statfs",
    Statx = "statx",
    Unmount = "umount2",
    Utimensat = "utimensat",
    PerfEventEnable = "ioctl PERF_EVENT_IOC_ENABLE",
    MapRing = "map the ring",
    OpenKeysObject = "open a key's object",
    ReadPossibleCpus = "read /sys/devices/system/cpu/possible",
    WriteRing = "write to the ring",
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

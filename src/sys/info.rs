//! What the kernel says of programs and links.

use super::{Error, Result, check};
use libbpf_rs::libbpf_sys as bpf;
use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A loaded program (`struct bpf_prog_info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgInfo {
    /// The program's id.
    pub id: u32,
    /// libbpf's name of its type, or the type's number.
    pub prog_type: String,
    /// The kernel's name of the program, at most 15 bytes.
    pub name: String,
    /// The hash of its instructions.
    pub tag: [u8; 8],
    /// The maps that it uses.
    pub map_ids: Vec<u32>,
    /// Nanoseconds from the machine's start to the program's load.
    pub load_time_ns: u64,
    /// Who loaded it.
    pub uid: u32,
    /// Whether its licence is compatible with the GPL.
    pub gpl_compatible: bool,
    /// Bytes of instructions after verification.
    pub xlated_bytes: u32,
    /// Bytes of machine code.
    pub jited_bytes: u32,
    /// Its BTF object; 0 if there is none.
    pub btf_id: u32,
    /// Nanoseconds that it ran, while statistics were on (`kernel.bpf_stats_enabled`).
    pub run_time_ns: u64,
    /// How often it ran, while statistics were on.
    pub run_cnt: u64,
    /// Runs that were skipped because it was running already.
    pub recursion_misses: u64,
    /// Instructions that the verifier went through.
    pub verified_insns: u32,
    /// The device that it is offloaded to, or 0.
    pub ifindex: u32,
}

/// BPF_OBJ_GET_INFO_BY_FD of a program.
///
/// # Errors
/// EINVAL if it is no BPF object.
pub fn prog_info(fd: BorrowedFd<'_>) -> Result<ProgInfo> {
    let mut ids: Vec<u32> = Vec::new();
    loop {
        let mut info = bpf::bpf_prog_info {
            nr_map_ids: ids.len() as u32,
            map_ids: if ids.is_empty() { 0 } else { ids.as_mut_ptr() as u64 },
            ..Default::default()
        };
        get(fd, &mut info)?;
        let count = info.nr_map_ids as usize;
        if count > ids.len() {
            ids.resize(count, 0);
            continue;
        }
        ids.truncate(count);
        // SAFETY: libbpf gives a constant string or null.
        let type_name = unsafe { name_of(bpf::libbpf_bpf_prog_type_str(info.type_)) };
        return Ok(ProgInfo {
            id: info.id,
            prog_type: type_name.unwrap_or_else(|| info.type_.to_string()),
            name: text(&info.name),
            tag: info.tag,
            map_ids: ids,
            load_time_ns: info.load_time,
            uid: info.created_by_uid,
            gpl_compatible: info.gpl_compatible() != 0,
            xlated_bytes: info.xlated_prog_len,
            jited_bytes: info.jited_prog_len,
            btf_id: info.btf_id,
            run_time_ns: info.run_time_ns,
            run_cnt: info.run_cnt,
            recursion_misses: info.recursion_misses,
            verified_insns: info.verified_insns,
            ifindex: info.ifindex,
        });
    }
}

/// An attachment of a program (`struct bpf_link_info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The link's id.
    pub id: u32,
    /// libbpf's name of its type, or the type's number.
    pub link_type: String,
    /// The program that is attached; 0 for a struct_ops.
    pub prog_id: u32,
    /// What it is attached to.
    pub target: Target,
}

/// What a link is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A raw tracepoint.
    Tracepoint(String),
    /// A kernel or BPF function.
    Function {
        /// libbpf's name of the attach type.
        attach_type: String,
        /// The program or BTF object that has the function.
        object_id: u32,
        /// Its type's id there.
        btf_id: u32,
    },
    /// A cgroup.
    Cgroup {
        /// The cgroup's id.
        id: u64,
        /// libbpf's name of the attach type.
        attach_type: String,
    },
    /// An iterator over something of that name.
    Iter(String),
    /// A network namespace.
    Netns {
        /// Its inode number.
        inode: u32,
        /// libbpf's name of the attach type.
        attach_type: String,
    },
    /// A network device.
    Device {
        /// The interface's index.
        ifindex: u32,
        /// libbpf's name of the attach type, where there are several.
        attach_type: Option<String>,
    },
    /// A struct_ops map.
    StructOps(u32),
    /// A map of sockets.
    Sockmap {
        /// The map's id.
        map_id: u32,
        /// libbpf's name of the attach type.
        attach_type: String,
    },
    /// A netfilter hook.
    Netfilter {
        /// The protocol family.
        family: u32,
        /// The hook's number.
        hook: u32,
        /// The order among those at the hook.
        priority: i32,
    },
    /// Something that has no more to say here.
    Other,
}

/// BPF_OBJ_GET_INFO_BY_FD of a link.
///
/// # Errors
/// EINVAL if it is no BPF object.
pub fn link_info(fd: BorrowedFd<'_>) -> Result<LinkInfo> {
    let mut info = bpf::bpf_link_info::default();
    get(fd, &mut info)?;
    // SAFETY: libbpf gives a constant string or null.
    let type_name = unsafe { name_of(bpf::libbpf_bpf_link_type_str(info.type_)) };
    let target = target(fd, &info)?;
    Ok(LinkInfo {
        id: info.id,
        link_type: type_name.unwrap_or_else(|| info.type_.to_string()),
        prog_id: info.prog_id,
        target,
    })
}

fn target(fd: BorrowedFd<'_>, info: &bpf::bpf_link_info) -> Result<Target> {
    let about = &info.__bindgen_anon_1;
    // SAFETY: the kernel has filled the member that belongs to the type; all members are plain
    // numbers in zeroed memory, for which any bits are valid.
    Ok(unsafe {
        match info.type_ {
            bpf::BPF_LINK_TYPE_RAW_TRACEPOINT => {
                Target::Tracepoint(named(fd, |info, name, len| {
                    info.__bindgen_anon_1.raw_tracepoint.tp_name = name;
                    info.__bindgen_anon_1.raw_tracepoint.tp_name_len = len;
                })?)
            }
            bpf::BPF_LINK_TYPE_ITER => Target::Iter(named(fd, |info, name, len| {
                info.__bindgen_anon_1.iter.target_name = name;
                info.__bindgen_anon_1.iter.target_name_len = len;
            })?),
            bpf::BPF_LINK_TYPE_TRACING => Target::Function {
                attach_type: attach_type(about.tracing.attach_type),
                object_id: about.tracing.target_obj_id,
                btf_id: about.tracing.target_btf_id,
            },
            bpf::BPF_LINK_TYPE_CGROUP => Target::Cgroup {
                id: about.cgroup.cgroup_id,
                attach_type: attach_type(about.cgroup.attach_type),
            },
            bpf::BPF_LINK_TYPE_NETNS => Target::Netns {
                inode: about.netns.netns_ino,
                attach_type: attach_type(about.netns.attach_type),
            },
            bpf::BPF_LINK_TYPE_XDP => {
                Target::Device { ifindex: about.xdp.ifindex, attach_type: None }
            }
            bpf::BPF_LINK_TYPE_TCX => Target::Device {
                ifindex: about.tcx.ifindex,
                attach_type: Some(attach_type(about.tcx.attach_type)),
            },
            bpf::BPF_LINK_TYPE_NETKIT => Target::Device {
                ifindex: about.netkit.ifindex,
                attach_type: Some(attach_type(about.netkit.attach_type)),
            },
            bpf::BPF_LINK_TYPE_STRUCT_OPS => Target::StructOps(about.struct_ops.map_id),
            bpf::BPF_LINK_TYPE_SOCKMAP => Target::Sockmap {
                map_id: about.sockmap.map_id,
                attach_type: attach_type(about.sockmap.attach_type),
            },
            bpf::BPF_LINK_TYPE_NETFILTER => Target::Netfilter {
                family: about.netfilter.pf,
                hook: about.netfilter.hooknum,
                priority: about.netfilter.priority,
            },
            _ => Target::Other,
        }
    })
}

/// A name that the kernel writes to where `point` says.
fn named(fd: BorrowedFd<'_>, point: impl Fn(&mut bpf::bpf_link_info, u64, u32)) -> Result<String> {
    let mut name = [0 as c_char; 256];
    let mut info = bpf::bpf_link_info::default();
    point(&mut info, name.as_mut_ptr() as u64, name.len() as u32);
    match get(fd, &mut info) {
        // The name is longer, and cut.
        Ok(()) | Err(Error { errno: libc::ENOSPC, .. }) => Ok(text(&name)),
        Err(error) => Err(error),
    }
}

/// BPF_OBJ_GET_INFO_BY_FD into a zeroed structure whose pointers, if any, have room behind them.
fn get<T>(fd: BorrowedFd<'_>, info: &mut T) -> Result<()> {
    let mut len = size_of::<T>() as u32;
    // SAFETY: `info` has `len` writable bytes; the callers in this module set its pointers to
    // buffers that outlive the call, with their sizes beside them.
    let rc = unsafe {
        bpf::bpf_obj_get_info_by_fd(fd.as_raw_fd(), std::ptr::from_mut(info).cast(), &raw mut len)
    };
    check("BPF_OBJ_GET_INFO_BY_FD", rc).map(drop)
}

fn attach_type(number: u32) -> String {
    // SAFETY: libbpf gives a constant string or null.
    let name = unsafe { name_of(bpf::libbpf_bpf_attach_type_str(number)) };
    name.unwrap_or_else(|| number.to_string())
}

/// A constant C string of libbpf.
///
/// # Safety
/// `name` is null or a NUL-terminated string that is never freed.
unsafe fn name_of(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

fn text(name: &[c_char]) -> String {
    let bytes: Vec<u8> = name.iter().take_while(|&&c| c != 0).map(|&c| c.cast_unsigned()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// BPF_ITER_CREATE: a descriptor from which the iterator's output is read, from its start.
///
/// # Errors
/// EINVAL if the link is no iterator's.
pub fn iter_create(link: BorrowedFd<'_>) -> Result<OwnedFd> {
    const CALL: &str = "BPF_ITER_CREATE";
    // SAFETY: no pointer is passed.
    let fd = check(CALL, unsafe { bpf::bpf_iter_create(link.as_raw_fd()) })?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// BPF_PROG_GET_NEXT_ID: the smallest program id above `id`; `None` at the end.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn next_prog_id(id: u32) -> Result<Option<u32>> {
    let mut next = 0;
    // SAFETY: `next` outlives the call.
    match check("BPF_PROG_GET_NEXT_ID", unsafe { bpf::bpf_prog_get_next_id(id, &raw mut next) }) {
        Ok(_) => Ok(Some(next)),
        Err(Error { errno: libc::ENOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

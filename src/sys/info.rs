//! What the kernel says of programs and links.

use super::{Call, Error, Result, check, text_of};
use libbpf_rs::ProgramAttachType;
use libbpf_rs::libbpf_sys as bpf;
use libbpf_rs::query::{IterType, LinkInfo as Query, LinkTypeInfo, PerfEventType};
use std::ffi::{CStr, OsStr};
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A loaded program (`struct bpf_prog_info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgInfo {
    /// Unique while it lives.
    pub id: u32,
    /// Its type's name, as libbpf calls it, or the number.
    pub type_name: String,
    /// The function's name, at most 15 bytes.
    pub name: String,
    /// A hash of its instructions.
    pub tag: [u8; 8],
    /// The maps that it uses.
    pub map_ids: Vec<u32>,
    /// When it was loaded: nanoseconds since boot.
    pub load_time: u64,
    /// Who loaded it.
    pub uid: u32,
    /// Whether its licence lets it call GPL-only helpers.
    pub gpl_compatible: bool,
    /// Nanoseconds that it ran; counted only with `kernel.bpf_stats_enabled`.
    pub run_time_ns: u64,
    /// How often it ran; counted only with `kernel.bpf_stats_enabled`.
    pub run_cnt: u64,
    /// Runs left out since it was running already.
    pub recursion_misses: u64,
    /// Instructions that the verifier looked at.
    pub verified_insns: u32,
    /// Bytes of BPF code.
    pub bytes_xlated: u32,
    /// Bytes of machine code; 0 if it is interpreted.
    pub bytes_jited: u32,
    /// Its BTF object, or 0.
    pub btf_id: u32,
    /// The device that it is offloaded to, or 0.
    pub ifindex: u32,
}

/// What /proc says of an open object that its info lacks, by name, such as `memlock`.
pub fn fdinfo(fd: BorrowedFd<'_>, name: &str) -> Option<String> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = short_text(std::fs::File::open(path).ok()?).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.trim().to_owned())
    })
}

/// The text of a file in /proc that gives all of it at once, as one that has only a few lines does: three calls
/// less than to ask for its size and its end.
pub(super) fn short_text(mut file: std::fs::File) -> std::io::Result<String> {
    let mut text = vec![0; 4096];
    let mut len = file.read(&mut text)?;
    if len == text.len() {
        len += file.read_to_end(&mut text)?;
    }
    text.truncate(len);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// BPF_OBJ_GET_INFO_BY_FD of a program.
pub fn prog_info(fd: BorrowedFd<'_>) -> Result<ProgInfo> {
    // Most programs use fewer; of others the kernel says how many, and is asked again.
    let mut map_ids: Vec<u32> = vec![0; 16];
    loop {
        let mut info = bpf::bpf_prog_info {
            nr_map_ids: map_ids.len() as u32,
            map_ids: map_ids.as_mut_ptr() as u64,
            ..Default::default()
        };
        let mut len = size_of::<bpf::bpf_prog_info>() as u32;
        // SAFETY: `info` is zeroed but for a buffer of `nr_map_ids` writable numbers; it and the
        // buffer outlive the call.
        let rc = unsafe {
            bpf::bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len)
        };
        check(Call::ObjGetInfoByFd, rc)?;
        let used = info.nr_map_ids as usize;
        if used > map_ids.len() {
            map_ids.resize(used, 0);
            continue;
        }
        map_ids.truncate(used);
        return Ok(ProgInfo {
            id: info.id,
            type_name: prog_type_name(info.type_),
            name: text_of(&info.name),
            tag: info.tag,
            map_ids,
            load_time: info.load_time,
            uid: info.created_by_uid,
            gpl_compatible: info.gpl_compatible() != 0,
            run_time_ns: info.run_time_ns,
            run_cnt: info.run_cnt,
            recursion_misses: info.recursion_misses,
            verified_insns: info.verified_insns,
            bytes_xlated: info.xlated_prog_len,
            bytes_jited: info.jited_prog_len,
            btf_id: info.btf_id,
            ifindex: info.ifindex,
        });
    }
}

/// libbpf's name for a type number, or the number.
fn libbpf_name(number: u32, name: *const libc::c_char) -> String {
    if name.is_null() {
        return number.to_string();
    }
    // SAFETY: libbpf's name tables hold static NUL-terminated strings.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

fn prog_type_name(number: u32) -> String {
    // SAFETY: takes any number, and gives null for one that it does not know.
    libbpf_name(number, unsafe { bpf::libbpf_bpf_prog_type_str(number) })
}

fn attach_type_name(attach: ProgramAttachType) -> Detail {
    let number = attach as u32;
    // SAFETY: takes any number, and gives null for one that it does not know.
    Detail::Text(libbpf_name(number, unsafe { bpf::libbpf_bpf_attach_type_str(number) }))
}

/// Something that a link's type has beside what all links have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A number.
    Number(i64),
    /// A name.
    Text(String),
}

/// A link (`struct bpf_link_info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Unique while it lives.
    pub id: u32,
    /// Its type's name, as libbpf calls it.
    pub type_name: &'static str,
    /// The program that it attaches.
    pub prog_id: u32,
    /// What it is attached to, by bpftool's names.
    pub details: Vec<(&'static str, Detail)>,
}

/// BPF_OBJ_GET_INFO_BY_FD of a link.
pub fn link_info(fd: BorrowedFd<'_>) -> Result<LinkInfo> {
    let query = Query::from_fd(fd).map_err(|_| Error::new(Call::ObjGetInfoByFd, libc::EIO))?;
    let (type_name, details) = describe(query.info);
    Ok(LinkInfo { id: query.id, type_name, prog_id: query.prog_id, details })
}

fn describe(info: LinkTypeInfo) -> (&'static str, Vec<(&'static str, Detail)>) {
    match info {
        LinkTypeInfo::RawTracepoint(link) => {
            ("raw_tracepoint", vec![("tp_name", Detail::Text(link.name))])
        }
        LinkTypeInfo::Tracing(link) => {
            let target = [
                ("target_obj_id", number(link.target_obj_id)),
                ("target_btf_id", number(link.target_btf_id)),
            ];
            ("tracing", with_attach_type(link.attach_type, target))
        }
        LinkTypeInfo::Cgroup(link) => {
            let target = [("cgroup_id", number(link.cgroup_id.cast_signed()))];
            ("cgroup", with_attach_type(link.attach_type, target))
        }
        LinkTypeInfo::Iter(link) => {
            let mut details = vec![("target_name", text(&link.target_name))];
            match link.iter_type {
                IterType::Map { map_id } => details.push(("map_id", number(map_id))),
                IterType::Cgroup { cgroup_id, .. } => {
                    details.push(("cgroup_id", number(cgroup_id.cast_signed())));
                }
                IterType::Task { tid, pid } => {
                    details.extend([("tid", number(tid)), ("pid", number(pid))]);
                }
                IterType::Unknown => {}
            }
            ("iter", details)
        }
        LinkTypeInfo::NetNs(link) => {
            ("netns", with_attach_type(link.attach_type, [("netns_ino", number(link.ino))]))
        }
        LinkTypeInfo::Xdp(link) => ("xdp", vec![("ifindex", number(link.ifindex))]),
        LinkTypeInfo::Tcx(link) => {
            ("tcx", with_attach_type(link.attach_type, [("ifindex", number(link.ifindex))]))
        }
        LinkTypeInfo::Netkit(link) => {
            ("netkit", with_attach_type(link.attach_type, [("ifindex", number(link.ifindex))]))
        }
        LinkTypeInfo::SockMap(link) => {
            ("sockmap", with_attach_type(link.attach_type, [("map_id", number(link.map_id))]))
        }
        LinkTypeInfo::StructOps(link) => ("struct_ops", vec![("map_id", number(link.map_id))]),
        LinkTypeInfo::Netfilter(link) => (
            "netfilter",
            vec![
                ("pf", number(link.protocol_family)),
                ("hooknum", number(link.hooknum)),
                ("prio", number(link.priority)),
                ("flags", number(link.flags)),
            ],
        ),
        LinkTypeInfo::KprobeMulti(link) => (
            "kprobe_multi",
            vec![
                ("func_cnt", number(link.count)),
                ("flags", number(link.flags)),
                ("missed", number(link.missed.cast_signed())),
            ],
        ),
        LinkTypeInfo::UprobeMulti(link) => {
            let mut details = vec![
                ("func_cnt", number(link.count)),
                ("flags", number(link.flags)),
                ("pid", number(link.pid)),
            ];
            details.extend(link.path.map(|path| ("path", text(path.as_os_str()))));
            ("uprobe_multi", details)
        }
        LinkTypeInfo::PerfEvent(link) => ("perf_event", perf_event(link.event_type)),
        LinkTypeInfo::Unknown => ("unknown", Vec::new()),
    }
}

fn perf_event(event: PerfEventType) -> Vec<(&'static str, Detail)> {
    let named = |name: Option<std::ffi::OsString>, key| name.map(|name| (key, text(&name)));
    match event {
        PerfEventType::Tracepoint { name, .. } => named(name, "tracepoint").into_iter().collect(),
        PerfEventType::Kprobe { func_name, is_retprobe, offset, missed, .. } => {
            let mut details = vec![
                ("retprobe", number(is_retprobe)),
                ("offset", number(offset)),
                ("missed", number(missed.cast_signed())),
            ];
            details.extend(named(func_name, "func"));
            details
        }
        PerfEventType::Uprobe { file_name, is_retprobe, offset, .. } => {
            let mut details = vec![("retprobe", number(is_retprobe)), ("offset", number(offset))];
            details.extend(named(file_name, "file"));
            details
        }
        PerfEventType::Event { config, event_type, .. } => {
            vec![("event_type", number(event_type)), ("config", number(config.cast_signed()))]
        }
        PerfEventType::Unknown(event) => vec![("event_type", number(event))],
    }
}

fn number(value: impl Into<i64>) -> Detail {
    Detail::Number(value.into())
}

fn text(value: &OsStr) -> Detail {
    Detail::Text(value.to_string_lossy().into_owned())
}

fn with_attach_type<const N: usize>(
    attach: ProgramAttachType,
    target: [(&'static str, Detail); N],
) -> Vec<(&'static str, Detail)> {
    std::iter::once(("attach_type", attach_type_name(attach))).chain(target).collect()
}

/// BPF_PROG_GET_NEXT_ID: the smallest program id above `id`; `None` at the end.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn next_prog_id(id: u32) -> Result<Option<u32>> {
    let mut next = 0;
    // SAFETY: `next` outlives the call.
    match check(Call::ProgGetNextId, unsafe { bpf::bpf_prog_get_next_id(id, &raw mut next) }) {
        Ok(_) => Ok(Some(next)),
        Err(Error { errno: libc::ENOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

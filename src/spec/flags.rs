//! The BPF_F_* flags of BPF_MAP_CREATE by name (`include/uapi/linux/bpf.h`).

/// BPF_F_NO_PREALLOC
pub const NO_PREALLOC: u32 = 1 << 0;
/// BPF_F_NUMA_NODE
pub const NUMA_NODE: u32 = 1 << 2;
/// BPF_F_RDONLY_PROG
pub const RDONLY_PROG: u32 = 1 << 7;
/// BPF_F_MMAPABLE
pub const MMAPABLE: u32 = 1 << 10;

/// Names in bpftool's manner, by bit.
const NAMES: [&str; 20] = [
    "no_prealloc",
    "no_common_lru",
    "numa_node",
    "rdonly",
    "wronly",
    "stack_build_id",
    "zero_seed",
    "rdonly_prog",
    "wronly_prog",
    "clone",
    "mmapable",
    "preserve_elems",
    "inner_map",
    "link",
    "path_fd",
    "vtype_btf_obj_fd",
    "token_fd",
    "segv_on_fault",
    "no_user_conv",
    "rb_overwrite",
];

/// The flag called `name`, in any case, with or without `BPF_F_` before it.
pub fn by_name(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("bpf_f_").unwrap_or(&name);
    NAMES.iter().position(|known| *known == name).map(|bit| 1 << bit)
}

/// All names, without prefix.
pub fn all() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter()
}

/// The names of the set bits; a bit that has none as `0x…`.
pub fn names(flags: u32) -> Vec<String> {
    (0..u32::BITS)
        .filter(|bit| flags >> bit & 1 == 1)
        .map(|bit| match NAMES.get(bit as usize) {
            Some(name) => (*name).to_owned(),
            None => format!("0x{:x}", 1u32 << bit),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_libbpfs() {
        use libbpf_rs::libbpf_sys as bpf;
        for (name, flag) in [
            ("BPF_F_NO_PREALLOC", bpf::BPF_F_NO_PREALLOC),
            ("no_common_lru", bpf::BPF_F_NO_COMMON_LRU),
            ("Numa_Node", bpf::BPF_F_NUMA_NODE),
            ("rdonly", bpf::BPF_F_RDONLY),
            ("wronly", bpf::BPF_F_WRONLY),
            ("stack_build_id", bpf::BPF_F_STACK_BUILD_ID),
            ("zero_seed", bpf::BPF_F_ZERO_SEED),
            ("rdonly_prog", bpf::BPF_F_RDONLY_PROG),
            ("wronly_prog", bpf::BPF_F_WRONLY_PROG),
            ("clone", bpf::BPF_F_CLONE),
            ("mmapable", bpf::BPF_F_MMAPABLE),
            ("preserve_elems", bpf::BPF_F_PRESERVE_ELEMS),
            ("inner_map", bpf::BPF_F_INNER_MAP),
            ("link", bpf::BPF_F_LINK),
            ("path_fd", bpf::BPF_F_PATH_FD),
            ("vtype_btf_obj_fd", bpf::BPF_F_VTYPE_BTF_OBJ_FD),
            ("token_fd", bpf::BPF_F_TOKEN_FD),
            ("segv_on_fault", bpf::BPF_F_SEGV_ON_FAULT),
            ("no_user_conv", bpf::BPF_F_NO_USER_CONV),
            ("rb_overwrite", bpf::BPF_F_RB_OVERWRITE),
        ] {
            assert_eq!(by_name(name), Some(flag), "{name}");
        }
        assert_eq!(by_name("no_such"), None);
        assert_eq!(names(0x8000_0005), ["no_prealloc", "numa_node", "0x80000000"]);
    }
}

//! What the codec's tests share: BTF made by hand, random types, and a bpffs of one's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

pub mod blob;
pub mod random;
pub mod ty;

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, Shape};
use bpffuse::sys::map::{MapFd, MapInfo, kind};
use bpffuse::sys::object::{btf_blob, obj_get};
use bpffuse::sys::os;
use libbpf_rs::MapCore;
use std::path::Path;
use tempfile::TempDir;

/// A bpffs mounted in a directory of its own, unmounted with it.
pub struct Bpffs {
    dir: TempDir,
}

impl Bpffs {
    pub fn mount() -> Self {
        let dir = TempDir::new().unwrap();
        os::mount_bpffs(dir.path()).expect("mount a bpffs");
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = os::unmount(self.dir.path(), true);
    }
}

/// Loads an object and pins its maps in `bpffs`, each by its name in C.
pub fn load_and_pin(object: &Path, bpffs: &Bpffs) {
    let mut object = libbpf_rs::ObjectBuilder::default()
        .open_file(object)
        .unwrap()
        .load()
        .expect("the kernel takes the object");
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().replace('.', "_");
        map.pin(bpffs.path().join(name)).unwrap();
    }
}

/// An open map with its codec.
pub struct Opened {
    pub map: MapFd,
    pub info: MapInfo,
    pub btf: Option<Btf>,
    pub codec: Codec,
}

/// Opens the map pinned as `name`.
pub fn open(bpffs: &Bpffs, name: &str) -> Opened {
    let (map, info) = MapFd::new(obj_get(&bpffs.path().join(name)).unwrap()).unwrap();
    let btf = (info.btf_id != 0).then(|| {
        let (blob, _) = btf_blob(info.btf_id).unwrap();
        Btf::parse(&blob, None).unwrap()
    });
    let shape = Shape {
        key_size: info.key_size as usize,
        value_size: info.value_size as usize,
        cpus: None,
        key_type_id: info.btf_key_type_id,
        value_type_id: info.btf_value_type_id,
        lpm: info.map_type == kind::LPM_TRIE,
    };
    let codec = Codec::new(&shape, btf.as_ref());
    Opened { map, info, btf, codec }
}

impl Opened {
    pub fn text(&self, value: &[u8]) -> String {
        let mut out = Vec::new();
        self.codec.print_value(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    pub fn name(&self, key: &[u8]) -> String {
        let mut out = Vec::new();
        self.codec.key_name(key, &mut out);
        String::from_utf8(out).unwrap()
    }
}

//! BPF C programs of the tests: compiled by clang once, loaded and pinned for each test.

use libbpf_rs::{MapCore, ObjectBuilder};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `tests/bpf/NAME.bpf.c`, unless that was done before with the same text, and gives the
/// object file. `BPFFUSE_TEST_OBJECTS` names a directory of those that another machine has compiled.
pub(crate) fn compile(name: &str) -> PathBuf {
    if let Some(dir) = std::env::var_os("BPFFUSE_TEST_OBJECTS") {
        return Path::new(&dir).join(format!("{name}.bpf.o"));
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/bpf/{name}.bpf.c"));
    let text = fs::read(&source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
    let mut hasher = DefaultHasher::new();
    (text, headers(&source)).hash(&mut hasher);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let object = dir.join(format!("{name}-{:016x}.bpf.o", hasher.finish()));
    if !object.exists() {
        // Tests run side by side, so each compiles into its own file and moves that into place.
        let part = tempfile::NamedTempFile::new_in(dir).expect("a temporary file").into_temp_path();
        let out = Command::new("clang")
            .args(["-target", "bpf", "-g", "-O2", "-Wall", "-Werror"])
            .arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH))
            .args([Path::new("-c"), &source, Path::new("-o"), &part])
            .output()
            .expect("clang starts");
        assert!(out.status.success(), "clang: {}", String::from_utf8_lossy(&out.stderr));
        part.persist(&object).expect("move the object into place");
    }
    object
}

/// What stands in the headers beside a source.
fn headers(source: &Path) -> Vec<Vec<u8>> {
    let dir = source.parent().expect("a directory");
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("the sources")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "h"))
        .collect();
    files.sort();
    files.iter().map(|path| fs::read(path).expect("a header")).collect()
}

/// Compiles `tests/bpf/NAME.c`, a program of user space, into `dir`, or gives what another machine has compiled.
pub(crate) fn compile_program(name: &str, dir: &Path) -> PathBuf {
    if let Some(dir) = std::env::var_os("BPFFUSE_TEST_OBJECTS") {
        return Path::new(&dir).join(name);
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/bpf/{name}.c"));
    let program = dir.join(name);
    let status = Command::new("clang").arg(source).arg("-o").arg(&program).status();
    assert!(status.expect("clang starts").success(), "clang does not compile {name}.c");
    program
}

/// Loads `tests/bpf/NAME.bpf.c` and pins each of its maps below `dir` by its name.
pub(crate) fn load(name: &str, dir: &Path) {
    let mut object = ObjectBuilder::default()
        .open_file(compile(name))
        .and_then(|object| object.load())
        .unwrap_or_else(|e| panic!("{name}.bpf.c does not load: {e}"));
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name.contains('.') {
            continue; // .data and the like: bpffs takes no dots
        }
        map.pin(dir.join(&name)).unwrap_or_else(|e| panic!("pin {name}: {e}"));
    }
}

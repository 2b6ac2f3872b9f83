//! Access, all of it: what each mode of a pin lets each kind of user do, against
//! what BPF_OBJ_GET says for the same user.

use crate::common::kernel::lacks_taking;
use crate::common::require::require;
use crate::common::{Bed, shell};

/// Tries everything with these modes and fails on what came out otherwise than expected, but for taking elements
/// where the kernel cannot. Gives the number of operations tried.
#[track_caller]
fn matrix(bed: &Bed, sharing: &str, modes: &str) -> usize {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access/matrix.py");
    let out = bed.ok(&format!("python3 {} \"$PWD\" {sharing} {modes}", shell::quote(script)));
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split(" | ").collect()).collect();
    let tried: Vec<_> = rows.iter().filter(|row| row.len() == 4).collect();
    let no_taking = lacks_taking(&bed.hash("to_try"));
    let is_right = |row: &[&str]| {
        row[2] == row[3] || no_taking && row[1..] == ["read .pop/KEY", "ok", "ENOTSUP"]
    };
    let wrong: Vec<String> =
        tried.iter().filter(|row| !is_right(row)).map(|row| row.join(" | ")).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} operations (mode and user | operation | expected | got):\n{}",
        wrong.len(),
        tried.len(),
        wrong.join("\n")
    );
    tried.len()
}

/// Each control asks for the access that BPF_OBJ_GET would need for the same: what the kernel gives
/// an owner, a member of the group (by its own gid, a supplementary or an effective one), and others,
/// each also as root of a user namespace, is what they get here, and nothing more.
#[test]
fn what_the_kernel_allows_is_allowed_here() {
    require!("root", "bpf", "fuse", "python3", "users");
    let bed = Bed::with(&["-o", "allow_other"]);
    let modes = "600 640 644 660 666 400 200 000 604 622";
    let tried = matrix(&bed, "open", modes);
    assert!(tried > 10 * 5 * 60, "only {tried} operations were tried");
    // Refused operations leave their reason, with the user; what the kernel refuses does not reach us.
    let errors = bed.errors().join("\n");
    assert!(errors.contains("uid=1114") && errors.contains("mount's owner alone"), "{errors}");
}

/// The mount is its owner's alone by default, whatever the pins' modes say.
#[test]
fn without_allow_other_nothing_is_allowed() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    matrix(&bed, "closed", "666 000");
}

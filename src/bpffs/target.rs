//! Targets of symlinks in bpffs, which tc(8) makes absolute: in a mount of the same tree elsewhere they
//! would lead out of it.

use std::path::{Component, Path, PathBuf};

/// An absolute target in the tree at `root`, as seen from the directory of the symlink at `link`; `None` for
/// one that is relative, leads elsewhere, or has `..` in it, which may lead anywhere.
pub(super) fn relative(root: &Path, link: &Path, target: &Path) -> Option<PathBuf> {
    let below = target.strip_prefix(root).ok()?;
    if !target.is_absolute() || below.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let depth = link.parent()?.strip_prefix(root).ok()?.components().count();
    let mut relative: PathBuf = std::iter::repeat_n(Component::ParentDir, depth).collect();
    relative.push(below.components().collect::<PathBuf>());
    if relative.as_os_str().is_empty() {
        relative.push(Component::CurDir);
    }
    Some(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_the_tree_is_relative() {
        for (link, target, expected) in [
            ("/b/ip", "/b/tc/", Some("tc")),
            ("/b/ip", "//b/./tc/globals", Some("tc/globals")),
            ("/b/x/y/l", "/b/x/m", Some("../../x/m")),
            ("/b/x/l", "/b", Some("..")),
            ("/b/l", "/b/", Some(".")),
            ("/b/l", "tc", None),
            ("/b/l", "../b/tc", None),
            ("/b/l", "/bb/tc", None),
            ("/b/l", "/etc/passwd", None),
            ("/b/l", "/b/../etc", None),
            ("/b/l", "/b/x/../y", None),
        ] {
            let found = relative(Path::new("/b"), Path::new(link), Path::new(target));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{link} -> {target}");
        }
    }
}

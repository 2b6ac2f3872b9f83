//! `packaging/kubernetes`: what no schema tells. scripts/manifests validates it against these.

use crate::common::Bed;
use crate::common::require::require;
use bpffuse::cli::Config;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

fn text(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubernetes");
    fs::read_to_string(dir.join(name)).unwrap()
}

/// The lists behind `key:`, written as JSON.
fn lists(text: &str, key: &str) -> Vec<Vec<String>> {
    let values = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    values.filter_map(|value| serde_json::from_str(value.strip_prefix(':')?).ok()).collect()
}

/// The words behind `key:`.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines.filter_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim())).collect()
}

fn config(words: &[String]) -> Config {
    Config::parse(words.iter().map(OsString::from)).unwrap_or_else(|error| panic!("{error}"))
}

/// The program understands what the manifest calls it with; the probes ask for the mount that it makes,
/// which lies below what the container shares with the node.
#[test]
fn the_daemonset_calls_the_program() {
    let daemonset = text("daemonset.yaml");
    let [args] = &lists(&daemonset, "args")[..] else {
        panic!("one list of arguments was expected")
    };
    let words: Vec<String> = ["/bpffuse", "--foreground", "--no-mount-bpffs"]
        .iter()
        .map(ToString::to_string)
        .chain(args.iter().cloned())
        .collect();
    let served = config(&words);
    assert!(served.foreground && !served.mount_bpffs && served.make_mountpoint.is_some());
    // In the image there are no names.
    let group = served.metrics_group.unwrap();
    assert!(group.parse::<u32>().is_ok(), "{group}");
    let exporter = text("node-exporter.yaml");
    assert_eq!(values(&exporter, "runAsGroup"), [&*group, &*group]);
    let probes = lists(&daemonset, "command");
    assert_eq!(probes.len(), 3);
    for probe in &probes {
        let asks = config(probe);
        assert!(asks.probe && asks.mountpoint == served.mountpoint, "{probe:?}");
    }
    let above = served.mountpoint.parent().unwrap().to_str().unwrap();
    assert!(values(&daemonset, "path").contains(&above), "{above} is no volume");
    assert!(values(&daemonset, "mountPath").contains(&above), "{above} is not mounted");
    assert!(!values(&daemonset, "path").contains(&served.mountpoint.to_str().unwrap()));
    assert!(values(&daemonset, "path").contains(&served.bpffs.to_str().unwrap()));
    assert!(
        text("node-exporter.yaml").contains(&format!("{}/.metrics", served.mountpoint.display()))
    );
}

/// What the API server and the kubelet ask for beyond the schema (`validateMountPropagation` of
/// Kubernetes), and what the program needs.
#[test]
fn the_daemonset_has_what_it_needs() {
    let daemonset = text("daemonset.yaml");
    assert_eq!(values(&daemonset, "mountPropagation"), ["HostToContainer", "Bidirectional"]);
    assert_eq!(
        values(&daemonset, "privileged"),
        ["true"],
        "Bidirectional is for privileged containers"
    );
    assert_eq!(
        values(&text("namespace.yaml"), "pod-security.kubernetes.io/enforce"),
        ["privileged"]
    );
    assert_eq!(values(&daemonset, "hostPID"), ["true"]);
    assert_eq!(values(&daemonset, "hostNetwork"), ["true"]);
    // A probe waits for 5 seconds, and says why it fails.
    assert_eq!(values(&daemonset, "timeoutSeconds"), ["7"; 3]);
    assert_eq!(values(&text("node-exporter.yaml"), "mountPropagation"), ["HostToContainer"]);
}

/// The image is the one that scripts/image makes of this version.
#[test]
fn the_image_is_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("localhost/bpffuse:{version}");
    assert_eq!(values(&text("daemonset.yaml"), "image"), [image]);
    assert_eq!(values(&text("kustomization.yaml"), "newTag"), [version]);
}

/// Kustomize-able, no templates: it is a base, and the patch for node_exporter leaves in place what is
/// there.
#[test]
fn kustomize_takes_it() {
    require!("kubectl");
    let bed = Bed::without_bpffs();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubernetes");
    bed.ok(&format!(
        "cp -r {} base; mkdir overlay; mv base/node-exporter.yaml overlay",
        dir.display()
    ));
    let exporter = r#"{"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "node-exporter", "namespace": "monitoring"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "node-exporter", "image": "theirs", "args": ["--theirs"],
        "volumeMounts": [{"name": "root", "mountPath": "/host/root"}]}],
        "volumes": [{"name": "root", "hostPath": {"path": "/"}}]}}}}"#;
    fs::write(bed.dir.join("overlay/theirs.yaml"), exporter).unwrap();
    // As the comment in the patch has it.
    let patch = text("node-exporter.yaml");
    let (_, comment) = patch.split_once("#   patches:\n").unwrap();
    let comment = comment.lines().map_while(|line| line.strip_prefix("#   "));
    let comment: String = comment.map(|line| format!("{line}\n")).collect();
    let overlay = format!(
        "resources: [../base, theirs.yaml]\nimages: [{{name: localhost/bpffuse, newName: elsewhere/b, newTag: v}}]
patches:\n{comment}"
    );
    fs::write(bed.dir.join("overlay/kustomization.yaml"), overlay).unwrap();
    let built = bed.ok("kubectl kustomize overlay");
    assert_eq!(built.matches("kind: DaemonSet").count(), 2, "{built}");
    for line in [
        "image: elsewhere/b:v",
        "image: theirs",
        "- --theirs",
        "- --collector.textfile.directory=/textfile",
        "- mountPath: /host/root",
        "- mountPath: /textfile",
        "pod-security.kubernetes.io/enforce: privileged",
    ] {
        assert!(built.lines().any(|is| is.trim() == line), "no `{line}`:\n{built}");
    }
}

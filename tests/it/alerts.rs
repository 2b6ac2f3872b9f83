//! `packaging/prometheus`: what people copy to be told of a map that fills.

use crate::common::Bed;
use crate::common::require::{is_command, partly, require};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The metrics of `/.metrics`.
const METRICS: &[&str] = &[
    "bpf_map_entries",
    "bpf_map_max_entries",
    "bpf_map_memory_bytes",
    "bpf_program_run_seconds_total",
    "bpf_program_runs_total",
    "bpffuse_refusals_total",
];

/// What else PromQL expressions of ours consist of: words of the language, and labels.
const OTHERS: &[&str] = &[
    "by",
    "count",
    "delta",
    "deriv",
    "group",
    "instance",
    "last_over_time",
    "errno",
    "max",
    "name",
    "or",
    "pin",
    "rate",
    "sort",
    "sort_desc",
    "sum",
    "topk",
    "type",
    "unless",
    "vector",
    "without",
];

/// What the rules themselves record.
const RECORDED: &str = "bpf_map:fullness:ratio";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus").join(name)
}

/// The words of an expression, without what stands in quotes, braces and brackets.
fn words(expr: &str) -> BTreeSet<&str> {
    let mut outside = Vec::new();
    let mut rest = expr;
    while let Some(at) = rest.find(['{', '[']) {
        outside.push(&rest[..at]);
        let end = rest[at..].find(['}', ']']).expect("it is closed");
        rest = &rest[at + end + 1..];
    }
    outside.push(rest);
    let words = outside
        .into_iter()
        .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':'));
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())).collect()
}

/// The metrics that an expression asks for, which must be ours.
#[track_caller]
fn metrics(expr: &str) -> BTreeSet<&str> {
    let found = words(expr).into_iter().filter(|word| !OTHERS.contains(word));
    let found: BTreeSet<_> = found.collect();
    for name in &found {
        assert!(METRICS.contains(name) || *name == RECORDED, "{name} is no metric of ours: {expr}");
    }
    assert!(!found.is_empty(), "{expr}");
    found
}

/// Rules (a map above 90 % for 5 minutes; LRU maps left out …) checked by `promtool test rules`: that
/// file has a map that fills, one that does not quite, and those that are full by design.
#[test]
fn rules_alert_of_maps_that_fill() {
    require!("promtool");
    let bed = Bed::without_bpffs();
    bed.ok(&format!("cp {}/*.yml .", path("").display()));
    bed.ok("promtool check rules bpffuse.rules.yml");
    bed.ok("promtool test rules bpffuse.test.yml");
    // The tests notice what matters.
    for (rule, other) in [
        ("> 0.9", "> 0.95"),
        ("> 0.9", ">= 0.9"),
        ("for: 5m", "for: 3m"),
        ("for: 5m", "for: 6m"),
        (r#"{type=~"hash|"#, r#"{type!~"|"#),
        (r#"type=~"hash|"#, r#"type=~"lru_hash|hash|"#),
        (r#"type=~"hash|"#, r#"type=~"lru_percpu_hash|hash|"#),
        (r#"type=~"hash|"#, r#"type=~"prog_array|hash|"#),
        (r#"type=~"hash|"#, r#"type=~"devmap|hash|"#),
        ("|lpm_trie", ""),
        ("max without (pin) (bpf_map_entries", "(bpf_map_entries"),
        ("max without (pin)", "max without (pin, instance)"),
        (" > 0)", ")"),
        ("unless group by (instance)", "and group by (instance)"),
    ] {
        let rules = fs::read_to_string(path("bpffuse.rules.yml")).unwrap();
        assert!(rules.contains(rule), "{rule}");
        fs::write(bed.dir.join("bpffuse.rules.yml"), rules.replace(rule, other)).unwrap();
        let ran = bed.run("promtool test rules bpffuse.test.yml");
        assert!(!ran.status.success(), "with {other:?} for {rule:?} the tests pass all the same");
    }
}

/// The rules name metrics that there are.
#[test]
fn rules_ask_for_our_metrics() {
    let rules = fs::read_to_string(path("bpffuse.rules.yml")).unwrap();
    let mut lines = rules.lines().peekable();
    let mut expressions = 0;
    while let Some(line) = lines.next() {
        let Some(expr) = line.trim_start().strip_prefix("expr: ") else { continue };
        let mut expr = expr.replace(">-", "");
        let deeper = |next: &&str| next.starts_with("          ");
        while let Some(more) = lines.next_if(deeper) {
            expr += more;
        }
        metrics(&expr);
        expressions += 1;
    }
    assert_eq!(expressions, 3);
}

/// A Grafana dashboard (JSON: how full, what grows, memory, program time by name): it parses, all of its
/// expressions are PromQL and ask for metrics of ours, and each of these is in it.
#[test]
fn the_dashboard_asks_for_our_metrics() {
    let text = fs::read_to_string(path("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut asked = BTreeSet::new();
    let mut rules = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "twice the same id: {panel}");
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let expr = target["expr"].as_str().unwrap();
            asked.extend(metrics(expr));
            assert!(expr.contains(r#"instance=~"$instance""#), "not by node: {expr}");
            let expr = expr.replace("$__rate_interval", "5m");
            rules.push(json!({"record": "a:b", "expr": expr}));
        }
    }
    assert_eq!(asked, METRICS.iter().copied().collect());
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(of) = variable["definition"].as_str() {
            let of = of.strip_prefix("label_values(").unwrap();
            metrics(of.split(',').next().unwrap());
        }
    }
    if !is_command("promtool") {
        partly("without promtool nothing tells whether the expressions are PromQL");
        return;
    }
    // JSON is YAML.
    let bed = Bed::without_bpffs();
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(bed.dir.join("rules.yml"), rules.to_string()).unwrap();
    bed.ok("promtool check rules --lint=none rules.yml");
}

/// docs/metrics.md names all of them.
#[test]
fn the_document_names_our_metrics() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let document = fs::read_to_string(document).unwrap();
    for name in METRICS.iter().chain(&["bpf_map_value"]) {
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
}

//! `/.metrics` and `M/.metrics`: the text that Prometheus reads, with its own tools.

use crate::common::require::require;
use crate::common::{Bed, Kind, eventually, key32};
use std::fs;
use std::net::TcpListener;

const READER: &str = "setpriv --reuid=1111 --regid=1111 --groups=2222 --";
const OTHER: &str = "setpriv --reuid=1112 --regid=1111 --clear-groups --";

/// The samples of a text, without what describes them.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// A sample for each number in each element: labels `map`, one label for each member of a struct key
/// (else `key`), and `field` where the value has members
#[test]
fn numbers_of_a_map() {
    require!("root", "bpf", "fuse", "promtool");
    let bed = Bed::new();
    bed.ok(r#"cd mnt
        echo "hash key 'struct { u16 port; struct { s8 a; u8 b[2]; } in; char map[4]; }' value 'struct { u64 n; s32 m[2]; double d; float f; enum { NO, YES } e; bool t; char c[4]; unsigned __int128 w; }' entries 9 name flows" > flows
        echo '{"key":{"port":80,"in":{"a":-1,"b":[1,2]},"map":"x\"\\"},"value":{"n":18446744073709551615,"m":[-7,8],"d":1.5,"f":"inf","e":"YES","t":true,"c":"7","w":"0x10000000000000000"}}' > flows/.entries
        echo "array key u32 value double entries 3 name floats" > floats
        printf '"nan"' > floats/0; printf '"-inf"' > floats/1; echo -2.5e300 > floats/2
        echo "hash key 'char[8]' value u32 entries 3 name names" > names; echo 5 > names/a%0A%22%5C
        promtool check metrics < flows/.metrics && promtool check metrics < floats/.metrics
        promtool check metrics < names/.metrics"#);
    let read = |map: &str| bed.read(&format!("{map}/.metrics"));
    let key = r#"map="flows",port="80",in_a="-1",in_b="[1,2]",map_2="x\"\\""#;
    let expected = [
        ("n", "18446744073709551615"),
        ("m.0", "-7"),
        ("m.1", "8"),
        ("d", "1.5"),
        ("f", "+Inf"),
        ("w", "18446744073709552000"),
    ];
    let expected = expected
        .map(|(field, number)| format!("bpf_map_value{{{key},field=\"{field}\"}} {number}"));
    assert_eq!(samples(&read("flows")), expected);
    let floats = read("floats");
    assert_eq!(
        samples(&floats)[..2],
        [
            "bpf_map_value{map=\"floats\",key=\"0\"} NaN",
            "bpf_map_value{map=\"floats\",key=\"1\"} -Inf"
        ]
    );
    assert_eq!(samples(&read("names")), [r#"bpf_map_value{map="names",key="a\n\"\\"} 5"#]);
}

/// "Per-CPU values are added up", of every kind that has them; kinds without numbers say so.
#[test]
fn every_kind_of_map() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    for kind in Kind::ALL {
        let map = bed.map(kind.name(), kind, 4, 8, 3);
        if kind.is_percpu() {
            map.set_all_cpus(&key32(1), &5_u64.to_ne_bytes());
        } else {
            map.set(&key32(1), &5_u64.to_ne_bytes());
        }
        let text = bed.read(&format!("{}/.metrics", kind.name()));
        let cpus = if kind.is_percpu() { bpffuse::sys::map::possible_cpus().unwrap() } else { 1 };
        let of_key = samples(&text).into_iter().find(|line| line.contains("key=\"1\""));
        let sum = (5 * cpus).to_string();
        assert_eq!(of_key.and_then(|line| line.split(' ').next_back()), Some(&*sum), "{text}");
    }
    bed.ok("cd mnt; echo ringbuf entries 4096 > ring; echo queue value u32 entries 4 > queue
        echo hash_of_maps key u32 entries 4 inner_map hash > outer");
    for map in ["ring", "queue", "outer"] {
        bed.fails_with(&format!("cat mnt/{map}/.metrics"), "Operation not supported");
    }
}

/// More than 10,000 samples: EFBIG, with the reason.
#[test]
fn too_many_numbers() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 4, 20_000);
    map.fill32(10_000, &[0; 4]);
    assert_eq!(samples(&bed.read("h/.metrics")).len(), 10_000);
    map.set(&key32(10_001), &[0; 4]);
    bed.fails_with("cat mnt/h/.metrics", "File too large");
    let errors = bed.errors();
    assert!(
        errors.last().is_some_and(|line| line.contains("more than 10000 numbers")),
        "{errors:?}"
    );
}

/// Each with labels id, name, type, pin (a sample for each pin; empty for a map without); and refusals.
#[test]
fn the_machines_maps() {
    require!("root", "bpf", "fuse", "promtool", "bpftool");
    let bed = Bed::new();
    let h = bed.map("h", Kind::Hash, 4, 8, 50);
    h.fill32(20, &[0; 8]);
    let array = bed.map("a", Kind::Array, 4, 8, 7);
    bed.ok("bpftool map pin pinned bpf/h $'bpf/quo\"ted\\nline'; ! echo x > mnt/h/1; ! echo 1 > mnt/h/nokey; ! cat mnt/h/absent0");
    let text = bed.read(".metrics");
    bed.ok("promtool check metrics < mnt/.metrics");
    let of = |map: u32| -> Vec<String> {
        let id = format!("{{id=\"{map}\",");
        let mut own: Vec<_> =
            samples(&text).into_iter().filter(|line| line.contains(&id)).collect();
        own.sort_unstable();
        own.into_iter().map(|line| line.replace(&bed.shown("bpf"), "BPF")).collect()
    };
    let labels = format!("id=\"{}\",name=\"{}\",type=\"hash\",pin", h.info.id, h.info.name);
    let pins = ["BPF/h", "BPF/quo\\\"ted\\nline"];
    for (name, number) in [("bpf_map_entries", "20"), ("bpf_map_max_entries", "50")] {
        let expected = pins.map(|pin| format!("{name}{{{labels}=\"{pin}\"}} {number}"));
        let found = of(h.info.id).into_iter().filter(|line| line.starts_with(&format!("{name}{{")));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
    assert!(of(h.info.id).iter().any(|line| line.starts_with("bpf_map_memory_bytes")));
    // An array is always full: that says nothing.
    assert!(!of(array.info.id).iter().any(|line| line.starts_with("bpf_map_entries")));
    let is_refusals = |line: &&str| line.starts_with("bpffuse_refusals_total");
    let refusals: Vec<_> = samples(&text).into_iter().filter(is_refusals).collect();
    let of_einval = |line: &&str| line.starts_with("bpffuse_refusals_total{errno=\"EINVAL\"} ");
    assert!(refusals.iter().any(of_einval), "{refusals:?}");
    // A map that ends is gone from the next text.
    let id = array.info.id;
    bed.ok("rm -r bpf/a");
    drop(array);
    eventually("the map's samples are gone", || {
        !bed.read(".metrics").contains(&format!("{{id=\"{id}\","))
    });
}

/// Absent while the kernel does not count them: `kernel.bpf_stats_enabled`
#[test]
fn what_programs_run() {
    require!("root", "bpf", "fuse", "promtool");
    let bed = Bed::new();
    let path = "/proc/sys/kernel/bpf_stats_enabled";
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, "1").unwrap();
    let text = bed.read(".metrics");
    fs::write(path, &before).unwrap();
    for (name, is_first) in
        [("bpf_program_run_seconds_total", true), ("bpf_program_runs_total", false)]
    {
        assert!(text.contains(&format!("# TYPE {name} counter")), "{is_first}: {text}");
    }
    if before.trim() == "0" {
        eventually("nothing is said of programs", || !bed.read(".metrics").contains("bpf_program"));
    }
}

/// `/.metrics` is 0400, or 0440 for the group that `--metrics-group GROUP` names: it, and nothing else, is
/// open to that group, whoever else may come in.
#[test]
fn a_group_of_readers() {
    require!("root", "bpf", "fuse", "setpriv");
    for others in [&[][..], &["-o", "allow_other"]] {
        let mut bed = Bed::idle();
        bed.ok("chmod 755 .");
        bed.start(&[&["-o", "metrics_group=2222"], others].concat());
        bed.hash("h");
        bed.ok("chmod 600 bpf/h");
        assert_eq!(bed.ok("stat -c %a:%u:%g mnt/.metrics"), "440:0:2222\n");
        bed.ok(&format!("{READER} cat mnt/.metrics | grep -q bpf_map_max_entries"));
        // Whole, too, to those who believe sizes.
        let sizes = format!("{READER} tar c mnt/.metrics | tar xO");
        assert!(bed.ok(&sizes).ends_with('\n'), "{sizes}");
        bed.ok(&format!("{READER} busybox cat mnt/.metrics | grep -q bpf_map_max_entries"));
        for user in [READER, OTHER] {
            for path in
                [".maps", ".maps.json", "h/.info", "h/.metrics", ".errors", ".name/", ".id/"]
            {
                bed.fails_with(&format!("{user} cat mnt/{path}"), "Permission denied");
            }
            bed.fails_with(&format!("{user} sh -c 'echo 1 > mnt/.metrics'"), "Permission denied");
        }
        bed.fails_with(&format!("{OTHER} cat mnt/.metrics"), "Permission denied");
        if others.is_empty() {
            bed.fails_with(&format!("{READER} ls mnt"), "Permission denied");
        }
    }
    let bed = Bed::with(&["-o", "allow_other"]);
    bed.ok("chmod 755 .");
    assert_eq!(bed.ok("stat -c %a mnt/.metrics"), "400\n");
    bed.fails_with(&format!("{READER} cat mnt/.metrics"), "Permission denied");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// node_exporter, run as a user of the group, reads a symlink to `/.metrics`; prometheus scrapes it, and the
/// project's alert fires when a map is filled and resolves when it is cleared.
#[test]
fn from_a_map_to_an_alert() {
    require!(
        "root",
        "bpf",
        "fuse",
        "setpriv",
        "prometheus",
        "prometheus-node-exporter",
        "curl",
        "jq"
    );
    let bed = Bed::with(&["--metrics-group", "2222"]);
    let map = bed.map("filled", Kind::Hash, 4, 8, 10);
    let (exporter, server) = (free_port(), free_port());
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus/bpffuse.rules.yml");
    let rules = fs::read_to_string(rules).unwrap().replace("for: 5m", "for: 0s");
    fs::write(bed.dir.join("rules.yml"), rules).unwrap();
    fs::write(
        bed.dir.join("prometheus.yml"),
        format!(
            "global: {{scrape_interval: 300ms, scrape_timeout: 300ms, evaluation_interval: 300ms}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: node, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}]\n"
        ),
    )
    .unwrap();
    bed.ok("chmod 755 .; mkdir texts; ln -s $PWD/mnt/.metrics texts/bpffuse.prom");
    let mut exporter_runs = bed.spawn(&format!(
        "exec {READER} prometheus-node-exporter --collector.disable-defaults --collector.textfile \
         --collector.textfile.directory=$PWD/texts --web.listen-address=127.0.0.1:{exporter} > exporter.log 2>&1"
    ));
    let mut server_runs = bed.spawn(&format!(
        "exec prometheus --config.file=prometheus.yml --storage.tsdb.path=$PWD/tsdb \
         --web.listen-address=127.0.0.1:{server} > prometheus.log 2>&1"
    ));
    let id = map.info.id;
    let ask = |query: &str| {
        bed.run(&format!(
            "curl -s http://127.0.0.1:{server}/api/v1/query --data-urlencode 'query={query}' | jq -r '.data.result[0].value[1]'"
        ))
        .stdout
    };
    let full = format!("bpf_map_entries{{id=\"{id}\"}} / bpf_map_max_entries{{id=\"{id}\"}}");
    map.fill32(5, &[0; 8]);
    eventually("prometheus knows how full the map is", || ask(&full) == "0.5\n");
    let firing =
        format!("ALERTS{{alertname=\"BpfMapNearlyFull\",alertstate=\"firing\",id=\"{id}\"}}");
    assert_eq!(ask(&firing), "null\n");
    map.fill32(10, &[0; 8]);
    eventually("the alert fires", || ask(&firing) == "1\n");
    bed.ok("echo 1 > mnt/filled/.clear");
    eventually("the alert is over", || ask(&firing) == "null\n");
    for child in [&mut exporter_runs, &mut server_runs] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

//! Clients that are killed, slow, stopped, or many.

use super::{Base, kill_all, names, open_files};
use crate::common::bed;
use crate::common::errno::open_with;
use crate::common::require::require;
use crate::common::{Bed, Kind, eventually, key32};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;

/// A client killed in the middle of a read: of a large text, a listing, a stream that waits.
#[test]
fn killed_in_mid_read() {
    require!("root", "bpf", "fuse", "bpftool");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 8, 50_000).fill32(50_000, &[1; 8]);
    bed.ok("bpftool map create bpf/rb type ringbuf key 0 value 0 entries 65536 name rb");
    let base = Base::of(&bed, "h");
    for round in 0..4_u64 {
        let mut clients: Vec<_> = ["h/.entries", "h/.watch", "rb/.stream", "h/.count"]
            .iter()
            .map(|name| format!("while true; do cat mnt/{name} > all || exit; done"))
            .chain(["exec find mnt/h > all".to_owned(), "exec sleep 100 < mnt/rb/.help".to_owned()])
            .map(|script| bed.spawn(&format!("echo begun; {script}")))
            .collect();
        for client in &mut clients {
            let mut line = [0; 6];
            client.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(20 + 30 * round));
        for client in &mut clients {
            kill_all(&bed, client);
        }
    }
    // The stream has no reader left that would keep others out.
    assert_eq!(bed.ok("timeout 0.3 cat mnt/rb/.stream; echo $?"), "124\n");
    assert_eq!(bed.ok("cat mnt/h/.count; wc -l < mnt/h/.entries"), "50000\n50000\n");
    base.is_reached_again(&bed, 48 << 10);
}

/// A client killed in the middle of a write: what was complete stands, the rest leaves no trace.
#[test]
fn killed_in_mid_write() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.ok("echo \"hash key u32 value 'struct { __u32 a; __u64 b; }' entries 100\" > mnt/h
            echo '{\"a\":1,\"b\":1}' > mnt/h/1");
    let base = Base::of(&bed, "h");
    let halves = [
        ("h/1", "{\"a\":2,"),
        ("h/2", "{\"a\":2,\"b\""),
        ("h/.raw/01000000", "half"),
        ("h/.entries", "{\"key\":3,\"value\":{\"a\":3,\"b\":3}}\n{\"key\":4,\"value\":{\"a\":"),
        ("h/.field/1/a", "-"),
        ("new", "hash key u32 value"),
    ];
    for (name, half) in halves {
        let mut client = bed.spawn(&format!(
            "exec 3>>mnt/{name}; printf %s '{half}' >&3; echo written; sleep 100 3>&3"
        ));
        let mut line = [0; 8];
        client.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        kill_all(&bed, &mut client);
    }
    eventually("the files are closed", || {
        bed.run("! ls mnt/h/2 && test $(ls mnt/h | wc -l) = 2").status.success()
    });
    assert_eq!(
        bed.ok("cat mnt/h/.entries | sort"),
        "{\"key\":1,\"value\":{\"a\":1,\"b\":1}}\n{\"key\":3,\"value\":{\"a\":3,\"b\":3}}\n"
    );
    assert_eq!(names(&bed), "bpf:\nh\n\nmnt:\nh\n");
    base.is_reached_again(&bed, 8 << 10);
}

/// A client that reads one byte at a time gets what others get, and may write so.
#[test]
fn one_byte_at_a_time() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.ok("echo \"hash key u32 value 'struct { __u32 a; __u64 b; }' entries 100\" > mnt/h
            for i in 1 2 3 4 5; do echo \"{\\\"a\\\":$i,\\\"b\\\":$i}\" > mnt/h/$i || exit; done");
    let told = bed.python(
        "
        def whole(name):
            with open('mnt/' + name, 'rb', buffering=0) as f: return f.readall()
        def bytewise(name):
            fd, text = os.open('mnt/' + name, os.O_RDONLY), b''
            while (byte := os.read(fd, 1)): text += byte
            os.close(fd)
            return text
        def write(name, text):
            fd = os.open('mnt/' + name, os.O_WRONLY | os.O_CREAT)
            for byte in text: assert os.write(fd, bytes([byte])) == 1
            os.close(fd)
        for name in ['h/1', 'h/.entries', 'h/.schema', 'h/.info', 'h/.help', 'h/.count', 'h/.raw/01000000',
                     'h/.field/1/a', '.help', 'h/.freeze']:
            assert bytewise(name) == whole(name) != b'', name
        fd, text = os.open('mnt/h/.watch', os.O_RDONLY), b''
        while text.count(b'\\n') < 5: text += os.read(fd, 1)
        os.close(fd)
        assert sorted(json.loads(line)['key'] for line in text.splitlines()) == [1, 2, 3, 4, 5], text
        write('h/6', b'{\"a\":6,\\n \"b\":7}\\n')
        write('h/.raw/07000000', bytes(16))
        write('h/.entries', b'{\"key\":8,\"value\":{\"a\":8,\"b\":8}}\\n{\"key\":9,\"value\":{\"a\":9,\"b\":9}}\\n')
        write('h/.field/6/b', b'65\\n')
        write('copy', whole('h/.schema'))
        print(whole('h/6'), whole('h/9'), sorted(os.listdir('mnt/h')), os.listdir('mnt/copy'))
        ",
    );
    assert_eq!(
        told,
        "b'{\"a\":6,\"b\":65}\\n' b'{\"a\":9,\"b\":9}\\n' ['1', '2', '3', '4', '5', '6', '7', '8', '9'] []\n"
    );
}

/// 1,000 open handles of all kinds, and the daemon as before when they are closed.
#[test]
fn a_thousand_open_files() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 2000);
    map.fill32(1000, &[1; 8]);
    let base = Base::of(&bed, "h");
    let mut client = bed.spawn(
        r#"exec python3 -c '
import os, resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
names = ["%d", ".raw/%02x030000", ".entries", ".info", ".help", ".count", ".schema"]
fds = []
for i in range(850):
    name = names[i % len(names)]
    fd = os.open("mnt/h/" + (name % (i % 200) if "%" in name else name), os.O_RDONLY)
    assert len(os.read(fd, 1 + i % 2)) > 0
    fds.append(fd)
for i in range(50): fds.append(os.open("mnt/h", os.O_RDONLY))
for i in range(50):
    fds.append(os.open("mnt/h/.watch", os.O_RDONLY))
    assert os.read(fds[-1], 10)
for i in range(50): fds.append(os.open("mnt/h/%d" % (1500 + i), os.O_WRONLY | os.O_CREAT))
assert len(fds) == 1000
print("open", flush=True)
input()
for fd in fds[:850]: os.read(fd, 4096)
for fd in fds[-50:]: assert os.write(fd, b"77\n") == 3
print("used", flush=True)
' < <(while [ ! -e go ]; do sleep 0.05; done; echo)"#,
    );
    let mut line = [0; 5];
    let stdout = client.stdout.as_mut().unwrap();
    stdout.read_exact(&mut line).expect("the client opens all of them");
    // Others are served meanwhile, and the daemon holds the map, not a descriptor for each file.
    assert_eq!(
        bed.ok("cat mnt/h/7; echo 5 > mnt/h/1700; cat mnt/h/1700"),
        "72340172838076673\n5\n"
    );
    let files = open_files(bed.pid());
    assert!(files < base.files + 100, "{files} descriptors, {} before", base.files);
    std::fs::write(bed.dir.join("go"), "").unwrap();
    stdout.read_exact(&mut line).expect("all of them still work");
    assert!(client.wait().unwrap().success());
    assert_eq!(map.get(&key32(1549)), Some(77_u64.to_ne_bytes().to_vec()));
    assert_eq!(map.keys().len(), 1051);
    base.is_reached_again(&bed, 48 << 10);
}

/// Readers that have taken much of the daemon's memory leave none of it taken, whether they close at
/// once or when the daemon has long let go of the map.
#[test]
fn memory_of_closed_files_is_given_back() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.map("big", Kind::Hash, 4, 4096, 1000).fill32(1000, &[b'A'; 4096]);
    let base = Base::of(&bed, "big");
    for late in [false, true] {
        let readers: Vec<_> = (0..200)
            .map(|_| {
                let mut file = std::fs::File::open(bed.at("big/.entries")).unwrap();
                file.read_exact(&mut vec![0; 200_000]).unwrap();
                file
            })
            .collect();
        let held = super::resident(&bed);
        assert!(held > base.memory + 32 * 1024, "{held} KiB is little more than {}", base.memory);
        if late {
            eventually("the map is closed", || open_files(bed.pid()) <= base.files);
            // Longer than the daemon takes to look after that.
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        drop(readers);
        eventually("the memory is given back", || super::resident(&bed) < base.memory + 8 * 1024);
    }
}

/// glibc's heaps of threads lie in 64 MiB each, of which the unused rest cannot be accessed.
fn heaps_of_threads(maps: &str) -> usize {
    let number = |text: &str| u64::from_str_radix(text, 16).expect("an address");
    let is_rest = |line: &&str| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next().and_then(|range| range.split_once('-')).expect("a range");
        let (start, end) = (number(start), number(end));
        words.next() == Some("---p") && end % (64 << 20) == 0 && end - start > 16 << 20
    };
    maps.lines().filter(is_rest).count()
}

/// What a thread's own heap has given out once stays there: all threads use one.
#[test]
fn threads_have_no_heaps_of_their_own() {
    require!("root", "bpf", "fuse");
    let bed = Bed::new();
    bed.map("h", Kind::Hash, 4, 8, 1000).fill32(1000, &[1; 8]);
    // As many readers as make every worker allocate.
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let path = bed.at("h/.entries");
            std::thread::spawn(move || (0..5).for_each(|_| drop(std::fs::read(&path).unwrap())))
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", bed.pid())).unwrap();
    assert_eq!(heaps_of_threads(&maps), 0, "{maps}");
}

/// "64 clients" at once, each with its own keys in a shared map: none sees another's, all is there.
#[test]
fn sixty_four_clients() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    let map = bed.map("h", Kind::Hash, 4, 8, 10_000);
    let base = Base::of(&bed, "h");
    let told = bed.python(
        "
        def client(c):
            mine = range(c * 100, c * 100 + 10)
            def put(k, v, flags=os.O_CREAT):
                fd = os.open(f'mnt/h/{k}', os.O_WRONLY | flags)
                os.write(fd, b'%d\\n' % v)
                os.close(fd)
            def get(k):
                with open(f'mnt/h/{k}') as f: return int(f.read())
            for k in mine:
                put(k, 1, os.O_CREAT | os.O_EXCL)
                assert errno_of(put, k, 9, os.O_CREAT | os.O_EXCL) == 'EEXIST'
                put(k, k * 7, 0)
                assert get(k) == k * 7, k
            names = set(map(int, os.listdir('mnt/h')))
            assert names >= set(mine), (c, set(mine) - names)
            with open('mnt/h/.entries') as f:
                lines = [json.loads(line) for line in f]
            assert {l['key'] for l in lines if l['key'] // 100 == c} == set(mine), c
            with open('mnt/h/.entries', 'w') as f:
                for k in mine: f.write('{\"key\":%d,\"value\":%d}\\n' % (k, k))
            for k in mine[5:]:
                os.unlink(f'mnt/h/{k}')
                assert errno_of(get, k) == 'ENOENT'
            assert errno_of(put, 'x', 1) == 'EINVAL'
            os.mkdir(f'mnt/m{c}'); os.rename(f'mnt/m{c}', f'mnt/n{c}'); os.rmdir(f'mnt/n{c}')
        children = []
        for c in range(64):
            pid = os.fork()
            if pid == 0:
                try: client(c)
                except BaseException:
                    import traceback
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            children.append(pid)
        print(sum(os.waitpid(pid, 0)[1] != 0 for pid in children), 'failed')
        ",
    );
    assert_eq!(told, "0 failed\n");
    let expected: std::collections::BTreeSet<Vec<u8>> =
        (0..64).flat_map(|c| (0..5).map(move |k| key32(c * 100 + k).to_vec())).collect();
    assert_eq!(map.keys(), expected);
    for key in expected {
        let value = u32::from_ne_bytes(*key.first_chunk().unwrap());
        assert_eq!(map.get(&key), Some(u64::from(value).to_ne_bytes().to_vec()));
    }
    assert_eq!(names(&bed), "bpf:\nh\n\nmnt:\nh\n");
    base.is_reached_again(&bed, 48 << 10);
}

/// A stopped client with half-read and half-written files holds nobody else up.
#[test]
fn a_stopped_client() {
    require!("root", "bpf", "fuse");
    let bed = Bed::with(&["--watch-interval", "50ms"]);
    let map = bed.map("h", Kind::Hash, 4, 8, 100_000);
    map.fill32(50_000, &[1; 8]);
    let base = Base::of(&bed, "h");
    let mut client = bed.spawn(
        "exec 3<mnt/h/.watch 4<mnt/h/.entries 5>>mnt/h/1
         read -r line <&3; read -r line <&4; printf 1 >&5; echo ready; kill -STOP $$; cat <&4 | wc -l",
    );
    let mut line = [0; 6];
    client.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    for round in 0..20 {
        bed.write(&format!("h/{}", 60_000 + round), "5\n");
    }
    let mut other = open_with(bed.at("h/1"), 0).unwrap();
    other.write_all(b"9\n").unwrap();
    assert_eq!(
        bed.ok("cat mnt/h/1; cat mnt/h/.count; wc -l < mnt/h/.entries"),
        "9\n50020\n50020\n"
    );
    bed.ok(&format!("kill -CONT $(pgrep -P {})", client.id()));
    let mut rest = String::new();
    client.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    client.wait().unwrap();
    let rest: u32 = rest.trim().parse().unwrap();
    assert!((49_999..=50_020).contains(&rest), "{rest} lines after the stop");
    drop(other);
    base.is_reached_again(&bed, 48 << 10);
}

/// Clients that keep asking for what somebody else has do not keep the others from what is free.
#[test]
fn opening_a_busy_stream_again_and_again() {
    require!("root", "bpf", "fuse", "python3", "bpftool");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &7_u64.to_ne_bytes());
    bed.ok("bpftool map create bpf/rb type ringbuf key 0 value 0 entries 65536 name rb");
    let base = Base::of(&bed, "h");
    let mut clients = vec![bed.spawn("exec cat mnt/rb/.stream")];
    for _ in 0..8 {
        clients.push(bed.spawn(
            r#"exec python3 -c '
while True:
    try: open("mnt/rb/.stream").close()
    except OSError: pass'"#,
        ));
    }
    eventually("the stream is refused", || bed.errors().iter().any(|line| line.contains("EBUSY")));
    // They would take minutes if each try kept a thread for as long as it waits.
    let reads = bed
        .run_for(50, "for i in $(seq 1000); do read -r line < mnt/h/1 || exit; done; echo $line");
    for client in &mut clients {
        kill_all(&bed, client);
    }
    assert_eq!(reads.ok(), "7\n");
    base.is_reached_again(&bed, 8 << 10);
}

/// Starts a program whose paths lie in a file of the mount itself, whose pages go while the paths are
/// looked up: who looks there waits for the daemon.
fn ask_by_paths_of_ours(bed: &Bed) -> Child {
    // A long walk, so that the page is gone when the daemon comes to its end.
    let mut path = format!("mnt/{}h/.events/x", "h/../".repeat(300)).into_bytes();
    path.resize(4096, 0);
    bed.open("paths").set(&key32(0), &path);
    let script = "
import ctypes, mmap, os, threading, time
libc = ctypes.CDLL(None)
file = os.open('mnt/paths/.raw/00000000', os.O_RDONLY)
page = mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
def ask():
    while True: libc.open(ctypes.c_void_p(address), 0)
def evict():
    while True:
        libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(4096), 4)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        time.sleep(.0005)
for run in [ask] * 24 + [evict]:
    threading.Thread(target=run, daemon=True).start()
print('begun', flush=True)
time.sleep(100)
";
    fs::write(bed.dir.join("script.py"), script).unwrap();
    let mut client = bed.spawn("exec python3 script.py");
    let mut line = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    client
}

/// Who looks at such paths must not be the daemon's last thread.
#[test]
fn paths_in_memory_that_we_fill() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.map("paths", Kind::Array, 4, 4096, 1);
    let mut client = ask_by_paths_of_ours(&bed);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let ran = bed.run_for(10, "cat mnt/h/1; ls mnt/h; echo 7 > mnt/h/2; cat mnt/h/2");
    kill_all(&bed, &mut client);
    assert!(!ran.timed_out(), "the daemon waits for itself");
    assert_eq!(ran.ok(), "0\n1\n7\n");
}

/// The daemon is killed while it looks at such paths: what it waits for never comes, and yet it goes,
/// as a process that stays could not be killed, nor its mount's callers.
#[test]
fn killed_while_it_looks_at_memory_that_we_fill() {
    require!("root", "bpf", "fuse", "python3");
    let mut bed = Bed::idle();
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.map("paths", Kind::Array, 4, 4096, 1);
    for signal in ["KILL", "TERM"].repeat(3) {
        bed.start(&[]);
        let mut client = ask_by_paths_of_ours(&bed);
        std::thread::sleep(std::time::Duration::from_millis(300));
        bed::signal(signal, bed.pid());
        bed.wait_for_end();
        kill_all(&bed, &mut client);
    }
}

//! What readers may make the daemon hold is bounded, however many they are.

use super::{Base, resident};
use crate::common::require::require;
use crate::common::{Bed, Kind, eventually, key32};

/// Tells what the daemon holds, in MiB, and gives readers room for their descriptors.
fn prelude(bed: &Bed) -> String {
    format!(
        "
        import ctypes, resource, time
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        def resident():
            for line in open('/proc/{}/status'):
                if line.startswith('VmRSS:'): return int(line.split()[1]) >> 10
        ",
        bed.pid()
    )
}

/// `.entries` of large values: each reader holds megabytes. Beyond a gigabyte, others wait their
/// turn, and small maps are served still.
#[test]
fn many_read_entries() {
    require!("root", "bpf", "fuse", "python3", "4 GiB");
    let bed = Bed::new();
    let map = bed.map("big", Kind::Array, 4, 1 << 20, 4);
    for n in 0..4 {
        map.set(&key32(n), &vec![7; 1 << 20]);
    }
    bed.hash("h").set(&key32(1), &[0; 8]);
    bed.map("small", Kind::Hash, 4, 8, 10).set(&key32(1), &[0; 8]);
    let base = Base::of(&bed, "h");
    let told = bed.python(&format!(
        "{}
        fds, told = [], []
        while len(fds) < 300 and not told:
            try: fds.append(os.open('mnt/big/.entries', os.O_RDONLY))
            except OSError as e: told.append(errno.errorcode[e.errno])
            else: told += filter(None, [errno_of(os.read, fds[-1], 4096)])
        assert told == ['ENOMEM'], (told, len(fds), resident())
        assert resident() < 1400, resident()
        def read(name):
            with open('mnt/' + name) as f: f.readline()
        for name in ['big/.entries', 'big/.watch', 'h/.entries', 'h/.watch']:
            assert errno_of(read, name) == 'ENOMEM', name
        assert errno_of(os.listdir, 'mnt/h') == 'ENOMEM'
        for name in ['h/1', 'small/.entries', 'small/.watch', 'h/.count', '.errors', 'h/.info']:
            assert not errno_of(read, name), name
        assert os.listdir('mnt/small') == ['1'] and 'small' in os.listdir('mnt')
        # Who reads goes on; at the end the room is free.
        size = 4096
        while part := os.read(fds[0], 1 << 20): size += len(part)
        assert size > 8 << 20, size
        for fd in fds[:10]: os.close(fd)
        for _ in range(100):
            # The kernel tells of a close only after it.
            if not (told := errno_of(read, 'big/.entries')): break
            time.sleep(.05)
        assert not told, told
        ",
        prelude(&bed)
    ));
    assert_eq!(told, "");
    let errors = bed.errors().join("\n");
    assert!(errors.contains("ENOMEM: open files hold 1024 MiB already: close some"), "{errors}");
    base.is_reached_again(&bed, 16 << 10);
}

/// Listings of long keys: each open directory keeps a window of them.
#[test]
fn many_list_keys() {
    require!("root", "bpf", "fuse", "python3", "4 GiB");
    let bed = Bed::new();
    let map = bed.map("long", Kind::Hash, 500, 4, 2000);
    for n in 0..2000_u32 {
        let mut key = [0; 500];
        key[..4].copy_from_slice(&n.to_be_bytes());
        map.set(&key, &[0; 4]);
    }
    let base = Base::of(&bed, "long");
    bed.python(&format!(
        "{}
        assert hard > 7500, hard
        libc, page = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(4096)
        def begin(fd):
            # The first call may give the dots alone.
            for _ in range(2):
                if libc.getdents64(fd, page, 4096) < 0: raise OSError(ctypes.get_errno(), '')
        fds, told = [], None
        while len(fds) < 7000 and not told:
            fds.append(os.open('mnt/long', os.O_RDONLY | os.O_DIRECTORY))
            told = errno_of(begin, fds[-1])
        assert told == 'ENOMEM', (told, len(fds), resident())
        assert resident() < 1400, resident()
        # Who lists goes on, and the rest is there when others have gone.
        for fd in fds[1:]: os.close(fd)
        assert len(os.listdir('mnt/long')) == 2000
        ",
        prelude(&bed)
    ));
    eventually("the memory is given back", || resident(&bed) < base.memory + (16 << 10));
    base.is_reached_again(&bed, 16 << 10);
}

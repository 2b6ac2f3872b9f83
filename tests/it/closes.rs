//! What is written in part, and closed by some who have it open: only the opener's last close ends it.

use crate::common::require::require;
use crate::common::{Bed, eventually, host_order};
use crate::kinds_common::Programs;
use std::thread;
use std::time::Duration;

/// Opens `file`, writes `first`, closes a duplicate, has a child close what it inherited, and writes
/// `rest`.
#[track_caller]
fn write_with_child(bed: &Bed, file: &str, first: &str, rest: &str) {
    bed.python(&format!(
        "
        fd = os.open('mnt/{file}', os.O_WRONLY)
        os.write(fd, b'''{first}''')
        if (pid := os.fork()) == 0:
            os.close(fd)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        os.close(os.dup(fd))
        os.write(fd, b'''{rest}''')
        os.close(fd)
        "
    ));
    assert_eq!(closes(bed), 0, "{:#?}", bed.errors());
}

/// Closes that were refused.
#[track_caller]
fn closes(bed: &Bed) -> usize {
    bed.errors().iter().filter(|line| line.contains(" close ")).count()
}

/// Fails unless closing `file` with `text` in it is refused, and told once.
#[track_caller]
fn close_refused(bed: &Bed, file: &str, text: &str) {
    let before = closes(bed);
    bed.python(&format!(
        "
        import threading
        def check(open_it):
            fd = open_it()
            os.write(fd, b'''{text}''')
            assert errno_of(os.close, fd) == 'EINVAL', open_it
        def plain():
            return os.open('mnt/{file}', os.O_WRONLY)
        def by_a_thread_that_is_gone():
            fds = []
            thread = threading.Thread(target=lambda: fds.append(plain()))
            thread.start(); thread.join()
            return fds[0]
        check(plain)
        check(by_a_thread_that_is_gone)
        "
    ));
    // The releases that follow say it no more.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(closes(bed), before + 2, "{:#?}", bed.errors());
}

/// User ring buffer: a line is an event, however many descriptors of it are closed meanwhile.
#[test]
fn a_line_of_a_ring_is_not_cut() {
    require!("root", "bpf", "fuse", "user_ringbuf maps", "callbacks", "clang", "python3");
    let bed = Bed::new();
    let programs = Programs::load(&bed, "streams");
    let (one, two) = host_order(("0x01000000", "02000000\\n"), ("0x00000001", "00000002\\n"));
    write_with_child(&bed, "commands/.stream", one, two);
    // A last line without its end is an event too.
    write_with_child(&bed, "commands/.events/command", "{\"id\":3,", "\"amount\":4}");
    programs.run_raw("drain", [0, 0], None);
    let expected = "{\"seq\":1,\"twice\":2,\"who\":\"tester\"}\n\
                    {\"seq\":3,\"twice\":4,\"who\":\"tester\"}\n";
    assert_eq!(bed.ok("head -n 2 mnt/events/.events/event"), expected);
    close_refused(&bed, "commands/.events/command", "{\"id\":3,");
}

/// If it is still incomplete at `close`, `close` returns EINVAL: not at a child's.
#[test]
fn a_line_of_entries_goes_on() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.hash("h");
    write_with_child(&bed, "h/.entries", "{\"key\":1,\"value\":2", "5}");
    assert_eq!(bed.ok("cat mnt/h/*"), "25\n");
    close_refused(&bed, "h/.entries", "{\"key\":1,");
    // A child that outlives its parent ends the line by closing last.
    bed.ok("exec 3> mnt/h/.entries; printf '{\"key\"' >&3
        (sleep 1; printf ':7,\"value\":8}' >&3) > /dev/null 2>&1 &");
    eventually("the child's line is stored", || bed.run("cat mnt/h/7").status.success());
}

/// The same of what is pushed.
#[test]
fn a_pushed_value_goes_on() {
    require!("root", "bpf", "fuse", "python3");
    let bed = Bed::new();
    bed.ok("echo 'type queue value 12 entries 4' > mnt/q");
    write_with_child(&bed, "q/.push", "\"0x010203", "040506070809101112\"\\n");
    assert_eq!(bed.ok("cat mnt/q/.pop"), "\"0x010203040506070809101112\"\n");
    close_refused(&bed, "q/.push", "\"0x0102");
}

"""Runs the attacks of scripts/attack on each binary in turn, and prints one table."""

import os, signal, sys, time

import hold, rights, work
from bed import Bed, Enough

# What each may cost: the project's promise.
WAIT, THREADS, PEAK, LEFT = 0.3, 40, 1280 << 20, 24 << 20


def idle(bed):
    """Nobody attacks."""
    bed.watch(2)


ATTACKS = [
    ("0 nobody attacks", idle, {}),
    ("1 old descriptors of a pin that was his", rights.old_descriptor, {}),
    ("1 chmod by path while root takes it back", rights.by_path, {}),
    ("2 takes through a read-only bind mount", rights.read_only_mount, {}),
    ("3 renames what root is making", rights.renamed_while_made, {}),
    ("3 link pin and program sizes by o+r", rights.objects, {}),
    ("5 symlink exchange, 1 thread", work.symlink_exchange, {"args": ["--threads", "1"]}),
    ("5 symlink exchange, 2 threads", work.symlink_exchange, {"args": ["--threads", "2"]}),
    ("5 symlink exchange, 4 threads", work.symlink_exchange, {"args": ["--threads", "4"]}),
    ("5 exchanged mount points, 1 thread", work.mount_exchange, {"args": ["--threads", "1"]}),
    ("6 .count of 2M elements, 16 processes", work.count, {}),
    ("6 .count of a trie, 16 processes", work.count_trie, {}),
    ("6 .watch of what a busy user watches", work.watched_by_all, {}),
    ("6 pread(.entries, 1, 1<<60)", work.far_read, {}),
    ("6 lseek(dirfd, 1<<60), getdents", work.far_listing, {}),
    ("6 .info, 65,536 groups, 500 directories", work.many_groups, {}),
    ("6 write, close with 19,900 descriptors", work.many_descriptors, {}),
    ("6 stat(.stream) with slow memory", work.slow_memory, {}),
    ("6 openat2 with slow memory", work.slow_flags, {}),
    ("7 660 polled handles, TasksMax 300", hold.polled, {"limits": [("pids", 300)]}),
    ("7 300 blocked readers, TasksMax 300", hold.blocked, {"limits": [("pids", 300)]}),
    ("8 200 idle watchers, 100,000 changes", hold.idle_watchers, {}),
    ("8 1,500 unfinished lines", hold.unfinished_lines, {}),
    ("8 one user's files take the bound", hold.open_files, {}),
    ("9 21,000 opens of an iterator", hold.iterators, {}),
    ("9 128 watched pins", hold.inotify, {"args": ["--watch-interval", "50ms"]}),
    ("9 stat in a default route, 100 MB", hold.trie_names, {"limits": [("memory", 100_000_000)]}),
    ("9 find over 400,000 keys", hold.find_all, {}),
    ("10 log flood by 4,000-letter names", work.log_flood, {"args": ["-v", "--log-file", "LOG"]}),
    ("11 71 renames, root's open directory", work.renames, {}),
    ("11 fusectl abort", work.aborted, {}),
    ("11 PID namespace with the outer /proc", rights.pid_namespace, {"wrap": ["unshare", "--pid", "--fork", "--kill-child"]}),
]
COLUMNS = ("attack", "gained", "root waits", "refused", "peak RSS", "threads", "fds", "after 5 s: RSS, threads, fds", "missed")


def run(home, number, binary, function, options):
    """One attack; its cells."""
    options = {**options, "args": [word.replace("LOG", f"{home}/{number}/daemon.log") for word in options.get("args", ())]}
    bed, left = None, None
    try:
        bed = Bed(home, str(number), binary, **options)
        try:
            function(bed)
        except Enough as reason:
            if str(reason):
                bed.hung = str(reason)
        if not bed.ended:
            left = bed.settle()
        return cells(bed, left)
    finally:
        if bed:
            bed.close()
            for note in bed.notes:
                print(f"      {note}", file=sys.stderr, flush=True)


def cells(bed, left):
    worst, refused = bed.meter.worst(), int(bed.meter.get()[3])
    gained = [what for what, is_gained in bed.gains if is_gained]
    for what in gained:
        bed.note(f"gained: {what}")
    for what in bed.refusals:
        bed.note(f"refused: {what}")
    if refused and not bed.ended:
        bed.note(f"refused: {refused} of root's {int(bed.meter.get()[2])} reads")
    refusals = len(bed.refusals) + (0 if bed.ended else refused)
    missed = [bed.hung] if bed.hung else []
    missed += ["rights"] if gained else []
    missed += ["waits"] if worst > WAIT and not bed.ended else []
    missed += ["refused"] if refusals else []
    missed += ["threads"] if bed.most["threads"] > THREADS else []
    missed += ["memory"] if bed.most["rss"] > PEAK else []
    missed += ["kept"] if left and left["rss"] > bed.before["rss"] + LEFT else []
    missed += bed.exceeded
    return (f"{len(gained)} of {len(bed.gains)}" if bed.gains else "-", "-" if bed.ended else show(worst), str(refusals),
            size(bed.most["rss"]), str(bed.most["threads"]), str(bed.most["fds"]),
            f"{size(left['rss'])}, {left['threads']}, {left['fds']}" if left else "-", ", ".join(missed) or "")


def show(seconds):
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.2g} ms" if seconds < 0.0095 else f"{seconds * 1000:.0f} ms"


def size(bytes):
    return f"{bytes / (1 << 30):.2f} GiB" if bytes >= 1 << 30 else f"{bytes >> 20} MiB"


def joined(cells):
    """One cell: what each binary had, in turn."""
    return " → ".join(cell or "none" for cell in cells) if any(cells) else ""


def table(rows):
    lines = [COLUMNS, *((name, *map(joined, zip(*each))) for name, each in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(COLUMNS))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip(), flush=True)


def fits(word, name):
    return word == name.split()[0] if word.isdigit() else word in name


def main():
    # A shell starts what runs in the background with this one ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home, words = sys.argv[1], [word for word in sys.argv[2:] if word != "-d"]
    binaries = [word for word in words if os.path.isfile(word) and os.access(word, os.X_OK)]
    words = [word for word in words if word not in binaries]
    chosen = [attack for attack in ATTACKS if not words or any(fits(word, attack[0]) for word in words)]
    if not binaries or not chosen:
        raise SystemExit("scripts/attack [BINARY...] [WORD...]: no such binary, or no such attack")
    rows, number, start = [], 0, time.monotonic()
    try:
        for name, function, options in chosen:
            all_cells = []
            for binary in binaries:
                number += 1
                print(f"{name}: {binary}", file=sys.stderr, flush=True)
                try:
                    all_cells.append(run(home, number, binary, function, options))
                except Exception as error:
                    if "-d" in sys.argv:
                        raise
                    all_cells.append(("-", "-", "-", "-", "-", "-", "-", f"not run: {error}"))
                print("    " + " | ".join(all_cells[-1]), file=sys.stderr, flush=True)
            rows.append((name, all_cells))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if rows:
        print(f"{' → '.join(binaries)} on {os.cpu_count()} CPUs, Linux {os.uname().release}, {time.monotonic() - start:.0f} s")
        table(rows)
    missed = [name for name, all_cells in rows if all_cells[-1][-1]]
    print(f"{len(rows) - len(missed)} of {len(rows)} held" + (f" by {binaries[-1]}" if len(binaries) > 1 else ""))
    raise SystemExit(1 if missed or len(rows) < len(chosen) else 0)


main()

#!/usr/bin/env python3
"""What watching a run costs it: processor time of the watchdog and of the probes in each rank, of the supervisor beside it,
and of the stamps of its steps, as shares of the time of a step.

Usage: watch_cost.py LOCKSTEP_RANK PLAN [SECONDS], in the root of the repository. The threads' time is what the kernel counted for
them (/proc/PID/task/TID/schedstat) over SECONDS [20] of a launch of the plan's joint leg under way. For the stamps see
bench_recording (a stamp, and a step with recording on against off). A sum is an upper bound: where a core is idle, as while a
rank waits, it costs the step nothing.
"""
import collections
import os
import signal
import subprocess
import sys
import tempfile
import time

WATCHERS = ("watchdog", "probes")


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def processor_ns(folder):
    """By (process, what it is): processor time of the watching threads and processes of the run in `folder`."""
    found = collections.Counter()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = read(f"/proc/{pid}/cmdline").split("\0")
        if os.path.basename(words[0]) != "lockstep-rank" or not any(folder in word for word in words):
            continue
        threads = os.listdir(f"/proc/{pid}/task")
        for thread in threads:
            name = read(f"/proc/{pid}/task/{thread}/comm").strip()
            counted = read(f"/proc/{pid}/task/{thread}/schedstat").split()
            if not counted:
                continue
            if name in WATCHERS:
                found[pid, name] += int(counted[0])
            elif len(threads) == 1:
                found[pid, "supervisor"] += int(counted[0])
    return found


def main():
    rank_program, plan = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20.0
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.Popen(["mpirun", "--oversubscribe", "-np", "4", rank_program, "--plan", plan, "--out", folder, "--set",
                                "run.steps=100000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(8.0)
            before, begin_s = processor_ns(folder), time.monotonic()
            time.sleep(seconds)
            after, length_s = processor_ns(folder), time.monotonic() - begin_s
        finally:
            run.send_signal(signal.SIGTERM)
            run.wait()
    shares = collections.defaultdict(list)
    for (pid, what), spent in after.items():
        shares[what].append((spent - before[pid, what]) / 1e9 / length_s)
    if not shares:
        sys.exit("the launch was not under way")
    for what, of_each in sorted(shares.items()):
        print(f"{what}: {max(of_each):.4%} of a core in the worst of {len(of_each)} ranks, {sum(of_each) / len(of_each):.4%} on average")
    print(f"together: {sum(max(of_each) for of_each in shares.values()):.4%} of a core a rank at most, over {length_s:.0f} s")


if __name__ == "__main__":
    main()

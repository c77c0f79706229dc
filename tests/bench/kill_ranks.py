#!/usr/bin/env python3
"""SIGKILL of a random rank (or of the process that supervises it) at a random instant of a launch, again and again: is every
step that any rank completed in run.h5, and does every file read?

Usage: kill_ranks.py LOCKSTEP LIST_JOURNALS KILLS [--seed N]. Each launch is hit once and made again from its checkpoint. The
truth is each rank's own count in its journal, which is raised after every step and has no part in merging. Exit 1 when a step
is missing, a file does not read, a certificate does not verify, or a process is left behind.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import h5py

PLAN = """
name = "kills"
placement = "colocated"
[[site]]
name = "A"
slots = 2
[[site]]
name = "B"
slots = 2
[workload]
model = "nano"
sequence_length = 64
sequences = 4
bucket_parameters = 50000
[compute]
backend = "paced"
paced_gflops = 30.0
paced_memory_gbps = 10.0
[run]
steps = 60
warmup_steps = 5
rounds = {rounds}
[deadlines]
launch_s = 20.0
init_s = 20.0
op_s = 10.0
finalize_s = 10.0
[recovery]
policy = "same"
max_restarts = 3
backoff_s = 0.0
checkpoint_steps = 20
[criteria]
min_steps = 60
"""
ROUNDS_A_RUN = 10


def ranks_of(folder):
    """(pid, number of the launch) of the ranks and supervisors of a run, whose results are in `folder`."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == "lockstep-rank" and any(folder in word for word in words):
            found.append((int(entry.name), int(words[words.index("--leg-index") + 1])))
    return found


class Killer:
    """Hits each launch of a run once, at an instant drawn between its first sign and a little past its usual end."""

    def __init__(self, rng, folder, scheduled):
        self.rng = rng
        self.folder = folder
        self.scheduled = scheduled  # launches; attempts come behind them
        self.seen_s = {}
        self.due_s = {}
        self.hit = []
        self.usual_s = 2.0

    def look(self):
        now_s = time.monotonic()
        alive = collections.defaultdict(list)
        for pid, launch in ranks_of(self.folder):
            alive[launch].append(pid)
        for launch, pids in alive.items():
            if launch not in self.seen_s:
                self.seen_s[launch] = now_s
                # Further attempts are left alone, so that every leg comes to its end.
                if launch < self.scheduled:
                    self.due_s[launch] = now_s + self.rng.uniform(0.0, 1.05 * self.usual_s)
            if launch in self.due_s and now_s >= self.due_s[launch]:
                del self.due_s[launch]
                try:
                    os.kill(self.rng.choice(pids), signal.SIGKILL)
                    self.hit.append((launch, now_s - self.seen_s[launch]))
                except ProcessLookupError:
                    pass


def certify(lockstep, rng, folder):
    """One run; its results folder, and the instants of the kills."""
    plan = pathlib.Path(folder) / "kills.toml"
    plan.write_text(PLAN.format(rounds=ROUNDS_A_RUN), encoding="utf-8")
    killer = Killer(rng, folder, 3 * ROUNDS_A_RUN)
    out, said = os.path.join(folder, "out.json"), os.path.join(folder, "said")
    with open(out, "w", encoding="utf-8") as to, open(said, "w", encoding="utf-8") as log:
        with subprocess.Popen([lockstep, "certify", str(plan), "--out", folder, "--json"], stdout=to, stderr=log) as run:
            while run.poll() is None:
                killer.look()
                time.sleep(0.01)
    try:
        return json.loads(pathlib.Path(out).read_text(encoding="utf-8"))["results"], killer.hit
    except (ValueError, KeyError):
        sys.exit(f"certify ended with {run.returncode}: {pathlib.Path(said).read_text(encoding='utf-8')[-2000:]}")


def check(lockstep, list_journals, results):
    """What is wrong with the evidence; how many steps of how many ranks were looked at."""
    wrong = []
    files = [str(path) for path in pathlib.Path(results, "journals").glob("*/*.journal")]
    listed = subprocess.run([list_journals, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    wrong += listed.stderr.splitlines()
    kept = collections.defaultdict(list)
    with h5py.File(os.path.join(results, "run.h5"), "r") as run:
        for row in run["steps"][:]:
            kept[row["leg"], row["rank"]].append(int(row["step"]))
    steps = 0
    for line in listed.stdout.splitlines():
        leg, rank, completed, path = line.split(" ", 3)
        steps += int(completed)
        if sorted(kept[int(leg), int(rank)]) != list(range(int(completed))):
            wrong.append(f"{path}: {completed} steps completed, run.h5 has {len(kept[int(leg), int(rank)])}")
    verified = subprocess.run([lockstep, "verify", results], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
    if not verified.stdout.startswith("EQUAL "):
        wrong.append(f"verify: {verified.returncode}: {verified.stdout[-300:]}")
    return wrong, steps, len(files)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("list_journals")
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    wrong, instants, steps, journals = [], [], 0, 0
    begin_s = time.monotonic()
    while len(instants) < options.kills:
        with tempfile.TemporaryDirectory() as folder:
            results, hit = certify(options.lockstep, rng, folder)
            found, more_steps, more_journals = check(options.lockstep, options.list_journals, results)
            wrong += found
            wrong += [f"left behind: process {pid}" for pid, _ in ranks_of(folder)]
        instants += [instant for _, instant in hit]
        steps += more_steps
        journals += more_journals
        print(f"{len(instants)} of {options.kills} kills after {time.monotonic() - begin_s:.0f} s, {len(wrong)} faults",
              file=sys.stderr, flush=True)
    print(f"{len(instants)} kills, {min(instants):.2f} to {max(instants):.2f} s after the first sign of a launch; "
          f"{journals} journals of {steps} completed steps: {len(wrong)} faults")
    for line in wrong:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

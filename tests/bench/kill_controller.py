#!/usr/bin/env python3
"""SIGKILL of the controller at a random instant, again and again: does `lockstep resume` complete the run, with the verdict of
an undisturbed one, and is nothing left behind?

Usage: kill_controller.py LOCKSTEP PLAN KILLS [--seed N], in the root of the repository. Exit 1 when one run does not complete,
its verdict differs, its certificate does not verify, or a process outlives its controller by more than 5 s.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time


def started_in(folder):
    """Processes of a run whose results are in `folder`."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                if folder.encode() in file.read():
                    found.append(int(entry.name))
        except OSError:
            pass
    return found


def verdict_of(done):
    """The verdict, and what was in the way of a better one."""
    try:
        document = json.loads(done.stdout)
    except ValueError:
        return f"none: exit code {done.returncode}: {done.stderr[-500:]}", ""
    certificate = document["certificate"]
    failed = [f"{row['name']} {row['value']}" for row in certificate["criteria"] if row["status"] != "pass"]
    certified = "certified" if certificate["certified"] else "not certified"
    return f"grade {certificate['grade']}, {certified}, exit code {document['exit_code']}", "; ".join(failed)


def run(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


def kill_and_resume(lockstep, plan, folder, instant_s):
    """What went wrong, the verdict of the resumed run, and what was in the way of a better one; None for both when there was
    nothing to resume yet."""
    wrong = []
    with subprocess.Popen([lockstep, "certify", plan, "--out", folder], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as controller:
        time.sleep(instant_s)
        controller.send_signal(signal.SIGKILL)
    end_s = time.monotonic() + 5.0
    while started_in(folder) and time.monotonic() < end_s:
        time.sleep(0.05)
    wrong += [f"process {pid} outlived its controller" for pid in started_in(folder)]
    results = [path for path in pathlib.Path(folder).iterdir() if (path / "run.h5").exists()]
    if not results:
        return wrong, None, None
    verdict, failed = verdict_of(run(lockstep, "resume", str(results[0]), "--json"))
    verified = run(lockstep, "verify", str(results[0]))
    if not verified.stdout.startswith("EQUAL "):
        wrong.append(f"verify: {verified.returncode}: {verified.stdout[-300:]}{verified.stderr[-300:]}")
    return wrong, verdict, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("plan")
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, _ = verdict_of(run(options.lockstep, "certify", options.plan, "--out", folder, "--json"))
    length_s = time.monotonic() - begin_s
    print(f"undisturbed, {length_s:.1f} s: {undisturbed}", file=sys.stderr, flush=True)
    wrong, too_early, same = [], 0, 0
    for kill in range(1, options.kills + 1):
        instant_s = rng.uniform(0.0, length_s)
        with tempfile.TemporaryDirectory() as folder:
            found, verdict, failed = kill_and_resume(options.lockstep, options.plan, folder, instant_s)
        wrong += [f"killed after {instant_s:.2f} s: {line}" for line in found]
        if verdict is None:
            too_early += 1
        elif verdict == undisturbed:
            same += 1
        else:
            wrong.append(f"killed after {instant_s:.2f} s: {verdict} ({failed})")
        print(f"{kill} of {options.kills} kills after {time.monotonic() - begin_s:.0f} s", file=sys.stderr, flush=True)
    print(f"undisturbed: {undisturbed}\n{options.kills} kills over {length_s:.1f} s: {same} resumed with the same verdict, "
          f"{too_early} before there was a run, {len(wrong)} faults")
    for line in wrong:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

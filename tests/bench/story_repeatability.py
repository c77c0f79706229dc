#!/usr/bin/env python3
"""The quickstart's three certificates, again and again: do they get the same grades every time?

Usage: story_repeatability.py LOCKSTEP RUNS, in the root of the repository. Exit 1 unless every run gives A or A+ on the
healthy and on the repaired network and a lower grade on the aging one. Tells besides how often a step stalled there where
nothing was wrong with the network.
"""
import collections
import json
import subprocess
import sys
import tempfile
import time

STORY = ["metro", "aged-metro", "metro"]


def certify(lockstep, lab, out):
    done = subprocess.run([lockstep, "certify", "--lab", f"configs/lab/{lab}.toml", "configs/metro.toml", "--out", out, "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    certificate = json.loads(done.stdout)["certificate"]
    eta = next(line for line in certificate["criteria"] if line["name"] == "eta")
    legs = certificate["legs"]
    return (certificate["grade"], eta["value"], eta["interval"],
            collections.Counter(steps=sum(leg["steps"] for leg in legs), stalls=sum(leg["stalls"] for leg in legs)))


def main():
    lockstep, runs = sys.argv[1], int(sys.argv[2])
    good = 0
    healthy = collections.Counter()
    for run in range(1, runs + 1):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as out:
            told = [certify(lockstep, lab, out) for lab in STORY]
        grades = [grade for grade, _, _, _ in told]
        as_told = grades[0].startswith("A") and not grades[1].startswith("A") and grades[2].startswith("A")
        good += as_told
        healthy += told[0][3] + told[2][3]
        figures = ", ".join(f"{grade} (eta {eta:.3f}, {low:.3f} to {high:.3f})" for grade, eta, (low, high), _ in told)
        print(f"run {run}: {figures}; {time.monotonic() - begin:.0f} s{'' if as_told else '  NOT AS TOLD'}", flush=True)
    print(f"{good} of {runs} runs gave A, a lower grade, A; {healthy['stalls']} stalls in {healthy['steps']} steps on the healthy "
          "and the repaired network")
    sys.exit(0 if good == runs else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Stalls that are reported while nothing is wrong: steps of a healthy lab, with the noise of the machine it runs on.

Usage: quiet_stalls.py LOCKSTEP STEPS, in the root of the repository. Needs a lab (`lockstep lab check`) and a machine that does
nothing else. Runs metro.toml with faster compute (steps of 69 ms, so that many fit into minutes) until so many steady steps of
all legs were made. Exit 1 when stalls are as many as 1 in 10,000 steps or more.
"""
import json
import subprocess
import sys
import tempfile

STEPS_A_LAUNCH = 350
LIMIT = 1e-4


def run(lockstep, folder):
    """Steady steps of all legs, and stalls in them."""
    done = subprocess.run([lockstep, "certify", "--lab", "configs/lab/metro.toml", "configs/metro.toml", "--out", folder, "--json",
                           "--set", f"run.steps={STEPS_A_LAUNCH}", "--set", "compute.paced_gflops=10",
                           "--set", "compute.paced_memory_gbps=0.25"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"certify ended with {done.returncode}: {done.stderr}")
    legs = json.loads(done.stdout)["certificate"]["legs"]
    for leg in legs:
        print(f"leg {leg['name']}: {leg['stalls']} stalls in {leg['steps']} steps, p50 {leg['p50_s'] * 1e3:.1f} ms, "
              f"longest {leg['max_s'] * 1e3:.1f} ms", flush=True)
    return sum(leg["steps"] for leg in legs), sum(leg["stalls"] for leg in legs)


def main():
    lockstep, wanted = sys.argv[1], int(sys.argv[2])
    steps = stalls = 0
    while steps < wanted:
        with tempfile.TemporaryDirectory() as folder:
            more, seen = run(lockstep, folder)
        steps += more
        stalls += seen
        print(f"{stalls} stalls in {steps} steps", flush=True)
    sys.exit(1 if stalls >= LIMIT * steps else 0)


main()

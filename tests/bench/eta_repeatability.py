#!/usr/bin/env python3
"""How well eta of two equal sites is known: certifies one plan again and again.

Usage: eta_repeatability.py LOCKSTEP PLAN RUNS

The two sites of a colocated, paced plan are equal by construction, so eta is 1 but for what more ranks cost on one
machine. Prints eta, its interval, its half-width and the grade of every run, and how many intervals hold 1.00.
"""
import json
import subprocess
import sys
import tempfile


def main():
    program, plan, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    holding = narrow = 0
    print(f"{'run':>3}  {'eta':>7}  {'low':>7}  {'high':>7}  {'half-width':>10}  grade")
    for run in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([program, "certify", plan, "--json", "--out", folder], capture_output=True, text=True,
                                  check=False)
        if done.returncode not in (0, 3, 4):
            sys.exit(f"certify failed with {done.returncode}: {done.stderr}")
        certificate = json.loads(done.stdout)
        certificate = certificate.get("certificate", certificate)
        eta = next(c for c in certificate["criteria"] if c["name"] == "eta")
        if eta["interval"] is None:
            print(f"{run:3}  no eta: grade {certificate['grade']}", flush=True)
            continue
        low, high = eta["interval"]
        holding += low <= 1.0 <= high
        narrow += (high - low) / 2 <= 0.02
        print(f"{run:3}  {eta['value']:7.4f}  {low:7.4f}  {high:7.4f}  {(high - low) / 2:10.4f}  "
              f"{certificate['grade']}", flush=True)
    print(f"interval holds 1.00 in {holding} of {runs}; half-width at most 0.02 in {narrow} of {runs}")


if __name__ == "__main__":
    main()

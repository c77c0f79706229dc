#!/usr/bin/env python3
"""How much one TCP flow gets through a lab's relay when its link has no limits, against a plain cable.

Usage: lab_relay.py LOCKSTEP [SECONDS]

The same iperf3, one flow, alternately between two hosts of one site (a veth pair and a bridge, no relay) and between two
sites, three times each. Prints both medians in Gb/s and their ratio; exit 1 below 4 Gb/s through the relay.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

REQUIRED_GBPS = 4.0
ROUNDS = 3
SPEC = """
name = "relay-bench"
[[site]]
name = "a"
hosts = ["a[1-2]"]
[[site]]
name = "b"
hosts = ["b1"]
"""


def main():
    program = os.path.abspath(sys.argv[1])
    seconds = sys.argv[2] if len(sys.argv) > 2 else "3"
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        environment = dict(os.environ, LOCKSTEP_LABS=os.path.join(folder, "labs"))
        environment.pop("LOCKSTEP_LAB", None)
        spec = os.path.join(folder, "spec.toml")
        with open(spec, "w", encoding="utf-8") as file:
            file.write(SPEC)

        def lab(*words):
            done = subprocess.run([program, "lab", *words], env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"lab {' '.join(words)}: {done.stderr.strip()}")
            return done.stdout

        def goodput(host, address):
            server = subprocess.Popen([program, "lab", "exec", host, "--", "iperf3", "-s", "-1"], env=environment,
                                      stdout=subprocess.DEVNULL)
            while "5201" not in lab("exec", host, "--", "ss", "-ltn"):
                time.sleep(0.05)
            said = lab("exec", "a1", "--", "iperf3", "-c", address, "-t", seconds, "-O", "1", "-J")
            server.wait()
            return json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e9

        lab("up", spec)
        try:
            cable, relay = [], []
            for _ in range(ROUNDS):
                cable.append(goodput("a2", "10.1.0.2"))
                relay.append(goodput("b1", "10.2.0.1"))
        finally:
            lab("down")
    plain, through = statistics.median(cable), statistics.median(relay)
    print(f"one TCP flow: cable {plain:.2f} Gb/s, through the relay {through:.2f} Gb/s, ratio {through / plain:.3f} "
          f"(medians of {ROUNDS})")
    sys.exit(0 if through >= REQUIRED_GBPS else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""`lockstep doctor --lab`: what is planted into emulated campuses has to be found, and nothing else accused.

Usage: test_doctor_lab.py LOCKSTEP. Exits with 77, which ctest counts as skipped, where no lab can be made.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

LOCKSTEP = ""
SKIPPED = 77

SPEC = """
name = "doctor-test"
seed = 7
[[site]]
name = "A"
hosts = ["a[1-2]"]
[site.sysctl]
"net.ipv4.tcp_wmem" = "4096 16384 65536"
[[site]]
name = "B"
hosts = ["b[1-3]"]
[[site]]
name = "C"
hosts = ["c1"]
mtu = 1400
[[link]]
between = ["A", "B"]
rtt = "20ms"
rate = "400Mb/s"
[[link]]
from = "A"
to = "C"
rtt = "10ms"
rate = "400Mb/s"
loss = "5%"
[[link]]
from = "C"
to = "A"
rtt = "10ms"
rate = "400Mb/s"
[[link]]
between = ["B", "C"]
rtt = "30ms"
rate = "400Mb/s"
"""

PLAN = """
name = "planted"
[[site]]
name = "A"
hosts = ["a[1-2]", "b3"]
[[site]]
name = "B"
hosts = ["b[1-2]"]
[[site]]
name = "C"
hosts = ["c1"]
[workload]
model = "nano"
sequence_length = 64
[compute]
backend = "paced"
paced_gflops = 1.0
paced_memory_gbps = 1.0
[links]
wan_gbps = 0.05
"""


class DoctorLab(unittest.TestCase):
    def test_it_finds_what_was_planted(self):
        with tempfile.TemporaryDirectory(prefix="lockstep-doctor-lab-") as folder:
            for name, text in (("lab.toml", SPEC), ("plan.toml", PLAN)):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            done = subprocess.run([LOCKSTEP, "doctor", "--lab", "lab.toml", "plan.toml", "--json", "--seconds", "0.5"],
                                  capture_output=True, text=True, timeout=280, cwd=folder, check=False,
                                  env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            document = json.loads(done.stdout)
        self.assertEqual([host["name"] for host in document["hosts"] if host["facts"] is None], [], done.stderr)

        def found(kind):
            return [finding for finding in document["findings"] if finding["kind"] == kind]

        self.assertEqual([finding["hosts"] for finding in found("misplaced-host")], [["b3"]])
        self.assertEqual(found("misplaced-host")[0]["sites"], ["A", "B"])
        self.assertEqual([finding["sites"] for finding in found("loss") if finding["severity"] == "error"], [["A", "C"]])
        self.assertEqual([finding["hosts"] for finding in found("unequal-mtu")], [["c1"]])
        small = [finding for finding in found("small-buffers") if finding["sites"] == ["A", "B"]]
        self.assertEqual([finding["hosts"] for finding in small], [["a1", "a2"]])
        self.assertIn("tcp_wmem", small[0]["advice"])
        self.assertEqual(len(found("eager-limit")), 1)
        self.assertEqual(found("one-machine")[0]["sites"], ["A", "B", "C"])
        for kind in ("unreachable", "dead-address", "duplicate-host", "different-software", "one-place", "clock-offset",
                     "no-answer", "lost-host"):
            self.assertEqual(found(kind), [], kind)


if __name__ == "__main__":
    LOCKSTEP = os.path.abspath(sys.argv[1])
    can = subprocess.run([LOCKSTEP, "lab", "check"], capture_output=True, text=True, check=False)
    if can.returncode != 0:
        print("skipped:", can.stdout + can.stderr)
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[2:]])

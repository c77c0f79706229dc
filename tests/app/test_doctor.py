#!/usr/bin/env python3
"""`lockstep doctor` on this machine, with the real launcher.

Usage: test_doctor.py LOCKSTEP CONFIGS_FOLDER
"""
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

LOCKSTEP = CONFIGS = ""

PLAN = """
name = "here"
[[site]]
name = "A"
hosts = ["{a}"]
slots = 1
[[site]]
name = "B"
hosts = ["{b}"]
slots = 1
[workload]
model = "nano"
sequence_length = 64
[compute]
backend = "paced"
paced_gflops = 1.0
paced_memory_gbps = 1.0
[deadlines]
launch_s = {launch_s}
[mpi.mca]
plm_rsh_agent = "{agent}"
"""


def probes_below(folder):
    """Processes whose command line names a file below `folder`."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                line = file.read()
        except OSError:
            continue
        if b"probe" in line and folder.encode() in line:
            found.append(line)
    return found


class Doctor(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="lockstep-doctor-")
        self.folder = self.temporary.name

    def tearDown(self):
        self.temporary.cleanup()

    def doctor(self, *arguments, code):
        done = subprocess.run([LOCKSTEP, "doctor", *arguments], capture_output=True, text=True, timeout=200,
                              env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0", NO_COLOR="1"), check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def plan(self, a, b, agent="/bin/false", launch_s=60.0):
        path = os.path.join(self.folder, "plan.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(PLAN.format(a=a, b=b, agent=agent, launch_s=launch_s))
        return path

    def examine(self, plan, code):
        done = self.doctor(plan, "--json", "--seconds", "0.1", "--out", os.path.join(self.folder, "results"), code=code)
        self.assertEqual(probes_below(self.folder), [], "no probe may be left")
        return json.loads(done.stdout)

    @staticmethod
    def kinds(document):
        return {finding["kind"]: finding for finding in document["findings"]}

    def test_this_machine(self):
        document = json.loads(self.doctor("--json", code=0).stdout)
        self.assertEqual(document["facts"]["host_name"], socket.gethostname().split(".")[0])
        self.assertIn("Open MPI", document["facts"]["software"])
        self.assertEqual(document["facts"]["missing_libraries"], [])
        text = self.doctor(code=0).stdout
        for part in ("lockstep-rank", "lab  ", "Findings:"):
            self.assertIn(part, text)

    def test_a_machine_without_a_rank_program(self):
        self.doctor("--rank-program", "/no/such/rank", code=2)

    def test_sites_that_share_this_machine(self):
        document = json.loads(self.doctor(os.path.join(CONFIGS, "two-sites.toml"), "--json", code=0).stdout)
        self.assertEqual([host["site"] for host in document["hosts"]], ["A", "B"])
        self.assertEqual(self.kinds(document)["one-machine"]["sites"], ["A", "B"])
        self.assertIsNone(document["folder"])

    def test_one_host_under_two_names(self):
        document = self.examine(self.plan("localhost", socket.gethostname()), code=3)
        self.assertEqual([host["trouble"] for host in document["hosts"]], ["", ""])
        duplicate = self.kinds(document)["duplicate-host"]
        self.assertEqual(duplicate["severity"], "error")
        self.assertEqual(duplicate["hosts"], ["localhost", socket.gethostname()])
        self.assertNotIn("different-software", self.kinds(document))
        with open(os.path.join(document["folder"], "doctor.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), document)

    def test_a_host_that_cannot_be_reached_is_a_finding(self):
        agent = os.path.join(self.folder, "agent")
        with open(agent, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\necho "ssh: connect to host $1 port 22: No route to host" >&2\nexit 255\n')
        os.chmod(agent, 0o755)
        document = self.examine(self.plan("localhost", "192.0.2.77", agent=agent), code=3)
        silent = self.kinds(document)["no-answer"]
        self.assertEqual(silent["hosts"], ["192.0.2.77"])
        self.assertIn("No route to host", silent["what"])
        self.assertIsNotNone(document["hosts"][0]["facts"], "the other host is examined all the same")

    def test_a_host_that_hangs_costs_its_deadline_only(self):
        agent = os.path.join(self.folder, "agent")
        with open(agent, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexec sleep 600\n")
        os.chmod(agent, 0o755)
        # localhost answers well within the deadline: it needs no agent.
        document = self.examine(self.plan("localhost", "192.0.2.77", agent=agent, launch_s=20.0), code=3)
        self.assertIn("no answer within", self.kinds(document)["no-answer"]["what"])

    def test_ctrl_c_leaves_no_probe(self):
        agent = os.path.join(self.folder, "agent")
        started = os.path.join(self.folder, "started")
        with open(agent, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n: >{started}\nexec sleep 600\n")
        os.chmod(agent, 0o755)
        job = subprocess.Popen([LOCKSTEP, "doctor", self.plan("localhost", "192.0.2.77", agent=agent), "--out",
                                os.path.join(self.folder, "results")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        deadline = time.monotonic() + 60
        while not os.path.exists(started) and job.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 5, out + err)
        self.assertIn("stopped by a signal", err)
        self.assertEqual(probes_below(self.folder), [])

    def test_bad_input(self):
        self.doctor("no-such-plan.toml", code=2)
        self.doctor(self.plan("localhost", "other"), "--out", "/proc/none", code=2)


if __name__ == "__main__":
    LOCKSTEP, CONFIGS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]])

#!/usr/bin/env python3
"""The main job with the real launcher and the real ranks: certify, verify, show, and rough handling.

Usage: test_end_to_end.py LOCKSTEP CONFIGS_FOLDER
"""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py

LOCKSTEP = CONFIGS = ""


def environment():
    return dict(os.environ, ASAN_OPTIONS="detect_leaks=0", NO_COLOR="1")


def ranks_below(folder):
    """Processes whose command line names a file below `folder`."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                line = file.read()
        except OSError:
            continue
        if b"lockstep-rank" in line and folder.encode() in line:
            found.append(int(path.split("/")[2]))
    return found


class EndToEnd(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="lockstep-end-to-end-")
        self.folder = self.temporary.name

    def tearDown(self):
        self.temporary.cleanup()

    def lockstep(self, *arguments, timeout=150):
        return subprocess.run([LOCKSTEP, *arguments], capture_output=True, text=True, timeout=timeout,
                              env=environment(), check=False)

    def certify(self, *arguments):
        return self.lockstep("certify", os.path.join(CONFIGS, "smoke.toml"), "--out", self.folder, *arguments)

    def result(self):
        found = glob.glob(os.path.join(self.folder, "smoke-*"))
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_the_main_job(self):
        done = self.certify()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("REHEARSAL", done.stdout)
        folder = self.result()
        for name in ("plan.toml", "run.h5", "certificate.json"):
            self.assertTrue(os.path.exists(os.path.join(folder, name)), name)
        with open(os.path.join(folder, "certificate.json"), encoding="utf-8") as file:
            certificate = json.load(file)
        self.assertTrue(certificate["rehearsal"]["is"])
        self.assertEqual({c["name"]: c["status"] for c in certificate["criteria"]}["data"], "pass")
        self.assertIn("eta_max = 100.0 (by default 1.05)", certificate["changed_criteria"])
        with h5py.File(os.path.join(folder, "run.h5"), "r") as run:
            self.assertEqual([row["name"] for row in run["legs"]], [b"A", b"B", b"joint", b"joint", b"B", b"A"])
            self.assertEqual(set(run["leg_ends"]["outcome"]), {b"completed"})
            ways = {row["progress"].split(b":")[0] for row in run["ranks"]}
            self.assertEqual(len(ways), 1, "all legs wait in the same way")
            self.assertEqual(len(run["failures"]), 0)
        verified = self.lockstep("verify", folder)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        shown = self.lockstep("show", folder)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("all_reduce", shown.stdout)
        # The tenant has the folder only, anywhere, with nothing but the evidence in it.
        with open(os.path.join(folder, "certificate.json"), "r+b") as file:
            file.seek(file.read().index(b'"value"') + 11)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(b"7" if byte != b"7" else b"3")
        self.assertEqual(self.lockstep("verify", folder).returncode, 3)

    def start(self, *arguments):
        return subprocess.Popen([LOCKSTEP, "certify", os.path.join(CONFIGS, "smoke.toml"), "--out", self.folder,
                                 "--set", "run.steps=5000", *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def wait_for_ranks(self, job, count):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and job.poll() is None:
            found = ranks_below(self.folder)
            steps = glob.glob(os.path.join(self.folder, "*", "journals", "*", "rank-*.journal"))
            programs = [pid for pid in found if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "lockstep-rank"]
            if len(programs) >= count and len(steps) >= count:
                return programs
            time.sleep(0.05)
        self.fail("the ranks never came up: " + str(job.communicate(timeout=30)))

    def wait_for_rows(self, job, table, count=1):
        """Follows the live file as any reader may."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and job.poll() is None:
            with h5py.File(os.path.join(self.result(), "run.h5"), "r", libver="latest", swmr=True) as run:
                if len(run[table]) >= count:
                    return
            time.sleep(0.2)
        self.fail(f"there never were {count} {table}: " + str(job.communicate(timeout=30)))

    def wait_for_no_ranks(self):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if not ranks_below(self.folder):
                return
            time.sleep(0.05)
        self.fail(f"processes were left: {ranks_below(self.folder)}")

    def test_ctrl_c_keeps_the_evidence(self):
        job = self.start()
        self.wait_for_ranks(job, 2)
        self.wait_for_rows(job, "steps")
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 4, out + err)
        self.wait_for_no_ranks()
        folder = self.result()
        with h5py.File(os.path.join(folder, "run.h5"), "r") as run:
            self.assertGreater(len(run["steps"]), 0)
            self.assertEqual(list(run["leg_ends"]["outcome"]), [b"interrupted"])
        self.assertEqual(self.lockstep("verify", folder).returncode, 4)

    def test_a_killed_controller_takes_its_ranks_along_and_the_run_goes_on(self):
        job = self.start("--set", "run.steps=50")
        self.wait_for_ranks(job, 2)
        self.wait_for_rows(job, "leg_ends", 3)
        job.kill()
        job.communicate(timeout=60)
        self.wait_for_no_ranks()
        folder = self.result()
        self.assertEqual(self.lockstep("show", os.path.join(folder, "run.h5")).returncode, 0)
        recovered = self.lockstep("recover", folder)
        self.assertEqual(recovered.returncode, 0, recovered.stderr)
        self.assertIn("run.h5.left-open", recovered.stdout)
        self.assertIn("nothing to recover", self.lockstep("recover", folder).stdout)
        with h5py.File(os.path.join(folder, "run.h5"), "r") as run:
            before = {(row["name"], row["round"]): row["launched_utc_ns"] for row in run["legs"]}
            ended = [row["leg"] for row in run["leg_ends"]]
            kept = [(row["name"], row["round"]) for row in run["legs"] if row["leg"] in ended]
            steps = len(run["steps"])
        self.assertGreaterEqual(len(kept), 3)

        done = self.lockstep("resume", folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with h5py.File(os.path.join(folder, "run.h5"), "r") as run:
            after = {(row["name"], row["round"]): row["launched_utc_ns"] for row in run["legs"]}
            self.assertEqual(len(after), 6, "three legs, two rounds")
            self.assertEqual(set(run["leg_ends"]["outcome"]), {b"completed"})
            self.assertGreater(len(run["steps"]), steps)
        for leg in kept:
            self.assertEqual(after[leg], before[leg], f"{leg} was not made again")
        self.assertEqual(self.lockstep("verify", folder).returncode, 0)
        collected = self.lockstep("collect", folder)
        self.assertEqual(collected.returncode, 0, collected.stderr)
        self.assertIn("No journal was there that run.h5 does not hold already.", collected.stdout)

    def test_a_killed_rank_is_never_a_pass(self):
        job = self.start("--set", "run.steps=200", "--set", "run.rounds=1")
        ranks = self.wait_for_ranks(job, 2)
        os.kill(ranks[-1], signal.SIGKILL)
        out, err = job.communicate(timeout=120)
        self.assertIn(job.returncode, (3, 4), out + err)
        self.wait_for_no_ranks()
        with h5py.File(os.path.join(self.result(), "run.h5"), "r") as run:
            self.assertIn(b"failed", set(run["leg_ends"]["outcome"]))
            self.assertGreater(len(run["failures"]), 0)


if __name__ == "__main__":
    LOCKSTEP, CONFIGS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]])

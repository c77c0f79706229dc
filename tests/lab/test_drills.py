#!/usr/bin/env python3
"""A run in which things break on purpose, as its reader sees it.

Usage: test_drills.py LOCKSTEP SOURCE
"""
import glob
import json
import os
import re
import subprocess
import sys

import h5py
import lab_fixture
from lab_fixture import LabTest, environment, lockstep_lab

SOURCE = ""
LIMIT_S = 400


# One host of three sites is switched off for good, and there is no other to take its place.
LOST = """
[[drill]]
kind = "kill"
host = "c2"
step = 15

"""


class DrillsTest(LabTest):
    def certify(self, plan):
        """What was printed, the results folder and the certificate."""
        results = os.path.join(os.path.dirname(lab_fixture.FOLDER), f"results-{self.id().split('.')[-1]}")
        done = subprocess.run([lab_fixture.LOCKSTEP, "certify", "--lab", "configs/lab/metro.toml", plan, "--out", results],
                              env=environment(), text=True, capture_output=True, cwd=SOURCE, stdin=subprocess.DEVNULL,
                              timeout=LIMIT_S, check=False)
        print(done.stdout, done.stderr)
        folder, = glob.glob(os.path.join(results, "drills-*"))
        with open(os.path.join(folder, "certificate.json"), encoding="utf-8") as file:
            return done, folder, json.load(file)

    def test_without_a_spare_the_hosts_that_are_left_go_on(self):
        with open(os.path.join(SOURCE, "configs/drills.toml"), encoding="utf-8") as file:
            text = file.read()
        before, rest = text.split("[[drill]]", 1)
        text = before + LOST + rest[rest.index("[mpi.mca]"):]
        for old, new in (('hosts = ["c1"]', 'hosts = ["c[1-2]"]'), ('spares = ["c2"]\n', ""), ('policy = "spare"', 'policy = "exclude"'),
                         ("rounds = 6", "rounds = 1"), ("[criteria]\n", "[criteria]\nmin_steps = 40\n")):
            self.assertIn(old, text)
            text = text.replace(old, new)
        plan = os.path.join(os.path.dirname(lab_fixture.FOLDER), "exclude.toml")
        with open(plan, "w", encoding="utf-8") as file:
            file.write(text)
        done, folder, certificate = self.certify(plan)
        drill, = certificate["drills"]
        for what in ("made", "detected", "kind_right", "culprit_right", "recovered"):
            self.assertTrue(drill[what], f"{what}: {drill}")
        self.assertIn("host c2", done.stdout)
        with h5py.File(os.path.join(folder, "run.h5"), "r") as run:
            incident, = run["incidents"][:]
            self.assertEqual(incident["recovery"], b"exclude")
            joint = [leg["leg"] for leg in sorted(run["legs"][:], key=lambda leg: leg["attempt"]) if leg["name"] == b"joint"]
            hosts = [[row["host"] for row in run["ranks"][:] if row["leg"] == leg] for leg in joint]
            steps = [max(row["step"] for row in run["steps"][:] if row["leg"] == leg) for leg in joint]
        self.assertEqual(hosts, [[b"a1", b"b1", b"c1", b"c2"], [b"a1", b"b1", b"c1"]])
        self.assertLess(steps[0], 40)
        self.assertGreater(steps[1], 10, "the groups were built again, and train on")

    def test_each_drill_is_seen_named_and_survived(self):
        done, folder, certificate = self.certify("configs/drills.toml")
        drills = certificate["drills"]
        self.assertEqual(len(drills), 10)
        for drill in drills:
            for what in ("made", "detected", "recovered"):
                self.assertTrue(drill[what], f"{what}: {drill}")
        # A machine that does other work may blur one of them, and then says so by a low confidence.
        wrong = [drill for drill in drills if not (drill["kind_right"] and drill["culprit_right"])]
        self.assertLessEqual(len(wrong), 1, wrong)
        for drill in wrong:
            confidence = re.search(r"\(confidence ([\d.]+)\)", drill["detected_as"])
            self.assertLess(float(confidence.group(1)), 0.8, drill)
        self.assertTrue(certificate["rehearsal"]["is"])

        # Who reads the terminal alone knows what broke, where, and what it cost.
        for incident in ("rank killed", "rank crashed", "disk full", "wrong data", "hang", "host lost"):
            self.assertIn(incident, done.stdout)
        for culprit in ("rank 2 on c1", "A - B", "rank 0 on a1", "rank 1 on b1", "host c1"):
            self.assertIn(culprit, done.stdout)
        for bucket in ("productive", "stall", "checkpoint", "lost work", "detection", "restart"):
            self.assertRegex(done.stdout, rf"(?m)^ *{bucket} +\d")

        with h5py.File(os.path.join(folder, "run.h5"), "r") as run:
            moved = {row["host"] for row in run["ranks"][:] if row["rank"] == 2}
        self.assertEqual(moved, {b"c1", b"c2"}, "the spare took the place of the host that was lost")
        self.assertEqual(lockstep_lab("list").stdout, "")
        left = subprocess.run(["pgrep", "-af", folder], stdout=subprocess.PIPE, text=True, check=False).stdout
        self.assertEqual(left, "")
        verified = subprocess.run([lab_fixture.LOCKSTEP, "verify", folder], text=True, capture_output=True, check=False)
        self.assertTrue(re.match("EQUAL ", verified.stdout), verified.stdout + verified.stderr)


if __name__ == "__main__":
    SOURCE = os.path.abspath(sys.argv.pop(2))
    lab_fixture.main()

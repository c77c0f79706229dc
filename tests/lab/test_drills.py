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


class DrillsTest(LabTest):
    def test_each_drill_is_seen_named_and_survived(self):
        results = os.path.join(os.path.dirname(lab_fixture.FOLDER), "results")
        done = subprocess.run([lab_fixture.LOCKSTEP, "certify", "--lab", "configs/lab/metro.toml", "configs/drills.toml", "--out",
                               results], env=environment(), text=True, capture_output=True, cwd=SOURCE,
                              stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False)
        print(done.stdout, done.stderr)
        folder, = glob.glob(os.path.join(results, "drills-*"))
        with open(os.path.join(folder, "certificate.json"), encoding="utf-8") as file:
            certificate = json.load(file)
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

#!/usr/bin/env python3
"""scripts/slurm under a Slurm of its own: sites from its network, both launchers, the time limit, a requeue.

test_slurm.py LOCKSTEP SOURCE_FOLDER
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import private_slurm

LOCKSTEP = ""
SOURCE = pathlib.Path()
LIMIT_S = 240
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "ASAN_OPTIONS": "detect_leaks=0"
}  # fmt: skip
# A launch is made again after one rank of it was killed.
KILLED = """
[recovery]
policy = "same"
max_restarts = 1
backoff_s = 0.0
checkpoint_steps = 10
[[drill]]
kind = "kill"
rank = 1
step = 15
"""
ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")


def setUpModule():
    reason = private_slurm.reason_to_skip()
    if reason:
        raise unittest.SkipTest(reason)


class Slurm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="lockstep-slurm-", ignore_cleanup_errors=True)
        cls.folder = pathlib.Path(cls.temporary.name)
        (cls.folder / "slurm").mkdir()
        cls.slurm = private_slurm.PrivateSlurm(
            cls.folder / "slurm", {"campus-a": ["a1", "a2"], "campus-b": ["b1", "b2"]}
        )

    @classmethod
    def tearDownClass(cls):
        cls.slurm.stop()
        cls.temporary.cleanup()

    def submit(self, script, options, *arguments, launcher="mpirun"):
        results = self.folder / "results"
        self.job = self.slurm.submit(
            *options, f"--output={self.folder}/job-%j.log", str(SOURCE / "scripts" / "slurm" / script), *arguments,
            LOCKSTEP=LOCKSTEP, LOCKSTEP_RESULTS=str(results), LOCKSTEP_LAUNCHER=launcher, **MPI_ENVIRONMENT,
        )  # fmt: skip

    def log(self):
        path = self.folder / f"job-{self.job}.log"
        return path.read_text() if path.exists() else ""

    def result_folder(self):
        found = re.findall(r"lockstep ended with \d+; results in (.*)", self.log())
        self.assertTrue(found, self.log())
        return pathlib.Path(found[-1])

    def wait_for_end(self):
        self.slurm.wait_until(lambda: self.slurm.job(self.job)["JobState"] in ENDED, LIMIT_S)
        return int(self.slurm.job(self.job)["ExitCode"].split(":")[0])

    def shown(self):
        done = subprocess.run(
            [LOCKSTEP, "show", "--json", str(self.result_folder())], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    def verify(self):
        done = subprocess.run([LOCKSTEP, "verify", str(self.result_folder())], capture_output=True, text=True)
        return done.returncode

    def outcomes(self):
        return [launch["outcome"] for launch in self.shown()["launches"]]

    def plan_without_sites(self):
        text = (SOURCE / "configs" / "smoke.toml").read_text()
        text = re.sub(r"^\[\[site\]\]\n(?:\w.*\n)*", "", text, flags=re.M)
        text = re.sub(r'^placement = "colocated".*$', 'placement = "by_host"', text, flags=re.M)
        path = self.folder / "no-sites.toml"
        path.write_text(text)
        return path

    def named_rank(self):
        """A rank on a host that is only a name: it gets a host name of its own."""
        path = self.folder / "named-rank"
        rank = pathlib.Path(LOCKSTEP).parent / "lockstep-rank"
        path.write_text(f'#!/bin/sh\nexec unshare --uts sh -c \'hostname "$SLURMD_NODENAME"; exec "$0" "$@"\' {rank} "$@"\n')
        path.chmod(0o755)
        return path

    def test_an_acceptance_ends_with_the_code_of_its_verdict(self):
        self.submit(
            "acceptance.sbatch", ["--nodes=1", "--ntasks-per-node=4", "--time=10"], SOURCE / "configs" / "smoke.toml"
        )
        code = self.wait_for_end()
        self.assertIn(code, (0, 3), self.log())
        self.assertEqual(self.verify(), code)
        self.assertEqual(self.outcomes(), ["completed"] * 6)
        self.assertFalse((self.result_folder() / "unfinished").exists())

    def test_sites_come_from_the_network_and_ranks_from_srun(self):
        self.submit(
            "nightly.sbatch", ["--nodes=4", "--ntasks-per-node=1", "--time=10"], self.plan_without_sites(),
            "--rank-program", self.named_rank(), "--set", "fabric.progress=backoff", launcher="srun",
        )  # fmt: skip
        code = self.wait_for_end()
        self.assertIn(code, (0, 3), self.log())
        self.assertEqual(self.outcomes(), ["completed"] * 6)
        plan = (self.result_folder() / "plan.toml").read_text()
        self.assertIn("name = 'campus-a'", plan)
        self.assertIn("hosts = [ 'b1', 'b2' ]", plan)
        self.assertRegex(self.result_folder().name, r"^\d{4}-\d\d-\d\d-job\d+$")

    def test_a_rank_that_is_killed_under_srun_is_named_and_its_launch_made_again(self):
        plan = self.folder / "killed.toml"
        plan.write_text((SOURCE / "configs" / "smoke.toml").read_text() + KILLED)
        self.submit(
            "acceptance.sbatch", ["--nodes=1", "--ntasks-per-node=4", "--time=10"], plan, "--allow-drills", launcher="srun"
        )
        self.wait_for_end()
        certificate = json.loads((self.result_folder() / "certificate.json").read_text())
        drill, = certificate["drills"]
        for what in ("made", "detected", "kind_right", "culprit_right", "recovered"):
            self.assertTrue(drill[what], f"{what}: {drill}")
        self.assertEqual(sorted(self.outcomes()), ["completed"] * 6 + ["failed"])

    def test_hosts_outside_of_the_plan_are_named(self):
        self.submit(
            "acceptance.sbatch", ["--nodes=2", "--ntasks-per-node=1", "--nodelist=a1,b1", "--time=10"],
            SOURCE / "tests" / "app" / "plans" / "by-host.toml",
        )  # fmt: skip
        self.assertEqual(self.wait_for_end(), 2)
        self.assertIn("hosts that belong to no site of the plan: a1, b1", self.log())

    def test_the_time_limit_ends_a_run_at_a_step(self):
        self.submit(
            "acceptance.sbatch", ["--nodes=1", "--ntasks-per-node=4", "--time=1", "--signal=B:USR1@50"],
            SOURCE / "configs" / "smoke.toml", "--set", "run.steps=30000", "--time-limit", "1-00",
        )  # fmt: skip
        self.assertEqual(self.wait_for_end(), 4)
        self.assertIn("stopped by a signal", self.log())
        self.assertEqual(self.outcomes()[-1], "interrupted")
        self.assertTrue((self.result_folder() / "unfinished").exists())
        self.assertEqual(self.verify(), 4)

    def test_no_launch_begins_that_the_job_has_no_time_for(self):
        self.submit(
            "acceptance.sbatch", ["--nodes=1", "--ntasks-per-node=4", "--time=1", "--signal=B:USR1@1"],
            SOURCE / "configs" / "smoke.toml", "--set", "run.steps=100000",
        )  # fmt: skip
        self.assertEqual(self.wait_for_end(), 4)
        self.assertIn("the time limit leaves", self.log())
        self.assertEqual(self.outcomes(), [])

    def test_a_requeued_job_goes_on_where_it_was(self):
        self.submit(
            "acceptance.sbatch", ["--nodes=1", "--ntasks-per-node=4", "--time=10"],
            SOURCE / "configs" / "smoke.toml", "--set", "run.steps=400",
        )  # fmt: skip
        self.slurm.wait_until(lambda: "launch 2 of 6" in self.log(), LIMIT_S)
        self.slurm.run("scontrol", "requeue", self.job)
        self.slurm.wait_until(lambda: self.slurm.job(self.job)["Restarts"] == "1", LIMIT_S)
        code = self.wait_for_end()
        self.assertIn(code, (0, 3), self.log())
        self.assertEqual(self.outcomes(), ["completed"] * 6)
        self.assertEqual(self.log().count("launch 1 of 6: A, round 1: completed"), 1, "what was done is kept")
        self.assertTrue((self.result_folder() / "run.before-1.h5").exists())
        self.assertEqual(self.verify(), code)


if __name__ == "__main__":
    LOCKSTEP = str(pathlib.Path(sys.argv[1]).resolve())
    SOURCE = pathlib.Path(sys.argv[2]).resolve()
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)

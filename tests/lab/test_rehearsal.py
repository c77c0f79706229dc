#!/usr/bin/env python3
"""Certifications, preflights and Slurm jobs in a lab.

Usage: test_rehearsal.py LOCKSTEP SOURCE
"""
import functools
import glob
import json
import os
import signal
import subprocess
import sys

import lab_fixture
from lab_fixture import Lab, LabTest, environment, lockstep_lab, wait_until

SOURCE = ""
METRO = "configs/lab/metro.toml"
# The story of the quickstart in seconds: 100 short steps a leg, and criteria that only a broken network fails on a busy machine.
SHORT = {
    "compute.paced_gflops": 15, "compute.paced_memory_gbps": 0.3, "run.steps": 50, "run.rounds": 2, "run.op_stamp_steps": 2, "criteria.min_steps": 100, "criteria.eta_a": 0.5,
    "criteria.eta_a_plus": 0.6, "criteria.eta_b": 0.4, "criteria.eta_max": 100, "criteria.tail_ratio_max": 1000,
    "criteria.exposed_wan_max": 0.5, "criteria.site_contribution_min": 0.05, "criteria.effective_time_min": 0.2,
    "criteria.clock_bound_max": 0.9,
}  # fmt: skip
LIMIT_S = 240


def set_options(keys):
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


def run_lockstep(results, *arguments):
    return subprocess.run([lab_fixture.LOCKSTEP, *arguments, "--out", results], env=environment(), text=True,
                          capture_output=True, cwd=SOURCE, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False)


def result_in(results):
    folder, = glob.glob(os.path.join(results, "metro-*"))
    return folder


@functools.cache
def healthy_certification():
    """What certifying a healthy network printed, and the folder of its results: one run for all that asks."""
    results = os.path.join(os.path.dirname(lab_fixture.FOLDER), "results-healthy")
    done = run_lockstep(results, "certify", "--lab", METRO, "configs/metro.toml", *set_options(SHORT))
    return done, result_in(results)


class RehearsalTest(LabTest):
    def setUp(self):
        super().setUp()
        self.results = os.path.join(os.path.dirname(lab_fixture.FOLDER), f"results-{self.id().split('.')[-1]}")

    def lockstep(self, *arguments):
        return run_lockstep(self.results, *arguments)

    def spec(self, text):
        os.makedirs(self.results, exist_ok=True)
        path = os.path.join(self.results, "spec.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def metro_with(self, *replacements):
        with open(os.path.join(SOURCE, METRO), encoding="utf-8") as file:
            text = file.read()
        for before, after in replacements:
            self.assertIn(before, text)
            text = text.replace(before, after)
        return self.spec(text)

    def result(self):
        return result_in(self.results)

    def certificate(self, folder):
        with open(os.path.join(folder, "certificate.json"), encoding="utf-8") as file:
            return json.load(file)


class CertifyTest(RehearsalTest):
    def test_a_healthy_network_passes_and_leaves_no_lab(self):
        done, folder = healthy_certification()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        certificate = self.certificate(folder)
        self.assertIn(certificate["grade"], ("A", "A+"))
        reasons = " ".join(certificate["rehearsal"]["reasons"])
        self.assertIn("ran on one kernel", reasons)
        self.assertIn("was emulated (lab metro-", reasons)
        with open(os.path.join(folder, "lab-status.json"), encoding="utf-8") as file:
            links = json.load(file)["links"]
        for site in "ABC":
            sent = sum(link["counters"]["bytes_delivered"] for link in links if link["from"] == site)
            self.assertGreater(sent, 1_000_000, f"what {site} sends goes over the emulated network")
        with open(os.path.join(folder, "lab-events.jsonl"), encoding="utf-8") as file:
            self.assertEqual(json.loads(file.readline())["event"], "up")
        self.assertEqual(lockstep_lab("list").stdout, "")

    def test_an_aging_network_fails_and_the_verdict_says_why(self):
        aged = self.metro_with(('queue = "1M"', 'queue = "1M"\nflap = "3s:600ms"'))
        done = self.lockstep("certify", "--lab", aged, "configs/metro.toml",
                             *set_options(dict(SHORT, **{"criteria.tail_ratio_max": 3})))
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        certificate = self.certificate(self.result())
        self.assertGreater(certificate["information"]["joint_stalls"]["between_sites"], 0)
        self.assertIn("in transfers between sites", " ".join(certificate["reasons"]))

    def test_a_lab_dies_with_the_command_that_made_it(self):
        run = subprocess.Popen([lab_fixture.LOCKSTEP, "certify", "--lab", METRO, "configs/metro.toml", "--out", self.results],
                               env=environment(), cwd=SOURCE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: glob.glob(os.path.join(self.results, "metro-*", "journals", "*", "*")), "ranks", 60)
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait()
        wait_until(lambda: lockstep_lab("list").stdout == "", "the end of the lab")
        # Whatever ran in it saw the results folder in its command line.
        wait_until(lambda: subprocess.run(["pgrep", "-f", self.results], stdout=subprocess.DEVNULL, check=False).returncode == 1,
                   "the end of its processes")

    def test_a_plan_for_other_hosts_is_refused_before_anything_starts(self):
        done = self.lockstep("certify", "--lab", METRO, "configs/metro.toml", "--set", "site.C.hosts=[\"d1\"]")
        self.assert_refused(done, says="has no host \"d1\"")
        done = self.lockstep("certify", "--lab", METRO, "configs/smoke.toml")
        self.assert_refused(done, says="puts every site on this machine")
        self.assertFalse(glob.glob(os.path.join(self.results, "*")))


class DoctorTest(RehearsalTest):
    def findings(self, spec, *options):
        done = self.lockstep("doctor", "--lab", spec, "configs/metro.toml", "--seconds", "0.3", "--json", *options)
        self.assertIn(done.returncode, (0, 3), done.stderr)
        found = json.loads(done.stdout)["findings"]
        return done.returncode, [f"{one['severity']}: {one['what']}" for one in found]

    def assert_found(self, found, *words):
        self.assertTrue(any(all(word in line for word in words) for line in found), f"{words} not in {found}")

    def test_a_healthy_lab_is_healthy(self):
        code, found = self.findings(METRO)
        self.assertEqual(code, 0, found)

    def test_what_was_planted_is_found(self):
        far = self.metro_with(
            ('name = "metro"', 'name = "planted"'),
            ('between = ["B", "C"]\ndistance = "16km"', 'between = ["B", "C"]\ndistance = "4000km"\nloss = "3%"'),
            ('between = ["A", "C"]\ndistance = "16km"', 'between = ["A", "C"]\ndistance = "4000km"'),
            ('name = "C"\n', 'name = "C"\nmtu = 1400\n'),
            ('hosts = ["a[1-2]"]\n[site.sysctl]\n',
             'hosts = ["a[1-2]"]\n[site.sysctl]\n"net.ipv4.tcp_rmem" = "4096 65536 131072"\n'),
        )
        # The plan says that c2 stands in B: light knows better.
        code, found = self.findings(far, "--set", "site.B.hosts=[\"b[1-2]\",\"c2\"]", "--set", "site.C.hosts=[\"c1\"]")
        self.assertEqual(code, 3, found)
        self.assert_found(found, "c2", "B", "C")
        self.assert_found(found, "lost")
        self.assert_found(found, "MTU", "1400")
        self.assert_found(found, "tcp_rmem", "a1")

    def test_a_cut_is_a_finding_and_no_hang(self):
        cut = self.metro_with(('name = "metro"', 'name = "cut"'),
                              ('between = ["B", "C"]\n', 'from = "B"\nto = "C"\nloss = "100%"\n'))
        code, found = self.findings(cut)
        self.assertEqual(code, 3, found)
        self.assert_found(found, "error", "b1", "c1")


class SlurmTest(RehearsalTest):
    def setUp(self):
        super().setUp()
        if not os.path.exists("/usr/sbin/slurmctld"):
            self.skipTest("Slurm is not installed")
        with open(os.path.join(SOURCE, METRO), encoding="utf-8") as file:
            self.lab = Lab("cluster", file.read(), ["--slurm", "--share", SOURCE, "--share", os.path.dirname(lab_fixture.FOLDER)])

    def assert_same_verdict(self, job, direct):
        """Both certified, by the same criteria, on as many launches. The grade above the one that is asked for is a measurement, and
        differs from run to run on a machine that does other work."""
        for certificate in (job, direct):
            self.assertTrue(certificate["certified"], certificate["reasons"])
            self.assertEqual(certificate["exit_code"], 0)
        self.assertEqual(job["required_grade"], direct["required_grade"])
        self.assertEqual([(row["name"], row["threshold"]) for row in job["criteria"]],
                         [(row["name"], row["threshold"]) for row in direct["criteria"]])
        self.assertEqual([(leg["name"], leg["ranks"], len(leg["rounds"])) for leg in job["legs"]],
                         [(leg["name"], leg["ranks"], len(leg["rounds"])) for leg in direct["legs"]])

    def test_a_job_gives_the_same_verdict_as_a_direct_run(self):
        self.assertEqual(self.lab.run("login", "srun", "-N", "6", "hostname").stdout.split().sort(),
                         ["a1", "a2", "b1", "b2", "c1", "c2"].sort())
        self.assertIn("SwitchName=A Level=0", self.lab.run("login", "scontrol", "show", "topology").stdout)
        os.makedirs(self.results, exist_ok=True)
        log = os.path.join(self.results, "job.log")
        self.lab.run("login", "env", f"LOCKSTEP={lab_fixture.LOCKSTEP}", f"LOCKSTEP_RESULTS={self.results}", "sbatch", "--wait",
                     "--nodelist=a1,b1,c1", "--ntasks-per-node=1", "--time=10", f"--chdir={SOURCE}", f"--output={log}",
                     os.path.join(SOURCE, "scripts/slurm/acceptance.sbatch"), os.path.join(SOURCE, "configs/metro.toml"),
                     *set_options(SHORT), timeout=LIMIT_S, check=False)
        with open(log, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("lockstep ended with 0", text)
        folder, = glob.glob(os.path.join(self.results, "acceptance-job*"))
        job = self.certificate(folder)
        self.lab.down()
        direct, at = healthy_certification()
        self.assertEqual(direct.returncode, 0, direct.stdout + direct.stderr)
        self.assert_same_verdict(job, self.certificate(at))
        self.assertTrue(job["rehearsal"]["is"], "a Slurm in a lab certifies no hardware either")


if __name__ == "__main__":
    SOURCE = os.path.abspath(sys.argv.pop(2))
    lab_fixture.main()

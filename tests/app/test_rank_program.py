#!/usr/bin/env python3
"""lockstep-rank as a user runs it: under mpirun, by hand, with good and bad input.

Usage: test_rank_program.py LOCKSTEP_RANK CONFIGS_FOLDER
"""
import glob
import hashlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

RANK_PROGRAM = CONFIGS = ""
QUICK = ["--set", "run.steps=50", "--set", "run.warmup_steps=2"]
ALL_STEPS = 52


def environment(**more):
    own = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
               OMPI_MCA_rmaps_base_oversubscribe="1", ASAN_OPTIONS="detect_leaks=0")
    own.update(more)
    return own


def contents(pattern):
    """Hashes of the files that match, by path."""
    found = {}
    for path in glob.glob(pattern):
        with open(path, "rb") as file:
            found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


def children_of(pid):
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in listed.stdout.split()]


def ranks_below(pid):
    """The ranks themselves: a rank's supervisor has it as its only child."""
    found = []
    for child in children_of(pid):
        with open(f"/proc/{child}/comm", encoding="utf-8") as comm:
            if comm.read().strip() == "lockstep-rank":
                found += ranks_below(child) or [child]
    return found


def ranks_waited_for(line):
    """Of the first op that the line says a rank waits in: `..., for ranks 0, 2-3; ...`."""
    found = re.search(r", for ranks? ([-0-9, ]+)", line)
    ranks = set()
    for run in found.group(1).split(", "):
        first, _, last = run.partition("-")
        ranks.update(range(int(first), int(last or first) + 1))
    return ranks


def process_states(folder):
    """(host, pid, condition, signal, exit code) of every rank's process, as its supervisor noted it."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "proc-*.state"))):
        with open(path, "rb") as file:
            _, host, pid, _, _, _, condition, _, number, code, _ = struct.unpack_from("<Q256sqqqIIqiiI", file.read())
        found.append((host.rstrip(b"\0").decode(), pid, ("running", "stopped", "exited", "killed")[condition], number, code))
    return found


def process_flags(folder):
    """1: core dumped, 2: out of memory, 4: disk full; of each file."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "proc-*.state"))):
        with open(path, "rb") as file:
            found.append(struct.unpack_from("<Q256sqqqIIqiiI", file.read())[-1])
    return found


class RankProgram(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="lockstep-rank-test-")
        self.out = os.path.join(self.folder.name, "results")

    def tearDown(self):
        self.folder.cleanup()

    def run_ranks(self, ranks, *arguments, plan="smoke.toml", timeout=100, **env):
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks), RANK_PROGRAM, "--plan",
                   os.path.join(CONFIGS, plan), "--out", self.out, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment(**env),
                              check=False)

    def run_file(self):
        found = glob.glob(os.path.join(self.out, "*", "run.h5"))
        self.assertEqual(len(found), 1, found)
        return found[0]

    def check_evidence(self, ranks, steps):
        with h5py.File(self.run_file(), "r") as run:
            self.assertEqual(len(run["ranks"]), ranks)
            self.assertEqual(set(run["ranks"]["state"]), {b"complete"})
            self.assertEqual(len(set(run["ranks"]["binary_hash"])), 1)
            rows = run["steps"][:]
            self.assertEqual(len(rows), ranks * steps)
            self.assertTrue(np.all(rows["end_ns"] > rows["begin_ns"]))
            self.assertTrue(np.all(rows["compute_ns"] + rows["exposed_ns"] <= rows["end_ns"] - rows["begin_ns"]))
            self.assertTrue(np.any(rows["flags"] & 2), "no step was validated")
            self.assertFalse(np.any(rows["flags"] & 4), "wrong data")
            for step in np.unique(rows["step"]):
                sums = set(rows["checksum"][rows["step"] == step])
                self.assertEqual(len(sums), 1, "ranks hold different data")
            self.assertEqual(len(run["failures"]), 0)
            clock = run["clock"][:]
            self.assertGreaterEqual(len(clock), 2 * ranks)
            self.assertTrue(np.all(clock["bound_ns"] >= 0))
            comm_ops = {row["op"] for row in run["graph"] if row["stream"] == b"communication"}
            self.assertEqual(len(run["comms"]), ranks * steps * len(comm_ops))
            self.assertGreater(len(run["ops"]), 0)

    def test_one_rank_with_real_gemms(self):
        done = self.run_ranks(1, "--leg", "A", *QUICK, "--set", "workload.model=nano", plan="cpu-two-sites.toml")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_evidence(1, ALL_STEPS)
        with h5py.File(self.run_file(), "r") as run:
            self.assertGreater(run["ranks"]["peak_gflops"][0], 0)
            self.assertTrue(run["ranks"]["compute"][0].startswith(b"cpu "), run["ranks"]["compute"][0])

    def test_two_ranks(self):
        done = self.run_ranks(2, "--leg", "A", *QUICK)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_evidence(2, ALL_STEPS)

    def test_four_ranks_make_the_joint_leg(self):
        done = self.run_ranks(4, *QUICK)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_evidence(4, ALL_STEPS)
        self.assertIn("Step time", done.stdout)
        self.assertIn("all_reduce", done.stdout)
        with h5py.File(self.run_file(), "r") as run:
            self.assertEqual(list(run["ranks"]["site"]), [b"A", b"A", b"B", b"B"])

    def test_all_reduces_between_sites_in_phases(self):
        done = self.run_ranks(4, *QUICK, "--set", "fabric.all_reduce=hierarchical")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_evidence(4, ALL_STEPS)
        with h5py.File(self.run_file(), "r") as run:
            self.assertEqual(set(run["ranks"]["fabric"]), {b"mpi, hierarchical"})
            facts = {row["key"]: row["value"] for row in run["provenance"]}
            self.assertRegex(facts[b"fabric.hierarchical"].decode(), r"^[1-9][0-9]* all-reduces in ")
            self.assertNotIn(b"fabric.left_flat", facts)

    @unittest.skipIf(os.path.exists("/dev/nvidia0"), "this machine has a GPU")
    def test_a_fabric_that_needs_a_gpu_is_refused_without_one(self):
        for backend in "nccl", "host-staged", "cuda-aware":
            done = self.run_ranks(4, *QUICK, "--set", f"fabric.backend={backend}")
            self.refused(done, "the plan needs a GPU, and this rank sees none")

    def refused(self, done, *words, code=2):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        lines = [line for line in done.stderr.splitlines() if "error: " in line]
        self.assertEqual(len(lines), 1, done.stderr)
        for word in words:
            self.assertIn(word, lines[0])

    def test_different_plans_stop_the_run_and_name_the_hosts(self):
        command = ["mpirun", "--oversubscribe", "-np", "2", RANK_PROGRAM, "--plan", CONFIGS + "/smoke.toml", "--out",
                   self.out, ":", "-np", "2", RANK_PROGRAM, "--plan", CONFIGS + "/smoke.toml", "--out", self.out,
                   "--set", "run.warmup_steps=9"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=False)
        self.refused(done, "different plans", os.uname().nodename.split(".")[0], "ranks 2-3")
        self.assertFalse(os.path.exists(self.out), "nothing is left behind")

    def test_different_binaries_stop_the_run(self):
        other = os.path.join(self.folder.name, "lockstep-rank")
        with open(RANK_PROGRAM, "rb") as original, open(other, "wb") as copy:
            copy.write(original.read() + b"\0")
        os.chmod(other, 0o755)
        arguments = ["--plan", CONFIGS + "/smoke.toml", "--out", self.out]
        command = ["mpirun", "--oversubscribe", "-np", "3", RANK_PROGRAM, *arguments, ":", "-np", "1", other, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=False)
        self.refused(done, "different", "binar", "rank 3")

    def test_fewer_slots_than_asked(self):
        self.refused(self.run_ranks(3), "fewer slots than asked", "3", "4")

    def test_unknown_leg_and_unwritable_folder(self):
        self.refused(self.run_ranks(1, "--leg", "jiont"), "jiont", "did you mean 'joint'")
        blocked = os.path.join(self.folder.name, "file")
        open(blocked, "w", encoding="utf-8").close()
        self.out = os.path.join(blocked, "below")
        self.refused(self.run_ranks(4), "cannot write into")

    def test_site_from_the_environment(self):
        done = self.run_ranks(4, *QUICK, LOCKSTEP_SITE="Z")
        self.refused(done, "LOCKSTEP_SITE")

    def test_a_killed_rank_leaves_its_journal(self):
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "4", RANK_PROGRAM, "--plan",
                   CONFIGS + "/smoke.toml", "--out", self.out, "--set", "run.steps=20000"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env=environment()) as job:
            deadline = time.monotonic() + 60
            victims = []
            while time.monotonic() < deadline and len(victims) < 4:
                listed = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=False)
                victims = listed.stdout.split()
                time.sleep(0.05)
            pattern = os.path.join(self.out, "*", "journals", "*", "rank-*.journal")
            while time.monotonic() < deadline and len(glob.glob(pattern)) < 4:
                time.sleep(0.05)
            for _ in range(3):  # the head is written once; what keeps changing are stamps
                before = contents(pattern)
                while time.monotonic() < deadline and any(before[path] == now for path, now in contents(pattern).items()):
                    time.sleep(0.05)
            os.kill(int(victims[-1]), signal.SIGKILL)
            job.communicate(timeout=60)
        self.assertNotEqual(job.returncode, 0)
        after = contents(pattern)
        self.assertEqual(len(after), 4)
        for path, content in after.items():
            self.assertNotEqual(content, before[path], "what was stamped is still there")

    def test_ranks_that_are_asked_to_stop_end_behind_the_same_step(self):
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "4", RANK_PROGRAM, "--plan",
                   CONFIGS + "/smoke.toml", "--out", self.out, "--set", "run.steps=20000"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env=environment()) as job:
            deadline = time.monotonic() + 60
            pattern = os.path.join(self.out, "*", "journals", "*", "rank-*.journal")
            while time.monotonic() < deadline and len(glob.glob(pattern)) < 4:
                time.sleep(0.05)
            before = contents(pattern)
            while time.monotonic() < deadline and contents(pattern) == before:
                time.sleep(0.05)
            listed = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True)
            os.kill(int(listed.stdout.split()[2]), signal.SIGUSR1)  # one rank alone; the others learn it from the vote
            _, errors = job.communicate(timeout=100)
        self.assertEqual(job.returncode, 0, errors)
        self.assertIn("asked to stop", errors)
        with h5py.File(self.run_file(), "r") as run:
            self.assertEqual(run["leg_ends"]["outcome"][0], b"interrupted")
            rows = run["steps"][:]
            last = {int(rows["step"][rows["rank"] == rank].max()) for rank in range(4)}
            self.assertEqual(len(last), 1, last)
            self.assertLess(last.pop(), 20000)
            self.assertTrue(np.all(run["comms"]["end_ns"] > 0), "nothing was left half done")
            self.assertGreaterEqual(len(run["clock"]), 8, "clocks are compared at the end too")

    def start_job(self, *arguments):
        """Four ranks that would run for long, as the controller starts them; all are stepping."""
        self.journals = os.path.join(self.folder.name, "journals")
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "4", RANK_PROGRAM, "--plan",
                   CONFIGS + "/smoke.toml", "--launched-by-controller", "--journals", self.journals, "--set",
                   "run.steps=20000", *arguments]
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment())
        self.addCleanup(job.stderr.close)
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)
        return job

    def wait_until(self, condition, what):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.02)
        self.fail(f"waited in vain: {what}")

    def wait_for_steps(self):
        pattern = os.path.join(self.journals, "rank-*.journal")
        self.wait_until(lambda: len(glob.glob(pattern)) == 4, "journals")
        for _ in range(3):  # the head is written once; what keeps changing are stamps
            before = contents(pattern)
            self.wait_until(lambda old=before: all(old[path] != now for path, now in contents(pattern).items()), "steps")

    def test_a_stopped_rank_is_waited_for_until_the_deadline_and_named(self):
        job = self.start_job("--set", "deadlines.op_s=2", "--set", "deadlines.wan_op_s=2")
        self.wait_for_steps()
        ranks = ranks_below(job.pid)
        self.assertEqual(len(ranks), 4)
        os.kill(ranks[2], signal.SIGSTOP)
        try:
            _, errors = job.communicate(timeout=60)
        finally:
            subprocess.run(["kill", "-KILL", str(ranks[2])], stderr=subprocess.DEVNULL, check=False)
        self.assertEqual(job.returncode, 40, errors)
        told = [line for line in errors.splitlines() if "was not complete after its deadline of 2 s" in line]
        self.assertTrue(told, errors)
        for line in told:
            self.assertRegex(line, r"; step \d+: .*waiting in \S+ for 2\.\d s")
            if "lockstep-rank 2:" in line:  # mpirun made it go on before it ended it
                self.assertRegex(line, r"this rank itself stood still for [2-9]\.\d s")
            else:
                self.assertIn(2, ranks_waited_for(line), line)
                self.assertNotIn("stood still", line)

    def test_supervisors_tell_how_their_ranks_ended(self):
        job = self.start_job()
        self.wait_for_steps()
        ranks = ranks_below(job.pid)
        self.assertEqual({state[2] for state in process_states(self.journals)}, {"running"})
        os.kill(ranks[1], signal.SIGKILL)
        job.communicate(timeout=60)
        self.assertNotEqual(job.returncode, 0)
        states = {state[1]: state for state in process_states(self.journals)}
        self.assertEqual(set(states), set(ranks))
        self.assertEqual(states[ranks[1]][2:4], ("killed", signal.SIGKILL))
        self.assertEqual(states[ranks[1]][0], os.uname().nodename.split(".")[0])

    def test_no_rank_outlives_its_supervisor_or_mpirun(self):
        job = self.start_job()
        self.wait_for_steps()
        ranks = ranks_below(job.pid)
        processes = ranks + children_of(job.pid)
        self.assertEqual(len(processes), 8)
        job.kill()
        job.communicate(timeout=60)

        def is_alive(pid):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                    return stat.read().rpartition(")")[2].split()[0] not in "ZX"
            except FileNotFoundError:
                return False

        self.wait_until(lambda: not any(is_alive(pid) for pid in processes), "all processes gone")

    def plan_with(self, *drills):
        """smoke.toml with drills, each a text such as `kind = "kill", rank = 2, step = 3`."""
        path = os.path.join(self.folder.name, "drills.toml")
        with open(os.path.join(CONFIGS, "smoke.toml"), encoding="utf-8") as smoke, open(path, "w", encoding="utf-8") as plan:
            plan.write(smoke.read())
            for drill in drills:
                plan.write("\n[[drill]]\n" + drill.replace(", ", "\n") + "\n")
        return path

    def run_drill(self, *drills, chosen="0", arguments=()):
        """By hand, so that rank 0 merges when all survive."""
        self.journals = os.path.join(self.folder.name, "journals")
        return self.run_ranks(4, "--drills", chosen, *arguments, plan=self.plan_with(*drills))

    def test_drills_that_end_a_rank(self):
        for kind, number, more in (("kill", signal.SIGKILL, ""), ("kill", signal.SIGKILL, ", after_s = 0.05"),
                                   ("crash", signal.SIGSEGV, ""), ("abort", signal.SIGABRT, "")):
            with self.subTest(kind):
                done = self.run_drill(f'kind = "{kind}", rank = 2, step = 3{more}')
                self.assertNotEqual(done.returncode, 0)
                folder = glob.glob(os.path.join(self.out, "*", "journals", "*"))[0]
                ended = [state for state in process_states(folder) if state[2:4] == ("killed", number)]
                self.assertEqual(len(ended), 1, process_states(folder))
                with open(os.path.join(folder, "rank-00002.journal"), "rb") as journal:
                    self.assertIn(b"rank 2", journal.read(), "the drill was noted before it acted")
                shutil.rmtree(self.out)

    def drill_rows(self):
        with h5py.File(self.run_file(), "r") as run:
            return run["drills"][:], run["steps"][:], run["comms"][:], run["failures"][:]

    def test_a_stopped_rank_goes_on_when_its_drill_is_over(self):
        done = self.run_drill('kind = "stop", rank = 1, step = 8, for_s = 0.5')
        self.assertEqual(done.returncode, 0, done.stderr)
        drills, steps, _, failures = self.drill_rows()
        self.assertEqual(len(failures), 0)
        self.assertEqual((drills["kind"][0], drills["target"][0], drills["step"][0]), (b"stop", b"rank 1", 8))
        self.assertGreater(drills["end_utc_ns"][0] - drills["begin_utc_ns"][0], 0.5e9)
        own = steps[steps["rank"] == 1]
        between = own["begin_ns"][8] - own["end_ns"][7]
        self.assertGreater(between, 0.5e9, "it stood between two steps")

    def test_a_slow_rank_computes_slower_while_its_drill_lasts(self):
        done = self.run_drill('kind = "slow", rank = 3, step = 10, factor = 20.0, for_s = 0.6')
        self.assertEqual(done.returncode, 0, done.stderr)
        drills, steps, _, _ = self.drill_rows()
        own = steps[steps["rank"] == 3]["compute_ns"]
        other = steps[steps["rank"] == 0]["compute_ns"]
        self.assertGreater(own[11], 4 * np.median(own[:10]))
        self.assertLess(other[11], own[11] / 4, "the others are not")
        self.assertLess(own[-1], own[11] / 4, "nor is it when the drill is over")
        self.assertGreater(drills["end_utc_ns"][0], drills["begin_utc_ns"][0])

    def test_a_rank_that_hangs_has_not_entered_what_the_others_wait_in(self):
        done = self.run_drill('kind = "hang", rank = 0, step = 6, for_s = 0.7')
        self.assertEqual(done.returncode, 0, done.stderr)
        _, _, comms, _ = self.drill_rows()
        at_six = comms[(comms["step"] == 6) & (comms["op"] == comms["op"].min())]
        length = {row["rank"]: row["end_ns"] - row["begin_ns"] for row in at_six}
        self.assertLess(length[0], 0.5e9)
        self.assertGreater(min(length[rank] for rank in (1, 2, 3)), 0.5e9)

    def test_a_rank_that_hangs_for_good_is_named_by_the_others(self):
        done = self.run_drill('kind = "hang", rank = 2, step = 6', arguments=("--set", "deadlines.wan_op_s=2"))
        self.assertEqual(done.returncode, 40)
        told = [line for line in done.stderr.splitlines() if re.search(r"step 6: waiting in \S+ for 2\.\d s", line)]
        self.assertTrue(told, done.stderr)
        for line in told:
            self.assertIn(2, ranks_waited_for(line), line)

    def test_a_flipped_bit_is_found_in_its_step_though_that_would_not_be_checked(self):
        done = self.run_drill('kind = "flip", rank = 1, step = 7')
        self.assertEqual(done.returncode, 0, done.stderr)
        drills, steps, _, failures = self.drill_rows()
        self.assertIn(b"bit 22 of element", drills["how"][0])
        wrong = failures[failures["kind"] == b"wrong_value"]
        self.assertEqual([(row["rank"], row["step"]) for row in wrong], [(1, 7)])
        self.assertIn(b"checksum_mismatch", set(failures["kind"]))
        self.assertEqual(set(steps["flags"][steps["step"] == 7] & 2), {2}, "all ranks checked it")

    def test_only_chosen_drills_are_made(self):
        done = self.run_drill('kind = "kill", rank = 1, step = 3', 'kind = "slow", rank = 0, step = 4, factor = 2.0',
                              chosen="1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.drill_rows()[0]["drill"]), [1])
        shutil.rmtree(self.out)
        self.refused(self.run_drill('kind = "kill", rank = 1, step = 3', chosen="4"), "no drill 4")

    def test_compute_that_does_not_end_is_named(self):
        done = self.run_drill('kind = "slow", rank = 1, step = 6, factor = 100000.0', arguments=(
            "--set", "deadlines.step_s=2", "--set", "deadlines.op_s=30", "--set", "deadlines.wan_op_s=30"))
        self.assertEqual(done.returncode, 40)
        self.assertRegex(done.stderr, r"lockstep-rank 1: error: step did not end .*; step 6: computing \S+ for [12]\.\d s")

    def checkpoints(self, folder):
        """Training steps of the complete ones."""
        found = glob.glob(os.path.join(folder, "checkpoint-joint-r0", "step-*", "complete"))
        return sorted(int(path.split("/step-")[1].split("/")[0]) for path in found)

    def test_checkpoints_are_saved_and_another_number_of_ranks_goes_on_from_them(self):
        saved = os.path.join(self.folder.name, "saved")
        where = ("--set", "recovery.checkpoint_steps=10", "--set", f"recovery.checkpoint_folder={saved}")
        done = self.run_ranks(4, *where)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.checkpoints(saved), [40, 50], "the last two")
        with h5py.File(self.run_file(), "r") as run:
            rows = run["checkpoints"][:]
            self.assertEqual(len(run["failures"]), 0)
            steps = run["steps"][:]
        self.assertEqual(sorted(set(rows["step"])), [10, 20, 30, 40, 50])
        self.assertEqual(len(rows), 5 * 4)
        self.assertEqual(set(rows["verified"]), {1})
        for step in (10, 50):
            whole = rows["bytes"][rows["step"] == step].sum()
            self.assertLess(abs(int(whole) - 12 * 164_000), 12 * 1000, "nano has 0.164 million parameters")
        for row in rows:  # between two steps of its rank
            own = steps[steps["rank"] == row["rank"]]
            self.assertGreater(row["begin_ns"], own["end_ns"][row["step"] - 1])
            self.assertLess(row["end_ns"], own["begin_ns"][row["step"]])

        shutil.rmtree(self.out)
        fewer = ("--set", "site.B.slots=1", "--first-step", "50")
        done = self.run_ranks(3, *where, *fewer)
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.run_file(), "r") as run:
            self.assertEqual(run["legs"]["first_step"][0], 50)
            self.assertEqual((run["legs"]["warmup_steps"][0], run["legs"]["steps"][0]), (4, 1), "one that counts")
            self.assertEqual([set(run["steps"]["flags"][run["steps"]["step"] == step] & 1) for step in range(5)],
                             [{1}] * 4 + [{0}], "and is no warm-up")
            loads = run["checkpoints"][:]
        self.assertEqual(list(loads["action"]), [b"load"] * 3)
        self.assertEqual(set(loads["step"]), {50})
        self.assertEqual(sum(loads["bytes"]), rows["bytes"][rows["step"] == 50].sum(), "every part, by somebody")

        shutil.rmtree(self.out)
        part = os.path.join(saved, "checkpoint-joint-r0", "step-50", "rank-00002.part")
        with open(part, "r+b") as file:
            file.seek(1000)
            file.write(b"damage")
        self.refused(self.run_ranks(3, *where, *fewer), "rank-00002.part is damaged", code=5)
        self.refused(self.run_ranks(4, *where, "--first-step", "30"), "no complete checkpoint", code=5)
        self.refused(self.run_ranks(1, *where, "--first-step", "55"), "55 training steps")

    def test_a_full_disk_ends_the_launch_and_is_told(self):
        done = self.run_drill('kind = "fill", rank = 2, step = 12', arguments=("--set", "recovery.checkpoint_steps=10"))
        self.assertEqual(done.returncode, 42, done.stderr)
        self.assertIn("the checkpoint after 20 training steps was not saved", done.stderr)
        results = glob.glob(os.path.join(self.out, "*"))[0]
        self.assertEqual(self.checkpoints(results), [10], "the one before still counts")
        journals = glob.glob(os.path.join(results, "journals", "*"))[0]
        self.assertIn((0, 42), [state[3:5] for state in process_states(journals)])
        self.assertEqual(sum(flags & 4 for flags in process_flags(journals)), 4, "one rank's disk is full")

    def test_probes_between_sites_are_recorded(self):
        done = self.run_ranks(4, "--set", "run.steps=400", "--set", "probes.per_second=20")
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.run_file(), "r") as run:
            rows = run["probes"][:]
        self.assertEqual({(row["rank"], row["peer"]) for row in rows}, {(0, 2), (2, 0)}, "lowest ranks of A and B")
        self.assertGreater(rows["sent"].sum(), 20)
        self.assertEqual(rows["lost"].sum(), 0)
        self.assertTrue(np.all(rows["rtt_min_ns"] > 0))
        self.assertTrue(np.all(rows["rtt_min_ns"] <= rows["rtt_mean_ns"]))
        self.assertTrue(np.all(rows["rtt_mean_ns"] <= rows["rtt_max_ns"]))
        self.assertTrue(np.all(rows["end_ns"] - rows["begin_ns"] <= 1e9))

    def test_no_probes_where_the_plan_wants_none_or_there_is_one_site(self):
        for arguments in (["--set", "probes.per_second=0"], ["--leg", "A"]):
            done = self.run_ranks(4 if arguments[0] == "--set" else 2, *QUICK, *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            with h5py.File(self.run_file(), "r") as run:
                self.assertEqual(len(run["probes"]), 0)
            shutil.rmtree(self.out)

    def test_an_init_that_does_not_end_leaves_a_word_in_the_folder_of_the_journals(self):
        journals = os.path.join(self.folder.name, "no", "such", "folder")
        command = ["mpirun", "--oversubscribe", "-np", "1", RANK_PROGRAM, "--plan", CONFIGS + "/smoke.toml",
                   "--launched-by-controller", "--journals", journals, "--set", "deadlines.init_s=1", ":", "-np", "1",
                   "sleep", "60"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment(), check=False)
        self.assertEqual(done.returncode, 40, done.stderr)
        words = glob.glob(os.path.join(journals, "last-words-*.txt"))
        self.assertEqual(len(words), 1, done.stderr)
        with open(words[0], encoding="utf-8") as file:
            self.assertIn("MPI_Init did not end within its deadline of 1 s", file.read())

    def test_help_and_bad_arguments_need_no_mpi(self):
        done = subprocess.run([RANK_PROGRAM, "--help"], capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(done.returncode, 0)
        self.assertIn("mpirun -np 4", done.stdout)
        for arguments in (["--plna", "x"], [], ["--plan", "/no/such/plan.toml"], ["--plan", "x", "extra"]):
            done = subprocess.run([RANK_PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=30)
            self.refused(done)
            self.assertEqual(len(re.findall("\n", done.stderr)), 1, done.stderr)


if __name__ == "__main__":
    RANK_PROGRAM, CONFIGS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]])

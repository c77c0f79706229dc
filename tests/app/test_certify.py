#!/usr/bin/env python3
"""`lockstep certify` from the outside, with a stand-in for mpirun and for the ranks: exit codes, what is left on disk, and
that no process survives, however it ends.

test_certify.py LOCKSTEP FAKE_RANK
"""

import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

HERE = pathlib.Path(__file__).resolve().parent
FAKE_MPIRUN = HERE.parent / "campaign" / "fake_mpirun.py"
LOCKSTEP = ""
FAKE_RANK = ""
LIMIT_S = 60

PLAN = """
name = "outside"
placement = "colocated"

[[site]]
name = "A"
slots = 2

[[site]]
name = "B"
slots = 2

[workload]
model = "nano"
sequence_length = 64

[compute]
backend = "paced"
paced_gflops = 30.0
paced_memory_gbps = 10.0

[run]
steps = 20
warmup_steps = 2
rounds = 2

[criteria]
min_steps = 40
"""


def eventually(condition):
    """Asks until the condition holds. What decides is the condition, not the time."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Certify(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        (self.folder / "plan.toml").write_text(PLAN)
        self.mark = f"LOCKSTEP_TEST_MARK={uuid.uuid4()}"

    def tearDown(self):
        self.assertTrue(eventually(lambda: not self.processes()), f"left behind: {self.processes()}")
        self.temporary.cleanup()

    def processes(self):
        """Living processes that carry this test's mark in their environment."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if self.mark.encode() in (entry / "environ").read_bytes():
                    found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ")))
            except OSError:
                pass
        return found

    def command(self, *more):
        return [
            LOCKSTEP, "certify", str(self.folder / "plan.toml"), "--out", str(self.folder / "out"),
            "--launcher", str(FAKE_MPIRUN), "--rank-program", FAKE_RANK, *more,
        ]  # fmt: skip

    def environment(self, **more):
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FAKE_MODE", "FAKE_MPIRUN")}
        name, value = self.mark.split("=")
        return {**environment, name: value, **more}

    def run_to_end(self, *more, **environment):
        return subprocess.run(
            self.command(*more), env=self.environment(**environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=LIMIT_S,
        )  # fmt: skip

    def start(self, **environment):
        return subprocess.Popen(
            self.command(), env=self.environment(**environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def results(self):
        folders = list((self.folder / "out").iterdir())
        self.assertEqual(len(folders), 1, folders)
        return folders[0]

    def certificate(self):
        return json.loads((self.results() / "certificate.json").read_text())

    def leg_is_running(self, leg_folder):
        # The journal is there from a rank's first step on.
        return any((self.folder / "out").glob(f"*/journals/{leg_folder}/*.journal"))

    def assert_one_error_line(self, done, text):
        errors = [line for line in done.stderr.splitlines() if line.startswith("lockstep: error:")]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertIn(text, errors[0])

    def verify(self):
        return subprocess.run([LOCKSTEP, "verify", str(self.results())], capture_output=True, text=True).returncode

    def test_a_whole_run_leaves_everything_and_verifies(self):
        done = self.run_to_end()
        self.assertIn(done.returncode, (0, 3, 4), done.stderr)
        for name in ("plan.toml", "run.h5", "certificate.json", "journals", "logs"):
            self.assertTrue((self.results() / name).exists(), name)
        self.assertFalse((self.results() / ".reserve").exists())
        self.assertEqual((self.results() / "plan.toml").read_text(), PLAN)
        self.assertEqual(self.verify(), done.returncode)
        self.assertIn(f"GRADE {self.certificate()['grade']}", done.stdout)
        self.assertIn("launch 3 of 6: joint, round 1", done.stderr)
        self.assertNotIn("\033", done.stdout + done.stderr)
        self.assertNotIn("\r", done.stdout + done.stderr)

    def test_json_is_one_document_and_nothing_else(self):
        done = self.run_to_end("--json")
        document = json.loads(done.stdout)
        self.assertEqual(document["exit_code"], done.returncode)
        self.assertEqual(document["ending"], "finished")
        self.assertEqual(document["certificate"], self.certificate())

    def test_overrides_are_in_the_plan_that_is_kept(self):
        self.run_to_end("--set", "run.steps=21")
        self.assertIn("21", (self.results() / "plan.toml").read_text())

    def test_two_runs_never_share_a_folder(self):
        first, second = self.start(), self.start()
        for process in (first, second):
            process.communicate(timeout=LIMIT_S)
            self.assertIn(process.returncode, (0, 3, 4))
        self.assertEqual(len(list((self.folder / "out").iterdir())), 2)

    def test_ctrl_c_keeps_the_evidence_and_is_inconclusive(self):
        process = self.start(FAKE_MODE="slow@2")
        self.assertTrue(eventually(lambda: self.leg_is_running("leg-002-joint-r0-a0")))
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 4, errors)
        self.assertEqual(self.certificate()["grade"], "I")
        self.assertEqual(self.processes(), [])
        self.assertEqual(self.verify(), 4)

    def test_ctrl_c_again_and_again_corrupts_nothing(self):
        process = self.start(FAKE_MODE="hang@0")
        self.assertTrue(eventually(lambda: self.leg_is_running("leg-000-A-r0-a0")))
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.005)
        process.communicate()
        self.assertEqual(process.returncode, 4)
        self.assertEqual(self.certificate()["grade"], "I")
        self.assertEqual(self.verify(), 4)

    def test_a_run_that_was_asked_to_stop_goes_on_in_its_folder(self):
        folder = self.folder / "out" / "known"
        process = subprocess.Popen(
            self.command("--resume", str(folder)), env=self.environment(FAKE_MODE="slow@2"), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.assertTrue(eventually(lambda: self.leg_is_running("leg-002-joint-r0-a0")))
        process.send_signal(signal.SIGUSR1)
        _, errors = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 4, errors)
        self.assertTrue((folder / "unfinished").exists())
        done = self.run_to_end("--resume", str(folder))
        self.assertIn(done.returncode, (0, 3, 4), done.stderr)
        self.assertNotIn("launch 2 of 6", done.stderr)
        self.assertIn("launch 3 of 6: joint, round 1: completed", done.stderr)
        self.assertFalse((folder / "unfinished").exists())
        self.assertEqual(self.verify(), done.returncode)
        other = self.run_to_end("--resume", str(folder), "--set", "run.steps=21")
        self.assertEqual(other.returncode, 2)
        self.assert_one_error_line(other, "holds a run of another plan")

    def test_a_time_limit_ends_a_run_between_launches(self):
        done = self.run_to_end("--json", "--time-limit", "0:20")
        document = json.loads(done.stdout)
        self.assertEqual((done.returncode, document["ending"]), (4, "out_of_time"), done.stderr)
        self.assertEqual(self.verify(), 4)

    def test_a_killed_controller_leaves_no_process_and_a_readable_file(self):
        process = self.start(FAKE_MODE="hang@2")
        self.assertTrue(eventually(lambda: self.leg_is_running("leg-002-joint-r0-a0")))
        self.assertGreaterEqual(len(self.processes()), 4)
        process.kill()
        process.communicate(timeout=LIMIT_S)
        self.assertTrue(eventually(lambda: not self.processes()), self.processes())
        self.assertFalse((self.results() / "certificate.json").exists())
        shown = subprocess.run([LOCKSTEP, "show", str(self.results())], capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("cut short", shown.stdout)

    def test_the_controller_does_not_link_mpi(self):
        libraries = subprocess.run(["ldd", LOCKSTEP], capture_output=True, text=True, check=True).stdout
        self.assertIn("libhdf5", libraries)
        self.assertNotIn("libmpi", libraries)

    def test_bad_input_to_the_ranks(self):
        done = self.run_to_end(FAKE_MODE="bad_input")
        self.assertEqual(done.returncode, 2)
        self.assert_one_error_line(done, "host here is in no site of the plan")

    def test_fewer_slots_than_asked(self):
        done = self.run_to_end(FAKE_MPIRUN="slots")
        self.assertEqual(done.returncode, 2)
        self.assert_one_error_line(done, "mpirun has fewer slots")

    def test_a_host_that_cannot_be_reached(self):
        done = self.run_to_end(FAKE_MPIRUN="unreachable")
        self.assertEqual(done.returncode, 5)
        self.assert_one_error_line(done, "host gpu-b1 cannot be reached (No route to host)")
        self.assertEqual(self.certificate()["grade"], "I")

    def test_a_lost_rank_is_no_pass_and_the_other_legs_run(self):
        done = self.run_to_end(FAKE_MODE="killed@2", FAKE_MPIRUN="recovery")
        self.assertIn(done.returncode, (3, 4))
        self.assertIn("launch 6 of 6: A, round 2: completed", done.stderr)
        self.assertFalse(self.certificate()["certified"])

    def on_terminal(self, **environment):
        """Runs with standard output and error on a terminal; returns the exit code and what it showed."""
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            self.command(), env=self.environment(TERM="xterm", **environment), stdin=subprocess.DEVNULL,
            stdout=follower, stderr=follower, close_fds=True,
        )  # fmt: skip
        os.close(follower)
        shown = b""
        while select.select([leader], [], [], LIMIT_S)[0]:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(leader)
        return process.wait(timeout=LIMIT_S), shown.decode()

    def test_a_terminal_gets_a_bar_and_colours(self):
        code, shown = self.on_terminal()
        self.assertIn(code, (0, 3, 4))
        self.assertRegex(shown, r"\r\033\[K\[#+-+\] [1-6]/6 (A|B|joint)  ")
        self.assertRegex(shown, r"\033\[3\dmGRADE")

    def test_no_color_is_respected(self):
        _, shown = self.on_terminal(NO_COLOR="1")
        self.assertNotRegex(shown, r"\033\[\d+m")
        self.assertIn("GRADE", shown)


if __name__ == "__main__":
    LOCKSTEP, FAKE_RANK = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)

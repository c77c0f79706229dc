#!/usr/bin/env python3
"""Programs on a lab's hosts, and hosts that fail.

Usage: test_hosts.py LOCKSTEP
"""
import glob
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import lab_fixture
from lab_fixture import Lab, LabTest, lockstep_lab, wait_until

SERVER = """
import socket
with socket.create_server(("0.0.0.0", 6000)) as server:
    print("ready", flush=True)
    peer, _ = server.accept()
    while peer.recv(100):
        pass
"""
CLIENT = """
import socket
peer = socket.create_connection(("10.2.0.1", 6000))
print("connected", flush=True)
input()
peer.sendall(b"x")
peer.settimeout(1.5)
try:
    print("closed" if peer.recv(1) == b"" else "data")
except socket.timeout:
    print("silence")
except ConnectionError as error:
    print(error)
"""


def asleep(mark):
    """Processes of this machine with `mark` among their arguments, without the clients that started them."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words and b"exec" not in words:
            found.append(int(path.split("/")[2]))
    return found


def neighbours_of(pid):
    """State of every process of the host where `pid` runs, but the first."""
    own = os.readlink(f"/proc/{pid}/ns/pid")
    found = {}
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{path}/comm", encoding="utf-8") as file:
                if os.readlink(f"{path}/ns/pid") == own and file.read() != "lab-init\n":
                    found[path] = state_of(path.split("/")[2])
        except OSError:
            continue
    return found


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


class Hosts(LabTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("t-hosts")

    @classmethod
    def tearDownClass(cls):
        cls.lab.down()

    def setUp(self):
        self.lab.heal()

    def answers(self, host, asked_from="a1"):
        return self.lab.run(asked_from, "ping", "-c", "1", "-W", "1", host, check=False).returncode == 0

    def sleeper(self, host, mark):
        """A program that waits; `mark` is an argument that no other process has."""
        client = self.lab.start(host, "sleep", mark, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        wait_until(lambda: asleep(mark), "it runs")
        return client

    def test_a_host_is_a_machine_of_its_own(self):
        self.assertEqual(self.lab.run("a2", "hostname").stdout, "a2\n")
        self.assertIn("10.1.0.2", self.lab.run("a2", "ip", "-4", "address", "show", "eth0").stdout)
        self.assertEqual(self.lab.run("a2", "getent", "hosts", "b1").stdout.split(), ["10.2.0.1", "b1"])
        self.assertEqual(self.lab.run("a2", "sh", "-c", "echo $LOCKSTEP_LAB_HOST").stdout, "a2\n")
        self.assertLess(len(self.lab.run("a2", "ps", "-e").stdout.splitlines()), 6)

    def test_the_exit_status_is_the_programs(self):
        for code in (0, 1, 7, 255):
            self.assertEqual(self.lab.run("a1", "sh", "-c", f"exit {code}", check=False).returncode, code)
        self.assertEqual(self.lab.run("a1", "sh", "-c", "kill -9 $$", check=False).returncode, 128 + 9)
        self.assertEqual(self.lab.run("a1", "sh", "-c", "kill -TERM $$", check=False).returncode, 128 + 15)
        missing = self.lab.run("a1", "no-such-program", check=False)
        self.assertEqual(missing.returncode, 127)
        self.assertIn("cannot execute no-such-program: No such file", missing.stderr)
        self.assertEqual(self.lab.run("a1", "/etc/passwd", check=False).returncode, 126)

    def test_signals_are_passed_on(self):
        client = self.lab.start("a1", "sh", "-c", "trap 'echo got; exit 7' TERM; echo ready; "
                                                  "while :; do sleep 0.02; done", text=True)
        self.assertEqual(client.stdout.readline(), "ready\n")
        client.send_signal(signal.SIGTERM)
        said, _ = client.communicate(timeout=20)
        self.assertEqual((client.returncode, said), (7, "got\n"))

    def test_a_client_that_is_killed_takes_its_program_along(self):
        client = self.sleeper("a1", "987001")
        client.kill()
        wait_until(lambda: not asleep("987001"), "the program is gone")
        stubborn = self.lab.start("a1", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
        stubborn.stdout.readline()
        stubborn.kill()
        stubborn.communicate()
        wait_until(lambda: self.lab.host("a1")["processes"] == 0, "also one that ignores SIGTERM")

    def test_bytes_pass_unchanged(self):
        data = os.urandom(10 << 20)
        done = subprocess.run([lab_fixture.LOCKSTEP, "lab", "exec", "--lab", self.lab.name, "a1", "--", "cat"],
                              input=data, capture_output=True, env=lab_fixture.environment(), timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(hashlib.sha256(done.stdout).hexdigest(), hashlib.sha256(data).hexdigest())

    def test_arguments_are_bytes_and_may_be_long(self):
        odd = b"\xff\xfe '\" $HOME\n"
        done = subprocess.run([lab_fixture.LOCKSTEP.encode(), b"lab", b"exec", b"--lab", self.lab.name.encode(), b"a1",
                               b"--", b"printf", b"%s", odd], capture_output=True, env=lab_fixture.environment(),
                              timeout=60, check=False)
        self.assertEqual(done.stdout, odd)
        long = "x" * 100_000
        done = self.lab.run("a1", "sh", "-c", "printf %s \"$@\" | wc -c", "sh", *[long] * 12)
        self.assertEqual(done.stdout.strip(), "1200000")

    def test_streams_that_are_closed(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed=closed):
                done = subprocess.run(["/bin/sh", "-c", f"'{lab_fixture.LOCKSTEP}' lab exec --lab {self.lab.name} a1 -- "
                                                        f"sh -c 'cat; echo said; exit 4' {closed}"],
                                      capture_output=True, text=True, env=lab_fixture.environment(),
                                      stdin=subprocess.DEVNULL, timeout=20, check=False)
                self.assertEqual(done.returncode, 4, done.stderr)

    def test_fifty_at_once(self):
        codes = [None] * 50

        def one(index):
            codes[index] = self.lab.run(("a1", "a2", "b1")[index % 3], "sh", "-c", f"exit {index}", check=False).returncode

        threads = [threading.Thread(target=one, args=(index,)) for index in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(codes, list(range(50)))
        wait_until(lambda: all(host["processes"] == 0 for host in self.lab.state()["hosts"]), "nothing is left of them")

    def test_freeze(self):
        client = self.sleeper("b1", "987002")
        (pid,) = asleep("987002")
        self.assertTrue(self.answers("b1"))
        self.lab.freeze("b1")
        self.assertEqual(state_of(pid), "T")
        self.assertFalse(self.answers("b1"))
        self.assertEqual(self.lab.host("b1")["state"], "frozen")
        done = lockstep_lab("exec", "--lab", self.lab.name, "b1", "--", "true")
        self.assert_refused(done, code=5, says="it is frozen")
        self.assert_refused(lockstep_lab("freeze", "--lab", self.lab.name, "b1"), says="frozen already")
        self.lab.heal("b1")
        wait_until(lambda: self.answers("b1"), "it answers again")
        self.assertEqual(state_of(pid), "S", "its processes go on")
        self.assertIsNone(client.poll())

    def test_freeze_catches_what_multiplies(self):
        self.sleeper("b1", "987004")
        (pid,) = asleep("987004")
        storm = self.lab.start("b1", "sh", "-c", "for i in 1 2 3; do (while :; do (:); done) & done; echo ready; wait",
                               stderr=subprocess.DEVNULL)
        storm.stdout.readline()
        self.lab.freeze("b1")
        first = neighbours_of(pid)
        time.sleep(0.3)
        self.assertEqual(first, neighbours_of(pid), "nothing is born and nothing ends")
        self.assertGreaterEqual(len(first), 5)
        self.assertTrue(set(first.values()) <= {"T", "Z"}, first)
        self.lab.kill("b1")
        self.assertEqual(storm.wait(20), 255)
        storm.communicate()

    def test_kill_and_boot(self):
        client = self.sleeper("b1", "987003")
        self.lab.kill("b1")
        self.assertEqual(client.wait(20), 255, "as when ssh loses its host")
        self.assertFalse(asleep("987003"))
        self.assertFalse(self.answers("b1"))
        self.assertEqual(self.lab.host("b1")["state"], "dead")
        self.assert_refused(lockstep_lab("exec", "--lab", self.lab.name, "b1", "--", "true"), code=5, says="it is dead")
        self.assert_refused(lockstep_lab("kill", "--lab", self.lab.name, "b1"), says="dead already")
        before = self.lab.host("b1")["address"]
        self.lab.heal("b1")
        self.assertEqual(self.lab.host("b1")["address"], before)
        self.assertTrue(self.answers("b1"), "at once: its neighbours know its hardware address")
        self.assertEqual(self.lab.run("b1", "hostname").stdout, "b1\n")

    def test_kill_and_boot_again_and_again(self):
        self.assertTrue(self.answers("a2"))
        for _ in range(8):
            self.lab.kill("a2")
            self.lab.heal("a2")
        wait_until(lambda: self.answers("a2"), "it answers")
        self.lab.freeze("a2")
        self.lab.kill("a2")
        self.lab.heal()
        wait_until(lambda: self.answers("a2"), "it answers")

    def test_a_killed_host_says_no_farewell(self):
        server = self.lab.start("b1", sys.executable, "-c", SERVER, text=True)
        self.assertEqual(server.stdout.readline(), "ready\n")
        client = self.lab.start("a1", sys.executable, "-c", CLIENT, text=True, stdin=subprocess.PIPE)
        self.assertEqual(client.stdout.readline(), "connected\n")
        self.lab.kill("b1")
        said, complaint = client.communicate("\n", timeout=30)
        self.assertEqual(said, "silence\n", complaint)
        server.communicate(timeout=20)


if __name__ == "__main__":
    lab_fixture.main()

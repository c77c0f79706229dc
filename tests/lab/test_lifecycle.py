#!/usr/bin/env python3
"""Labs coming up and going down, in order and not; who may have one.

Usage: test_lifecycle.py LOCKSTEP
"""
import glob
import json
import os
import pwd
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

import lab_fixture
from lab_fixture import Lab, LabTest, TWO_SITES, lockstep_lab, wait_until

THREE_SITES = "name = \"three\"\n" + "".join(
    f"[[site]]\nname = \"{site}\"\nhosts = [\"{site}[1-4]\"]\n" for site in "abc") + "".join(
    f"[[link]]\nbetween = [\"{a}\", \"{b}\"]\nrtt = \"10ms\"\nrate = \"500Mb/s\"\n" for a, b in ("ab", "bc", "ac"))


def stat_of(pid):
    """State, parent and start time of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return {"state": fields[0], "parent": int(fields[1]), "began": fields[19]}


def family_of(pid):
    """The process and all its descendants, each with its start time."""
    everybody = {int(path.split("/")[2]): stat_of(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/stat")}
    found = {pid}
    while True:
        more = {p for p, s in everybody.items() if s and s["parent"] in found} - found
        if not more:
            return {p: everybody[p]["began"] for p in found if everybody.get(p)}
        found |= more


def is_there(pid, began):
    now = stat_of(pid)
    return now is not None and now["began"] == began and now["state"] not in "ZX"


def network_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def networks_known_to_lsns():
    said = subprocess.run(["lsns", "-t", "net", "-n", "-o", "NS"], capture_output=True, text=True, check=False).stdout
    return {f"net:[{number}]" for number in said.split()}


class Lifecycle(LabTest):
    def assert_nothing_left(self, family, networks):
        wait_until(lambda: not [p for p, began in family.items() if is_there(p, began)], "its processes are gone")
        self.assertFalse(networks & networks_known_to_lsns())

    def family_and_networks(self, lab):
        family = family_of(lab.state()["pid"])
        networks = {network_of(pid) for pid in family} - {None, network_of("self")}
        self.assertGreaterEqual(len(networks), len(lab.state()["hosts"]) + 2, "a network for each host and router")
        self.assertTrue(networks <= networks_known_to_lsns())
        return family, networks

    def test_twelve_hosts_come_up_and_go_down_quickly(self):
        ups, downs = [], []

        def measure():
            begin = time.monotonic()
            lab = Lab("t-twelve", THREE_SITES)
            ups.append(time.monotonic() - begin)
            family, networks = self.family_and_networks(lab)
            self.assertEqual(len(lab.state()["hosts"]), 12)
            lab.run("a4", "ping", "-c", "1", "-W", "2", "c4")
            begin = time.monotonic()
            lab.down()
            downs.append(time.monotonic() - begin)
            self.assert_nothing_left(family, networks)
            return ups[-1], downs[-1]

        def judge(times):
            self.assertLessEqual(times[0], 5.0, "up")
            self.assertLessEqual(times[1], 2.0, "down")

        up_s, down_s = self.measured(measure, judge)
        print(f"12 hosts in 3 sites: up in {up_s:.2f} s, down in {down_s:.2f} s")

    def test_a_name_is_taken_once(self):
        lab = Lab("t-once")
        pid = lab.state()["pid"]
        self.assert_refused(lockstep_lab("up", lab.spec, "--name", "t-once"), says="is up already")
        self.assertEqual(lab.state()["pid"], pid)
        lab.run("a1", "true")

    def test_of_two_at_once_one_comes_up(self):
        spec = Lab("t-race").spec
        lockstep_lab("down", "--lab", "t-race", check=True)
        both = [subprocess.Popen([lab_fixture.LOCKSTEP, "lab", "up", spec, "--name", "t-race"],
                                 env=lab_fixture.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for _ in range(2)]
        self.assertEqual(sorted(one.wait(60) for one in both), [0, 2])
        done = lockstep_lab("exec", "--lab", "t-race", "a1", "--", "ping", "-c", "1", "-W", "2", "b1")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_two_labs_do_not_see_each_other(self):
        one, two = Lab("t-one"), Lab("t-two")
        sleeper = one.start("b1", "sleep", "1000")
        self.addCleanup(sleeper.communicate)
        self.addCleanup(sleeper.kill)
        wait_until(lambda: one.host("b1")["processes"] == 1, "it runs")
        self.assertEqual(two.host("b1")["processes"], 0)
        self.assertNotIn("sleep", two.run("b1", "ps", "-e", "-o", "args").stdout)
        one.run("a1", "ping", "-c", "1", "-W", "2", "b1")
        one.kill("b1")
        self.assertEqual(one.run("a1", "ping", "-c", "1", "-W", "1", "b1", check=False).returncode, 1)
        two.run("a1", "ping", "-c", "1", "-W", "2", "b1")
        one.run("a1", "sh", "-c", "echo one > /tmp/note")
        self.assertNotEqual(two.run("a1", "cat", "/tmp/note", check=False).returncode, 0)
        self.assertNotEqual(one.run("a2", "cat", "/tmp/note", check=False).returncode, 0, "nor two hosts of one lab")
        one.down()
        two.run("a1", "ping", "-c", "1", "-W", "2", "b1")

    def test_nothing_outlives_a_killed_lab(self):
        lab = Lab("t-killed")
        sleeper = lab.start("b1", "sh", "-c", "sleep 1000 & sleep 1000")
        wait_until(lambda: lab.host("b1")["processes"] == 3, "it runs")
        family, networks = self.family_and_networks(lab)
        os.kill(lab.state()["pid"], signal.SIGKILL)
        self.assert_nothing_left(family, networks)
        self.assertEqual(sleeper.wait(20), 255)
        sleeper.communicate()
        self.assertIn("t-killed (dead", lockstep_lab("list").stdout)
        self.assert_refused(lockstep_lab("status", "--lab", "t-killed"), says="its process has died")
        lockstep_lab("down", "--lab", "t-killed", check=True)
        self.assertEqual(lockstep_lab("list").stdout, "")
        again = Lab("t-killed")
        os.kill(again.state()["pid"], signal.SIGKILL)
        wait_until(lambda: "dead" in lockstep_lab("list").stdout, "it is dead")
        Lab("t-killed").run("a1", "ping", "-c", "1", "-W", "2", "b1")  # without a `down` between them

    def test_a_lab_holds_nothing_of_whom_it_was_started_by(self):
        reader, writer = os.pipe()
        lab = Lab("t-detached")
        lab.down()
        folder = tempfile.mkdtemp()
        subprocess.run([lab_fixture.LOCKSTEP, "lab", "up", os.path.abspath(lab.spec), "--name", "t-detached"],
                       env=lab_fixture.environment(), pass_fds=[writer], check=True, cwd=folder,
                       stdout=subprocess.DEVNULL, stdin=None)
        os.close(writer)
        self.assertTrue(select.select([reader], [], [], 20)[0], "the pipe is still held")
        self.assertEqual(os.read(reader, 1), b"")
        os.close(reader)
        self.assertEqual(os.readlink(f"/proc/{lab.state()['pid']}/cwd"), "/")
        os.rmdir(folder)

    def test_up_without_standard_streams(self):
        lab = Lab("t-streams")
        lab.down()
        done = subprocess.run(["/bin/sh", "-c", f"'{lab_fixture.LOCKSTEP}' lab up '{lab.spec}' <&- >&- 2>&-"],
                              env=lab_fixture.environment(), timeout=60, check=False)
        self.assertEqual(done.returncode, 0)
        lockstep_lab("exec", "a1", "--", "ping", "-c", "1", "-W", "2", "b1", check=True)

    def test_a_silent_client_holds_up_nobody(self):
        lab = Lab("t-silent")
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(os.path.join(lab.state()["folder"], "control.sock"))
            lockstep_lab("status", "--lab", "t-silent", check=True, timeout=4)  # less than its patience
        with socket.socket(socket.AF_UNIX) as babbler:
            babbler.connect(os.path.join(lab.state()["folder"], "control.sock"))
            babbler.sendall(b"\x05\x00\x00\x00hello, is there anybody")
        lab.run("a1", "true")

    def test_names_lead_to_no_other_folder(self):
        precious = os.path.join(lab_fixture.FOLDER, "..", "precious")
        os.makedirs(precious, exist_ok=True)
        spec = Lab("t-names").spec
        for name in ("../precious", "..", ".", "", "a/b", "-x"):
            with self.subTest(name=name):
                if name:
                    self.assertEqual(lockstep_lab("down", f"--lab={name}").returncode, 2)
                    self.assertEqual(lockstep_lab("up", spec, f"--name={name}").returncode, 2)
        self.assertTrue(os.path.isdir(precious))
        self.assertEqual(lockstep_lab("list").stdout, "t-names\n")

    def test_folders_are_shared_when_asked(self):
        with tempfile.TemporaryDirectory(prefix="lab-share-") as folder:
            with open(os.path.join(folder, "note"), "w", encoding="utf-8") as file:
                file.write("from outside")
            lab = Lab("t-share", options=["--share", folder])
            self.assertEqual(lab.run("a1", "cat", f"{folder}/note").stdout, "from outside")
            lab.run("b1", "sh", "-c", f"echo back > {folder}/answer")
            self.assertTrue(os.path.exists(os.path.join(folder, "answer")))
            lab.down()
            self.assert_refused(lockstep_lab("up", lab.spec, "--name", "t-share", "--share", folder + "/nowhere"),
                                says="no such folder")

    def test_bad_input_is_one_line_and_exit_code_2(self):
        lab = Lab("t-input")
        name = ["--lab", "t-input"]
        for words, says in (
                (["exec", *name, "c1", "--", "true"], "no host \"c1\""),
                (["exec", *name, "a1"], "a program is missing"),
                (["kill", *name, "c1"], "no host"),
                (["freeze", *name, "zz"], "there are a1, a2, b1"),
                (["heal", *name, "c"], "no host"),
                (["cut", *name, "a", "c"], "no site \"c\""),
                (["cut", *name, "a", "a"], "one site"),
                (["cut", *name, "a"], "two sites"),
                (["cut", *name, "a", "b", "for", "0"], "nothing would change"),
                (["cut", *name, "a", "b", "for", "5"], "no time"),
                (["link", *name, "a", "b"], "a setting"),
                (["link", *name, "a", "b", "rtt"], "write rtt=VALUE"),
                (["link", *name, "a", "b", "los=1%"], "did you mean \"loss\""),
                (["link", *name, "a", "b", "loss=200%"], "no share"),
                (["link", *name, "a", "b", "queue=1M"], "give a rate too"),
                (["status", "--lab", "t-nobody"], "no lab \"t-nobody\" is up"),
                (["down", "--lab", "t-nobody"], "no lab \"t-nobody\" is up"),
                (["up", "/nowhere.toml"], "/nowhere.toml")):
            with self.subTest(words=words):
                self.assert_refused(lockstep_lab(*words), says=says)
        self.assertEqual(lab.link_state("a", "b")["settings"], "rtt=0")


@unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
class Unprivileged(LabTest):
    """As a user without any privilege, who has user namespaces at most."""

    def setUp(self):
        super().setUp()
        self.home = tempfile.mkdtemp(prefix="lab-nobody-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.program = shutil.copy(lab_fixture.LOCKSTEP, self.home)
        self.spec = os.path.join(self.home, "pair.toml")
        with open(self.spec, "w", encoding="utf-8") as file:
            file.write(TWO_SITES)
        os.chmod(self.home, 0o755)
        os.chmod(self.spec, 0o644)
        self.labs = os.path.join(self.home, "labs")
        os.mkdir(self.labs, 0o700)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.labs, nobody.pw_uid, nobody.pw_gid)
        mode = stat.S_IMODE(os.stat("/dev/net/tun").st_mode)
        self.addCleanup(os.chmod, "/dev/net/tun", mode)

    def as_nobody(self, words):
        return subprocess.run(
            ["su", "-s", "/bin/sh", "nobody", "-c", f"cd /; LOCKSTEP_LABS={self.labs} {self.program} lab {words}"],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
            env={key: value for key, value in lab_fixture.environment().items() if key != "XDG_RUNTIME_DIR"})

    def test_what_is_missing_is_said(self):
        os.chmod("/dev/net/tun", 0o600)
        for words in ("check", f"up {self.spec}"):
            with self.subTest(words=words):
                done = self.as_nobody(words)
                self.assertEqual(done.returncode, 5, done.stderr)
                self.assertIn("/dev/net/tun", done.stderr)
                self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def test_a_lab_of_ones_own(self):
        os.chmod("/dev/net/tun", 0o666)
        check = self.as_nobody("check")
        if check.returncode != 0:
            self.skipTest(f"no unprivileged lab can be made here: {check.stderr.strip()}")
        try:
            done = self.as_nobody(f"up {self.spec}")
            self.assertEqual(done.returncode, 0, done.stderr)
            pid = json.loads(self.as_nobody("status --json").stdout)["pid"]
            self.assertEqual(os.stat(f"/proc/{pid}").st_uid, pwd.getpwnam("nobody").pw_uid)
            self.assertEqual(self.as_nobody("link a b rtt=30ms").returncode, 0)
            done = self.as_nobody("exec a1 -- ping -c 2 -W 2 b1")
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
            self.assertIn("2 received", done.stdout)
            self.assertEqual(self.as_nobody("exec a1 -- sh -c 'hostname; exit 3'").returncode, 3)
            self.assertEqual(self.as_nobody("kill b1").returncode, 0)
            self.assertEqual(self.as_nobody("heal").returncode, 0)
            self.assertEqual(self.as_nobody("exec a1 -- ping -c 1 -W 2 b1").returncode, 0)
        finally:
            done = self.as_nobody("down")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(self.labs), [])


if __name__ == "__main__":
    lab_fixture.main()

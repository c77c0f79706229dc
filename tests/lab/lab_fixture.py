"""What the tests of labs share: labs that are taken down whatever happens, and a stream of stamped packets.

All labs of a test run live in a folder of their own (LOCKSTEP_LABS), so other labs of this machine are neither seen nor
touched. Without the means to make a lab, main() says why and exits with 77, which ctest counts as skipped.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

LOCKSTEP = ""
# As text: hosts need not see this folder.
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "udp_stream.py"), encoding="utf-8") as source:
    STREAM = source.read()
SKIPPED = 77

TWO_SITES = """
name = "pair"
[[site]]
name = "a"
hosts = ["a[1-2]"]
[[site]]
name = "b"
hosts = ["b1"]
[[link]]
between = ["a", "b"]
"""


def environment():
    # Programs that lead out of the lab are not to be found by accident: no LOCKSTEP_LAB of a caller.
    kept = {key: value for key, value in os.environ.items() if key != "LOCKSTEP_LAB"}
    return dict(kept, LOCKSTEP_LABS=FOLDER, NO_COLOR="1")


FOLDER = ""


def lockstep_lab(*arguments, check=False, timeout=60, **options):
    """Runs `lockstep lab ARGUMENTS`; with `check`, it must succeed."""
    done = subprocess.run([LOCKSTEP, "lab", *arguments], capture_output=True, text=True, timeout=timeout,
                          env=environment(), check=False, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"lab {' '.join(arguments)}: {done.returncode}: {done.stderr}")
    return done


def wait_until(condition, what, timeout_s=20.0):
    """Polls; the time limit only ends a test that hangs."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.01)


class Lab:
    """A lab that is up; `lab link`, `lab cut` and the like are its methods."""

    def __init__(self, name, spec=TWO_SITES, options=()):
        self.name = name
        self.spec = os.path.join(FOLDER, "..", "specs", f"{name}.toml")
        os.makedirs(os.path.dirname(self.spec), exist_ok=True)
        with open(self.spec, "w", encoding="utf-8") as file:
            file.write(spec)
        lockstep_lab("up", self.spec, "--name", name, *options, check=True)

    def __getattr__(self, command):
        return lambda *words: lockstep_lab(command, "--lab", self.name, *words, check=True)

    def run(self, host, *argv, check=True, timeout=60):
        done = lockstep_lab("exec", "--lab", self.name, host, "--", *argv, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{host}: {' '.join(argv)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, host, *argv, **options):
        """A program in the background; its Popen is the client's."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen([LOCKSTEP, "lab", "exec", "--lab", self.name, host, "--", *argv],
                                env=environment(), **options)

    def state(self):
        return json.loads(self.status("--json").stdout)

    def host(self, name):
        return next(host for host in self.state()["hosts"] if host["name"] == name)

    def link_state(self, a, b):
        return next(link for link in self.state()["links"] if (link["from"], link["to"]) == (a, b))

    def counters(self, a, b):
        return self.link_state(a, b)["counters"]

    def kernel_drops(self):
        """Packets that this machine itself lost."""
        return self.state()["relay"]["kernel_dropped"]

    def events(self):
        with open(os.path.join(self.state()["folder"], "events.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def stream(self, count, gap_us, payload=32, source="a1", target="b1", address="10.2.0.1", meanwhile=None):
        """Sends `count` stamped packets; what arrived, in order of arrival. `meanwhile` runs during it."""
        receiver = self.start(target, sys.executable, "-c", STREAM, "receive", "5000", str(count), text=True)
        try:
            assert receiver.stdout.readline() == "ready\n", receiver.stderr.read()
            sender = self.start(source, sys.executable, "-c", STREAM, "send", address, "5000", str(count), str(gap_us),
                                str(payload), text=True)
            if meanwhile is not None:
                meanwhile()
            said, complaint = sender.communicate(timeout=120)
            assert sender.returncode == 0, complaint
            got, complaint = receiver.communicate(timeout=120)
            assert receiver.returncode == 0, complaint
        finally:
            receiver.kill()
        return Stream(json.loads(said)["sent_ns"], json.loads(got))


class Stream:
    """Packets by their number: when they were sent, and which arrived when (one clock for all hosts)."""

    def __init__(self, sent_ns, received):
        self.sent_ns = sent_ns
        self.order = received["number"]
        self.received_ns = received["received_ns"]
        self.overflows = received["overflows"]

    def arrived(self):
        return set(self.order)

    def delays_ms(self):
        return [(at - self.sent_ns[number]) / 1e6 for number, at in zip(self.order, self.received_ns)]

    def gaps(self):
        """Runs of missing packets, as (first, count)."""
        there = self.arrived()
        runs = []
        for number in range(len(self.sent_ns)):
            if number in there:
                continue
            if runs and runs[-1][0] + runs[-1][1] == number:
                runs[-1][1] += 1
            else:
                runs.append([number, 1])
        return [tuple(run) for run in runs]

    def outages_ms(self, least_ms):
        """How long nothing that was sent arrived: between the last packet before and the first one after."""
        lengths = []
        for first, count in self.gaps():
            if 0 < first and first + count < len(self.sent_ns):
                length_ms = (self.sent_ns[first + count] - self.sent_ns[first - 1]) / 1e6
                if length_ms >= least_ms:
                    lengths.append(length_ms)
        return lengths


class LabTest(unittest.TestCase):
    """Takes down every lab that a test brought up and left."""

    def setUp(self):
        self.addCleanup(take_down_all)

    def assert_refused(self, done, code=2, says=""):
        """One line that tells what is wrong."""
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("lockstep: error: "), done.stderr)
        self.assertIn(says, done.stderr)

    def measured(self, measure, judge, attempts=3):
        """`judge(measure())` must hold; taken again when not, since a machine that does other work for a while spoils
        a measurement of milliseconds without the lab being wrong. What is always wrong is wrong three times."""
        for attempt in range(attempts):
            try:
                value = measure()
                judge(value)
                return value
            except AssertionError as error:
                if attempt + 1 == attempts:
                    raise
                print(f"measured again: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
        return None


def take_down_all():
    for line in lockstep_lab("list").stdout.splitlines():
        lockstep_lab("down", "--lab", line.split()[0])


def main():
    global LOCKSTEP, FOLDER
    LOCKSTEP = os.path.abspath(sys.argv.pop(1))
    top = tempfile.mkdtemp(prefix="lab-")
    FOLDER = os.path.join(top, "labs")
    os.mkdir(FOLDER, 0o700)
    try:
        check = lockstep_lab("check")
        if check.returncode != 0:
            print(f"skipped: no lab can be made here: {check.stderr.strip()}")
            sys.exit(SKIPPED)
        missing = [tool for tool in ("ping", "iperf3", "lsns") if shutil.which(tool) is None]
        if missing:
            print(f"skipped: {', '.join(missing)} missing; scripts/setup installs what is needed")
            sys.exit(SKIPPED)
        unittest.main(module="__main__", verbosity=2)
    finally:
        take_down_all()
        shutil.rmtree(top, ignore_errors=True)

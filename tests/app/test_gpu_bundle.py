#!/usr/bin/env python3
"""The bundle of scripts/gpu-check: packed from a build, and run in a root that has nothing but what any Linux has.

Usage: test_gpu_bundle.py BUILD_FOLDER SOURCE_FOLDER [UNITTEST_ARGUMENTS...]
"""
import glob
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

BUILD = SOURCE = ""
MOST_BYTES = 60 * 1024 * 1024
NOT_OURS = re.compile(r"^(ld-linux|libc\.so|libm\.so|libpthread|libdl\.so|librt\.so|libcuda|libcublas|libnccl|libnvrtc|libnvidia)")
# What a machine has that has nothing: a shell, small tools, the C library. No Python, no Open MPI, no C++ library.
TOOLS = """bash sh env cat date mkdir rm mv timeout tail head sort dirname basename tr wc uname mktemp sleep cut nproc sed grep awk
mawk getconf ls ldd tar chmod true false id""".split()

# The products of a card that gets faster from call to call.
FAKE_BENCH = """#!/usr/bin/env bash
[ "$1 $LD_LIBRARY_PATH" = "--products /of/bundle" ] || exit 9
[ -e "$0.again" ] && rate=2.1 || rate=1.5
: >"$0.again"
echo '{"figure":"product","name":"cube","m":1000,"n":1000,"k":1000,"dtype":"bf16","median_s":1,"tflops":'$rate'}'
echo '{"figure":"product","name":"70B qkv","m":8192,"n":10240,"k":8192,"dtype":"e4m3","median_s":1,"tflops":3}'
"""
# Every product takes 1 ms, the first of a row ten times as long, and 8-bit ones are refused.
FAKE_TORCH = """
__version__, bfloat16, float8_e4m3fn = "2.9", 0, 1
class Matrix:
    def t(self): return self
    def to(self, _): return self
def randn(*_, **__): return Matrix()
def tensor(*_, **__): return Matrix()
class cuda:
    now = calls = 0
    def synchronize(): cuda.calls = 0
    def empty_cache(): pass
    class Event:
        def __init__(self, **_): pass
        def record(self): self.at = cuda.now
        def elapsed_time(self, end): return end.at - self.at
def matmul(a, b):
    cuda.now += 1 if cuda.calls else 10
    cuda.calls += 1
def _scaled_mm(*_, **__): raise RuntimeError("not on this card\\nat all")
"""


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def namespaces():
    """Beginning of a command that runs in namespaces of its own; None where that is forbidden."""
    for prefix in (["unshare", "--mount", "--pid", "--fork", "--kill-child"],
                   ["unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]):
        if run(prefix + ["mount", "-t", "tmpfs", "none", "/mnt"]).returncode == 0:
            return prefix
    return None


def needed_libraries(program):
    return re.findall(r"(?:=> )?(/\S+) \(0x", run(["ldd", program]).stdout)


def make_empty_root(root):
    for folder in ("bin", "lib64", "lib/x86_64-linux-gnu", "proc", "sys", "dev", "tmp", "out"):
        os.makedirs(os.path.join(root, folder))
    os.symlink("../bin", os.path.join(root, "lib/bin"))
    os.mkdir(os.path.join(root, "usr"))
    os.symlink("../bin", os.path.join(root, "usr/bin"))
    libraries = set()
    for tool in TOOLS:
        path = shutil.which(tool)
        if not path:
            continue
        shutil.copy(path, os.path.join(root, "bin", tool))
        libraries.update(needed_libraries(path))
    # The C library whole: its parts are loaded by programs of the bundle too.
    for pattern in ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1"):
        libraries.update(glob.glob(f"/lib/x86_64-linux-gnu/{pattern}"))
    for library in libraries:
        folder = "lib64" if "ld-linux" in library else "lib/x86_64-linux-gnu"
        shutil.copy(library, os.path.join(root, folder, os.path.basename(library)))


class GpuBundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="lockstep-bundle-")
        cls.folder = cls.temporary.name
        cls.bundle = os.path.join(cls.folder, "bundle.tar.zst")
        packed = run([os.path.join(SOURCE, "scripts/gpu-check"), "pack", "--build", BUILD, cls.bundle])
        assert packed.returncode == 0, packed.stdout + packed.stderr
        cls.packed = packed.stdout
        cls.root = os.path.join(cls.folder, "root")
        make_empty_root(cls.root)
        done = run(["tar", "-C", cls.root, "-xf", cls.bundle])
        assert done.returncode == 0, done.stderr
        cls.top = os.path.join(cls.root, "lockstep-gpu-check")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def in_root(self, *arguments, environment=None):
        """run.sh in the empty root; its exit code, its output, and the result file."""
        prefix = namespaces()
        script = ('set -e; root=$1; shift; mount -t proc none "$root/proc"; mount --rbind /dev "$root/dev"; '
                  'mount --rbind /sys "$root/sys"; exec chroot "$root" /bin/env -i PATH=/bin HOME=/tmp "$@"')
        done = run([*prefix, "bash", "-c", script, "bash", self.root, *(environment or []), "/lockstep-gpu-check/run.sh",
                    "--logs", "/out/logs", *arguments, "/out/result.json"], timeout=500)
        path = os.path.join(self.root, "out/result.json")
        result = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                result = json.load(file)
        return done, result

    def test_packed_small_and_whole(self):
        self.assertLess(os.path.getsize(self.bundle), MOST_BYTES)
        names = os.listdir(os.path.join(self.top, "lib"))
        self.assertEqual([name for name in names if NOT_OURS.match(name)], [], "belongs to the machine")
        for library in ("libmpi.so.40", "libhdf5_serial.so.103", "libhwloc.so.15", "libpmix.so.2", "libstdc++.so.6"):
            self.assertIn(library, names)
        for program in ("lockstep", "lockstep-rank", "mpirun", "orted", "gpu_facts", "test_cuda_device"):
            mode = os.stat(os.path.join(self.top, "bin", program)).st_mode
            self.assertTrue(mode & stat.S_IXUSR, program)
        self.assertRegex(self.packed, r"needs glibc 2\.\d\d")

    def test_every_check_has_its_program(self):
        with open(os.path.join(self.top, "checks.txt"), encoding="utf-8") as file:
            lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
        wanted = {"cuda_device", "cuda_backend", "driver", "nvml", "nccl_2_ranks", "nccl_4_ranks", "products", "pytorch",
                  "overheads", "nccl_busbw", "gpu_certify"}
        self.assertLessEqual(wanted, {line[0] for line in lines})
        for name, kind, needs, ranks, seconds, command, *_ in lines:
            self.assertIn(kind, ("test", "run"), name)
            self.assertIn(needs, ("gpu", "none"), name)
            self.assertGreater(int(ranks), 0)
            self.assertGreater(int(seconds), 0)
            place = "steps" if command.endswith(".sh") else "bin"
            self.assertTrue(os.access(os.path.join(self.top, place, command), os.X_OK), name)

    def test_runs_in_an_empty_root(self):
        if namespaces() is None:
            self.skipTest("no namespaces")
        done, result = self.in_root()
        report = done.stdout + done.stderr + json.dumps(result, indent=1)
        self.assertEqual(done.returncode, 0, report)
        self.assertTrue(result["complete"])
        self.assertEqual(result["failed"], 0, report)
        checks = {check["name"]: check for check in result["checks"]}
        # Nothing of CUDA is in that root, nor /dev's devices of a card on the machines that run this.
        if not os.path.exists("/dev/nvidiactl"):
            reason = result["gpu_part"].removeprefix("skipped: ")
            self.assertIn(reason, ("no driver", "this build of Lockstep has no CUDA"))
            for name in ("cuda_device", "gpu_certify"):
                self.assertEqual((checks[name]["result"], checks[name]["reason"]), ("skipped", reason))
            self.assertIsNone(result["libraries"]["libcuda.so.1"])
        for name in ("doctor", "paced_pair", "paced_certify"):
            self.assertEqual(checks[name]["result"], "passed", report)
        self.assertIn("EQUAL", checks["paced_certify"]["log"])
        figure = next(figure for figure in result["figures"] if figure["name"] == "smoke.eta")
        self.assertGreater(figure["value"], 0.0)
        self.assertEqual(result["bundle"]["glibc_needed"].split(".")[0], "2")
        self.assertNotEqual(result["machine"]["glibc"], "")

    def with_checks(self, lines, files=None):
        """The bundle with other checks, in this root: (exit code, output, results by name, whole result)."""
        path = os.path.join(self.top, "checks.txt")
        with open(path, encoding="utf-8") as file:
            before = file.read()
        made = []
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write("".join(line + "\n" for line in lines))
            for name, text in (files or {}).items():
                made.append(os.path.join(self.top, "steps", name))
                with open(made[-1], "w", encoding="utf-8") as file:
                    file.write("#!/usr/bin/env bash\n" + text)
                os.chmod(made[-1], 0o755)
            out = os.path.join(self.folder, "with.json")
            done = run([os.path.join(self.top, "run.sh"), out], timeout=120)
            with open(out, encoding="utf-8") as file:
                result = json.load(file)
            return done, {check["name"]: check for check in result["checks"]}, result
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(before)
            for name in made:
                os.remove(name)

    def test_goes_on_when_a_check_fails_or_hangs(self):
        done, checks, result = self.with_checks(
            ["fails run none 1 20 fails.sh", "hangs run none 1 1 hangs.sh", "skips run none 1 20 skips.sh",
             "lost run none 1 20 no_such_program", "works run none 1 20 works.sh a b"],
            {"fails.sh": 'printf "a \\"quoted\\" \\\\\\\\ line\\twith \\x01\\xff bytes\\n"; exit 9\n', "hangs.sh": "sleep 60\n",
             "skips.sh": "echo no such card; exit 77\n",
             "works.sh": '[ "$1 $2" = "a b" ] || exit 1\necho "figure some.rate 12.5e3 GFLOP/s of two"\n'
                         'echo "figure bad.rate twelve GFLOP/s"\n'
                         """echo '{"figure":"product","m":8192,"rate":1.5e12,"why":"x, y"}'\n"""
                         """echo '{"figure":"product","rate":nan}'\necho '{"figure":"open","rate":[1'\n"""})
        self.assertEqual(done.returncode, 3)
        self.assertEqual((checks["fails"]["result"], checks["fails"]["reason"]), ("failed", "exit code 9"))
        self.assertIn('a "quoted"', checks["fails"]["log"])
        self.assertEqual((checks["hangs"]["result"], checks["hangs"]["reason"]), ("failed", "not done after 1 s"))
        self.assertEqual((checks["skips"]["result"], checks["skips"]["reason"]), ("skipped", "no such card"))
        self.assertEqual(checks["lost"]["result"], "failed")
        self.assertEqual(checks["works"]["result"], "passed")
        self.assertEqual((result["passed"], result["failed"], result["skipped"]), (1, 3, 1))
        self.assertEqual(result["figures"],
                         [{"check": "works", "figure": "product", "m": 8192, "rate": 1.5e12, "why": "x, y"},
                          {"check": "works", "name": "some.rate", "value": 12500.0, "unit": "GFLOP/s", "note": "of two"}])

    def test_names_the_libraries_that_a_program_lacks(self):
        program = os.path.join(self.top, "bin/lacking")
        with open(os.path.join(self.top, "bin/gpu_facts"), "rb") as file:
            image = file.read()
        self.assertIn(b"libstdc++.so.6\0", image)
        try:
            with open(program, "wb") as file:
                file.write(image.replace(b"libstdc++.so.6\0", b"libstdc++.so.X\0"))
            os.chmod(program, 0o755)
            done, checks, _ = self.with_checks(["lacks run none 1 20 lacking"])
        finally:
            os.remove(program)
        self.assertEqual(done.returncode, 3)
        self.assertEqual((checks["lacks"]["result"], checks["lacks"]["reason"]), ("failed", "this machine lacks libstdc++.so.X"))

    def test_counts_the_tests_of_a_test_program(self):
        program = ("echo '[==========] Running 4 tests'\n%s\nexit %d\n")
        done, checks, _ = self.with_checks(
            ["good test none 1 20 good.sh", "bad test none 1 20 bad.sh", "empty test none 1 20 empty.sh",
             "skipped test none 1 20 skipped.sh"],
            {"good.sh": program % ("echo '[  PASSED  ] 3 tests.'; echo '[  SKIPPED ] 1 test, listed below:'", 0),
             "bad.sh": program % ("echo '[  PASSED  ] 2 tests.'; echo '[  FAILED  ] 2 tests, listed below:'", 1),
             "empty.sh": program % ("echo '[  PASSED  ] 0 tests.'", 0),
             "skipped.sh": program % ("printf 'x.cpp:3: Skipped\\nno card\\n'; echo '[  PASSED  ] 0 tests.'; "
                                      "echo '[  SKIPPED ] 4 tests, listed below:'", 0)})
        self.assertEqual(done.returncode, 3)
        self.assertEqual((checks["good"]["result"], checks["good"]["tests_passed"], checks["good"]["tests_skipped"]),
                         ("passed", 3, 1))
        self.assertEqual((checks["bad"]["result"], checks["bad"]["tests_failed"]), ("failed", 2))
        self.assertEqual((checks["empty"]["result"], checks["empty"]["reason"]), ("failed", "no test ran"))
        self.assertEqual((checks["skipped"]["result"], checks["skipped"]["reason"]), ("skipped", "no card"))

    def test_finds_cudas_libraries_in_wheels(self):
        wheel = os.path.join(self.folder, "venv/lib/python3.11/site-packages/nvidia/nccl/lib")
        os.makedirs(wheel)
        with open(os.path.join(wheel, "libnccl.so.2"), "w", encoding="utf-8"):
            pass
        out = os.path.join(self.folder, "wheel.json")
        done = run([os.path.join(self.top, "run.sh"), "--only", "doctor", out],
                   env={"PATH": os.environ["PATH"], "VIRTUAL_ENV": os.path.join(self.folder, "venv")})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(out, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["libraries"]["libnccl.so.2"], os.path.join(wheel, "libnccl.so.2"))

    def test_pytorch_is_measured_beside(self):
        made = os.path.join(self.folder, "site")
        os.makedirs(made)
        bench = os.path.join(made, "bench_cuda")
        with open(bench, "w", encoding="utf-8") as file:
            file.write(FAKE_BENCH)
        os.chmod(bench, 0o755)
        environment = {"PATH": f"{made}:{os.environ['PATH']}", "BUNDLE": self.top, "LD_LIBRARY_PATH": "/of/bundle"}
        step = os.path.join(self.top, "steps/pytorch.sh")
        lacking = run([step], env=environment)
        self.assertEqual((lacking.returncode, lacking.stdout), (77, "no PyTorch here\n"))
        with open(os.path.join(made, "torch.py"), "w", encoding="utf-8") as file:
            file.write(FAKE_TORCH)
        done = run([step], env=dict(environment, PYTHONPATH=made))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        refused, figure = done.stdout.splitlines()
        self.assertEqual(refused, "PyTorch makes no product of 70B qkv in e4m3: not on this card")
        # 2 * 1000^3 FLOP in 1 ms are 2 TFLOP/s; Lockstep's were 1.5 before and 2.1 after.
        self.assertEqual(json.loads(figure),
                         {"figure": "beside_pytorch", "name": "cube", "m": 1000, "n": 1000, "k": 1000, "dtype": "bf16",
                          "lockstep_tflops": 1.8, "pytorch_tflops": 2.0, "ratio": 0.9, "pytorch": "2.9"})

    def test_refuses_a_c_library_that_is_too_old(self):
        path = os.path.join(self.top, "bundle.env")
        with open(path, encoding="utf-8") as file:
            before = file.read()
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(re.sub(r"glibc_needed=.*", "glibc_needed=2.999", before))
            out = os.path.join(self.folder, "old.json")
            done = run([os.path.join(self.top, "run.sh"), out])
            with open(out, encoding="utf-8") as file:
                result = json.load(file)
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(before)
        self.assertEqual(done.returncode, 0, "skipped is not failed")
        self.assertEqual({check["result"] for check in result["checks"]}, {"skipped"})
        self.assertIn("need glibc 2.999", result["checks"][0]["reason"])

    def test_bad_usage(self):
        for arguments in (["--only"], ["--only", "nothing"], ["a", "b"], ["--what"], ["/no/such/folder/x.json"]):
            self.assertEqual(run([os.path.join(self.top, "run.sh"), *arguments]).returncode, 2, arguments)
        script = os.path.join(SOURCE, "scripts/gpu-check")
        for arguments in (["pack"], ["pack", "x.zip"], ["--what"], ["a", "b"], ["pack", "--build"]):
            self.assertEqual(run([script, *arguments]).returncode, 2, arguments)
        lacking = run([script, "pack", "--build", self.folder, os.path.join(self.folder, "x.tar.gz")])
        self.assertEqual(lacking.returncode, 5)
        self.assertIn("has no program 'lockstep'", lacking.stderr)


if __name__ == "__main__":
    BUILD, SOURCE = (os.path.abspath(path) for path in sys.argv[1:3])
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)

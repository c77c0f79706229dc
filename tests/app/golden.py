#!/usr/bin/env python3
"""Runs `lockstep` and compares what it prints, and its exit code, with the files in golden/.

golden.py LOCKSTEP MAKE_SYNTHETIC_RUN [--regenerate]
"""

import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDEN = HERE / "golden"
PLANS = "tests/app/plans"

# name -> arguments. Words in <> are replaced by what setup() made. Everything runs in the repository's root.
CASES = {
    # help
    "help": ["--help"],
    "help-check": ["check", "--help"],
    "help-certify": ["certify", "--help"],
    "help-doctor": ["doctor", "--help"],
    "help-verify": ["verify", "--help"],
    "help-show": ["show", "--help"],
    "help-resume": ["resume", "--help"],
    "help-collect": ["collect", "--help"],
    "help-recover": ["recover", "--help"],
    "version": ["--version"],
    # a command line that cannot be understood
    "no-subcommand": [],
    "unknown-subcommand": ["certfy", "configs/smoke.toml"],
    "unknown-subcommand-far": ["frobnicate"],
    "unknown-option": ["check", "configs/smoke.toml", "--jsn"],
    "unknown-argument": ["show", "one", "two"],
    "missing-argument": ["certify"],
    "bad-number": ["show", "run.h5", "--leg", "two"],
    "bad-rate": ["check", "configs/smoke.toml", "--gemm-gflops", "-3"],
    # plans that cannot be used
    "plan-missing": ["check", "no-such-plan.toml"],
    "plan-malformed": ["check", f"{PLANS}/malformed.toml"],
    "plan-unknown-key": ["check", f"{PLANS}/unknown-key.toml"],
    "plan-bad-set": ["check", "configs/smoke.toml", "--set", "run.stepps=50"],
    "plan-networks-without-hostfile": ["check", f"{PLANS}/networks.toml"],
    "hostfile-missing": ["check", f"{PLANS}/by-host.toml", "--hostfile", "no-such-hostfile"],
    "hostfile-malformed": ["check", f"{PLANS}/by-host.toml", "--hostfile", "<hosts-malformed>"],
    "hostfile-without-site": ["check", f"{PLANS}/by-host.toml", "--hostfile", "<hosts-only-a>"],
    # what would be launched
    "check-smoke": ["check", "configs/smoke.toml"],
    "check-smoke-json": ["check", "configs/smoke.toml", "--json"],
    "check-two-sites": ["check", "configs/two-sites.toml"],
    "check-cpu-two-sites": ["check", "configs/cpu-two-sites.toml", "--gemm-gflops", "100"],
    "check-by-host": ["check", f"{PLANS}/by-host.toml", "--gemm-gflops", "100"],
    "check-hostfile": ["check", f"{PLANS}/by-host.toml", "--gemm-gflops", "100", "--hostfile", "<hosts-good>"],
    # certify that cannot begin
    "certify-plan-missing": ["certify", "no-such-plan.toml"],
    "certify-unwritable": ["certify", "configs/smoke.toml", "--out", "/proc/none", "--rank-program", "/bin/true"],
    "certify-no-launcher": ["certify", "configs/smoke.toml", "--launcher", "no-such-mpirun"],
    "certify-bad-time-limit": ["certify", "configs/smoke.toml", "--time-limit", "soon"],
    "certify-no-rank-program": ["certify", "configs/smoke.toml", "--rank-program", "/no/such/rank"],
    "certify-drills-not-allowed": ["certify", f"{PLANS}/drilled.toml"],
    "certify-drill-needs-a-lab": ["certify", "configs/drills.toml", "--allow-drills"],
    # what cannot be taken up again
    "resume-missing": ["resume", "no-such-folder"],
    "collect-missing": ["collect", "no-such-folder"],
    "recover-missing": ["recover", "no-such-run.h5"],
    "recover-text-file": ["recover", "<text-file>"],
    "recover-whole": ["recover", "<run>"],
    # preflights that cannot begin
    "doctor-plan-missing": ["doctor", "no-such-plan.toml"],
    "doctor-bad-seconds": ["doctor", "configs/smoke.toml", "--seconds", "0"],
    "doctor-no-launcher": ["doctor", "configs/smoke.toml", "--launcher", "no-such-mpirun"],
    "doctor-networks-without-hostfile": ["doctor", f"{PLANS}/networks.toml", "--launcher", "/bin/true", "--rank-program", "/bin/true"],
    # evidence
    "show": ["show", "<run>"],
    "show-json": ["show", "<run>", "--json"],
    "show-leg": ["show", "<run>/run.h5", "--leg", "2"],
    "show-no-such-leg": ["show", "<run>", "--leg", "99"],
    "show-trouble": ["show", "<trouble>"],
    "show-missing": ["show", "no-such-run.h5"],
    "show-text-file": ["show", "<text-file>"],
    "show-truncated": ["show", "<truncated>"],
    "verify": ["verify", "<run>"],
    "verify-trouble": ["verify", "<trouble>"],
    "verify-changed-byte": ["verify", "<changed>"],
    "verify-changed-byte-json": ["verify", "<changed>", "--json"],
    "verify-no-json": ["verify", "<garbage>"],
    "verify-changed-plan": ["verify", "<changed-plan>"],
    "verify-missing": ["verify", "no-such-folder"],
    "verify-truncated": ["verify", "<truncated-folder>"],
}


def setup(folder, make_synthetic_run):
    """Makes the files that the cases need, and returns the words that stand for them."""
    run = folder / "run"
    subprocess.run([make_synthetic_run, run], check=True)
    trouble = folder / "trouble"
    subprocess.run([make_synthetic_run, trouble, "trouble"], check=True)

    def copy(name):
        shutil.copytree(run, folder / name)
        return folder / name

    changed = copy("changed")
    certificate = changed / "certificate.json"
    text = certificate.read_text()
    assert '"grade": "A' in text or '"grade": "B"' in text, text[:400]
    certificate.write_text(re.sub(r'"grade": "[AB]', '"grade": "C', text, count=1))
    garbage = copy("garbage")
    (garbage / "certificate.json").write_text("this is no certificate\n")
    changed_plan = copy("changed-plan")
    plan = (changed_plan / "plan.toml").read_text()
    (changed_plan / "plan.toml").write_text(plan.replace("steps = 110", "steps = 111"))
    truncated_folder = copy("truncated-folder")
    whole = (run / "run.h5").read_bytes()
    (truncated_folder / "run.h5").write_bytes(whole[: len(whole) // 3])
    (folder / "notes.h5").write_text("just some text that calls itself HDF5\n")
    (folder / "hosts-malformed").write_text("gpu-a1 slots=4\ngpu-b1 slot=4\n")
    (folder / "hosts-only-a").write_text("gpu-a1 slots=4\n")
    (folder / "hosts-good").write_text("# one host a site\ngpu-b1 slots=2\ngpu-a2\n")
    return {
        "<run>": run,
        "<trouble>": trouble,
        "<changed>": changed,
        "<garbage>": garbage,
        "<changed-plan>": changed_plan,
        "<truncated>": truncated_folder / "run.h5",
        "<truncated-folder>": truncated_folder,
        "<text-file>": folder / "notes.h5",
        "<hosts-malformed>": folder / "hosts-malformed",
        "<hosts-only-a>": folder / "hosts-only-a",
        "<hosts-good>": folder / "hosts-good",
    }


def normalise(text, folder):
    """Takes out what differs from machine to machine and from run to run."""
    text = text.replace(str(folder), "<tmp>").replace(str(ROOT), "<root>")
    text = text.replace("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ", "")
    return re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", text)


def run_case(lockstep, arguments, words, folder):
    real = arguments
    for word, path in words.items():
        real = [argument.replace(word, str(path)) for argument in real]
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    environment = {key: value for key, value in environment.items() if not key.startswith("SLURM")}
    # One core, so that warnings about shared cores are the same everywhere.
    one_core = {min(os.sched_getaffinity(0))}
    done = subprocess.run(
        [lockstep, *real],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: os.sched_setaffinity(0, one_core),
    )
    text = f"$ lockstep {' '.join(arguments)}\nexit code {done.returncode}\n"
    for name, output in (("standard output", done.stdout), ("standard error", done.stderr)):
        if output:
            text += f"--- {name}\n{normalise(output, folder)}"
    return text


def main():
    lockstep, make_synthetic_run = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
    regenerate = "--regenerate" in sys.argv[3:]
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        words = setup(folder, make_synthetic_run)
        for name, arguments in CASES.items():
            text = run_case(lockstep, arguments, words, folder)
            path = GOLDEN / f"{name}.txt"
            expected = path.read_text() if path.exists() else ""
            if text == expected:
                continue
            if regenerate:
                path.write_text(text)
                print(f"rewritten: {path.relative_to(ROOT)}")
                continue
            failed += 1
            print(f"FAILED {name}")
            sys.stdout.writelines(
                difflib.unified_diff(expected.splitlines(True), text.splitlines(True), f"golden/{name}.txt", "now")
            )
        known = {f"{name}.txt" for name in CASES}
        for path in GOLDEN.glob("*.txt"):
            if path.name in known:
                continue
            if regenerate:
                path.unlink()
            else:
                failed += 1
                print(f"FAILED: {path.name} belongs to no case")
    print(f"{len(CASES)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

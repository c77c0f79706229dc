#!/usr/bin/env python3
"""Faults on purpose, of all kinds, at random steps and victims: are they seen, called by their name, put down to whom they
were done to, and survived?

Usage: drill_campaign.py LOCKSTEP DRILLS [--seed N] [--kind KIND]... [--keep FOLDER], in the root of the repository. Needs a lab (`lockstep
lab check`). Six ranks on six hosts in three sites train jointly, up to four drills a round: from a fault that ends a launch
they go on from their checkpoint, on the same hosts. What that cannot cure comes last in its round. Prints a table by kind, then
what was missed (told when it is seen, too). --kind: only these, such as "kill rank". --keep FOLDER: there the evidence of
each run in which something was missed stays.

Exit 1 unless every fault was seen, 98 of 100 called rightly, 97 of 100 put down rightly, none wrongly with a confidence of 0.8
or more, and nothing is left of any lab.
"""
import argparse
import collections
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

WARMUP = 5
DRILLS_A_ROUND = 4
ROUNDS_A_RUN = 6
# Steps from one drill to the next, and of the span that each is drawn from. Medians need some steps behind a restart.
APART, SPAN = 35, 15
STEPS = 25 + APART * DRILLS_A_ROUND
HOSTS = ["a1", "a2", "b1", "b2", "c1", "c2"]
SITES = ["A", "B", "C"]
SURE = 0.8

PLAN = """
name = "drills"
[[site]]
name = "A"
hosts = ["a[1-2]"]
[[site]]
name = "B"
hosts = ["b[1-2]"]
[[site]]
name = "C"
hosts = ["c[1-2]"]
[workload]
model = "nano"
sequence_length = 128
sequences = 4
bucket_parameters = 50000
gradient_clipping = false
[compute]
backend = "paced"
paced_gflops = 20.0
paced_memory_gbps = 0.4
[fabric]
progress = "backoff"
[run]
steps = {steps}
warmup_steps = {warmup}
rounds = {rounds}
[deadlines]
launch_s = 10.0
init_s = 10.0
site_map_s = 10.0
first_op_s = 10.0
least_s = 3.0
merge_s = 10.0
finalize_s = 10.0
[recovery]
policy = "same"
max_restarts = {drills}
backoff_s = 0.0
checkpoint_steps = 10
[probes]
per_second = 10.0
[validation]
step_share = 1.0
[mpi.mca]
btl_tcp_eager_limit = 8388608
[criteria]
min_steps = {steps}
eta_max = 100.0
"""


def pick(rng, kind):
    """Keys of one drill."""
    rank = rng.randrange(len(HOSTS))
    between = rng.sample(SITES, 2)
    # Six ranks reduce in a ring: bytes go one way round it, and nothing but acknowledgements the other.
    one_way = rng.random() < 0.5
    along = rng.choice([["A", "B"], ["B", "C"], ["C", "A"]])
    return {
        "kill rank": {"kind": "kill", "rank": rank},
        "crash rank": {"kind": "crash", "rank": rank},
        "abort rank": {"kind": "abort", "rank": rank},
        "stop rank": {"kind": "stop", "rank": rank},
        "stop rank for 2 s": {"kind": "stop", "rank": rank, "for_s": 2.0},
        "hang rank": {"kind": "hang", "rank": rank},
        "slow rank": {"kind": "slow", "rank": rank, "factor": 4.0, "for_s": 1.0},
        "flip bit": {"kind": "flip", "rank": rank},
        "fill disk": {"kind": "fill", "rank": rank},
        "kill host": {"kind": "kill", "host": rng.choice(HOSTS)},
        "freeze host": {"kind": "stop", "host": rng.choice(HOSTS)},
        "cut link": {"kind": "cut", "between": between},
        "cut link for 1 s": {"kind": "cut", "between": between, "for_s": 1.0},
        "degrade link": {"kind": "degrade", "between": along if one_way else between, "settings": ["rtt=200ms"],
                         "one_way": one_way, "for_s": 2.0},
        "lose site": {"kind": "lose", "site": rng.choice(SITES)},
    }[kind]


# What a restart on the same hosts cannot cure while it lasts.
LASTING = ["kill host", "freeze host", "cut link", "lose site"]
KINDS = ["kill rank", "crash rank", "abort rank", "stop rank", "stop rank for 2 s", "hang rank", "slow rank", "flip bit",
         "fill disk", "cut link for 1 s", "degrade link", *LASTING]


def into_rounds(rng, kinds):
    """Drills by round, each (kind, keys of the drill), in the order in which they come."""
    passing = [kind for kind in kinds if kind not in LASTING]
    lasting = [kind for kind in kinds if kind in LASTING]
    rng.shuffle(passing)
    rng.shuffle(lasting)
    rounds = []
    while passing or lasting:
        last = [lasting.pop()] if lasting else []
        before = DRILLS_A_ROUND - len(last)
        rounds.append(passing[:before] + last)
        passing = passing[before:]
    return [[(kind, {"step": WARMUP + 20 + APART * place + rng.randrange(SPAN), **pick(rng, kind)})
             for place, kind in enumerate(one)] for one in rounds]


def toml(value):
    return json.dumps(value)


def run(lockstep, rounds, folder):
    """Certifies a plan with these drills; what the certificate says of each, in order."""
    text = PLAN.format(steps=STEPS, warmup=WARMUP, rounds=len(rounds), drills=DRILLS_A_ROUND)
    for number, drills in enumerate(rounds):
        for _, drill in drills:
            text += "\n[[drill]]\nround = %d\n" % number + "".join(f"{key} = {toml(value)}\n" for key, value in drill.items())
    plan = pathlib.Path(folder) / "drills.toml"
    plan.write_text(text, encoding="utf-8")
    done = subprocess.run([lockstep, "certify", "--lab", "configs/lab/metro.toml", str(plan), "--out", folder, "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    try:
        return json.loads(done.stdout)["certificate"]["drills"]
    except (ValueError, TypeError, KeyError):
        sys.exit(f"certify ended with {done.returncode}: {done.stderr[-2000:]}")


def confidence_of(result):
    text = result["detected_as"]
    at = text.rfind("(confidence ")
    return float(text[at + 12:].rstrip(")")) if at >= 0 else 0.0


def left_behind(lockstep):
    labs = subprocess.run([lockstep, "lab", "list"], stdout=subprocess.PIPE, text=True, check=False).stdout
    processes = subprocess.run(["pgrep", "-af", "lockstep-rank"], stdout=subprocess.PIPE, text=True, check=False).stdout
    return [line for line in labs.splitlines() if "drills" in line] + processes.splitlines()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("drills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    lockstep, count, seed = options.lockstep, options.drills, options.seed
    kinds = options.kind or KINDS
    rng = random.Random(seed)
    begin = time.monotonic()
    rounds = into_rounds(rng, [kinds[number % len(kinds)] for number in range(count)])
    table = collections.OrderedDict((kind, collections.Counter()) for kind in KINDS)
    missed = []
    done = 0
    for first in range(0, len(rounds), ROUNDS_A_RUN):
        batch = rounds[first:first + ROUNDS_A_RUN]
        with tempfile.TemporaryDirectory() as folder:
            results = run(lockstep, batch, folder)
            if options.keep and not all(result["kind_right"] and result["culprit_right"] for result in results):
                shutil.copytree(folder, options.keep / f"run-{first // ROUNDS_A_RUN}")
        for (kind, drill), result in zip([drill for one in batch for drill in one], results):
            done += 1
            sure_and_wrong = result["detected"] and not result["culprit_right"] and confidence_of(result) >= SURE
            row = table[kind]
            row["drills"] += 1
            row["made"] += result["made"]
            row["seen"] += result["detected"]
            row["kind"] += result["kind_right"]
            row["culprit"] += result["culprit_right"]
            row["recovered"] += result["recovered"]
            row["sure and wrong"] += sure_and_wrong
            if result["detection_s"] is not None:
                row["slowest"] = max(row["slowest"], result["detection_s"])
            if not (result["kind_right"] and result["culprit_right"]):
                missed.append(f"{kind}: {drill}: {result['detected_as'] or 'not seen'}")
                print(f"missed: {missed[-1]}", file=sys.stderr, flush=True)
        print(f"{done} of {count} drills after {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    total = collections.Counter()
    print(f"seed {seed}, {count} drills in {len(rounds)} rounds of {STEPS} + {WARMUP} steps, 6 ranks on 6 hosts in 3 sites\n")
    print("| drill | made | seen | kind right | culprit right | sure and wrong | went on | slowest detection |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, row in table.items():
        if row["drills"] == 0:
            continue
        total.update({key: value for key, value in row.items() if key != "slowest"})
        print(f"| {kind} | {row['made']} | {row['seen']} | {row['kind']} | {row['culprit']} | {row['sure and wrong']} | "
              f"{row['recovered']} | {row['slowest']:.2f} s |")
    print(f"| all | {total['made']} | {total['seen']} | {total['kind']} | {total['culprit']} | {total['sure and wrong']} | "
          f"{total['recovered']} | |")
    for line in missed:
        print(f"  {line}")
    leftovers = left_behind(lockstep)
    for line in leftovers:
        print(f"left behind: {line}")
    good = (total["made"] == count and total["seen"] == count and total["kind"] >= 0.98 * count
            and total["culprit"] >= 0.97 * count and total["sure and wrong"] == 0 and not leftovers)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

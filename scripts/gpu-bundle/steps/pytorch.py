#!/usr/bin/env python3
"""Rates of the products that `bench_cuda --products` measures, by PyTorch, on the same card: one line of JSON a product.

Lockstep's are measured before and after, so that a card that warms up favours neither; `ratio` is the mean of both over
PyTorch's. Measured as there: events around each of four products in a row, without the first, which waits for its launch;
median over rows. Exit code 1 when bench_cuda fails; products that this PyTorch does not offer are left out, with a word why.
"""
import json
import os
import statistics
import subprocess
import sys

import torch

IN_A_ROW = 4
ROWS = 10


def lockstep_rates():
    """FLOP/s by (name, m, n, k, dtype)."""
    done = subprocess.run(["bench_cuda", "--products"], stdout=subprocess.PIPE, text=True, check=False,
                          env=dict(os.environ, LD_LIBRARY_PATH=os.environ.get("BUNDLE_LIBRARY_PATH", "")))
    if done.returncode != 0:
        sys.exit(f"bench_cuda --products ended with {done.returncode}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"figure":"product"')]
    return {(row["name"], row["m"], row["n"], row["k"], row["dtype"]): row["tflops"] * 1e12 for row in rows}


def product(m, n, k, dtype):
    """A call that makes one product of an m x k and a transposed n x k matrix, both random."""
    a = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(n, k, device="cuda", dtype=torch.bfloat16)
    if dtype == "bf16":
        return lambda: torch.matmul(a, b.t())
    if dtype != "e4m3":
        raise NotImplementedError(f"no product of {dtype} is known to this script")
    a8, b8 = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
    one = torch.tensor(1.0, device="cuda")
    return lambda: torch._scaled_mm(a8, b8.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def seconds(call):
    call()
    torch.cuda.synchronize()
    times = []
    for _ in range(ROWS):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(IN_A_ROW + 1)]
        events[0].record()
        for event in events[1:]:
            call()
            event.record()
        torch.cuda.synchronize()
        times += [begin.elapsed_time(end) * 1e-3 for begin, end in zip(events[1:], events[2:])]
    return statistics.median(times)


def main():
    before = lockstep_rates()
    theirs = {}
    for key in before:
        name, m, n, k, dtype = key
        try:
            theirs[key] = 2.0 * m * n * k / seconds(product(m, n, k, dtype))
        except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
            print(f"PyTorch makes no product of {name} in {dtype}: {str(error).splitlines()[0]}")
        torch.cuda.empty_cache()
    after = lockstep_rates()
    for key, rate in theirs.items():
        name, m, n, k, dtype = key
        ours = (before[key] + after[key]) / 2.0
        print(json.dumps({"figure": "beside_pytorch", "name": name, "m": m, "n": n, "k": k, "dtype": dtype,
                          "lockstep_tflops": round(ours * 1e-12, 1), "pytorch_tflops": round(rate * 1e-12, 1),
                          "ratio": round(ours / rate, 4), "pytorch": torch.__version__}))
    if not theirs:
        sys.exit("PyTorch made none of the products")


main()

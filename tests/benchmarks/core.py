"""Eager speed of the core: marginals against a compiled floor and against the peers that are importable.

Prints a table and writes JSON: ``python tests/benchmarks/core.py [--out FILE]``. Float32, one thread, medians.
"""

import argparse
import json
import os
import platform
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from floor import floor_marginals
from timing import Job, grow_heap, interleaved, summary

import ksubset

SHAPES = ((128, 10, 5), (2000, 20, 10), (128, 350, 10), (32, 1000, 100))


def torch_jobs(logits: np.ndarray, k: int) -> dict[str, Job]:
    """The core on torch tensors, and a log-space recursion differentiated by autograd."""
    try:
        import torch
        from peers import log_space_marginals
    except ImportError:
        return {}
    torch.set_num_threads(1)
    x = torch.as_tensor(logits)
    peer = Job(lambda: log_space_marginals(x, k))
    return {"torch": Job(lambda: ksubset.marginals(x, k)), "torch log-space recursion": peer}


def jax_jobs(logits: np.ndarray, k: int) -> dict[str, Job]:
    """The core on JAX arrays, compiled."""
    try:
        import jax
    except ImportError:
        return {}
    x = jax.numpy.asarray(logits)
    return {"jax": Job(lambda: ksubset.marginals(x, k, validate=False).block_until_ready())}


def numpy_jobs(logits: np.ndarray, k: int) -> dict[str, Job]:
    """The core on NumPy arrays."""
    return {"numpy": Job(lambda: ksubset.marginals(logits, k))}


def measure(rows: int, n: int, k: int) -> dict[str, dict[str, float]]:
    """All jobs at one shape, with their ratio to the floor where there is one."""
    logits = np.random.default_rng(0).normal(size=(rows, n)).astype(np.float32)
    makers: tuple[Callable[[np.ndarray, int], dict[str, Job]], ...] = (numpy_jobs, torch_jobs, jax_jobs)
    jobs = {name: job for maker in makers for name, job in maker(logits, k).items()}
    if n > 400:
        jobs.pop("torch log-space recursion", None)
    floor = floor_marginals(logits, k)
    times = {name: summary(t) for name, t in interleaved(({"floor": floor} if floor else {}) | jobs).items()}
    for entry in times.values():
        entry["ratio"] = entry["median_ms"] / times["floor" if floor else "numpy"]["median_ms"]
    return times


def huge(n: int = 1_000_000, k: int = 500_000) -> dict[str, float]:
    """One row of a million items in NumPy: seconds, and the peak of its allocations."""
    logits = np.random.default_rng(0).normal(size=(1, n)).astype(np.float32)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        ksubset.marginals(logits, k)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    ksubset.marginals(logits, k)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"seconds": float(np.median(seconds)), "peak_mb": peak / 1e6}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    os.environ["KSUBSET_FAST"] = "0"
    grow_heap()
    base = "floor" if os.environ.get("KSUBSET_FLOOR") else "numpy"
    result: dict[str, object] = {"machine": platform.processor() or platform.machine(), "ratio_to": base}
    print(f"marginals, float32, one thread: median ms (ratio to {base})")
    for shape in SHAPES:
        times = result[str(shape)] = measure(*shape)
        print(f"{shape!s:>16}", *(f"{name} {t['median_ms']:.3f} ({t['ratio']:.1f}x)" for name, t in times.items()))
    result["1000000 items"] = extreme = huge()
    print(f"(1, 1000000, 500000) numpy {extreme['seconds']:.2f} s, peak {extreme['peak_mb']:.0f} MB")
    result["load"] = os.getloadavg()
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Speed of functions with one number to a row, as multiples of `marginals` of the same logits.

Prints a table: ``python tests/benchmarks/scalars.py [--quick] [--threads N]``. Normal logits, medians, checked calls;
JAX compiled. `log_prob` is of one subset of each row, "a thousand" of a thousand subsets of a row, by a `KSubset` that
was made before; "dot" is NumPy's product of the same subsets with the row.
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import numpy as np
import torch
from timing import Job, grow_heap, interleaved, summary

import ksubset
from ksubset.backends._cpu import threads

SHAPES = ((1, 50, 20), (1, 200, 80), (128, 350, 10), (4096, 64, 8), (64, 2000, 1000), (1, 100_000, 1000))
FUNCTIONS = ("entropy", "log_normalizer", "kl_to_uniform")
PLACES: dict[str, Callable[[np.ndarray], Any]] = {
    "numpy": np.asarray,
    "torch": torch.from_numpy,
    "jax": jax.numpy.asarray,
}


def ready(function: Callable[..., Any], *arrays: Any) -> Callable[[], object]:
    """A call that ends when its result is there; compiled in JAX."""
    if isinstance(arrays[0], jax.Array):
        program = jax.jit(function)
        return lambda: program(*arrays).block_until_ready()
    return partial(function, *arrays)


def jobs(place: Callable[[np.ndarray], Any], logits: np.ndarray, k: int, draws: int) -> dict[str, Job]:
    """What is timed for one shape in one framework."""
    x, other = place(logits), place(logits[:, ::-1].copy())
    z = place(ksubset.sample(logits, k, rng=0))
    calls = {name: ready(partial(_call, name, k), x) for name in ("marginals", *FUNCTIONS)}
    calls["log_prob"] = ready(lambda x, z: ksubset.log_prob(x, k, z), x, z)
    calls["kl_divergence"] = ready(lambda x, y: ksubset.kl_divergence(x, y, k), x, other)
    if draws:
        many, d = ksubset.sample(logits, k, rng=0, sample_shape=(draws,)), ksubset.KSubset(x, k)
        calls["a thousand"] = partial(d.log_prob, place(many))
        calls["dot"] = partial(np.dot, many[:, 0], logits[0])
    return {name: Job(call) for name, call in calls.items()}


def _call(name: str, k: int, x: Any) -> Any:
    return getattr(ksubset, name)(x, k)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few calls")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    grow_heap()
    torch.set_num_threads(options.threads)
    threads.default_threads = lambda: options.threads
    jax.config.update("jax_enable_x64", True)
    for rows, n, k in SHAPES[:2] if options.quick else SHAPES:
        for dtype in ("float32", "float64"):
            logits = np.random.default_rng(n).normal(size=(rows, n)).astype(dtype)
            for name, place in PLACES.items():
                draws = 1000 if (rows, n, name) == (1, 200, "numpy") else 0
                found = interleaved(jobs(place, logits, k, draws), 0.02 if options.quick else 0.4)
                times = {call: summary(ms)["median_ms"] for call, ms in found.items()}
                unit = times.pop("marginals")
                ratios = ", ".join(f"{call} {ms / unit:.2f}" for call, ms in times.items())
                print(f"({rows}, {n}, {k}) {dtype} {name}: marginals {1e3 * unit:.0f} µs; {ratios}", flush=True)


if __name__ == "__main__":
    main()

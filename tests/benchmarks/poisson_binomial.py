"""Speed and accuracy of `count_log_pmf` beside SciPy's `poisson_binom` and the package fast_poibin.

Prints a table: ``python tests/benchmarks/poisson_binomial.py [--quick]``. Normal logits, float64, one thread, medians;
and the largest probability that is wrong by 1e-10, as `count_log_pmf` has it, whose own error is bounded in
tests/backends/cpu/test_fast_counts.py. The other two compute probabilities and not logarithms: below 1e-308 they have
none. They take one row at a time.
"""

import argparse
import importlib
import os
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from timing import Job, grow_heap, interleaved, summary

import ksubset

SHAPES = ((10,), (100,), (300,), (1000,), (3000,), (10_000,), (100_000,), (1000, 10), (1000, 100), (1000, 300))
LONGEST = {"scipy": 3000}
"""Items beyond which a package takes minutes."""


def one_by_one(pmf: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """A peer's probabilities for every row."""
    return [pmf(p) for p in rows]


def peers(p: np.ndarray) -> dict[str, Job]:
    """The probabilities of all counts by the packages that are installed."""
    counts, found = np.arange(p.shape[-1] + 1), {}
    try:
        poisson_binom = importlib.import_module("scipy.stats").poisson_binom
        found["scipy"] = lambda row: poisson_binom.pmf(counts, row)
    except (ImportError, AttributeError):
        print("scipy.stats.poisson_binom is not installed: it came with SciPy 1.15")
    try:
        poibin = importlib.import_module("fast_poibin").PoiBin
        found["fast_poibin"] = lambda row: poibin(row).pmf
    except ImportError:
        print("fast_poibin is not installed")
    rows = p.reshape(-1, p.shape[-1])
    serving = {name: pmf for name, pmf in found.items() if rows.size <= LONGEST.get(name, rows.size)}
    return {name: Job(partial(one_by_one, pmf, rows)) for name, pmf in serving.items()}


def reliable(found: np.ndarray, log_pmf: np.ndarray) -> float:
    """log10 of the smallest probability down to which all are right to a relative 1e-10."""
    kept = log_pmf > np.log(1e-300)
    log_pmf, found = log_pmf[kept], np.maximum(found[kept], 1e-320)
    wrong = np.abs(np.log(found) - log_pmf) > 1e-10
    return float((log_pmf[wrong].max() if wrong.any() else log_pmf.min()) / np.log(10))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few calls")
    options = parser.parse_args()
    grow_heap()
    for shape in (*SHAPES[:2], SHAPES[-3]) if options.quick else SHAPES:
        logits = np.random.default_rng(shape[-1]).normal(size=shape)
        jobs = {"ksubset": Job(partial(ksubset.count_log_pmf, logits)), **peers(1 / (1 + np.exp(-logits)))}
        times = {name: summary(t) for name, t in interleaved(jobs, 0.02 if options.quick else 1.0).items()}
        mine, log_pmf = times["ksubset"]["median_ms"], ksubset.count_log_pmf(logits)
        down = log_pmf.min() / np.log(10)
        print(f"{' × '.join(map(str, shape))}: ksubset {mine:.3g} ms, all counts down to {down:.0f} decades")
        for name, job in jobs.items():
            if name != "ksubset":
                time, decades = times[name]["median_ms"], reliable(np.array(job.run()).reshape(log_pmf.shape), log_pmf)
                print(f"    {name}: {time:.3g} ms, {time / mine:.2f} times as long, right to 1e-10 to 1e{decades:.0f}")


if __name__ == "__main__":
    main()

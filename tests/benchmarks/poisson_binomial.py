"""Speed and accuracy of `count_log_pmf` beside SciPy's `poisson_binom` and the package fast_poibin.

Prints ratios: ``python tests/benchmarks/poisson_binomial.py [--quick]``. One row, float64, one thread, medians; and the
largest probability that is wrong by 1e-10, as `count_log_pmf` has it: tests/test_count_log_pmf.py bounds its own error.
The other two compute probabilities and not logarithms: below 1e-308 they have none.
"""

import argparse
import importlib

import numpy as np
from timing import Job, grow_heap, interleaved, summary

import ksubset

SIZES = (10, 100, 300, 1000, 3000)


def peers(p: np.ndarray) -> dict[str, Job]:
    """The probabilities of all counts by the packages that are installed."""
    counts, jobs = np.arange(len(p) + 1), {}
    try:
        poisson_binom = importlib.import_module("scipy.stats").poisson_binom
        jobs["scipy"] = Job(lambda: poisson_binom.pmf(counts, p))
    except (ImportError, AttributeError):
        print("scipy.stats.poisson_binom is not installed: it came with SciPy 1.15")
    try:
        poibin = importlib.import_module("fast_poibin").PoiBin
        jobs["fast_poibin"] = Job(lambda: poibin(p).pmf)
    except ImportError:
        print("fast_poibin is not installed")
    return jobs


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
    for n in SIZES[:2] if options.quick else SIZES:
        logits = np.random.default_rng(n).normal(size=n)
        p = 1 / (1 + np.exp(-logits))
        jobs = {"ksubset": Job(lambda x=logits: ksubset.count_log_pmf(x)), **peers(p)}
        times = {name: summary(t) for name, t in interleaved(jobs, 0.02 if options.quick else 1.0).items()}
        mine, log_pmf = times["ksubset"]["median_ms"], ksubset.count_log_pmf(logits)
        print(f"n = {n}: ksubset {mine:.3f} ms, all counts down to {log_pmf.min() / np.log(10):.0f} decades")
        for name, job in jobs.items():
            if name != "ksubset":
                ratio, decades = times[name]["median_ms"] / mine, reliable(np.asarray(job.run()), log_pmf)
                print(f"    {name}: {ratio:.2f} times as long, right to 1e-10 down to 1e{decades:.0f}")


if __name__ == "__main__":
    main()

"""How time grows with n, k and the batch, and with the variance of the count. Float32, one thread."""

from collections.abc import Iterator

import numpy as np
from case import Budget, Case, Record, measure
from kernels import sample_and_product
from layers import layer_jobs
from timing import Job

from ksubset.backends import _cpu

ITEMS = tuple(Case(32, n, 10) for n in (20, 50, 100, 300, 1000, 3000, 10_000, 30_000))
COUNTS = tuple(Case(32, 2000, k) for k in (1, 3, 10, 30, 100, 300, 1000))
BATCHES = tuple(Case(rows, 64, 8) for rows in (1, 4, 16, 64, 256, 1024, 4096, 16_384))
SWEEPS = {"scaling: n": ITEMS, "scaling: k": COUNTS, "scaling: batch": BATCHES}

WIDE = tuple(Case(64, 2000, k) for k in (5, 20, 60, 200, 500, 1000))
SCALES = (0.1, 1.0, 3.0, 10.0)


def scale_up(budget: Budget) -> Iterator[Record]:
    """Steps of the layer and its peers along the three axes."""
    for experiment, cases in SWEEPS.items():
        for case in cases:
            if case.rows * case.n <= budget.most_numbers:
                yield measure(experiment, case, layer_jobs(case), budget)


def vary_variance(budget: Budget) -> Iterator[Record]:
    """The kernels alone, for each k and several scales of the logits."""
    for case in WIDE:
        for scale in SCALES:
            logits = case.normal(scale=scale)
            more = {"scale": scale, "variance": mean_variance(logits, case.k)}
            yield measure("scaling: variance", case, _kernel_jobs(case, logits), budget, **more)


def _kernel_jobs(case: Case, logits: np.ndarray) -> dict[str, Job | str]:
    v = case.normal(seed=1)
    return {"ksubset": Job(lambda: sample_and_product(logits, v, case.k, case.threads))}


def mean_variance(logits: np.ndarray, k: int) -> float:
    """V = Σ p q under the tilted probabilities, the mean over rows."""
    shift = _cpu.solve(logits, k, volume=False, chosen=False, unchosen=False).shift
    p = 1 / (1 + np.exp(-(logits + shift[:, None]).astype(float)))
    return float((p * (1 - p)).sum(-1).mean())

"""How time grows with n, k and the batch. Float32, one thread."""

from collections.abc import Iterator
from functools import partial
from itertools import product

from case import Budget, Case, Record, measure
from kernels import sample_and_product
from layers import layer_jobs
from timing import Job

ITEMS = tuple(Case(32, n, 10) for n in (20, 50, 100, 300, 1000, 3000, 10_000, 30_000))
COUNTS = tuple(Case(32, 2000, k) for k in (1, 3, 10, 30, 100, 300, 1000))
BATCHES = tuple(Case(rows, 64, 8) for rows in (1, 4, 16, 64, 256, 1024, 4096, 16_384))
SWEEPS = {"scaling: n": ITEMS, "scaling: k": COUNTS, "scaling: batch": BATCHES}

NUMBERS = 200_000
"""Logits of a call of the kernels alone, in rows of different length."""
LENGTHS, SHARES = (20, 100, 1000, 10_000, 100_000, 1_000_000), (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5)


def scale_up(budget: Budget) -> Iterator[Record]:
    """Steps of the layer and its peers along the three axes."""
    for experiment, cases in SWEEPS.items():
        for case in cases:
            if case.rows * case.n <= budget.most_numbers:
                yield measure(experiment, case, layer_jobs(case), budget)


def vary_length_and_size(budget: Budget) -> Iterator[Record]:
    """The kernels alone: a sample, then J · v, for rows of every length and subsets of every size."""
    for n, share in product(LENGTHS, SHARES):
        case = Case(max(1, NUMBERS // n), n, round(share * n))
        if case.k and case.rows * n <= budget.most_numbers:
            logits, v = case.normal(), case.normal(seed=1)
            job = Job(partial(sample_and_product, logits, v, case.k, case.threads))
            yield measure("scaling: items", case, {"ksubset": job}, budget)

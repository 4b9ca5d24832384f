"""The kernels of the fast path alone, on NumPy arrays, against the compiled floor."""

from collections.abc import Iterator

import numpy as np
from case import Budget, Case, Record, measure
from floor import floor_marginals, floor_sample_and_product, obstacle
from settings import flushing
from timing import Job

import ksubset
from ksubset.backends._cpu import calls


def compare_kernels(case: Case, budget: Budget) -> Iterator[Record]:
    """Sample and J · v; marginals through the public function."""
    logits, v, k, threads = case.normal(), case.normal(seed=1), case.k, case.threads
    with flushing():  # which loading the floor starts
        floors = floor_sample_and_product(logits, v, k, threads), floor_marginals(logits, k, threads)
    drawn, marginals = (Job(floor.run, flushing) if floor else str(obstacle(case.n, k)) for floor in floors)
    jobs: dict[str, Job | str] = {"ksubset": Job(lambda: sample_and_product(logits, v, k, threads)), "floor": drawn}
    yield measure("kernels", case, jobs, budget)
    jobs = {"ksubset": Job(lambda: ksubset.marginals(logits, k)), "floor": marginals}
    yield measure("NumPy marginals", case, jobs, budget)


def sample_and_product(logits: np.ndarray, v: np.ndarray, k: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """What a step of the layer computes."""
    z, shifts = calls.sample(logits, k, 1, threads=threads)
    return z, calls.jacobian_product(logits, k, v, shifts=shifts, threads=threads)
